"""The request/response nodes: `$cbs`, which accepts every token, and a queue's `$management`."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import encoding
from .decoding import DecodeError, decode
from .errors import Refused, bad_argument
from .messages import APPLICATION_PROPERTIES, PROPERTIES, VALUE, read_message, sections
from .performatives import text_of
from .queues import Queue

PEEK_AT_MOST = 1000

Body = dict[Any, Any]

RECEIVE_AND_DELETE = 0
"""receiver-settle-mode `first` in a request for deferred messages."""


@dataclass(frozen=True, slots=True)
class Request:
    message_id: Any
    reply_to: str | None
    operation: str
    body: Body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    description: str
    body: bytes = encoding.NULL
    condition: str | None = None


def read_request(data: bytes) -> Request:
    """Raises DecodeError."""
    values = {section: decode(data, start)[0] for section, start, _ in sections(data)}
    properties = values.get(PROPERTIES) or [None]
    application_properties = values.get(APPLICATION_PROPERTIES) or {}
    body = values.get(VALUE)
    if not isinstance(properties, list) or not isinstance(application_properties, dict):
        raise DecodeError("a request's properties are malformed")
    return Request(
        message_id=properties[0],
        reply_to=text_of(properties[4]) if len(properties) > 4 else None,
        operation=text_of(application_properties.get("operation")) or "",
        body=body if isinstance(body, dict) else {},
    )


def answer(queue: Queue | None, request: Request) -> bytes:
    """The encoded answer: `$cbs` when there is no queue. A refusal is an answer too."""
    if queue is None:
        return _encode(request, Answer(202, "Accepted"), CBS_NAMES)
    try:
        return _encode(request, _perform(queue, request), MANAGEMENT_NAMES)
    except Refused as refusal:
        refused = Answer(refusal.status, refusal.description, condition=refusal.condition)
        return _encode(request, refused, MANAGEMENT_NAMES)


CBS_NAMES = ("status-code", "status-description", "error-condition")
MANAGEMENT_NAMES = ("statusCode", "statusDescription", "errorCondition")


def _encode(request: Request, answer: Answer, names: tuple[str, str, str]) -> bytes:
    status, description, condition = (encoding.string(name) for name in names)
    properties = [(status, encoding.int32(answer.status)), (description, encoding.string(answer.description))]
    if answer.condition is not None:
        properties.append((condition, encoding.symbol(answer.condition)))
    # The correlation id is the sixth property.
    correlation = [*[encoding.NULL] * 5, encoding.message_id(request.message_id)]
    return b"".join(
        [
            encoding.described(PROPERTIES, encoding.list_of(correlation)),
            encoding.described(APPLICATION_PROPERTIES, encoding.map_of(properties)),
            encoding.described(VALUE, answer.body),
        ]
    )


def _perform(queue: Queue, request: Request) -> Answer:
    operation = OPERATIONS.get(request.operation)
    if operation is None:
        raise Refused("amqp:not-implemented", f"The operation '{request.operation}' is not offered.", 501)
    return operation(queue, request.body)


def _renew_locks(queue: Queue, body: Body) -> Answer:
    expirations = [queue.renew(token) for token in _tokens(body)]
    return _ok([("expirations", encoding.array_of_timestamps(expirations))])


def _peek(queue: Queue, body: Body) -> Answer:
    first = _integer(body.get("from-sequence-number"), "from-sequence-number")
    count = _integer(body.get("message-count"), "message-count")
    messages = queue.peek(first, min(max(count, 1), PEEK_AT_MOST))
    if not messages:
        return Answer(204, "No messages", condition="com.microsoft:message-not-found")
    return _ok_messages([[("message", encoding.binary(message))] for message in messages])


def _schedule(queue: Queue, body: Body) -> Answer:
    messages = [read_message(_message(item)) for item in _list(body, "messages")]
    numbers = [queue.put(message) for message in messages]
    return _ok([("sequence-numbers", encoding.array_of_longs(numbers))])


def _cancel_scheduled(queue: Queue, body: Body) -> Answer:
    queue.cancel_scheduled(_sequence_numbers(body))
    return Answer(200, "OK")


def _receive_deferred(queue: Queue, body: Body) -> Answer:
    numbers = _sequence_numbers(body)
    if body.get("receiver-settle-mode") == RECEIVE_AND_DELETE:
        return _ok_messages([[("message", encoding.binary(message))] for message in queue.take_deferred(numbers)])
    locked = queue.lock_deferred(numbers)
    return _ok_messages(
        [
            [("lock-token", encoding.uuid_value(token)), ("message", encoding.binary(message))]
            for token, message in locked
        ]
    )


def _update_disposition(queue: Queue, body: Body) -> Answer:
    """`defered` is the protocol's own spelling."""
    status = text_of(body.get("disposition-status"))
    settle: dict[str | None, Callable[[uuid.UUID], None]] = {
        "completed": queue.complete,
        "abandoned": queue.abandon,
        "defered": queue.defer,
        "suspended": lambda token: queue.dead_letter(
            token, text_of(body.get("deadletter-reason")), text_of(body.get("deadletter-description"))
        ),
    }
    if status not in settle:
        raise bad_argument(f"disposition-status '{status}' is not known")
    for token in _tokens(body):
        settle[status](token)
    return Answer(200, "OK")


OPERATIONS: dict[str, Callable[[Queue, Body], Answer]] = {
    "com.microsoft:renew-lock": _renew_locks,
    "com.microsoft:peek-message": _peek,
    "com.microsoft:schedule-message": _schedule,
    "com.microsoft:cancel-scheduled-message": _cancel_scheduled,
    "com.microsoft:receive-by-sequence-number": _receive_deferred,
    "com.microsoft:update-disposition": _update_disposition,
}


def _ok(pairs: list[tuple[str, bytes]]) -> Answer:
    return Answer(200, "OK", _map(pairs))


def _ok_messages(messages: list[list[tuple[str, bytes]]]) -> Answer:
    return _ok([("messages", encoding.list_of([_map(pairs) for pairs in messages]))])


def _map(pairs: list[tuple[str, bytes]]) -> bytes:
    return encoding.map_of((encoding.string(key), value) for key, value in pairs)


def _list(body: Body, key: str) -> list[Any]:
    value = body.get(key)
    if not isinstance(value, list):
        raise bad_argument(f"{key} must be a list")
    return value


def _integer(value: Any, key: str) -> int:
    """A signed 64-bit integer, which is what the store can compare."""
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise bad_argument(f"{key} must be an integer")
    return value


def _sequence_numbers(body: Body) -> list[int]:
    return [_integer(number, "sequence-numbers") for number in _list(body, "sequence-numbers")]


def _tokens(body: Body) -> list[uuid.UUID]:
    tokens = _list(body, "lock-tokens")
    if not all(isinstance(token, uuid.UUID) for token in tokens):
        raise bad_argument("lock-tokens must be uuids")
    return tokens


def _message(item: Any) -> bytes:
    message = item.get("message") if isinstance(item, dict) else None
    if not isinstance(message, bytes):
        raise bad_argument("messages must hold encoded messages")
    return message
