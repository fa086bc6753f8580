"""A real file of each extension, from HTTP request to published table, compared with what others read from it."""

from pathlib import Path
from xml.sax.saxutils import escape

import geopandas
import pandas
import pyogrio
import pytest

from tests.flow.comparing import assert_published
from tests.flow.flow import Flow
from tests.flow.sources import COUNTRIES, airports, countries, of_package, shapefile_parts, written, zipped
from tests.gdal_process import read_by_gdal, write_by_gdal

COUNTRY_TYPES = {
    "pop_est": "bigint",
    "continent": "text",
    "name": "text",
    "iso_a3": "text",
    "gdp_md_est": "double precision",
}


def points(frame: pandas.DataFrame, lon: str, lat: str) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(frame, geometry=geopandas.points_from_xy(frame[lon], frame[lat]), crs=4326)


def test_a_csv_of_airports_becomes_a_table_of_points(flow: Flow, table: str) -> None:
    job = flow.load(airports(), "airports.csv", table, lat_name="latitude", lon_name="longitude")
    frame = pandas.read_csv(airports(), keep_default_na=False, na_values=[""])
    assert_published(flow, table, job, points(frame, "longitude", "latitude"))
    assert flow.types(table)["geom"] == "geometry(Point,4326)"
    assert flow.types(table)["latitude"] == "double precision"


def test_a_csv_with_dates_and_missing_values_keeps_them(flow: Flow, table: str) -> None:
    path = of_package("vega_datasets", "_data/la-riots.csv")
    job = flow.load(path, "la riots.csv", table, lat_name="latitude", lon_name="longitude")
    frame = pandas.read_csv(path, parse_dates=["death_date"])
    assert_published(flow, table, job, points(frame, "longitude", "latitude"))
    assert flow.types(table)["death_date"] == "date"
    assert flow.types(table)["age"] == "bigint"


def test_a_zipped_shapefile_of_countries_becomes_a_table_of_multipolygons(flow: Flow, table: str) -> None:
    folder = of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp")
    content = zipped({f"ne{suffix}": data for suffix, data in shapefile_parts(folder).items()})
    job = flow.load(content, "countries.zip", table)
    assert_published(flow, table, job, countries())
    assert flow.types(table)["geom"] == "geometry(MultiPolygon,4326)"
    assert flow.types(table).items() >= COUNTRY_TYPES.items()
    assert job["result_data"]["source"]["driver"] == "ESRI Shapefile"


