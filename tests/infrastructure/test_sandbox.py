"""Whatever happens in the sandbox happens to one call, has a name, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psutil
import pytest

from core.errors import AppError, InvalidInput, Transient
from infrastructure.sandbox import Crashed, OutOfMemory, Sandbox, TimedOut
from infrastructure.sandbox.protocol import Message
from tests.infrastructure import sandboxed

FUNCTIONS = [name for name, value in vars(sandboxed).items() if getattr(value, "__module__", "") == sandboxed.__name__]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = Sandbox([named(function) for function in FUNCTIONS], memory_mb=256)
    yield opened
    opened.close()


def named(function: str) -> str:
    return f"{sandboxed.__name__}:{function}"


def may_give_up_its_network() -> bool:
    return subprocess.run(["unshare", "--net", "--map-root-user", "true"], check=False).returncode == 0


def deaf(_told: Message) -> None:
    return


def call(sandbox: Sandbox, function: str, *, seconds: float = 20.0, **arguments: Any) -> Message:
    return sandbox.call(named(function), arguments, seconds=seconds, hear=deaf)


def server_of(sandbox: Sandbox) -> psutil.Process:
    parent = call(sandbox, "surroundings")["parent"]
    return psutil.Process(parent)


def test_it_returns_what_the_function_returns(sandbox: Sandbox) -> None:
    assert call(sandbox, "echo", text="é😀", numbers=[1, 2.5, None]) == {"text": "é😀", "numbers": [1, 2.5, None]}


def test_what_it_tells_is_heard_in_order_and_waited_for(sandbox: Sandbox) -> None:
    heard: list[int] = []
    sandbox.call(named("count"), {"to": 100}, seconds=20, hear=lambda told: heard.append(told["number"]))
    assert heard == list(range(100))


def test_an_answer_of_many_megabytes_arrives(sandbox: Sandbox) -> None:
    text = "x" * 5_000_000
    assert call(sandbox, "echo", text=text) == {"text": text}


class SlowToListen(Sandbox):
    def _listen(self, *given: Any) -> Any:
        time.sleep(0.5)
        return super()._listen(*given)


def test_an_answer_that_just_fills_the_channel_is_followed_by_the_end() -> None:
    """The socket's buffer takes about 200 kB."""
    with closing(SlowToListen([named("echo")], memory_mb=256)) as sandbox, ThreadPoolExecutor(16) as pool:
        for answer in pool.map(lambda size: call(sandbox, "echo", text="x" * size), range(50_000, 450_000, 5_000)):
            assert answer


def test_each_call_has_a_process_of_its_own_that_is_gone_afterwards(sandbox: Sandbox) -> None:
    first, second = (call(sandbox, "surroundings")["pid"] for _ in range(2))
    assert first != second
    assert not psutil.pid_exists(first)


def test_it_knows_no_secret_and_holds_nothing_of_the_workers(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGIS_PASSWORD", "a secret")
    fresh = Sandbox([named("surroundings")], memory_mb=256)
    with socket.create_server(("127.0.0.1", 0)):
        found = call(fresh, "surroundings")
    fresh.close()
    assert "a secret" not in str(found["environment"]) + found["at_start"]
    # Its channel.
    assert found["sockets"] == 1
    assert found["core"] == [0, 0]
    assert found["threads"] == 1


def test_a_refusal_keeps_all_that_it_says(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInput) as refused:
        call(sandbox, "refuse")
    error = refused.value
    assert (error.code, error.message, error.parameter) == ("no_good", "it is no good. Mend it.", "blob_name")
    assert (error.remedy, error.details) == ("Mend it.", {"row": 3})


def test_a_defect_is_not_the_users(sandbox: Sandbox) -> None:
    with pytest.raises(AppError) as failed:
        call(sandbox, "fail")
    assert failed.value.code == "internal_error"
    assert "a defect" not in failed.value.message
    assert "ValueError: a defect" in str(failed.value.__cause__)


@pytest.mark.parametrize(("function", "name"), [("crash", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_is_told_by_its_signal(sandbox: Sandbox, function: str, name: str) -> None:
    with pytest.raises(Crashed) as crashed:
        call(sandbox, function)
    assert crashed.value.signal == name
    assert call(sandbox, "echo", still="alive") == {"still": "alive"}


@pytest.mark.parametrize("function", ["loop", "burn"])
def test_what_does_not_end_is_ended(sandbox: Sandbox, function: str) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut):
        call(sandbox, function, seconds=0.5)
    assert time.monotonic() - began < 10


def test_memory_has_a_limit_and_what_fits_is_given(sandbox: Sandbox) -> None:
    assert call(sandbox, "hog", mb=200) == {"bytes": 200 << 20}
    with pytest.raises(OutOfMemory):
        call(sandbox, "hog", mb=300)


def test_a_child_that_the_kernel_kills_is_worth_another_try(sandbox: Sandbox) -> None:
    with pytest.raises(MemoryError):
        sandbox.call(named("loop"), {}, seconds=20, hear=lambda told: os.kill(told["pid"], signal.SIGKILL))


def test_it_cannot_reach_a_server_on_this_machine(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not may_give_up_its_network():
            pytest.skip("this kernel lets no ordinary process give its network up")
        with pytest.raises(AppError) as failed:
            call(sandbox, "call_home", port=server.getsockname()[1])
        assert "Errno" in str(failed.value.__cause__)


def test_nonsense_is_an_error_and_harms_nobody(sandbox: Sandbox) -> None:
    with pytest.raises(AppError):
        call(sandbox, "say_nonsense")
    assert call(sandbox, "echo", still="alive") == {"still": "alive"}


def test_many_calls_at_once_do_not_mix(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: call(sandbox, "echo", number=number), range(60)))
    assert found == [{"number": number} for number in range(60)]


def test_a_call_is_not_delayed_by_one_that_does_not_end(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(call, sandbox, "burn", seconds=3.0)
        began = time.monotonic()
        call(sandbox, "echo")
        assert time.monotonic() - began < 2
        with pytest.raises(TimedOut):
            endless.result()


def test_who_stops_listening_ends_the_child(sandbox: Sandbox) -> None:
    children: list[psutil.Process] = []

    def lose_interest(told: Message) -> None:
        children.append(psutil.Process(told["pid"]))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sandbox.call(named("loop"), {}, seconds=20, hear=lose_interest)
    ended, alive = psutil.wait_procs(children, timeout=5)
    assert ended == children
    assert not alive


def test_a_server_that_was_killed_is_started_again(sandbox: Sandbox) -> None:
    server_of(sandbox).kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert call(sandbox, "echo", back=True) == {"back": True}
        except Transient:
            continue
        else:
            return
    pytest.fail("it was not started again")


def test_calls_under_way_when_the_server_dies_may_be_tried_again(sandbox: Sandbox) -> None:
    server = server_of(sandbox)
    with pytest.raises(Transient) as lost:
        sandbox.call(named("loop"), {}, seconds=20, hear=lambda _told: server.kill())
    assert lost.value.code == "parser_lost"


def test_nothing_outlives_the_worker() -> None:
    closing = Sandbox([named("surroundings")], memory_mb=256)
    server = server_of(closing)
    closing.close()
    assert not server.is_running()
