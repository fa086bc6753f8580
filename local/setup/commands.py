"""Runs the installers of this machine."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from local.setup.errors import SetupError


def run(*command: str | Path, cwd: Path | None = None, text: str | None = None) -> None:
    """Run a command, its output shown. Raises SetupError when it fails."""
    words = [str(word) for word in command]
    print(f"setup: {shlex.join(words)}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    given = {"input": text.encode()} if text is not None else {"stdin": subprocess.DEVNULL}
    if subprocess.run(words, cwd=cwd, env=env, check=False, **given).returncode:
        raise SetupError(f"this failed: {shlex.join(words)}")


def succeeds(*command: str | Path) -> bool:
    """Whether a command works out, its output hidden."""
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0


def as_root() -> list[str]:
    """What to put before a command that needs root. Raises SetupError when we may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and succeeds("sudo", "-n", "true"):
        return ["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"]
    raise SetupError("installing packages needs root, or sudo without a password")
