"""Files that must be refused, each with the code it is refused with: what partners send by mistake, and what attackers
would."""

import io
import json
import sqlite3
import stat
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import openpyxl
import pyogrio

from tests.faults.fuzz_files import PLACED, points, polygons, seeds, zipped

PARAMS = Mapping[str, Any]
GML_NAMESPACE = "http://www.opengis.net/gml"
VRT = (
    '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{}</SrcDataSource>'
    '<GeometryField encoding="PointFromColumns" x="lon" y="lat"/></OGRVRTLayer></OGRVRTDataSource>'
)
LOCAL_VRT, REMOTE_VRT = VRT.format("/etc/passwd"), VRT.format("/vsicurl/http://169.254.169.254/a.csv")
ZIPPED_VRT = VRT.format("/vsizip//tmp/a.zip/a.csv")
WFS = "<OGRWFSDataSource><URL>http://169.254.169.254/wfs</URL></OGRWFSDataSource>"
GDALG = json.dumps({"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read /etc/passwd"})
KML = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>'
PLACE = "<Placemark><name>a</name><Point><coordinates>1,2</coordinates></Point></Placemark>"
LINK = "<NetworkLink><Link><href>http://169.254.169.254/b.kml</href></Link></NetworkLink>"
DTD = "<!-- a --><!DOCTYPE kml SYSTEM 'http://169.254.169.254/kml.dtd'>"
GPX = '<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">{}</gpx>'
ENTITY = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
LAUGHS = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'
POINT = {"type": "Point", "coordinates": [1, 2]}


@dataclass(frozen=True)
class Bad:
    """name: of the file, whose extension counts. code: of the refusal, or of the job's failure."""

    name: str
    content: bytes
    code: str
    params: PARAMS = field(default_factory=dict)


def bad_inputs() -> dict[str, Bad]:
    return {
        **disguises(),
        **geojsons(),
        **delimited(),
        **archives(),
        **xmls(),
        **geopackages(),
        **others(),
    }


def disguises() -> dict[str, Bad]:
    """What would make GDAL read something else: none of it depends on what the file is called."""
    extensions = ("geojson", "json", "ndjson", "gpkg", "fgb", "parquet", "gml", "gpx", "kml", "kmz", "zip")
    named = {f"a VRT called .{e}": Bad(f"a.{e}", LOCAL_VRT.encode(), "content_mismatch") for e in extensions}
    passing = f"<!-- {GML_NAMESPACE} -->"
    return named | {
        "a VRT called .shp": Bad("a.shp", LOCAL_VRT.encode(), "sidecar_missing"),
        "a VRT called .xlsx": Bad("a.xlsx", LOCAL_VRT.encode(), "content_mismatch", PLACED),
        "a VRT called .csv": Bad("a.csv", LOCAL_VRT.encode(), "column_not_found", PLACED),
        "a VRT that passes for a GML": Bad("a.gml", (passing + REMOTE_VRT).encode(), "no_features"),
        "a VRT over an archive that passes for a GML": Bad("a.gml", (passing + ZIPPED_VRT).encode(), "no_features"),
        "a VRT in a zip": Bad("a.zip", zipped({"a.vrt": LOCAL_VRT.encode()}), "archive_without_data"),
        "a VRT called .geojson in a zip": Bad("a.zip", zipped({"a.geojson": LOCAL_VRT.encode()}), "content_mismatch"),
        "a VRT called .kml in a kmz": Bad("a.kmz", zipped({"doc.kml": REMOTE_VRT.encode()}), "content_mismatch"),
        "a WFS called .gml": Bad("a.gml", WFS.encode(), "content_mismatch"),
        "a WFS that passes for a GML": Bad("a.gml", (passing + WFS).encode(), "unreadable_file"),
        "a GDALG called .json": Bad("a.json", GDALG.encode(), "unreadable_file"),
        "a GDALG called .geojson in a zip": Bad("a.zip", zipped({"a.geojson": GDALG.encode()}), "unreadable_file"),
        "a shapefile called .gpkg": Bad("a.gpkg", shapefile()["a.shp"], "content_mismatch"),
        "a GeoPackage called .geojson": Bad("a.geojson", seeds()["gpkg"].content, "content_mismatch"),
        "a GeoPackage called .csv": Bad("a.csv", seeds()["gpkg"].content, "content_mismatch", PLACED),
        "a picture called .kml": Bad("a.kml", b"\x89PNG\r\n\x1a\n" + bytes(100), "content_mismatch"),
        "a program called .csv": Bad("a.csv", b"\x7fELF\x02\x01\x01" + bytes(100), "content_mismatch", PLACED),
        "a web page called .geojson": Bad("a.geojson", b"<!DOCTYPE html><html></html>", "content_mismatch"),
        "a Word document called .xlsx": Bad(
            "a.xlsx", zipped({"word/document.xml": b"<w/>"}), "content_mismatch", PLACED
        ),
    }


