"""What is in the file is in the table: types, values, names and shapes, also the unusual ones."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely

from tests.flow.comparing import assert_published
from tests.flow.flow import Flow, Json
from tests.flow.sources import airports, countries, csv, feature, geojson, written


def loaded(flow: Flow, table: str, *properties: Json) -> list[Json]:
    """The rows of a GeoJSON of points with these properties."""
    flow.load(geojson(*map(feature, properties)), "points.geojson", table)
    return flow.rows(table)


def test_a_load_in_many_chunks_equals_one_in_a_single_chunk(flow: Flow, table: str) -> None:
    place = {"lat_name": "latitude", "lon_name": "longitude"}
    many = flow.load(airports(), "airports.csv", f"{table}_many", chunk_size=100, **place)
    one = flow.load(airports(), "airports.csv", f"{table}_one", chunk_size=500_000, **place)
    assert (many["result_data"]["chunks"], one["result_data"]["chunks"]) == (34, 1)
    assert many["result_data"]["rows"] == one["result_data"]["rows"]
    without_batch = [
        [{**row, "etl_batch_id": None} for row in flow.rows(name)] for name in (f"{table}_many", f"{table}_one")
    ]
    assert without_batch[0] == without_batch[1]
    assert len({row["etl_batch_id"] for row in flow.rows(f"{table}_many")}) == 34


def test_an_accent_in_the_last_row_of_a_long_csv_loads_each_row_once(flow: Flow, table: str) -> None:
    """It is read as UTF-8 until then, and then again from the start: chunks of the first reading are on their way."""
    rows = 150_000
    text = "lat,lon,n,name\n" + "".join(f"{n % 90},{n % 180},{n},place\n" for n in range(rows)) + "1,2,-1,café\n"
    place = {"lat_name": "lat", "lon_name": "lon"}
    job = flow.load(text.encode("cp1252"), "long.csv", table, chunk_size=20_000, **place)
    assert job["result_data"]["rows"]["loaded"] == rows + 1
    found = flow.one(f"SELECT count(*) AS rows, count(DISTINCT n) AS numbers, max(id) AS last FROM geo.{table}")  # noqa: S608
    assert found == {"rows": rows + 1, "numbers": rows + 1, "last": rows + 1}
    assert [row["name"] for row in flow.all(f"SELECT name FROM geo.{table} WHERE n < 0")] == ["café"]  # noqa: S608
    flow.assert_nothing_left()


def test_a_source_in_utm_is_reprojected_to_longitude_and_latitude(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = countries().query("name in ['Germany', 'Austria', 'Denmark']").to_crs(25832)
    path = written(frame, tmp_path / "utm.gpkg")
    job = flow.load(path, "utm.gpkg", table)
    assert_published(flow, table, job, pyogrio.read_dataframe(path))
    assert job["result_data"]["source"]["crs"] == "EPSG:25832"
    west, south, east, north = job["result_data"]["table"]["bbox"]
    assert 5 < west < east < 18
    assert 46 < south < north < 58


def test_a_source_without_crs_takes_the_one_of_the_request(flow: Flow, table: str) -> None:
    content = csv("name,east,north", "Bonn,365000,5621000", "Köln,356000,5645000")
    job = flow.load(content, "utm.csv", table, lat_name="north", lon_name="east", source_crs="EPSG:25832")
    assert [round(row["geom"].x) for row in flow.rows(table)] == [7, 7]
    assert [round(row["geom"].y) for row in flow.rows(table)] == [51, 51]
    assert job["result_data"]["source"]["crs_found_in"] == "parameter"


def test_names_and_values_of_any_script_survive(flow: Flow, table: str) -> None:
    properties = {
        "größe": "äöü ß €",
        "名前": "東京都",
        "имя": "Москва",
        "emoji": "🗺 'quoted' \"twice\" \\n\t",
        "حي": "عمان",
    }
    row = loaded(flow, table, properties)[0]
    assert {name: row[name] for name in properties} == properties


def test_a_csv_in_the_encoding_of_windows_is_recognized(flow: Flow, table: str) -> None:
    content = "stadt;lat;lon\nMünchen;48.1;11.6\nKöln;50.9;7.0\n".encode("cp1252")
    flow.load(content, "städte.csv", table, lat_name="lat", lon_name="lon")
    assert [row["stadt"] for row in flow.rows(table)] == ["München", "Köln"]


def test_a_csv_in_an_encoding_that_is_given_is_read_in_it(flow: Flow, table: str) -> None:
    content = "имя;lat;lon\nМосква;55,75;37,6\n".encode("cp1251")
    flow.load(content, "places.csv", table, lat_name="lat", lon_name="lon", encoding="windows-1251")
    (row,) = flow.rows(table)
    assert (row["имя"], row["geom"]) == ("Москва", shapely.Point(37.6, 55.75))


def test_decimal_commas_become_numbers(flow: Flow, table: str) -> None:
    flow.load(csv("a;b;lat;lon", "1,5;x;1,5;2,5", "-0,25;1,5;3;4"), "c.csv", table, lat_name="lat", lon_name="lon")
    assert [(row["a"], row["b"], row["geom"].wkt) for row in flow.rows(table)] == [
        (1.5, "x", "POINT (2.5 1.5)"),
        (-0.25, "1,5", "POINT (4 3)"),
    ]


def test_ewkb_brings_its_crs_with_it(flow: Flow, table: str) -> None:
    shapes = shapely.set_srid([shapely.Point(500_000, 5_600_000), shapely.Point(1, 2)], [25832, 4326])
    lines = [shapely.to_wkb(shape, hex=True, include_srid=True) for shape in shapes]
    job = flow.load(csv("shape", *lines), "shapes.csv", table, wkb_column="shape", max_reject_percent=50)
    assert [round(row["geom"].x) for row in flow.rows(table)] == [9]
    assert job["result_data"]["rows"]["rejected"] == {"srid_mismatch": 1}
    assert job["result_data"]["source"]["crs"] == "EPSG:25832"


def test_the_largest_integers_keep_every_digit(flow: Flow, table: str) -> None:
    rows = loaded(flow, table, {"n": 2**62 + 1}, {"n": -(2**53) - 1}, {"n": 2**53 + 1}, {"n": None})
    assert [row["n"] for row in rows] == [2**62 + 1, -(2**53) - 1, 2**53 + 1, None]
    assert flow.types(table)["n"] == "bigint"


def test_a_csv_of_integers_too_large_for_any_type_keeps_their_digits(flow: Flow, table: str) -> None:
    digits = "123456789012345678901234567890"
    flow.load(csv("n,lat,lon", f"{digits},1,2", "1,3,4"), "n.csv", table, lat_name="lat", lon_name="lon")
    assert [str(row["n"]) for row in flow.rows(table)] == [digits, "1"]


def test_identifiers_with_leading_zeros_stay_text(flow: Flow, table: str) -> None:
    flow.load(csv("plz,lat,lon", "01067,51,13", "99999,50,10"), "plz.csv", table, lat_name="lat", lon_name="lon")
    assert [row["plz"] for row in flow.rows(table)] == ["01067", "99999"]


def test_booleans_are_booleans(flow: Flow, table: str) -> None:
    rows = loaded(flow, table, {"open": True}, {"open": False}, {"open": None})
    assert [row["open"] for row in rows] == [True, False, None]
    assert flow.types(table)["open"] == "boolean"


def test_dates_and_moments_are_dates_and_moments(flow: Flow, table: str) -> None:
    content = csv(
        "day,local,moment,lat,lon",
        "2020-02-29,2020-02-29T12:30:00,2020-02-29T12:30:00.123456+02:00,1,1",
        "1899-12-31,1899-12-31T00:00:00,1999-12-31T23:59:59Z,2,2",
        ",,,3,3",
    )
    flow.load(content, "times.csv", table, lat_name="lat", lon_name="lon")
    first, second, third = flow.rows(table)
    assert (first["day"], first["local"]) == (date(2020, 2, 29), datetime(2020, 2, 29, 12, 30))  # noqa: DTZ001
    assert first["moment"] == datetime(2020, 2, 29, 10, 30, 0, 123456, UTC)
    assert second["day"] == date(1899, 12, 31)
    assert (third["day"], third["local"], third["moment"]) == (None, None, None)
    types = flow.types(table)
    assert (types["day"], types["local"]) == ("date", "timestamp without time zone")
    assert types["moment"] == "timestamp with time zone"


def test_times_of_a_geopackage_keep_their_zone(flow: Flow, table: str, tmp_path: Path) -> None:
    moments = [pandas.Timestamp("2024-03-31T01:59:59.5Z"), pandas.NaT, pandas.Timestamp("2024-10-27T03:00:00Z")]
    frame = geopandas.GeoDataFrame({"seen": moments}, geometry=geopandas.points_from_xy([1, 2, 3], [1, 2, 3]), crs=4326)
    job = flow.load(written(frame, tmp_path / "seen.gpkg"), "seen.gpkg", table)
    assert_published(flow, table, job, frame)
    assert flow.types(table)["seen"] == "timestamp with time zone"


def test_not_a_number_is_null_and_a_null_stays_one(flow: Flow, table: str, tmp_path: Path) -> None:
    columns = {"x": [1.5, np.nan, None], "s": ["", None, "None"]}
    frame = geopandas.GeoDataFrame(columns, geometry=[shapely.Point(n, n) for n in range(3)], crs=4326)
    flow.load(written(frame, tmp_path / "nan.gpkg"), "nan.gpkg", table)
    assert [(row["x"], row["s"]) for row in flow.rows(table)] == [(1.5, ""), (None, None), (None, "None")]


def test_lists_and_objects_become_json(flow: Flow, table: str) -> None:
    rows = loaded(flow, table, {"tags": ["a", "ß"], "of": {"k": [1, None]}}, {"tags": [], "of": None})
    assert [(row["tags"], row["of"]) for row in rows] == [(["a", "ß"], {"k": [1, None]}), ([], None)]
    assert flow.types(table)["of"] == "jsonb"


def test_heights_are_taken_off(flow: Flow, table: str) -> None:
    content = geojson(feature({"n": 1}, {"type": "Point", "coordinates": [1.5, 2.5, 800.25]}))
    job = flow.load(content, "heights.geojson", table)
    assert flow.rows(table)[0]["geom"] == shapely.Point(1.5, 2.5)
    assert job["result_data"]["rows"]["flattened"] == 1
    assert flow.types(table)["geom"] == "geometry(Point,4326)"


def test_a_bow_tie_is_repaired_into_two_triangles(flow: Flow, table: str) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    corners = [(5, 5), (6, 5), (6, 6), (5, 6), (5, 5)]
    square = {"type": "Polygon", "coordinates": [corners]}
    job = flow.load(geojson(feature({"n": 1}, bow_tie), feature({"n": 2}, square)), "ties.geojson", table)
    tie, plain = [row["geom"] for row in flow.rows(table)]
    assert tie.is_valid
    assert len(tie.geoms) == 2
    assert tie.area == pytest.approx(2.0)
    assert plain == shapely.MultiPolygon([shapely.Polygon(corners)])
    assert job["result_data"]["rows"]["repaired"] == 1


def test_points_and_multipoints_share_a_column_of_multipoints(flow: Flow, table: str) -> None:
    many = {"type": "MultiPoint", "coordinates": [[1, 1], [2, 2]]}
    flow.load(geojson(feature({"n": 1}), feature({"n": 2}, many)), "points.geojson", table)
    assert flow.types(table)["geom"] == "geometry(MultiPoint,4326)"
    assert [len(row["geom"].geoms) for row in flow.rows(table)] == [1, 2]


def test_well_known_text_in_a_csv_becomes_the_geometry(flow: Flow, table: str) -> None:
    content = csv("shape,n", '"LINESTRING (0 0, 1 1)",1', '"MULTILINESTRING ((2 2, 3 3))",2', ",3", "nonsense,4")
    job = flow.load(content, "lines.csv", table, wkt_column="shape", max_reject_percent=50)
    assert [(row["n"], row["geom"].wkt) for row in flow.rows(table)] == [
        (1, "MULTILINESTRING ((0 0, 1 1))"),
        (2, "MULTILINESTRING ((2 2, 3 3))"),
    ]
    assert job["result_data"]["rows"]["rejected"] == {"null_geometry": 1, "unreadable_geometry": 1}


def test_a_csv_with_nothing_but_well_known_text_loads(flow: Flow, table: str) -> None:
    flow.load(csv("shape", "POINT (1 2)", "POINT (3 4)"), "points.csv", table, wkt_column="shape")
    assert [row["geom"].wkt for row in flow.rows(table)] == ["POINT (1 2)", "POINT (3 4)"]


def test_columns_that_clash_with_the_tables_own_are_renamed_and_reported(flow: Flow, table: str) -> None:
    properties = {"id": 7, "geom": "g", "etl_batch_id": "b", "select": 1, "order": 2, "user": 3, "Name": 4, "name": 5}
    job = flow.load(geojson(feature(properties)), "names.geojson", table)
    row = flow.rows(table)[0]
    assert (row["id"], row["source_id"], row["source_geom"], row["source_etl_batch_id"]) == (1, 7, "g", "b")
    assert (row["select"], row["order"], row["user"]) == (1, 2, 3)
    assert (row["name"], row["name_2"]) == (5, 4)
    renamed = {entry["source"]: (entry["name"], entry["reason"]) for entry in job["result_data"]["table"]["renamed"]}
    assert renamed["id"] == ("source_id", "reserved")
    assert renamed["Name"] == ("name_2", "duplicate")


def test_the_layer_that_was_asked_for_is_loaded(flow: Flow, table: str, tmp_path: Path) -> None:
    path = tmp_path / "layers.gpkg"
    for number, layer in enumerate(["first", "zweite Schicht"]):
        frame = geopandas.GeoDataFrame({"n": [number]}, geometry=[shapely.Point(number, 0)], crs=4326)
        pyogrio.write_dataframe(frame, path, layer=layer, append=path.exists())
    blob = flow.put(path, "layers.gpkg")
    flow.completed(flow.submit(blob, table, layer_name="zweite Schicht"))
    assert [row["n"] for row in flow.rows(table)] == [1]
    error = flow.failed(flow.submit(blob, f"{table}_none"))
    assert error["code"] == "layer_ambiguous"
    error = flow.failed(flow.submit(blob, f"{table}_other", layer_name="third"))
    assert error["code"] == "layer_not_found"
    assert "zweite Schicht" in error["message"]


def test_shapes_are_simplified_and_snapped_as_asked(flow: Flow, table: str, tmp_path: Path) -> None:
    path = written(countries(), tmp_path / "countries.gpkg")
    options = {"simplify": {"tolerance": 1.0}, "quantize": {"snap_to_grid": 0.5}}
    flow.load(path, "countries.gpkg", table, geometry_params=options)
    shapes = [row["geom"] for row in flow.rows(table)]
    coordinates = shapely.get_coordinates(shapes)
    assert (coordinates * 2 == np.round(coordinates * 2)).all()
    assert len(coordinates) < shapely.get_num_coordinates(countries().geometry.to_numpy()).sum() / 2
    assert all(shape.is_valid and not shape.is_empty for shape in shapes)


def test_indexes_are_built_as_asked(flow: Flow, table: str) -> None:
    content = csv("name,day,lat,lon", "a,2020-01-01,1,1", "b,2020-01-02,2,2")
    indexes = {"spatial": True, "attributes": ["name"], "temporal": ["day"]}
    flow.load(content, "i.csv", table, lat_name="lat", lon_name="lon", indexes=indexes)
    definitions = " ".join(
        row["indexdef"] for row in flow.all("SELECT indexdef FROM pg_indexes WHERE tablename = %s", table)
    )
    for wanted in ("gist (geom)", "UNIQUE INDEX", "btree (id)", "btree (name)", "btree (day)"):
        assert wanted in definitions


def test_long_names_that_begin_alike_can_both_be_indexed(flow: Flow, table: str) -> None:
    """Postgres cuts a name at 63 bytes, which are 21 of these characters."""
    first, second = "名" * 21, "名" * 20 + "字"
    blob = flow.put(geojson(feature({first: 1, second: 2})), "long.geojson")
    flow.completed(flow.submit(blob, table, indexes={"attributes": [first, second]}), patience=10)
    indexes = flow.all("SELECT indexdef FROM pg_indexes WHERE schemaname = 'geo' AND tablename = %s", table)
    assert len([row for row in indexes if "名" in row["indexdef"].split(" USING ")[1]]) == 2


def test_blank_lines_before_the_header_are_no_rows(flow: Flow, table: str) -> None:
    job = flow.load(b"\n\nn,lat,lon\n1,2,3\n", "blank.csv", table, lat_name="lat", lon_name="lon")
    assert job["result_data"]["rows"]["read"] == 1
    assert flow.types(table)["n"] == "bigint"


def seconds_apart(rows: list[Json], column: str) -> float:
    """Between the moments of the first two rows, whatever type they have."""
    first, second = (datetime.fromisoformat(str(row[column])) for row in rows[:2])
    return (second - first).total_seconds()


def test_moments_of_a_kml_keep_their_zone(flow: Flow, table: str) -> None:
    whens = ["2020-01-01T10:00:00+05:00", "2020-01-01T10:00:00Z"]
    placemark = (
        "<Placemark><TimeStamp><when>{}</when></TimeStamp><Point><coordinates>1,2</coordinates></Point></Placemark>"
    )
    document = "".join(map(placemark.format, whens))
    content = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{document}</Document></kml>'
    flow.load(content, "whens.kml", table)
    assert seconds_apart(flow.rows(table), "timestamp") == 5 * 3600


def test_moments_with_and_without_zone_lose_nothing(flow: Flow, table: str) -> None:
    given = ["2020-01-01T10:00:00+05:00", "2020-01-01T10:00:00Z", "2020-01-01T10:00:00"]
    rows = loaded(flow, table, *({"t": moment} for moment in given))
    assert seconds_apart(rows, "t") == 5 * 3600


def test_a_column_that_only_later_chunks_have_is_null_before(flow: Flow, table: str) -> None:
    features = [
        feature({"n": n, "mixed": n if n < 150 else str(n)} | ({"late": n / 2} if n > 250 else {})) for n in range(300)
    ]
    job = flow.load(geojson(*features), "late.geojson", table, chunk_size=100)
    rows = flow.rows(table)
    assert [row["late"] for row in rows] == [n / 2 if n > 250 else None for n in range(300)]
    assert [row["mixed"] for row in rows] == [str(n) for n in range(300)]
    assert flow.types(table).items() >= {"n": "bigint", "late": "double precision", "mixed": "text"}.items()
    assert job["result_data"]["rows"]["read"] == 300


def test_types_that_widen_from_block_to_block_reach_every_chunk(flow: Flow, table: str) -> None:
    """Features of 300 kB each, so that blocks of the file and the types of their columns differ."""
    values: list[Any] = [None, 1, 2, None, 0.5, 7, "x", {"k": [1]}]
    features = [feature({"v": value, "pad": "p" * 300_000, f"late_{n}": n}) for n, value in enumerate(values * 2)]
    job = flow.load(geojson(*features), "widening.geojson", table)
    rows = flow.rows(table)
    assert [row["v"] for row in rows] == values * 2
    assert [[row[f"late_{n}"] for row in rows] for n in range(16)] == [
        [n if row == n else None for row in range(16)] for n in range(16)
    ]
    assert job["result_data"]["chunks"] > 1


@pytest.mark.parametrize("extension", ["geojsonl", "ndjson", "geojsons", "json"])
def test_a_sequence_of_features_is_a_table(flow: Flow, table: str, extension: str) -> None:
    content = b"".join(b"\x1e" + json.dumps(feature({"n": n})).encode() + b"\n" for n in range(5))
    flow.load(content, f"seq.{extension}", table)
    assert [row["n"] for row in flow.rows(table)] == list(range(5))


def test_numbers_of_any_size_keep_every_digit(flow: Flow, table: str) -> None:
    rows = loaded(flow, table, {"n": 2**63, "m": 10**45, "k": 1}, {"n": -1, "m": 1, "k": -(2**63)})
    assert [(str(row["n"]), row["m"]) for row in rows] == [(str(2**63), str(10**45)), ("-1", "1")]
    assert flow.types(table).items() >= {"n": "numeric(19,0)", "m": "text"}.items()


def test_folders_overlays_and_links_of_a_kml_are_accounted_for(flow: Flow, table: str) -> None:
    place = "<Placemark><name>{}</name><Point><coordinates>{},50</coordinates></Point></Placemark>"
    folders = [f"<Folder><name>{name}</name>{place.format(name, n)}</Folder>" for n, name in enumerate("AB")]
    others = "<NetworkLink><name>n</name></NetworkLink><GroundOverlay/>" + place.format("c", "x")
    content = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{"".join(folders)}{others}</Document></kml>'
    job = flow.load(content, "folders.kml", table, max_reject_percent=60)
    assert [(row["folder"], row["name"], row["geom"].x) for row in flow.rows(table)] == [("A", "A", 0), ("B", "B", 1)]
    rejected = {"network_link": 1, "overlay": 1, "unreadable_geometry": 1}
    assert job["result_data"]["rows"]["rejected"] == rejected
