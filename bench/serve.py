"""How fast a table of a million rows is read: vector tiles and pages, beside tipg run alone on the same table.

    python -m bench.serve [--rows 1000000] [--requests 60]

The app on the local stack, and tipg as it comes under uvicorn, asked the same things in turns, one request at a time.
Writes bench/results/serve.json and prints one table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import morecantile
import psycopg
from rich.console import Console
from rich.table import Table

from bench.speed_data import Maker
from bench.speed_rivals import App
from local.demo import client
from local.stack import Stack
from local.stack.ports import choose_port

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "bench-data"
RESULTS = ROOT / "bench" / "results" / "serve.json"
TABLE = "bench_serve"
ZOOMS = (4, 6, 8, 10, 12, 14, 16)
PAGE = 1000
# Promised: milliseconds, and how many times what tipg takes alone.
TILE_MS, PAGE_MS, RATIO = 300.0, 1000.0, 1.2
CENTRES = f"""
SELECT DISTINCT ON (part) ST_X(ST_PointOnSurface(geom)), ST_Y(ST_PointOnSurface(geom))
  FROM (SELECT geom, id, ntile(%(count)s) OVER (ORDER BY id) AS part FROM geo.{TABLE}) AS rows
 ORDER BY part, id
"""  # noqa: S608
console = Console(highlight=False, width=120)
Seconds = list[float]


@dataclass(frozen=True)
class Case:
    """Paths under /collections that are asked for, each once."""

    name: str
    paths: list[str]
    most_ms: float


@dataclass(frozen=True)
class Measured:
    case: Case
    app: Seconds = field(default_factory=list)
    alone: Seconds = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        ratio = statistics.median(self.app) / statistics.median(self.alone)
        app, alone = percentiles(self.app), percentiles(self.alone)
        kept = ratio <= RATIO and app["p95"] < self.case.most_ms
        kilobytes = round(statistics.median(self.sizes) / 1000, 1)
        return {"name": self.case.name, "app": app, "tipg_alone": alone, "ratio": round(ratio, 3)} | {
            "kilobytes": kilobytes,
            "requests": len(self.app),
            "at_most": {"ratio": RATIO, "p95": self.case.most_ms},
            "kept": kept,
        }


def percentiles(seconds: Seconds) -> dict[str, float]:
    """p50 and p95 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return {"p50": round(cuts[9] * 1000, 1), "p95": round(cuts[18] * 1000, 1)}


def cases(centres: list[tuple[float, float]]) -> list[Case]:
    items = f"/geo.{TABLE}/items?limit={PAGE}"
    grid = morecantile.tms.get("WebMercatorQuad")
    found = []
    for zoom in ZOOMS:
        tiles = [grid.tile(*centre, zoom) for centre in centres]
        paths = [f"/geo.{TABLE}/tiles/WebMercatorQuad/{zoom}/{tile.x}/{tile.y}" for tile in tiles]
        found.append(Case(f"tile, zoom {zoom}", paths, TILE_MS))
    found.append(Case(f"first page of {PAGE:,}", [items for _ in centres], PAGE_MS))
    found.append(Case(f"page of {PAGE:,} in a box", [f"{items}&bbox={box(*centre)}" for centre in centres], PAGE_MS))
    later = [f"{items}&offset={number * PAGE}" for number in range(len(centres))]
    found.append(Case(f"later pages of {PAGE:,}", later, PAGE_MS))
    return found


def box(lon: float, lat: float, half: float = 0.2) -> str:
    return ",".join(f"{value:.6f}" for value in (lon - half, lat - half, lon + half, lat + half))


def measure(case: Case, app: httpx.Client, alone: httpx.Client) -> Measured:
    measured = Measured(case)
    for number, path in enumerate(case.paths):
        turns = [(app, measured.app), (alone, measured.alone)]
        # The first to ask brings the rows into memory: each is it as often.
        for http, seconds in turns if number % 2 else reversed(turns):
            size = timed(http, path, seconds)
        measured.sizes.append(size)
    return measured


def timed(http: httpx.Client, path: str, into: Seconds) -> int:
    began = time.perf_counter()
    answer = http.get(f"/collections{path}").raise_for_status()
    into.append(time.perf_counter() - began)
    return len(answer.content)


@contextmanager
def tipg_alone(database_url: str) -> Iterator[httpx.Client]:
    """tipg's own app with its own settings, one process."""
    port = choose_port()
    environment = os.environ | {"DATABASE_URL": database_url, "TIPG_DB_SCHEMAS": '["geo"]'}
    command = [sys.executable, "-m", "uvicorn", "tipg.main:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            wait_for(http)
            yield http
    finally:
        process.terminate()
        process.wait()


def wait_for(http: httpx.Client, patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            http.get("/healthz").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def warmed(http: httpx.Client, paths: list[str]) -> None:
    """Every worker has started the app and connected."""
    for path in paths * 8:
        http.get(f"/collections{path}").raise_for_status()


def show(records: list[dict[str, object]]) -> None:
    table = Table("", "KB", "app p50 ms", "p95", "tipg alone p50", "p95", "ratio", "kept")
    for record in records:
        times = [f"{record[who][which]:.1f}" for who in ("app", "tipg_alone") for which in ("p50", "p95")]  # type: ignore[index]
        kept = "yes" if record["kept"] else "NO"
        table.add_row(str(record["name"]), str(record["kilobytes"]), *times, str(record["ratio"]), kept)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=60)
    given = parser.parse_args()
    data = Maker(FOLDER).buildings(given.rows)
    with Stack(ROOT, "bench") as stack:
        stack.start()
        loader = App(stack)
        loader.load(data, loader.upload(data), TABLE)
        with psycopg.connect(stack.database_url) as connection:
            centres = connection.execute(CENTRES, {"count": given.requests}).fetchall()
        with client(stack) as app, tipg_alone(stack.database_url) as alone:
            app.base_url = f"{stack.base_url}/api/features"
            asked = cases(centres)
            for http in (app, alone):
                warmed(http, [case.paths[0] for case in asked[-5:]])
            records = [measure(case, app, alone).record() for case in asked]
    show(records)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=2) + "\n")
    return 0 if all(record["kept"] for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
