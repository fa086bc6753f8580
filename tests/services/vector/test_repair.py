"""Geometries that take too long: what becomes of them, and of those around them."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pyarrow as pa
import pytest
import shapely

from services.vector.geometry import PreparedGeometries, prepare_geometries
from services.vector.repair import CHECKED_APART, REPAIRED_APART, Repairer, _started
from services.vector.repair_child import REQUEST

SQUARE = shapely.box(0, 0, 1, 1)


def star(points: int) -> shapely.Polygon:
    """Every edge crosses nearly every other one: `points` must be odd."""
    angles = np.arange(points) * (2 * np.pi * (points // 2) / points)
    return shapely.Polygon(np.column_stack([np.cos(angles), np.sin(angles)]))


def comb(teeth: int) -> shapely.Polygon:
    """Valid, with long thin teeth side by side, whose boxes all overlap: checking costs the square of their number."""
    x = np.arange(teeth) * 1e-6
    tips, gaps = np.column_stack([x + 1, np.ones(teeth)]), np.column_stack([x + 5e-7, np.zeros(teeth)])
    zigzag = np.stack([gaps, tips], axis=1).reshape(-1, 2)
    return shapely.Polygon(np.vstack([zigzag, [[3, -1], [-1, -1]]]))


def circle(vertices: int) -> shapely.Polygon:
    """Honest and large; its 100th and 200th vertices are exchanged, so that it crosses itself."""
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    ring[[100, 200]] = ring[[200, 100]]
    return shapely.Polygon(ring)


@pytest.fixture
def repairer() -> Iterator[Repairer]:
    with Repairer(seconds_each=1.0, seconds_in_all=3.0) as made:
        yield made


def prepare(*geometries: shapely.Geometry, repairer: Repairer) -> PreparedGeometries:
    wkb = pa.array(shapely.to_wkb(list(geometries)), pa.binary())
    return prepare_geometries(wkb, None, source_crs="EPSG:4326", target="MultiPolygon", repairer=repairer)


def children() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children()


def test_a_polygon_that_takes_too_long_is_rejected_and_its_neighbours_are_repaired(repairer: Repairer) -> None:
    started = time.monotonic()
    prepared = prepare(star(101), star(3001), SQUARE, star(101), star(5), repairer=repairer)
    assert time.monotonic() - started < 5
    assert prepared.reasons.to_pylist() == [None, "too_complex_to_repair", None, None, None]
    assert prepared.repaired == 3
    assert prepared.details.to_pylist()[1].startswith("Self-intersection[")
    found = [shapely.from_wkb(wkb) for wkb in prepared.ewkb.to_pylist()]
    assert shapely.is_valid(found).all()
    assert found[0].area == pytest.approx(shapely.make_valid(star(101), method="structure").area)


def test_a_valid_polygon_that_takes_too_long_to_check_is_rejected(repairer: Repairer) -> None:
    started = time.monotonic()
    prepared = prepare(comb(60_000), SQUARE, repairer=repairer)
    assert time.monotonic() - started < 5
    assert prepared.reasons.to_pylist() == ["too_complex_to_repair", None]


def test_large_polygons_are_looked_at_and_kept(repairer: Repairer) -> None:
    valid = shapely.Point(0, 0).buffer(1, quad_segs=CHECKED_APART)
    prepared = prepare(valid, circle(300_000), repairer=repairer)
    assert prepared.kept.to_pylist() == [True, True]
    assert prepared.repaired == 1
    assert shapely.from_wkb(prepared.ewkb[0].as_py()).equals_exact(shapely.MultiPolygon([valid]))


def test_when_the_time_is_used_up_the_rest_is_rejected_at_once(repairer: Repairer) -> None:
    prepared = prepare(*[star(3001)] * 4, star(REPAIRED_APART + 1), star(5), repairer=repairer)
    assert prepared.reasons.to_pylist() == ["too_complex_to_repair"] * 5 + [None]
    started = time.monotonic()
    assert prepare(*[star(3001)] * 50, repairer=repairer).kept.to_pylist() == [False] * 50
    assert time.monotonic() - started < 1


def test_no_process_is_started_without_need_or_outlives_its_work() -> None:
    before = children()
    with Repairer(seconds_each=1.0) as repairer:
        prepare(SQUARE, star(5), repairer=repairer)
        assert children() == before
        prepare(star(101), repairer=repairer)
        assert len(children()) == len(before) + 1
        prepare(star(3001), repairer=repairer)
        prepare(star(101), repairer=repairer)
        assert len(children()) == len(before) + 1
    assert children() == before


def test_the_process_ends_itself_when_nobody_waits_for_it_any_more() -> None:
    wkb = shapely.to_wkb(star(3001))
    child = _started()
    assert child.stdin is not None
    child.stdin.write(REQUEST.pack(1.0, len(wkb)) + wkb)
    child.stdin.flush()
    assert child.wait(timeout=20) == -signal.SIGPROF
    child.communicate()


def test_the_process_knows_none_of_the_apps_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGIS_PASSWORD", "secret")
    child = _started()
    assert "POSTGIS_PASSWORD" not in psutil.Process(child.pid).environ()
    child.kill()
    child.communicate()
