"""How fast files are loaded, beside ogr2ogr and beside COPY of finished rows.

    python -m bench.speed [--only points] [--repeat 3]

The whole app on the local stack with two workers, from the HTTP request to the published table; the same files, the
same Postgres, the contenders in turns, medians. Who takes more than five minutes runs once, and ogr2ogr is stopped
after fifteen.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which

from rich.table import Table

from bench.figures import NOT_KEPT, Figure, arguments, console, keep
from bench.speed_data import Dataset, Maker
from bench.speed_rivals import OGR2OGR_SECONDS, App, Chunks, Limit, Ogr2ogr, Run
from local.setup import debian
from local.stack import Stack

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "bench-data"
UPLOAD = "2"
# Who takes longer runs once.
LONG_SECONDS = 300.0
BESIDE = {"ogr2ogr": "ogr2ogr", "limit": "the limit", "upload": "COPY of its chunks"}


@dataclass(frozen=True)
class Promise:
    """Of a ratio."""

    at_most: float | None = None
    go_for: float | None = None


NOTHING = Promise()
UPLOAD_PROMISE = Promise(1.3, 1.1)


@dataclass(frozen=True)
class Case:
    """The promised ratios: of the app to ogr2ogr and to the limit, and of its upload stage to COPY of the same chunks.
    repeat: at least so often; what is short needs many runs."""

    make: Callable[[], Dataset]
    ogr2ogr: Promise
    limit: Promise = NOTHING
    upload: Promise = NOTHING
    repeat: int = 1


def cases(maker: Maker) -> dict[str, Case]:
    return {
        "points": Case(lambda: maker.points(2_000_000), Promise(0.55, 0.40), Promise(1.6, 1.3), UPLOAD_PROMISE),
        "buildings": Case(lambda: maker.buildings(500_000), Promise(0.50, 0.30), Promise(2.0, 1.5), UPLOAD_PROMISE),
        "many_buildings": Case(lambda: maker.buildings(3_000_000), Promise(0.50, 0.30)),
        "geojson": Case(lambda: maker.buildings_geojson(1_500_000), Promise(0.55, 0.35)),
        "shapefile": Case(lambda: maker.buildings_shapefile(500_000), Promise(0.55, 0.40)),
        "countries": Case(maker.countries, Promise(0.80, 0.60)),
        "maritime": Case(maker.maritime, NOTHING),
        "small": Case(maker.small, Promise(4, 2), repeat=15),
    }


def short_cases(maker: Maker) -> dict[str, Case]:
    """One of each format, as small as still makes several chunks. Nothing is promised of them."""
    return {
        "points": Case(lambda: maker.points(200_000), NOTHING),
        "buildings": Case(lambda: maker.buildings(50_000), NOTHING),
        "geojson": Case(lambda: maker.buildings_geojson(50_000), NOTHING),
        "shapefile": Case(lambda: maker.buildings_shapefile(50_000), NOTHING),
        "maritime": Case(maker.maritime, NOTHING),
        "small": Case(maker.small, NOTHING, repeat=3),
    }


@dataclass(frozen=True)
class Measured:
    """Medians of the runs in seconds, and the app's median run in detail."""

    name: str
    rows: int
    app: float
    ogr2ogr: float
    limit: float
    chunks: float
    upload: float
    detail: Run
    case: Case

    @property
    def pairs(self) -> dict[str, tuple[float, float]]:
        return {
            "ogr2ogr": (self.app, self.ogr2ogr),
            "limit": (self.app, self.limit),
            "upload": (self.upload, self.chunks),
        }

    def figures(self) -> Iterator[Figure]:
        for name, (ours, theirs) in self.pairs.items():
            promise: Promise = getattr(self.case, name)
            whose = f"{self.name}, upload stage" if name == "upload" else self.name
            stopped = name == "ogr2ogr" and theirs >= OGR2OGR_SECONDS
            told = f"{ours:.2f} / {'more than ' if stopped else ''}{theirs:.2f} s"
            yield Figure(f"{whose} / {BESIDE[name]}", ours / theirs, None, told, promise.at_most, promise.go_for)

    @property
    def kept(self) -> bool:
        return all(each.kept for each in self.figures())

    def record(self) -> dict[str, object]:
        names = ("app", "ogr2ogr", "limit", "upload", "chunks")
        seconds = {name: round(getattr(self, name), 3) for name in names}
        told = {"name": self.name, "rows": self.rows, "figures": [each.record() for each in self.figures()]}
        return told | asdict(self.detail) | {"seconds": seconds}