def geojsons() -> dict[str, Bad]:
    whole = collection({"n": 1}, {"n": 2}, {"n": 3})
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    wide = collection({f"p{n}": n for n in range(2000)})
    cases: dict[str, tuple[bytes, str]] = {
        "a GeoJSON that is cut in a feature": (whole[:-40], "unreadable_file"),
        "a GeoJSON that is cut behind a feature": (whole[:-2], "unreadable_file"),
        "a GeoJSON with something behind its end": (whole + b"}", "unreadable_file"),
        "two GeoJSON in one file": (whole + whole, "unreadable_file"),
        "a GeoJSON of spaces": (b" " * 100, "unreadable_file"),
        "a GeoJSON that is an empty object": (b"{}", "unreadable_file"),
        "a GeoJSON whose features are none": (b'{"type":"FeatureCollection","features":7}', "unreadable_file"),
        "a GeoJSON of an unknown type": (b'{"type":"Topology","objects":{}}', "unreadable_file"),
        "an Esri JSON": (b'{"geometryType":"esriGeometryPoint","features":[{"geometry":{"x":1}}]}', "unreadable_file"),
        "a GeoJSON without features": (collection(), "no_features"),
        "a GeoJSON with a bare word": (whole.replace(b"2}", b"two}"), "unreadable_file"),
        "a GeoJSON in which a quote is missing": (whole.replace(b'"n"', b'"n', 1), "unreadable_file"),
        "a GeoJSON that is not UTF-8": (whole.replace(b'"n"', b'"\xe4"'), "unreadable_file"),
        "a GeoJSON that is nested too deeply": (
            collection({}).replace(b'"properties": {}', b'"properties":' + deep),
            "nested_too_deeply",
        ),
        "a GeoJSON with more properties than columns": (wide, "too_many_columns"),
        "a GeoJSON in a CRS that nobody knows": (collection({}, crs=crs_of("EPSG:999999")), "unknown_crs"),
        "a GeoJSON in a CRS from a link": (
            collection({}, crs={"type": "link", "properties": {"href": "http://169.254.169.254/crs"}}),
            "unknown_crs",
        ),
        "a GeoJSON of heights": (collection({}, crs=crs_of("EPSG:5703")), "invalid_crs"),
        "a GeoJSON without geometries": (collection({}, geometry=None), "no_usable_features"),
        "a GeoJSON of NaN": (
            collection({}, geometry={**POINT, "coordinates": [float("nan"), 1]}),
            "no_usable_features",
        ),
        "a GeoJSON of infinite numbers": (collection({}).replace(b"[1, 2]", b"[1e999, 2]"), "no_usable_features"),
        "a GeoJSON in metres that says nothing": (
            collection({}, geometry={**POINT, "coordinates": [500000, 5600000]}),
            "no_usable_features",
        ),
        "a GeoJSON of geometries that are none": (
            collection({}, geometry={"type": "Circle", "coordinates": [1, 2]}),
            "no_usable_features",
        ),
        "a GeoJSON of coordinates that are texts": (
            collection({}, geometry={**POINT, "coordinates": ["1", "2"]}),
            "no_usable_features",
        ),
        "a GeoJSON of points and lines": (
            collection({}, {}).replace(
                b'"Point", "coordinates": [1, 2]', b'"LineString", "coordinates": [[1, 2], [3, 4]]', 1
            ),
            "mixed_geometry_types",
        ),
    }
    lines = b'{"type":"Feature","properties":{},"geometry":null}\n'
    return {name: Bad("a.geojson", content, code) for name, (content, code) in cases.items()} | {
        "NDJSON with a line that is none": Bad("a.ndjson", lines + b"nothing\n" + lines, "unreadable_file"),
        "a GeoJSON half of which is rejected": Bad(
            "a.geojson", collection({}, {}).replace(json.dumps(POINT).encode(), b"null", 1), "too_many_rejects"
        ),
        "a GeoJSON that has no such layer": Bad("a.geojson", whole, "layer_not_found", {"layer_name": "roads"}),
    }


