import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely

from tests.services.vector.reading import read, refusal, write_text

COUNTRIES = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
GPX = (
    '<?xml version="1.0" encoding="UTF-8"?><gpx version="1.1" creator="test" '
    'xmlns="http://www.topografix.com/GPX/1/1" xmlns:x="http://example.org">{}</gpx>'
)
WAYPOINT = '<wpt lat="{}" lon="{}"><ele>1.5</ele><name>{}</name></wpt>'
TRACK = '<trk><name>{}</name><trkseg><trkpt lat="1" lon="2"/><trkpt lat="3" lon="4"/></trkseg></trk>'
ROUTE = '<rte><name>{}</name><rtept lat="1" lon="2"><name>p</name></rtept><rtept lat="3" lon="4"/></rte>'

# Writes a GPX with GDAL's driver, which the app does not load, and reads it back with it.
BY_GDAL = """
import sys, warnings, pyogrio
warnings.simplefilter("ignore")
source, gpx, layer = sys.argv[1:]
frame = pyogrio.read_dataframe(source)[["name", "geometry"]]
frame["geometry"] = frame.representative_point() if layer == "waypoints" else frame.boundary
frame = frame.explode(ignore_index=True)
options = {"promote_to_multi": True} if layer == "tracks" else {}
pyogrio.write_dataframe(frame, gpx, driver="GPX", layer=layer, **options)
pyogrio.read_dataframe(gpx, layer=layer).to_parquet(gpx + ".parquet")
"""


def by_gdal(path: Path, layer: str) -> gpd.GeoDataFrame:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GDAL_")}
    subprocess.run([sys.executable, "-c", BY_GDAL, COUNTRIES, path, layer], env=environment, check=True)
    return gpd.read_parquet(f"{path}.parquet")


@pytest.mark.parametrize("layer", ["waypoints", "routes", "tracks"])
def test_what_gdal_writes_and_reads_is_what_is_read(tmp_path: Path, layer: str) -> None:
    path = tmp_path / "a.gpx"
    expected = by_gdal(path, layer)
    source = read(path)
    assert (source.source.layer, source.source.feature_count) == (layer, len(expected))
    assert source.table["name"].to_pylist() == expected["name"].to_list()
    # A track of one segment is a line here, and a multiline of one part to GDAL.
    wanted = expected.geometry.explode(ignore_index=True)
    assert shapely.equals_identical(source.geometries, wanted.to_numpy()).all()
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "format")


def test_attributes_keep_what_they_say(tmp_path: Path) -> None:
    inside = (
        "<ele> 12.5 </ele><time>2020-01-01T10:00:00+02:00</time><name>a &amp; b</name>"
        '<link href="http://a"><text>A</text></link><link href="http://b"/>'
        "<extensions><x:code>00123</x:code><x:big>123456789012</x:big><x:more><x:deep>1</x:deep></x:more>"
        "<x:tag>u</x:tag><x:tag>v</x:tag><x:empty/></extensions>"
    )
    source = read(write_text(tmp_path / "a.gpx", GPX.format(f'<wpt lat="47" lon="8">{inside}</wpt>')))
    assert source.table.to_pylist() == [
        {
            "ele": "12.5", "time": "2020-01-01T10:00:00+02:00", "name": "a & b", "link1_href": "http://a",
            "link1_text": "A", "link2_href": "http://b", "x_code": "00123", "x_big": "123456789012",
            "x_more_x_deep": "1", "x_tag": "u; v",
        }
    ]  # fmt: skip
    types = {column.source: column.type for column in source.plan.columns}
    assert (types["ele"], types["time"], types["x_code"], types["x_big"]) == (
        "double precision", "timestamptz", "text", "bigint",
    )  # fmt: skip


def test_coordinates_that_are_no_numbers_are_rejected_with_their_rows(tmp_path: Path) -> None:
    points = '<wpt lat="north" lon="8"/><wpt/><wpt lat="1" lon="2"/><wpt lat="1_0" lon="2"/><wpt lat="inf" lon="2"/>'
    source = read(write_text(tmp_path / "a.gpx", GPX.format(points)))
    assert source.reasons == ["unreadable_coordinates"] * 2 + [None] + ["unreadable_coordinates"] * 2
    assert source.geometries[2] == shapely.Point(2, 1)
    lines = TRACK.format("a") + TRACK.format("b").replace('lat="3"', 'lat="x"')
    source = read(write_text(tmp_path / "b.gpx", GPX.format(lines)))
    assert source.reasons == [None, "unreadable_coordinates"]


