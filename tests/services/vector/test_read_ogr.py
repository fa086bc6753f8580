import datetime as dt
import json
import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from services.vector.columns import cast_batch
from services.vector.gdal_environment import ALLOWED_DRIVERS, assert_allowed_drivers
from tests.services.vector.reading import feature, point, read, refusal, write_geojson, write_text

FIXTURES = Path(pyogrio.__file__).parent / "tests" / "fixtures"
UTC = dt.UTC


def write(path: Path, frame: gpd.GeoDataFrame, **options: object) -> Path:
    pyogrio.write_dataframe(frame, path, **({"driver": "LIBKML"} if path.suffix == ".kml" else {}), **options)
    return path


def points(count: int, crs: str | None = "EPSG:4326", **columns: object) -> gpd.GeoDataFrame:
    xy = np.random.default_rng(1).uniform(0, 80, (count, 2))
    return gpd.GeoDataFrame({"n": np.arange(count), **columns}, geometry=shapely.points(xy), crs=crs)


def test_gdal_opens_nothing_outside_the_allow_list() -> None:
    assert_allowed_drivers()
    assert set(pyogrio.list_drivers()) == ALLOWED_DRIVERS


@pytest.mark.parametrize("name", ["test_gpkg_nulls.gpkg", "naturalearth_lowres/naturalearth_lowres.shp"])
def test_values_and_geometries_are_those_of_read_dataframe(name: str) -> None:
    expected = pyogrio.read_dataframe(FIXTURES / name)
    source = read(FIXTURES / name)
    assert len(source.table) == len(expected) == source.source.feature_count
    assert source.wkb == shapely.to_wkb(expected.geometry.to_numpy()).tolist()
    for column in expected.columns.drop("geometry"):
        values = [None if value != value else value for value in expected[column].to_list()]
        assert source.table[column].to_pylist() == values


@pytest.mark.parametrize(("name", "kind"), [("curve", "LineString"), ("curvepolygon", "Polygon")])
def test_curves_come_linearised(name: str, kind: str) -> None:
    assert [geometry.geom_type for geometry in read(FIXTURES / f"{name}.gpkg").geometries if geometry] == [kind]


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".kml"])
def test_every_feature_comes_once_and_in_order(tmp_path: Path, suffix: str) -> None:
    frame = points(20_000 if suffix != ".kml" else 1000)
    source = read(write(tmp_path / f"a{suffix}", frame))
    assert [int(n) for n in source.table["n"].to_pylist()] == frame["n"].to_list()
    assert shapely.equals_exact(shapely.force_2d(source.geometries), frame.geometry.to_numpy(), 1e-6).all()


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


def test_the_requested_crs_wins_over_the_files(tmp_path: Path) -> None:
    source = read(write(tmp_path / "a.gpkg", points(3)), source_crs="EPSG:3857").source
    assert (source.crs_text, source.crs_found_in) == ("EPSG:3857", "parameter")


def test_a_geopackage_without_crs_is_refused_until_one_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", points(3, crs=None))
    assert refusal(path).code == "crs_missing"
    assert len(read(path, source_crs="EPSG:4326").wkb) == 3


def test_the_only_filled_layer_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", points(0), layer="empty")
    write(path, points(3), layer="filled", append=True)
    assert read(path).source.layer == "filled"


def test_several_layers_need_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", points(3), layer="one")
    write(path, points(2), layer="two", append=True)
    error = refusal(path)
    assert (error.code, error.parameter) == ("layer_ambiguous", "layer_name")
    assert error.details == {"layers": {"one": 3, "two": 2}}
    assert len(read(path, layer_name="two").wkb) == 2
    unknown = refusal(path, layer_name="three")
    assert unknown.code == "layer_not_found"
    assert "one (3 features), two (2 features)" in unknown.message


def test_an_empty_layer_gives_no_batches(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.gpkg", points(0))).wkb == []
    assert read(write_geojson(tmp_path / "a.geojson")).wkb == []


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".kml", ".shp"])
def test_a_file_cut_in_the_middle_is_refused_and_not_loaded_in_part(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", points(20_000 if suffix == ".shp" else 2000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    error = refusal(path)
    assert error.code == "unreadable_file"
    assert str(tmp_path) not in error.message


def test_a_damaged_page_of_a_geopackage_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", points(50_000, text=["x" * 30] * 50_000), SPATIAL_INDEX="NO")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    assert refusal(path).code == "unreadable_file"


def test_an_outdated_feature_count_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", points(5))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_ogr_contents SET feature_count = 9")
    assert len(read(path).wkb) == 5


KML = """<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>"""
PLACEMARK = "<Placemark><name>{}</name>{}<Point><coordinates>1,2</coordinates></Point></Placemark>"
FOLDER = "<Folder><name>{}</name>{}</Folder>"


def test_folders_of_a_kml_become_one_table_in_order(tmp_path: Path) -> None:
    extended = '<ExtendedData><Data name="depth"><value>7</value></Data></ExtendedData>'
    first = FOLDER.format("Springs", PLACEMARK.format("a", extended) + "<Placemark><name>b</name></Placemark>")
    second = FOLDER.format("Wells", PLACEMARK.format("c", ""))
    path = write_text(tmp_path / "a.kml", KML.format(first + second))
    source = read(path)
    rows = [(row["folder"], row["Name"], row["depth"]) for row in source.table.to_pylist()]
    assert rows == [("Springs", "a", "7"), ("Springs", "b", None), ("Wells", "c", None)]
    assert [wkb is None for wkb in source.wkb] == [False, True, False]
    assert read(path, layer_name="Wells").table["Name"].to_pylist() == ["c"]
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "format")


def test_a_kml_with_one_folder_has_no_folder_column(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.kml", KML.format(PLACEMARK.format("a", "")))
    assert "folder" not in read(path).table.column_names


def test_a_shapefile_without_prj_needs_a_crs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", points(3))
    (tmp_path / "a.prj").unlink()
    error = refusal(path)
    assert (error.code, error.parameter) == ("crs_missing", "source_crs")
    assert read(path, source_crs="EPSG:4326").source.crs_found_in == "parameter"


def test_a_missing_shx_is_restored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", points(3))
    (tmp_path / "a.shx").unlink()
    assert read(path).table["n"].to_pylist() == [0, 1, 2]


def test_an_existing_shx_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", points(3))
    before = (tmp_path / "a.shx").stat().st_mtime_ns
    read(path)
    assert (tmp_path / "a.shx").stat().st_mtime_ns == before


def test_a_missing_dbf_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", points(3))
    (tmp_path / "a.dbf").unlink()
    error = refusal(path)
    assert error.code == "sidecar_missing"
    assert ".dbf" in (error.remedy or "")


def test_a_cut_dbf_does_not_shorten_the_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp", points(300))
    table = tmp_path / "a.dbf"
    table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])
    assert refusal(path).code == "unreadable_file"


@pytest.mark.parametrize("encoding", ["CP1252", "UTF-8"])
def test_attributes_of_a_shapefile_without_cpg_are_readable(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.shp", points(1, name=["Zürich"]), encoding=encoding)
    (tmp_path / "a.cpg").unlink()
    assert read(path).table["name"].to_pylist() == ["Zürich"]
