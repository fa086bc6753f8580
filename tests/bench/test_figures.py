from pathlib import Path

import pytest

from bench import figures, picture
from bench.figures import Figure, kept_figures

FAST = Figure("ours / theirs", 0.4, None, "2 / 5 s", at_most=0.5)
OFTEN = Figure("jobs at once / in turn", 2.0, 3, "4 / 2 jobs/s", go_for=5)
TOLD = Figure("rows", 7.0, None, "")


def test_a_promise_is_kept_on_its_own_side() -> None:
    assert FAST.kept
    assert FAST.share == pytest.approx(1.25)
    assert not OFTEN.kept
    assert OFTEN.share == pytest.approx(2 / 3)


def test_the_bound_itself_is_kept() -> None:
    assert Figure("", 0.5, None, "", at_most=0.5).kept
    assert Figure("", 3.0, 3, "").kept


def test_what_is_only_told_breaks_no_promise() -> None:
    assert TOLD.kept
    assert not TOLD.promised


def test_a_bound_is_shown_with_its_side() -> None:
    assert (FAST.promised, OFTEN.promised, OFTEN.hoped) == ("≤ 0.5", "≥ 3", "≥ 5")


def test_figures_of_all_parts_come_back_in_the_order_of_the_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(figures, "SHORT_RESULTS", tmp_path)
    figures.keep("many", [{"name": "a case", "figures": [OFTEN.record(), TOLD.record()]}], short=True)
    figures.keep("one", [FAST.record()], short=True)
    assert list(kept_figures(tmp_path, ["one", "absent", "many"])) == [FAST, OFTEN, TOLD]


def test_a_part_tells_by_its_end_whether_all_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figures, "SHORT_RESULTS", tmp_path)
    assert figures.conclude("part", [FAST, TOLD], short=True) == 0
    assert figures.conclude("part", [FAST, OFTEN], short=True) == figures.NOT_KEPT


def test_the_picture_shows_what_is_promised(tmp_path: Path) -> None:
    picture.draw([FAST, OFTEN, TOLD], tmp_path)
    drawn = (tmp_path / "bench.svg").read_text()
    assert FAST.what in drawn
    assert TOLD.what not in drawn
