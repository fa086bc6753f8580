"""What can happen to the processes of the system. Each fault returns when it is over, and all parts are up again.

Only processes of our own stack are signalled, by their number.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil
import psycopg
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.stack.part import Part
from tests.faults.processes_ground import PATIENCE_SECONDS, App, Ground
from tests.faults.processes_load import Load, Order

QUEUES = ("geospatial-jobs", "vector-tasks")
POISON = (
    "this is not JSON",
    "{}",
    "[1, 2",
    '{"task_id": 7, "extra": true}',
    '{"task_id": "nobody-knows-this-task"}',
    '{"job_id": "unknown", "run": 1, "stage": 1}',
    "\x00\x01\x02",
)
# How a short function timeout shows: a job whose first stage takes longer than that must fail, and say why.
FUNCTION_TIMEOUT_SECONDS = 3


@dataclass
class Scene:
    """Where and when a fault happens: `load` is being submitted, `chance` is seeded with the run. `struck`: when it
    began to hurt, in seconds since the epoch."""

    ground: Ground
    load: Load
    chance: random.Random
    struck: float = field(default_factory=time.time)

    @property
    def lock(self) -> float:
        return self.ground.lock_seconds

    def busy_worker(self) -> psutil.Process | None:
        """The worker that used the most CPU lately, if any."""
        workers = [worker for worker in self.ground.app.workers() if worker.is_running()]
        if not workers:
            return None
        before = {worker.pid: cpu(worker) for worker in workers}
        time.sleep(0.15)
        return max(workers, key=lambda worker: cpu(worker) - before[worker.pid])

    def strike(self, number: signal.Signals, *processes: psutil.Process | None) -> None:
        send_signal(number, *processes)
        self.struck = time.time()


Fault = Callable[[Scene], None]


def cpu(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def send_signal(number: signal.Signals, *processes: psutil.Process | None) -> None:
    for process in processes:
        with suppress(psutil.Error):
            if process is not None:
                process.send_signal(number)


def serving(app: App, seconds: float = 60.0) -> None:
    """Wait until the app answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{app.url}/api/livez", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{app.name} does not answer again")


def restart(part: Part, away: float) -> None:
    time.sleep(away)
    part.start()


# Workers


def kill_worker(scene: Scene) -> None:
    """In the middle of an upload, if there is one."""
    scene.ground.wait_for(
        "SELECT 1 FROM app.tasks WHERE status = 'processing' AND task_type = 'process_vector_upload'", seconds=3
    )
    scene.strike(signal.SIGKILL, scene.busy_worker())


def kill_all_workers(scene: Scene) -> None:
    scene.strike(signal.SIGKILL, *scene.ground.app.workers())
    serving(scene.ground.app)


def stop_worker(scene: Scene, seconds: float) -> None:
    worker = scene.busy_worker()
    scene.strike(signal.SIGSTOP, worker)
    time.sleep(seconds)
    send_signal(signal.SIGCONT, worker)


def stop_worker_shortly(scene: Scene) -> None:
    stop_worker(scene, scene.lock * scene.chance.uniform(0.2, 0.6))


def stop_worker_beyond_lock(scene: Scene) -> None:
    stop_worker(scene, scene.lock * scene.chance.uniform(1.2, 1.6))


def out_of_memory(scene: Scene) -> None:
    """The kernel's kill: at the moment a worker holds the most memory."""
    deadline, highest, doomed = time.monotonic() + 1, 0, None
    while time.monotonic() < deadline:
        for worker in scene.ground.app.workers():
            with suppress(psutil.Error):
                if (rss := worker.memory_info().rss) > highest:
                    highest, doomed = rss, worker
        time.sleep(0.02)
    scene.strike(signal.SIGKILL, doomed)


def memory_limit(scene: Scene) -> None:
    """For a moment a worker gets no more memory: MemoryError wherever it needs some. Then it is ended."""
    worker = scene.busy_worker()
    with suppress(psutil.Error):
        if worker is not None:
            taken = worker.memory_info().vms
            worker.rlimit(psutil.RLIMIT_AS, (taken + (4 << 20), taken + (4 << 20)))
            time.sleep(scene.chance.uniform(0.3, 0.8))
            scene.strike(signal.SIGKILL, worker)


