"""The STAC API of pgSTAC: stac-fastapi, read only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

from fastapi import FastAPI, Request
from stac_fastapi.pgstac.app import instantiate_api
from stac_fastapi.pgstac.config import Settings
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.db import get_connection
from stac_fastapi.pgstac.models.extensions import Extensions
from stac_fastapi.types import errors

from core.config import settings
from core.errors import InvalidInput, NotFound
from infrastructure.read_pool import read_pool
from triggers.serving.openapi import serve_openapi
from triggers.serving.problems import tell_problems


class Client(CoreCrudClient):
    """stac-fastapi resolves an item's links, but not the hrefs of its assets."""

    async def _search_base(self, search_request: Any, request: Request) -> Any:
        found = await super()._search_base(search_request, request=request)
        for item in found["features"]:
            resolve_assets(item)
        return found


def resolve_assets(item: dict[str, Any]) -> None:
    """As the STAC specification says, against the item's own link."""
    own = next((link["href"] for link in item.get("links", ()) if link["rel"] == "self"), None)
    for asset in item.get("assets", {}).values() if own else ():
        asset["href"] = urljoin(own, asset["href"])


def create_app() -> FastAPI:
    told = Settings(
        stac_fastapi_title="Catalog of published tables",
        stac_fastapi_description="Vector tables in PostGIS, one item per table.",
        stac_fastapi_landing_id="vector-etl",
        stac_fastapi_version="1.0",
        enable_transactions_extensions=False,
        enable_catalogs_extension=False,
    )
    app: FastAPI = instantiate_api(Client, Extensions(settings=told), with_pool, told).app
    serve_openapi(app)
    tell_problems(
        app,
        {
            errors.NotFoundError: lambda error: NotFound(str(error)),
            errors.InvalidQueryParameter: lambda error: InvalidInput("invalid_parameter", str(error)),
        },
    )
    return app


@asynccontextmanager
async def with_pool(app: FastAPI) -> AsyncIterator[None]:
    async with read_pool(settings(), search_path="pgstac,public", **{"pgstac.readonly": "true"}) as pool:
        app.state.readpool = pool
        app.state.get_connection = get_connection
        yield
