import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from services.vector.gdal_environment import ALLOWED_DRIVERS, assert_allowed_drivers
from tests.gdal_process import write_by_gdal
from tests.services.vector.reading import read, refusal, write_geojson

FIXTURES = Path(pyogrio.__file__).parent / "tests" / "fixtures"


def write(path: Path, frame: gpd.GeoDataFrame, **options: object) -> Path:
    if path.suffix in (".geojson", ".kml"):
        return write_by_gdal(frame, path, "LIBKML" if path.suffix == ".kml" else None)
    pyogrio.write_dataframe(frame, path, **options)
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


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("ANSI 1252", "cp1252"),
        ("OEM 850", "cp850"),
        ("8859_15", "iso8859-15"),
        ("ANSI 936", "cp936"),
        ("", "cp1252"),
        ("Klingon", "cp1252"),
        ("Klingon", "utf-8"),
        ("\0\x01", "utf-8"),
        ("\ufeffUTF-8\r\n", "utf-8"),
    ],
)
def test_a_cpg_may_name_its_encoding_in_any_way(tmp_path: Path, declared: str, written: str) -> None:
    text = "北京" if written == "cp936" else "Zürich"
    path = write(tmp_path / "a.shp", points(1, name=["x" * 16]))
    table = bytearray((tmp_path / "a.dbf").read_bytes().replace(b"x" * 16, text.encode(written).ljust(16)))
    table[29] = 0
    (tmp_path / "a.dbf").write_bytes(table)
    (tmp_path / "a.cpg").write_text(declared)
    assert read(path).table["name"].to_pylist() == [text]
