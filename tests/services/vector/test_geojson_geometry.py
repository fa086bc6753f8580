import json
from typing import Any

import msgspec
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from services.vector import json_coordinates, wkb_assembly
from services.vector.geojson_geometry import Geometry, to_wkb

NUMBERS = st.floats(-1e6, 1e6).map(lambda number: number + 0.0) | st.integers(-180, 180)


def positions(width: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(NUMBERS, min_size=width, max_size=width)


def coordinates(type_: str, width: int) -> st.SearchStrategy[Any]:
    line = st.lists(positions(width), min_size=2, max_size=4)
    ring = st.lists(positions(width), min_size=3, max_size=4).map(lambda points: [*points, points[0]])
    polygon = st.lists(ring, min_size=1, max_size=3)
    return {
        "Point": positions(width),
        "LineString": line,
        "Polygon": polygon,
        "MultiPoint": st.lists(positions(width), min_size=1, max_size=3),
        "MultiLineString": st.lists(line, min_size=1, max_size=3),
        "MultiPolygon": st.lists(polygon, min_size=1, max_size=3),
    }[type_]


TYPES = st.sampled_from(["Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"])
SHAPES = st.tuples(TYPES, st.sampled_from([2, 3])).flatmap(
    lambda drawn: coordinates(*drawn).map(lambda content: {"type": drawn[0], "coordinates": content})
)
COLLECTIONS = st.lists(SHAPES, max_size=3).map(lambda members: {"type": "GeometryCollection", "geometries": members})


def parsed(*geometries: Any, **style: Any) -> list[Geometry | None]:
    return [msgspec.json.decode(json.dumps(geometry, **style), type=Geometry | None) for geometry in geometries]


def written(geometries: list[Geometry | None]) -> tuple[list[Any], list[Any]]:
    wkb, reasons = to_wkb(geometries)
    return wkb.to_pylist(), reasons.to_pylist() if reasons is not None else [None] * len(geometries)


def by_shapely(geometry: Any) -> bytes | None:
    if geometry is None:
        return None
    shape = shapely.from_geojson(json.dumps(geometry))
    found: bytes = shapely.to_wkb(shape, byte_order=1, flavor="iso", output_dimension=3)
    return found


@given(st.lists(SHAPES | st.none(), max_size=6), st.sampled_from([None, 1]))
def test_it_writes_what_shapely_writes(geometries: list[Any], indent: int | None) -> None:
    assert written(parsed(*geometries, indent=indent))[0] == [by_shapely(geometry) for geometry in geometries]


@given(COLLECTIONS)
def test_the_members_of_a_collection_are_written_one_by_one(collection: Any) -> None:
    (wkb,), _ = written(parsed(collection))
    assert shapely.equals_exact(shapely.from_wkb(wkb), shapely.from_geojson(json.dumps(collection)))


@given(st.lists(coordinates("MultiPolygon", 2), min_size=1, max_size=3), st.integers(8, 60))
def test_the_size_of_the_pieces_changes_nothing(contents: list[Any], piece: int) -> None:
    geometries = parsed(*({"type": "MultiPolygon", "coordinates": content} for content in contents))
    expected = written(geometries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_coordinates, "PIECE_BYTES", piece + 40)
        patch.setattr(wkb_assembly, "_WINDOW_ARRAYS", piece % 5 + 1)
        assert written(geometries) == expected


def point(*numbers: Any) -> dict[str, Any]:
    return {"type": "Point", "coordinates": list(numbers)}


def line(*points: Any) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": list(points)}


@pytest.mark.parametrize(
    ("geometry", "wkt"),
    [
        (point(1, 2, 3, 4), "POINT Z (1 2 3)"),
        (line([1, 2], [3, 4, 5]), "LINESTRING Z (1 2 0, 3 4 5)"),
        (line([1, 2, 9, 9], [3, 4]), "LINESTRING Z (1 2 9, 3 4 0)"),
        (point(), "POINT EMPTY"),
        ({"type": "Polygon", "coordinates": []}, "POLYGON EMPTY"),
        ({"type": "GeometryCollection", "geometries": []}, "GEOMETRYCOLLECTION EMPTY"),
        (point(1e-7, 12345678901234567890), "POINT (1e-7 1.2345678901234567e+19)"),
    ],
)
def test_unusual_positions(geometry: Any, wkt: str) -> None:
    (wkb,), (reason,) = written(parsed(geometry))
    assert (shapely.from_wkb(wkb).wkt, reason) == (wkt, None)


UNREADABLE = [
    point(1),
    point([1, 2]),
    point("1", "2"),
    point(None, 1),
    point(True, 1),
    {"type": "Point"},
    {"type": "Point", "coordinates": None},
    {"type": "Point", "coordinates": "[1, 2]"},
    {"type": "Point", "coordinates": {"x": 1}},
    line([1, 2], 5),
    line([1, 2], []),
    line([1, 2], [3]),
    line([[1, 2], [3, 4]]),
    {"type": "Polygon", "coordinates": [[]]},
    {"type": "Polygon", "coordinates": [[1, 2], [3, 4]]},
    {"type": "GeometryCollection"},
    {"type": "GeometryCollection", "geometries": [point(1, 2), point(1)]},
    {},
]


@pytest.mark.parametrize("geometry", UNREADABLE)
def test_what_cannot_be_read_costs_its_row_only(geometry: Any) -> None:
    around = [point(1, 2), line([1, 2], [3, 4])]
    wkb, reasons = written(parsed(*around, geometry, None, *around))
    expected = [by_shapely(shape) for shape in around]
    assert wkb == [*expected, None, None, *expected]
    assert reasons == [None, None, "unreadable_geometry", None, None, None]


def test_a_type_that_is_none_of_geojsons_is_named() -> None:
    assert written(parsed({"type": "Circle", "coordinates": [1, 2]}))[1] == ["unsupported_geometry_type"]


def test_collections_in_collections_end_somewhere() -> None:
    nested: Any = {"type": "GeometryCollection", "geometries": []}
    for _ in range(40):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    assert written(parsed(nested)) == ([None], ["unreadable_geometry"])
