"""What happens in a run before and beside the one fault under test: jobs that succeed, fail, are cancelled, retried or
forgotten, and work for each janitor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import Conflict
from core.machine import Patience
from core.models.enums import JobStatus
from core.models.job import Job
from core.models.messages import JobMessage
from services.vector.leftovers import chunk_prefix
from tests.faults.boundaries_effects import Fault, Way
from tests.faults.boundaries_world import World

SOURCES = ("old.csv", "new.csv", "none.csv", "empty.csv", "some.csv", "shapes.shp")
OLD, NEW, NONE, EMPTY, SOME, SHAPES = (f"boundaries/{name}" for name in SOURCES)
CSV: dict[str, Any] = {"lat_name": "lat", "lon_name": "lon", "chunk_size": 100}
JOBS_QUEUE, TASKS_QUEUE = "geospatial-jobs", "vector-tasks"
Feature = tuple[int, str, float, float]

OLD_ROWS: list[Feature] = [(n, f"old {n}", n / 4, n / 8) for n in range(1, 21)]
NEW_ROWS: list[Feature] = [(n, f"row {n}", n / 2, n / 4) for n in range(1, 251)]
# Of NEW_ROWS, in two of three chunks; the rest is all of SOME that is loaded.
REJECTED = (50, 202, 203)
SHAPE_ROWS: list[Feature] = [(n, f"shape {n}", n / 2, n / 4) for n in range(1, 121)]
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@dataclass
class Expected:
    """How each job ends, and the rows of each table then: id, name, longitude, latitude. `unreadable`: the ids of
    messages that nobody can read, which are kept."""

    ends: list[tuple[Job, JobStatus]]
    tables: dict[str, list[Feature]] = field(default_factory=lambda: {"t": OLD_ROWS})
    runs: dict[str, int] = field(default_factory=dict)
    unreadable: Sequence[str] = ()


@dataclass(frozen=True)
class Scenario:
    """`planned`: what goes wrong anyway. `all_again`: boundaries of workers fail here too, although an earlier scenario
    has them, because recovery takes another way."""

    name: str
    play: Callable[[World], Expected]
    planned: Sequence[Fault] = ()
    all_again: bool = False


def overwrite(world: World) -> Expected:
    job = world.submit(NEW, overwrite=True, **CSV)
    return Expected([(job, COMPLETED)], {"t": NEW_ROWS})


def shapefile(world: World) -> Expected:
    """With sidecars; its STAC item is the first of the catalog."""
    world.run("DELETE FROM pgstac.collections")
    job = world.submit(SHAPES, table_name="shapes", chunk_size=100)
    return Expected([(job, COMPLETED)], {"shapes": SHAPE_ROWS})


def taken_back(world: World) -> Expected:
    """A table is loaded, taken back, and loaded again."""
    loaded = world.submit(NEW, table_name="u", **CSV)
    settle_job(world, loaded)
    back = world.unpublish("u")
    settle_job(world, back)
    world.submit(NEW, table_name="u", **CSV)
    settle_job(world, loaded)
    world.unpublish("u")
    return Expected([(loaded, COMPLETED), (back, COMPLETED)], runs={loaded.job_id: 2, back.job_id: 2})


def nothing_there(world: World) -> Expected:
    return Expected([(world.submit(EMPTY, overwrite=True, **CSV), FAILED)])


def some_rejected(world: World) -> Expected:
    job = world.submit(SOME, overwrite=True, **CSV)
    return Expected([(job, COMPLETED)], {"t": [row for row in NEW_ROWS if row[0] not in REJECTED]})


def nothing_usable(world: World) -> Expected:
    return Expected([(world.submit(NONE, overwrite=True, **CSV), FAILED)])


def table_appears(world: World) -> Expected:
    """The last stage may not publish: somebody else made the table meanwhile."""
    job = world.submit(NEW, table_name="theirs", **CSV)
    world.until_stage(job, 3)
    world.run("CREATE TABLE geo.theirs AS SELECT * FROM geo.t")
    return Expected([(job, FAILED)], {"t": OLD_ROWS, "theirs": OLD_ROWS})


def cannot_be_planned(world: World) -> Expected:
    """The results of stage 1 are damaged before stage 2 is planned from them."""
    job = world.submit(NEW, overwrite=True, **CSV)
    until_job_at(world, job, 2)
    world.run("UPDATE app.tasks SET result = '{}' WHERE job_id = %s AND stage = 1", job)
    return Expected([(job, FAILED)])


def cancelled_while_waiting(world: World) -> Expected:
    job = world.submit(NEW, overwrite=True, **CSV)
    world.until_stage(job, 2)
    world.deliver()
    world.cancel(job)
    return Expected([(job, CANCELLED)])


def cancelled_while_running(world: World) -> Expected:
    """In the middle of an upload, and twice: what its worker does afterwards has no effect."""
    job = world.submit(NEW, overwrite=True, **CSV)

    def cancel_twice() -> None:
        world.cancel(job)
        world.cancel(job)

    at_read(world, 1, lambda: world.aside(cancel_twice))
    return Expected([(job, CANCELLED)])


def lock_lost_while_working(world: World) -> Expected:
    """Another worker gets the message of an upload and completes it, before this one goes on."""
    at_read(world, 1, world.deliver_again)
    return overwrite(world)


def lock_lost_to_one_who_dies(world: World) -> Expected:
    """The other worker completes the last upload, and dies before it sends the job on."""
    at_read(world, 3, world.deliver_again)
    return overwrite(world)


def at_read(world: World, number: int, action: Callable[[], None]) -> None:
    """When a chunk is about to be read for the nth time, from 1."""
    read, left = world.silver.read, number

    def act_and_read(name: str) -> bytes:
        nonlocal left
        left -= 1
        if left == 0:
            world.silver.read = read  # type: ignore[method-assign]
            action()
        return read(name)

    world.silver.read = act_and_read  # type: ignore[method-assign]


def away_for_long(world: World) -> Expected:
    """Services are away for longer than messages are held: copies for later take their place."""
    world.machine.patience = Patience(seconds=0, postponed=15)
    return overwrite(world)


def message_lost_with_worker(world: World) -> Expected:
    world.lose_message_of_vanished = True
    return overwrite(world)


def lost_for_the_last_time(world: World) -> Expected:
    world.lose_message_of_vanished = True
    job = world.submit(NEW, overwrite=True, **CSV)
    world.until_stage(job, 2)
    world.run("UPDATE app.tasks SET failures = 2 WHERE job_id = %s AND stage = 2", job)
    return Expected([(job, FAILED)])


def fails(world: World) -> Expected:
    return Expected([(world.submit(NEW, overwrite=True, **CSV), FAILED)])


def messages_lost(world: World) -> Expected:
    job = world.submit(NEW, overwrite=True, **CSV)
    world.broker.held.clear()
    world.until_stage(job, 2)
    world.broker.held.clear()
    return Expected([(job, COMPLETED)], {"t": NEW_ROWS})


def bad_health(world: World) -> Expected:
    """A job goes on with a failed task; another one did not advance although its stage is full."""
    sick = world.submit(NEW, overwrite=True, **CSV)
    world.until_stage(sick, 2)
    world.broker.held.clear()
    stuck = world.submit(NEW, table_name="u", **CSV)
    until_job_at(world, stuck, 2)
    world.broker.held.clear()
    error = '{"code": "told", "message": "told"}'
    world.run("UPDATE app.tasks SET status = 'failed', error = %s WHERE task_id = %s", error, f"{sick.job_id}-1-2-1")
    world.run("UPDATE app.jobs SET stage = 1 WHERE job_id = %s", stuck)
    world.run("DELETE FROM audit.steps WHERE id = %s AND kind = 'stage'", stuck)
    return Expected([(sick, FAILED), (stuck, COMPLETED)], {"t": OLD_ROWS, "u": NEW_ROWS})


def no_progress_for_a_day(world: World) -> Expected:
    job = world.submit(NEW, overwrite=True, **CSV)
    world.until_stage(job, 2)
    world.broker.held.clear()
    world.age(25 * 3600)
    for _ in range(3):
        world.tick(world.janitors.run_orphan_detection)
    return Expected([(job, FAILED)])


def left_behind(world: World) -> Expected:
    """A cancelled job that could not be cleared up, the folder of a process that is gone, and a chunk that was written
    when its job had ended."""
    (world.disk.folder / "vector-etl-999999999-gone").mkdir()
    ended = world.rows("SELECT job_id FROM app.jobs WHERE status = 'completed'")[0][0]
    world.silver_container.upload_blob(f"{chunk_prefix(ended, 1)}1/000000.arrow", b"late")
    world.run("INSERT INTO app.janitor_runs (janitor, started_at) VALUES ('job_health', now() - interval '31 days')")
    return cancelled_while_waiting(world)


def dead_letters(world: World) -> Expected:
    revived = world.submit(NEW, overwrite=True, **CSV)
    world.until_stage(revived, 2)
    world.broker.dead_letter(world.broker.held[0])
    world.drain()
    exhausted = world.submit(NEW, table_name="u", **CSV)
    world.until_stage(exhausted, 2)
    world.run("UPDATE app.tasks SET failures = 3 WHERE job_id = %s AND stage = 2", exhausted)
    for held in list(world.broker.held):
        world.broker.dead_letter(held)
    unsent = world.submit(NEW, table_name="v", **CSV)
    for held in list(world.broker.held):
        world.broker.dead_letter(held)
    moved_on = JobMessage(job_id=revived.job_id, run=1, stage=1)
    world.broker.take(JOBS_QUEUE, "late", moved_on.model_dump_json())
    world.broker.take(TASKS_QUEUE, "unreadable", "{not json")
    for held in list(world.broker.held):
        world.broker.dead_letter(held)
    world.tick(world.janitors.run_orphan_detection)
    ends = [(revived, COMPLETED), (exhausted, FAILED), (unsent, COMPLETED)]
    return Expected(ends, {"t": NEW_ROWS, "v": NEW_ROWS}, unreadable=["unreadable"])


def unreadable_messages(world: World) -> Expected:
    world.broker.take(TASKS_QUEUE, "unreadable-1", "{not json")
    world.broker.take(JOBS_QUEUE, "unreadable-2", "{not json")
    job = world.submit(NEW, overwrite=True, **CSV)
    return Expected([(job, COMPLETED)], {"t": NEW_ROWS}, unreadable=["unreadable-1", "unreadable-2"])


def refused_by_the_bus(world: World) -> Expected:
    """The queue of the tasks is gone when the uploads are to be sent."""
    job = world.submit(NEW, overwrite=True, **CSV)
    until_job_at(world, job, 2)
    world.broker.missing.add(TASKS_QUEUE)
    return Expected([(job, FAILED)])


def submitted_again(world: World) -> Expected:
    """A failed job starts over; a table has one writer at a time; a completed job stands."""
    failing = world.submit(NONE, table_name="u", **CSV)
    settle_job(world, failing)
    world.submit(NONE, table_name="u", **CSV)
    settle_job(world, failing)
    loading = world.submit(NEW, overwrite=True, **CSV)
    try:
        world.submit(NEW, overwrite=True, title="another", **CSV)
    except Conflict:
        pass
    else:
        raise AssertionError("two active jobs write one table")
    settle_job(world, loading)
    world.submit(NEW, overwrite=True, **CSV)
    return Expected([(failing, FAILED), (loading, COMPLETED)], {"t": NEW_ROWS}, {failing.job_id: 2})


def until_job_at(world: World, job: Job, stage: int) -> None:
    """Deliver until the job has just been advanced to the stage."""
    for _ in range(200):
        if world.rows("SELECT 1 FROM app.jobs WHERE job_id = %s AND stage = %s", job, stage):
            return
        if not world.deliver():
            world.pass_time()
    raise AssertionError(f"the job never got to stage {stage}")


def settle_job(world: World, job: Job) -> None:
    for _ in range(200):
        world.drain()
        if world.rows("SELECT 1 FROM app.jobs WHERE job_id = %s AND status IN ('completed', 'failed')", job):
            return
        world.pass_time()
    raise AssertionError("the job never ended")


UPLOADED = "process_vector_upload: commit"
READ = "process_vector_upload: blob read"
COPY = "copy_rows: copy"
COMPLETE = "complete_task: commit"
START_STAGE = "enter_stage > StateManager.start_stage: commit"
FINISH = "finish > StateManager.finish_job: commit"
KEEP = "parsed > keep: commit"

SCENARIOS = (
    Scenario("overwrite", overwrite),
    Scenario("shapefile", shapefile),
    Scenario("taken back", taken_back),
    Scenario("nothing there", nothing_there),
    Scenario("nothing usable", nothing_usable),
    Scenario("some rejected", some_rejected, (Fault(UPLOADED, Way.REPORTED_FAILED),)),
    Scenario("table appears", table_appears),
    Scenario("cannot be planned", cannot_be_planned),
    Scenario("refused by the bus", refused_by_the_bus),
    Scenario("unreadable messages", unreadable_messages, (Fault(KEEP, Way.AFTER_CRASH),)),
    Scenario(
        "retried",
        overwrite,
        (
            Fault(UPLOADED, Way.REPORTED_FAILED),
            Fault(READ, Way.BEFORE, 2),
            Fault("StateManager.retry_task: commit", Way.REPORTED_FAILED),
            Fault("VectorToPostGISHandler.build_indexes: analyze", Way.BEFORE),
            Fault(FINISH, Way.REPORTED_FAILED),
        ),
    ),
    Scenario("cancelled while waiting", cancelled_while_waiting),
    Scenario("cancelled while running", cancelled_while_running),
    Scenario("lock lost while working", lock_lost_while_working),
    Scenario("lock lost to one who dies", lock_lost_to_one_who_dies, (Fault(COMPLETE, Way.AFTER_CRASH, 4),)),
    Scenario(
        "away for long",
        away_for_long,
        (
            Fault("process_job_message > StateManager.get_job: read", Way.BEFORE),
            Fault("process_task_message > StateManager.claim: commit", Way.BEFORE),
            Fault("record > CoreMachine.send_job: bus send", Way.BEFORE),
        ),
        all_again=True,
    ),
    Scenario(
        "workers die after completing",
        overwrite,
        # The only prepare task, then the last of three uploads, then the last stage; and after the job is finished.
        (
            *(Fault(COMPLETE, Way.AFTER_CRASH, n) for n in (1, 4, 5)),
            Fault(FINISH, Way.AFTER_CRASH),
        ),
    ),
    Scenario("always fails", fails, tuple(Fault(READ, Way.BEFORE, n) for n in range(1, 10))),
    Scenario("workers die", fails, tuple(Fault(COPY, Way.AFTER_CRASH, n) for n in range(1, 10))),
    Scenario(
        "message lost with worker",
        message_lost_with_worker,
        # And the message that starts the uploads, when they are planned and not sent.
        (Fault(COPY, Way.AFTER_CRASH), Fault(START_STAGE, Way.AFTER_CRASH, 2)),
    ),
    Scenario("lost for the last time", lost_for_the_last_time, (Fault(COPY, Way.AFTER_CRASH),)),
    Scenario("messages lost", messages_lost),
    # When the job's message could first be sent again.
    Scenario("outbox fails", messages_lost, (Fault("run_outbox > JanitorService.resend_jobs: read", Way.BEFORE, 4),)),
    Scenario("bad health", bad_health),
    Scenario("no progress for a day", no_progress_for_a_day),
    Scenario("left behind", left_behind, (Fault("BlobRepository.delete_under: blob list", Way.BEFORE),)),
    Scenario("dead letters", dead_letters),
    Scenario("submitted again", submitted_again),
)
