"""Libraries that read files, load tables or serve them cost a worker nothing until it does so."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIRED = {
    "POSTGIS_HOST": "db",
    "POSTGIS_USER": "etl",
    "POSTGIS_PASSWORD": "p",
    "BLOB_CONNECTION_STRING": "b",
    "ServiceBusConnection": "s",
}
SERVING = ("fastapi", "starlette", "tipg", "stac_fastapi", "asyncpg", "morecantile")
LOADING = ("numpy", "pyarrow", "shapely", "pyproj", "pgpq", "pystac", "pandas", "geopandas", "pyogrio")


def test_a_worker_starts_without_them() -> None:
    program = f"import sys, function_app; print(*[name for name in {SERVING + LOADING} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | REQUIRED, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
