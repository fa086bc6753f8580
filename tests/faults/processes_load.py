"""Jobs over HTTP while things break: what a patient client does, and what must come of each job."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
from psycopg import sql

from tests.faults.processes_ground import Ground

CLIENTS = 4
SHARED_TABLES = ("shared_a", "shared_b")
POINTS = {"lat_name": "lat", "lon_name": "lon"}


@dataclass
class Order:
    """One job to submit. `outcomes`: how it may end. `rows`: how many rows its table has then."""

    job_type: str
    body: dict[str, Any]
    outcomes: frozenset[str] = frozenset({"completed"})
    rows: int = 0
    tag: str = ""
    delay: float = 0.0
    job_id: str = ""
    refusal: str = ""
    answers: list[int] = field(default_factory=list)

    @property
    def table(self) -> str:
        return str(self.body.get("table_name", ""))

    @property
    def content(self) -> tuple[str, int]:
        """What its table holds once it is published."""
        return self.tag, self.rows


def csv(tag: str, rows: int, *, broken: bool = False) -> bytes:
    """Points on a grid, numbered from 0; every row says whose it is."""
    lat = "nowhere" if broken else ""
    lines = [f"{n},{lat or n % 601 / 10},{n // 601 % 1800 / 10},{tag}-{n}" for n in range(rows)]
    return "\n".join(["n,lat,lon,name", *lines]).encode() + b"\n"


class Load:
    """The jobs of one run, submitted over some seconds from several threads."""

    def __init__(self, ground: Ground, chance: random.Random, *, scale: float = 1.0, spread: float = 5.0) -> None:
        self.ground = ground
        self.chance = chance
        self.scale = scale
        self.spread = spread
        self.numbers = count(1)
        self.mark = uuid4().hex[:6]
        self.orders = [self.put(order, rows, broken) for order, rows, broken in self.drawn()]
        self.stop = threading.Event()

    def drawn(self) -> Iterator[tuple[Order, int, bool]]:
        """The orders, with the rows of their source and whether it is broken."""
        small, medium = round(self.chance.randint(150, 900) * self.scale), round(60_000 * self.scale)
        for n in (self.chance.choice((3, 10)), round(self.chance.choice((100, 200)) * self.scale)):
            yield Order("hello_world", {"n": n, "message": f"{self.mark}-{next(self.numbers)}"}), 0, False
        yield self.vector(), small, False
        for chunks in (12, 40, 80):
            yield self.vector(chunk_size=max(100, medium // max(4, round(chunks * self.scale)))), medium, False
        for table in self.chance.sample(SHARED_TABLES, 2):
            yield self.vector(table_name=table, overwrite=True, chunk_size=200), small + 7, False
        if self.chance.random() < 0.6:
            doomed = self.vector(table_name=self.chance.choice(SHARED_TABLES), overwrite=True)
            doomed.outcomes = frozenset({"failed"})
            yield doomed, 300, True
        if self.chance.random() < 0.5:
            body = {"n": 3, "failure_rate": 1.0, "message": f"{self.mark}-{next(self.numbers)}"}
            yield Order("hello_world", body, frozenset({"failed"})), 0, False

    def vector(self, **given: Any) -> Order:
        table = f"t_{self.mark}_{next(self.numbers)}"
        return Order("process_vector", {"table_name": table, **POINTS, **given})

    def put(self, order: Order, rows: int, broken: bool) -> Order:
        if order.job_type == "process_vector":
            order.tag, order.rows = uuid4().hex[:10], rows
            order.body["blob_name"] = self.ground.flow.put(csv(order.tag, rows, broken=broken), "points.csv")
        # Half of them at once, so that there is work to be hit.
        order.delay = self.chance.uniform(0, self.spread if self.chance.random() < 0.5 else 0.5)
        return order

    def add(self, order: Order, rows: int, delay: float = 0.0) -> Order:
        """One more, before the load starts."""
        self.orders.append(self.put(order, rows, False))
        order.delay = delay
        return order

    def start(self) -> None:
        self.started = time.monotonic()
        self.pool = ThreadPoolExecutor(CLIENTS, thread_name_prefix="client")
        ordered = sorted(self.orders, key=lambda order: order.delay)
        self.futures = [self.pool.submit(self.submit, order) for order in ordered]

    def submit(self, order: Order, patience: float = 420.0) -> None:
        """Until the job is taken. Whatever is wrong with the services comes and goes; a refusal does not."""
        time.sleep(max(0.0, self.started + order.delay - time.monotonic()))
        app = self.ground.app
        deadline = time.monotonic() + patience
        with httpx.Client(headers={"x-functions-key": self.ground.key}, timeout=60, trust_env=False) as client:
            while time.monotonic() < deadline and not self.stop.is_set():
                if self.taken(client, f"{app.url}/api/jobs/submit/{order.job_type}", order):
                    return
                time.sleep(0.3)
        order.refusal = order.refusal or f"not taken within {patience:.0f} s, answers {set(order.answers)}"

    def taken(self, client: httpx.Client, url: str, order: Order) -> bool:
        """Whether there is nothing more to try."""
        try:
            answer = client.post(url, json=order.body)
        except httpx.TransportError:
            order.answers.append(0)
            return False
        order.answers.append(answer.status_code)
        if answer.status_code in (200, 202):
            order.job_id = answer.json()["job_id"]
            return True
        if answer.status_code in (409, 503) or (answer.status_code >= 500 and not answer.text.startswith("{")):
            return False
        order.refusal = f"{answer.status_code} {answer.text[:300]}"
        return True

    def wait_until_taken(self) -> None:
        for future in self.futures:
            future.result()
        self.pool.shutdown()

    @property
    def job_ids(self) -> list[str]:
        return [order.job_id for order in self.orders if order.job_id]


def table_problem(ground: Ground, table: str, content: tuple[str, int] | None) -> str | None:
    """What is wrong with a table that must hold these rows (their tag, their number) and nothing else; None: it must
    not be there."""
    there = ground.one("SELECT to_regclass(%s) IS NOT NULL AS there", f"geo.{table}")["there"]
    if content is None:
        return f"geo.{table} is there, although no job published it" if there else None
    if not there:
        return f"geo.{table} is not there"
    tag, rows = content
    query = sql.SQL(
        "SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(DISTINCT n) AS numbers,"
        " coalesce(sum(n), 0)::bigint AS sum, count(*) FILTER (WHERE name = {tag} || '-' || n"
        " AND abs(ST_Y(geom) - n % 601 / 10.0) < 1e-9 AND abs(ST_X(geom) - n / 601 % 1800 / 10.0) < 1e-9) AS exact"
        " FROM {table}"
    ).format(tag=tag, table=sql.Identifier("geo", table))
    with ground.flow.database() as connection:
        found = connection.execute(query).fetchone()
    wanted = {"rows": rows, "ids": rows, "numbers": rows, "sum": rows * (rows - 1) // 2, "exact": rows}
    return None if found == wanted else f"geo.{table} holds {found} instead of {wanted} of {tag}"
