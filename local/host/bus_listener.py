"""Service Bus functions: receive under a lock, run, settle."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime

from azure.identity.aio import DefaultAzureCredential
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessageAlreadySettled, MessageLockLostError

from .bus_message import describe
from .pool import InvocationFailed, WorkerPool
from .settings import MissingSetting, ServiceBusOptions, resolve
from .stopping import sleep_unless_stopping, unless_stopping
from .wire import FunctionInfo

RECEIVE_WAIT = 60.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
RENEW_RETRY = 1.0
# Of the SDK's own retries; its default of 0.8 s would leave a restarted bus unnoticed for seconds.
RETRY_BACKOFF = 0.05
SHORTEST_RENEWAL = 0.1
DEAD_LETTER_SUFFIX = re.compile(r"/\$deadletterqueue$", re.IGNORECASE)

log = logging.getLogger("local.host")


def connect(connection: str) -> ServiceBusClient:
    """The client a binding's `connection` means: a connection string, or a namespace and an identity.

    Raises MissingSetting.
    """
    for name in (connection, f"AzureWebJobs{connection}"):
        if text := os.environ.get(name):
            return ServiceBusClient.from_connection_string(text, retry_backoff_factor=RETRY_BACKOFF)
        if namespace := os.environ.get(f"{name}__fullyQualifiedNamespace"):
            client_id = os.environ.get(f"{name}__clientId")
            credential = DefaultAzureCredential(managed_identity_client_id=client_id)
            return ServiceBusClient(namespace, credential, retry_backoff_factor=RETRY_BACKOFF)
    raise MissingSetting(f"{connection} (or {connection}__fullyQualifiedNamespace) is not an app setting")


class BusFunction:
    """One Service Bus function: as many receivers as may run at a time, each with its own link and lock.

    A receiver of the SDK is not safe to share between coroutines, so each renews and settles what it received.
    """

    def __init__(self, pool: WorkerPool, function: FunctionInfo, options: ServiceBusOptions) -> None:
        self.pool = pool
        self.name = function.name
        self.options = options
        self.client = connect(str(function.trigger["connection"]))
        self.path = resolve(function.trigger["queueName"])
        self.queue = DEAD_LETTER_SUFFIX.sub("", self.path)
        self.dead_letters = self.path != self.queue
        self.away_since: float | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        try:
            await asyncio.gather(*(self.run_slot(stopping) for _ in range(self.options.max_concurrent_calls)))
        finally:
            with suppress(Exception):
                await self.client.close()

    async def run_slot(self, stopping: asyncio.Event) -> None:
        """Receive for ever, reconnecting with growing pauses while the bus is away."""
        pause = FIRST_PAUSE
        while not stopping.is_set():
            connected_at = time.monotonic()
            try:
                await self.receive(stopping)
            except Exception as error:  # noqa: BLE001 - whatever the SDK or the network raises, the host stays
                self.note_away(error)
            if time.monotonic() - connected_at > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await sleep_unless_stopping(stopping, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def receive(self, stopping: asyncio.Event) -> None:
        """Take messages one by one until the host stops. Raises what the SDK raises when the bus goes away."""
        async with self.receiver() as receiver:
            self.note_back()
            while not stopping.is_set():
                receiving = receiver.receive_messages(max_message_count=1, max_wait_time=RECEIVE_WAIT)
                for message in await unless_stopping(stopping, receiving) or []:
                    await self.process(receiver, message)

    def receiver(self) -> ServiceBusReceiver:
        return self.client.get_queue_receiver(
            self.queue,
            sub_queue=ServiceBusSubQueue.DEAD_LETTER if self.dead_letters else None,
            prefetch_count=self.options.prefetch_count,
        )

    async def process(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        invocation = asyncio.create_task(self.invoke(message))
        await self.hold_lock(receiver, message, invocation)
        try:
            if not invocation.result():
                await receiver.abandon_message(message)
            elif self.options.auto_complete_messages:
                await receiver.complete_message(message)
        except (MessageLockLostError, MessageAlreadySettled) as error:
            log.warning("%s: message %s was no longer ours to settle: %s", self.name, message.message_id, error)

    async def invoke(self, message: ServiceBusReceivedMessage) -> bool:
        """Whether the function succeeded."""
        try:
            await self.pool.invoke(self.name, describe(message))
        except InvocationFailed:
            return False
        return True

    async def hold_lock(
        self,
        receiver: ServiceBusReceiver,
        message: ServiceBusReceivedMessage,
        invocation: asyncio.Task[bool],
    ) -> None:
        """Wait for the invocation, renewing the lock at half of its time, up to maxAutoLockRenewalDuration."""
        limit = self.options.max_auto_lock_renewal_duration
        renew_until = time.monotonic() + limit.total_seconds() if limit is not None else float("inf")
        wait: float | None = time_to_renewal(message)
        while True:
            await asyncio.wait({invocation}, timeout=wait)
            if invocation.done():
                return
            if time.monotonic() > renew_until:
                log.warning("%s: lock of message %s is renewed no longer", self.name, message.message_id)
                wait = None
            else:
                wait = await self.renew(receiver, message)

    async def renew(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> float | None:
        """Renew the lock; returns the seconds until it should be done again, None when it is lost."""
        try:
            await receiver.renew_message_lock(message)
        except MessageLockLostError:
            log.error("%s: lost the lock of message %s", self.name, message.message_id)
            return None
        except Exception as error:  # noqa: BLE001 - the lock may outlive a broken connection, so try again
            log.warning("%s: could not renew message %s: %s", self.name, message.message_id, brief(error))
            return RENEW_RETRY
        return time_to_renewal(message)

    def note_away(self, error: Exception) -> None:
        if self.away_since is None:
            self.away_since = time.monotonic()
            log.error("%s: cannot receive from %s, will keep trying: %s", self.name, self.path, brief(error))

    def note_back(self) -> None:
        if self.away_since is not None:
            log.info("%s: receiving from %s again", self.name, self.path)
            self.away_since = None


def time_to_renewal(message: ServiceBusReceivedMessage) -> float:
    if message.locked_until_utc is None:
        return RENEW_RETRY
    left = (message.locked_until_utc - datetime.now(UTC)).total_seconds()
    return max(left / 2, SHORTEST_RENEWAL)


def brief(error: Exception) -> str:
    """One line: the SDK's messages run over several."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
