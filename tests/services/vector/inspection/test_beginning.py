"""The beginning of a large text is read as if the file ended there, behind a whole record."""

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from services.vector.inspection import beginning as module
from services.vector.inspection.beginning import beginning, is_large_text
from tests.services.vector.reading import feature, point, read, write_geojson, write_text

HEAD, TAIL = 4000, 300
TRICKY = 'a "quoted" ], { end }, {'


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", HEAD)
    monkeypatch.setattr(module, "TAIL_BYTES", TAIL)
    monkeypatch.setattr(module, "_KML_BYTES", HEAD)


def records(path: Path) -> Path:
    """Only what a fetch would bring is there."""
    content = path.read_bytes()
    path.write_bytes(content[:HEAD] + bytes(len(content) - HEAD - TAIL) + content[-TAIL:])
    assert is_large_text(path, path.suffix[1:])
    found = beginning(path, path.suffix[1:])
    assert found is not None
    assert found.stat().st_size <= HEAD + TAIL
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_csv_ends_behind_a_whole_row(tmp_path: Path, encoding: str) -> None:
    rows = [f'{n},"Straße\n""{n}"", x",{n / 10},{n / 20}' for n in range(1000)]
    path = write_text(tmp_path / "a.csv", "\n".join(["n,name,lat,lon", *rows]), encoding)
    options = {} if encoding == "utf-16" else {"converter_params": {"encoding": encoding}}
    table = read(records(path), lat_name="lat", lon_name="lon", **options).table
    assert 20 < table.num_rows < 1000
    assert table["n"].to_pylist() == [str(n) for n in range(table.num_rows)]
    assert table["name"].to_pylist() == [f'Straße\n"{n}", x' for n in range(table.num_rows)]


def features(count: int) -> list[dict[str, Any]]:
    return [feature(point(n / 10, n / 20), n=n, name=TRICKY, inner={"a": [1, {"b": "}"}]}) for n in range(count)]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_geojson_ends_behind_a_whole_feature(tmp_path: Path, indent: int | None) -> None:
    whole = {"type": "FeatureCollection", "name": TRICKY, "features": features(100)}
    path = write_text(tmp_path / "a.geojson", json.dumps(whole, indent=indent))
    found = read(records(path))
    assert found.table["n"].to_pylist() == list(range(len(found.wkb)))
    assert found.geometries[-1] == shapely.Point((len(found.wkb) - 1) / 10, (len(found.wkb) - 1) / 20)
    assert len(found.wkb) > 3


def test_what_stands_behind_the_features_of_a_geojson_counts(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}
    path = write_geojson(tmp_path / "a.geojson", *features(100), crs=crs)
    assert read(records(path)).source.crs_text == "EPSG:25832"


def test_a_kml_ends_behind_a_whole_placemark_in_its_folder(tmp_path: Path) -> None:
    place = "<k:Placemark><k:name>{}</k:name><k:Point><k:coordinates>{},2</k:coordinates></k:Point></k:Placemark>"
    inside = "<k:Folder><k:name>b</k:name>" + "".join(place.format(n, n / 10) for n in range(500)) + "</k:Folder>"
    path = write_text(
        tmp_path / "a.kml", f'<k:kml xmlns:k="http://www.opengis.net/kml/2.2"><k:Document>{inside}</k:Document></k:kml>'
    )
    found = read(records(path))
    assert found.table["Name"].to_pylist() == [str(n) for n in range(len(found.wkb))]
    assert 10 < len(found.wkb) < 500


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "lat,lon,text\n1,2," + "x" * 9000),
        ("a.geojson", '{"type": "FeatureCollection", "features": [{"type": "' + "x" * 9000),
        ("a.geojson", '{"a": ' + "[" * 9000),
        ("a.kml", "<kml><Document><Placemark><name>" + "x" * 9000),
        ("a.kml", "<kml></wrong>" + "x" * 9000),
    ],
)
def test_a_beginning_without_a_whole_record_is_none(tmp_path: Path, name: str, text: str) -> None:
    path = write_text(tmp_path / name, text)
    assert beginning(path, path.suffix[1:]) is None
