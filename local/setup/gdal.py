"""GDAL's programs: the tests read what is served with them. Where there is no apt-get, those tests skip."""

from pathlib import Path
from shutil import which

from local.setup import debian


def is_installed(_root: Path) -> bool:
    return which("ogrinfo") is not None or not debian.is_debian()


def install(root: Path) -> None:
    if not is_installed(root):
        debian.install("gdal-bin")
