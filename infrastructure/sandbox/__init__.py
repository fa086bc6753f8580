"""Functions that read what strangers made run in processes of their own: `Sandbox` in the worker, `server` beside it,
which forks a `child` for each call. Who crashes, never ends or eats memory there harms nobody else.

The child has no environment to speak of, no credentials, no descriptor but its channel, no network where the kernel
lets an ordinary process give it up, and limits of memory and time that the kernel keeps. What it says is data (JSON),
and is not trusted more than the file it reads.
"""

from infrastructure.sandbox.client import Crashed, OutOfMemory, Sandbox, TimedOut

__all__ = ["Crashed", "OutOfMemory", "Sandbox", "TimedOut"]
