"""What a receiver's outcome does to a message."""

import uuid

from . import encoding
from .decoding import Described
from .errors import Refused, not_allowed
from .performatives import ACCEPTED, MODIFIED, REJECTED, RELEASED, Fields, error_info, text_of
from .queues import Queue


def settle(queue: Queue, token: uuid.UUID, state: Described | None) -> int:
    """Do what an outcome asks and return its descriptor: the SDK waits for the same outcome to come back.

    `modified` is an abandon, or a deferral when undeliverable here; `rejected` is a dead-letter.
    """
    if state is None or state.descriptor == ACCEPTED:
        queue.complete(token)
        return ACCEPTED
    if state.descriptor == RELEASED:
        queue.release(token)
    elif state.descriptor == MODIFIED:
        undeliverable_here = Fields(state.value).flag(1)
        (queue.defer if undeliverable_here else queue.abandon)(token)
    elif state.descriptor == REJECTED:
        info = error_info(state)
        reason, description = info.get("DeadLetterReason"), info.get("DeadLetterErrorDescription")
        queue.dead_letter(token, text_of(reason), text_of(description))
    else:
        raise not_allowed(f"The outcome {state.descriptor!r} is not one a queue knows.")
    return int(state.descriptor)


def rejected(refusal: Refused) -> bytes:
    error = encoding.error(refusal.condition, refusal.description)
    return encoding.described(REJECTED, encoding.list_of([error]))
