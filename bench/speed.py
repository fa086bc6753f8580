"""How fast files are loaded, beside ogr2ogr and beside COPY of finished rows.

    python -m bench.speed [--only points] [--repeat 3]

The whole app on the local stack with two workers, from the HTTP request to the published table; the same files, the
same Postgres, the contenders in turns, medians. Writes bench/results/speed.json and prints one table.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which

from rich.console import Console
from rich.table import Table

from bench.speed_data import Dataset, Maker
from bench.speed_rivals import App, Limit, Ogr2ogr, Run
from local.setup import debian
from local.stack import Stack

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "bench-data"
RESULTS = ROOT / "bench" / "results"
console = Console(highlight=False, width=160)


@dataclass(frozen=True)
class Case:
    """at_most: the promised ratios to ogr2ogr and to the limit; None where nothing is promised."""

    make: Callable[[], Dataset]
    ogr2ogr: float | None
    limit: float | None


def cases(maker: Maker) -> dict[str, Case]:
    return {
        "points": Case(lambda: maker.points(2_000_000), 0.55, 1.6),
        "buildings": Case(lambda: maker.buildings(500_000), 0.50, 2.0),
        "many_buildings": Case(lambda: maker.buildings(3_000_000), 0.50, None),
        "geojson": Case(lambda: maker.buildings_geojson(1_500_000), 0.55, None),
        "shapefile": Case(lambda: maker.buildings_shapefile(500_000), 0.55, None),
        "countries": Case(maker.countries, 0.80, None),
        "small": Case(maker.small, 4, None),
    }


@dataclass(frozen=True)
class Measured:
    """Medians of the runs in seconds, and the app's median run in detail."""

    name: str
    rows: int
    app: float
    ogr2ogr: float
    limit: float
    detail: Run
    case: Case

    @property
    def ratios(self) -> dict[str, float]:
        return {"ogr2ogr": round(self.app / self.ogr2ogr, 3), "limit": round(self.app / self.limit, 3)}

    @property
    def kept(self) -> bool:
        promised = ((self.case.ogr2ogr, self.ratios["ogr2ogr"]), (self.case.limit, self.ratios["limit"]))
        return all(most is None or ratio <= most for most, ratio in promised)

    def record(self) -> dict[str, object]:
        seconds = {"app": self.app, "ogr2ogr": self.ogr2ogr, "limit": self.limit}
        return {"name": self.name, "rows": self.rows, "seconds": seconds, "ratios": self.ratios, **asdict(self.detail)}


def measure(key: str, case: Case, stack: Stack, repeat: int) -> Measured:
    data, app = case.make(), App(stack)
    ogr2ogr, limit = Ogr2ogr(stack.database_url), Limit(stack.database_url, FOLDER)
    blob = app.upload(data)
    table = f"bench_{key}"
    # Not counted: caches and connections are warm for all of them.
    app.load(data, blob, table)
    encoded = limit.encode(table)
    runs: dict[str, list[Run]] = defaultdict(list)
    for _ in range(repeat):
        runs["app"].append(app.load(data, blob, table))
        runs["ogr2ogr"].append(ogr2ogr.load(data, f"{table}_ogr"))
        runs["limit"].append(limit.load(encoded, table))
    encoded.unlink()
    seconds = {name: statistics.median(run.seconds for run in told) for name, told in runs.items()}
    detail = sorted(runs["app"], key=lambda run: run.seconds)[repeat // 2]
    return Measured(data.name, data.rows, detail=detail, case=case, **seconds)


def show(measured: Iterable[Measured]) -> None:
    table = Table(
        "file", "app s", "ogr2ogr s", "limit s", "/ ogr2ogr", "/ limit", "rows/s", "peak MB", "stages s", "kept"
    )
    for each in measured:
        stages = " + ".join(f"{seconds:.1f}" for seconds in each.detail.stages.values())
        ratios = [
            f"{each.ratios[name]:.2f}" + (f" (≤ {most})" if most else "")
            for name, most in (("ogr2ogr", each.case.ogr2ogr), ("limit", each.case.limit))
        ]
        seconds = [f"{value:.2f}" for value in (each.app, each.ogr2ogr, each.limit)]
        rate = f"{each.rows / each.app:,.0f}"
        kept = "yes" if each.kept else "NO"
        table.add_row(each.name, *seconds, *ratios, rate, f"{each.detail.memory:.0f}", stages, kept)
    console.print(table)
    for each in measured:
        steps = sorted(each.detail.steps.items(), key=lambda step: -step[1])
        console.print(f"{each.name}: " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    if not which("ogr2ogr"):
        debian.install("gdal-bin")
    chosen = {key: case for key, case in cases(Maker(FOLDER)).items() if given.only in key}
    with Stack(ROOT, "bench") as stack:
        stack.start()
        measured = []
        for key, case in chosen.items():
            measured.append(measure(key, case, stack, given.repeat))
            show(measured[-1:])
    show(measured)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps([each.record() for each in measured], indent=2) + "\n")
    return 0 if all(each.kept for each in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
