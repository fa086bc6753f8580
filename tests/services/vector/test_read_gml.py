import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from tests.services.vector.reading import Read, read, refusal, write_text

COUNTRIES = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
DOCUMENT = (
    '<?xml version="1.0"?><o:FeatureCollection xmlns:gml="http://www.opengis.net/gml" xmlns:o="http://example.org" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xlink="http://www.w3.org/1999/xlink"{}>{}'
    "</o:FeatureCollection>"
)
UTM = "urn:ogc:def:crs:EPSG::25832"


def member(n: object, layer: str = "road", crs: str | None = UTM, inside: str = "", geometry: str | None = None) -> str:
    name = f' srsName="{crs}"' if crs else ""
    geometry = geometry or f"<gml:Point{name}><gml:pos>450000 5200000</gml:pos></gml:Point>"
    feature = f"<o:n>{n}</o:n>{inside}<o:g>{geometry}</o:g>"
    return f'<gml:featureMember><o:{layer} fid="f.{n}">{feature}</o:{layer}></gml:featureMember>'


def gml(path: Path, *members: str, attributes: str = "") -> Path:
    return write_text(path, DOCUMENT.format(attributes, "".join(members)))


def typed(source: Read) -> dict[str, str]:
    return {column.source: column.type for column in source.plan.columns}


@pytest.mark.parametrize("flavour", ["GML2", "GML3", "GML3.2"])
def test_countries_written_by_gdal_come_back_value_by_value(tmp_path: Path, flavour: str) -> None:
    expected = pyogrio.read_dataframe(COUNTRIES)
    pyogrio.write_dataframe(expected, tmp_path / "a.gml", driver="GML", FORMAT=flavour)
    (tmp_path / "a.xsd").unlink()
    source = read(tmp_path / "a.gml")
    assert source.source.feature_count == len(expected)
    assert [name for name in source.table.column_names if name not in ("gml_id", "fid")] == [
        "pop_est", "continent", "name", "iso_a3", "gdp_md_est",
    ]  # fmt: skip
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "file")
    assert shapely.equals_exact(source.geometries, expected.geometry.to_numpy(), 1e-12).all()
    for column in ("name", "continent", "iso_a3"):
        assert source.table[column].to_pylist() == expected[column].to_list()
    assert list(map(int, source.table["pop_est"].to_pylist())) == expected["pop_est"].to_list()
    assert (typed(source)["pop_est"], typed(source)["name"]) == ("bigint", "text")


def test_numbers_that_are_none_stay_text(tmp_path: Path) -> None:
    inside = "<o:code>00123</o:code><o:big>123456789012345678901</o:big><o:at>2020-01-01T10:00:00Z</o:at>"
    source = read(gml(tmp_path / "a.gml", member(1, inside=inside)))
    assert (source.table["code"].to_pylist(), source.table["big"].to_pylist()) == (["00123"], ["123456789012345678901"])
    types = typed(source)
    assert (types["code"], types["big"], types["at"], types["n"]) == ("text", "text", "timestamptz", "bigint")


def test_the_order_of_axes_is_that_of_the_crs(tmp_path: Path) -> None:
    place = '<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>47 8</gml:pos></gml:Point>'
    source = read(gml(tmp_path / "a.gml", member(1, geometry=place)))
    assert source.geometries == [shapely.Point(8, 47)]


def test_arcs_come_linearised(tmp_path: Path) -> None:
    arc = "<gml:Arc><gml:posList>0 0 1 1 2 0</gml:posList></gml:Arc>"
    curve = f'<gml:Curve srsName="{UTM}"><gml:segments>{arc}</gml:segments></gml:Curve>'
    (line,) = read(gml(tmp_path / "a.gml", member(1, geometry=curve))).geometries
    assert (line.geom_type, len(line.coords) > 20) == ("LineString", True)


def test_repeated_elements_become_a_list(tmp_path: Path) -> None:
    source = read(gml(tmp_path / "a.gml", member(1, inside="<o:t>x</o:t><o:t>y</o:t>"), member(2)))
    assert source.table["t"].to_pylist() == [["x", "y"], None]
    assert typed(source)["t"] == "jsonb"


