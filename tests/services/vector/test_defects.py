"""What is told of rejected rows: what is wrong, and where."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from services.vector.defects import MOST_SHOWN_BYTES, Defect, find_defects
from services.vector.geometry import prepare_geometries, projection
from tests.services.vector.test_geometry import BOW_TIE, COLLECTION_OF_CURVES, CURVE, SQUARE, UTM, wkb

NAN = float("nan")
LINE = shapely.LineString([(0, 0), (1, 1)])


def defect(geometry: Any, target: str, crs: str = "EPSG:4326") -> tuple[str, Defect]:
    """The reason for which the row is rejected, and what is told of it."""
    source = wkb(geometry)
    prepared = prepare_geometries(source, None, source_crs=crs, target=target)
    (found,) = find_defects(source, prepared.reasons, prepared.details, projection(crs))
    return prepared.reasons[0].as_py(), found


@pytest.mark.parametrize(
    ("geometry", "target", "detail", "place"),
    [
        (None, "Point", None, None),
        (b"", "Point", None, None),
        (shapely.Point(), "Point", None, None),
        (shapely.Point(NAN, 1), "Point", "vertex 1 is (nan 1)", None),
        (shapely.Point(200, 100), "Point", "vertex 1 is (200 100)", None),
        (shapely.Point(33.5, -117.25), "Point", "vertex 1 is (33.5 -117.25)", (-117.25, 33.5)),
        (shapely.LineString([(0, 0), (1, 1), (NAN, 3), (4, 4)]), "MultiLineString", "vertex 3 is (nan 3)", (1, 1)),
        (shapely.LineString([(0, 95), (7, 8), (9, 9)]), "MultiLineString", "vertex 1 is (0 95)", (7, 8)),
        (shapely.LineString([(1, 2), (1, 2)]), "MultiLineString", "Too few points in geometry component[1 2]", (1, 2)),
        (LINE, "Point", "LineString", None),
        (CURVE, "MultiLineString", "CircularString", None),
        (COLLECTION_OF_CURVES, "MultiLineString", "GeometryCollection with curves", None),
        (shapely.GeometryCollection([LINE, SQUARE, LINE]), "MultiPolygon", "of LineString, Polygon", None),
    ],
)
def test_the_defect_and_its_place_are_told(geometry: Any, target: str, detail: str | None, place: Any) -> None:
    _, found = defect(geometry, target)
    assert (found.detail, found.place) == (detail, place)


def test_places_and_shapes_are_in_degrees_and_details_in_the_coordinates_of_the_source() -> None:
    flat = shapely.Polygon([(5e5, 5.2e6), (5.1e5, 5.3e6), (5.2e5, 5.4e6)])
    reason, found = defect(shapely.force_3d(flat, 100), "MultiPolygon", "EPSG:25832")
    assert (reason, found.detail) == ("collapsed_geometry", "Self-intersection[510000 5300000]")
    assert found.place == pytest.approx(UTM(5.1e5, 5.3e6))
    assert found.shape is not None
    shown = shapely.from_wkb(found.shape)
    assert shown.equals_exact(shapely.transform(flat, UTM, interleaved=False), 1e-12)
    assert not shown.has_z


def test_what_cannot_be_reprojected_has_no_place_but_that_beside_it() -> None:
    reason, found = defect(shapely.LineString([(5e5, 5.2e6), (1e30, 1e30)]), "MultiLineString", "EPSG:25832")
    assert (reason, found.detail, found.shape) == ("reprojection_failed", "vertex 2 is (1e+30 1e+30)", None)
    assert found.place == pytest.approx(UTM(5e5, 5.2e6))


def test_a_shape_too_large_to_show_is_told_without_it() -> None:
    vertices = MOST_SHOWN_BYTES // 16
    ring = np.column_stack([np.linspace(0, 1, vertices), np.zeros(vertices)])
    reason, found = defect(shapely.GeometryCollection([shapely.LineString(ring), shapely.Point(0, 0)]), "MultiPolygon")
    assert (reason, found) == ("mixed_collection", Defect("of LineString, Point"))


def test_each_row_has_its_own_defect() -> None:
    source = wkb(None, BOW_TIE, shapely.Point(1, 99.5), COLLECTION_OF_CURVES, shapely.Point(2, 300), b"")
    reasons = ["null_geometry", "repair_failed", "coordinates_out_of_range", "unsupported_geometry_type"]
    reasons += ["coordinates_out_of_range", "unreadable_geometry"]
    found = find_defects(source, pa.array(reasons), pa.nulls(6, pa.string()), None)
    assert [each.detail for each in found] == [
        None,
        "Self-intersection[1 1]",
        "vertex 1 is (1 99.5)",
        "GeometryCollection with curves",
        "vertex 1 is (2 300)",
        None,
    ]
    assert [each.place for each in found] == [None, (1, 1), None, None, None, None]


def test_no_rows_have_no_defects() -> None:
    nothing = pa.array([], pa.string())
    assert find_defects(wkb(), nothing, nothing, projection("EPSG:25832")) == []
