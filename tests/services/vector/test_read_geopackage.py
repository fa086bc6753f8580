"""What else than plain tables a GeoPackage holds, and FlatGeobuf, which GDAL reads in the same way."""

import datetime as dt
import json
import sqlite3
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from services.vector.columns import cast_batch
from tests.services.vector.reading import Read, read, refusal, write_text

COUNTRIES = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"


def points(count: int, crs: str | None = "EPSG:4326", **columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"n": range(count), **columns}, geometry=[shapely.Point(n, n) for n in range(count)], crs=crs
    )


def changed(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    return path


def typed(source: Read) -> dict[str, str]:
    return {column.source: column.type for column in source.plan.columns}


def rows(source: Read) -> list[dict[str, Any]]:
    return [row for batch in source.batches for row in cast_batch(batch.attributes, source.plan).to_pylist()]


def test_values_of_every_type_reach_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(points(2), path, layer="a", SPATIAL_INDEX="NO")
    changed(
        path,
        "ALTER TABLE a ADD COLUMN big INTEGER",
        "ALTER TABLE a ADD COLUMN flag BOOLEAN",
        "ALTER TABLE a ADD COLUMN day DATE",
        "ALTER TABLE a ADD COLUMN moment DATETIME",
        "ALTER TABLE a ADD COLUMN raw BLOB",
        "ALTER TABLE a ADD COLUMN short TEXT(5)",
        "ALTER TABLE a ADD COLUMN real DOUBLE",
        "UPDATE a SET big = 9007199254740993, flag = 1, day = '2020-02-29', moment = '2020-02-29T12:30:00.125Z',"
        " raw = x'00ff', short = 'äöü', real = 0.1 WHERE n = 0",
    )
    source = read(path)
    assert typed(source) == {
        "n": "bigint", "big": "bigint", "flag": "boolean", "day": "date", "moment": "timestamptz", "raw": "bytea",
        "short": "text", "real": "double precision",
    }  # fmt: skip
    first, second = rows(source)
    assert first == {
        "n": 0, "big": 9007199254740993, "flag": True, "day": dt.date(2020, 2, 29),
        "moment": dt.datetime(2020, 2, 29, 12, 30, 0, 125_000, dt.UTC), "raw": b"\x00\xff", "short": "äöü", "real": 0.1,
    }  # fmt: skip
    assert set(second.values()) == {1, None}


def test_moments_with_and_without_a_zone_in_one_column_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(points(2), path, layer="a", SPATIAL_INDEX="NO")
    changed(
        path,
        "ALTER TABLE a ADD COLUMN moment DATETIME",
        "UPDATE a SET moment = CASE n WHEN 0 THEN '2020-02-29T12:30:00Z' ELSE '2020-02-29T12:30:00+05:00' END",
    )
    source = read(path)
    assert typed(source)["moment"] == "timestamptz"
    first, second = (row["moment"] for row in rows(source))
    assert first - second == dt.timedelta(hours=5)


def test_objects_are_json(tmp_path: Path) -> None:
    """The extension `schema` of GeoPackage says so of a column of text."""
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(points(2, tags=['{"k": [1, null]}', None]), path, layer="a")
    changed(
        path,
        "CREATE TABLE gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT,"
        " description TEXT, mime_type TEXT, constraint_name TEXT)",
        "INSERT INTO gpkg_data_columns (table_name, column_name, mime_type) VALUES ('a', 'tags', 'application/json')",
        "INSERT INTO gpkg_extensions VALUES ('gpkg_data_columns', NULL, 'gpkg_schema', 'x', 'read-write')",
    )
    source = read(path)
    assert typed(source)["tags"] == "jsonb"
    assert json.loads(rows(source)[0]["tags"]) == {"k": [1, None]}


def test_tables_without_geometry_are_no_layers(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"a": [1, 2, 3]}), path, layer="codes")
    pyogrio.write_dataframe(points(2), path, layer="places", append=True)
    assert read(path).source.layer == "places"
    assert refusal(path, layer_name="codes").code == "no_spatial_layer"


