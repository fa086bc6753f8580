"""Freed memory goes back to the system: a worker runs several tasks at once, and would keep what all needed at most."""

import ctypes
import os

# mallopt(3)
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
ARENAS = 2
# What is larger is mapped on its own and unmapped when it is freed; glibc would raise the limit as it goes.
MAPPED_BYTES = 1 << 20


def give_freed_memory_back() -> None:
    """To be called before pyarrow is imported, whose own allocator keeps what it had. The rest is glibc's."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
