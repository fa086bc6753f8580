"""`python -m local COMMAND`: what the Makefile's targets call."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from rich.console import Console

from local import demo
from local.stack import StackError, commands

ROOT = Path(__file__).parent.parent
COMMANDS: dict[str, Callable[[Path], int]] = {
    "up": commands.up,
    "down": commands.down,
    "down-all": commands.down_all,
    "status": commands.status,
    "logs": commands.logs,
    "migrate": commands.migrate,
    "clean": commands.clean,
    "demo": demo.run,
}
INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole system on this machine.")
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args().command]
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupt)
    try:
        return command(ROOT)
    except StackError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what this command had started is stopped")
        return INTERRUPTED


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Leave in order when asked to end, as after Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
