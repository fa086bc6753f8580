"""The official emulator's Config.json, and what is said about a bad one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.servicebus.config import BadConfig, QueueConfig, load_config
from tests.local.servicebus.stand_in import ROOT

DAY = 24 * 3600 * 1000


def config_file(folder: Path, **properties: Any) -> Path:
    queue = {"Name": "q", "Properties": properties}
    path = folder / "Config.json"
    path.write_text(json.dumps({"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [queue]}]}}))
    return path


def test_the_projects_queues_follow_the_design() -> None:
    rules = {
        "lock_duration": 60_000,
        "max_delivery_count": 10,
        "time_to_live": 14 * DAY,
        "dead_letter_on_expiration": True,
        "duplicate_window": 600_000,
    }
    queues = load_config(ROOT / "local" / "servicebus" / "Config.json")
    assert queues == [QueueConfig(name, **rules) for name in ("geospatial-jobs", "vector-tasks")]  # type: ignore[arg-type]


def test_durations_are_iso_8601(tmp_path: Path) -> None:
    queue = load_config(config_file(tmp_path, LockDuration="P1DT2H3M4.5S"))[0]
    assert queue.lock_duration == DAY + 2 * 3_600_000 + 3 * 60_000 + 4_500


def test_duplicates_are_not_looked_for_unless_asked(tmp_path: Path) -> None:
    queue = load_config(config_file(tmp_path, DuplicateDetectionHistoryTimeWindow="PT1M"))[0]
    assert queue.duplicate_window is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LockDuration", "1 minute"),
        ("LockDuration", "PT0S"),
        ("DefaultMessageTimeToLive", "P"),
        ("MaxDeliveryCount", 0),
        ("MaxDeliveryCount", "ten"),
        ("RequiresDuplicateDetection", "yes"),
        ("RequiresSession", True),
        ("ForwardTo", "elsewhere"),
    ],
)
def test_a_bad_value_is_named_by_its_key(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(BadConfig) as refused:
        load_config(config_file(tmp_path, **{name: value}))
    assert f"UserConfig.Namespaces[0].Queues[0].Properties.{name}" in str(refused.value)


def test_a_server_with_a_bad_config_says_why_and_stops(tmp_path: Path) -> None:
    config = config_file(tmp_path, MaxDeliveryCount=-1)
    ended = subprocess.run(
        [sys.executable, "-m", "local.servicebus", "--config", config, "--database", tmp_path / "x.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert ended.returncode == 2
    assert "MaxDeliveryCount: must be a whole number" in ended.stderr
    assert "Traceback" not in ended.stderr
