"""The bus's errors become the project's own, once, at the border."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from core.errors import Rejected, Unavailable


@contextmanager
def translate_errors(queue: str) -> Iterator[None]:
    try:
        yield
    except MessagingEntityNotFoundError as error:
        raise Rejected(f"the queue {queue!r} does not exist", code="queue_missing") from error
    except MessageSizeExceededError as error:
        raise Rejected("the message is larger than the bus accepts", code="message_too_large") from error
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
        raise Unavailable("the bus refused the credentials") from error
    except (ServiceBusError, OSError) as error:
        raise Unavailable("the bus does not answer") from error
