import csv
import io
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.vector.csv_dialect import CSV_DELIMITERS, TSV_DELIMITERS, Dialect, detect_dialect
from services.vector.geometry import prepare_geometries
from tests.services.vector.reading import Read, read, refusal, write_text

LAT_LON = {"lat_name": "lat", "lon_name": "lon"}


def dialect(text: str, groups: tuple[str, ...] = CSV_DELIMITERS) -> Dialect:
    return detect_dialect(text, groups)


def typed(source: Read) -> dict[str, str]:
    return {column.source: column.type for column in source.plan.columns}


TEXT = st.text(st.sampled_from("aäZ 09,;\t|\"'\n."), min_size=1, max_size=8)
NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=2, max_size=5, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], str]:
    names = draw(NAMES)
    rows = draw(st.lists(st.lists(TEXT, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    return [names, *rows], draw(st.sampled_from(",;\t|"))


@given(tables(), st.sampled_from(['"', "'"]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_python_writes_in_full_quotes_is_recognized(table: tuple[list[list[str]], str], quote: str) -> None:
    records, delimiter = table
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_ALL).writerows(records)
    found = dialect(text.getvalue())
    assert (found.delimiter, found.quote, list(found.header)) == (delimiter, quote, records[0])


@given(tables())
@settings(deadline=None)
def test_a_table_of_plain_values_is_recognized(table: tuple[list[list[str]], str]) -> None:
    records, delimiter = table
    assume(not any(mark in value for row in records[1:] for value in row for mark in ",;\t|\"'\n"))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(records)
    found = dialect(text.getvalue())
    assert (found.delimiter, found.quote, list(found.header)) == (delimiter, '"', records[0])


@pytest.mark.parametrize(
    ("text", "delimiter", "quote"),
    [
        ("a;b, c\n1;2\n", ";", '"'),
        ("wkt\nLINESTRING (0 0, 1 1)\n", ";", '"'),
        ('wkt\n"LINESTRING (0 0, 1 1)"\n', ",", '"'),
        ("a,b\n'x, y',1\n", ",", "'"),
        ("a,b\n'tis,1\nl'été,2\n", ",", '"'),
        ("'a','b'\n1,2\n", ",", "'"),
        ("a,b\n1,2,3\n4,5\n", ",", '"'),
        ("sep=|\r\na|b,c,d\r\n1|2\r\n", "|", '"'),
        ("a\n", ",", '"'),
    ],
)
def test_the_rows_help_to_understand_the_header(text: str, delimiter: str, quote: str) -> None:
    found = dialect(text)
    assert (found.delimiter, found.quote) == (delimiter, quote)


def test_a_tsv_has_tabs_where_it_has_any() -> None:
    assert dialect("a\tb,c,d\n1\t2,3,4\n", TSV_DELIMITERS).delimiter == "\t"
    assert dialect("a;b\n1;2\n", TSV_DELIMITERS).delimiter == ";"


@pytest.mark.parametrize(
    ("values", "decimal"),
    [
        (["12,5"], ","),
        (["12,5", "-0,25", "3"], ","),
        (["12,5", "1.234"], ","),
        (["12,5", "1.5"], "."),
        (["1,234"], "."),
        (["1,234", "12,345"], "."),
        (["1,234,567"], "."),
        (["a, b"], "."),
        (["POINT (1,5 2,5)"], "."),
    ],
)
def test_a_decimal_comma_is_taken_where_nothing_else_can_be_meant(values: list[str], decimal: str) -> None:
    assert dialect("a;b\n" + "".join(f"{value};x\n" for value in values)).decimal == decimal


@pytest.mark.parametrize(
    ("row", "decimal"),
    [
        ("47.123;8.456;12,5", "."),
        ("47,123;8,456;330.224", ","),
        ("47,123;8,456;1.5", ","),
        ("47;8;12,5", ","),
        ("47;8;1,234", "."),
    ],
)
def test_coordinates_decide_about_the_decimal_sign(row: str, decimal: str) -> None:
    assert detect_dialect(f"lat;lon;x\n{row}\n", CSV_DELIMITERS, coordinates=("lat", "lon")).decimal == decimal


def test_a_german_table_is_read_without_a_word_about_it(tmp_path: Path) -> None:
    text = (
        "name;lat;lon;fläche;einwohner;datum;plz\nBonn;50,73;7,1;141,06;330.224;01.02.2020;01067\nX;-1;2;0,5;1.000;;\n"
    )
    source = read(write_text(tmp_path / "a.csv", text, "cp1252"), **LAT_LON)
    assert source.geometries == [shapely.Point(7.1, 50.73), shapely.Point(2, -1)]
    assert source.table["fläche"].to_pylist() == ["141.06", "0.5"]
    types = typed(source)
    # Groups of thousands could be decimals to somebody else: they stay what they are.
    assert (types["fläche"], types["einwohner"], types["plz"]) == ("double precision", "text", "text")
    assert source.table["einwohner"].to_pylist() == ["330.224", "1.000"]


def test_a_column_with_one_word_among_its_commas_stays_text(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", "lat;lon;a;b\n1,5;2;1,5;7\n1,5;2;n/a;8,5\n"), **LAT_LON)
    assert source.table.select(["a", "b"]).to_pylist() == [{"a": "1,5", "b": "7"}, {"a": "n/a", "b": "8.5"}]
    assert (typed(source)["a"], typed(source)["b"]) == ("text", "double precision")


def test_a_decimal_comma_between_commas_has_to_be_announced(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", 'lat,lon,h\n"47,5","8,25","1,5"\n')
    assert read(path, **LAT_LON).reasons == ["unreadable_coordinates"]
    source = read(path, **LAT_LON, converter_params={"decimal": ","})
    assert (source.geometries, source.table["h"].to_pylist()) == ([shapely.Point(8.25, 47.5)], ["1.5"])


def test_a_point_in_a_number_with_commas_is_no_decimal_sign(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "lat;lon\n5.200.000,5;450.000\n5200000,5;450000\n")
    source = read(path, **LAT_LON, source_crs="EPSG:25832", converter_params={"decimal": ","})
    assert source.reasons == ["unreadable_coordinates", None]


def test_single_quotes_are_taken_off(tmp_path: Path) -> None:
    text = "'lat','lon','name'\n'1','2','it''s, \"so\"'\n'3','4','x\ny'\n"
    source = read(write_text(tmp_path / "a.csv", text), **LAT_LON)
    assert source.table["name"].to_pylist() == ['it\'s, "so"', "x\ny"]
    given = read(write_text(tmp_path / "b.csv", "lat,lon,name\n1,2,'x'\n"), **LAT_LON, converter_params={"quote": "'"})
    assert given.table["name"].to_pylist() == ["x"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_byte_order_marks_are_no_part_of_a_name(tmp_path: Path, encoding: str, suffix: str) -> None:
    text = "lat\tlon\tname\r\n1\t2\tЖ\r\n"
    source = read(write_text(tmp_path / f"a.{suffix}", text, encoding), **LAT_LON)
    assert source.table.to_pylist() == [{"lat": 1.0, "lon": 2.0, "name": "Ж"}]


def test_a_line_for_excel_is_no_header(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", "sep=;\nlat;lon\n1;2\n"), **LAT_LON)
    assert source.table.to_pylist() == [{"lat": 1.0, "lon": 2.0}]


@pytest.mark.parametrize("text", [" ", "\n\n", "\n \n"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(write_text(tmp_path / "a.csv", text), **LAT_LON).code in ("malformed_csv", "column_not_found")


@pytest.mark.parametrize("options", [{"wkt_column": "g"}, {"wkb_column": "g"}])
def test_wkb_in_hexadecimal_is_read_beside_wkt(tmp_path: Path, options: dict[str, Any]) -> None:
    point = shapely.Point(1, 2)
    big = shapely.to_wkb(point, hex=True, byte_order=0)
    texts = [point.wkt, point.wkb_hex, point.wkb_hex.lower(), big, f"\\x{point.wkb_hex}", f"0x{point.wkb_hex}", ""]
    wrong = [point.wkb_hex[:-1], "01zz", "0101"]
    path = write_text(tmp_path / "a.csv", "g|n\n" + "".join(f"{text}|x\n" for text in texts + wrong))
    source = read(path, **options)
    assert source.geometries == [point] * 6 + [None] * 4
    assert source.reasons == [None] * 6 + ["null_geometry"] + ["unreadable_geometry"] * 3
    assert source.table.column_names == ["n"]


def test_wkb_that_breaks_off_is_rejected_where_geometries_are_prepared(tmp_path: Path) -> None:
    (batch,) = read(write_text(tmp_path / "a.csv", f"g\n{shapely.Point(1, 2).wkb_hex[:-2]}\n"), wkb_column="g").batches
    prepared = prepare_geometries(batch.geometry, batch.reasons, source_crs="EPSG:4326", target="Point")
    assert prepared.reasons.to_pylist() == ["unreadable_geometry"]


def hex_of(x: float, y: float, srid: int) -> str:
    return str(shapely.to_wkb(shapely.set_srid(shapely.Point(x, y), srid), hex=True, include_srid=True))


def test_the_srid_of_the_first_row_is_the_crs_and_others_are_rejected(tmp_path: Path) -> None:
    rows = [hex_of(4e5, 5e6, 25832), "SRID=25832;POINT (4 5)", hex_of(1, 2, 4326), "POINT (1 2)", hex_of(1, 2, 0)]
    path = write_text(tmp_path / "a.csv", "g|n\n" + "".join(f"{row}|x\n" for row in rows))
    source = read(path, wkb_column="g")
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:25832", "file")
    assert source.reasons == [None, None, "srid_mismatch", None, None]
    given = read(path, wkb_column="g", source_crs="EPSG:3857")
    assert (given.source.crs_text, given.source.crs_found_in) == ("EPSG:3857", "parameter")
    assert given.reasons == source.reasons


def test_a_srid_of_esri_is_known_and_one_of_nobody_is_not(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", f"g\n{hex_of(1, 2, 102100)}\n")
    assert read(path, wkb_column="g").source.crs.name == "WGS_1984_Web_Mercator_Auxiliary_Sphere"
    path = write_text(tmp_path / "b.csv", f"g\n{hex_of(1, 2, 999_999)}\n")
    assert refusal(path, wkb_column="g").code == "crs_missing"
    assert read(path, wkb_column="g", source_crs="EPSG:4326").reasons == [None]


def test_wkb_that_is_plainly_not_lon_lat_needs_a_crs(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", f"g\n{hex_of(4e5, 5e6, 0)}\n")
    assert refusal(path, wkb_column="g").code == "crs_missing"


def test_a_csv_is_a_layer_of_its_own_name(tmp_path: Path) -> None:
    path = write_text(tmp_path / "la_riots.csv", "lat,lon\n1,2\n")
    for name in ("la_riots", "la riots", "la riots.csv"):
        assert read(path, **LAT_LON, layer_name=name).wkb
    error = refusal(path, **LAT_LON, layer_name="other")
    assert (error.code, error.details["layers"]) == ("layer_not_found", {"la_riots": None})
