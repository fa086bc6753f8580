"""Files of the folder `web`, as HTTP answers: typed, compressed, and not sent again to who has them."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import azure.functions as func

from core.errors import NotFound

WEB = Path(__file__).parent.parent / "web"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
# The name of a folder below `vendor` holds its version: what is in it never changes.
UNCHANGING = "static/vendor/"
REVALIDATED, KEPT = "no-cache", "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class WebFile:
    """One file, as it is now."""

    name: str
    path: Path

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @property
    def compressed(self) -> bytes:
        return compressed(self.path, self.path.stat().st_mtime_ns)

    def answer(
        self, req: func.HttpRequest, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> func.HttpResponse:
        """The file, or `content` made of it; 304 for who has the same."""
        zipped = "gzip" in req.headers.get("Accept-Encoding", "")
        if content is None:
            body = self.compressed if zipped else self.content
        else:
            body = gzip.compress(content, mtime=0) if zipped else content
        told = (headers or {}) | {
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Cache-Control": KEPT if self.name.startswith(UNCHANGING) else REVALIDATED,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if told["ETag"] in req.headers.get("If-None-Match", ""):
            return func.HttpResponse(status_code=304, headers=told)
        if zipped:
            told["Content-Encoding"] = "gzip"
        return func.HttpResponse(body, headers=told, mimetype=TYPES[self.path.suffix], charset="utf-8")


@lru_cache(maxsize=64)
def compressed(path: Path, changed: int) -> bytes:  # noqa: ARG001
    return gzip.compress(path.read_bytes(), mtime=0)


@lru_cache(maxsize=1)
def web_files() -> dict[str, WebFile]:
    """All there are, by their path below `web`: what is not in here cannot be asked for, however it is spelled."""
    paths = (path for path in WEB.rglob("*") if path.suffix in TYPES)
    return {(name := path.relative_to(WEB).as_posix()): WebFile(name, path) for path in paths}


def web_file(name: str) -> WebFile:
    """Raises NotFound."""
    try:
        return web_files()[name]
    except KeyError:
        raise NotFound(f"there is no file {name!r}", code="file_not_found") from None
