"""The server's turns. Whatever happens, a client's bytes or a clock, is one turn:

do it -> deliver what became deliverable -> commit -> let the answers go.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable

from .connection import Connection
from .decoding import DecodeError
from .namespace import Namespace
from .queues import now_ms
from .store import Store

log = logging.getLogger(__name__)

FORGET_IDS_EVERY = 60.0
PAUSE_AFTER_FAILURE = 1000
PATIENCE_AT_THE_END = 2.0


class Server:
    def __init__(self, namespace: Namespace, store: Store) -> None:
        self.namespace = namespace
        self.store = store
        self.connections: set[Connection] = set()
        self.speaking: set[Connection] = set()
        self.alarm: asyncio.TimerHandle | None = None
        self.alarm_at: int | None = None
        self.listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port: the one chosen when `port` is 0."""
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self._forget_old_ids()
        return int(self.listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Tell every client, and let what is written reach them."""
        if self.listener is not None:
            self.listener.close()
        for connection in list(self.connections):
            connection.refuse("amqp:connection:forced", "The server is stopping.")
            connection.flush()
        deadline = time.monotonic() + PATIENCE_AT_THE_END
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def joined(self, connection: Connection) -> None:
        self.connections.add(connection)

    def left(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.speaking.discard(connection)

    def has_output(self, connection: Connection) -> None:
        self.speaking.add(connection)

    def turn(self, connection: Connection, work: Callable[[], None]) -> None:
        """A client's turn: its mistakes end its own connection and no other."""
        try:
            work()
        except DecodeError as error:
            log.warning("malformed frame", extra={"peer": connection.peer, "error": str(error)})
            connection.refuse("amqp:decode-error", str(error))
        except Exception as error:  # noqa: BLE001 one client's trouble must not reach another
            self._undo(error, {connection})
        self._finish_turn(connection)

    def _finish_turn(self, connection: Connection | None = None) -> None:
        """Nothing is said before it is on disk; what cannot be put on disk is not said at all."""
        try:
            next_turn = self._advance(connection)
            self.store.commit()
        except Exception as error:  # noqa: BLE001 the clients are cut off and ask again; the server stays
            self._undo(error, self.speaking)
            next_turn = now_ms() + PAUSE_AFTER_FAILURE
        self._speak()
        self._set_alarm(next_turn)

    def _advance(self, connection: Connection | None) -> int | None:
        """Wake and deliver what is due. Returns when there is more to do, in milliseconds since 1970."""
        if self.alarm_at is not None and self.alarm_at <= now_ms():
            self.namespace.wake_due()
        more = self.namespace.deliver()
        if connection is not None:
            connection.finish_drains()
        return now_ms() if more else self.namespace.next_wake()

    def _undo(self, error: Exception, connections: set[Connection]) -> None:
        """Forget the turn. Who was about to hear of it is cut off: its links count what did not happen."""
        peers = [connection.peer for connection in connections]
        log.error("a turn failed", exc_info=error, extra={"peers": peers})
        self.store.rollback()
        self.namespace.forget_wakes()
        for connection in list(connections):
            connection.abort()
            self.speaking.discard(connection)

    def _speak(self) -> None:
        while self.speaking:
            self.speaking.pop().flush()

    def _set_alarm(self, at: int | None) -> None:
        if self.alarm is not None:
            if at == self.alarm_at:
                return
            self.alarm.cancel()
        self.alarm, self.alarm_at = None, at
        if at is not None:
            seconds = max(0.0, (at - now_ms()) / 1000)
            self.alarm = asyncio.get_running_loop().call_later(seconds, self._on_alarm)

    def _on_alarm(self) -> None:
        self.alarm = None
        self._finish_turn()

    def _forget_old_ids(self) -> None:
        """A turn of its own now and then, so that the history does not grow."""
        try:
            self.namespace.forget_old_ids()
        except sqlite3.Error as error:
            self._undo(error, set())
        self._finish_turn()
        asyncio.get_running_loop().call_later(FORGET_IDS_EVERY, self._forget_old_ids)
