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
    """The app's own loggers write events; the SDKs' speak up only when something is wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(EventFormatter())
    for name in ("core", "jobs", "services", "infrastructure", "triggers"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    for name in ("azure", "uamqp", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.WARNING)
