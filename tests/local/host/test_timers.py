import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.host.timers import parse_schedule
from tests.local.host.running import RunningBus, RunningHost, wait_until


@pytest.fixture(scope="module")
def ticking(bus: RunningBus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host whose timers fire each second, seen for four of them."""
    folder = tmp_path_factory.mktemp("timers") / "host"
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-9", SCHEDULE="* * * * * *") as host:
        wait_until(lambda: len(host.records("slow tick starts")) >= 3, "the slow timer's third run")
        yield host


def test_a_timer_fires_on_the_second_its_schedule_names(ticking: RunningHost) -> None:
    ticks = [record["at"] for record in ticking.records("tick")]
    assert len(ticks) >= 3
    assert all(tick % 1 < 0.3 for tick in ticks)
    assert all(0.7 < after - before < 1.3 for before, after in itertools.pairwise(ticks))
    assert not any(record["past_due"] for record in ticking.records("tick"))


def test_a_timer_does_not_overlap_itself_and_knows_when_it_is_late(ticking: RunningHost) -> None:
    first, second = ticking.records("slow tick starts")[:2]
    ended = ticking.records("slow tick ends")[0]["at"]
    assert 0 <= second["at"] - ended < 0.3
    assert (first["past_due"], second["past_due"]) == (False, True)


def test_the_fires_a_timer_missed_are_made_up_for_by_one(ticking: RunningHost) -> None:
    _, second, third = ticking.records("slow tick starts")[:3]
    assert third["at"] - second["at"] > 0.3
    assert third["at"] % 1 < 0.3


def test_a_timer_that_runs_on_startup_runs_once_without_waiting_for_its_time(ticking: RunningHost) -> None:
    assert len(ticking.records("once")) == 1


def occurrences(schedule: str, after: str, count: int = 2) -> list[str]:
    following = parse_schedule(schedule)
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = following(moment)
        found.append(moment.strftime("%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/20 * * * * *", ["01-01 00:00:20", "01-01 00:00:40"]),
        ("0 */5 * * * *", ["01-01 00:05:00", "01-01 00:10:00"]),
        ("*/5 * * * *", ["01-01 00:05:00", "01-01 00:10:00"]),
        ("0 30 9 * * Mon-Fri", ["01-01 09:30:00", "01-02 09:30:00"]),
        ("00:00:30", ["01-01 00:00:30", "01-01 00:01:00"]),
    ],
)
def test_schedules_mean_what_they_mean_in_azure(schedule: str, expected: list[str]) -> None:
    assert occurrences(schedule, "2026-01-01T00:00:00") == expected


def test_a_day_must_fit_both_the_month_and_the_week() -> None:
    # Friday the 13th: cron would fire on each Friday and on each 13th.
    assert occurrences("0 0 0 13 * 5", "2026-01-01T00:00:00") == ["02-13 00:00:00", "03-13 00:00:00"]


@pytest.mark.parametrize("schedule", ["every hour", "0 0 25 * * *", "", "12"])
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError):
        parse_schedule(schedule)
