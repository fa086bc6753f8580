"""Microsoft's own worker takes the apps this host takes, finds the same in them, and answers alike."""

import asyncio
import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from local.host.wire import FunctionInfo
from local.host.worker_process import WorkerProcess
from tests.local.host.running import ROOT, SAMPLE_APP

ENVIRONMENT = ROOT / ".local" / "py313"
REQUIREMENTS = ROOT / "requirements.txt"
RUNTIME = "azure-functions-runtime>=1.3,<2"
SCRIPT = Path(__file__).with_name("ms_worker.py")

Report = dict[str, Any]
Ask = Callable[..., Report]


def find_interpreter() -> str | None:
    """A Python 3.13 that runs: a version manager may put a shim on the PATH with nothing behind it."""
    managed = sorted((Path.home() / ".pyenv" / "versions").glob("3.13*/bin/python"))
    for candidate in (shutil.which("python3.13"), *map(str, managed)):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module")
def microsofts_python() -> Path:
    """The interpreter of an environment with Microsoft's worker, built once for each requirements.txt."""
    interpreter = find_interpreter()
    if interpreter is None:
        pytest.skip("no Python 3.13 on this machine, and Microsoft's worker library runs on nothing older")
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build_environment(interpreter)


def build_environment(interpreter: str) -> Path:
    python = ENVIRONMENT / "bin" / "python"
    built_for = ENVIRONMENT / "built-for"
    wanted = sha256(REQUIREMENTS.read_bytes() + RUNTIME.encode()).hexdigest()
    if not built_for.exists() or built_for.read_text() != wanted:
        subprocess.run([interpreter, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS), RUNTIME]
        subprocess.run(install, check=True)
        built_for.write_text(wanted)
    return python


@pytest.fixture
def ask(microsofts_python: Path, tmp_path: Path) -> Ask:
    """Have Microsoft's worker load an app and make calls; gives the report of ms_worker.py."""

    def ask(app: Path, *calls: dict[str, Any]) -> Report:
        report = tmp_path / "report.json"
        arguments = [argument for call in calls for argument in ("--call", json.dumps(call))]
        done = subprocess.run(
            [str(microsofts_python), str(SCRIPT), str(app), "--report", str(report), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer: Report = json.loads(report.read_text())
        return answer

    return ask


def indexed_here(app: Path) -> list[FunctionInfo]:
    async def index() -> list[FunctionInfo]:
        worker = await WorkerProcess.start(app)
        worker.kill()
        await worker.watch()
        return worker.functions

    return asyncio.run(index())


def test_both_find_the_same_functions_and_triggers_in_an_app(ask: Ask) -> None:
    theirs = ask(SAMPLE_APP)["functions"]
    assert theirs == {function.name: function.trigger for function in indexed_here(SAMPLE_APP)}


def test_microsofts_worker_runs_every_kind_of_function_of_the_sample_app(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tmp_path / "records"
    monkeypatch.setenv("RECORDS", str(records))
    report = ask(
        SAMPLE_APP,
        {"function": "echo", "method": "POST", "body": "hello"},
        {"function": "setting", "route": {"name": "RECORDS"}},
        {"function": "boom"},
        {"function": "orders", "body": '{"name": "first"}', "metadata": {"DeliveryCount": 2}},
        {"function": "orders", "body": '{"name": "second", "fail": true}'},
        {"function": "tick", "past_due": True},
    )
    echo, setting, boom, order, failing_order, tick = report["calls"]
    assert (echo["status"], echo["body"]) == (200, "hello")
    assert json.loads(setting["body"])["value"] == str(records)
    assert "the secret of the sample app" in boom["error"]
    assert order["ok"]
    assert not failing_order["ok"]
    assert tick["ok"]
    written = [json.loads(line) for line in records.read_text().splitlines()]
    assert [(each["kind"], each.get("delivery_count")) for each in written][:2] == [("order", 2), ("done", None)]
    assert written[-1]["past_due"] is True


if (ROOT / "function_app.py").exists():

    def test_microsofts_worker_loads_the_app_of_this_repository_and_finds_it_alive(
        ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
        for name, value in (settings | {"POSTGIS_PASSWORD": "of no database"}).items():
            monkeypatch.setenv(name, value)
        functions = {function.name: function.trigger for function in indexed_here(ROOT)}
        calls = [{"function": name} for name, trigger in functions.items() if is_livez(trigger)]
        report = ask(ROOT, *calls)
        assert report["functions"] == functions
        assert [call["status"] for call in report["calls"]] == [200] * len(calls)


def is_livez(trigger: dict[str, Any]) -> bool:
    return bool(trigger.get("route") == "livez" and trigger["authLevel"] == "ANONYMOUS")
