"""The ratios of bench/results/*.json as one picture: how far each is from what is promised.

python -m bench.picture
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
KEPT, MISSED = "#2a7f62", "#c1440e"
BESIDE = {"ogr2ogr": "ogr2ogr", "limit": "COPY of finished rows", "upload": "COPY of the chunks, upload stage"}


@dataclass(frozen=True)
class Bar:
    """share: of the promise; more than 1 is better than promised, whichever way the ratio goes."""

    label: str
    ratio: float
    promised: str
    share: float


def bars() -> Iterator[Bar]:
    for case in loaded("speed.json"):
        for name, most in case["at_most"].items():
            if most is not None:
                ratio = case["ratios"][name]
                yield Bar(f"{case['name']} / {BESIDE[name]}", ratio, f"≤ {most:g}", most / ratio)
    for name in ("throughput.json", "orchestration.json"):
        for figure in loaded(name):
            ratio, least = figure["ratio"], figure["at_least"]
            yield Bar(figure["what"], ratio, f"≥ {least:g}", ratio / least)


def loaded(name: str) -> list[dict[str, Any]]:
    path = RESULTS / name
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def draw() -> None:
    """Writes bench.svg; the same figures give the same bytes."""
    mpl.rcParams["svg.hashsalt"] = "bench"
    shown = list(bars())[::-1]
    figure = Figure(figsize=(11, 0.42 * len(shown) + 1), layout="constrained")
    axes = figure.subplots()
    colors = [KEPT if bar.share >= 1 else MISSED for bar in shown]
    axes.barh([bar.label for bar in shown], [bar.share for bar in shown], color=colors)
    for row, bar in enumerate(shown):
        axes.annotate(f" {bar.ratio:.2f} ({bar.promised})", (bar.share, row), va="center")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel("times as good as promised; right of the line it is kept")
    figure.savefig(RESULTS / "bench.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw()
