"""All queues of the namespace, found by address."""

from collections.abc import Iterable
from dataclasses import replace

from .config import QueueConfig
from .errors import entity_not_found
from .queues import DEAD_LETTER_SUFFIX, Queue
from .store import Store

UNLIMITED_DELIVERIES = 2**31


class Namespace:
    def __init__(self, store: Store, configs: Iterable[QueueConfig]) -> None:
        self.queues: dict[str, Queue] = {}
        for config in configs:
            dead = Queue(store, _dead_letter_config(config), dead_letters=None)
            queue = Queue(store, config, dead_letters=dead)
            self.queues |= {queue.name: queue, dead.name: dead}

    def find(self, address: str) -> Queue:
        """The queue at `amqps://host/name`, `name` or either with `/$DeadLetterQueue`. Raises Refused."""
        path = address.partition("://")[2].partition("/")[2] if "://" in address else address
        queue = self.queues.get(path.strip("/").lower())
        if queue is None:
            raise entity_not_found(address)
        return queue

    def next_wake(self) -> int | None:
        wakes = [wake for queue in self.queues.values() if (wake := queue.next_wake()) is not None]
        return min(wakes, default=None)

    def forget_wakes(self) -> None:
        for queue in self.queues.values():
            queue.forget_wake()

    def wake_due(self) -> None:
        for queue in self.queues.values():
            queue.wake_due()

    def deliver(self) -> bool:
        """True: there may be more to hand out, in another turn."""
        # Not a generator: every queue gets its turn.
        unfinished = [queue.deliver() for queue in self.queues.values()]
        return any(unfinished)

    def forget_old_ids(self) -> None:
        for queue in self.queues.values():
            queue.forget_old_ids()


def _dead_letter_config(config: QueueConfig) -> QueueConfig:
    """A dead-letter queue keeps its messages until somebody settles them."""
    return replace(
        config,
        name=config.name + DEAD_LETTER_SUFFIX,
        max_delivery_count=UNLIMITED_DELIVERIES,
        time_to_live=None,
        dead_letter_on_expiration=False,
        duplicate_window=None,
    )