# The host


def kill_host(scene: Scene) -> None:
    app = scene.ground.app
    scene.strike(signal.SIGKILL, app.host())
    restart(app, scene.chance.uniform(0, 2))


def terminate_host(scene: Scene) -> None:
    scene.ground.app.stop()
    restart(scene.ground.app, scene.chance.uniform(0, 2))


def host_beyond_lock(scene: Scene) -> None:
    """The listener stands still while its workers work on: every lock is lost."""
    host = scene.ground.app.host()
    scene.strike(signal.SIGSTOP, host)
    time.sleep(scene.lock * scene.chance.uniform(1.2, 1.6))
    send_signal(signal.SIGCONT, host)


def zombie_host(scene: Scene) -> None:
    """All of a host stands still, beyond the lock; another one takes its tasks; then it wakes up and writes."""
    app, other = scene.ground.app, scene.ground.other_app
    frozen = [app.host(), *app.workers()]
    scene.strike(signal.SIGSTOP, *frozen)
    try:
        other.start()
        time.sleep(scene.lock * scene.chance.uniform(1.1, 1.4))
    finally:
        send_signal(signal.SIGCONT, *frozen)
    time.sleep(1)
    other.stop()


@contextmanager
def function_timeout_of(app: App, seconds: int) -> Iterator[None]:
    app.stop()
    app.extra["AzureFunctionsJobHost__functionTimeout"] = f"00:00:{seconds:02}"
    app.start()
    try:
        yield
    finally:
        app.stop()
        del app.extra["AzureFunctionsJobHost__functionTimeout"]
        app.start()


def function_timeout(scene: Scene) -> None:
    """Under a short limit a worker hangs and is killed by its host; and a source takes longer than a function may."""
    ground = scene.ground
    with function_timeout_of(ground.app, FUNCTION_TIMEOUT_SECONDS):
        ground.wait_for("SELECT 1 FROM app.tasks WHERE status = 'processing'", seconds=5)
        scene.strike(signal.SIGSTOP, scene.busy_worker())
        time.sleep(FUNCTION_TIMEOUT_SECONDS + 3)


# Service Bus


def bus_stopped(scene: Scene) -> None:
    scene.ground.bus.stop()
    restart(scene.ground.bus, scene.chance.uniform(1, 8))


def bus_killed(scene: Scene) -> None:
    scene.ground.bus.kill()
    restart(scene.ground.bus, scene.chance.uniform(0, 4))


def bus_frozen_beyond_lock(scene: Scene) -> None:
    running = scene.ground.bus.running
    assert running
    frozen = psutil.Process(running.pid)
    send_signal(signal.SIGSTOP, frozen)
    time.sleep(scene.lock * scene.chance.uniform(1.1, 1.4))
    send_signal(signal.SIGCONT, frozen)


def poison(scene: Scene) -> None:
    with ServiceBusClient.from_connection_string(scene.ground.bus.connection_string) as client:
        for queue in QUEUES:
            with client.get_queue_sender(queue) as sender:
                for body in POISON:
                    sender.send_messages(ServiceBusMessage(body))


def dead_letters(scene: Scene) -> None:
    """While the host is down, task messages go to the dead-letter queue."""
    ground = scene.ground
    ground.app.stop()
    with ServiceBusClient.from_connection_string(ground.bus.connection_string) as client:
        for queue in QUEUES:
            with client.get_queue_receiver(queue) as receiver:
                for message in receiver.receive_messages(max_message_count=20, max_wait_time=2):
                    receiver.dead_letter_message(message, reason="injected", error_description="by the test")
    ground.app.start()


# Postgres


def postgres_immediate(scene: Scene) -> None:
    postgres = scene.ground.postgres
    postgres.processes.end(postgres.name, by=signal.SIGQUIT, patience=30)
    restart(postgres, scene.chance.uniform(0, 1))


def postgres_killed(scene: Scene) -> None:
    scene.ground.postgres.kill()
    restart(scene.ground.postgres, 0)


def postgres_away(scene: Scene) -> None:
    """For less or more time than a message is held."""
    scene.ground.postgres.stop()
    restart(scene.ground.postgres, PATIENCE_SECONDS * scene.chance.uniform(0.4, 1.6))


