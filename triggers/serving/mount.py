"""An ASGI app behind one catch-all route of the Functions host."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func

from core.config import settings
from triggers.addresses import api_base
from triggers.serving.query import handed_on
from triggers.wiring import resources

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

KEY_HEADER = "x-functions-key"
PAGES = ("text/html", "application/xhtml+xml")


class Mount:
    """Imports and starts the app when the first request comes, once: a worker that only loads files never does.

    `module` has `create_app()`. A start that fails is tried again by the next request.
    """

    def __init__(self, segment: str, module: str) -> None:
        self.segment = segment
        self.module = module
        self._starting = asyncio.Lock()
        self._started: func.AsgiMiddleware | None = None

    async def answer(self, req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        middleware = self._started or await self._start()
        answer: func.HttpResponse = await middleware.handle_async(req, context)
        return answer

    async def _start(self) -> func.AsgiMiddleware:
        async with self._starting:
            if self._started is None:
                app = await asyncio.to_thread(self._create)
                middleware = func.AsgiMiddleware(Addressed(app, self.segment))
                if not await middleware.notify_startup():
                    raise RuntimeError(f"{self.module} did not start")
                self._started = middleware
        return self._started

    def _create(self) -> AsgiApp:
        """In a thread: importing takes a second, and the schema that is read may have to be made first."""
        resources()
        app: AsgiApp = importlib.import_module(self.module).create_app()
        return app


class Addressed:
    """Tells the app where it is mounted, as the client sees it, so that every link it makes holds."""

    def __init__(self, app: AsgiApp, segment: str) -> None:
        self.app = app
        self.segment = segment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.app({**scope, **self.address(scope)}, receive, send)
        else:
            await self.app(scope, lambda: until_the_end(receive), send)

    def address(self, scope: Scope) -> Scope:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        called = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        public = urlsplit(f"{api_base(called, headers, settings())}/{self.segment}")
        rest = scope["path"][len(f"{settings().route_prefix}/{self.segment}") :] or "/"
        return {
            "scheme": public.scheme,
            "server": (public.hostname, public.port or (443 if public.scheme == "https" else 80)),
            "root_path": public.path,
            "path": public.path + rest,
            "raw_path": (public.path + rest).encode(),
            "query_string": handed_on(scope["query_string"], key_in_header=KEY_HEADER in headers),
            "headers": list(headers_for(headers, public.netloc)),
        }


async def until_the_end(receive: Receive) -> Any:
    """A worker that stops cancels what waits; nobody tells its apps to shut down."""
    try:
        return await receive()
    except asyncio.CancelledError:
        return {"type": "lifespan.shutdown"}


def headers_for(headers: dict[str, str], host: str) -> Iterator[Header]:
    """The app's own: the proxy's word is in the address already, and nobody gets HTML, which would load from a CDN."""
    for name, value in headers.items():
        if name == "accept":
            kept = [part for part in value.split(",") if not part.strip().lower().startswith(PAGES)]
            yield b"accept", (",".join(kept) or "*/*").encode("latin-1")
        elif name != "host" and not name.startswith(("x-forwarded-", "x-functions-")) and name != "forwarded":
            yield name.encode(), value.encode("latin-1")
    yield b"host", host.encode()
