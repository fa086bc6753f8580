"""The queues, read from a file in the official Service Bus emulator's format."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")

FEATURES_NOT_OFFERED = ("RequiresSession", "ForwardTo", "ForwardDeadLetteredMessagesTo")


class BadConfig(ValueError):
    """The configuration cannot be used; the message names the key."""


@dataclass(frozen=True)
class QueueConfig:
    """One queue's rules; times in milliseconds.

    `time_to_live` None: messages never expire. `duplicate_window` None: duplicates are not looked for.
    """

    name: str
    lock_duration: int = 60_000
    max_delivery_count: int = 10
    time_to_live: int | None = None
    dead_letter_on_expiration: bool = False
    duplicate_window: int | None = None


def load_config(path: Path) -> list[QueueConfig]:
    """Every queue of every namespace in the file. Raises BadConfig."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadConfig(f"{path}: is not JSON: {error}") from error
    queues = _queues(Section(document, ""))
    if not queues:
        raise BadConfig("UserConfig.Namespaces: names no queue")
    names = [queue.name.lower() for queue in queues]
    for name in names:
        if names.count(name) > 1:
            raise BadConfig(f"UserConfig.Namespaces: queue '{name}' is named twice")
    return queues


def _queues(document: "Section") -> list[QueueConfig]:
    namespaces = document.section("UserConfig").sections("Namespaces")
    return [_queue(queue) for namespace in namespaces for queue in namespace.sections("Queues")]


def _queue(queue: "Section") -> QueueConfig:
    properties = queue.section("Properties")
    for feature in FEATURES_NOT_OFFERED:
        if properties.values.get(feature):
            raise BadConfig(f"{properties.key(feature)}: this stand-in does not offer it")
    detects = properties.boolean("RequiresDuplicateDetection")
    window = properties.duration("DuplicateDetectionHistoryTimeWindow") or 600_000
    return QueueConfig(
        name=queue.string("Name"),
        lock_duration=properties.duration("LockDuration") or 60_000,
        max_delivery_count=properties.positive("MaxDeliveryCount", 10),
        time_to_live=properties.duration("DefaultMessageTimeToLive"),
        dead_letter_on_expiration=properties.boolean("DeadLetteringOnMessageExpiration"),
        duplicate_window=window if detects else None,
    )


class Section:
    """A JSON object that knows where it stands, so that a complaint can name the key."""

    def __init__(self, values: Any, path: str) -> None:
        if not isinstance(values, Mapping):
            raise BadConfig(f"{path or 'the document'}: must be an object")
        self.values: Mapping[str, Any] = values
        self.path = path

    def key(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def section(self, name: str) -> "Section":
        return Section(self.values.get(name, {}), self.key(name))

    def sections(self, name: str) -> list["Section"]:
        values = self.values.get(name, [])
        if not isinstance(values, list):
            raise BadConfig(f"{self.key(name)}: must be a list")
        return [Section(value, f"{self.key(name)}[{index}]") for index, value in enumerate(values)]

    def string(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise BadConfig(f"{self.key(name)}: must be a name")
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise BadConfig(f"{self.key(name)}: must be true or false")
        return value

    def positive(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadConfig(f"{self.key(name)}: must be a whole number of at least 1")
        return value

    def duration(self, name: str) -> int | None:
        """Milliseconds of an ISO 8601 duration in days, hours, minutes and seconds."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        match = DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or not any(match.groups()):
            raise BadConfig(f"{self.key(name)}: '{value}' is not an ISO 8601 duration such as PT1M")
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        milliseconds = int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
        if milliseconds <= 0:
            raise BadConfig(f"{self.key(name)}: must be longer than nothing")
        return milliseconds
