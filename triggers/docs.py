"""GET /api/openapi.json, and the page /api/docs that shows it without loading anything from elsewhere."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import azure.functions as func

from core.errors import NotFound
from triggers.addresses import base_of
from triggers.endpoint import Tag, Told, endpoint
from triggers.http import json_response
from triggers.openapi import Json, document

bp = func.Blueprint()
API_VERSION = "1.0.0"
FOLDER = Path(__file__).parent / "docs_assets"
SWAGGER_UI = FOLDER / "swagger-ui-5.35.0"
ASSETS = {
    path.name: path
    for path in (
        *(FOLDER / "docs.js", FOLDER / "docs.css"),
        *(SWAGGER_UI / "swagger-ui.css", SWAGGER_UI / "swagger-ui-bundle.js"),
    )
}
KINDS = {".css": "text/css", ".js": "text/javascript"}
# Swagger UI sets styles in its elements, and shows its icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@endpoint(bp, "GET", "openapi.json", tag=Tag.DOCS, answers={200: Json})
def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """This description: OpenAPI 3.1."""
    return json_response(described(urlsplit(base_of(req)).path))


@endpoint(bp, "GET", "docs", tag=Tag.DOCS, answers={200: Told({"text/html": str})}, anonymous=True)
def docs(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """This description as a page to read and to try out.

    The page holds no data. It asks for the function key, or takes it from its fragment, `#key=...`.
    """
    return func.HttpResponse((FOLDER / "index.html").read_bytes(), mimetype="text/html", headers=PAGE_HEADERS)


@endpoint(
    bp,
    "GET",
    "docs/{asset}",
    tag=Tag.DOCS,
    answers={200: Told({"text/css": str, "text/javascript": str})},
    problems={404: ["not_found"]},
    anonymous=True,
)
def docs_asset(req: func.HttpRequest) -> func.HttpResponse:
    """The scripts and styles of that page."""
    path = ASSETS.get(req.route_params["asset"])
    if path is None:
        raise NotFound("the page has no such part")
    headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
    return func.HttpResponse(path.read_bytes(), mimetype=KINDS[path.suffix], headers=headers)


@lru_cache(maxsize=4)
def described(server: str) -> Json:
    return document(server, API_VERSION)
