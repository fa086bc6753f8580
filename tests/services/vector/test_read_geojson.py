import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely

from core.errors import InvalidInput
from services.vector.columns import cast_batch
from services.vector.read_geojson import open_geojson
from services.vector.source import ReadOptions
from tests.gdal_process import read_by_gdal, write_by_gdal
from tests.services.vector.reading import Read, feature, point, read, refusal, write_geojson, write_text

UTC = dt.UTC
NULL_GEOMETRY = Path(geopandas.__file__).parent / "tests" / "data" / "null_geom.geojson"
COUNTRIES = Path(pyogrio.__file__).parent / "tests" / "fixtures" / "naturalearth_lowres" / "naturalearth_lowres.shp"
POINT = '{"type":"Point","coordinates":[1,2]}'


def text_of(properties: str, *, geometry: str = POINT, extra: str = "") -> str:
    return f'{{"type":"Feature",{extra}"properties":{properties},"geometry":{geometry}}}'


def collected(*features: str, behind: str = "") -> str:
    return f'{{"type":"FeatureCollection","features":[{",".join(features)}]{behind}}}'


def read_text(folder: Path, text: str, **options: Any) -> Read:
    return read(write_text(folder / "a.geojson", text), **options)


def why_refused(folder: Path, text: str) -> tuple[str, str]:
    error = refusal(write_text(folder / "a.geojson", text))
    return error.code, error.message.removeprefix("The file cannot be read as GeoJSON: ")


def types(source: Read) -> dict[str, str]:
    return {column.source: column.type for column in source.plan.columns}


def assert_as_gdal_reads_it(path: Path) -> None:
    expected, found = read_by_gdal(path), read(path)
    assert found.wkb == [None if shape is None else shapely.to_wkb(shape) for shape in expected.geometry]
    attributes = expected.drop(columns="geometry")
    assert found.source.schema.names == list(attributes.columns)
    for name in attributes.columns:
        values = [None if value is None or value is pandas.NaT else value for value in attributes[name]]
        assert found.table[name].to_pylist() == [
            None if isinstance(value, float) and math.isnan(value) else value for value in values
        ], name


def test_a_fixture_is_read_as_gdal_reads_it() -> None:
    assert_as_gdal_reads_it(NULL_GEOMETRY)


@pytest.mark.parametrize("driver", ["GeoJSON", "GeoJSONSeq"])
@pytest.mark.parametrize("options", [{}, {"RFC7946": "YES"}, {"WRITE_BBOX": "YES", "ID_FIELD": "name"}])
def test_values_and_geometries_are_those_of_gdal(tmp_path: Path, driver: str, options: dict[str, str]) -> None:
    if driver == "GeoJSONSeq":
        options = {"RS": "YES"} if options else {}
    frame = pyogrio.read_dataframe(COUNTRIES)
    frame["flag"] = [n % 3 == 0 for n in range(len(frame))]
    frame["maybe"] = [None if n % 5 else n / 7 for n in range(len(frame))]
    frame["words"] = [None if n % 4 == 0 else f"{n}\n\"'\\ü東" for n in range(len(frame))]
    frame["seen"] = pandas.date_range("2020-01-01", periods=len(frame), freq="37min", tz="UTC")
    suffix = ".geojson" if driver == "GeoJSON" else ".geojsons"
    path = write_by_gdal(frame, tmp_path / f"a{suffix}", driver, **options)
    assert_as_gdal_reads_it(path)


def test_geojson_keeps_types_nulls_and_nested_values(tmp_path: Path) -> None:
    path = write_geojson(
        tmp_path / "a.geojson",
        feature(
            point(1, 2), big=9007199254740993, real=1, flag=True, day="2020-01-02", at="2020-01-02T10:00:00+02:00",
            naive="2020-01-02T10:00:00", tags=["a", "b"], more={"x": [1, None]}, mixed=1, clock="10:20:30",
        ),
        feature(None, real=2.5, mixed="x"),
        feature(point(3, 4, 5), late="only here"),
    )  # fmt: skip
    source = read(path)
    types = {column.name: column.type for column in source.plan.columns}
    assert types == {
        "big": "bigint", "real": "double precision", "flag": "boolean", "day": "date", "at": "timestamptz",
        "naive": "timestamp", "tags": "jsonb", "more": "jsonb", "mixed": "text", "clock": "time", "late": "text",
    }  # fmt: skip
    first, second, third = (
        row for batch in source.batches for row in cast_batch(batch.attributes, source.plan).to_pylist()
    )
    assert first["big"] == 9007199254740993
    assert first["at"] == dt.datetime(2020, 1, 2, 8, tzinfo=UTC)
    assert (first["day"], first["naive"]) == (dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 10))  # noqa: DTZ001
    assert (json.loads(first["tags"]), json.loads(first["more"])) == (["a", "b"], {"x": [1, None]})
    assert (first["mixed"], second["mixed"]) == ("1", "x")
    assert (second["flag"], third["late"], third["real"]) == (None, "only here", None)
    assert [wkb is None for wkb in source.wkb] == [False, True, False]


