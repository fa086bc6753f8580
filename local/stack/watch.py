"""The guard's process: `python -m local.stack.watch ROOT INSTANCE`, see `local.stack.guard`."""

import signal
import sys
from pathlib import Path

from local.stack.errors import InstanceBusyError
from local.stack.stack import Stack


def main(root: Path, instance: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stdin.buffer.read(1):
        return
    stack = Stack(root, instance)
    try:
        with stack.layout.lock():
            stack.stop()
    except InstanceBusyError:
        # The next owner was faster and has cleaned up.
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
