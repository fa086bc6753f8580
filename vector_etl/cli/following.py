"""Progress: of an upload, and of a job, stage by stage."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from typer import Exit as Leave

from vector_etl.cli.exits import Exit
from vector_etl.cli.session import Session
from vector_etl.models import Job

COME_BACK = """The job goes on without us.
  Come back: vector-etl status {job_id} --follow
  Stop it:   vector-etl cancel {job_id}"""


@contextmanager
def upload_bar(session: Session, name: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what is to be called with the bytes sent and those in all. Nothing is shown of a file that is not there."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=session.meanwhile) as progress:
        bar = progress.add_task(f"upload {name}", total=None, visible=False)
        yield lambda sent, size: progress.update(bar, completed=sent, total=size, visible=True)


def follow(session: Session, job_id: str) -> Job:
    """The job once it has ended. Who interrupts is told how to come back; the job goes on."""
    states = session.client.follow(job_id)
    try:
        return watch(session, states) if session.meanwhile.is_terminal else listen(session, states)
    except KeyboardInterrupt:
        session.say(COME_BACK.format(job_id=job_id))
        raise Leave(Exit.INTERRUPTED) from None


def watch(session: Session, states: Iterable[Job]) -> Job:
    """A bar for each stage that has begun."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=session.meanwhile) as progress:
        for job in states:
            for number, stage in (job.progress.stages if job.progress else {}).items():
                if number not in bars:
                    name = f"{number}/{job.total_stages} {stage.name}"
                    bars[number] = progress.add_task(name, total=stage.total, told="")
                rows = job.progress.rows_loaded if job.progress and stage.name == "upload_chunks" else 0
                told = f"{stage.completed} of {stage.total}" + (f", {rows:,} rows" if rows else "")
                progress.update(bars[number], completed=stage.completed, total=stage.total, told=told)
                if stage.completed == stage.total or job.has_ended:
                    progress.stop_task(bars[number])
    return job


def listen(session: Session, states: Iterable[Job]) -> Job:
    """A line whenever something has changed, for logs."""
    before = ""
    for job in states:
        now = f"{job.status}: {job.progress.summary}" if job.progress else job.status
        if now != before:
            session.say(now)
        before = now
    return job
