"""One POST to somebody else's server, which may be slow, wrong or hostile."""

import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from core.errors import AppError
from core.receivers import PORTS, Receivers

# Of an answer's body, which says nothing to us.
MOST_READ = 4096
SECRET_PREFIX = "whsec_"


@dataclass(frozen=True)
class Answer:
    """`status` is None when there was none; `problem` when the event was taken."""

    status: int | None
    problem: str | None

    @property
    def gone(self) -> bool:
        """The receiver wants no more of this."""
        return self.status == 410


class Webhook:
    """`seconds`: the most that one POST may take, after its host's name was looked up."""

    def __init__(self, receivers: Receivers, *, seconds: float = 10.0, context: ssl.SSLContext | None = None) -> None:
        self.receivers = receivers
        self.seconds = seconds
        self.given_context = context

    @cached_property
    def context(self) -> ssl.SSLContext:
        return self.given_context or ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Taken is what is answered with 2xx. Redirects are not followed: the list says who is told, not a receiver."""
        deadline = time.monotonic() + self.seconds
        try:
            self.receivers.check(url)
            parts = urlsplit(url)
            addresses = self.addresses_of(url, parts)
            deadline = time.monotonic() + self.seconds
            status = self.status_of(parts, addresses, headers, body, deadline)
        except AppError as refusal:
            return Answer(None, refusal.message)
        except (OSError, HTTPException, ValueError) as error:
            late = time.monotonic() >= deadline
            return Answer(None, f"no answer within {self.seconds:g} s" if late else reason_of(error))
        taken = 200 <= status < 300
        return Answer(status, None if taken else f"answered {status}" + ", a redirect" * (300 <= status < 400))

    def addresses_of(self, url: str, parts: SplitResult) -> list[str]:
        """All of them must be permitted: which one is taken is not up to us. They are connected to as they are, so that
        another lookup cannot give others. Raises PermissionError."""
        found = socket.getaddrinfo(parts.hostname, port_of(parts), type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        for address in addresses:
            if not self.receivers.permit(url, address):
                raise PermissionError(f"{parts.hostname} leads to {address}, which is not public and not listed")
        return addresses

    def status_of(
        self,
        parts: SplitResult,
        addresses: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> int:
        with closing(connected(addresses, port_of(parts), deadline)) as raw, cut_off(raw, deadline):
            connection = self.connection_on(raw, parts)
            with closing(connection):
                target = parts.path + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", target, body, dict(headers))
                response = connection.getresponse()
                response.read(MOST_READ)
                return response.status

    def connection_on(self, raw: socket.socket, parts: SplitResult) -> HTTPConnection:
        host, port = parts.hostname or "", port_of(parts)
        if parts.scheme == "http":
            connection = HTTPConnection(host, port)
            connection.sock = raw
            return connection
        secure = HTTPSConnection(host, port, context=self.context)
        secure.sock = self.context.wrap_socket(raw, server_hostname=host)
        return secure


def port_of(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def connected(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """To the first that answers. Raises OSError."""
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout=max(0.01, (deadline - time.monotonic()) / 2))
    return socket.create_connection((addresses[-1], port), timeout=max(0.01, deadline - time.monotonic()))


@contextmanager
def cut_off(raw: socket.socket, deadline: float) -> Iterator[None]:
    """A socket's own timeout begins anew with every byte that drips in. TLS takes the socket over: we keep our own."""
    with closing(raw.dup()) as handle:
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut, [handle])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def cut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def reason_of(error: Exception) -> str:
    """Of the errors of sockets, TLS and HTTP: they tell of the connection, not of what was sent."""
    return f"{type(error).__name__}: {error}"[:500]


def signature_headers(secrets: Sequence[str], message_id: str, moment: int, body: bytes) -> dict[str, str]:
    """By each secret, so that receivers can change from one to the next at leisure. Source: Standard Webhooks 1.0."""
    signed = b".".join((message_id.encode(), str(moment).encode(), body))
    signatures = (hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures),
    }


def key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))
