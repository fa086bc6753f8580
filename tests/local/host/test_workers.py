import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from local.host.pool import ALARMED_PAUSE, RESTARTS_BEFORE_ALARM, pause_before_restart
from tests.local.host.running import GRACE_SECONDS, LOCK_SECONDS, RunningBus, RunningHost, wait_until


def test_two_workers_share_the_work_by_load(host: RunningHost) -> None:
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda _: host.get("sleep/0.5").json()["pid"], range(2)))
    assert sorted(answers) == sorted(worker.pid for worker in host.workers())


def test_a_worker_killed_at_work_gives_its_message_back_at_once_and_is_replaced(bus: RunningBus, folder: Path) -> None:
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-3") as host:
        host.send({"name": "interrupted", "sleep_times": 1, "sleep": 5})
        worker = host.record("order", order="interrupted")["pid"]
        os.kill(worker, signal.SIGKILL)
        killed_at = time.time()
        host.record("done", order="interrupted")
        first, second = host.records("order", order="interrupted")
        assert (first["delivery_count"], second["delivery_count"]) == (1, 2)
        assert second["pid"] != worker
        assert second["at"] - killed_at < 5
        assert [each.pid for each in host.workers()] == [second["pid"]]
        assert host.get("livez").status_code == 200


def test_a_crash_takes_down_only_what_ran_on_that_worker(bus: RunningBus, folder: Path) -> None:
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-4", FUNCTIONS_WORKER_PROCESS_COUNT="2") as host:
        with ThreadPoolExecutor() as threads:
            slow = threads.submit(host.get, "sleep/1")
            host.record("sleeping")
            crashed = host.get("crash")
        assert (crashed.status_code, crashed.content) == (500, b"")
        assert slow.result().status_code == 200
        wait_until(lambda: len(host.workers()) == 2, "a second worker again")


def test_a_function_that_runs_too_long_is_killed_with_all_that_runs_on_its_worker(
    bus: RunningBus, folder: Path
) -> None:
    override = {"AzureFunctionsJobHost__functionTimeout": "00:00:01", "ORDERS_QUEUE": "queue-5"}
    with RunningHost(folder, bus, **override) as host:
        [worker] = host.workers()
        host.send({"name": "overdue", "sleep_times": 1, "sleep": 20})
        started_at = host.record("order", order="overdue")["at"]
        assert host.get("sleep/20").status_code == 500
        assert 0.9 < time.time() - started_at < 3
        assert "orders exceeded functionTimeout" in host.log()
        _, alive = psutil.wait_procs([worker], timeout=2)
        assert alive == []
        host.record("done", order="overdue")
        assert [each["delivery_count"] for each in host.records("order", order="overdue")] == [1, 2]


def test_the_workers_die_with_the_host(bus: RunningBus, folder: Path) -> None:
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-6", FUNCTIONS_WORKER_PROCESS_COUNT="2") as host:
        workers = host.workers()
        assert len(workers) == 2
        with suppress(httpx.TimeoutException):
            host.get("sleep/30", timeout=0.2)
        host.record("sleeping")
        host.end(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=3)
        assert alive == []


def test_sigterm_lets_what_can_finish_finish_and_gives_the_rest_back(bus: RunningBus, folder: Path) -> None:
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-7") as host:
        workers = host.workers()
        host.send({"name": "last", "sleep": 1.5 * LOCK_SECONDS}, {"name": "endless", "sleep_times": 1, "sleep": 60})
        host.record("order", order="last")
        host.record("order", order="endless")
        host.process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        wait_until(lambda: "stopping" in host.log(), "the host to stop")
        host.send({"name": "too late"})
        assert host.process.wait(20) == 0
        assert time.monotonic() - asked_at < GRACE_SECONDS + 4
        assert host.records("done", order="last")
        assert not host.records("order", order="too late")
        _, alive = psutil.wait_procs(workers, timeout=1)
        assert alive == []

        host.start()
        host.record("done", order="too late")
        host.record("done", order="endless")
        assert [each["delivery_count"] for each in host.records("order", order="endless")] == [1, 2]
        assert len(host.records("order", order="last")) == 1


def test_an_app_that_cannot_be_imported_is_said_so_at_once(bus: RunningBus, folder: Path) -> None:
    host = RunningHost(folder, bus)
    (host.app / "function_app.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(AssertionError, match="cannot start: ModuleNotFoundError: No module named 'nothing_of_that"):
        host.start()
    assert host.process.wait(5) == 1


def test_a_taken_port_is_said_so_at_once(bus: RunningBus, folder: Path) -> None:
    host = RunningHost(folder, bus)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host.port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=r"cannot start: .*in use"):
            host.start()


def test_the_host_waits_out_workers_that_do_not_start(bus: RunningBus, folder: Path) -> None:
    with RunningHost(folder, bus, ORDERS_QUEUE="queue-8") as host:
        function_app = host.app / "function_app.py"
        sound = function_app.read_text()
        function_app.write_text("import nothing_of_that_name\n")
        assert host.get("crash").status_code == 500
        wait_until(lambda: host.log().count("no new worker") >= 2, "a second failure")
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(host.get, "livez")
            function_app.write_text(sound)
            assert waiting.result().status_code == 200


def test_a_worker_that_keeps_failing_is_tried_again_ever_more_slowly_for_ever() -> None:
    pauses = [pause_before_restart(failures) for failures in range(RESTARTS_BEFORE_ALARM + 3)]
    assert pauses[:2] == [0, 0]
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-2:] == [ALARMED_PAUSE, ALARMED_PAUSE]
