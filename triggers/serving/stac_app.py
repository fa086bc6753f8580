"""The STAC API of pgSTAC: stac-fastapi, read only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import asyncpg
import attr
from fastapi import FastAPI, Request
from stac_fastapi.api.middleware import ProxyHeaderMiddleware
from stac_fastapi.pgstac.app import instantiate_api
from stac_fastapi.pgstac.config import Settings
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.db import get_connection
from stac_fastapi.pgstac.models.extensions import Extensions
from stac_fastapi.types import errors
from stac_pydantic.shared import MimeTypes
from starlette.middleware.cors import CORSMiddleware

from core.config import settings
from core.errors import AppError, InvalidInput, NotFound, Unavailable
from infrastructure.read_pool import read_pool
from triggers.serving.openapi import serve_openapi
from triggers.serving.problems import tell_problems, translated

TITLE = "Catalog of published tables"
DESCRIPTION = "Vector tables in PostGIS, one item per table."
NAME = "vector-etl"
# The functions of pgSTAC that are called, as Postgres names a missing one.
ENTRANCES = ("search(", "collection_search(", "get_collection(", "get_queryables(")


@attr.s
class Client(CoreCrudClient):  # type: ignore[misc]  # untyped
    landing_page_id: str = attr.ib(default=NAME)
    title: str = attr.ib(default=TITLE)
    description: str = attr.ib(default=DESCRIPTION)

    async def landing_page(self, **kwargs: Any) -> Any:
        """Without a link to the library's documentation page, which would load from a CDN."""
        request: Request = kwargs["request"]
        base = str(request.base_url)
        page = self._landing_page(base_url=base, conformance_classes=self.conformance_classes(), extension_schemas=[])
        for rel, kind, path in (
            ("http://www.opengis.net/def/rel/ogc/1.0/queryables", MimeTypes.jsonschema, "queryables"),
            ("service-desc", MimeTypes.openapi, "api"),
        ):
            page["links"].append({"rel": rel, "type": kind.value, "href": urljoin(base, path)})
        return page

    async def _search_base(self, search_request: Any, request: Request) -> Any:
        """stac-fastapi resolves the links of an item, but not the hrefs of its assets."""
        found = await super()._search_base(search_request, request=request)
        for item in found["features"]:
            resolve_assets(item, str(request.base_url))
        return found


def resolve_assets(item: dict[str, Any], base: str) -> None:
    """As the STAC specification says, against the item's own address."""
    own = urljoin(base, f"collections/{item.get('collection')}/items/{item.get('id')}")
    for asset in item.get("assets", {}).values():
        if "href" in asset:
            asset["href"] = urljoin(own, asset["href"])


def create_app() -> FastAPI:
    told = Settings(
        stac_fastapi_title=TITLE,
        stac_fastapi_description=DESCRIPTION,
        stac_fastapi_landing_id=NAME,
        stac_fastapi_version="1.0",
        docs_url="",
        enable_transactions_extensions=False,
        enable_catalogs_extension=False,
    )
    app: FastAPI = instantiate_api(Client, Extensions(settings=told), with_pool, told).app
    # The address is known already, and CORS is the Functions host's, for every route alike.
    not_ours: tuple[Any, ...] = (CORSMiddleware, ProxyHeaderMiddleware)
    app.user_middleware = [each for each in app.user_middleware if each.cls not in not_ours]
    serve_openapi(app)
    tell_problems(
        app,
        {
            errors.NotFoundError: lambda error: NotFound(str(error)),
            errors.InvalidQueryParameter: lambda error: InvalidInput("invalid_parameter", str(error)),
            asyncpg.UndefinedFunctionError: missing,
            asyncpg.InvalidSchemaNameError: missing,
            asyncpg.InsufficientPrivilegeError: missing,
        },
    )
    return app


def missing(error: asyncpg.PostgresError) -> AppError:
    """A filter may name a function, or an operator for types, that is not there; only what we call is pgSTAC's."""
    if isinstance(error, asyncpg.UndefinedFunctionError) and not any(name in str(error) for name in ENTRANCES):
        return translated(error)
    return Unavailable("there is no catalog: pgSTAC is not installed, or not for this user", code="catalog_missing")


@asynccontextmanager
async def with_pool(app: FastAPI) -> AsyncIterator[None]:
    async with read_pool(settings(), search_path="pgstac,public", **{"pgstac.readonly": "true"}) as pool:
        app.state.readpool = pool
        app.state.get_connection = get_connection
        yield
