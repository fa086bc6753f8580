"""A log line is an event with fields and the ids of the current work."""

import json
import logging

from core.logs import bound
from infrastructure.logging import EventFormatter


def told(**fields: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "core.machine", "levelname": "INFO", "msg": "task completed", **fields})
    event: dict[str, object] = json.loads(EventFormatter().format(record))
    return event


def test_fields_and_ids_are_on_the_line() -> None:
    with bound(job_id="j", run=2), bound(task_id="t"):
        event = told(rows=5)
    assert event["event"] == "task completed"
    assert {name: event[name] for name in ("job_id", "run", "task_id", "rows")} == {
        "job_id": "j",
        "run": 2,
        "task_id": "t",
        "rows": 5,
    }


def test_ids_end_with_their_work() -> None:
    with bound(job_id="j"):
        pass
    assert "job_id" not in told()
