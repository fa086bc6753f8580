"""GET /api/features and /api/stac: what is published, for whoever reads it."""

import azure.functions as func

from core.config import settings
from triggers.endpoint import mounted
from triggers.http import async_edge, json_object
from triggers.serving.mount import Mount

bp = func.Blueprint()

READERS = func.AuthLevel.ANONYMOUS if settings().anonymous_read else func.AuthLevel.FUNCTION

FEATURES = Mount("features", "triggers.serving.features_app")
STAC = Mount("stac", "triggers.serving.stac_app")

mounted("features/{*path}", "OGC API - Features and Tiles", service="features/api")
mounted("stac/{*path}", "STAC API", service="stac/api")


@bp.route(route="features/{*path}", methods=["GET"], auth_level=READERS)
@async_edge
async def features(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return await FEATURES.answer(req, context)


@bp.route(route="stac/{*path}", methods=["GET", "POST"], auth_level=READERS)
@async_edge
async def stac(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    if req.method == "POST":
        # The search's own model fails on what is no object.
        json_object(req)
    return await STAC.answer(req, context)
