"""A received Service Bus message as the Service Bus extension describes it to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage

from .wire import BusMessage


def describe(message: ServiceBusReceivedMessage) -> BusMessage:
    """Body and metadata, under the names of the extension's binding contract.

    The reason of a dead-lettered message is, as in Azure, among its application properties.
    """
    properties = text_keys(message.application_properties or {})
    metadata = {
        "MessageId": message.message_id,
        # The SDK counts earlier failed deliveries, .NET counts this one too.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "SequenceNumber": message.sequence_number,
        "LockToken": str(message.lock_token),
        "EnqueuedTimeUtc": utc_text(message.enqueued_time_utc),
        "ExpiresAtUtc": utc_text(message.expires_at_utc),
        "DeadLetterSource": message.dead_letter_source,
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "Subject": message.subject,
        "Label": message.subject,
        "To": message.to,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "SessionId": message.session_id,
        "PartitionKey": message.partition_key,
        "ApplicationProperties": properties,
        "UserProperties": properties,
    }
    return BusMessage(body_of(message), {name: value for name, value in metadata.items() if value is not None})


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    body = message.body
    return body if isinstance(body, bytes) else b"".join(body)


def text_keys(properties: Mapping[Any, Any]) -> dict[str, Any]:
    return {text(name): jsonable(value) for name, value in properties.items()}


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return text(value)


def utc_text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None
