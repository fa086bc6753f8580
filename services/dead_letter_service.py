"""What becomes of messages that the broker gave up delivering."""

import logging
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from core.machine import CoreMachine
from core.models.messages import JobMessage, TaskMessage
from core.sql import janitor, jobs
from core.state_manager import Ending, waiting
from infrastructure.dead_letters import DeadLetter

log = logging.getLogger(__name__)
MOST_BODY = 10_000


class DeadLetterService:
    """Sends them again while the task has attempts left, else fails it with the broker's reason. Rows are changed
    first and the letter is settled last: what is interrupted comes again."""

    def __init__(self, machine: CoreMachine, max_attempts: int) -> None:
        self.machine = machine
        self.max_attempts = max_attempts

    def work_through(self, batches: Iterator[list[DeadLetter]]) -> dict[str, list[str]]:
        """Returns what was done, to which ids."""
        actions: dict[str, list[str]] = {}
        for letters in batches:
            for action, ids in self.work_on(letters).items():
                actions.setdefault(action, []).extend(ids)
            for letter in letters:
                letter.settle()
        return {action: ids for action, ids in actions.items() if ids}

    def work_on(self, letters: Sequence[DeadLetter]) -> dict[str, list[str]]:
        read = [(letter, parsed(letter)) for letter in letters]
        tasks = [(letter, message) for letter, message in read if isinstance(message, TaskMessage)]
        return {
            "dead_letters_revived": self.revive(tasks),
            "dead_letters_failed": self.fail(tasks),
            "dead_letters_jobs_resent": self.resend([m for _, m in read if isinstance(m, JobMessage)]),
            "dead_letters_kept": self.keep([letter for letter, message in read if message is None]),
        }

    def revive(self, tasks: Sequence[tuple[DeadLetter, TaskMessage]]) -> list[str]:
        with self.machine.state.database.transaction() as tx:
            rows = tx.all(janitor.revive_tasks, **named(tasks), max_attempts=self.max_attempts)
        self.machine.dispatch([waiting(row) for row in rows])
        return [row["task_id"] for row in rows]

    def fail(self, tasks: Sequence[tuple[DeadLetter, TaskMessage]]) -> list[str]:
        reasons = [f"the broker gave the task's message up: {letter.reason}" for letter, _ in tasks]
        with self.machine.state.database.transaction() as tx:
            doomed = tx.all(janitor.jobs_of_tasks, task_ids=named(tasks)["task_ids"])
            tx.run(jobs.lock_jobs, job_ids=[row["job_id"] for row in doomed])
            rows = tx.all(janitor.fail_dead_tasks, **named(tasks), reasons=reasons, max_attempts=self.max_attempts)
            ending = [Ending(row["job_id"], row["run"], row["error"] | {"task_id": row["task_id"]}) for row in rows]
            ended = self.machine.state.fail_jobs(tx, ending)
        for end in ended:
            self.machine.release(end.job_id)
        return [row["task_id"] for row in rows]

    def resend(self, messages: Sequence[JobMessage]) -> list[str]:
        for message in messages:
            self.machine.send_job(message.job_id, message.run, message.stage)
        return [message.job_id for message in messages]

    def keep(self, letters: Sequence[DeadLetter]) -> list[str]:
        """Nothing is swallowed: what cannot be read is kept where somebody can look at it."""
        with self.machine.state.database.transaction() as tx:
            for letter in letters:
                log.error("unreadable message", extra={"queue": letter.queue, "message_id": letter.message_id})
                tx.run(
                    janitor.keep_dead_letter,
                    queue=letter.queue,
                    message_id=letter.message_id,
                    reason=f"unreadable message; {letter.reason}",
                    body=letter.body.replace("\x00", "")[:MOST_BODY],
                )
        return [letter.message_id for letter in letters]


def parsed(letter: DeadLetter) -> TaskMessage | JobMessage | None:
    for model in (TaskMessage, JobMessage):
        try:
            return model.model_validate_json(letter.body)
        except ValidationError:
            continue
    return None


def named(tasks: Sequence[tuple[DeadLetter, TaskMessage]]) -> dict[str, list[str]]:
    return {
        "task_ids": [message.task_id for _, message in tasks],
        "message_ids": [message.stands_for or letter.message_id for letter, message in tasks],
    }
