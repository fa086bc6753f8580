"""One seed: who does what when, what goes wrong, and what must be true in the end."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any
from unittest.mock import patch
from uuid import UUID

from core.errors import Conflict, InvalidInput, Transient, Unavailable
from core.machine import CoreMachine, Patience
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.receivers import Receivers
from core.retry import RetryPolicy
from core.state_manager import StateManager
from core.submission import Submissions
from services.janitor_service import JanitorRun, JanitorService, Limits
from tests.faults import scheduler_verdict, scheduler_weather
from tests.faults.scheduler_actors import Actor, Cast, Crashed, Place
from tests.faults.scheduler_bus import LOCK_SECONDS, Message, SimulatedBus
from tests.faults.scheduler_database import SteppedDatabase
from tests.faults.scheduler_weather import Weather
from tests.faults.scheduler_work import REGISTRY, Params, World

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
FUNCTION_TIMEOUT = 1800.0
LIMITS = Limits(stale=FUNCTION_TIMEOUT + 300, unsent=120, unclaimed=600)
JUMPS = (60.0, 130.0, 610.0, 2200.0)
FREEZES = (1.0, 20.0, 61.0, 700.0, 2500.0)
# The server ends transactions that were idle for so long: idle_in_transaction_session_timeout.
MOST_IDLE = 30.0
IN_DATABASE = ("begin", "statement", "commit")
LONGEST = 6 * 3600.0
NOT_QUIET = "it did not become quiet"


@dataclass
class Report:
    seed: int
    weather: str
    steps: int
    faults: Counter[str]
    violations: list[str]
    trace: list[str]
    statuses: Counter[str]


@dataclass(eq=False)
class Play:
    """Implements what actors, database, bus and handlers need of it: `effect` is where anything may happen."""

    seed: int
    cast: Cast
    database: SteppedDatabase
    weather_name: str | None = None
    tracing: bool = False
    clock: float = 0.0
    steps: int = 0
    settling: bool = False
    database_back: float = 0.0
    bus_back: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    blame: dict[str, set[int]] = field(default_factory=dict)
    condemned: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    deaths: list[tuple[Message, int]] = field(default_factory=list)
    number: int = 0
    promised: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.weather: Weather = scheduler_weather.of_seed(self.rng, self.weather_name)
        self.bus = SimulatedBus(self, self.weather.most_deliveries, detects_duplicates=self.rng.random() < 0.5)
        self.world = World(self, self.database)
        patience = Patience(seconds=120.0, longest_pause=30.0)
        self.machine = CoreMachine(StateManager(self.database), self.bus, REGISTRY, self.world, RetryPolicy(), patience)
        self.submissions = Submissions(self.machine, Receivers.parse(["hooks.example.com"]))
        self.janitors = JanitorService(self.machine, LIMITS, self.bus.dead_letters, lambda _seconds: [], list)
        self.consumers = self.rng.randint(2, 6)
        # Who goes on: anybody, mostly who came first, or mostly who came last and overtakes the others.
        self.habit = self.rng.choice((None, None, 0, -1))
        self.to_submit = [self.a_job(number) for number in range(self.rng.choice((1, 1, 1, 2)))]
        self.submitted: list[tuple[str, Params]] = []

    def a_job(self, number: int) -> tuple[str, Params]:
        key = self.rng.choice((None, None, "table:geo.one"))
        n = self.rng.choice((1, 1, 2, 3, 3, 6))
        return self.rng.choice(("loads", "greets")), Params(n=n, number=number, key=key)

    def run(self) -> Report:
        random.seed(self.seed)
        with ExitStack() as stage:
            stage.enter_context(patch.multiple("core.machine", time=Time(self), datetime=Clock(self), uuid4=self.uuid))
            stage.enter_context(patch("services.janitor_service.datetime", Clock(self)))
            self.have_been_watched()
            for _ in range(self.rng.randint(*self.weather.acts)):
                if self.is_over():
                    break
                self.act()
            self.settle()
        self.wrong += scheduler_verdict.violations(self)
        statuses = scheduler_verdict.statuses(self)
        return Report(self.seed, self.weather.name, self.steps, self.faults, self.wrong, self.trace, statuses)

    def have_been_watched(self) -> None:
        """As every minute before: who finds no trace of an earlier run cannot tell an outage from silence."""
        if self.weather.janitors:
            self.settling = True
            self.send_janitor(self.janitors.run_task_watchdog)
            self.drain()
            self.settling = False

    # What the actors need

    def effect(self, kind: str, name: str) -> None:
        """Before an effect, or right after one that committed: another actor may go on, and anything may happen."""
        actor = self.cast.running
        if actor is None:
            return
        self.steps += 1
        self.note(actor, name)
        if self.rng.random() < self.weather.switch:
            self.cast.hand_over()
        if actor.doomed:
            raise Crashed
        self.refuse_while_away(kind)
        if not self.settling:
            self.go_wrong(actor, kind)

    def refuse_while_away(self, kind: str) -> None:
        if kind in IN_DATABASE and self.clock < self.database_back:
            raise Unavailable("the database is away")
        if kind == "send" and self.clock < self.bus_back:
            raise Unavailable("the bus is away")

    def go_wrong(self, actor: Actor, kind: str) -> None:
        weather, draw = self.weather, self.rng.random()
        if draw < weather.crash and (actor.role != "client" or weather.clients_crash):
            self.count(f"crash of a {actor.role}")
            raise Crashed
        draw -= weather.crash
        if draw < 0:
            return
        if draw < weather.cut and kind in (*IN_DATABASE, "send"):
            self.count("bus cut" if kind == "send" else "connection cut")
            raise Unavailable("cut")
        draw -= weather.cut
        if 0 <= draw < weather.unheard and kind in ("committed", "sent"):
            self.count(f"{kind} but reported as failed")
            raise Unavailable("the answer was lost")

    def handler(self, task_id: str, attempt: int) -> None:
        """The beginning of a handler's work."""
        self.effect("work", f"handler of attempt {attempt}")
        actor = self.cast.running
        if self.settling or actor is None:
            return
        weather, draw = self.weather, self.rng.random()
        for rate, kind, error in (
            (weather.transient, "transient", Transient("it may work later")),
            (weather.unknown, "unknown", RuntimeError("nobody knows")),
            (weather.memory, "memory", MemoryError()),
            (weather.permanent, "permanent", InvalidInput("bad_input", "it never works")),
        ):
            if 0 <= draw < rate:
                self.count(f"handler: {kind}")
                # Beside its being taken for dead, which is another failure of the same worker.
                self.blame_for(task_id, -actor.number)
                if kind in ("memory", "permanent"):
                    self.condemned.setdefault(task_id, kind)
                if kind == "permanent":
                    self.condemned[task_id] = kind
                raise error
            draw -= rate

    def moment(self) -> str:
        return (EPOCH + timedelta(seconds=self.clock)).isoformat()

    def seconds_until(self, moment: object) -> float:
        assert isinstance(moment, datetime)
        return (moment - EPOCH).total_seconds() - self.clock

    def sent(self, queue: str, message: Outgoing) -> None:
        """Rows are committed before their messages are sent."""
        table, key = ("tasks", "task_id") if queue == "vector-tasks" else ("jobs", "job_id")
        query = f"SELECT 1 FROM app.{table} WHERE {key} = %s"  # noqa: S608  one of two
        if not self.database.monitor.execute(query.encode(), [message.body[key]]).fetchone():
            self.wrong.append(f"a message was sent before its row was committed: {message.message_id}")

    def swallowed(self, message: Outgoing) -> None:
        self.count("duplicate swallowed")

    def uuid(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128))

    def note(self, who: object, what: str) -> None:
        if self.tracing:
            self.trace.append(f"{self.clock:9.1f}  {who!s:24} {what}")

    def count(self, fault: str) -> None:
        self.faults[fault] += 1
        self.note("!" if self.cast.running is None else f"! {self.cast.running}", fault)

    def blame_for(self, task_id: str, actor: int) -> None:
        if task_id:
            self.blame.setdefault(task_id, set()).add(actor)

    # The director

    def act(self) -> None:
        choices = [(weight, do) for weight, do in self.choices() if weight > 0]
        if not choices:
            self.pass_time()
            return
        self.rng.choices([do for _, do in choices], weights=[weight for weight, _ in choices])[0]()

    def choices(self) -> list[tuple[float, Callable[[], None]]]:
        weather, messages = self.weather, self.bus.messages
        held = [message for message in messages if message.holder]
        runnable, ready = bool(self.runnable()), bool(self.deliverable())
        busy = runnable or ready
        if not busy and self.cast.players and self.blocked():
            return []
        idle = [] if busy else [(3.0, self.pass_time)]
        return [
            *idle,
            (10.0 if runnable else 0, self.resume_one),
            (6.0 if ready else 0, self.deliver_one),
            (1.5 if self.to_submit else 0, self.submit_one),
            (weather.janitor if weather.janitors else 0, self.send_a_janitor),
            (weather.jumps if self.clock < LONGEST else 0, self.jump),
            (weather.lose if messages else 0, self.lose_one),
            (weather.double if messages else 0, self.double_one),
            (weather.delay if messages else 0, self.delay_one),
            (weather.expire if held else 0, self.expire_one),
            (weather.freeze if held else 0, self.freeze_one),
            (weather.database_outage if self.database_may_go() else 0, self.database_goes),
            (weather.bus_outage if self.clock >= self.bus_back else 0, self.bus_goes),
            (weather.cancel if self.submitted else 0, self.cancel_one),
            (weather.resubmit if self.submitted else 0, self.resubmit_one),
        ]

    def is_over(self) -> bool:
        return not (self.to_submit or self.cast.players or self.bus.messages) and self.number > 0

    def runnable(self) -> list[Actor]:
        return [
            actor
            for actor in self.cast.players
            if actor.frozen <= self.clock
            and (actor.place is Place.READY or (actor.place is Place.ASLEEP and actor.wakes <= self.clock))
        ]

    def deliverable(self) -> list[Message]:
        working = sum(actor.role == "worker" for actor in self.cast.players)
        if self.clock < self.bus_back or working >= self.consumers:
            return []
        return self.bus.ready()

    def resume_one(self) -> None:
        runnable = self.runnable()
        by_habit = self.habit is not None and self.rng.random() < 0.8
        self.resume(runnable[self.habit or 0] if by_habit else self.rng.choice(runnable))

    def resume(self, actor: Actor) -> None:
        self.cast.resume(actor)
        if actor.place is Place.BLOCKED:
            self.count("waited for a lock")
            self.see_who_waits()
        if actor.place is Place.GONE:
            self.went(actor)

    def went(self, actor: Actor) -> None:
        message: Message | None = actor.about
        if actor.crashed:
            self.note(actor, "is gone")
            if message:
                self.deaths.append((message, self.number))
                self.blame_for(message.task_id, actor.number)
                self.bus.unlock(message, actor)
        elif actor.problem:
            if message and isinstance(actor.problem, Unavailable):
                # Database and bus away for longer than the message can be held: to the app, as if it had died.
                self.blame_for(message.task_id, actor.number)
            self.note(actor, f"raised {actor.problem!r}")
            self.faults[f"{actor.role} raised {type(actor.problem).__name__}"] += 1

    @contextmanager
    def letting_go(self) -> Iterator[None]:
        """Who waits for a lock that is let go here comes back, one after the other: they would race for one row."""
        waiting = self.blocked()
        for actor in waiting:
            os.kill(actor.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            while waiting:
                freed = (actor for actor in waiting if not self.database.is_blocked(actor.pid))
                actor = next(freed, waiting[0])
                os.kill(actor.pid, signal.SIGCONT)
                self.see_whether_it_waits(actor)
                waiting.remove(actor)
        self.see_who_waits()

    def blocked(self) -> list[Actor]:
        return [actor for actor in self.cast.players if actor.place is Place.BLOCKED]

    def see_who_waits(self) -> None:
        """Who comes back may let others go on."""
        waiting = self.blocked()
        for actor in waiting:
            self.see_whether_it_waits(actor)
        if any(actor.place is not Place.BLOCKED for actor in waiting):
            self.see_who_waits()

    def see_whether_it_waits(self, actor: Actor) -> None:
        """Until it is clear. Who waits in a circle is freed by Postgres."""
        while actor.place is Place.BLOCKED and not self.database.is_blocked(actor.pid):
            sleep(0.0002)
        if actor.place is Place.BLOCKED and self.database.is_deadlocked(actor.pid):
            self.count("deadlock")
            while self.database.is_deadlocked(actor.pid):
                sleep(0.001)

    def begin(self, role: str, name: str, part: Callable[[Actor], None], about: Message | None = None) -> Actor:
        self.number += 1
        actor = Actor(self.number, role, name, self.clock, about)
        self.cast.begin(actor, lambda: part(actor))
        return actor

    def pass_time(self) -> None:
        """Nothing can happen now: on to the next thing that will."""
        known = [actor.wakes for actor in self.cast.players if actor.place is Place.ASLEEP]
        known += [message.due for message in self.bus.messages if message.holder is None]
        known += [actor.frozen for actor in self.cast.players]
        known += [self.database_back, self.bus_back]
        coming = [moment for moment in known if moment > self.clock]
        self.advance(min(coming, default=self.clock + 30.0) - self.clock)

    def jump(self) -> None:
        self.count("clock jumped")
        self.advance(self.rng.choice(JUMPS))

    def advance(self, seconds: float) -> None:
        self.database.cut({actor for actor in self.cast.players if actor.frozen > self.clock + MOST_IDLE})
        self.clock += seconds
        for actor in self.cast.players:
            if actor.role != "worker" or self.clock - actor.began < FUNCTION_TIMEOUT:
                continue
            if actor.about:
                self.blame_for(actor.about.task_id, actor.number)
            if not actor.doomed and self.rng.random() < 0.7:
                self.count("function timeout")
                actor.doomed = True

    # Faults of the director

    def lose_one(self) -> None:
        message = self.rng.choice(self.bus.messages)
        self.bus.messages.remove(message)
        message.holder = None
        if message.stands_in:
            # It gave a task back that is being processed; who hears no more of it takes its worker for dead.
            self.number += 1
            self.blame_for(message.task_id, self.number)
        self.count("message lost")

    def double_one(self) -> None:
        message = self.rng.choice(self.bus.messages)
        self.bus.messages.append(Message(message.queue, message.message_id, message.body, message.due))
        self.count("message doubled")

    def delay_one(self) -> None:
        message = self.rng.choice(self.bus.messages)
        message.due = max(message.due, self.clock) + self.rng.choice((1.0, 10.0, 50.0))
        self.count("message delayed")

    def expire_one(self) -> None:
        message = self.rng.choice([message for message in self.bus.messages if message.holder])
        assert message.holder
        self.blame_for(message.task_id, message.holder.number)
        self.bus.unlock(message, message.holder, 0.0)
        self.count("lock expired")

    def freeze_one(self) -> None:
        """A process that is stopped and goes on later, in the middle of whatever it did; nobody renews its lock."""
        message = self.rng.choice([message for message in self.bus.messages if message.holder])
        assert message.holder
        message.holder.frozen = self.clock + self.rng.choice(FREEZES)
        self.blame_for(message.task_id, message.holder.number)
        self.bus.unlock(message, message.holder, self.rng.choice((0.0, LOCK_SECONDS)))
        self.count("worker frozen")

    def database_may_go(self) -> bool:
        return self.clock >= self.database_back and self.faults["database outage"] < self.weather.most_outages

    def database_goes(self) -> None:
        self.database_back = self.clock + self.rng.choice(self.weather.outages)
        self.database.cut(set(self.cast.players))
        self.count("database outage")

    def bus_goes(self) -> None:
        self.bus_back = self.clock + self.rng.choice(self.weather.outages)
        self.count("bus outage")

    # Actors

    def deliver_one(self) -> None:
        message = self.rng.choice(self.deliverable())
        actor = Actor(self.number + 1, "worker", f"worker{message.message_id[64:]}", self.clock, message)
        if not self.bus.lock(message, actor):
            self.count("dead letter")
            return
        self.number += 1
        self.blame_holders(message)
        self.note(actor, f"gets {message.body}, delivery {message.deliveries}")
        self.cast.begin(actor, lambda: self.consume(message, actor, message.deliveries))
        self.resume(actor)

    def blame_holders(self, message: Message) -> None:
        """Two messages of one id cannot be told apart: the redelivery of one takes over from who works on the other."""
        for actor in self.cast.players:
            about: Message | None = actor.about
            if about and message.deliveries > 1 and about.message_id == message.message_id:
                self.blame_for(message.task_id, actor.number)

    def consume(self, message: Message, actor: Actor, deliveries: int) -> None:
        """What the Functions host does with a message."""
        try:
            if message.queue == "vector-tasks":
                delivery = Delivery(message_id=message.message_id, delivery_count=deliveries)
                self.machine.process_task_message(TaskMessage.model_validate_json(message.body), delivery)
            else:
                self.machine.process_job_message(JobMessage.model_validate_json(message.body))
            self.effect("work", "complete the message")
            self.bus.complete(message, actor)
            self.see_who_took_over(message, actor)
        except Exception:
            self.bus.abandon(message, actor)
            raise

    def see_who_took_over(self, message: Message, actor: Actor) -> None:
        """An older delivery, its lock lost, may take a task over from a younger one, which then completes the message:
        nothing but a janitor repeats the work of who took over, should it die."""
        alive = [other for other in self.cast.players if other.about is message and other is not actor]
        if alive or any(about is message and actor.number <= then for about, then in self.deaths):
            self.count("message completed by another than who has the task")
            self.blame_for(message.task_id, actor.number)

    def submit_one(self) -> None:
        wanted = self.to_submit.pop(self.rng.randrange(len(self.to_submit)))
        self.submit(wanted)

    def submit(self, wanted: tuple[str, Params]) -> None:
        self.resume(self.begin("client", "submit", lambda actor: self.submitting(actor, wanted)))

    def submitting(self, actor: Actor, wanted: tuple[str, Params]) -> None:
        """A client that asks again until it has an answer."""
        try:
            url = f"https://hooks.example.com/{actor.number}"
            given = wanted[1].model_dump() | {"notify": {"url": url}}
            submission, _ = self.submissions.submit(wanted[0], given)
        except Conflict:
            self.count("conflict")
        except (Unavailable, Crashed):
            self.to_submit.append(wanted)
            raise
        else:
            self.note(actor, f"was told {submission}")
            self.submitted.append(wanted)
            self.promised.append(url)

    def resubmit_one(self) -> None:
        self.count("resubmission")
        self.submit(self.rng.choice(self.submitted))

    def cancel_one(self) -> None:
        wanted = self.rng.choice(self.submitted)
        self.count("cancellation")
        self.resume(self.begin("client", "cancel", lambda actor: self.cancelling(wanted)))

    def cancelling(self, wanted: tuple[str, Params]) -> None:
        submission = self.machine.state.get_job(scheduler_verdict.job_id_of(*wanted))
        if submission:
            self.cancelled.add(submission.job_id)
            self.machine.cancel(submission)

    def send_a_janitor(self) -> None:
        run = self.rng.choice(
            (
                self.janitors.run_outbox,
                self.janitors.run_task_watchdog,
                self.janitors.run_task_watchdog,
                self.janitors.run_job_health_check,
                self.janitors.run_orphan_detection,
            )
        )
        self.send_janitor(run)

    def send_janitor(self, run: Callable[[], JanitorRun | None]) -> None:
        self.faults["janitor runs"] += 1
        self.resume(self.begin("janitor", run.__name__.removeprefix("run_"), lambda actor: self.sweep(actor, run)))

    def sweep(self, actor: Actor, run: Callable[[], JanitorRun | None]) -> None:
        told = run()
        actions = dict(told.actions) if told else {}
        for action, ids in actions.items():
            self.faults[f"janitor: {action}"] += len(ids)
        self.note(actor, f"did {actions}")
        if self.weather.name == "calm" and [action for action in actions if action != "released"]:
            self.wrong.append(f"a janitor had to act although nothing went wrong: {actions}")

    # The end

    def settle(self) -> None:
        """Everything works from now on; whatever is open has the time to end."""
        self.note("-", "no more faults")
        self.settling = True
        self.database_back = self.bus_back = self.clock
        for actor in self.cast.players:
            actor.frozen = 0.0
        if self.weather.janitors:
            # A timer may be the first to find that everything is back.
            self.send_janitor(self.janitors.run_task_watchdog)
        while self.to_submit:
            self.submit(self.to_submit.pop())
            self.drain()
        self.drain()
        if self.weather.name == "calm":
            self.work_without_janitors()
        for pause in self.pauses():
            if self.is_quiet():
                return
            if self.weather.janitors or self.faults["message completed by another than who has the task"]:
                self.janitors_act()
            elif scheduler_verdict.all_ended(self):
                # Its worker died when the job had ended, before it cleared up.
                self.send_janitor(self.janitors.run_orphan_detection)
            coming = [message.due for message in self.bus.messages if message.due > self.clock]
            self.advance(min([pause, *(due - self.clock for due in coming)]))
            self.drain()
        self.wrong.append(NOT_QUIET)

    def work_without_janitors(self) -> None:
        for _ in range(100):
            if not self.bus.messages:
                break
            self.pass_time()
            self.drain()
        if not self.is_quiet():
            self.wrong.append("something was left to the janitors although nothing went wrong")
        self.janitors_act()

    def pauses(self) -> list[float]:
        return [pause for _ in range(12) for pause in (0.0, *JUMPS)]

    def drain(self) -> None:
        """Until nobody can do anything at this moment."""
        for _ in range(20_000):
            runnable, ready = self.runnable(), self.deliverable()
            if runnable and (not ready or self.rng.random() < 0.7):
                self.resume(self.rng.choice(runnable))
            elif ready:
                self.deliver_one()
            elif asleep := [actor.wakes for actor in self.cast.players if actor.place is Place.ASLEEP]:
                self.advance(max(0.0, min(asleep) - self.clock))
            elif self.blocked():
                self.see_who_waits()
            else:
                return
        self.wrong.append("it went on for ever")

    def janitors_act(self) -> None:
        for run in (
            self.janitors.run_task_watchdog,
            self.janitors.run_job_health_check,
            self.janitors.run_orphan_detection,
        ):
            self.send_janitor(run)
            self.drain()

    def is_quiet(self) -> bool:
        busy = self.bus.messages or self.bus.dead or self.cast.players
        return not busy and scheduler_verdict.all_ended(self) and not scheduler_verdict.leftovers(self)


@dataclass(frozen=True)
class Time:
    """Stands in for the module `time`."""

    play: Play

    def monotonic(self) -> float:
        return self.play.clock

    def sleep(self, seconds: float) -> None:
        actor = self.play.cast.running
        assert actor is not None
        actor.wakes = self.play.clock + seconds
        self.play.cast.hand_over(Place.ASLEEP)
        if actor.doomed:
            raise Crashed


@dataclass(frozen=True)
class Clock:
    """Stands in for `datetime.datetime`."""

    play: Play

    def now(self, _zone: Any = None) -> datetime:
        return EPOCH + timedelta(seconds=self.play.clock)
