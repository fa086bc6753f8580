"""Where an instance keeps its files, and who may use it."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local.stack.errors import InstanceBusyError

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Layout:
    """The folders of one instance of the stack in one checkout: all below `.local/INSTANCE`."""

    root: Path
    instance: str

    @property
    def shared(self) -> Path:
        """What all instances of this checkout have in common."""
        return self.root / ".local"

    @property
    def home(self) -> Path:
        return self.shared / self.instance

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def mark(self) -> str:
        """Tells our processes from all others: it stands in the environment of each."""
        return f"{self.root}:{self.instance}"

    def folder(self, name: str) -> Path:
        """A folder of this instance, made when missing."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def secret(self, name: str) -> str:
        """A generated password that stays the same until the instance is removed."""
        path = self.folder("secrets") / name
        if not path.exists():
            with suppress(FileExistsError):
                write_private(path, secrets.token_urlsafe(24), exclusive=True)
        return path.read_text()

    @contextmanager
    def lock(self, *, patience: float = 0) -> Iterator[None]:
        """Hold this instance alone. Raises InstanceBusyError after `patience` seconds. Released when we die."""
        path = self.folder("") / "lock"
        with path.open("w") as handle:
            take_lock(handle.fileno(), self.instance, patience)
            yield


def take_lock(descriptor: int, instance: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise InstanceBusyError(f"another process is using the instance {instance!r}") from None
            time.sleep(POLL_SECONDS)


def write_private(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write a file that only its owner can read, from its first moment on, and never half of it.

    Raises FileExistsError when `exclusive` and somebody else was first.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    try:
        if exclusive:
            os.link(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
