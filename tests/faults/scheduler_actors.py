"""Actors: calls of the app that run in threads of their own, one at a time, handing over between any two effects.

Only who holds the baton runs. Who waits for a lock of Postgres has no baton, but a statement under way: the only thing
that happens at the same time, and nothing of it is seen before the actor gets the baton again.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Crashed(BaseException):
    """The process is gone. No `except Exception` sees it."""


class Place(Enum):
    READY = auto()
    ASLEEP = auto()
    BLOCKED = auto()
    GONE = auto()


@dataclass(eq=False)
class Actor:
    """`role`: worker, janitor or client. `doomed`: it crashes at its next effect. `frozen`: until when nothing of it
    moves, whatever it holds. `about`: the message it works on."""

    number: int
    role: str
    name: str
    began: float
    about: Any = None
    place: Place = Place.READY
    wakes: float = 0.0
    frozen: float = 0.0
    doomed: bool = False
    crashed: bool = False
    pid: int = 0
    connections: list[Any] = field(default_factory=list)
    problem: Exception | None = None

    def __str__(self) -> str:
        return f"{self.name}#{self.number}"


class Player(threading.Thread):
    """A thread that plays one actor after the other."""

    def __init__(self, cast: "Cast") -> None:
        super().__init__(daemon=True)
        self.cast = cast
        self.turn = threading.Lock()
        self.turn.acquire()
        self.actor: Actor | None = None
        self.part: Callable[[], None] = lambda: None

    def run(self) -> None:
        while True:
            self.turn.acquire()
            if self.actor is None:
                return
            self.play(self.actor)
            self.actor = None
            self.cast.idle.append(self)
            self.cast.home.release()

    def play(self, actor: Actor) -> None:
        try:
            self.part()
        except Crashed:
            actor.crashed = True
        except Exception as error:  # noqa: BLE001  a janitor or a client that fails is no end of the world
            actor.problem = error
        actor.place = Place.GONE


class Cast:
    """Everybody on the stage. `resume` and `begin` are for the director, the rest is for the actor that runs."""

    def __init__(self) -> None:
        self.home = threading.Lock()
        self.home.acquire()
        self.idle: list[Player] = []
        self.players: dict[Actor, Player] = {}
        self.running: Actor | None = None

    def begin(self, actor: Actor, part: Callable[[], None]) -> None:
        if not self.idle:
            player = Player(self)
            player.start()
            self.idle.append(player)
        player = self.idle.pop()
        player.actor, player.part = actor, part
        self.players[actor] = player

    def resume(self, actor: Actor) -> None:
        """Let it run until it hands over, sleeps, is blocked or ends."""
        self.running = actor
        actor.place = Place.READY
        self.players[actor].turn.release()
        self.home.acquire()
        self.running = None
        if actor.place is Place.GONE:
            del self.players[actor]

    def hand_over(self, place: Place = Place.READY) -> None:
        actor = self.running
        assert actor is not None
        actor.place = place
        turn = self.players[actor].turn
        self.home.release()
        turn.acquire()

    def block(self) -> Callable[[], None]:
        """Hand over with a statement under way. Returns what its end has to call: it waits for the baton."""
        actor = self.running
        assert actor is not None
        turn = self.players[actor].turn
        actor.place = Place.BLOCKED
        self.home.release()

        def unblocked() -> None:
            actor.place = Place.READY
            turn.acquire()

        return unblocked

    def close(self) -> None:
        for player in self.idle:
            player.turn.release()
