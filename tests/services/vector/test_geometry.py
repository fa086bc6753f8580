from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from services.vector.ewkb import encode_ewkb
from services.vector.geometry import GeometryOptions, PreparedGeometries, prepare_geometries
from services.vector.geometry_census import GeometryCensus
from services.vector.wkb import read_headers

NAN, INF = float("nan"), float("inf")
BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
SQUARE = shapely.box(0, 0, 1, 1)
CURVE = b"\x01\x08\x00\x00\x00\x03\x00\x00\x00" + np.array([0, 0, 1, 1, 2, 0], "<f8").tobytes()
COLLECTION_OF_CURVES = b"\x01\x07\x00\x00\x00\x01\x00\x00\x00" + CURVE
DONUT = shapely.Polygon(
    shapely.box(0, 0, 9, 9).exterior, [shapely.box(1, 1, 2, 2).exterior, shapely.box(4, 4, 5, 5).exterior]
)
UTM: Any = pyproj.Transformer.from_crs(25832, 4326, always_xy=True).transform


def wkb(*geometries: Any, **options: Any) -> pa.BinaryArray:
    return pa.array(
        [g if g is None or isinstance(g, bytes) else shapely.to_wkb(g, **options) for g in geometries], pa.binary()
    )


def prepare(*geometries: Any, target: str, crs: str = "EPSG:4326", **options: Any) -> PreparedGeometries:
    return prepare_geometries(wkb(*geometries), None, source_crs=crs, target=target, params=GeometryOptions(**options))


def shapes(prepared: PreparedGeometries) -> list[Any]:
    return [shapely.from_wkb(value) for value in prepared.ewkb.to_pylist()]


def by_shapely(geometries: list[Any], target: str, project: Any = None) -> pa.BinaryArray:
    """The straightforward way to the same bytes."""
    array = shapely.force_2d(np.array(geometries, object))
    if project is not None:
        array = shapely.transform(array, project, interleaved=False)
    makers: dict[str, Any] = {
        "MultiPoint": shapely.multipoints,
        "MultiLineString": shapely.multilinestrings,
        "MultiPolygon": shapely.multipolygons,
    }
    promoted = [makers[target]([g]) if target in makers and "Multi" not in g.geom_type else g for g in array]
    return pa.array(shapely.to_wkb(shapely.set_srid(promoted, 4326), include_srid=True, byte_order=1), pa.binary())


FAMILIES: dict[str, list[Any]] = {
    "Point": [shapely.Point(500_000, 5_200_000), shapely.Point(400_000.123, 5_300_000.456)],
    "MultiPoint": [shapely.Point(5e5, 5.2e6), shapely.MultiPoint([(5e5, 5.2e6), (4e5, 5.1e6), (3e5, 5e6)])],
    "MultiLineString": [
        shapely.LineString([(5e5, 5.2e6), (4e5, 5.1e6), (3e5, 5e6)]),
        shapely.MultiLineString([[(5e5, 5.2e6), (4e5, 5.1e6)], [(1e5, 5e6), (2e5, 5e6), (3e5, 5e6)]]),
    ],
    "MultiPolygon": [
        shapely.transform(shape, lambda xy: xy * 1000 + (5e5, 5.2e6))
        for shape in (
            SQUARE,
            shapely.MultiPolygon([DONUT, shapely.box(20, 20, 30, 30)]),
            DONUT,
            shapely.MultiPolygon([SQUARE]),
            shapely.MultiPolygon([shapely.box(-5, 0, -4, 1), DONUT.buffer(0.2), shapely.box(30, 0, 31, 1)]),
        )
    ],
}


@pytest.mark.parametrize("target", FAMILIES)
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:25832"])
def test_the_kernel_writes_the_bytes_that_shapely_writes(target: str, crs: str) -> None:
    geometries = FAMILIES[target] * 3
    project = UTM if crs == "EPSG:25832" else None
    assert encode_ewkb(wkb(*geometries), target, project).ewkb.equals(by_shapely(geometries, target, project))


