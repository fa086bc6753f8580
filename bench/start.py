"""How long a fresh worker takes to its first task, beside `import pyogrio` in a fresh interpreter.

    python -m bench.start

From the start of the worker process, by the local host's own code and with the app's own settings, to the end of the
first task message that it is sent: a greeting, whose handler takes nothing. So the worker has imported the app, has
been indexed, has connected to the database, looked for migrations, and claimed and completed the task.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from bench.figures import Figure, arguments, conclude
from bench.many_tasks import NoBus
from core.config import Settings
from core.machine import CoreMachine
from core.models.messages import JobMessage, TaskMessage
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import Registry
from infrastructure.postgresql import PostgresDatabase
from jobs.hello_world import HELLO_WORLD
from local.host.wire import BusMessage
from local.host.worker_process import WorkerProcess
from local.stack import Stack

ROOT = Path(__file__).parent.parent
RUNS = 5
IMPORT = "import pyogrio; print('imported', flush=True)"


def waiting_tasks(settings: Settings, count: int) -> list[str]:
    """Tasks that nobody is told of, of a stage that has one more, so that none of them ends it."""
    database = PostgresDatabase(settings)
    try:
        machine = CoreMachine(StateManager(database), NoBus(), Registry(HELLO_WORLD), None)
        _, job = Submissions(machine).submit(HELLO_WORLD.name, {"n": count + 1, "message": uuid4().hex})
        machine.process_job_message(JobMessage(job_id=job.job_id, run=job.run, stage=1))
        return [f"{job.job_id}-{job.run}-1-{index}" for index in range(count)]
    finally:
        database.close()


async def seconds_to_first_task(task_id: str) -> float:
    body = TaskMessage(task_id=task_id).model_dump_json().encode()
    message = BusMessage(body, {"MessageId": f"{task_id}:1", "DeliveryCount": 1, "UserProperties": {}})
    began = time.perf_counter()
    worker = await WorkerProcess.start(ROOT)
    watching = asyncio.create_task(worker.watch())
    failed = await worker.run("vector_tasks", message)
    seconds = time.perf_counter() - began
    assert failed is None, failed
    worker.stop()
    await watching
    return seconds


def seconds_to_import() -> float:
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", IMPORT], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        return time.perf_counter() - began


def completed(url_settings: Settings, task_ids: list[str]) -> bool:
    database = PostgresDatabase(url_settings)
    try:
        tasks = [StateManager(database).get_task(task_id) for task_id in task_ids]
        return all(task and task.status == "completed" for task in tasks)
    finally:
        database.close()


def main() -> int:
    given = arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    with Stack(ROOT, "bench") as stack:
        stack.start("postgres", "servicebus", "azurite")
        stack.migrate()
        os.environ.update(stack.app.environment() | {"LOG_LEVEL": "WARNING"})
        settings = Settings()
        task_ids = waiting_tasks(settings, RUNS + 1)
        # Not counted: the files of both are in the page cache, their bytecode is compiled.
        pairs = [(asyncio.run(seconds_to_first_task(task_id)), seconds_to_import()) for task_id in task_ids][1:]
        assert completed(settings, task_ids), "not all first tasks are completed"
    ours, theirs = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    told = f"{ours:.2f} / {theirs:.2f} s"
    figure = Figure("start of a worker to its first task / import pyogrio", ours / theirs, None, told, at_most=2)
    return conclude("start", [figure], short=given.short)


if __name__ == "__main__":
    sys.exit(main())
