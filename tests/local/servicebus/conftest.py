from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local.servicebus.stand_in import KINDS, QUEUES_OF_A_KIND, QueueUnderTest, StandIn

OpenQueue = Callable[[str], QueueUnderTest]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One server for every test that does not stop or crash it."""
    with StandIn(tmp_path_factory.mktemp("servicebus")) as server:
        yield server


@pytest.fixture
def own_stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def unused_names() -> dict[str, Iterator[str]]:
    return {kind: iter([f"{kind}-{number}" for number in range(QUEUES_OF_A_KIND)]) for kind in KINDS}


@pytest.fixture(scope="session")
def closing() -> Iterator[ThreadPoolExecutor]:
    """Closing a client takes the SDK a second; the next test need not wait for it."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def open_queue(
    stand_in: StandIn, unused_names: dict[str, Iterator[str]], closing: ThreadPoolExecutor
) -> Iterator[OpenQueue]:
    """A queue of a kind that no other test uses."""
    opened = []

    def open_one(kind: str) -> QueueUnderTest:
        opened.append(stand_in.open_queue(next(unused_names[kind])))
        return opened[-1]

    yield open_one
    for queue in opened:
        closing.submit(queue.client.close)


@pytest.fixture(scope="session")
def shared_queue(
    stand_in: StandIn, unused_names: dict[str, Iterator[str]], closing: ThreadPoolExecutor
) -> Iterator[QueueUnderTest]:
    queue = stand_in.open_queue(next(unused_names["plain"]))
    yield queue
    closing.submit(queue.client.close)


@pytest.fixture
def queue(shared_queue: QueueUnderTest) -> Iterator[QueueUnderTest]:
    """A plain queue that every test leaves empty: opening one takes the SDK half a second."""
    yield shared_queue
    assert shared_queue.bodies() == [], "the test left messages behind"
