"""All parts together."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from local.stack import database
from local.stack.azurite import Azurite
from local.stack.errors import StackError
from local.stack.function_app import FunctionApp
from local.stack.guard import guarded
from local.stack.layout import Layout
from local.stack.part import Part
from local.stack.postgres import Postgres
from local.stack.processes import Processes
from local.stack.server import DATABASE, Server
from local.stack.servicebus import ServiceBus

# In the order in which they need each other.
PARTS = ("postgres", "azurite", "servicebus", "app")


class Stack:
    """One running system of a checkout. See `local.stack` for how to use it."""

    def __init__(
        self,
        root: Path,
        instance: str = "dev",
        *,
        fast: bool = False,
        http_port: int | None = None,
        own_server: Server | None = None,
    ) -> None:
        """`own_server` is a PostgreSQL of the user's that takes the place of the part `postgres`."""
        self.layout = Layout(root.resolve(), instance)
        self.postgres = Postgres(self.layout, fast=fast)
        self.azurite = Azurite(self.layout)
        self.servicebus = ServiceBus(self.layout)
        self.app = FunctionApp(self.layout, self.settings_for_app, preferred_port=http_port)
        self.own_server = own_server
        self.database = own_server.database if own_server else DATABASE
        self.held = ExitStack()

    def __getitem__(self, name: str) -> Part:
        parts: dict[str, Part] = {part.name: part for part in self.parts}
        if name not in parts:
            raise StackError(f"{name} is not a part of this stack: {', '.join(parts)}")
        return parts[name]

    @property
    def parts(self) -> list[Part]:
        managed: list[Part] = [self.postgres, self.azurite, self.servicebus, self.app]
        return managed[1:] if self.own_server else managed

    @property
    def server(self) -> Server:
        return self.own_server or self.postgres.server

    def start(self, *names: str) -> list[str]:
        """Bring these parts up, all when none is named, and return those that were not. All or nothing.

        Before the app starts its database is migrated.
        """
        started: list[Part] = []
        try:
            for part in [self[name] for name in names] or self.parts:
                if part.up:
                    continue
                # Noted before the start, so that an interrupted one is undone too.
                started.append(part)
                if part is self.app:
                    self.migrate()
                part.start()
        except BaseException:
            for part in reversed(started):
                part.stop()
            raise
        return [part.name for part in started]

    def stop(self) -> None:
        """End all parts and whatever else was started for this instance."""
        for part in reversed(self.parts):
            part.stop()
        Processes(self.layout).end_strays()

    def migrate(self) -> None:
        """Bring the database of the app to what this checkout needs."""
        database.migrate(self.server, self.database, self.layout.root)

    def settings_for_app(self) -> dict[str, str]:
        others = [part for part in self.parts if part is not self.app]
        settings = self.server.settings(self.database)
        return settings | {
            name: value for part in others if part is not self.postgres for name, value in part.settings().items()
        }

    @property
    def env(self) -> dict[str, str]:
        """The settings of all parts that were started, under the names the app reads them by."""
        settings: dict[str, str] = {}
        for part in self.parts:
            if Processes(self.layout).recorded(part.name):
                settings |= part.settings()
        return settings | self.server.settings(self.database)

    @property
    def base_url(self) -> str:
        return self.app.url

    @property
    def database_url(self) -> str:
        return self.server.url(self.database)

    def addresses(self) -> dict[str, str]:
        """What a person or a script needs to use the stack: the content of `.local/stack.env`."""
        return {
            "BASE_URL": self.base_url,
            "DATABASE_URL": self.database_url,
            "BLOB_CONNECTION_STRING": self.azurite.connection_string,
            "SERVICE_BUS_CONNECTION_STRING": self.servicebus.connection_string,
            "BRONZE_CONTAINER": self.azurite.settings()["BRONZE_CONTAINER"],
            "FUNCTIONS_KEY": self.app.key,
            "NOTIFY_SECRET": self.app.notify_secret,
        }

    def remove(self) -> None:
        """Stop, then delete the data of this instance."""
        self.stop()
        self.postgres.remove_data()
        shutil.rmtree(self.layout.home)

    def __enter__(self) -> Self:
        """Hold the instance alone, and let it end with this process. Raises InstanceBusyError when it is taken."""
        with ExitStack() as held:
            held.enter_context(self.layout.lock())
            held.enter_context(guarded(self.layout))
            held.callback(self.stop)
            # What a predecessor that was killed left behind.
            self.stop()
            self.held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()