def pierced_square(x: float, y: float, holes: int) -> shapely.Polygon:
    centres = [(x + 3 + 4 * number, y + 5) for number in range(holes)]
    rings = [shapely.Point(centre).buffer(1, quad_segs=3).exterior for centre in centres]
    return shapely.Polygon(shapely.box(x, y, x + 20, y + 20).exterior, rings)


POLYGONS = st.builds(pierced_square, st.floats(-100, 100), st.floats(-60, 60), st.integers(0, 4))


@given(st.lists(st.one_of(POLYGONS, st.lists(POLYGONS, min_size=1, max_size=4).map(shapely.MultiPolygon)), max_size=6))
def test_rings_and_parts_in_any_number_are_found(geometries: list[shapely.Geometry]) -> None:
    def shifted(x: Any, y: Any) -> Any:
        return x + 1.25, y - 0.5

    encoded = encode_ewkb(wkb(*geometries), "MultiPolygon", shifted)
    assert encoded.ewkb.equals(by_shapely(geometries, "MultiPolygon", shifted))


@pytest.mark.parametrize("target", FAMILIES)
def test_reprojection_gives_pyprojs_coordinates_and_the_srid(target: str) -> None:
    prepared = prepare(*FAMILIES[target], target=target, crs="EPSG:25832")
    expected = shapely.transform(np.array(FAMILIES[target], object), UTM, interleaved=False)
    assert (shapely.get_coordinates(shapes(prepared)) == shapely.get_coordinates(expected)).all()
    assert {shapely.get_srid(shape) for shape in shapes(prepared)} == {4326}
    assert {shape.geom_type for shape in shapes(prepared)} == {target}


def test_a_bow_tie_is_repaired_without_losing_area() -> None:
    prepared = prepare(SQUARE, BOW_TIE, target="MultiPolygon")
    repaired = shapes(prepared)[1]
    assert (prepared.repaired, repaired.is_valid, repaired.geom_type) == (1, True, "MultiPolygon")
    assert repaired.area == pytest.approx(2.0)
    assert shapes(prepared)[0].equals(SQUARE)


def test_a_slice_of_a_larger_array_is_prepared_like_any_other() -> None:
    everything = wkb(DONUT, BOW_TIE, None, SQUARE, BOW_TIE)
    part = prepare_geometries(everything.slice(1, 3), None, source_crs="EPSG:4326", target="MultiPolygon")
    assert part.kept.to_pylist() == [True, False, True]
    assert part.repaired == 1


