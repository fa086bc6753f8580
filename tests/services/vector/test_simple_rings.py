"""What is proven must be valid for GEOS, which is asked here as well."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.vector.geometry import prepare_geometries
from services.vector.simple_rings import MOST_CORNERS, proven_simple

# Enough rows of a kind to be looked at.
MANY = 100
NAN, INF = float("nan"), float("inf")
L_SHAPE: list[tuple[float, float]] = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
BOW_TIE = [(0, 0), (2, 2), (2, 0), (0, 2)]


def wkb(*shapes: Any, **options: Any) -> pa.BinaryArray:
    return pa.array(shapely.to_wkb(np.array(shapes, object), **options), pa.binary())


def are_proven(shape: Any, **options: Any) -> bool:
    [answer] = set(proven_simple(wkb(*[shape] * MANY, **options)).tolist())
    return bool(answer)


def polygons(corners: NDArray[np.float64]) -> NDArray[np.object_]:
    """(n, corners, 2) -> (n,)"""
    return np.array(shapely.polygons(corners), object)


def turned(corners: list[tuple[float, float]]) -> shapely.Polygon:
    """By an angle that no double is exact at, and in the other direction."""
    shape = shapely.affinity.rotate(shapely.Polygon(corners), 17.3)
    return shapely.Polygon(shape.exterior.coords[::-1])


@pytest.mark.parametrize("corners", [[(0, 0), (3, 0), (1, 2)], [(0, 0), (1, 0), (1, 1), (0, 1)], L_SHAPE])
def test_plain_shapes_are_proven(corners: list[tuple[float, float]]) -> None:
    for shape in (shapely.Polygon(corners), turned(corners)):
        assert are_proven(shape)
        assert are_proven(shapely.MultiPolygon([shape]))


@pytest.mark.parametrize(
    "corners",
    [
        BOW_TIE,
        [(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)],
        [(0, 0), (4, 0), (2, 0), (2, 3)],
        [(0, 0), (1, 0), (1, 0), (1, 1)],
        [(0, 0), (1, 0), (2, 0), (2, 2)],
        [(0, 0), (1, 1), (2, 2), (3, 3)],
        [(0, 0), (1, 0), (1, NAN), (0, 1)],
        [(0, 0), (1, 0), (INF, 1), (0, 1)],
        [(0, 0), (1e-170, 0), (1e-170, 1e-170), (0, 1e-170)],
        [(0, 0), (1e200, 0), (1e200, 1e200), (0, 1e200)],
        [(0, 0), (1, 1), (2, 2 + 4e-16), (3, 0)],
    ],
    ids=["bow tie", "touches", "spike", "twice", "straight", "flat", "NaN", "inf", "tiny", "huge", "nearly straight"],
)
def test_others_are_left_to_geos(corners: list[tuple[float, float]]) -> None:
    assert not are_proven(shapely.Polygon(corners))


def test_only_one_plain_ring_is_looked_at() -> None:
    square = shapely.box(0, 0, 1, 1)
    with_hole = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(1, 1, 2, 2).exterior])
    many_corners = shapely.Point(0, 0).buffer(1, quad_segs=MOST_CORNERS)
    for shape in (with_hole, many_corners, shapely.MultiPolygon([square, shapely.box(2, 2, 3, 3)]), shapely.Polygon()):
        assert not are_proven(shape)
    for other in (shapely.force_3d(square), shapely.LineString(square.exterior), square.exterior):
        assert not are_proven(other)
    assert not are_proven(square, byte_order=0)
    assert not are_proven(shapely.set_srid(square, 4326), include_srid=True)


def test_a_ring_that_is_not_closed_is_not_proven() -> None:
    closed = shapely.to_wkb(shapely.box(0, 0, 1, 1))
    opened = closed[:-8] + np.array([0.5], "<f8").tobytes()
    assert proven_simple(pa.array([closed] * MANY, pa.binary())).all()
    assert not proven_simple(pa.array([opened] * MANY, pa.binary())).any()


def test_rows_are_told_apart_and_nulls_are_nothing() -> None:
    good, bad = shapely.box(0, 0, 1, 1), shapely.Polygon(BOW_TIE)
    told = proven_simple(wkb(*[good, bad, None, shapely.Point(1, 1)] * MANY)[1:])
    assert told.tolist() == ([True, False, False, False] * MANY)[1:]


@st.composite
def rings(draw: st.DrawFn) -> NDArray[np.float64]:
    """On a small grid, where edges meet in every way, then moved, scaled and shaken by a hair."""
    count = draw(st.integers(3, MOST_CORNERS))
    corner = st.tuples(st.integers(0, 3), st.integers(0, 3))
    corners = np.array([draw(st.lists(corner, min_size=count, max_size=count)) for _ in range(MANY)], float)
    scale = draw(st.sampled_from([1.0, 0.1, 1e-7, 1e7]))
    offset = draw(st.sampled_from([0.0, 0.1, 5e6]))
    corners = corners * scale + offset
    if draw(st.booleans()):
        corners += np.spacing(corners) * draw(st.integers(-2, 2))
    return corners


@given(rings())
@settings(max_examples=150, deadline=None)
def test_what_is_proven_is_valid_for_geos(corners: NDArray[np.float64]) -> None:
    shapes = polygons(corners)
    proven = proven_simple(wkb(*shapes))
    assert shapely.is_valid(shapes[proven]).all()


def test_among_random_rings_most_valid_ones_are_proven() -> None:
    corners = np.random.default_rng(1).uniform(size=(5000, 6, 2))
    shapes = polygons(corners)
    assert (proven_simple(wkb(*shapes)) == shapely.is_valid(shapes)).mean() > 0.999


def test_a_batch_comes_out_the_same_with_and_without_a_proof() -> None:
    """A few rows are left to GEOS: what it makes of them is what all of them must be."""
    shapes = [
        shapely.box(0, 0, 1, 1),
        shapely.Polygon(BOW_TIE),
        turned(L_SHAPE),
        shapely.MultiPolygon([turned(L_SHAPE)]),
    ]
    options: dict[str, Any] = {"source_crs": "EPSG:4326", "target": "MultiPolygon"}
    few, many = (prepare_geometries(wkb(*shapes * times), None, **options) for times in (1, MANY))
    assert not proven_simple(wkb(*shapes)).any()
    assert many.ewkb.to_pylist() == few.ewkb.to_pylist() * MANY
    assert (many.repaired, many.promoted) == (MANY, 3 * MANY)