def test_a_registered_view_is_a_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(points(5), path, layer="a")
    changed(
        path,
        "CREATE VIEW some AS SELECT fid AS OGC_FID, geom, n FROM a WHERE n > 2",
        "INSERT INTO gpkg_contents (table_name, identifier, data_type, srs_id)"
        " SELECT 'some', 'some', 'features', srs_id FROM gpkg_contents WHERE table_name = 'a'",
        "INSERT INTO gpkg_geometry_columns SELECT 'some', column_name, geometry_type_name, srs_id, z, m"
        " FROM gpkg_geometry_columns WHERE table_name = 'a'",
    )
    assert refusal(path).details["layers"] == {"a": 5, "some": 2}
    assert read(path, layer_name="some").table["n"].to_pylist() == [3, 4]


@pytest.mark.parametrize("srs_id", [0, -1])
def test_an_undefined_crs_has_to_be_given(tmp_path: Path, srs_id: int) -> None:
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(points(2), path, layer="a")
    changed(
        path,
        f"UPDATE gpkg_contents SET srs_id = {srs_id}",  # noqa: S608
        f"UPDATE gpkg_geometry_columns SET srs_id = {srs_id}",  # noqa: S608
    )
    assert refusal(path).code == "crs_missing"
    assert read(path, source_crs="EPSG:25832").source.crs_text == "EPSG:25832"


def test_countries_in_a_flatgeobuf_come_back_value_by_value(tmp_path: Path) -> None:
    pyogrio.write_dataframe(pyogrio.read_dataframe(COUNTRIES), tmp_path / "a.fgb", layer="countries")
    expected = pyogrio.read_dataframe(tmp_path / "a.fgb")
    source = read(tmp_path / "a.fgb")
    assert (source.source.driver, source.source.layer, source.source.crs_text) == (
        "FlatGeobuf",
        "countries",
        "EPSG:4326",
    )
    assert source.wkb == shapely.to_wkb(expected.geometry.to_numpy()).tolist()
    assert source.source.feature_count == len(expected)
    for column in expected.columns.drop("geometry"):
        assert source.table[column].to_pylist() == expected[column].to_list()


def test_a_flatgeobuf_goes_by_either_of_its_names(tmp_path: Path) -> None:
    pyogrio.write_dataframe(points(2), tmp_path / "file.fgb", layer="inside")
    for name in ("file", "inside"):
        assert len(read(tmp_path / "file.fgb", layer_name=name).wkb) == 2
    assert refusal(tmp_path / "file.fgb", layer_name="other").code == "layer_not_found"


def test_a_flatgeobuf_without_crs_needs_one(tmp_path: Path) -> None:
    pyogrio.write_dataframe(points(2, crs=None), tmp_path / "a.fgb")
    assert refusal(tmp_path / "a.fgb").code == "crs_missing"
    assert len(read(tmp_path / "a.fgb", source_crs="EPSG:4326").wkb) == 2


def test_an_empty_flatgeobuf_gives_no_batches(tmp_path: Path) -> None:
    pyogrio.write_dataframe(points(2).iloc[:0], tmp_path / "a.fgb", geometry_type="Point")
    assert read(tmp_path / "a.fgb").wkb == []


@pytest.mark.parametrize("index", ["YES", "NO"])
@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.6, 0.9999])
def test_a_flatgeobuf_that_is_cut_off_is_refused(tmp_path: Path, kept: float, index: str) -> None:
    pyogrio.write_dataframe(points(20_000), tmp_path / "a.fgb", SPATIAL_INDEX=index)
    content = (tmp_path / "a.fgb").read_bytes()
    (tmp_path / "a.fgb").write_bytes(content[: int(len(content) * kept)])
    error = refusal(tmp_path / "a.fgb")
    assert error.code == "unreadable_file"
    assert str(tmp_path) not in error.message


def test_other_content_is_no_flatgeobuf(tmp_path: Path) -> None:
    assert refusal(write_text(tmp_path / "a.fgb", "{}")).code == "content_mismatch"