def measure(key: str, case: Case, stack: Stack, repeat: int) -> Measured:
    data, app = case.make(), App(stack)
    ogr2ogr, limit, chunks = (
        Ogr2ogr(stack.database_url),
        Limit(stack.database_url, FOLDER),
        Chunks(stack.database_url, FOLDER),
    )
    blob = app.upload(data)
    table = f"bench_{key}"
    # Not counted: caches and connections are warm for all of them.
    app.load(data, blob, table)
    encoded, encoded_chunks = limit.encode(table), chunks.encode(table)
    contenders: dict[str, Callable[[], Run]] = {
        "app": lambda: app.load(data, blob, table),
        "ogr2ogr": lambda: ogr2ogr.load(data, f"{table}_ogr"),
        "limit": lambda: limit.load(encoded, table),
        "chunks": lambda: chunks.load(encoded_chunks, table),
    }
    runs: dict[str, list[Run]] = defaultdict(list)
    for _ in range(max(repeat, case.repeat)):
        for name, load in contenders.items():
            if not runs[name] or runs[name][0].seconds < LONG_SECONDS:
                runs[name].append(load())
    for path in (encoded, *encoded_chunks):
        path.unlink()
    seconds = {name: statistics.median(run.seconds for run in told) for name, told in runs.items()}
    detail = sorted(runs["app"], key=lambda run: run.seconds)[len(runs["app"]) // 2]
    upload = statistics.median(run.stages[UPLOAD] for run in runs["app"])
    return Measured(data.name, data.rows, detail=detail, case=case, upload=upload, **seconds)


def show(measured: Iterable[Measured]) -> None:
    table = Table(
        "file", "app s", "ogr2ogr", "limit", "/ ogr2ogr", "/ limit", "upload / COPY", "rows/s", "stages s", "kept"
    )
    for each in measured:
        stages = " + ".join(f"{seconds:.1f}" for seconds in each.detail.stages.values())
        ratios = [f"{one.ratio:.2f} {one.promised}" for one in each.figures()]
        seconds = [f"{value:.2f}" for value in (each.app, each.ogr2ogr, each.limit)]
        rate = f"{each.rows / each.app:,.0f}"
        kept = "yes" if each.kept else "NO"
        table.add_row(each.name, *seconds, *ratios, rate, stages, kept)
    console.print(table)
    for each in measured:
        console.print(f"{each.name}: {each.detail.blob_mb:.0f} MB through the blob store")
        usage = each.detail.usage
        for what, figures in (("steps, s", each.detail.steps), ("CPU, s", usage.cpu), ("peak, MB", usage.peak_mb)):
            largest_first = sorted(figures.items(), key=lambda figure: -figure[1])
            console.print(f"  {what}: " + ", ".join(f"{name} {figure:.2f}" for name, figure in largest_first))


def main() -> int:
    parser = arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    if not which("ogr2ogr"):
        debian.install("gdal-bin")
    made = short_cases if given.short else cases
    chosen = {key: case for key, case in made(Maker(FOLDER)).items() if given.only in key}
    with Stack(ROOT, "bench") as stack:
        stack.start()
        measured = []
        for key, case in chosen.items():
            measured.append(measure(key, case, stack, 1 if given.short else given.repeat))
            show(measured[-1:])
    show(measured)
    if not given.only:
        keep("speed", [each.record() for each in measured], short=given.short)
    return 0 if all(each.kept for each in measured) else NOT_KEPT


if __name__ == "__main__":
    sys.exit(main())