def test_geojson_is_lon_lat_unless_it_says_otherwise(tmp_path: Path) -> None:
    plain = read(write_geojson(tmp_path / "a.geojson", feature(point(1, 2)))).source
    assert (plain.crs_text, plain.crs_found_in) == ("EPSG:4326", "format")
    member = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    declared = read(write_geojson(tmp_path / "b.geojson", feature(point(450000, 5200000)), crs=member)).source
    assert (declared.crs_text, declared.crs_found_in) == ("EPSG:25832", "file")


@pytest.mark.parametrize("suffix", ["geojson", "json", "geojsonl", "ndjson", "geojsons"])
@pytest.mark.parametrize(
    "text",
    [
        text_of('{"n":1}') + "\n" + text_of('{"n":2}') + "\n",
        text_of('{"n":1}') + "\r\n\r\n" + text_of('{"n":2}'),
        "\x1e" + text_of('{"n":1}') + "\n\x1e" + text_of('{\n"n":\n2}'),
        collected(text_of('{"n":1}'), text_of('{"n":2}')),
    ],
)
def test_a_sequence_is_known_by_its_content(tmp_path: Path, suffix: str, text: str) -> None:
    source = read(write_text(tmp_path / f"a.{suffix}", text))
    assert source.table["n"].to_pylist() == [1, 2]
    assert source.geometries == [shapely.Point(1, 2)] * 2


@pytest.mark.parametrize(
    "text",
    [
        text_of("null"),
        POINT,
        POINT + "\n",
        '{"coordinates":[1,2],"type":"Point"}',
        '\ufeff{"features":[{"geometry":{"coordinates":[1,2],"type":"Point"},"type":"Feature"}],"type":"FeatureCollection"}',
        '{"a":{"features":[{}]},"b":"\\"features\\":[{","type":"FeatureCollection","features":[' + text_of("{}") + "]}",
    ],
)
def test_every_form_of_one_point(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, text).geometries == [shapely.Point(1, 2)]


def test_a_collection_keeps_its_members(tmp_path: Path) -> None:
    collection = f'{{"type":"GeometryCollection","geometries":[{POINT},{POINT}]}}'
    assert [shape.geom_type for shape in read_text(tmp_path, collection).geometries] == ["GeometryCollection"]


@pytest.mark.parametrize(
    ("ids", "columns"),
    [
        (["5", "7"], {"a": "bigint"}),
        (['"x"', '"y"'], {"id": "text", "a": "bigint"}),
        (['"4"', "3"], {"id": "text", "a": "bigint"}),
        (["null", '"y"'], {"id": "text", "a": "bigint"}),
    ],
)
def test_the_id_of_a_feature_is_a_column_unless_it_is_a_mere_number(
    tmp_path: Path, ids: list[str], columns: dict[str, str]
) -> None:
    source = read_text(tmp_path, collected(*(text_of('{"a":1}', extra=f'"id":{id_},') for id_ in ids)))
    assert list(types(source).items()) == list(columns.items())
    if "id" in columns:
        assert source.table["id"].to_pylist() == [None if id_ == "null" else id_.strip('"') for id_ in ids]


def test_a_property_called_id_goes_before_the_features_own(tmp_path: Path) -> None:
    source = read_text(tmp_path, collected(text_of('{"a":1,"id":9}', extra='"id":"x",')))
    assert source.table.to_pylist() == [{"a": 1, "id": 9}]


def test_members_stand_in_for_properties_that_are_missing(tmp_path: Path) -> None:
    bare = '{"type":"Feature","title":"t","bbox":[1,2,1,2],"n":1,"geometry":null}'
    source = read_text(tmp_path, collected(bare, text_of('{"n":2}', extra='"title":"u",')))
    assert source.table.to_pylist() == [{"title": "t", "n": 1}, {"title": None, "n": 2}]


def test_numbers_beyond_64_bits_keep_every_digit(tmp_path: Path) -> None:
    source = read_text(tmp_path, collected(text_of('{"a":9223372036854775808,"b":123456789012345678901234567890}')))
    assert types(source) == {"a": "numeric(19, 0)", "b": "numeric(30, 0)"}
    assert [str(value) for value in source.table.to_pylist()[0].values()] == [
        "9223372036854775808",
        "123456789012345678901234567890",
    ]


