"""A listener on this machine hears nothing, whatever a file says about where its data are."""

import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import openpyxl
import pyogrio
import pytest

from core.errors import InvalidInput
from services.vector.converters import open_source
from services.vector.gdal_environment import SETTINGS
from services.vector.inspection.file import inspect_file
from services.vector.source import ReadOptions
from tests.faults.bad_inputs import GML_NAMESPACE, GPX, KML, PLACE, VRT, members

PLACED = ReadOptions(lat_name="lat", lon_name="lon")
GML = (
    '<c:C xmlns:c="http://a/c" xmlns:gml="{gml}" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://a/c {url}/a.xsd">'
    '<gml:featureMember><c:f><c:n>1</c:n><c:other xlink:href="{url}/b.gml#b"/><c:g><gml:Point srsName="EPSG:4326">'
    "<gml:pos>1 2</gml:pos></gml:Point></c:g></c:f></gml:featureMember></c:C>"
)
NETWORK_LINK = "<NetworkLink><Link><href>{url}/b.kml</href></Link></NetworkLink>"
STYLE = '<Style id="s"><IconStyle><Icon><href>{url}/a.png</href></Icon></IconStyle></Style>'
GROUND = "<GroundOverlay><Icon><href>{url}/a.png</href></Icon></GroundOverlay>"
SCHEMA = 'xsi:schemaLocation="http://www.opengis.net/kml/2.2 {url}/kml.xsd"'


class Listener:
    """Takes connections on a port of its own, and keeps the first bytes of each."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                self.heard.append(connection.recv(200))
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.server.close()


def texts(url: str) -> dict[str, tuple[str, str]]:
    """File name and text of each disguise."""
    vrt = VRT.format(f"/vsicurl/{url}/a.csv")
    passing = f"<!-- {GML_NAMESPACE} -->"
    kml, linked = KML.format(PLACE), KML.format(PLACE + NETWORK_LINK.format(url=url))
    dtd = f'<?xml version="1.0"?><!DOCTYPE kml SYSTEM "{url}/kml.dtd">'
    entity = f'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY a SYSTEM "{url}/a">]>'
    gml = GML.format(gml=GML_NAMESPACE, url=url)
    geojson = {"type": "FeatureCollection", "features": [], "crs": {"type": "link", "properties": {"href": f"{url}/a"}}}
    algorithm = {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read /vsicurl/{url}/a.csv"}
    service = f"<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>"
    return {
        **{
            f"VRT as {extension}": (f"a.{extension}", vrt)
            for extension in ("geojson", "kml", "gml", "gpkg", "gpx", "shp")
        },
        "VRT that passes for GML": ("a.gml", passing + vrt),
        "VRT as CSV": ("a.csv", vrt),
        "WFS as GML": ("a.gml", passing + service),
        "WFS by its address": ("a.geojson", f"WFS:{url}/wfs"),
        "GDALG": ("a.json", json.dumps(algorithm)),
        "address of a file": ("a.csv", f"/vsicurl/{url}/a.csv\n"),
        "network link": ("a.kml", linked),
        "icon": ("a.kml", KML.format(STYLE.format(url=url) + PLACE)),
        "overlay": ("a.kml", KML.format(GROUND.format(url=url) + PLACE)),
        "schema of a KML": ("a.kml", kml.replace("<kml ", f"<kml {SCHEMA.format(url=url)} ".replace("xsi:", ""))),
        "document type": ("a.kml", dtd + kml),
        "entity": ("a.kml", entity + kml.replace("<name>a", "<name>&a;")),
        "schema and link of a GML": ("a.gml", gml),
        "document type of a GML": ("a.gml", dtd.replace("kml", "gml") + gml),
        "link of a GPX": ("a.gpx", GPX.format(f'<wpt lat="1" lon="2"><link href="{url}/a"/></wpt>')),
        "CRS of a GeoJSON": ("a.geojson", json.dumps(geojson)),
        "CRS by its address": ("a.geojson", json.dumps(geojson).replace('"link"', '"name"').replace("href", "name")),
    }


def files(folder: Path, url: str) -> Iterator[tuple[str, Path]]:
    for name, (file, text) in texts(url).items():
        path = folder / name.replace(" ", "_") / file
        path.parent.mkdir()
        path.write_text(text)
        yield name, path
        if path.suffix in (".geojson", ".kml", ".gml", ".csv"):
            packed = path.with_name("packed.zip")
            pack(packed, {file: text.encode()})
            yield f"{name}, in a zip", packed
    yield "VRT in a zip", pack(folder / "vrt.zip", {"a.vrt": VRT.format(f"/vsicurl/{url}/a.csv").encode()})
    yield "network link in a kmz", pack(folder / "a.kmz", {"doc.kml": texts(url)["network link"][1].encode()})
    remote = f'PROJCS["a",EXTENSION["PROJ4","+proj=utm +zone=32 +nadgrids={url}/a.gsb"]]'.encode()
    yield "grid of a .prj", pack(folder / "grid.zip", members("shapefile") | {"a.prj": remote})
    yield "picture of a workbook", workbook(folder / "a.xlsx", url)


def pack(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def workbook(path: Path, url: str) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["lat", "lon", "far"])
    sheet.append([1, 2, f"='{url}/[b.xlsx]s'!A1"])
    book.save(path)
    return path


def test_nobody_is_asked(listener: Listener, tmp_path: Path) -> None:
    tried = []
    for name, path in files(tmp_path, listener.url):
        options = PLACED if path.suffix in (".csv", ".xlsx", ".zip") else ReadOptions()
        inspect_file(path, path.suffix, options, seconds=10)
        with suppress(InvalidInput), open_source(path, path.suffix, options) as source:
            list(source.batches())
        tried.append(name)
        assert listener.heard == [], name
    assert len(tried) > 30


def test_gdal_itself_asks_nobody(listener: Listener) -> None:
    for name in (
        f"/vsicurl/{listener.url}/a.geojson",
        f"{listener.url}/a.gpkg",
        f"/vsicurl_streaming/{listener.url}/a.shp",
    ):
        with pytest.raises(pyogrio.errors.DataSourceError):
            pyogrio.read_info(name)
    assert listener.heard == []


@pytest.mark.parametrize("name", ["VRT as geojson", "WFS by its address"])
def test_without_the_settings_they_would(listener: Listener, tmp_path: Path, name: str) -> None:
    file, text = texts(listener.url)[name]
    source = tmp_path / file
    source.write_text(text)
    given = text if text.startswith("WFS:") else str(source)
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    code = "import pyogrio, sys; pyogrio.read_dataframe(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", code, given]
    subprocess.run(command, env=environment, check=False, capture_output=True)
    assert listener.heard
