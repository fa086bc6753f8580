"""Ports on this machine. Nothing else ever listens beyond it: every part binds to this address only."""

import socket
from collections.abc import Iterable

HOST = "127.0.0.1"


def choose_port(wanted: Iterable[int | None] = ()) -> int:
    """The first of the wanted ports that is free, else any free one."""
    for port in wanted:
        if port and is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens there. A connection still in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
