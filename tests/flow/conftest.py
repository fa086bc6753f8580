"""The running app as a client with a view behind the scenes, and a second one with other settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from local.stack.function_app import FunctionApp
from local.stack.servicebus import ServiceBus
from tests.conftest import RunningApp, cloned
from tests.flow.flow import Flow


@pytest.fixture(scope="session")
def session_flow(app: RunningApp) -> Iterator[Flow]:
    bus = app.stack.servicebus.connection_string
    flow = Flow(app.base_url, app.key, app.database_url, app.blob_storage, bus)
    yield flow
    flow.close()


@pytest.fixture
def flow(session_flow: Flow) -> Flow:
    """The app, with whatever earlier tests loaded."""
    return session_flow


@pytest.fixture
def clean_flow(clean_app: RunningApp, session_flow: Flow) -> Flow:
    """The app, without anything of earlier tests."""
    return session_flow


@pytest.fixture
def table() -> str:
    """A table name that no other test uses."""
    return f"t_{uuid4().hex[:10]}"


@contextmanager
def beside(app: RunningApp, other: type[FunctionApp]) -> Iterator[Flow]:
    """The same app under other settings, with a database and a broker of its own; the blob storage is the same."""
    stack = app.stack
    broker = ServiceBus(stack.layout, f"servicebus-of-{other.name}")
    broker.remove_data()
    broker.start()
    with cloned(stack) as clone:
        others = stack.azurite.settings() | broker.settings() | clone.settings
        running = other(stack.layout, lambda: others)
        running.start()
        flow = Flow(running.url, running.key, clone.url, app.blob_storage, broker.connection_string)
        yield flow
        flow.close()
        running.stop()
    broker.stop()


class StrictApp(FunctionApp):
    name = "app-of-flow"

    def settings(self) -> dict[str, str]:
        limits = {"MAX_SOURCE_MB": "1", "MAX_TASK_ATTEMPTS": "10", "RETRY_BASE_SECONDS": "0.1"}
        limits |= {"INSPECTION_SECONDS": "0.001"}
        limits |= {"NOTIFY_HOSTS": ""}
        return super().settings() | limits | {"ALLOWED_CONTAINERS": "archive", "ALLOWED_SCHEMAS": "geo,survey"}


class OpenApp(FunctionApp):
    name = "open-app-of-flow"

    def settings(self) -> dict[str, str]:
        return super().settings() | {"ANONYMOUS_READ": "true"}


@pytest.fixture(scope="session")
def strict_flow(app: RunningApp) -> Iterator[Flow]:
    """An app that takes 1 MB at most, from two containers into two schemas, tries often and at once, has no time for
    inspections, and tells nobody."""
    with beside(app, StrictApp) as flow:
        yield flow


@pytest.fixture(scope="session")
def open_flow(app: RunningApp) -> Iterator[Flow]:
    """An app whose published tables everybody may read."""
    with beside(app, OpenApp) as flow:
        yield flow
