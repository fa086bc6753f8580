"""What the service answers when it refuses."""


class Refused(Exception):
    """A request the service turns down, with the AMQP condition and the management status the SDK expects."""

    def __init__(self, condition: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description
        self.status = status


def entity_not_found(address: str) -> Refused:
    return Refused("amqp:not-found", f"The messaging entity '{address}' could not be found.", 404)


def not_allowed(description: str) -> Refused:
    return Refused("amqp:not-allowed", description)


def bad_argument(description: str) -> Refused:
    return Refused("com.microsoft:argument-error", description)


def message_not_found(description: str) -> Refused:
    return Refused("com.microsoft:message-not-found", description, 404)


def lock_lost() -> Refused:
    return Refused(
        "com.microsoft:message-lock-lost",
        "The lock supplied is invalid. Either the lock expired, or the message has already been removed.",
        410,
    )
