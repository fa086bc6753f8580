import datetime as dt
import re
import zipfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pytest
import shapely

from tests.services.vector.reading import read, refusal, write_text

LAT_LON = {"lat_name": "lat", "lon_name": "lon"}
HEADER = ("name", "lat", "lon")


def workbook(path: Path, *rows: Sequence[Any], **sheets: Sequence[Sequence[Any]]) -> Path:
    """rows: of the first sheet. sheets: the rows of further ones."""
    book = openpyxl.Workbook()
    for title, content in {"Sheet": rows, **sheets}.items():
        sheet = book["Sheet"] if title == "Sheet" else book.create_sheet(title)
        for row in content:
            sheet.append(list(row))
    book.save(path)
    return path


def merged(path: Path, cells: str) -> Path:
    book = openpyxl.load_workbook(path)
    book["Sheet"].merge_cells(cells)
    book.save(path)
    return path


def rewritten(path: Path, member: str, edit: Callable[[bytes], bytes]) -> Path:
    """The workbook with one of its parts changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[member] = edit(parts[member])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_airports_written_by_pandas_come_back_value_by_value(tmp_path: Path) -> None:
    airports = pd.read_csv(Path(str(files("vega_datasets"))) / "_data/airports.csv")
    airports.to_excel(tmp_path / "a.xlsx", index=False)
    source = read(tmp_path / "a.xlsx", lat_name="latitude", lon_name="longitude")
    expected = gpd.points_from_xy(airports.longitude, airports.latitude)
    assert shapely.equals_identical(source.geometries, np.asarray(expected)).all()
    for column in ("iata", "name", "city", "state", "country"):
        values = [None if pd.isna(value) else value for value in airports[column]]
        assert source.table[column].to_pylist() == values
    assert source.table["latitude"].to_pylist() == airports.latitude.to_list()
    assert (source.source.driver, source.source.layer) == ("XLSX", "Sheet1")


def test_cells_of_every_kind_keep_their_meaning(tmp_path: Path) -> None:
    header = ("lat", "lon", "i", "f", "b", "when", "day", "time", "text", "code", "gap")
    when, day = dt.datetime(2020, 1, 2, 3, 4, 5), dt.date(2020, 1, 2)  # noqa: DTZ001
    row = (47.5, 8, 12, 0.1, True, when, day, dt.time(10, 30), "ü\nx", "00123", None)
    source = read(workbook(tmp_path / "a.xlsx", header, row), **LAT_LON)
    (found,) = source.table.to_pylist()
    assert found == {
        "lat": 47.5, "lon": 8.0, "i": "12", "f": "0.1", "b": "true", "when": "2020-01-02T03:04:05",
        "day": "2020-01-02T00:00:00", "time": "10:30:00", "text": "ü\nx", "code": "00123", "gap": None,
    }  # fmt: skip
    types = {column.name: column.type for column in source.plan.columns}
    assert types == {
        "lat": "double precision", "lon": "double precision", "i": "bigint", "f": "double precision", "b": "boolean",
        "when": "timestamp", "day": "timestamp", "time": "text", "text": "text", "code": "text", "gap": "text",
    }  # fmt: skip


def test_empty_rows_are_no_rows_and_empty_cells_are_null(tmp_path: Path) -> None:
    rows = ((), HEADER, (), ("a", 1, 2), (None, None, None), ("b", None, 4), ("c", 5), ())
    source = read(workbook(tmp_path / "a.xlsx", *rows), **LAT_LON)
    assert source.table["name"].to_pylist() == ["a", "b", "c"]
    assert source.reasons == [None, "null_geometry", "null_geometry"]


def test_the_header_may_stand_below_a_title(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("Stations 2024",), ("as of", "today"), HEADER, ("a", 1, 2))
    assert read(merged(path, "A1:C1"), **LAT_LON).table.to_pylist() == [{"name": "a", "lat": 1.0, "lon": 2.0}]


def test_merged_cells_have_one_value(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", 1, 2), ("gone", 3, 4))
    assert read(merged(path, "A2:A3"), **LAT_LON).table["name"].to_pylist() == ["a", None]


def test_names_of_columns_are_made_unique(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("lat", " lon ", None, "lat", None), (1, 2, "x", "y"))
    assert read(path, **LAT_LON).table.column_names == ["lat", "lon", "column_3", "lat_2"]


def test_a_value_beyond_the_header_is_refused(tmp_path: Path) -> None:
    error = refusal(workbook(tmp_path / "a.xlsx", HEADER, ("a", 1, 2), ("b", 3, 4, "lost")), **LAT_LON)
    assert (error.code, error.details) == ("malformed_sheet", {"row": 3, "expected_columns": 3})


def test_the_sheet_with_the_columns_is_taken(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("about", "this"), stations=[HEADER, ("a", 1, 2)], empty=[])
    source = read(path, **LAT_LON)
    assert (source.source.layer, source.wkb[0] is not None) == ("stations", True)


def test_several_sheets_with_the_columns_need_a_name(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", one=[HEADER, ("a", 1, 2)], two=[HEADER, ("b", 1, 2), ("c", 3, 4)])
    error = refusal(path, **LAT_LON)
    assert (error.code, error.details["layers"]) == ("layer_ambiguous", {"one": 1, "two": 2})
    assert read(path, **LAT_LON, layer_name="two").table["name"].to_pylist() == ["b", "c"]
    assert refusal(path, **LAT_LON, layer_name="three").code == "layer_not_found"


def test_columns_that_no_sheet_has_are_named_with_what_there_is(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("a", "b"), (1, 2), more=[("c",), (3,)])
    error = refusal(path, **LAT_LON)
    assert (error.code, error.parameter) == ("column_not_found", "lat_name")
    assert "Sheet: a, b; more: c" in error.message
    error = refusal(workbook(tmp_path / "b.xlsx", ("a", "lat"), (1, 2)), **LAT_LON)
    assert error.message == "column 'lon' not found; available: a, lat"


def test_the_values_of_formulas_are_read(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", "=1+1", 3))
    calculated = re.compile(rb"<f>1\+1</f><v ?/>|<f>1\+1</f><v></v>|<f>1\+1</f>")
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: calculated.sub(b"<f>1+1</f><v>2</v>", xml))
    assert read(path, **LAT_LON).geometries == [shapely.Point(3, 2)]


def test_formulas_that_were_never_calculated_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", 1, 2), ("b", "=B2+1", 2))
    assert refusal(path, **LAT_LON).code == "formula_without_value"


def test_a_formula_may_give_an_empty_text(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ('=""', 1, 2))
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'<c r="A2">', b'<c r="A2" t="str">'))
    assert read(path, **LAT_LON).table["name"].to_pylist() == [None]


def test_wkt_and_wkb_are_geometries_too(tmp_path: Path) -> None:
    point = shapely.Point(1, 2)
    path = workbook(tmp_path / "a.xlsx", ("n", "wkt", "wkb"), (1, point.wkt, point.wkb_hex), (2, None, None))
    for given in ({"wkt_column": "wkt"}, {"wkb_column": "wkb"}):
        assert read(path, **given).geometries == [point, None]


def test_coordinates_with_commas_are_read_when_they_are_announced(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", "47,5", 8.25))
    assert read(path, **LAT_LON).reasons == ["unreadable_coordinates"]
    assert read(path, **LAT_LON, converter_params={"decimal": ","}).geometries == [shapely.Point(8.25, 47.5)]


def test_projected_coordinates_need_a_crs(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", 5_200_000, 450_000))
    assert read(path, **LAT_LON).reasons == ["coordinates_out_of_range"]
    assert read(path, **LAT_LON, source_crs="EPSG:25832").geometries == [shapely.Point(450_000, 5_200_000)]


def test_a_workbook_that_tells_a_wrong_size_is_read_whole(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, *(("a", n, n) for n in range(20)))
    wrong = rb'<dimension ref="A1"/>'
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: re.sub(rb"<dimension[^>]*/>", wrong, xml))
    assert len(read(path, **LAT_LON).wkb) == 20


def test_an_empty_workbook_has_no_features(tmp_path: Path) -> None:
    assert refusal(workbook(tmp_path / "a.xlsx"), **LAT_LON).code == "no_features"
    assert read(workbook(tmp_path / "b.xlsx", HEADER), **LAT_LON).wkb == []


def test_entities_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", 1, 2))
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb">]>'
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: bomb + xml)
    assert refusal(path, **LAT_LON).code == "unreadable_file"


def test_a_workbook_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, ("a", 1, 2))
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", b" " * (80 << 20)))
    assert refusal(path, **LAT_LON).code == "archive_too_large"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_workbook_that_is_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, *(("a", n, n) for n in range(50)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    error = refusal(path, **LAT_LON)
    assert error.code == "unreadable_file"
    assert str(tmp_path) not in error.message


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", HEADER, *(("a", n, n) for n in range(50)))
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    assert refusal(path, **LAT_LON).code == "unreadable_file"


def test_other_content_is_no_xlsx(tmp_path: Path) -> None:
    assert refusal(write_text(tmp_path / "a.xlsx", "lat,lon\n1,2\n"), **LAT_LON).code == "content_mismatch"
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as archive:
        archive.writestr("a.csv", "lat,lon\n1,2\n")
    assert refusal(tmp_path / "b.xlsx", **LAT_LON).code == "content_mismatch"