def delimited() -> dict[str, Bad]:
    rows = b"name,lat,lon\na,1,2\nb,3,4\n"
    quoted = {**PLACED, "converter_params": {"quote": '"'}}
    wkt = {"wkt_column": "shape"}
    return {
        "a CSV of spaces": Bad("a.csv", b"  \n \n", "column_not_found", PLACED),
        "a CSV with nothing but a header": Bad("a.csv", b"name,lat,lon\n", "no_features", PLACED),
        "a CSV without the columns": Bad("a.csv", b"name,x,y\na,1,2\n", "column_not_found", PLACED),
        "a CSV with a row too long": Bad("a.csv", rows + b"c,5,6,7\n", "malformed_csv", PLACED),
        "a CSV with a row too short": Bad("a.csv", rows + b"c,5\n", "malformed_csv", PLACED),
        "a CSV whose quote never ends": Bad("a.csv", rows + b'"c,5,6\nd,7,8\n', "malformed_csv", quoted),
        "a CSV in another encoding than is said": Bad(
            "a.csv", rows + b"\xe4\xff,5,6\n", "invalid_parameter", {**PLACED, "encoding": "utf-8"}
        ),
        "a CSV of words for numbers": Bad("a.csv", b"lat,lon\nnorth,east\n", "no_usable_features", PLACED),
        "a CSV in metres that says nothing": Bad("a.csv", b"lat,lon\n5600000,500000\n", "no_usable_features", PLACED),
        "a CSV of WKT that is none": Bad("a.csv", b"shape\nnowhere\nPOINT (1\n", "no_usable_features", wkt),
        "a CSV of WKT in metres that says nothing": Bad(
            "a.csv", b"shape\nPOINT (500000 5600000)\n", "crs_missing", wkt
        ),
        "a CSV of WKB that is none": Bad("a.csv", b"shape\n0101\nxyz\n", "no_usable_features", {"wkb_column": "shape"}),
        "a CSV of two SRIDs": Bad(
            "a.csv",
            b"shape\n" + b"SRID=4326;POINT (1 2)\n" + b"SRID=25832;POINT (1 2)\n" * 9,
            "too_many_rejects",
            wkt,
        ),
        "a CSV of empty geometries": Bad("a.csv", b"shape\nPOINT EMPTY\n", "no_usable_features", wkt),
        "a CSV of another planet": Bad("a.csv", rows, "invalid_crs", {**PLACED, "source_crs": "ESRI:104905"}),
        "a CSV in a CRS that nobody knows": Bad("a.csv", rows, "invalid_crs", {**PLACED, "source_crs": "EPSG:999999"}),
        "a CSV with an index on no column": Bad(
            "a.csv", rows, "column_not_found", {**PLACED, "indexes": {"attributes": ["day"]}}
        ),
        "a CSV dated by a text": Bad("a.csv", rows, "not_temporal", {**PLACED, "temporal_property": "name"}),
        "a TSV with nothing but a header": Bad("a.tsv", b"lat\tlon\n", "no_features", PLACED),
        "a TSV with a row too long": Bad("a.tsv", b"lat\tlon\n1\t2\t3\n", "malformed_csv", PLACED),
    }


