"""HTTP functions behind uvicorn."""

from __future__ import annotations

import contextlib
import hmac
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

import uvicorn

from .pool import InvocationFailed, WorkerPool
from .routing import Route, split_path
from .wire import FunctionInfo, HttpReply, HttpRequest

# The real host's maxRequestBodySize.
MAX_BODY_BYTES = 104_857_600
# Framing is the server's business, whatever the function says.
HEADERS_OF_THE_SERVER = {"content-length", "transfer-encoding", "connection"}
BODILESS = {204, 304}

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger("local.host")


class BodyTooLarge(Exception):
    pass


class ClientGone(Exception):
    pass


@dataclass(frozen=True)
class Endpoint:
    """An HTTP function at its route. No methods means every method."""

    function: str
    route: Route
    template: str
    methods: frozenset[str]
    anonymous: bool

    @classmethod
    def of(cls, function: FunctionInfo, prefix: str) -> Endpoint:
        trigger = function.trigger
        template = "/".join(part for part in (prefix.strip("/"), route_of(function)) if part)
        return cls(
            function=function.name,
            route=Route(template),
            template=template,
            methods=frozenset(method.upper() for method in trigger.get("methods") or []),
            anonymous=str(trigger.get("authLevel", "function")).lower() == "anonymous",
        )


def route_of(function: FunctionInfo) -> str:
    route = function.trigger.get("route")
    return function.name if route is None else str(route).strip("/")


class HttpListener:
    def __init__(self, pool: WorkerPool, functions: Iterable[FunctionInfo], prefix: str, key: str | None) -> None:
        self.pool = pool
        self.key = key
        self.endpoints = sorted(
            (Endpoint.of(function, prefix) for function in functions),
            key=lambda endpoint: endpoint.route.precedence,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        try:
            reply = await self.answer(scope, receive)
        except ClientGone:
            return
        await send_reply(reply, send)

    async def answer(self, scope: Scope, receive: Receive) -> HttpReply:
        endpoint, values = self.find(scope["method"], split_path(scope["raw_path"].decode("latin-1")))
        if endpoint is None:
            return HttpReply(404, [], b"")
        headers = joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        query_string = scope["query_string"].decode("latin-1")
        query = joined(parse_qsl(query_string, keep_blank_values=True))
        if not (endpoint.anonymous or self.admits(headers, query)):
            return HttpReply(401, [], b"")
        try:
            body = await read_body(receive)
        except BodyTooLarge:
            return HttpReply(413, [], b"")
        url = url_of(scope, headers, query_string)
        request = HttpRequest(scope["method"], url, headers, query, values, body)
        try:
            return cast(HttpReply, await self.pool.invoke(endpoint.function, request))
        except InvocationFailed:
            return HttpReply(500, [], b"")

    def find(self, method: str, path: list[str]) -> tuple[Endpoint | None, dict[str, str]]:
        """The first endpoint that takes this path and method. A wrong method is not found, as in the real host."""
        for endpoint in self.endpoints:
            if endpoint.methods and method not in endpoint.methods:
                continue
            values = endpoint.route.match(path)
            if values is not None:
                return endpoint, values
        return None, {}

    def admits(self, headers: dict[str, str], query: dict[str, str]) -> bool:
        if self.key is None:
            return True
        given = headers.get("x-functions-key") or query.get("code") or ""
        return hmac.compare_digest(given.encode(), self.key.encode())


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Repeated names become one, their values joined by commas, as the real host hands them over."""
    values: dict[str, str] = {}
    for name, value in pairs:
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def url_of(scope: Scope, headers: dict[str, str], query_string: str) -> str:
    host = headers.get("host", "localhost")
    path = scope["raw_path"].decode("latin-1")
    return f"{scope['scheme']}://{host}{path}" + (f"?{query_string}" if query_string else "")


async def read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge
        chunks.append(chunk)
        if not event.get("more_body"):
            return b"".join(chunks)


async def send_reply(reply: HttpReply, send: Send) -> None:
    headers = [(name, value) for name, value in reply.headers if name.lower() not in HEADERS_OF_THE_SERVER]
    body = b"" if reply.status in BODILESS else reply.body
    if reply.status not in BODILESS:
        headers.append(("content-length", str(len(body))))
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    """uvicorn, leaving the signals to the host."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def make_server(listener: HttpListener, grace: float) -> Server:
    config = uvicorn.Config(
        cast(Any, listener),
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(grace),
    )
    return Server(config)


def listen(port: int) -> socket.socket:
    """A socket on the loopback address only; port 0 takes any free one. Raises OSError when the port is taken."""
    # The protocol is spelled out because asyncio turns Nagle's algorithm off only where it sees it.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        raise
    return listening
