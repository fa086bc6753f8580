"""A served app's own OpenAPI document."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.0"


def serve_openapi(app: FastAPI) -> None:
    """At /api, where tipg and stac-fastapi have it. FastAPI's own route remembers every address it is called by."""

    @app.get("/api", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        servers = [{"url": str(request.base_url).rstrip("/")}]
        return JSONResponse(app.openapi() | {"servers": servers}, media_type=MEDIA_TYPE)