def archives() -> dict[str, Bad]:
    inner = collection({"n": 1})
    parts = shapefile()
    outside = ("../a.geojson", "/a.geojson", "x/../../a.geojson", "C:/a.geojson", "..\\a.geojson")
    slips = {f"a zip with {n}": Bad("a.zip", zipped({n: inner}), "unsafe_archive") for n in outside}
    without = {
        ".dbf": "sidecar_missing",
        ".prj": "crs_missing",
    }
    lacking = {
        f"a shapefile without its {suffix}": Bad("a.zip", zipped(leaving_out(parts, suffix)), code)
        for suffix, code in without.items()
    }
    long_name = "a" * 300 + ".geojson"
    return (
        slips
        | lacking
        | {
            "a zip with a link": Bad("a.zip", linked("a.geojson", "/etc/passwd"), "unsafe_archive"),
            "a zip in a zip": Bad("a.zip", zipped({"a.geojson": inner, "b.zip": b"PK"}), "unsafe_archive"),
            "a tar in a zip": Bad("a.zip", zipped({"a.geojson": inner, "b.tar.gz": b"\x1f\x8b"}), "unsafe_archive"),
            "a zip that is encrypted": Bad("a.zip", encrypted(zipped({"a.geojson": inner})), "unsafe_archive"),
            "a zip that unpacks to a thousand times its size": Bad(
                "a.zip", zipped({"a.geojson": bytes(200 << 20)}), "archive_too_large"
            ),
            "a zip of too many files": Bad(
                "a.zip", zipped({f"{n}.txt": b"" for n in range(20_000)} | {"a.geojson": inner}), "archive_too_large"
            ),
            "a zip that lies about its size": Bad(
                "a.zip", understated(zipped({"a.geojson": inner * 99})), "unreadable_file"
            ),
            "a zip that is cut": Bad("a.zip", zipped(parts)[:-30], "unreadable_file"),
            "a zip whose bytes are damaged": Bad(
                "a.zip", damaged(zipped({"a.csv": b"lat,lon\n" + b"1,2\n" * 9999})), "unreadable_file", PLACED
            ),
            "a zip of nothing": Bad("a.zip", zipped({}), "archive_without_data"),
            "a zip without data": Bad("a.zip", zipped({"readme.txt": b"x"}), "archive_without_data"),
            "a zip of two data sets": Bad(
                "a.zip", zipped({"a.geojson": inner, "b.geojson": inner}), "archive_ambiguous"
            ),
            "a zip of a file with an endless name": Bad("a.zip", zipped({long_name: inner + b"x"}), "unreadable_file"),
            "a zip of a CSV that nobody described": Bad(
                "a.zip", zipped({"a.csv": b"x,y\n1,2\n"}), "geometry_columns_missing"
            ),
            "a zip of a file without a name": Bad("a.zip", zipped({"": inner}), "archive_without_data"),
            "a zip of a folder of spaces": Bad("a.zip", zipped({" /": b""}), "archive_without_data"),
            "a kmz without a kml": Bad("a.kmz", zipped({"a.png": b"x"}), "archive_without_data"),
            "a shapefile whose .dbf is cut": Bad(
                "a.zip", zipped(parts | {"a.dbf": parts["a.dbf"][:200]}), "unreadable_file"
            ),
            "a shapefile whose .shp is cut": Bad(
                "a.zip", zipped(parts | {"a.shp": parts["a.shp"][:200]}), "unreadable_file"
            ),
            "a shapefile with the .shx of another": Bad(
                "a.zip", zipped(parts | {"a.shx": parts["a.shx"][:-8]}), "unreadable_file"
            ),
            "a shapefile with the .dbf of another": Bad(
                "a.zip", zipped(parts | {"a.dbf": shapefile(5)["a.dbf"]}), "unreadable_file"
            ),
            "a shapefile with a .prj of nonsense": Bad(
                "a.zip", zipped(parts | {"a.prj": b"UTM, I think"}), "crs_missing"
            ),
            "a shapefile on its own": Bad("a.shp", parts["a.shp"], "sidecar_missing"),
            "a geodatabase without its catalogue": Bad(
                "a.gdb.zip", zipped(leaving_out(members("geodatabase"), "1.gdbtable")), "archive_without_data"
            ),
        }
    )


