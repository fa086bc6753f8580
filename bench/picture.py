"""All figures as one picture: how far each is from what is promised.

python -m bench.picture
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import figure

from bench.figures import RESULTS, Figure, kept_figures

PARTS = ("speed", "throughput", "orchestration", "many_tasks", "round_trips", "start", "indexes")
KEPT, MISSED = "#2a7f62", "#c1440e"


def draw(figures: Sequence[Figure], folder: Path) -> None:
    """Writes bench.svg; the same figures give the same bytes."""
    mpl.rcParams["svg.hashsalt"] = "bench"
    shown = [each for each in figures if each.promised][::-1]
    picture = figure.Figure(figsize=(12, 0.42 * len(shown) + 1), layout="constrained")
    axes = picture.subplots()
    axes.barh(
        [each.what for each in shown],
        [each.share for each in shown],
        color=[KEPT if each.kept else MISSED for each in shown],
    )
    for row, each in enumerate(shown):
        axes.annotate(f" {each.ratio:.2f} ({each.promised})", (each.share, row), va="center")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel("times as good as promised; right of the line it is kept")
    picture.savefig(folder / "bench.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(list(kept_figures(RESULTS, PARTS)), RESULTS)
