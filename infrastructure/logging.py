"""Logs as events with fields: one line of JSON each, with the ids of the current work."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from core.logs import current_ids

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **current_ids(),
            **{name: value for name, value in vars(record).items() if name not in STANDARD},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def set_up_logging(level: str) -> None:
    """Events on whatever handlers the host gave the root logger, else on stdout. The SDKs speak up only when
    something is wrong."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stdout))
    for handler in root.handlers:
        handler.setFormatter(EventFormatter())
    root.setLevel(logging.WARNING)
    # During an outage the pool would say so several times a second; the machine says it once per wait.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    for name in ("core", "jobs", "services", "infrastructure", "triggers"):
        logging.getLogger(name).setLevel(level)
