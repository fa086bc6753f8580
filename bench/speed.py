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
from bench.speed_rivals import App, Chunks, Limit, Ogr2ogr, Run
from local.setup import debian
from local.stack import Stack

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "bench-data"
RESULTS = ROOT / "bench" / "results"
UPLOAD = "2"
console = Console(highlight=False, width=160)


@dataclass(frozen=True)
class Case:
    """The promised ratios: of the app to ogr2ogr and to the limit, and of its upload stage to COPY of the same chunks;
    None where nothing is promised."""

    make: Callable[[], Dataset]
    ogr2ogr: float | None
    limit: float | None = None
    upload: float | None = None


def cases(maker: Maker) -> dict[str, Case]:
    return {
        "points": Case(lambda: maker.points(2_000_000), 0.55, 1.6, 1.3),
        "buildings": Case(lambda: maker.buildings(500_000), 0.50, 2.0, 1.3),
        "many_buildings": Case(lambda: maker.buildings(3_000_000), 0.50),
        "geojson": Case(lambda: maker.buildings_geojson(1_500_000), 0.55),
        "shapefile": Case(lambda: maker.buildings_shapefile(500_000), 0.55),
        "countries": Case(maker.countries, 0.80),
        "small": Case(maker.small, 4),
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
    def ratios(self) -> dict[str, float]:
        pairs = {
            "ogr2ogr": (self.app, self.ogr2ogr),
            "limit": (self.app, self.limit),
            "upload": (self.upload, self.chunks),
        }
        return {name: round(ours / theirs, 3) for name, (ours, theirs) in pairs.items()}

    def at_most(self, name: str) -> float | None:
        most: float | None = getattr(self.case, name)
        return most

    @property
    def kept(self) -> bool:
        return all((most := self.at_most(name)) is None or ratio <= most for name, ratio in self.ratios.items())

    def record(self) -> dict[str, object]:
        names = ("app", "ogr2ogr", "limit", "upload", "chunks")
        seconds = {name: round(getattr(self, name), 3) for name in names}
        promised = {name: self.at_most(name) for name in self.ratios}
        told = {"name": self.name, "rows": self.rows, "ratios": self.ratios, "at_most": promised, "kept": self.kept}
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
    runs: dict[str, list[Run]] = defaultdict(list)
    for _ in range(repeat):
        runs["app"].append(app.load(data, blob, table))
        runs["ogr2ogr"].append(ogr2ogr.load(data, f"{table}_ogr"))
        runs["limit"].append(limit.load(encoded, table))
        runs["chunks"].append(chunks.load(encoded_chunks, table))
    for path in (encoded, *encoded_chunks):
        path.unlink()
    seconds = {name: statistics.median(run.seconds for run in told) for name, told in runs.items()}
    detail = sorted(runs["app"], key=lambda run: run.seconds)[repeat // 2]
    upload = statistics.median(run.stages[UPLOAD] for run in runs["app"])
    return Measured(data.name, data.rows, detail=detail, case=case, upload=upload, **seconds)


def show(measured: Iterable[Measured]) -> None:
    table = Table(
        "file", "app s", "ogr2ogr", "limit", "/ ogr2ogr", "/ limit", "upload / COPY", "rows/s", "stages s", "kept"
    )
    for each in measured:
        stages = " + ".join(f"{seconds:.1f}" for seconds in each.detail.stages.values())
        ratios = [
            f"{ratio:.2f}" + (f" (≤ {most})" if (most := each.at_most(name)) else "")
            for name, ratio in each.ratios.items()
        ]
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
