"""The running app, its client, and its command line as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import RunningApp
from tests.flow.conftest import flow, session_flow, table
from tests.flow.flow import Json
from vector_etl import Client

__all__ = ["flow", "session_flow", "table"]

PROGRAM = Path(sys.executable).parent / "vector-etl"
POINTS = "name,lat,lon\na,1,2\nb,3,4\n"
PLACE = ("--lat", "lat", "--lon", "lon")


@pytest.fixture
def client(app: RunningApp) -> Iterator[Client]:
    with Client(app.base_url, app.key) as client:
        yield client


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(POINTS)
    return path


@dataclass(frozen=True)
class CommandLine:
    """vector-etl as a user runs it; its exit code has to be the one that is expected."""

    environment: dict[str, str]
    folder: Path

    def __call__(self, *arguments: str | Path, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run([PROGRAM, *arguments], **self.place, capture_output=True, text=True, timeout=120)
        assert ran.returncode == exit_code, f"{ran.returncode}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran

    def json(self, *arguments: str | Path, exit_code: int = 0) -> Json:
        told: Json = json.loads(self(*arguments, "--json", exit_code=exit_code).stdout)
        return told

    def start(self, *arguments: str | Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen([PROGRAM, *arguments], **self.place, stdout=subprocess.PIPE, stderr=stderr, text=True)

    @property
    def place(self) -> Json:
        return {"env": self.environment, "cwd": self.folder, "stdin": subprocess.DEVNULL}


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {name: value for name, value in kept.items() if not name.startswith("VECTOR_ETL")} | more


@pytest.fixture
def vector_etl(app: RunningApp, tmp_path: Path) -> CommandLine:
    return CommandLine(environment(VECTOR_ETL_URL=app.base_url, VECTOR_ETL_KEY=app.key), tmp_path)
