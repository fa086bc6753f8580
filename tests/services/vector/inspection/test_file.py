"""Facts about files of known content; that they are what a load finds is tested in tests/flow/test_inspect.py."""

import json
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyarrow import parquet

from services.vector.inspection import beginning, file
from services.vector.inspection.file import inspect_file
from services.vector.source import ReadOptions
from tests.services.vector.reading import feature, point, write_geojson, write_text

BOWTIE = "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))"
SQUARE = "POLYGON ((5 5, 6 5, 6 6, 5 6, 5 5))"


def look(path: Path, seconds: float = 10, **options: Any) -> dict[str, Any]:
    found = inspect_file(path, path.suffix, ReadOptions(**options), seconds=seconds)
    json.dumps(found, allow_nan=False)
    return found


def codes(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["code"] for entry in entries]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of texts only the first 80,000 bytes are looked at, of other files 100 rows."""
    for module in (beginning, file):
        monkeypatch.setattr(module, "HEAD_BYTES", 80_000)
        monkeypatch.setattr(module, "TAIL_BYTES", 500)
    monkeypatch.setattr(file, "SAMPLE_ROWS", 100)


def csv_of(path: Path, rows: int) -> Path:
    lines = [f"row {n},{n % 90},{n % 180},{n}" for n in range(100_000, 100_000 + rows)]
    return write_text(path, "\n".join(["name,lat,lon,n", *lines]) + "\n")


@pytest.mark.usefixtures("small")
def test_of_a_large_csv_the_beginning_tells_types_and_the_number_of_rows(tmp_path: Path) -> None:
    found = look(csv_of(tmp_path / "a.csv", 20_000), lat_name="lat", lon_name="lon")
    assert (found["complete"], found["sample_is_whole"], found["bbox_found_in"]) == (True, False, "sample")
    assert found["rows_found_in"] == "estimated"
    assert found["rows"] == pytest.approx(20_000, rel=0.01)
    assert [column["pg_type"] for column in found["columns"]] == [
        "text",
        "double precision",
        "double precision",
        "bigint",
    ]
    assert found["columns"][0]["examples"] == ["row 100000", "row 100001", "row 100002"]


@pytest.mark.usefixtures("small")
def test_of_a_large_text_in_a_zip_only_the_beginning_is_extracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.vector.archives._BLOCK", 4096)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(csv_of(tmp_path / "b.csv", 20_000), "b.csv")
    found = look(path, lat_name="lat", lon_name="lon")
    assert found["rows"] == pytest.approx(20_000, rel=0.01)
    assert found["sample_rows"] < 5_000
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []


@pytest.mark.usefixtures("small")
def test_a_large_geojson_is_looked_at_as_far_as_its_beginning_goes(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "EPSG:25832"}}
    places = (feature(point(500_000 + n, 5_600_000), n=n) for n in range(2000))
    found = look(write_geojson(tmp_path / "a.geojson", *places, crs=crs))
    assert found["rows"] == pytest.approx(2000, rel=0.1)
    assert (found["crs"], found["crs_found_in"], found["refusals"]) == ("EPSG:25832", "file", [])
    assert found["bbox"][0] == pytest.approx(9.0)


@pytest.mark.usefixtures("small")
def test_a_beginning_that_holds_no_whole_record_asks_for_the_rest(tmp_path: Path) -> None:
    ring = [[n / 1000, 0] for n in range(9000)] + [[9, 1], [0, 0]]
    path = write_geojson(tmp_path / "a.geojson", feature({"type": "Polygon", "coordinates": [ring]}, n=1))
    assert path.stat().st_size > 80_500
    assert look(path)["needs_all"] is True
    found = inspect_file(path, "geojson", ReadOptions(), seconds=10, beginnings=False)
    assert (found["needs_all"], found["complete"], found["rows"]) == (False, True, 1)


@pytest.mark.usefixtures("small")
def test_a_geopackage_tells_its_rows_and_its_extent_itself(tmp_path: Path) -> None:
    xy = np.column_stack([np.linspace(400_000, 500_000, 20_000), np.linspace(5_600_000, 5_700_000, 20_000)])
    frame = geopandas.GeoDataFrame({"n": range(20_000)}, geometry=shapely.points(xy), crs=25832)
    pyogrio.write_dataframe(frame, tmp_path / "a.gpkg")
    found = look(tmp_path / "a.gpkg")
    assert (found["rows"], found["rows_found_in"], found["bbox_found_in"]) == (20_000, "file", "file")
    assert found["sample_rows"] < 20_000
    assert found["bbox"] == pytest.approx(frame.to_crs(4326).total_bounds, abs=0.1)
    assert found["layers"][0] | {"bounds": None} == {
        "name": "a", "features": 20_000, "geometry_type": "Point", "crs": "EPSG:25832", "bounds": None,
    }  # fmt: skip


def test_what_is_invalid_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [f"{n};{BOWTIE if n % 2 else SQUARE}" for n in range(10)]
    found = look(write_text(tmp_path / "a.csv", "\n".join(["n;shape", *rows])), wkt_column="shape")
    assert found["checked"]["invalid"] == 5
    assert found["checked"]["reasons"] == {"Self-intersection": 5}
    assert "many_invalid" in codes(found["warnings"])


def test_what_would_be_rejected_is_counted_by_reason(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "lat,lon\n1,2\n,\nx,y\n3,4\n")
    found = look(path, lat_name="lat", lon_name="lon")
    assert found["checked"]["rejected"] == {"null_geometry": 1, "unreadable_coordinates": 1}
    assert codes(found["warnings"]) == ["rows_rejected"]


def test_values_in_range_only_when_they_change_places_are_suspicious(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "a,b\n139.7,35.6\n135.5,34.7\n")
    assert "swapped_axes" in codes(look(path, lat_name="a", lon_name="b")["warnings"])
    assert look(path, lat_name="b", lon_name="a")["warnings"] == []
    places = [feature(point(35.6, 139.7)), feature(point(34.7, 135.5))]
    assert "swapped_axes" in codes(look(write_geojson(tmp_path / "a.geojson", *places))["warnings"])


def test_names_that_say_the_contrary_are_suspicious(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "breite,laenge\n50,7\n")
    assert codes(look(path, lat_name="laenge", lon_name="breite")["warnings"]) == ["swapped_axes", "swapped_axes"]
    assert look(path, lat_name="breite", lon_name="laenge")["warnings"] == []


def test_columns_that_would_change_their_name_or_mix_types_are_told(tmp_path: Path) -> None:
    rows = [f"{n},{n if n else 'n/a'},0{n},1,2" for n in range(10)]
    path = write_text(tmp_path / "a.csv", "\n".join(["ID,height,code,lat,lon", *rows]))
    found = look(path, lat_name="lat", lon_name="lon")
    assert codes(found["warnings"]) == ["columns_renamed", "mixed_types"]
    assert "'height'" in found["warnings"][1]["message"]
    assert found["renamed"] == [{"source": "ID", "name": "source_id", "reason": "reserved"}]


def test_a_decimal_comma_is_noticed(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "lat;lon;n\n50,1;6,9;1\n51,2;7,5;2\n")
    found = look(path)
    assert (found["delimiter"], found["decimal"]) == (";", ",")
    assert found["geometry_type"] == "Point"
    given = look(path, lat_name="lat", lon_name="lon", converter_params={"decimal": ","})
    assert (given["warnings"], given["refusals"], given["bbox"]) == ([], [], [6.9, 50.1, 7.5, 51.2])


def test_an_encoding_that_is_likely_wrong_is_told(tmp_path: Path) -> None:
    text = "name,lat,lon\n" + "Санкт-Петербург,59,30\nМосква,55,37\nЕкатеринбург,56,60\n"
    found = look(write_text(tmp_path / "a.csv", text, "cp1251"), lat_name="lat", lon_name="lon")
    assert found["encoding"]["suspected"] == "cp1251"
    assert "cp1251" in found["warnings"][0]["message"]


def test_a_csv_without_anything_like_geometry_tells_its_columns(tmp_path: Path) -> None:
    found = look(write_text(tmp_path / "a.csv", "name,n\na,1\nb,2\n"))
    assert codes(found["refusals"]) == ["geometry_columns_missing"]
    assert [(column["name"], column["pg_type"]) for column in found["columns"]] == [("name", "text"), ("n", "bigint")]
    assert (found["geometry_type"], found["rows"]) == (None, 2)


def test_coordinates_without_a_crs_are_assumed_to_be_degrees_when_they_can_be(tmp_path: Path) -> None:
    degrees = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(7, 50)])
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.write_dataframe(degrees, tmp_path / "a.gpkg")
    found = look(tmp_path / "a.gpkg")
    assert codes(found["refusals"]) == ["crs_missing"]
    assert (found["crs"], found["crs_found_in"], found["bbox"]) == ("EPSG:4326", "assumed", [7, 50, 7, 50])


def test_a_kml_tells_its_folders(tmp_path: Path) -> None:
    place = "<Placemark><name>a</name><Point><coordinates>1,2</coordinates></Point></Placemark>"
    folders = "".join(f"<Folder><name>{name}</name>{place * n}</Folder>" for name, n in (("eins", 1), ("zwei", 2)))
    text = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>'
    found = look(write_text(tmp_path / "a.kml", text))
    assert [(layer["name"], layer["features"]) for layer in found["layers"]] == [("eins", 1), ("zwei", 2)]
    assert (found["rows"], found["crs_found_in"]) == (3, "format")


def test_an_attribute_table_beside_a_layer_is_told_as_such(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(7, 50)], crs=4326)
    pyogrio.write_dataframe(frame, tmp_path / "a.gpkg", layer="places")
    pyogrio.write_dataframe(frame.drop(columns="geometry"), tmp_path / "a.gpkg", layer="notes", append=True)
    found = look(tmp_path / "a.gpkg")
    assert [(layer["name"], layer["geometry_type"]) for layer in found["layers"]] == [
        ("places", "Point"),
        ("notes", None),
    ]
    assert (found["layer"], found["refusals"]) == ("places", [])


@pytest.mark.parametrize("name", ["a.csv", "a.zip"])
def test_when_the_time_is_up_what_is_known_so_far_is_told(tmp_path: Path, name: str) -> None:
    path = csv_of(tmp_path / "a.csv", 10)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.csv")
    found = look(tmp_path / name, seconds=0, lat_name="lat", lon_name="lon")
    assert (found["complete"], found["refusals"], found["rows"]) == (False, [], None)
    assert found["delimiter"] == ("," if name == "a.csv" else None)


def test_a_geometry_that_is_too_large_to_check_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.vector.inspection.sample.LARGEST_CHECKED", 100)
    shapes = [shapely.box(0, 0, 1, 1), shapely.Point(0, 0).buffer(1)]
    frame = geopandas.GeoDataFrame({"n": [1, 2]}, geometry=shapes, crs=4326)
    pyogrio.write_dataframe(frame, tmp_path / "a.gpkg")
    found = look(tmp_path / "a.gpkg")
    assert (found["checked"]["rows"], found["checked"]["skipped"]) == (2, 1)
    assert codes(found["warnings"]) == ["large_geometries"]


def test_mixed_types_are_refused_until_any_is_wanted(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    path = write_geojson(tmp_path / "a.geojson", feature(point(1, 2)), feature(line))
    assert codes(look(path)["refusals"]) == ["mixed_geometry_types"]
    found = inspect_file(path, path.suffix, ReadOptions(), seconds=10, geometry_type="any")
    assert (found["refusals"], found["geometry_type"]) == ([], "Geometry")


def test_a_tsv_is_looked_at_as_it_is_read(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.tsv", "lat\tlon\tname, first, second\n1\t2\ta, b, c\n")
    found = inspect_file(path, path.suffix, ReadOptions(lat_name="lat", lon_name="lon"), seconds=10)
    assert (found["delimiter"], found["refusals"]) == ("\t", [])


def test_texts_that_are_not_in_the_declared_encoding_are_shown_as_they_would_be_loaded(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"name": ["xxxxxx"]}, geometry=[shapely.Point(1, 2)], crs=4326)
    pyogrio.write_dataframe(frame, tmp_path / "a.shp", encoding="UTF-8")
    table = tmp_path / "a.dbf"
    table.write_bytes(table.read_bytes().replace(b"xxxxxx", b"Z\xfcrich"))
    assert look(tmp_path / "a.shp")["columns"][0]["examples"] == ["Z\ufffdrich"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_bytes_of_a_geoparquet_that_are_no_text_are_shown_as_they_would_be_loaded(
    tmp_path: Path, kind: pa.DataType
) -> None:
    path = tmp_path / "a.parquet"
    geopandas.GeoDataFrame({"name": ["xxxxxx"]}, geometry=[shapely.Point(1, 2)], crs=4326).to_parquet(path)
    table = parquet.read_table(path)
    table = table.set_column(0, pa.field("name", kind), pa.array(["Z\0rich"], kind))
    parquet.write_table(table, path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"Z\0rich", b"Z\xfcrich"))
    assert look(path)["columns"][0]["examples"] == ["Z\ufffdrich"]
