"""The Service Bus stand-in, which the unmodified azure-servicebus SDK talks to."""

import sys

from local.stack.layout import Layout
from local.stack.part import Part
from local.stack.ports import answers

CONFIG = "local/servicebus/Config.json"
JOBS_QUEUE = "geospatial-jobs"
VECTOR_TASKS_QUEUE = "vector-tasks"


class ServiceBus(Part):
    """A broker whose messages survive its restart."""

    def __init__(self, layout: Layout, name: str = "servicebus") -> None:
        """Another name is another broker, with queues of its own."""
        super().__init__(layout)
        self.name = name

    def launch(self, port: int) -> None:
        ready = self.layout.folder("run") / f"{self.name}.ready"
        ready.unlink(missing_ok=True)
        messages = self.layout.folder(self.name) / "messages.db"
        command = [sys.executable, "-m", "local.servicebus", "--config", CONFIG, "--database", str(messages)]
        self.processes.launch(self.name, [*command, "--port", str(port), "--ready-file", str(ready)], port=port)

    def healthy(self) -> bool:
        return (self.layout.folder("run") / f"{self.name}.ready").exists() and answers(self.port)

    @property
    def connection_string(self) -> str:
        key = "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local"
        return f"Endpoint=sb://localhost:{self.port};{key};UseDevelopmentEmulator=true"

    def settings(self) -> dict[str, str]:
        return {
            "ServiceBusConnection": self.connection_string,
            "JOBS_QUEUE": JOBS_QUEUE,
            "VECTOR_TASKS_QUEUE": VECTOR_TASKS_QUEUE,
        }
