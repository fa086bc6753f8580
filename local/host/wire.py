"""What the listener and its workers say to each other: pickled dataclasses, each behind its length."""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass, field
from typing import Any

LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class FunctionInfo:
    """One indexed function: its name and its trigger's binding as function.json would hold it."""

    name: str
    trigger: dict[str, Any]

    @property
    def trigger_type(self) -> str:
        return str(self.trigger["type"])


@dataclass(frozen=True)
class HttpRequest:
    method: str
    url: str
    headers: dict[str, str]
    query: dict[str, str]
    route_params: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpReply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class BusMessage:
    """A Service Bus message; metadata holds plain JSON values under the names the real host gives them."""

    body: bytes
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TimerTick:
    """The timer's state, in the JSON shape the real host sends."""

    state: dict[str, Any]


Payload = HttpRequest | BusMessage | TimerTick


@dataclass(frozen=True)
class Ready:
    functions: list[FunctionInfo]


@dataclass(frozen=True)
class NotReady:
    reason: str


@dataclass(frozen=True)
class Invoke:
    invocation_id: str
    function: str
    payload: Payload


@dataclass(frozen=True)
class Succeeded:
    invocation_id: str
    reply: HttpReply | None = None


@dataclass(frozen=True)
class Failed:
    invocation_id: str
    error: str
    traceback: str = field(repr=False, default="")


@dataclass(frozen=True)
class Stop:
    """Leave once nothing runs any more."""


FromWorker = Ready | NotReady | Succeeded | Failed
ToWorker = Invoke | Stop


async def receive(reader: asyncio.StreamReader) -> Any:
    """The next object. Raises asyncio.IncompleteReadError or ConnectionError when the other side is gone."""
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return pickle.loads(await reader.readexactly(length))


def send(writer: asyncio.StreamWriter, message: FromWorker | ToWorker) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    writer.write(LENGTH.pack(len(data)) + data)