def test_segments_are_parts_and_single_points_are_none(tmp_path: Path) -> None:
    one = '<trkseg><trkpt lat="1" lon="2"/></trkseg>'
    two = '<trkseg><trkpt lat="1" lon="2"/><trkpt lat="3" lon="4"/></trkseg>'
    tracks = f"<trk>{two}{one}{two}</trk><trk>{one}</trk><trk/>"
    source = read(write_text(tmp_path / "a.gpx", GPX.format(tracks)))
    line = [(2, 1), (4, 3)]
    assert source.geometries == [shapely.MultiLineString([line, line]), None, None]
    assert source.reasons == [None, "empty_geometry", "empty_geometry"]


def test_several_layers_need_a_name(tmp_path: Path) -> None:
    content = WAYPOINT.format(1, 2, "w") * 3 + ROUTE.format("r") + TRACK.format("t")
    path = write_text(tmp_path / "a.gpx", GPX.format(content))
    error = refusal(path)
    assert (error.code, error.parameter) == ("layer_ambiguous", "layer_name")
    assert error.details["layers"] == {"waypoints": 3, "routes": 1, "tracks": 1, "route_points": 2, "track_points": 2}
    assert "waypoints (3 features)" in error.message
    assert read(path, layer_name="routes").table["name"].to_pylist() == ["r"]
    assert refusal(path, layer_name="points").code == "layer_not_found"


def test_points_of_a_track_are_a_layer_for_those_who_ask(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.gpx", GPX.format(TRACK.format("a") + TRACK.format("b")))
    assert read(path).source.layer == "tracks"
    source = read(path, layer_name="track_points")
    places = [(row["track_fid"], row["track_seg_id"], row["track_seg_point_id"]) for row in source.table.to_pylist()]
    assert places == [("0", "0", "0"), ("0", "0", "1"), ("1", "0", "0"), ("1", "0", "1")]
    assert source.geometries == [shapely.Point(2, 1), shapely.Point(4, 3)] * 2
    path = write_text(tmp_path / "b.gpx", GPX.format(ROUTE.format("r")))
    assert read(path, layer_name="route_points").table["name"].to_pylist() == ["p", None]


def test_a_prefix_for_the_namespace_changes_nothing(tmp_path: Path) -> None:
    content = (
        '<g:gpx xmlns:g="http://www.topografix.com/GPX/1/1"><g:wpt lat="1" lon="2"><g:name>a</g:name></g:wpt></g:gpx>'
    )
    source = read(write_text(tmp_path / "a.gpx", content))
    assert (source.table.to_pylist(), source.geometries) == ([{"name": "a"}], [shapely.Point(2, 1)])


def test_points_without_any_attribute_are_rows_too(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.gpx", GPX.format('<wpt lat="1" lon="2"/>' * 20_000)))
    assert (len(source.wkb), source.table.column_names) == (20_000, [])
    assert len(source.batches) == 3


def test_a_gpx_in_another_encoding_is_read(tmp_path: Path) -> None:
    content = GPX.replace("UTF-8", "ISO-8859-1").format(WAYPOINT.format(1, 2, "Zürich"))
    assert read(write_text(tmp_path / "a.gpx", content, "latin-1")).table["name"].to_pylist() == ["Zürich"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (GPX.format(""), "no_features"),
        (GPX.format(WAYPOINT.format(1, 2, "a") * 100)[:-30], "unreadable_file"),
        (GPX.format('<wpt lat="1" lon="2"><name>a & b</name></wpt>'), "unreadable_file"),
        (GPX.format("<wpt></gpx>"), "unreadable_file"),
        (GPX.replace("UTF-8", "klingon").format(""), "unreadable_file"),
        ('<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "b">]>' + GPX[38:].format(""), "unsafe_xml"),
        ("<kml/>", "content_mismatch"),
        ("lat,lon\n1,2\n", "content_mismatch"),
    ],
)
def test_what_is_no_good_gpx_is_refused(tmp_path: Path, content: str, code: str) -> None:
    error = refusal(write_text(tmp_path / "a.gpx", content))
    assert error.code == code
    assert str(tmp_path) not in error.message