def test_what_only_other_parsers_write_is_read_all_the_same(tmp_path: Path) -> None:
    numbers = '"nan":NaN,"inf":-Infinity,"huge":1e400'
    texts = '"tab":"a\tb","half":"x\\ud800y","pair":"\\ud83d\\ude00","nul":"n\\u0000m"'
    properties = f"{{{numbers},{texts}}}"
    (row,) = read_text(tmp_path, collected(text_of('{"n":1}'), text_of(properties))).table.to_pylist()[1:]
    assert row == {
        "n": None, "nan": None, "inf": -math.inf, "huge": math.inf, "tab": "a\tb", "half": "x\ufffdy", "pair": "😀",
        "nul": "nm",
    }  # fmt: skip


def test_the_last_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    assert read_text(tmp_path, collected(text_of('{"a":1,"a":2}'))).table.to_pylist() == [{"a": 2}]


def test_columns_with_unusual_names_are_kept_apart(tmp_path: Path) -> None:
    source = read_text(tmp_path, collected(text_of('{"":1," ":2,"a\\"}":3,"__row":4}')))
    assert source.table.to_pylist() == [{"": 1, " ": 2, 'a"}': 3, "__row": 4}]


def test_a_position_of_one_number_costs_its_row(tmp_path: Path) -> None:
    broken = text_of('{"n":2}', geometry='{"type":"Point","coordinates":[1]}')
    nan = text_of('{"n":3}', geometry='{"type":"Point","coordinates":[NaN,1]}')
    string = text_of('{"n":4}', geometry='"POINT (1 2)"')
    source = read_text(tmp_path, collected(text_of('{"n":1}'), broken, nan, string, text_of('{"n":5}')))
    assert source.reasons == [None, *["unreadable_geometry"] * 3, None]
    assert source.table["n"].to_pylist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("block", [1, 3, 64, 1 << 20])
def test_the_size_of_the_blocks_changes_nothing(tmp_path: Path, block: int) -> None:
    features = [feature(point(n, 2), n=n if n % 2 else n / 2, **{f"late_{n // 10}": str(n)}) for n in range(40)]
    path = write_geojson(tmp_path / "a.geojson", *features)
    with open_geojson(path, ReadOptions(), block) as source:
        assert Read(source, list(source.batches())).table == read(path).table


@pytest.mark.parametrize(
    ("member", "crs", "origin"),
    [
        ("null", "EPSG:4326", "format"),
        ('{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}}', "EPSG:4326", "format"),
        ('{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::4326"}}', "EPSG:4326", "format"),
        ('{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG:6.18.3:26910"}}', "EPSG:26910", "file"),
        ('{"type":"name","properties":{"name":"EPSG:25832"}}', "EPSG:25832", "file"),
        ('{"type":"EPSG","properties":{"code":25832}}', "EPSG:25832", "file"),
    ],
)
@pytest.mark.parametrize("comes_last", [True, False])
def test_the_crs_member_of_old(tmp_path: Path, member: str, crs: str, origin: str, comes_last: bool) -> None:
    text = collected(text_of("{}"), behind=f',"crs":{member}' if comes_last else "")
    text = text if comes_last else f'{{"crs":{member},{text[1:]}'
    source = read_text(tmp_path, text).source
    assert (source.crs_text, source.crs_found_in) == (crs, origin)


