"""The host, and the bus it listens to, as processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender

ROOT = Path(__file__).parents[3]
SAMPLE_APP = Path(__file__).parent / "sample_app"
LOCK_SECONDS = 1.0
MAX_DELIVERIES = 3
GRACE_SECONDS = 2.5
LOCAL_SETTINGS = {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "ORDERS_QUEUE": "orders",
    "SCHEDULE": "0 0 0 30 12 *",
    "ONLY_IN_THE_FILE": "from the file",
    "IN_BOTH": "from the file",
}

Record = dict[str, Any]


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """What the condition gives once it is truthy."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return outcome


class Running:
    """A module of the local stack that runs until the block ends."""

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.environment = {**os.environ, **environment}
        self.log_file = folder / "log"
        self.ready_file = folder / "port"
        self.port = 0

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> Self:
        self.ready_file.unlink(missing_ok=True)
        ready = ["--port", str(self.port), "--ready-file", str(self.ready_file)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.name, *self.arguments(), *ready],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self.ready_or_over, f"{self.name} to be ready", seconds=30)
        assert self.process.poll() is None, self.log()
        self.port = int(self.ready_file.read_text())
        return self

    def ready_or_over(self) -> bool:
        return self.ready_file.exists() or self.process.poll() is not None

    def log(self) -> str:
        return self.log_file.read_text()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        # Killed: a stop in good order takes seconds, and the tests that are about it ask for it.
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class RunningBus(Running):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "local.servicebus", {})
        self.config = folder / "queues.json"
        self.database = folder / "messages.db"
        properties = {"LockDuration": f"PT{LOCK_SECONDS}S", "MaxDeliveryCount": MAX_DELIVERIES}
        queues = [{"Name": name, "Properties": properties} for name in ("orders", *(f"queue-{n}" for n in range(12)))]
        self.config.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "tests", "Queues": queues}]}}))

    def arguments(self) -> list[str]:
        return ["--config", str(self.config), "--database", str(self.database)]

    @property
    def connection(self) -> str:
        key = "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local"
        return f"Endpoint=sb://localhost:{self.port};{key};UseDevelopmentEmulator=true"


class RunningHost(Running):
    """The host with a copy of the sample app, which writes down what happens to it."""

    def __init__(self, folder: Path, bus: RunningBus, **environment: str) -> None:
        self.records_file = folder / "records"
        settings = {"ServiceBusConnection": bus.connection, "RECORDS": str(self.records_file)}
        super().__init__(folder, "local.host", settings | environment)
        self.app = folder / "app"
        shutil.copytree(SAMPLE_APP, self.app)
        (self.app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": LOCAL_SETTINGS}))
        self.bus = bus
        self.sender: ServiceBusSender | None = None
        self.to_close = ExitStack()
        self.queue = environment.get("ORDERS_QUEUE", LOCAL_SETTINGS["ORDERS_QUEUE"])

    def arguments(self) -> list[str]:
        return ["--app", str(self.app), "--grace", str(GRACE_SECONDS)]

    def start(self) -> Self:
        super().start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api", timeout=30, trust_env=False)
        self.to_close.enter_context(self.http)
        return self

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def send(self, *orders: Record, **properties: Any) -> None:
        if self.sender is None:
            client = ServiceBusClient.from_connection_string(self.bus.connection, retry_backoff_factor=0.1)
            self.sender = self.to_close.enter_context(self.to_close.enter_context(client).get_queue_sender(self.queue))
        for order in orders:
            self.sender.send_messages(ServiceBusMessage(json.dumps({"sent": time.time(), **order}), **properties))

    def __exit__(self, *error: object) -> None:
        self.to_close.close()
        super().__exit__(*error)

    def records(self, kind: str, **fields: Any) -> list[Record]:
        """What the app wrote down of that kind, with those fields."""
        lines = self.records_file.read_text().splitlines() if self.records_file.exists() else []
        wanted = {"kind": kind, **fields}
        return [record for record in map(json.loads, lines) if wanted.items() <= record.items()]

    def record(self, kind: str, seconds: float = 10, **fields: Any) -> Record:
        """The first such record, waited for."""
        found: list[Record] = wait_until(lambda: self.records(kind, **fields), f"{kind} {fields}", seconds)
        return found[0]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()
