"""A real HTTP server that is told of events, and answers, hangs, drips or redirects as a test wants."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

Json = dict[str, Any]
# What becomes of the nth request (from 0): a status, or a function that answers by itself.
Answering = Callable[[BaseHTTPRequestHandler], object]
Behaviour = Callable[[int], int | Answering]


@dataclass
class Told:
    """One POST as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    def verified(self, secret: str) -> Json:
        """The event, as the library of Standard Webhooks accepts it. Raises WebhookVerificationError."""
        found: Json = Webhook(secret).verify(self.body, self.headers)
        return found


@dataclass
class Receiver:
    url: str
    behaviour: Behaviour
    told: list[Told] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def events(self) -> list[str]:
        return [told.event["type"].removeprefix("vector-etl.job.") for told in list(self.told)]

    def of(self, job_id: str) -> list[Json]:
        return [told.event for told in list(self.told) if told.event["subject"] == job_id]

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """Until the test is over."""
        self.released.wait(60)


def always(status: int) -> Behaviour:
    return lambda _n: status


TAKE = always(204)


@contextmanager
def receiving(behaviour: Behaviour = TAKE) -> Iterator[Receiver]:
    receiver = Receiver("", behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with receiver.lock:
                number = len(receiver.told)
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.told.append(Told(self.path, headers, body))
                receiver.at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
            try:
                self.answer(receiver.behaviour(number))
            finally:
                with receiver.lock:
                    receiver.at_once -= 1

        def answer(self, what: int | Answering) -> None:
            if not isinstance(what, int):
                what(self)
                return
            self.send_response(what)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """What a test expects is no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