@pytest.mark.parametrize(
    ("geometry", "target", "reason"),
    [
        (None, "MultiPolygon", "null_geometry"),
        (b"", "MultiPolygon", "unreadable_geometry"),
        (b"\x01\x03\x00\x00\x00\x01", "MultiPolygon", "unreadable_geometry"),
        (b"\x01\x01\x00\x00\x00" + bytes(15), "Point", "unreadable_geometry"),
        (b"\x07" + bytes(20), "Point", "unreadable_geometry"),
        (shapely.Polygon(), "MultiPolygon", "empty_geometry"),
        (shapely.Point(), "Point", "empty_geometry"),
        (shapely.Point(NAN, 1), "Point", "non_finite_coordinates"),
        (shapely.Point(INF, 1), "Point", "non_finite_coordinates"),
        (shapely.Point(NAN, 1, 2), "Point", "non_finite_coordinates"),
        (shapely.LineString([(0, 0), (NAN, 1)]), "MultiLineString", "non_finite_coordinates"),
        (shapely.Polygon([(0, 0), (1, INF), (1, 0)]), "MultiPolygon", "non_finite_coordinates"),
        (shapely.LineString([(1, 1), (1, 1)]), "MultiLineString", "collapsed_geometry"),
        (shapely.Polygon([(0, 0), (1, 1), (2, 2)]), "MultiPolygon", "collapsed_geometry"),
        (shapely.Point(1, 1), "MultiPolygon", "wrong_geometry_type"),
        (shapely.GeometryCollection([SQUARE, shapely.Point(1, 1)]), "MultiPolygon", "mixed_collection"),
        (shapely.GeometryCollection([shapely.Point(1, 1)]), "MultiPolygon", "wrong_geometry_type"),
        (shapely.GeometryCollection(), "MultiPolygon", "empty_geometry"),
        (shapely.GeometryCollection([shapely.Point()]), "Point", "empty_geometry"),
        (COLLECTION_OF_CURVES, "MultiLineString", "unsupported_geometry_type"),
        (b"\x01\x07\x00\x00\x00\x01", "MultiLineString", "unreadable_geometry"),
        (shapely.MultiPoint([(1, 1)]), "Point", "wrong_geometry_type"),
        (b"\x01\x08\x00\x00\x00\x00\x00\x00\x00", "MultiLineString", "unsupported_geometry_type"),
        (b"\x01\x10\x00\x00\x00\x00\x00\x00\x00", "MultiPolygon", "unsupported_geometry_type"),
        (shapely.Point(500_000, 50), "Point", "coordinates_out_of_range"),
        (shapely.box(10, 89, 11, 91), "MultiPolygon", "coordinates_out_of_range"),
        (shapely.Point(33.5, -117.2), "Point", "axes_swapped"),
        (shapely.box(33, -118, 34, -117), "MultiPolygon", "axes_swapped"),
    ],
)
def test_an_unusable_row_is_rejected_with_its_reason_and_its_neighbours_stay(
    geometry: Any, target: str, reason: str
) -> None:
    good = {
        "Point": shapely.Point(1, 2),
        "MultiPolygon": SQUARE,
        "MultiLineString": shapely.LineString([(0, 0), (1, 1)]),
    }
    prepared = prepare(good[target], geometry, good[target], target=target)
    assert prepared.kept.to_pylist() == [True, False, True]
    assert prepared.reasons.to_pylist() == [None, reason, None]
    assert [shape.equals(good[target]) for shape in shapes(prepared)] == [True, True]


def test_a_point_that_cannot_be_reprojected_is_rejected() -> None:
    prepared = prepare(shapely.Point(500_000, 5_200_000), shapely.Point(1e30, 1e30), target="Point", crs="EPSG:25832")
    assert prepared.reasons.to_pylist() == [None, "reprojection_failed"]


def test_reasons_of_the_reader_are_kept() -> None:
    given_reasons = pa.array([None, "unreadable_coordinates", None], pa.string())
    prepared = prepare_geometries(
        wkb(shapely.Point(1, 2), None, None), given_reasons, source_crs="EPSG:4326", target="Point"
    )
    assert prepared.reasons.to_pylist() == [None, "unreadable_coordinates", "null_geometry"]


def test_a_batch_without_a_usable_row_gives_nothing() -> None:
    for rows in ((), (None, None)):
        prepared = prepare(*rows, target="MultiPolygon", crs="EPSG:25832")
        assert (len(prepared.ewkb), len(prepared.kept)) == (0, len(rows))


@pytest.mark.parametrize(
    "options", [{"byte_order": 0}, {"flavor": "iso"}, {"flavor": "extended", "include_srid": True}]
)
def test_every_dialect_of_wkb_is_read(options: dict[str, Any]) -> None:
    shape = shapely.set_srid(DONUT, 25832)
    prepared = prepare_geometries(wkb(shape, **options), None, source_crs="EPSG:4326", target="MultiPolygon")
    assert prepared.ewkb.equals(by_shapely([DONUT], "MultiPolygon"))


@pytest.mark.parametrize("flavor", ["iso", "extended"])
def test_heights_and_measures_are_dropped_and_counted(flavor: Any) -> None:
    shapes_ = shapely.from_wkt(
        ["POINT Z (1 2 3)", "POINT M (1 2 3)", "POINT ZM (1 2 3 4)", "POINT (1 2)", "POINT Z (1 2 NaN)"]
    )
    array = pa.array(shapely.to_wkb(shapes_, output_dimension=4, flavor=flavor), pa.binary())
    prepared = prepare_geometries(array, None, source_crs="EPSG:4326", target="Point")
    assert prepared.ewkb.equals(by_shapely([shapely.Point(1, 2)] * 5, "Point"))
    assert (prepared.flattened, prepared.with_z, prepared.with_m) == (4, 3, 2)


