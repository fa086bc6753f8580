"""OGC API Features, and OGC API Tiles with vector tiles, of the published tables: tipg on our catalog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette_cramjam.middleware import CompressionMiddleware
from tipg import errors, model
from tipg.factory import COMMON_CONFORMS, Endpoints
from tipg.resources.enums import MediaType

from core.config import settings
from core.errors import InvalidInput, NotFound
from infrastructure.read_pool import read_pool
from triggers.serving import tipg_adapted
from triggers.serving.openapi import serve_openapi
from triggers.serving.problems import sentence, tell_problems

TITLE = "Published tables"


def create_app() -> FastAPI:
    app = FastAPI(title=TITLE, openapi_url=None, docs_url=None, redoc_url=None, lifespan=with_pool)
    endpoints = tipg_adapted.endpoints(TITLE)
    app.include_router(endpoints.router)
    add_common(app, endpoints)
    serve_openapi(app)
    tell_problems(
        app,
        {
            errors.NotFound: lambda error: NotFound(str(error)),
            errors.TiPgError: lambda error: InvalidInput("invalid_parameter", sentence(error)),
        },
    )
    app.add_middleware(CompressionMiddleware, compression_level=6)
    return app


@asynccontextmanager
async def with_pool(app: FastAPI) -> AsyncIterator[None]:
    async with read_pool(settings()) as pool:
        app.state.pool = pool
        yield


def add_common(app: FastAPI, endpoints: Endpoints) -> None:
    """OGC API Common: the landing page and what is conformed to."""

    @app.get("/", response_model_exclude_none=True, tags=["OGC Common"])
    async def landing(request: Request) -> model.Landing:
        return model.Landing(title=TITLE, links=[*common_links(request), *endpoints.links(request)])

    @app.get("/conformance", tags=["OGC Common"])
    async def conformance() -> model.Conformance:
        classes = [*COMMON_CONFORMS, *endpoints.conforms_to]
        return model.Conformance(conformsTo=[each for each in classes if not each.endswith("/conf/html")])


def common_links(request: Request) -> list[model.Link]:
    pages = (
        ("landing", "self", MediaType.json, "This page"),
        ("openapi", "service-desc", MediaType.openapi30_json, "The API's definition"),
        ("conformance", "conformance", MediaType.json, "Conformance classes"),
    )
    return [
        model.Link(href=str(request.url_for(name)), rel=rel, type=kind, title=title) for name, rel, kind, title in pages
    ]
