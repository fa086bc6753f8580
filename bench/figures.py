"""What is measured beside what is promised: one figure each, kept as JSON by part, shown in one table."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
# Figures of the short form tell that everything still works, not how fast it is.
SHORT_RESULTS = Path(__file__).parent.parent / ".local" / "bench-short"
# How a part ends that has measured everything and found a promise broken.
NOT_KEPT = 3
console = Console(highlight=False, width=160)


@dataclass(frozen=True)
class Figure:
    """ratio: to be at least `at_least`, or at most `at_most`; better, what one would `go_for`. told: the figures that
    it comes from, with their units."""

    what: str
    ratio: float
    at_least: float | None
    told: str
    at_most: float | None = None
    go_for: float | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        return cls(**{field.name: record[field.name] for field in fields(cls) if field.name in record})

    @property
    def share(self) -> float:
        """How many times as good as promised; 1 where nothing is."""
        if self.at_least is not None:
            return self.ratio / self.at_least
        return self.at_most / self.ratio if self.at_most is not None and self.ratio else 1.0

    @property
    def kept(self) -> bool:
        return self.share >= 1

    @property
    def promised(self) -> str:
        return bound("≥", self.at_least) or bound("≤", self.at_most)

    @property
    def hoped(self) -> str:
        return bound("≤" if self.at_least is None else "≥", self.go_for)

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": round(self.ratio, 3), "kept": self.kept}


def bound(sign: str, value: float | None) -> str:
    return "" if value is None else f"{sign} {value:g}"


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """With the one argument that all parts have."""
    parser.add_argument("--short", action="store_true", help="small and once: does it still work?")
    return parser


def conclude(part: str, figures: Sequence[Figure], *, short: bool) -> int:
    """Show and keep the figures of a part. Returns how the part ends: 0, or NOT_KEPT."""
    show(figures)
    keep(part, [each.record() for each in figures], short=short)
    return 0 if all(each.kept for each in figures) else NOT_KEPT


def keep(part: str, records: Sequence[dict[str, Any]], *, short: bool) -> None:
    folder = folder_of(short=short)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.json").write_text(json.dumps(records, indent=2) + "\n")


def folder_of(*, short: bool) -> Path:
    return SHORT_RESULTS if short else RESULTS


def kept_figures(folder: Path, parts: Sequence[str]) -> Iterator[Figure]:
    """Of these parts, in this order. A record is a figure, or has some among its details."""
    for path in (folder / f"{part}.json" for part in parts):
        for record in json.loads(path.read_text()) if path.exists() else []:
            yield from map(Figure.of, record.get("figures", [record]))


def show(figures: Sequence[Figure]) -> None:
    table = Table("what", "ratio", "promised", "go for", "figures", "kept")
    for each in figures:
        kept = "yes" if each.kept else "NO"
        table.add_row(
            each.what, f"{each.ratio:.2f}", each.promised, each.hoped, each.told, kept if each.promised else ""
        )
    console.print(table)