def test_parts_of_another_dialect_than_their_whole_are_read() -> None:
    inner = shapely.to_wkb(SQUARE, byte_order=0)
    mixed = b"\x01\x06\x00\x00\x00\x01\x00\x00\x00" + inner
    prepared = prepare(mixed, target="MultiPolygon")
    assert prepared.ewkb.equals(by_shapely([SQUARE], "MultiPolygon"))


def test_promotions_are_counted() -> None:
    assert prepare(SQUARE, shapely.MultiPolygon([SQUARE]), None, target="MultiPolygon").promoted == 1
    assert prepare(shapely.Point(1, 2), target="Point").promoted == 0


def test_simplifying_drops_vertices_and_keeps_the_shape_valid() -> None:
    circle = shapely.Point(10, 50).buffer(1, quad_segs=64)
    (simple,) = shapes(prepare(circle, target="MultiPolygon", simplify_tolerance=0.01))
    assert shapely.get_num_coordinates(simple) < shapely.get_num_coordinates(circle) / 4
    assert simple.is_valid
    assert simple.area == pytest.approx(circle.area, rel=0.02)


def test_snapping_puts_coordinates_on_the_grid_and_rejects_what_collapses() -> None:
    crumb = shapely.box(5.001, 5.001, 5.002, 5.002)
    prepared = prepare(shapely.box(0.04, 0.04, 1.06, 1.06), crumb, target="MultiPolygon", snap_to_grid=0.1)
    assert prepared.reasons.to_pylist() == [None, "collapsed_geometry"]
    coordinates = shapely.get_coordinates(shapes(prepared))
    assert np.allclose(coordinates, np.round(coordinates, 1), atol=1e-12)


def test_shapes_are_changed_in_degrees_after_reprojection() -> None:
    square = shapely.box(500_000, 5_200_000, 540_000, 5_240_000)
    (snapped,) = shapes(prepare(square, target="MultiPolygon", crs="EPSG:25832", snap_to_grid=0.01))
    coordinates = shapely.get_coordinates(snapped)
    assert np.allclose(coordinates, np.round(coordinates, 2), atol=1e-12)
    assert 8.9 < coordinates[:, 0].min() < coordinates[:, 0].max() < 9.6


def census(*geometries: Any, **options: Any) -> GeometryCensus:
    found = GeometryCensus()
    found.observe(wkb(*geometries, **options))
    return found


LINE = shapely.LineString([(0, 0), (1, 1)])


@pytest.mark.parametrize(
    ("geometries", "column_type"),
    [
        ([shapely.Point(1, 2), None], "Point"),
        ([shapely.Point(1, 2), shapely.MultiPoint([(1, 2)])], "MultiPoint"),
        ([LINE], "MultiLineString"),
        ([LINE, shapely.MultiLineString([LINE])], "MultiLineString"),
        ([SQUARE], "MultiPolygon"),
        ([SQUARE, shapely.MultiPolygon([SQUARE]), shapely.GeometryCollection()], "MultiPolygon"),
        ([SQUARE, shapely.GeometryCollection([LINE, SQUARE])], "MultiPolygon"),
    ],
)
def test_the_column_type_holds_every_row(geometries: list[Any], column_type: str) -> None:
    assert census(*geometries).column_type() == column_type


def test_mixed_types_are_refused_with_their_counts() -> None:
    with pytest.raises(InvalidInput, match="2 Point, 1 Polygon") as caught:
        census(shapely.Point(1, 2), SQUARE, shapely.Point(1, 2)).column_type()
    assert caught.value.code == "mixed_geometry_types"


@pytest.mark.parametrize("geometries", [[], [None], [shapely.GeometryCollection([SQUARE, LINE])]])
def test_a_source_without_usable_geometry_has_a_column_that_takes_none_of_its_rows(geometries: list[Any]) -> None:
    column_type = census(*geometries).column_type()
    assert not any(prepare(*geometries, target=column_type).kept.to_pylist())