def postgres_away_for_minutes(scene: Scene) -> None:
    scene.ground.postgres.stop()
    restart(scene.ground.postgres, 300)


def postgres_frozen(scene: Scene) -> None:
    running = scene.ground.postgres.running
    assert running
    leader = psutil.Process(running.pid)
    frozen = [leader, *leader.children()]
    send_signal(signal.SIGSTOP, *frozen)
    time.sleep(scene.chance.uniform(3, scene.lock * 1.3))
    send_signal(signal.SIGCONT, *frozen)


def connections_cut(scene: Scene) -> None:
    """Three times, a moment apart."""
    for _ in range(3):
        with suppress(psycopg.OperationalError):
            scene.ground.flow.all(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'vector-etl' AND datname = current_database()"
            )
        time.sleep(scene.chance.uniform(0.05, 0.8))


# Azurite, janitors, users


def azurite_stopped(scene: Scene) -> None:
    scene.ground.azurite.stop()
    restart(scene.ground.azurite, scene.chance.uniform(0.5, 2.5))


def second_janitor(scene: Scene) -> None:
    """All janitors at the same time from several sides, again and again."""
    app = scene.ground.app
    until = time.monotonic() + 3

    def run_them() -> None:
        with httpx.Client(headers={"x-functions-key": scene.ground.key}, timeout=60, trust_env=False) as client:
            while time.monotonic() < until:
                answer = client.post(f"{app.url}/api/cleanup/run")
                assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run_them) for _ in range(4)]:
            future.result()


def cancelled(scene: Scene) -> None:
    """Two jobs are cancelled in the middle, one of them twice at once."""
    ground = scene.ground
    open_jobs = [order for order in scene.load.orders if order.job_id and "completed" in order.outcomes]
    doomed = scene.chance.sample(open_jobs, min(2, len(open_jobs)))
    for order in doomed:
        order.outcomes = order.outcomes | {"cancelled"}
    threads = [threading.Thread(target=cancel, args=(ground, order)) for order in [*doomed, *doomed[:1]]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cancel(ground: Ground, order: Order) -> None:
    url = f"{ground.app.url}/api/jobs/cancel/{order.job_id}"
    answer = httpx.post(url, headers={"x-functions-key": ground.key}, timeout=60, trust_env=False)
    if answer.status_code == 200:
        order.outcomes = frozenset({"cancelled"})
    elif answer.status_code != 409:
        order.refusal = f"cancel answered {answer.status_code} {answer.text[:200]}"


CRASHES: dict[str, Fault] = {
    "kill_worker": kill_worker,
    "kill_all_workers": kill_all_workers,
    "out_of_memory": out_of_memory,
    "memory_limit": memory_limit,
    "kill_host": kill_host,
    "terminate_host": terminate_host,
    "zombie_host": zombie_host,
    "host_beyond_lock": host_beyond_lock,
    "function_timeout": function_timeout,
}
OUTAGES: dict[str, Fault] = {
    "bus_stopped": bus_stopped,
    "bus_killed": bus_killed,
    "bus_frozen_beyond_lock": bus_frozen_beyond_lock,
    "postgres_immediate": postgres_immediate,
    "postgres_killed": postgres_killed,
    "postgres_away": postgres_away,
    "postgres_frozen": postgres_frozen,
    "connections_cut": connections_cut,
    "azurite_stopped": azurite_stopped,
}
OTHERS: dict[str, Fault] = {
    "stop_worker_shortly": stop_worker_shortly,
    "stop_worker_beyond_lock": stop_worker_beyond_lock,
    "second_janitor": second_janitor,
    "poison": poison,
    "dead_letters": dead_letters,
    "cancelled": cancelled,
}
FAULTS: dict[str, Fault] = CRASHES | OUTAGES | OTHERS
SELDOM: dict[str, Fault] = {"postgres_away_for_minutes": postgres_away_for_minutes}


def ensure_up(ground: Ground) -> None:
    """After a fault went wrong half-way: whatever it left down comes up."""
    for part in (ground.postgres, ground.azurite, ground.bus, ground.app):
        if not part.up:
            part.start()
    ground.other_app.stop()
