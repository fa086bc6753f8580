"""GDAL with all its drivers, in a process of its own: in this one the app has unloaded all that it does not use."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas

from services.vector.gdal_environment import SETTINGS

_READ = "pickle.dump(pyogrio.read_dataframe(*given[0], **given[1]), sys.stdout.buffer)"
_WRITE = "pyogrio.write_dataframe(*given[0], **given[1])"


def read_by_gdal(path: Path, **options: Any) -> geopandas.GeoDataFrame:
    frame: geopandas.GeoDataFrame = pickle.loads(_run(_READ, path, **options))
    return frame


def write_by_gdal(frame: geopandas.GeoDataFrame, path: Path, driver: str | None = None, **options: Any) -> Path:
    _run(_WRITE, frame, path, driver=driver, **options)
    return path


def _run(code: str, *arguments: Any, **options: Any) -> bytes:
    program = f"import pickle, sys, pyogrio; given = pickle.load(sys.stdin.buffer); {code}"
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", program]
    given = pickle.dumps((arguments, options))
    return subprocess.run(command, input=given, env=environment, stdout=subprocess.PIPE, check=True).stdout
