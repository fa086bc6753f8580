"""Between the wire's payloads and the objects a function sees, through azure-functions' own converters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azure.functions.meta import Datum

from .indexing import IndexedFunction, converter_for
from .wire import BusMessage, HttpReply, HttpRequest, Payload


def decode(trigger_type: str, payload: Payload) -> Any:
    """The trigger argument: func.HttpRequest, func.ServiceBusMessage or func.TimerRequest."""
    datum, metadata = to_datum(payload)
    return converter_for(trigger_type).decode(datum, trigger_metadata=metadata)


def to_datum(payload: Payload) -> tuple[Datum, dict[str, Datum]]:
    if isinstance(payload, HttpRequest):
        return http_datum(payload), {}
    if isinstance(payload, BusMessage):
        metadata = {name: Datum(json.dumps(value), "json") for name, value in payload.metadata.items()}
        return body_datum(payload.body), metadata
    return Datum(json.dumps(payload.state), "json"), {}


def body_datum(body: bytes) -> Datum:
    """The real host sends text as text and the rest as bytes."""
    try:
        return Datum(body.decode(), "string")
    except UnicodeDecodeError:
        return Datum(body, "bytes")


def http_datum(request: HttpRequest) -> Datum:
    fields = {
        "method": Datum(request.method, "string"),
        "url": Datum(request.url, "string"),
        "headers": strings(request.headers),
        "query": strings(request.query),
        "params": strings(request.route_params),
        "body": Datum(request.body, "bytes"),
    }
    return Datum(fields, "http")


def strings(mapping: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in mapping.items()}


def encode(function: IndexedFunction, result: Any) -> HttpReply | None:
    """The reply of an HTTP function; other triggers return nothing. Raises TypeError on a value nobody takes."""
    if not function.returns_http:
        if result is not None:
            raise TypeError(f"{function.info.name} has no $return binding but returned {type(result).__name__}")
        return None
    if result is None:
        return HttpReply(204, [], b"")
    datum = converter_for("http").encode(result, expected_type=None)
    if datum.type != "http":
        return HttpReply(200, [("content-type", "text/plain; charset=utf-8")], datum.value.encode())
    return http_reply(datum.value)


def http_reply(fields: dict[str, Any]) -> HttpReply:
    headers = [(name, value.value) for name, value in fields["headers"].items()]
    for jar in fields["cookies"] or []:
        headers += [("set-cookie", morsel.OutputString()) for morsel in jar.values()]
    return HttpReply(int(fields["status_code"].value), headers, fields["body"].value or b"")
