"""Packages of Debian and its relatives."""

import re
import shutil
import subprocess

from local.setup.commands import as_root, run
from local.setup.errors import SetupError


def is_debian() -> bool:
    return shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages; package lists that are missing or old are fetched. Raises SetupError."""
    try:
        command = [
            *as_root(),
            "apt-get",
            "install",
            "-qq",
            "--yes",
            "--no-install-recommends",
            "-o=Dpkg::Use-Pty=0",
            *packages,
        ]
    except SetupError as error:
        raise SetupError(f"{error}; please run: apt-get install {' '.join(packages)}") from error
    try:
        run(*command)
    except SetupError:
        update()
        run(*command)


def update() -> None:
    run(*as_root(), "apt-get", "update", "-qq")


def available(pattern: str) -> list[str]:
    """The names of all known packages that match, as apt-cache search understands it."""
    answer = subprocess.run(
        ["apt-cache", "search", "--names-only", pattern],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return re.findall(r"^(\S+)", answer.stdout, flags=re.MULTILINE)