def test_a_shapefile_in_a_nested_folder_of_a_zip_is_found(flow: Flow, table: str) -> None:
    parts = shapefile_parts(of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp"))
    members = {f"data/Länder 2024/v1.2/ne{suffix.upper()}": data for suffix, data in parts.items()}
    content = zipped({"data/readme.txt": b"Natural Earth", "__MACOSX/data/._ne.shp": b"\0"} | members)
    assert_published(flow, table, flow.load(content, "Archive.ZIP", table), countries())


def test_a_bare_shapefile_is_read_with_the_sidecars_beside_it(flow: Flow, table: str) -> None:
    parts = shapefile_parts(of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp"))
    blob = flow.put(parts.pop(".shp"), "countries.shp")
    for suffix, data in parts.items():
        flow.replace(blob.removesuffix(".shp") + suffix, data)
    job = flow.completed(flow.submit(blob, table))
    assert_published(flow, table, job, countries())


def test_a_geojson_with_a_null_geometry_loads_the_others_and_says_so(flow: Flow, table: str) -> None:
    path = of_package("geopandas", "tests/data/null_geom.geojson")
    job = flow.load(path, "null_geom.geojson", table, max_reject_percent=50)
    assert_published(flow, table, job, read_by_gdal(path))
    assert job["result_data"]["rows"]["rejected"] == {"null_geometry": 1}
    assert flow.types(table)["geom"] == "geometry(MultiLineString,4326)"


@pytest.mark.parametrize("extension", ["geojson", "json"])
def test_countries_as_geojson_load_as_they_are(flow: Flow, table: str, tmp_path: Path, extension: str) -> None:
    path = write_by_gdal(countries(), tmp_path / f"countries.{extension}", "GeoJSON", COORDINATE_PRECISION=15)
    job = flow.load(path, path.name, table)
    assert_published(flow, table, job, read_by_gdal(path))
    assert job["result_data"]["source"]["crs"] == "EPSG:4326"


def test_a_geopackage_with_nulls_in_columns_of_every_width_keeps_them(flow: Flow, table: str) -> None:
    path = of_package("pyogrio", "tests/fixtures/test_gpkg_nulls.gpkg")
    job = flow.load(path, "nulls.gpkg", table)
    assert_published(flow, table, job, pyogrio.read_dataframe(path))
    types = flow.types(table)
    assert (types["col_bool"], types["col_int8"], types["col_float32"]) == ("boolean", "bigint", "double precision")


def test_a_line_with_heights_and_measures_becomes_a_flat_one(flow: Flow, table: str) -> None:
    path = of_package("pyogrio", "tests/fixtures/line_zm.gpkg")
    job = flow.load(path, "line_zm.gpkg", table)
    with pytest.warns(UserWarning, match="Measured"):
        expected = pyogrio.read_dataframe(path)
    assert_published(flow, table, job, expected)
    assert job["result_data"]["rows"]["flattened"] == 1


@pytest.mark.parametrize("name", ["curve", "curvepolygon", "multisurface"])
def test_curves_become_lines_of_many_points(flow: Flow, table: str, name: str) -> None:
    path = of_package("pyogrio", f"tests/fixtures/{name}.gpkg")
    job = flow.load(path, f"{name}.gpkg", table)
    assert_published(flow, table, job, pyogrio.read_dataframe(path))


def placemarks() -> geopandas.GeoDataFrame:
    frame = countries()[["name", "continent", "geometry"]].rename(columns={"name": "Name"})
    return frame.assign(geometry=frame.representative_point())


def assert_placemarks(flow: Flow, table: str) -> None:
    rows, expected = flow.rows(table), placemarks()
    assert [(row["name"], row["continent"]) for row in rows] == list(
        zip(expected["Name"], expected["continent"], strict=True)
    )
    assert all(row["geom"].equals_exact(point, 1e-9) for row, point in zip(rows, expected.geometry, strict=True))
    assert flow.types(table)["geom"] == "geometry(Point,4326)"


def test_placemarks_of_a_kml_become_a_table_of_points(flow: Flow, table: str, tmp_path: Path) -> None:
    path = write_by_gdal(placemarks(), tmp_path / "places.kml", "LIBKML")
    flow.load(path, "places.kml", table)
    assert_placemarks(flow, table)


def test_a_kmz_is_a_zipped_kml(flow: Flow, table: str, tmp_path: Path) -> None:
    path = write_by_gdal(placemarks(), tmp_path / "places.kml", "LIBKML")
    content = zipped({"doc.kml": path.read_bytes(), "files/icon.png": b"\x89PNG"})
    flow.load(content, "places.kmz", table)
    assert_placemarks(flow, table)


def test_a_tsv_of_airports_is_a_csv_with_tabs(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = pandas.read_csv(airports(), keep_default_na=False, na_values=[""])
    frame.to_csv(tmp_path / "airports.tsv", sep="\t", index=False)
    job = flow.load(tmp_path / "airports.tsv", "airports.tsv", table, lat_name="latitude", lon_name="longitude")
    assert_published(flow, table, job, points(frame, "longitude", "latitude"))


def test_a_sheet_of_excel_becomes_a_table_of_points(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = pandas.read_csv(of_package("vega_datasets", "_data/la-riots.csv"), parse_dates=["death_date"])
    with pandas.ExcelWriter(tmp_path / "la riots.xlsx") as workbook:
        pandas.DataFrame({"about": ["deaths in the riots of 1992"]}).to_excel(workbook, sheet_name="about", index=False)
        frame.to_excel(workbook, sheet_name="deaths", index=False)
    job = flow.load(tmp_path / "la riots.xlsx", "la riots.xlsx", table, lat_name="latitude", lon_name="longitude")
    assert_published(flow, table, job, points(frame, "longitude", "latitude"))
    assert flow.types(table)["death_date"] == "timestamp without time zone"
    assert job["result_data"]["source"]["layer"] == "deaths"


def test_a_flatgeobuf_of_countries_becomes_a_table_of_multipolygons(flow: Flow, table: str, tmp_path: Path) -> None:
    path = written(countries(), tmp_path / "countries.fgb")
    job = flow.load(path, "countries.fgb", table)
    assert_published(flow, table, job, pyogrio.read_dataframe(path))
    assert flow.types(table).items() >= COUNTRY_TYPES.items()


@pytest.mark.parametrize("extension", ["parquet", "geoparquet"])
@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_geoparquet_of_countries_in_a_projection_loads(
    flow: Flow, table: str, tmp_path: Path, extension: str, encoding: str
) -> None:
    frame = countries().query("continent == 'South America'").to_crs("ESRI:102033").explode(ignore_index=True)
    path = tmp_path / f"countries.{extension}"
    frame.to_parquet(path, geometry_encoding=encoding, schema_version="1.1.0", write_covering_bbox=True)
    job = flow.load(path, path.name, table)
    assert_published(flow, table, job, geopandas.read_parquet(path))
    assert job["result_data"]["source"]["crs"] == "ESRI:102033"


def test_a_plain_parquet_with_coordinates_loads_when_they_are_named(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = pandas.read_csv(airports(), keep_default_na=False, na_values=[""])
    frame.to_parquet(tmp_path / "airports.parquet")
    job = flow.load(tmp_path / "airports.parquet", "airports.parquet", table, lat_name="latitude", lon_name="longitude")
    assert_published(flow, table, job, points(frame, "longitude", "latitude"))


def test_a_gml_of_countries_becomes_a_table_of_multipolygons(flow: Flow, table: str, tmp_path: Path) -> None:
    path = written(countries(), tmp_path / "countries.gml", "GML")
    job = flow.load(path, "countries.gml", table)
    ids = [f"countries.{number}" for number in range(len(countries()))]
    expected = countries()
    expected.insert(0, "gml_id", ids)
    assert_published(flow, table, job, expected)
    assert flow.types(table).items() >= COUNTRY_TYPES.items()


def test_waypoints_of_a_gpx_become_a_table_of_points(flow: Flow, table: str) -> None:
    places = placemarks()
    waypoints = "".join(
        f'<wpt lat="{place.y!r}" lon="{place.x!r}"><name>{escape(name)}</name><type>{continent}</type></wpt>'
        for name, continent, place in zip(places["Name"], places["continent"], places.geometry, strict=True)
    )
    content = f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">{waypoints}</gpx>'
    job = flow.load(content, "places.gpx", table)
    expected = places.rename(columns={"Name": "name", "continent": "type"})
    assert_published(flow, table, job, expected)
    assert job["result_data"]["source"]["layer"] == "waypoints"


@pytest.mark.parametrize("name", ["countries.gdb.zip", "countries.zip"])
def test_a_zipped_geodatabase_of_countries_loads(flow: Flow, table: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "ne.gdb"
    pyogrio.write_dataframe(countries(), path, driver="OpenFileGDB", layer="countries", promote_to_multi=True)
    content = zipped({f"ne.gdb/{part.name}": part.read_bytes() for part in path.iterdir()})
    job = flow.load(content, name, table)
    assert_published(flow, table, job, pyogrio.read_dataframe(path))
    source = job["result_data"]["source"]
    assert (source["driver"], source["layer"]) == ("OpenFileGDB", "countries")
