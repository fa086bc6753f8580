from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely

from services.vector.inspection.encoding import Encoding, csv_encoding, shapefile_encoding, xml_encoding
from services.vector.source import ReadOptions
from tests.services.vector.reading import write_text

GERMAN = "name,lat\nStraße,1\nKöln,2\nDüsseldorf Süd,3\n"
RUSSIAN = "name,lat\nулица,1\nМосква,2\nСанкт-Петербург,3\nЕкатеринбург,4\n"
JAPANESE = "name,lat\n東京都,1\n大阪府,2\n北海道,3\n山田太郎,4\n"


def judged(tmp_path: Path, text: str, written: str, taken: str, *, is_cut: bool = False) -> Encoding:
    return csv_encoding(write_text(tmp_path / "a.csv", text, written), ReadOptions(), taken, is_cut=is_cut)


@pytest.mark.parametrize(("written", "name"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16")])
def test_a_byte_order_mark_leaves_no_doubt(tmp_path: Path, written: str, name: str) -> None:
    assert judged(tmp_path, GERMAN, written, name) == Encoding(name, 1.0, "bom")


def test_what_the_request_says_leaves_no_doubt(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", GERMAN, "cp850")
    options = ReadOptions(converter_params={"encoding": "cp850"})
    assert csv_encoding(path, options, "cp850", is_cut=False) == Encoding("cp850", 1.0, "parameter")


def test_valid_utf8_is_hardly_anything_else(tmp_path: Path) -> None:
    assert judged(tmp_path, GERMAN, "utf-8", "utf-8") == Encoding("utf-8", 0.99, "content")


def test_ascii_may_go_on_otherwise_where_it_is_cut(tmp_path: Path) -> None:
    assert judged(tmp_path, "a,b\n1,2\n", "ascii", "utf-8").confidence == 1
    assert judged(tmp_path, "a,b\n1,2\n", "ascii", "utf-8", is_cut=True).confidence == 0.9


def test_german_in_cp1252_fits_but_might_be_a_neighbour(tmp_path: Path) -> None:
    assert judged(tmp_path, GERMAN, "cp1252", "cp1252") == Encoding("cp1252", 0.7, "content")


@pytest.mark.parametrize(
    ("text", "written", "taken", "suspected"),
    [
        (RUSSIAN, "cp1251", "cp1252", "cp1251"),
        (RUSSIAN, "koi8-r", "cp1252", "koi8_r"),
        (JAPANESE, "cp932", "latin-1", "cp932"),
    ],
)
def test_another_script_is_suspected(tmp_path: Path, text: str, written: str, taken: str, suspected: str) -> None:
    assert judged(tmp_path, text, written, taken) == Encoding(taken, 0.2, "content", suspected)


def shapefile(folder: Path, encoding: str, names: list[str]) -> Path:
    frame = geopandas.GeoDataFrame({"name": names}, geometry=[shapely.Point(n, n) for n in range(len(names))], crs=4326)
    path = folder / "a.shp"
    pyogrio.write_dataframe(frame, path, encoding=encoding)
    return path


def test_a_shapefile_declares_its_encoding(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "UTF-8", ["Köln"])
    assert shapefile_encoding(path, ReadOptions()) == Encoding("UTF-8", 1.0, "declaration")


def test_a_shapefile_that_declares_none_is_judged_by_its_records(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "CP1251", ["улица", "Москва", "Санкт-Петербург", "Екатеринбург"])
    path.with_suffix(".cpg").unlink()
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    table[29] = 0
    path.with_suffix(".dbf").write_bytes(table)
    assert shapefile_encoding(path, ReadOptions()) == Encoding("cp1252", 0.2, "content", "cp1251")


def test_a_cpg_that_nobody_understands_declares_nothing(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "UTF-8", ["Köln"])
    path.with_suffix(".cpg").write_text("Klingon")
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    table[29] = 0
    path.with_suffix(".dbf").write_bytes(table)
    assert shapefile_encoding(path, ReadOptions()) == Encoding("utf-8", 0.99, "content")


def test_xml_declares_its_encoding_or_is_utf8(tmp_path: Path) -> None:
    declared = write_text(tmp_path / "a.kml", '<?xml version="1.0" encoding="ISO-8859-1"?><kml/>')
    assert xml_encoding(declared) == Encoding("ISO-8859-1", 1.0, "declaration")
    assert xml_encoding(write_text(tmp_path / "b.kml", "<kml/>")) == Encoding("utf-8", 1.0, "format")
