"""Telling subscribers what happened to their jobs: signed CloudEvents, at least once each.

The events stand in app.notifications, where the transition that they tell of has put them. Whoever claims one has it
for as long as a lease lasts; while somebody else's server takes its time, no transaction is open.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from pydantic_core import to_jsonable_python

from core.errors import Transient
from core.job_facts import job_facts, percent, summary
from core.logs import bound
from core.models.job import Job
from core.ports import Database, Row
from core.retry import RetryPolicy
from core.sql import notifications
from core.workflow import Registry
from infrastructure.webhook import Answer, signature_headers

log = logging.getLogger(__name__)
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class Sender(Protocol):
    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


@dataclass(frozen=True)
class Persistence:
    """lease: seconds, longer than a lookup and a POST may take. most_per_receiver: events that one host is sent at a
    time. threads: of one process. patience: after how many seconds an event is given up. backoff: between its
    attempts."""

    lease: float = 120.0
    most_per_receiver: int = 4
    threads: int = 8
    patience: float = timedelta(hours=24).total_seconds()
    backoff: RetryPolicy = field(default_factory=lambda: RetryPolicy(base_seconds=5.0, cap_seconds=3600.0))


class NotificationService:
    """`secrets`: the newest first; each signs. `source`: of the CloudEvents."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        sender: Sender,
        secrets: Sequence[str],
        source: str,
        persistence: Persistence | None = None,
    ) -> None:
        self.database = database
        self.registry = registry
        self.sender = sender
        self.secrets = secrets
        self.source = source
        self.persistence = persistence or Persistence()
        self._seats = threading.BoundedSemaphore(self.persistence.threads)

    def kick(self) -> None:
        """Deliver what is due in a thread of its own, unless enough are at it. Returns at once; what is missed here, or
        dies with the process, the timer delivers."""
        if self._seats.acquire(blocking=False):
            threading.Thread(target=self._work, name="notifications", daemon=True).start()

    def _work(self) -> None:
        try:
            self.deliver_due()
        except Transient as outage:
            log.warning("events not delivered yet", extra={"reason": outage.message})
        finally:
            self._seats.release()

    def deliver_due(self, seconds: float = float("inf")) -> None:
        """Until nothing is due, or the time is up."""
        end = time.monotonic() + seconds
        while self.deliver_next() and time.monotonic() < end:
            pass

    def deliver_next(self) -> bool:
        """False when nothing is due."""
        limits = self.persistence
        with self.database.transaction() as tx:
            event = tx.one(
                notifications.claim,
                lease=limits.lease,
                patience=limits.patience,
                most_per_receiver=limits.most_per_receiver,
            )
        if event is None:
            return False
        # Where one is due there may be more, and this one may take long.
        self.kick()
        with bound(job_id=event["job_id"]):
            self.settle(event, self.sent(event))
        return True

    def sent(self, event: Row) -> Answer:
        body = json.dumps(self.cloud_event(event), separators=(",", ":")).encode()
        signed = signature_headers(self.secrets, event["event_id"], int(time.time()), body)
        return self.sender.post(
            event["url"], {"content-type": CONTENT_TYPE, "user-agent": "vector-etl", **signed}, body
        )

    def settle(self, event: Row, answer: Answer) -> None:
        claimed = {name: event[name] for name in ("event_id", "url", "attempt")}
        told = {"event": event["event_id"], "receiver": event["receiver"], "attempt": event["failures"] + 1}
        after = self.persistence.backoff.delay(event["failures"] + 1)
        with self.database.transaction() as tx:
            if answer.problem is None:
                tx.one(notifications.delivered, **claimed)
            else:
                tx.one(notifications.not_delivered, **claimed, after=after, gone=answer.gone, problem=answer.problem)
        if answer.problem is None:
            log.info("event delivered", extra=told)
        else:
            log.warning("event not delivered", extra={**told, "reason": answer.problem, "after_seconds": round(after)})

    def cloud_event(self, event: Row) -> dict[str, Any]:
        """CloudEvents 1.0, structured. The id is that of the event, not of the attempt, nor of the receiver."""
        job, stages = Job.model_validate(event["job"]), event["stages"]
        job_type = self.registry.get(job.job_type)
        counted = {str(stage["stage"]): {k: v for k, v in stage.items() if k != "stage"} for stage in stages}
        progress = {"percent": percent(job, stages), "summary": summary(job_type, stages), "stages": counted}
        return {
            "specversion": "1.0",
            "id": event["event_id"],
            "source": self.source,
            "type": f"vector-etl.job.{event['event']}",
            "subject": job.job_id,
            "time": to_jsonable_python(event["occurred_at"]),
            "datacontenttype": "application/json",
            "data": job_facts(job, job_type) | {"progress": progress},
        }

    def give_up(self) -> list[str]:
        """What nobody took for too long. Returns the events' ids."""
        with self.database.transaction() as tx:
            rows = tx.all(notifications.give_up, patience=self.persistence.patience)
        for row in rows:
            log.error("event given up", extra=row)
        return [row["event_id"] for row in rows]

    def backlog(self) -> Row:
        """How many events wait, how many of them failed before, since when, and how many were given up."""
        with self.database.transaction() as tx:
            return tx.one(notifications.backlog) or {}
