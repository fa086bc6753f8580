"""Ends a stack when the process it was started for is gone, even if that was killed.

The guard waits on a pipe whose other end only the owner has. A word through it means that the owner cleaned up
itself; silence and the end of the pipe mean that it did not live to do so.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local.stack.layout import Layout

ALL_IS_WELL = b"."


@contextmanager
def guarded(layout: Layout) -> Iterator[None]:
    """Keep a guard for as long as the block runs. Whoever holds it stops the stack before leaving."""
    command = [sys.executable, "-m", "local.stack.watch", str(layout.root), layout.instance]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=layout.root,
        start_new_session=True,
    ) as guard:
        assert guard.stdin is not None
        try:
            yield
        finally:
            guard.stdin.write(ALL_IS_WELL)
            guard.stdin.flush()
