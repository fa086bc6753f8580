"""Timer functions: NCRONTAB schedules in UTC, one run at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import croniter

from .pool import InvocationFailed, WorkerPool
from .settings import parse_timespan, resolve
from .stopping import sleep_unless_stopping
from .wire import FunctionInfo, TimerTick

PAST_DUE_AFTER = timedelta(seconds=1)

log = logging.getLogger("local.host")

Schedule = Callable[[datetime], datetime]


def parse_schedule(text: str) -> Schedule:
    """The function that gives the first occurrence after a time.

    text: NCRONTAB with seconds first (or without, five fields), or a time span hh:mm:ss. A day must fit both the
    day of month and the day of week, unlike in cron. Raises ValueError.
    """
    fields = text.split()
    if len(fields) == 1:
        interval = parse_timespan(text)
        if not interval:
            raise ValueError(f"not a schedule: {text!r}")
        return lambda after: after + interval
    expression = text if len(fields) == 6 else f"0 {text}"
    croniter(expression, second_at_beginning=True, day_or=False)

    def following(after: datetime) -> datetime:
        moment: datetime = croniter(expression, after, second_at_beginning=True, day_or=False).get_next(datetime)
        return moment

    return following


class Timer:
    """Runs one timer function for ever. Fires that pass while it runs become one, made up for at once."""

    def __init__(self, pool: WorkerPool, function: FunctionInfo) -> None:
        self.pool = pool
        self.name = function.name
        self.schedule_text = resolve(function.trigger["schedule"])
        self.schedule = parse_schedule(self.schedule_text)
        self.run_on_startup = bool(function.trigger.get("runOnStartup"))
        self.last: datetime | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        due = datetime.now(UTC) if self.run_on_startup else self.schedule(datetime.now(UTC))
        while not await sleep_until(due, stopping):
            started = datetime.now(UTC)
            # Never before the due time: a clock a hair early would fire the same occurrence twice.
            following = self.schedule(max(started, due))
            await self.fire(due, started, following)
            due = following

    async def fire(self, due: datetime, started: datetime, following: datetime) -> None:
        tick = TimerTick(timer_state(self.last, following, past_due=started - due > PAST_DUE_AFTER))
        self.last = started
        try:
            await self.pool.invoke(self.name, tick)
        except InvocationFailed:
            log.warning("timer %s runs again at %s", self.name, following.isoformat(timespec="seconds"))


def timer_state(last: datetime | None, following: datetime, *, past_due: bool) -> dict[str, Any]:
    known = last.isoformat() if last else "0001-01-01T00:00:00+00:00"
    status = {"Last": known, "LastUpdated": known, "Next": following.isoformat()}
    return {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}


async def sleep_until(due: datetime, stopping: asyncio.Event) -> bool:
    """Wait; True when the host stops first."""
    return await sleep_unless_stopping(stopping, max((due - datetime.now(UTC)).total_seconds(), 0.001))
