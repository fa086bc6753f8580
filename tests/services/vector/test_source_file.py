"""Temporary folders end with their work, or are found and removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.vector.source_file import TEMPORARY, remove_abandoned_folders, temporary_folder


@pytest.fixture(autouse=True)
def temporary_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_removed_when_its_work_fails(temporary_root: Path) -> None:
    def work() -> None:
        with temporary_folder() as folder:
            (folder / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list(temporary_root.iterdir()) == []


def test_the_folder_of_a_process_that_is_gone_is_removed_and_that_of_a_running_one_is_not(temporary_root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        gone.wait()
    (temporary_root / f"{TEMPORARY}{gone.pid}-x").mkdir()
    (temporary_root / f"{TEMPORARY}{os.getpid()}-x").mkdir()
    (temporary_root / "somebody-elses").mkdir()
    assert remove_abandoned_folders(older_than_seconds=3600) == [f"{TEMPORARY}{gone.pid}-x"]
    assert len(list(temporary_root.iterdir())) == 2


def test_a_folder_older_than_any_function_may_run_is_removed(temporary_root: Path) -> None:
    folder = temporary_root / f"{TEMPORARY}{os.getpid()}-x"
    folder.mkdir()
    os.utime(folder, (time.time() - 7200, time.time() - 7200))
    assert remove_abandoned_folders(older_than_seconds=3600) == [folder.name]
