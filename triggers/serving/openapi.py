"""A served app's own OpenAPI document."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.0"
PATH = "/api"


def serve_openapi(app: FastAPI) -> None:
    """Where tipg and stac-fastapi have it. FastAPI's own route, if there is one, gives way: it remembers every address
    that it is called by."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) != PATH]

    @app.get(PATH, include_in_schema=False)
    async def openapi(request: Request) -> Response:
        servers = [{"url": str(request.base_url).rstrip("/")}]
        return JSONResponse(app.openapi() | {"servers": servers}, media_type=MEDIA_TYPE)