@pytest.mark.parametrize(
    ("part", "column_type"),
    [(shapely.Point(1, 2), "MultiPoint"), (LINE, "MultiLineString"), (shapely.MultiPolygon([SQUARE]), "MultiPolygon")],
)
def test_collections_of_one_kind_become_the_multi_geometry_of_that_kind(part: Any, column_type: str) -> None:
    other = shapely.transform(part, lambda xy: xy + 10)
    nested = shapely.GeometryCollection([part, shapely.GeometryCollection([other]), shapely.Polygon()])
    found = census(nested)
    assert (found.by_type, found.column_type()) == ({column_type: 1}, column_type)
    prepared = prepare(nested, None, target=column_type)
    assert prepared.kept.to_pylist() == [True, False]
    assert prepared.promoted == 1
    (shape,) = shapes(prepared)
    assert shape.geom_type == column_type
    assert shape.equals(shapely.union(part, other))
    assert len(shape.geoms) == 2


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:25832"])
def test_a_column_of_any_type_takes_every_row_as_it_is(crs: str) -> None:
    mixed = [
        FAMILIES["Point"][0],
        *(shape for family in ("MultiPoint", "MultiLineString", "MultiPolygon") for shape in FAMILIES[family]),
        shapely.GeometryCollection([FAMILIES["Point"][0], FAMILIES["MultiPolygon"][0]]),
    ]
    if crs == "EPSG:4326":
        mixed = list(shapely.transform(mixed, lambda xy: xy / 1e5))
    prepared = prepare(*mixed, target=census(*mixed).column_type("any"), crs=crs)
    expected = shapely.transform(np.array(mixed, object), UTM, interleaved=False) if crs != "EPSG:4326" else mixed
    assert shapely.equals_exact(shapes(prepared), expected).all()
    assert {shapely.get_srid(shape) for shape in shapes(prepared)} == {4326}
    assert prepared.promoted == 0


def test_a_column_of_any_type_takes_no_row_that_is_nowhere() -> None:
    rows = (
        shapely.Point(NAN, 1),
        shapely.Point(1, 100),
        shapely.Point(),
        shapely.LineString([(1, 1), (1, 1)]),
        shapely.GeometryCollection([SQUARE, shapely.Point(500, 1)]),
        COLLECTION_OF_CURVES,
        BOW_TIE,
    )
    prepared = prepare(*rows, target="Geometry")
    assert prepared.reasons.to_pylist() == [
        "non_finite_coordinates",
        "axes_swapped",
        "empty_geometry",
        "collapsed_geometry",
        "coordinates_out_of_range",
        "unsupported_geometry_type",
        None,
    ]
    assert shapes(prepared)[0].area == pytest.approx(2.0)


@pytest.mark.parametrize("flavor", ["iso", "extended"])
@pytest.mark.parametrize("byte_order", [0, 1])
def test_the_census_reads_every_dialect(flavor: str, byte_order: int) -> None:
    shapes_ = shapely.from_wkt(["POINT (1 2)", "POINT Z (1 2 3)", "POINT M (1 2 3)", "POINT ZM (1 2 3 4)"])
    found = census(*shapes_, None, flavor=flavor, byte_order=byte_order, output_dimension=4)
    assert (found.by_type, found.nulls, found.with_z, found.with_m) == ({"Point": 4}, 1, 2, 2)


def test_censuses_of_parts_add_up() -> None:
    whole, parts = census(SQUARE, None, LINE), census(SQUARE, None)
    parts.merge(census(LINE))
    assert (parts.by_type, parts.rows, parts.nulls) == (whole.by_type, whole.rows, whole.nulls)


def test_headers_of_nulls_and_stumps_are_not_types() -> None:
    assert (
        read_headers(pa.array([None, b"", b"\x01\x01", b"\x09\x01\x00\x00\x00"], pa.binary())).base.tolist() == [0] * 4
    )
