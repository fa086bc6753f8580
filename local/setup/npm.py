"""Packages of npm, each into .local/npm/PACKAGE-VERSION."""

import shutil
from pathlib import Path

from local.setup.commands import run
from local.setup.programs import npm_folder

PLAIN = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")


def install(root: Path, package: str, version: str) -> None:
    """Install into a draft folder first: what is in place is always complete."""
    draft, place = root / ".local" / "setup" / "npm", npm_folder(root, package, version)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    run("npm", "install", "--prefix", draft, *PLAIN, f"{package}@{version}")
    place.parent.mkdir(exist_ok=True)
    draft.rename(place)
