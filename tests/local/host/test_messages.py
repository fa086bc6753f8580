from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.local.host.running import LOCK_SECONDS, MAX_DELIVERIES, RunningBus, RunningHost, wait_until


def test_a_message_runs_its_function_once_and_is_gone(host: RunningHost) -> None:
    host.send({"name": "simple"})
    host.record("done", order="simple")
    host.send({"name": "after simple"})
    host.record("done", order="after simple")
    assert len(host.records("order", order="simple")) == 1


def test_the_function_sees_what_the_message_carries(host: RunningHost) -> None:
    host.send(
        {"name": "rich"},
        message_id="rich-1",
        correlation_id="c-1",
        subject="subject",
        content_type="application/json",
        application_properties={"number": 7, "text": "seven"},
    )
    seen = host.record("order", order="rich")
    assert seen["message_id"] == "rich-1"
    assert (seen["correlation_id"], seen["subject"], seen["content_type"]) == ("c-1", "subject", "application/json")
    assert seen["properties"] == {"number": 7, "text": "seven"}
    assert seen["delivery_count"] == 1
    assert abs(datetime.fromisoformat(seen["enqueued"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_function_runs_within_a_twentieth_of_a_second_of_the_message(host: RunningHost) -> None:
    for number in range(9):
        host.send({"name": f"quick {number}"})
    seen = [host.record("order", order=f"quick {number}") for number in range(9)]
    delays = sorted(record["at"] - record["sent"] for record in seen)
    # The median: the machine may be busy with something else for a moment.
    assert delays[4] < 0.05


def test_a_failed_message_comes_back_at_once_with_a_higher_delivery_count(host: RunningHost) -> None:
    host.send({"name": "second try", "fail_times": 1})
    host.record("done", order="second try")
    first, second = host.records("order", order="second try")
    assert (first["delivery_count"], second["delivery_count"]) == (1, 2)
    assert second["at"] - first["at"] < LOCK_SECONDS / 2


def test_a_message_that_always_fails_ends_in_the_dead_letter_queue_which_is_a_trigger_too(host: RunningHost) -> None:
    host.send({"name": "hopeless", "fail": True}, message_id="hopeless-1")
    dead = host.record("dead", order="hopeless")
    assert len(host.records("order", order="hopeless")) == MAX_DELIVERIES
    assert dead["message_id"] == "hopeless-1"
    assert dead["properties"]["DeadLetterReason"] == "MaxDeliveryCountExceeded"


def test_a_lock_is_renewed_for_as_long_as_the_function_runs(host: RunningHost) -> None:
    host.send({"name": "long", "sleep": 2.2 * LOCK_SECONDS})
    host.record("done", order="long")
    assert len(host.records("order", order="long")) == 1


@pytest.fixture(scope="module")
def limited_host(bus: RunningBus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host that runs two messages at a time, and renews no lock."""
    options = {"maxConcurrentCalls": "2", "maxAutoLockRenewalDuration": "00:00:00"}
    override = {f"AzureFunctionsJobHost__extensions__serviceBus__{name}": value for name, value in options.items()}
    with RunningHost(tmp_path_factory.mktemp("limited") / "host", bus, ORDERS_QUEUE="queue-1", **override) as host:
        yield host


def test_as_many_messages_run_at_a_time_as_the_environment_allows(limited_host: RunningHost) -> None:
    limited_host.send(*({"name": f"order {number}", "sleep": 0.4} for number in range(4)))
    wait_until(lambda: len(limited_host.records("done")) == 4, "all four orders")
    started = sorted(record["at"] for record in limited_host.records("order"))
    assert started[1] - started[0] < 0.3
    assert started[2] - started[0] >= 0.4


def test_renewal_ends_at_its_limit(limited_host: RunningHost) -> None:
    limited_host.send({"name": "too long", "sleep": 2 * LOCK_SECONDS})
    wait_until(lambda: len(limited_host.records("order", order="too long")) > 1, "the message to be delivered again")


def test_messages_are_received_again_after_the_bus_was_away(tmp_path: Path, folder: Path) -> None:
    with RunningBus(tmp_path / "bus") as bus, RunningHost(folder, bus, ORDERS_QUEUE="queue-0") as host:
        host.send({"name": "before"})
        host.record("done", order="before")
        bus.process.kill()
        bus.process.wait()
        wait_until(lambda: "cannot receive from queue-0, will keep trying" in host.log(), "the host to notice")
        bus.start()
        host.send({"name": "after"})
        host.record("done", order="after")
        assert host.get("livez").status_code == 200
