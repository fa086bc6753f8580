"""The stand-in as a process of its own, and a queue on it with the real SDK at both ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)

ROOT = Path(__file__).parents[3]

LOCK_SECONDS = 1.0
ID_WINDOW_SECONDS = 0.8

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"LockDuration": "PT1M", "MaxDeliveryCount": 10},
    "short-lock": {"LockDuration": f"PT{LOCK_SECONDS}S", "MaxDeliveryCount": 3},
    "once-only": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT10M"},
    "forgetful": {
        "RequiresDuplicateDetection": True,
        "DuplicateDetectionHistoryTimeWindow": f"PT{ID_WINDOW_SECONDS}S",
    },
    "dead-lettering": {"DeadLetteringOnMessageExpiration": True},
    "short-lived": {"DefaultMessageTimeToLive": "PT0.3S", "DeadLetteringOnMessageExpiration": True},
}
QUEUES_OF_A_KIND = 12


def write_config(path: Path) -> Path:
    queues = [
        {"Name": f"{kind}-{number}", "Properties": properties}
        for kind, properties in KINDS.items()
        for number in range(QUEUES_OF_A_KIND)
    ]
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "tests", "Queues": queues}]}}))
    return path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


class StandIn:
    """One server process. It keeps its port and its database across restarts."""

    def __init__(self, folder: Path) -> None:
        self.config = write_config(folder / "queues.json")
        self.database = folder / "messages.db"
        self.ready_file = folder / "port"
        self.log = folder / "server.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        options = {"config": self.config, "database": self.database, "port": self.port, "ready-file": self.ready_file}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.servicebus", *arguments], cwd=ROOT, stdout=log, stderr=log
            )
        wait_until(lambda: self.ready_file.exists() or self.has_ended(), "the server to listen")
        assert not self.has_ended(), self.log.read_text()
        self.port = int(self.ready_file.read_text())

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def crash(self) -> None:
        self.stop(signal.SIGKILL)

    def end(self) -> None:
        if not self.has_ended():
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://localhost:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=any;UseDevelopmentEmulator=true"
        )

    def client(self) -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(
            self.connection_string, retry_total=3, retry_mode="fixed", retry_backoff_factor=0.1
        )

    def open_queue(self, name: str) -> "QueueUnderTest":
        """Opening takes the SDK half a second, so all ends open at once. The client closes them."""
        client = self.client()
        with ThreadPoolExecutor(3) as pool:
            sender = pool.submit(client.get_queue_sender(name).__enter__)
            receiver = pool.submit(client.get_queue_receiver(name).__enter__)
            dead_letters = client.get_queue_receiver(name, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
            pool.submit(dead_letters.__enter__)
            return QueueUnderTest(client, name, sender.result(), receiver.result(), dead_letters)


class QueueUnderTest:
    """A queue seen through the SDK: a sender, a peek-lock receiver, and one for its dead letters."""

    def __init__(
        self,
        client: ServiceBusClient,
        name: str,
        sender: ServiceBusSender,
        receiver: ServiceBusReceiver,
        dead_letters: ServiceBusReceiver,
    ) -> None:
        self.client = client
        self.name = name
        self.sender = sender
        self.receiver = receiver
        self.dead_letters = dead_letters

    def send(self, *bodies: str, **properties: Any) -> None:
        """One message for each body, one after the other."""
        for body in bodies:
            self.sender.send_messages(ServiceBusMessage(body, **properties))

    def receive(self, seconds: float = 5) -> ServiceBusReceivedMessage:
        """The next message, which has to come."""
        messages = self.receiver.receive_messages(1, max_wait_time=seconds)
        assert messages, f"no message within {seconds} s"
        return messages[0]

    def receive_many(self, count: int) -> list[ServiceBusReceivedMessage]:
        messages: list[ServiceBusReceivedMessage] = []
        while len(messages) < count:
            more = self.receiver.receive_messages(count - len(messages), max_wait_time=5)
            assert more, f"{len(messages)} of {count} messages came"
            messages += more
        return messages

    def is_empty(self) -> bool:
        """Nothing waits now. A message on its way would arrive within milliseconds."""
        return not self.receiver.receive_messages(1, max_wait_time=0.3)

    def bodies(self) -> list[str]:
        """Everything the queue holds, in whatever state, by peeking."""
        return [str(message) for message in self.receiver.peek_messages(100, sequence_number=1)]

    def dead_letter(self, seconds: float = 5) -> ServiceBusReceivedMessage:
        """The oldest dead letter, which has to come; it is completed."""
        messages = self.dead_letters.receive_messages(1, max_wait_time=seconds)
        assert messages, f"no dead letter within {seconds} s"
        self.dead_letters.complete_message(messages[0])
        return messages[0]


def texts(messages: Sequence[ServiceBusReceivedMessage]) -> list[str]:
    return [str(message) for message in messages]
