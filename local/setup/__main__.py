"""`python -m local.setup`: everything this checkout needs, installed once; a moment when nothing changed."""

import fcntl
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.setup import azurite, gdal, postgresql, virtualenv
from local.setup.errors import SetupError

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".local" / "setup"
STEPS = (virtualenv, azurite, postgresql, gdal)


def main() -> int:
    try:
        if not is_done():
            with alone():
                if not is_done():
                    install()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def is_done() -> bool:
    """Whether this very setup ran to its end, and nobody removed anything since."""
    stamp = STATE / "done"
    return stamp.exists() and stamp.read_text() == ingredients() and all(step.is_installed(ROOT) for step in STEPS)


def install() -> None:
    # Cheap to check, and a pity to learn after minutes of downloads.
    azurite.require_node()
    for step in STEPS:
        step.install(ROOT)
    (STATE / "done").write_text(ingredients())


def ingredients() -> str:
    """Changes with whatever decides what gets installed."""
    digest = hashlib.sha256()
    requirements = [*sorted(ROOT.glob("requirements*.txt")), ROOT / "pyproject.toml"]
    for path in [*requirements, *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def alone() -> Iterator[None]:
    """Two setups of one checkout at the same time: the second waits, and finds the work done."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another one in this checkout")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