def test_several_layers_need_a_name(tmp_path: Path) -> None:
    path = gml(tmp_path / "a.gml", member(1), member(2, "river"), member(3))
    error = refusal(path)
    assert (error.code, error.details["layers"]) == ("layer_ambiguous", {"road": 2, "river": 1})
    assert read(path, layer_name="river").table["n"].to_pylist() == ["2"]
    assert refusal(path, layer_name="lake").code == "layer_not_found"


def test_a_gml_without_crs_needs_one(tmp_path: Path) -> None:
    path = gml(tmp_path / "a.gml", member(1, crs=None))
    assert refusal(path).code == "crs_missing"
    assert read(path, source_crs="EPSG:25832").source.crs_found_in == "parameter"


def test_geometries_in_several_crs_are_refused_whatever_is_given(tmp_path: Path) -> None:
    path = gml(tmp_path / "a.gml", member(1), member(2, crs="http://www.opengis.net/gml/srs/epsg.xml#25833"))
    error = refusal(path, source_crs="EPSG:25832")
    assert error.code == "mixed_crs"
    assert "EPSG:25832, EPSG:25833" in error.message


def test_a_geometry_that_gdal_cannot_read_does_not_end_the_table_early(tmp_path: Path) -> None:
    wrong = f'<gml:Point srsName="{UTM}"><gml:pos>here</gml:pos></gml:Point>'
    path = gml(tmp_path / "a.gml", member(1), member(2, geometry=wrong), member(3))
    error = refusal(path)
    assert error.code == "unreadable_file"
    assert "3 features, of which only 1" in error.message


def test_a_large_file_is_described_once(tmp_path: Path) -> None:
    path = gml(tmp_path / "a.gml", *(member(n, inside=f"<o:t>{'x' * 200}</o:t>") for n in range(40_000)))
    assert path.stat().st_size > 10 << 20
    source = read(path)
    assert source.table["n"].to_pylist() == [str(n) for n in range(40_000)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.gfs", "a.gml"]


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of an HTTP server, and what was asked of it."""
    paths: list[str] = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


def test_no_schema_and_no_link_is_fetched(tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    url, paths = asked
    describe = f"{url}/wfs?SERVICE=WFS&amp;VERSION=1.1.0&amp;REQUEST=DescribeFeatureType&amp;TYPENAME=o:road"
    location = f' xsi:schemaLocation="http://example.org {describe}"'
    link = f'<o:next xlink:href="{url}/next.gml#f"/>'
    path = gml(tmp_path / "a.gml", member(1, inside=link), attributes=location)
    path.write_text(
        path.read_text()
        .replace("o:FeatureCollection", "wfs:FeatureCollection")
        .replace("xmlns:o=", 'xmlns:wfs="http://www.opengis.net/wfs" xmlns:o=')
    )
    assert len(read(path).wkb) == 1
    assert paths == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (DOCUMENT.format("", ""), "no_features"),
        (DOCUMENT.format("", "<gml:featureMember><o:a><o:n>1</o:n></o:a></gml:featureMember>"), "no_spatial_layer"),
        (DOCUMENT.format("", member(1) * 500)[:-200], "unreadable_file"),
        (DOCUMENT.format("", member("a & b")), "unreadable_file"),
        ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + DOCUMENT[21:].format("", member("&b;")), "unsafe_xml"),
        ("<OGRVRTDataSource/>", "content_mismatch"),
        ("{}", "content_mismatch"),
    ],
)
def test_what_is_no_good_gml_is_refused(tmp_path: Path, content: str, code: str) -> None:
    error = refusal(write_text(tmp_path / "a.gml", content))
    assert error.code == code
    assert str(tmp_path) not in error.message


def test_every_feature_comes_once_and_in_order(tmp_path: Path) -> None:
    xy = np.random.default_rng(1).uniform(4e5, 5e5, (20_000, 2))
    frame = gpd.GeoDataFrame({"n": np.arange(len(xy))}, geometry=shapely.points(xy), crs=25832)
    pyogrio.write_dataframe(frame, tmp_path / "a.gml", driver="GML")
    source = read(tmp_path / "a.gml")
    assert [int(n) for n in source.table["n"].to_pylist()] == frame["n"].to_list()
    assert shapely.equals_exact(source.geometries, frame.geometry.to_numpy(), 1e-6).all()
