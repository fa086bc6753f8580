"""The fork server: imports once what the functions need, then forks a child for each channel that it is given.

    python -m infrastructure.sandbox.server CONTROL_FD MODULE:FUNCTION ...

One thread, so that a fork copies a state at rest. It ends, and its children with it, when the worker closes the other
end of the control socket, in whatever way the worker ends.
"""

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress

from infrastructure.sandbox import child
from infrastructure.sandbox.protocol import encoded

PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    functions = {name: resolved(name) for name in sys.argv[2:]}
    give_up_rights()
    gc.collect()
    gc.freeze()
    Server(control, functions).serve()


def resolved(name: str) -> child.Function:
    module, _, function = name.partition(":")
    found: child.Function = getattr(importlib.import_module(module), function)
    return found


def give_up_rights() -> None:
    """No rights by setuid programs, and no network: a new network namespace has none. Where the kernel does not let an
    ordinary process have one (many containers do not), the readers' own settings keep them off the network."""
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.unshare(CLONE_NEWNET) != 0:
            libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


class Server:
    def __init__(self, control: socket.socket, functions: Mapping[str, child.Function]) -> None:
        self.control = control
        self.functions = functions
        self.channels: dict[int, socket.socket] = {}
        self.woken, self.wakes = socket.socketpair()
        self.wakes.setblocking(False)

    def serve(self) -> None:
        """A child that ends wakes us up through a socket, as a channel that comes does."""
        signal.set_wakeup_fd(self.wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self.control, self.woken], [], [])
            if self.woken in ready:
                self.woken.recv(4096)
                self.reap()
            elif not self.accept():
                self.end()
                return

    def accept(self) -> bool:
        """Fork a child for the channel that comes. False when the worker is gone."""
        data, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        if not data:
            return False
        channel = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            self.be_child(channel)
        self.channels[pid] = channel
        return True

    def be_child(self, channel: socket.socket) -> None:
        """Never returns: what the server has on its stack is not the child's business."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child.end_with_parent()
            self.close_what_is_not_the_childs()
            child.run(channel, self.functions)
            status = 0
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Tell each worker how its child ended, after whatever the child said last."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                with suppress(OSError), self.channels.pop(pid) as channel:
                    channel.send(encoded({"ended": os.waitstatus_to_exitcode(status)}), socket.MSG_DONTWAIT)

    def close_what_is_not_the_childs(self) -> None:
        """By name: libraries have files of their own open, such as the database of PROJ, and would take another file
        that gets the number of a closed one for theirs."""
        for end in (self.control, self.woken, self.wakes, *self.channels.values()):
            end.close()

    def end(self) -> None:
        for pid in self.channels:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