def xmls() -> dict[str, Bad]:
    kml, gml, gpx = KML.format(PLACE * 3), seeds()["gml"].content.decode(), GPX.format('<wpt lat="1" lon="2"/>')
    cases = {
        "a KML with an outer entity": ("kml", ENTITY + kml, "unsafe_xml"),
        "a KML of a billion laughs": ("kml", LAUGHS + kml, "unsafe_xml"),
        "a KML with a DTD behind a comment": ("kml", DTD + kml, "unsafe_xml"),
        "a KML that is cut": ("kml", kml[:-30], "unreadable_file"),
        "a KML with a stray &": ("kml", kml.replace("<name>a", "<name>a & b"), "unreadable_file"),
        "a KML in an encoding that nobody knows": (
            "kml",
            '<?xml version="1.0" encoding="klingon"?>' + kml,
            "unreadable_file",
        ),
        "a KML without placemarks": ("kml", KML.format(""), "no_features"),
        "a KML of nothing but a link": ("kml", KML.format(LINK), "no_usable_features"),
        "a KML whose coordinates are words": (
            "kml",
            KML.format(PLACE.replace("1,2", "here,there")),
            "no_usable_features",
        ),
        "a GML with an outer entity": ("gml", ENTITY + gml.partition("?>")[2], "unsafe_xml"),
        "a GML that is cut": ("gml", gml[: len(gml) // 2], "unreadable_file"),
        "a GML of another language": ("gml", "<html/>", "content_mismatch"),
        "a GPX with an outer entity": ("gpx", ENTITY + gpx, "unsafe_xml"),
        "a GPX that is cut": ("gpx", gpx[:-10], "unreadable_file"),
        "a GPX of nothing": ("gpx", GPX.format(""), "no_features"),
        "a GPX of nowhere": ("gpx", GPX.format('<wpt lat="a" lon="b"/>'), "no_usable_features"),
    }
    return {name: Bad(f"a.{ext}", text.encode(), code) for name, (ext, text, code) in cases.items()} | {
        "a kmz with an outer entity": Bad("a.kmz", zipped({"doc.kml": (ENTITY + kml).encode()}), "unsafe_xml"),
    }


def geopackages() -> dict[str, Bad]:
    whole = seeds()["gpkg"].content
    return {
        "an SQLite file that is no GeoPackage": Bad("a.gpkg", sqlite("CREATE TABLE a (b)"), "unreadable_file"),
        "a GeoPackage that is cut": Bad("a.gpkg", whole[: len(whole) // 2], "unreadable_file"),
        "nothing but the head of a GeoPackage": Bad("a.gpkg", whole[:100], "unreadable_file"),
        "a GeoPackage of two layers": Bad("a.gpkg", layers("roads", "rivers"), "layer_ambiguous"),
        "a GeoPackage without that layer": Bad("a.gpkg", whole, "layer_not_found", {"layer_name": "roads"}),
        "a GeoPackage without geometries": Bad("a.gpkg", written(table_only, ".gpkg"), "no_spatial_layer"),
        "a GeoPackage without features": Bad("a.gpkg", written(without_rows, ".gpkg"), "no_features"),
        "a GeoPackage without a CRS": Bad("a.gpkg", written(without_crs, ".gpkg"), "crs_missing"),
    }


def others() -> dict[str, Bad]:
    fgb, parquet, xlsx = (seeds()[name].content for name in ("fgb", "parquet", "xlsx"))
    return {
        "a FlatGeobuf that is cut": Bad("a.fgb", fgb[:-100], "unreadable_file"),
        "nothing but the head of a FlatGeobuf": Bad("a.fgb", fgb[:8], "unreadable_file"),
        "a Parquet that is cut": Bad("a.parquet", parquet[:-100], "unreadable_file"),
        "a Parquet without geometries": Bad(
            "a.parquet", written(plain_parquet, ".parquet"), "geometry_columns_missing"
        ),
        "a Parquet whose middle is noise": Bad(
            "a.parquet", parquet[:20] + bytes(200) + parquet[220:], "unreadable_file"
        ),
        "a workbook that is cut": Bad("a.xlsx", xlsx[: len(xlsx) // 2], "unreadable_file", PLACED),
        "a workbook without those columns": Bad("a.xlsx", workbook(["x", "y"], [1, 2]), "column_not_found", PLACED),
        "a workbook of nothing": Bad("a.xlsx", workbook(), "no_features", PLACED),
        "a workbook of formulas without values": Bad(
            "a.xlsx", workbook(["lat", "lon"], ["=1+1", "=2+2"]), "formula_without_value", PLACED
        ),
        "a workbook with a value beyond its header": Bad(
            "a.xlsx", workbook(["lat", "lon"], [1, 2, 3]), "malformed_sheet", PLACED
        ),
        "an old workbook": Bad("a.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "content_mismatch", PLACED),
    }


def collection(*properties: Any, geometry: Any = POINT, **members: Any) -> bytes:
    features = [{"type": "Feature", "properties": each, "geometry": geometry} for each in properties]
    return json.dumps({"type": "FeatureCollection", **members, "features": features}).encode()


def crs_of(name: str) -> Any:
    return {"type": "name", "properties": {"name": name}}


def members(seed: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(seeds()[seed].content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def shapefile(rows: int | None = None) -> dict[str, bytes]:
    if rows is None:
        return members("shapefile")
    with tempfile.TemporaryDirectory() as folder:
        pyogrio.write_dataframe(polygons(rows)[["name", "geometry"]], Path(folder) / "a.shp")
        return {part.name: part.read_bytes() for part in Path(folder).iterdir()}


def leaving_out(parts: Mapping[str, bytes], end: str) -> dict[str, bytes]:
    return {name: content for name, content in parts.items() if not name.endswith(end)}


def linked(name: str, target: str) -> bytes:
    content, link = io.BytesIO(), zipfile.ZipInfo(name)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(link, target)
    return content.getvalue()


def encrypted(archive: bytes) -> bytes:
    """Bit 0 of the flags, in the local header and in the directory (APPNOTE 4.4.4)."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def understated(archive: bytes) -> bytes:
    """The directory says that the member has 10 bytes unpacked (APPNOTE 4.3.12)."""
    at = archive.index(b"PK\x01\x02") + 24
    return archive[:at] + (10).to_bytes(4, "little") + archive[at + 4 :]


def damaged(archive: bytes) -> bytes:
    return archive[:60] + bytes(20) + archive[80:]


def sqlite(*statements: str) -> bytes:
    with sqlite3.connect(":memory:") as database:
        for statement in statements:
            database.execute(statement)
        return database.serialize()


def written(write: Callable[[Path], object], suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write(path)
        return path.read_bytes()


def layers(*names: str) -> bytes:
    def write(path: Path) -> None:
        for name in names:
            pyogrio.write_dataframe(points(3), path, layer=name)

    return written(write, ".gpkg")


def table_only(path: Path) -> None:
    pyogrio.write_dataframe(points(3).drop(columns="geometry"), path)


def without_rows(path: Path) -> None:
    pyogrio.write_dataframe(points(3).iloc[:0], path, geometry_type="Point")


def without_crs(path: Path) -> None:
    pyogrio.write_dataframe(geopandas.GeoDataFrame(points(3)).set_crs(None, allow_override=True), path)


def plain_parquet(path: Path) -> None:
    points(3).drop(columns="geometry").to_parquet(path)


def workbook(*rows: list[Any]) -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.save(content)
    return content.getvalue()
