from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.host.running import RunningBus, RunningHost

KEY = "a-key-of-the-tests"


@pytest.fixture(scope="session")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBus]:
    """One bus for every test that does not stop it."""
    with RunningBus(tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest.fixture(scope="session")
def host(bus: RunningBus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host with two workers and a function key, for every test that leaves it whole."""
    settings = {"FUNCTIONS_WORKER_PROCESS_COUNT": "2", "FUNCTIONS_HOST_KEY": KEY, "IN_BOTH": "from the environment"}
    with RunningHost(tmp_path_factory.mktemp("host") / "shared", bus, **settings) as running:
        yield running


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "host"
