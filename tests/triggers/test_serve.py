"""The libraries that serve cost a worker nothing until somebody reads."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "POSTGIS_HOST": "db",
    "POSTGIS_USER": "etl",
    "POSTGIS_PASSWORD": "p",
    "BLOB_CONNECTION_STRING": "b",
    "ServiceBusConnection": "s",
}
HEAVY = ("fastapi", "starlette", "tipg", "stac_fastapi", "asyncpg", "morecantile")


def test_a_worker_starts_without_them() -> None:
    program = f"import sys, function_app; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | REQUIRED, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
