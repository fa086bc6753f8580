"""GET /api/ui, GET /api/map/{table}, and below /api/static what they are made of.

Open to everybody, since they hold no data: a page asks for a function key, and fetches with it what it shows.
"""

from urllib.parse import urlsplit

import azure.functions as func

from triggers.http import edge
from triggers.web_files import web_file

bp = func.Blueprint()
ANONYMOUS = func.AuthLevel.ANONYMOUS
# MapLibre draws into blobs, and its style sheet holds its icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; worker-src 'self';"
    " connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)


@bp.route(route="ui/{*path}", methods=["GET"], auth_level=ANONYMOUS)
@edge
def dashboard(req: func.HttpRequest) -> func.HttpResponse:
    """One page for every path: its script shows the one that is asked for."""
    return page(req, "ui.html", req.route_params.get("path", ""))


@bp.route(route="map/{table}", methods=["GET"], auth_level=ANONYMOUS)
@edge
def table_map(req: func.HttpRequest) -> func.HttpResponse:
    """The same page for every table, whether it is there or not: who may not read it is not told."""
    return page(req, "map.html", req.route_params["table"])


@bp.route(route="static/{*path}", methods=["GET"], auth_level=ANONYMOUS)
@edge
def static_file(req: func.HttpRequest) -> func.HttpResponse:
    return web_file(f"static/{req.route_params.get('path', '')}").answer(req)


def page(req: func.HttpRequest, name: str, path: str) -> func.HttpResponse:
    file = web_file(name)
    content = file.content.replace(b"{base}", way_up(urlsplit(req.url).path, path).encode())
    return file.answer(req, content, {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


def way_up(url_path: str, path: str) -> str:
    """From a page to what it has in common with all endpoints: relative, so that it holds behind a proxy too."""
    return "../" * (len(path.strip("/").split("/") if path.strip("/") else []) + url_path.endswith("/")) or "./"