@pytest.mark.parametrize(
    "member",
    [
        '{"type":"name","properties":{"name":"EPSG:99999"}}',
        '{"type":"link","properties":{"href":"http://example.com/crs"}}',
        '"EPSG:4326"',
    ],
)
def test_a_crs_that_is_not_understood_is_refused_until_one_is_given(tmp_path: Path, member: str) -> None:
    path = write_text(tmp_path / "a.geojson", collected(text_of("{}"), behind=f',"crs":{member}'))
    error = refusal(path)
    assert (error.code, error.parameter) == ("unknown_crs", "source_crs")
    assert read(path, source_crs="EPSG:25832").source.crs_found_in == "parameter"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (collected(text_of("{}"), '{"type":"Feature","properties":{"a":1,}}'), "feature 2, which begins at byte 123"),
        (collected(text_of("{}"), text_of("[1]")), "has properties that are no object"),
        (collected(text_of("{}"), "null"), "something else than features stands in their list, at byte 122"),
        (collected(text_of("{}"), ""), "something else than features stands in their list, at byte 122"),
        (collected(text_of('{"a":01}')), "feature 1, which begins at byte 40, is not JSON"),
        (collected('{"a":1}'), "has no type, no geometry and no properties"),
        ('{"type":"Topology","objects":{}}', "is of type 'Topology', which is none of GeoJSON's"),
        ('{"type":"FeatureCollection"}', "is of type 'FeatureCollection', which is none of GeoJSON's"),
        ('{"a":1}', "has no type, no geometry and no properties"),
        ('{"features":[{"attributes":{},"geometry":{"x":1,"y":2}}]}', "not those of a FeatureCollection"),
        ('{"type":"FeatureCollection","features":[],"a":}', "what stands beside its features is not JSON"),
        (collected(text_of("{}")) + "x", "it goes on behind its end, at byte 124"),
        (collected(text_of("{}")) + collected(text_of("{}")), "it goes on behind its end, at byte 124"),
        (collected(text_of("{}"))[:-2], "it ends behind feature 1, before its collection is closed"),
        (collected(text_of("{}"))[:60], "it ends at byte 60, inside feature 1, which begins at byte 40"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(tmp_path: Path, text: str, why: str) -> None:
    code, message = why_refused(tmp_path, text)
    assert code == "unreadable_file"
    assert why in message


def test_a_feature_in_another_encoding_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(collected(text_of('{"a":"Zürich"}')).encode("latin-1"))
    error = refusal(path)
    assert error.code == "unreadable_file"
    assert "feature 1, which begins at byte 40, is not written in UTF-8, at byte 78" in error.message


@pytest.mark.parametrize("depth", [200, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_a_bomb_of_brackets_is_refused(tmp_path: Path, depth: int, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    bomb = opening * depth + "1" + closing * depth
    assert why_refused(tmp_path, collected(text_of(f'{{"a":{bomb}}}')))[0] == "nested_too_deeply"
    assert why_refused(tmp_path, bomb if opening == '{"a":' else collected(text_of("{}"), bomb))[0] in (
        "nested_too_deeply", "unreadable_file", "content_mismatch"
    )  # fmt: skip


def test_coordinates_nested_too_deeply_are_refused_or_cost_their_row(tmp_path: Path) -> None:
    deep = f'{{"type":"Point","coordinates":{"[" * 200}1{"]" * 200}}}'
    assert read_text(tmp_path, collected(text_of("{}", geometry=deep))).reasons == ["unreadable_geometry"]
    bomb = f'{{"type":"Point","coordinates":{"[" * 100_000}1{"]" * 100_000}}}'
    assert why_refused(tmp_path, collected(text_of("{}", geometry=bomb)))[0] == "nested_too_deeply"


def test_an_empty_collection_has_no_rows(tmp_path: Path) -> None:
    assert read_text(tmp_path, collected()).wkb == []


def test_a_large_feature_comes_whole(tmp_path: Path) -> None:
    """Larger than a block, a piece of coordinates and a window of arrays."""
    xy = np.random.default_rng(1).uniform(-90, 90, (150_000, 2))
    xy[-1] = xy[0]
    large = feature(shapely.geometry.mapping(shapely.Polygon(xy)), n=1)
    path = write_geojson(tmp_path / "a.geojson", feature(point(1, 2), n=0), large, feature(point(3, 4), n=2))
    source = read(path)
    assert path.stat().st_size > 4 << 20
    assert source.table["n"].to_pylist() == [0, 1, 2]
    assert (shapely.get_coordinates(source.geometries[1]) == xy).all()


def test_several_processes_read_what_one_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that come late, types that widen, ids that are none, geometries of several types, a bad one."""
    shapes: list[Any] = [
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "LineString", "coordinates": [[0, 0], [1, 1, 5]]},
        {"type": "Point", "coordinates": ["x"]},
        None,
    ]
    values: list[Any] = [None, 1, 2**40, 0.5, True, "text", {"a": [1]}]
    features = [
        feature(shapes[n % 4], n=n, widens=values[n // 100 % 7], **({"late": str(n)} if n > 600 else {}))
        | {"id": n if n < 690 else f"f{n}"}
        for n in range(700)
    ]
    path = write_geojson(
        tmp_path / "a.geojson", *features, crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    )
    expected = read_in_slices(path)
    monkeypatch.setattr("services.vector.read_geojson._LARGE", 0)
    monkeypatch.setattr("services.vector.read_geojson.processors", lambda: 3)
    found = read_in_slices(path)
    assert found.wkb == expected.wkb
    assert found.reasons == expected.reasons
    assert found.table.equals(expected.table)
    assert found.source.crs == expected.source.crs
    assert [batch.attributes.schema for batch in found.batches] == [
        batch.attributes.schema for batch in expected.batches
    ]


def read_in_slices(path: Path) -> Read:
    with open_geojson(path, ReadOptions(), block_bytes=2000) as source:
        return Read(source, list(source.batches()))


def test_a_broken_feature_is_named_by_its_place_by_whichever_process_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "a.geojson", collected(*[text_of('{"a":1}')] * 200, text_of('{"a":}')))
    expected = refusal(path)
    monkeypatch.setattr("services.vector.read_geojson._LARGE", 0)
    monkeypatch.setattr("services.vector.read_geojson.processors", lambda: 2)
    with pytest.raises(InvalidInput) as caught:
        read_in_slices(path)
    assert caught.value.message == expected.message
    assert "feature 201" in expected.message
