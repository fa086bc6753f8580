"""What keeps us from ending processes of others."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from local.stack.layout import Layout
from local.stack.processes import Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a grandchild, says its pid, and lives on.
WITH_CHILD = [
    sys.executable,
    "-u",
    "-c",
    "import subprocess, sys, time\n"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True).pid)\n"
    "time.sleep(60)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(Layout(tmp_path, "one"))
    yield processes
    processes.end_strays()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not ours to end."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_a_process_is_found_again_by_another_run(processes: Processes) -> None:
    launched = processes.launch("part", SLEEP, port=4711)
    assert Processes(processes.layout).running("part") == launched
    processes.end("part")
    assert Processes(processes.layout).running("part") is None
    assert not is_alive(launched.pid)


def test_a_recorded_pid_that_belongs_to_another_process_by_now_is_left_alone(
    processes: Processes, bystander: subprocess.Popen[bytes]
) -> None:
    launched = processes.launch("part", SLEEP, port=4711)
    stale = replace(launched, pid=bystander.pid, started=launched.started - 3600)
    processes.record_path("part").write_text(json.dumps(asdict(stale)))
    assert processes.running("part") is None
    processes.end("part")
    assert bystander.poll() is None


def test_a_record_that_names_a_process_we_did_not_start_is_not_believed(
    processes: Processes, bystander: subprocess.Popen[bytes]
) -> None:
    launched = processes.launch("part", SLEEP, port=4711)
    wrong = replace(launched, pid=bystander.pid, started=psutil.Process(bystander.pid).create_time())
    processes.record_path("part").write_text(json.dumps(asdict(wrong)))
    assert processes.running("part") is None
    processes.end("part")
    assert bystander.poll() is None
    assert not is_alive(launched.pid)


def test_a_process_without_our_mark_is_no_stray(processes: Processes, bystander: subprocess.Popen[bytes]) -> None:
    processes.end_strays()
    assert bystander.poll() is None


def test_a_process_of_another_instance_is_no_stray(processes: Processes) -> None:
    other = Processes(Layout(processes.layout.root, "two"))
    launched = other.launch("part", SLEEP, port=4711)
    processes.end_strays()
    assert other.running("part") == launched
    other.kill("part")


def test_a_process_whose_record_was_never_written_is_ended_as_a_stray(processes: Processes) -> None:
    launched = processes.launch("part", SLEEP, port=4711)
    processes.record_path("part").unlink()
    processes.end_strays()
    assert not processes.lives(launched)


def test_what_a_killed_process_leaves_behind_ends_with_it(processes: Processes) -> None:
    launched = processes.launch("part", WITH_CHILD, port=4711)
    child = int(first_line(processes, "part"))
    psutil.Process(launched.pid).kill()
    processes.end("part")
    assert not is_alive(child)


def test_a_process_that_does_not_listen_to_reason_is_ended_by_force(processes: Processes) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    launched = processes.launch("part", [sys.executable, "-c", stubborn], port=4711)
    first_line(processes, "part")
    processes.end("part", patience=0.2)
    assert not is_alive(launched.pid)


def first_line(processes: Processes, name: str) -> str:
    deadline = time.monotonic() + 10
    while not processes.log_tail(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes.log_tail(name).splitlines()[0]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
