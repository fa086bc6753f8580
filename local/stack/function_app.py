"""The Function App: under Azure Functions Core Tools when installed, else under the project's own small host."""

import base64
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from local.setup.programs import functions_core_tools
from local.stack.layout import Layout
from local.stack.part import Part
from local.stack.ports import HOST

READY_PATH = "/api/readyz"
# Two worker processes, as the two cores of a small plan would have.
WORKERS = "2"


class FunctionApp(Part):
    """The app itself. `settings_of_others` gives the addresses of the other parts when it starts."""

    name = "app"
    start_seconds = 90
    poll_seconds = 0.2
    stop_seconds = 30

    def __init__(
        self, layout: Layout, settings_of_others: Callable[[], dict[str, str]], *, preferred_port: int | None = None
    ) -> None:
        super().__init__(layout)
        self.settings_of_others = settings_of_others
        self.preferred_port = preferred_port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def key(self) -> str:
        """The function key that opens every endpoint."""
        return self.layout.secret("functions")

    @property
    def notify_secret(self) -> str:
        """What signs the events."""
        return "whsec_" + base64.b64encode(self.layout.secret("notify").encode()).decode()

    def settings(self) -> dict[str, str]:
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "FUNCTIONS_WORKER_PROCESS_COUNT": WORKERS,
            "FUNCTIONS_HOST_KEY": self.key,
            "NOTIFY_HOSTS": "http://localhost:*,http://127.0.0.1:*",
            "NOTIFY_SECRETS": self.notify_secret,
        }

    def environment(self) -> dict[str, str]:
        """All settings the app starts with; on Azure these are its application settings."""
        return self.settings_of_others() | self.settings()

    @property
    def up(self) -> bool:
        """Healthy, and with settings that hold still; else it has to start again."""
        running = self.running
        return running is not None and running.settings == digest(self.environment()) and self.healthy()

    def launch(self, port: int) -> None:
        env = self.environment()
        tools = functions_core_tools()
        command = [tools, "start", "--port", str(port)] if tools else self.small_host(port)
        if tools:
            make_local_settings(self.layout.root)
        self.processes.launch(self.name, command, port=port, env=env | virtual_environment(), settings=digest(env))

    def small_host(self, port: int) -> list[str]:
        ready = self.layout.folder("run") / f"{self.name}.ready"
        ready.unlink(missing_ok=True)
        app = ["--app", str(self.layout.root)]
        return [sys.executable, "-m", "local.host", *app, "--port", str(port), "--ready-file", str(ready)]

    def healthy(self) -> bool:
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", READY_PATH, headers={"x-functions-key": self.key})
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def digest(settings: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def make_local_settings(root: Path) -> None:
    """Core Tools wants local.settings.json; what it says there, our environment overrides."""
    settings = root / "local.settings.json"
    if not settings.exists():
        shutil.copyfile(root / "local.settings.example.json", settings)


def virtual_environment() -> dict[str, str]:
    """Lets Core Tools find the Python we run under, with the packages of the app."""
    if sys.prefix == sys.base_prefix:
        return {}
    return {"VIRTUAL_ENV": sys.prefix, "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', '')}"}
