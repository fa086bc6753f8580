"""The virtual environment with the app's requirements and those of the tests."""

import sys
from importlib.util import find_spec
from pathlib import Path

from local.setup import debian
from local.setup.commands import run, succeeds
from local.setup.errors import SetupError

NEW_ENOUGH = "import sys, pip; sys.exit(sys.version_info < (3, 11))"


def is_installed(root: Path) -> bool:
    return python_of(root).exists()


def install(root: Path) -> None:
    if not succeeds(python_of(root), "-c", NEW_ENOUGH):
        require_venv()
        run(sys.executable, "-m", "venv", "--clear", root / ".venv")
    quiet = ["--disable-pip-version-check", "--quiet"]
    run(python_of(root), "-m", "pip", "install", *quiet, "-r", "requirements-dev.txt", cwd=root)


def python_of(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


def require_venv() -> None:
    """Debian keeps the half of venv that installs pip in a package of its own."""
    if find_spec("ensurepip"):
        return
    package = f"python3.{sys.version_info.minor}-venv"
    if not debian.is_debian():
        raise SetupError(f"{sys.executable} has no ensurepip; install the package that brings `python -m venv`")
    debian.install(package)
