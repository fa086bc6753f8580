"""What must hold after every run, whatever failed in it. Each check tells what is wrong, or nothing."""

from collections.abc import Container, Iterator

from core.models.enums import JobStatus
from core.models.job import Job
from tests.faults.boundaries_scenarios import OLD_ROWS, Expected
from tests.faults.boundaries_world import World

# Every change of a task's status, and of a job's status or stage, in the order of their commits' statements.
AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.steps (n bigserial, kind text, id text, run integer, stage integer, was text, became text);
CREATE FUNCTION audit.note_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.steps (kind, id, run, stage, was, became)
    VALUES ('task', NEW.task_id, NEW.run, NEW.stage, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE FUNCTION audit.note_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.status <> NEW.status THEN
        INSERT INTO audit.steps (kind, id, run, stage, was, became)
        VALUES ('job', NEW.job_id, OLD.run, OLD.stage, OLD.status, NEW.status);
    END IF;
    IF OLD.run = NEW.run AND OLD.stage <> NEW.stage THEN
        INSERT INTO audit.steps (kind, id, run, stage, was, became)
        VALUES ('stage', NEW.job_id, NEW.run, NEW.stage, OLD.stage, NEW.stage);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON app.tasks FOR EACH ROW EXECUTE FUNCTION audit.note_task();
CREATE TRIGGER note AFTER UPDATE ON app.jobs FOR EACH ROW EXECUTE FUNCTION audit.note_job();
"""
UNTOLD = "SELECT event_id FROM app.notifications WHERE delivered_at IS NULL AND given_up_at IS NULL"
ENDED = ("completed", "failed", "cancelled")


def is_quiet(world: World) -> bool:
    """No message is on its way, nothing is left behind, everybody was told."""
    return not (world.broker.held or world.broker.dead or any(left_behind(world)) or world.rows(UNTOLD))


def problems(world: World, expected: Expected) -> list[str]:
    found = [*left_behind(world), *still_open(world), *catalog(world, expected), *tables(world, expected)]
    found += [*history(world), *quiet(world), *unread(world, expected), *told_what_is_not_so(world)]
    for job, status in expected.ends:
        found += ending(world, job, status, expected.runs.get(job.job_id, 1), expected.tables)
    return found


def still_open(world: World) -> Iterator[str]:
    for row in world.rows("SELECT job_id, status, stage FROM app.jobs WHERE status IN ('queued', 'processing')"):
        yield f"a job never ended: {row}"
    for row in world.rows("SELECT task_id, status FROM app.tasks WHERE status IN ('pending', 'queued', 'processing')"):
        yield f"a task never ended: {row}"


def unread(world: World, expected: Expected) -> Iterator[str]:
    kept = world.rows("SELECT message_id FROM app.dead_letters ORDER BY message_id")
    if kept != [(name,) for name in expected.unreadable]:
        yield f"the unreadable messages that were kept are {kept}"


def left_behind(world: World) -> Iterator[str]:
    for (name,) in world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"):
        yield f"the staging table {name} is left"
    for (rows,) in world.rows("SELECT count(*) FROM app.batches HAVING count(*) > 0"):
        yield f"{rows} rows are left in the ledger"
    for (rows,) in world.rows(
        "SELECT count(*) FROM app.rejects LEFT JOIN app.jobs AS j USING (job_id)"
        " WHERE j.run IS DISTINCT FROM rejects.run HAVING count(*) > 0"
    ):
        yield f"{rows} rejects of runs that nobody asks for any more are left"
    for name in world.chunks():
        yield f"the chunk {name} is left"
    for path in world.disk.folder.iterdir():
        yield f"the temporary folder {path.name} is left"


def ending(world: World, job: Job, status: JobStatus, run: int, tables: Container[str]) -> Iterator[str]:
    ended = world.rows("SELECT status, run, error::text, stage FROM app.jobs WHERE job_id = %s", job)
    if ended[0][:2] != (status, run):
        yield f"the job should be {status} in run {run}, but is {ended[0]}"
    runs = world.rows("SELECT run, status FROM app.job_runs WHERE job_id = %s ORDER BY run", job)
    if runs != [(n, status) for n in range(1, run + 1)]:
        yield f"the history of the job's runs is {runs}"
    if status == JobStatus.COMPLETED and ended[0][3] != job.total_stages + 1:
        yield f"completed, but at stage {ended[0][3]}"
    yield from counters(world, job, status)
    yield from told_of(world, job, status, run)
    if ended[0][0] == status == JobStatus.COMPLETED and job.parameters["table_name"] in tables:
        yield from receipt(world, job)


def told_of(world: World, job: Job, status: JobStatus, run: int) -> Iterator[str]:
    """Of the end of every run, at least once; unless the receiver was away for so long that it was given up."""
    given_up = {name for (name,) in world.rows("SELECT event_id FROM app.notifications WHERE given_up_at IS NOT NULL")}
    told = {event["id"] for event in world.webhook.told} | given_up
    for name in (f"{job.job_id}-{n}-{status}" for n in range(1, run + 1)):
        if name not in told:
            yield f"nobody was told of {name}"


def told_what_is_not_so(world: World) -> Iterator[str]:
    """What was told has happened, and no event of an id was told in two ways."""
    ends = {
        f"{job_id}-{run}-{status}" for job_id, run, status in world.rows("SELECT job_id, run, status FROM app.job_runs")
    }
    seen: dict[str, object] = {}
    for event in world.webhook.told:
        if event["type"].rpartition(".")[2] in ENDED and event["id"] not in ends:
            yield f"{event['id']} was told of and never happened"
        if seen.setdefault(event["id"], event) != event:
            yield f"{event['id']} was told of in two ways"
    for (name,) in world.rows(UNTOLD):
        yield f"{name} was never told of"


def receipt(world: World, job: Job) -> Iterator[str]:
    """Every row of the file is accounted for, and what is said to be loaded is in the table."""
    result = world.rows("SELECT result FROM app.jobs WHERE job_id = %s", job)[0][0]
    rows = result["rows"]
    if rows["read"] != rows["loaded"] + sum(rows["rejected"].values()):
        yield f"the receipt does not add up: {rows}"
    in_table = world.rows(f"SELECT count(*) FROM geo.{job.parameters['table_name']}")[0][0]  # noqa: S608
    if in_table != rows["loaded"]:
        yield f"the receipt says {rows['loaded']} rows, the table has {in_table}"
    kept = world.rows("SELECT reason, count(*) FROM app.rejects WHERE job_id = %s GROUP BY reason", job)
    if dict(kept) != rows["rejected"]:
        yield f"the receipt says {rows['rejected']}, but kept are {kept}"


def counters(world: World, job: Job, status: JobStatus) -> Iterator[str]:
    query = """
        SELECT s.run, s.stage, s.expected, s.completed, s.failed, count(t.task_id),
               count(*) FILTER (WHERE t.status = 'completed'), count(*) FILTER (WHERE t.status = 'failed')
          FROM app.job_stages AS s LEFT JOIN app.tasks AS t USING (job_id, run, stage)
         WHERE s.job_id = %s GROUP BY s.run, s.stage, s.expected, s.completed, s.failed"""
    rows = world.rows(query, job)
    for run, stage, expected, completed, failed, tasks, done, lost in rows:
        if (expected, completed, failed) != (tasks, done, lost):
            yield f"run {run} stage {stage} counts {expected}/{completed}/{failed}, its tasks {tasks}/{done}/{lost}"
    if status == JobStatus.COMPLETED and [(row[2], row[1]) for row in rows if row[2] != row[3]]:
        yield f"completed with open stages: {rows}"
    if status == JobStatus.COMPLETED and {row[1] for row in rows} != {*range(1, job.total_stages + 1)}:
        yield f"completed with {len(rows)} stages"


def tables(world: World, expected: Expected) -> Iterator[str]:
    there = {name for (name,) in world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'geo'")}
    if there != {*expected.tables, "t", "table_metadata"}:
        yield f"the schema has the tables {sorted(there)}"
    for name, rows in expected.tables.items():
        found = world.rows(f"SELECT id, name, ST_X(geom), ST_Y(geom) FROM geo.{name} ORDER BY id")  # noqa: S608
        if found != rows:
            yield f"{name} has {len(found)} rows instead of {len(rows)}, or other values"
    owner = world.rows("SELECT tableowner FROM pg_tables WHERE schemaname = 'geo' AND tablename = 't'")
    readable = world.rows("SELECT has_table_privilege('pg_read_all_settings', 'geo.t', 'SELECT')")
    if owner != [("pg_monitor",)] or readable != [(True,)]:
        yield f"the table belongs to {owner}, readable: {readable}"


def catalog(world: World, expected: Expected) -> Iterator[str]:
    """Metadata, item and indexes are those of the run that published the table."""
    publishers = {
        job.parameters["table_name"]: job
        for job, status in expected.ends
        if status == JobStatus.COMPLETED and job.parameters["table_name"] in expected.tables
    }
    query = """
        SELECT m.table_name, m.job_id, m.feature_count, i.content->'properties'->>'etl:job_id',
               (i.content->'properties'->>'table:row_count')::bigint,
               count(x.indexrelid) FILTER (WHERE x.indisvalid), count(x.indexrelid) FILTER (WHERE x.indisprimary)
          FROM geo.table_metadata AS m
          LEFT JOIN pgstac.items AS i ON i.id = m.stac_item
          LEFT JOIN pg_index AS x ON x.indrelid = ('geo.' || m.table_name)::regclass
         GROUP BY m.table_name, m.job_id, m.feature_count, i.content"""
    for name, job_id, rows, item_job, item_rows, indexes, keys in world.rows(query):
        job = publishers.pop(name, None)
        if job is None and "shapes" in expected.tables:
            continue
        wanted = len(expected.tables.get(name, OLD_ROWS))
        if job is not None and job_id != job.job_id:
            yield f"the metadata of {name} are those of another job"
        if job is None and rows != len(OLD_ROWS):
            yield f"the metadata of {name} changed"
        if (rows, item_rows, item_job) != (wanted, wanted, job_id):
            yield f"{name}: metadata say {rows} rows, the item {item_rows} (wanted {wanted}), of {item_job}"
        if (indexes, keys) != (3, 1):
            yield f"{name} has {indexes} indexes, {keys} primary keys"
    for name in publishers:
        yield f"{name} has no metadata"
    query = "SELECT id FROM pgstac.items WHERE id NOT IN (SELECT stac_item FROM geo.table_metadata)"
    for (name,) in world.rows(query):
        yield f"the item {name} describes no table"


def history(world: World) -> Iterator[str]:
    """Terminal states stay, tasks complete once, stages advance once and in order."""
    for row in world.rows(
        "SELECT kind, id, was, became FROM audit.steps WHERE kind IN ('task', 'job') AND was = ANY(%s)"
        " AND became <> was AND NOT (kind = 'job' AND became = 'queued')",
        list(ENDED),
    ):
        yield f"a terminal state changed: {row}"
    for row in world.rows(
        "SELECT id, count(*) FROM audit.steps WHERE kind = 'task' AND became = 'completed' AND was <> became"
        " GROUP BY id HAVING count(*) > 1"
    ):
        yield f"a task was completed more than once: {row}"
    for row in world.rows(
        "SELECT id, run, stage, count(*) FROM audit.steps WHERE kind = 'stage' GROUP BY id, run, stage"
        " HAVING count(*) > 1"
    ):
        yield f"a stage was advanced more than once: {row}"
    for row in world.rows(
        "SELECT s.id, s.became, t.task_id FROM audit.steps AS s"
        " JOIN app.tasks AS t ON t.job_id = s.id AND t.run = s.run AND t.stage = s.was::integer"
        " LEFT JOIN audit.steps AS e ON e.id = t.task_id AND e.became = 'completed' AND e.was <> 'completed'"
        " WHERE s.kind = 'stage' AND (e.n IS NULL OR e.n > s.n)"
    ):
        yield f"a stage was left before all of it was done: {row}"
    for row in world.rows(
        "SELECT DISTINCT later.id FROM audit.steps AS later JOIN app.tasks AS t ON t.task_id = later.id"
        " JOIN app.tasks AS e ON e.job_id = t.job_id AND e.run = t.run AND e.stage < t.stage"
        " JOIN audit.steps AS earlier ON earlier.id = e.task_id"
        " WHERE later.kind = 'task' AND earlier.became = 'completed' AND earlier.was <> 'completed'"
        " AND earlier.n > later.n"
    ):
        yield f"a task moved before the stages before it were done: {row}"


def quiet(world: World) -> Iterator[str]:
    """No lock and no transaction outlives its work."""
    query = """
        SELECT (SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()),
               (SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%')"""
    locks, transactions = world.rows(query)[0]
    if locks or transactions:
        yield f"{locks} advisory locks and {transactions} transactions are open"
    if world.broker.held or world.broker.dead:
        yield f"messages are left: {world.broker.held} {world.broker.dead}"
