"""GET /api/ui, GET /api/map/{table}, and below /api/static what they are made of.

Open to everybody, since they hold no data: a page asks for a function key, and fetches with it what it shows.
"""

from urllib.parse import urlsplit

import azure.functions as func

from triggers.endpoint import Tag, Told, endpoint
from triggers.web_files import TYPES, web_file

bp = func.Blueprint()
# MapLibre draws into blobs, and its style sheet holds its icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; worker-src 'self';"
    " connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)


SAME = Told(says="The caller has it: its `If-None-Match` names this.", headers=("ETag",))
PAGE = {200: Told({"text/html": str}, headers=("ETag",)), 304: SAME}
PARTS = {200: Told(dict.fromkeys(TYPES.values(), str), headers=("ETag",)), 304: SAME}


@endpoint(bp, "GET", "ui/{*path}", tag=Tag.PAGES, answers=PAGE, anonymous=True)
def dashboard(req: func.HttpRequest) -> func.HttpResponse:
    """The dashboard.

    One page for every path: its script shows the one that is asked for.
    """
    return page(req, "ui.html", req.route_params.get("path", ""))


@endpoint(bp, "GET", "map/{table}", tag=Tag.PAGES, answers=PAGE, anonymous=True)
def table_map(req: func.HttpRequest) -> func.HttpResponse:
    """The map of a table.

    The same page for every table, whether it is there or not: who may not read it is not told.
    """
    return page(req, "map.html", req.route_params["table"])


@endpoint(
    bp,
    "GET",
    "static/{*path}",
    tag=Tag.PAGES,
    answers=PARTS,
    problems={404: ["file_not_found"]},
    anonymous=True,
)
def static_file(req: func.HttpRequest) -> func.HttpResponse:
    """What the pages are made of."""
    return web_file(f"static/{req.route_params.get('path', '')}").answer(req)


def page(req: func.HttpRequest, name: str, path: str) -> func.HttpResponse:
    file = web_file(name)
    content = file.content.replace(b"{base}", way_up(urlsplit(req.url).path, path).encode())
    return file.answer(req, content, {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


def way_up(url_path: str, path: str) -> str:
    """From a page to what it has in common with all endpoints: relative, so that it holds behind a proxy too."""
    return "../" * (len(path.strip("/").split("/") if path.strip("/") else []) + url_path.endswith("/")) or "./"
