"""A file as a job through the whole app in one process, and what must be true however it ends.

The table geo.t is there before, and each job would replace it. It is loaded with every row accounted for, or the job
fails with a code that docs/errors.md has and the table is as it was. Nothing else is left: no staging table, chunk or
temporary file. A parser may crash, which costs one job with a clear code; a defect of ours is a problem, and so is a
file that takes too long.
"""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from core.errors import AppError
from core.inspection import Inspections
from core.models.job import Job
from core.submission import Submissions
from local.stack import database as databases
from local.stack.server import Server
from tests.conftest import CLONES, ROOT
from tests.docs.test_errors import documented
from tests.faults.boundaries import Laboratory, own_folder
from tests.faults.boundaries_world import World, ensure_silver, opened

# Of a file of some kB; the longest that is read takes about one.
PATIENCE_SECONDS = 20.0
# What a user could do nothing about.
OURS = {"internal_error", "parser_timeout", "parser_lost", "timeout", "worker_lost", "task_failed", "dead_lettered"}
LOADED, IN_PART = "loaded", "loaded in part"
TABLE = "SELECT to_regclass('geo.t')::oid, pg_relation_filenode(to_regclass('geo.t'))"


@dataclass
class Verdict:
    """ends: LOADED, IN_PART, or the code it failed with."""

    ends: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@contextmanager
def base_database(server: Server, blob_storage: str) -> Iterator[Laboratory]:
    """With an empty database; `Laboratory.prepare` publishes geo.t in it."""
    laboratory = Laboratory(server, blob_storage, CLONES + "base" + uuid4().hex[:8])
    databases.create(server, laboratory.base, template=databases.template(server, ROOT))
    try:
        yield laboratory
    finally:
        databases.drop(server, laboratory.base)


@contextmanager
def cloned_world(laboratory: Laboratory) -> Iterator[World]:
    """On a clone of the prepared database."""
    name = CLONES + uuid4().hex[:12]
    databases.create(laboratory.server, name, template=laboratory.base)
    settings = laboratory.settings(name)
    ensure_silver(settings)
    try:
        with opened(laboratory.server.url(name), settings, own_folder()) as world:
            yield world
    finally:
        databases.drop(laboratory.server, name)


def loaded(world: World, name: str, content: bytes, params: Mapping[str, Any]) -> Verdict:
    """What comes of a file of this name when it is submitted with these parameters."""
    verdict, started = Verdict(), time.perf_counter()
    try:
        with world.bronze_blob(name, content) as blob:
            judge(world, blob, params, verdict)
    except Exception:  # noqa: BLE001  what cannot be judged is a problem
        verdict.problems.append(traceback.format_exc(limit=-6))
    verdict.seconds = time.perf_counter() - started
    if verdict.seconds > PATIENCE_SECONDS:
        verdict.problems.append(f"it took {verdict.seconds:.0f} s")
    return verdict


def judge(world: World, blob: str, params: Mapping[str, Any], verdict: Verdict) -> None:
    foreseen = inspected(world, blob, params)
    before = world.rows(TABLE)
    try:
        job = world.submit(blob, overwrite=True, **params)
    except AppError as error:
        verdict.ends = error.code
    else:
        verdict.ends = ended(world, job, verdict.problems)
    if verdict.ends in OURS or verdict.ends not in documented() | {LOADED, IN_PART}:
        verdict.problems.append(f"it ended with {verdict.ends}")
    if verdict.ends not in (LOADED, IN_PART) and world.rows(TABLE) != before:
        verdict.problems.append("it failed, and the table is another")
    verdict.problems += leftovers(world)
    if foreseen is not None and (verdict.ends in (LOADED, IN_PART)) == bool(foreseen):
        verdict.problems.append(f"it ended with {verdict.ends}, and a look before had foreseen {foreseen or 'nothing'}")


def inspected(world: World, blob: str, params: Mapping[str, Any]) -> set[str] | None:
    """Codes of what would be refused; None when not all of the file was looked at."""
    body = {"blob_name": blob, "table_name": "t", "overwrite": True, **params}
    try:
        told = Inspections(Submissions(world.machine), PATIENCE_SECONDS).inspect("process_vector", body)
    except AppError as error:
        return {error.code}
    return {refusal["code"] for refusal in told["refusals"]} if told.get("complete", True) else None


def ended(world: World, job: Job, problems: list[str]) -> str:
    world.drain()
    if not world.has_ended():
        world.settle(lambda: True)
    ((status, result, error),) = world.rows("SELECT status, result, error FROM app.jobs WHERE job_id = %s", job)
    if status == "failed":
        if error["code"] in OURS:
            problems.append(str(error))
        return str(error["code"])
    if status != "completed":
        return f"the job is {status}"
    rows = result["rows"]
    rejected = sum(rows["rejected"].values())
    ((count,),) = world.rows("SELECT count(*) FROM geo.t")
    if not (rows["read"] == rows["loaded"] + rejected and rows["loaded"] == count > 0):
        problems.append(f"{rows}, and the table has {count}")
    return IN_PART if rejected else LOADED


def leftovers(world: World) -> Iterator[str]:
    for (name,) in world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"):
        yield f"the staging table {name} is left"
    if chunks := world.chunks():
        yield f"{len(chunks)} chunks are left"
    if files := list(world.disk.folder.iterdir()):
        yield f"{len(files)} temporary files are left"
