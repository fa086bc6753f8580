"""Rejected rows: kept with their reason, until the job's next run or for KEPT_DAYS."""

from core.ports import Row, Transaction
from core.sql import rejects

KEPT_DAYS = 30
EXAMPLES = 3
# What an answer holds at most, but for a single reject that is larger.
PAGE_BYTES = 8 << 20


def kept_rejects(tx: Transaction, job_id: str, run: int) -> int:
    row = tx.one(rejects.count_rejects, job_id=job_id, run=run)
    return int(row["rows"]) if row else 0


def examples(tx: Transaction, job_id: str, run: int, reason: str) -> list[Row]:
    """The first rejects with this reason: row_number, lon, lat. What stands in them is for who asks for the rejects."""
    return tx.all(rejects.examples, job_id=job_id, run=run, reason=reason, limit=EXAMPLES)


def page_of_rejects(tx: Transaction, job_id: str, run: int, *, after: int, limit: int) -> tuple[list[Row], bool]:
    """The rejects of the rows after a row number, in order, and whether there are more."""
    rows = tx.all(rejects.page, job_id=job_id, run=run, after=after, limit=limit, bytes=PAGE_BYTES)
    return rows, bool(rows) and rows[0]["available"] > len(rows)


def forget_outdated(tx: Transaction, job_id: str) -> int:
    return tx.run(rejects.forget_outdated, job_id=job_id, days=KEPT_DAYS)


def outdated_runs(tx: Transaction) -> list[tuple[str, int]]:
    """(job_id, run) of the runs whose rejects are not kept any longer."""
    return [(row["job_id"], row["run"]) for row in tx.all(rejects.outdated_runs, days=KEPT_DAYS)]
