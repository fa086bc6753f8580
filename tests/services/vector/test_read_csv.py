from pathlib import Path

import pytest
import shapely

from tests.services.vector.reading import read, refusal, write_text

LAT_LON = {"lat_name": "lat", "lon_name": "lon"}


def test_every_attribute_stays_the_text_it_is(tmp_path: Path) -> None:
    text = "lat,lon,code,word,big,power\n10,20,00123,NA,12345678901234567890,1e5\n11,21,,null,1,2\n"
    rows = read(write_text(tmp_path / "a.csv", text), **LAT_LON).table.to_pylist()
    assert rows == [
        {"lat": 10.0, "lon": 20.0, "code": "00123", "word": "NA", "big": "12345678901234567890", "power": "1e5"},
        {"lat": 11.0, "lon": 21.0, "code": None, "word": "null", "big": "1", "power": "2"},
    ]


def test_only_an_unquoted_empty_value_is_null(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", 'lat,lon,a,b\n1,2,"",\n'), **LAT_LON)
    assert source.table.select(["a", "b"]).to_pylist() == [{"a": "", "b": None}]


def test_x_is_the_longitude(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", "lat,lon\n47.5,8.25\n"), **LAT_LON)
    assert source.geometries == [shapely.Point(8.25, 47.5)]
    assert (source.source.crs_text, source.source.crs_found_in) == ("EPSG:4326", "format")


def test_rows_without_usable_coordinates_keep_their_place_and_say_why(tmp_path: Path) -> None:
    text = "lat,lon,n\n1,2,a\n,2,b\nnorth,2,c\n91,2,d\n1,-181,e\nnan,2,f\n 3 ,+4,g\n90,180,h\n"
    source = read(write_text(tmp_path / "a.csv", text), **LAT_LON)
    assert source.reasons == [
        None,
        "null_geometry",
        "unreadable_coordinates",
        "axes_swapped",
        "coordinates_out_of_range",
        "unreadable_coordinates",
        None,
        None,
    ]
    assert [number for number, geometry in enumerate(source.geometries) if geometry is None] == [1, 2, 5]
    assert source.geometries[6] == shapely.Point(4, 3)
    assert source.table["n"].to_pylist() == list("abcdefgh")


def test_a_projected_crs_has_no_range_of_degrees(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "n,e\n5200000,450000\n")
    source = read(path, lat_name="n", lon_name="e", source_crs="EPSG:25832")
    assert source.geometries == [shapely.Point(450000, 5200000)]
    assert source.source.crs_found_in == "parameter"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("lat;lon;name\n1;2;Zürich\n", "utf-8"),
        ("lat;lon;name\n1;2;Zürich\n", "utf-8-sig"),
        ("lat;lon;name\n1;2;Zürich\n", "utf-16"),
        ("lat;lon;name\n1;2;Zürich\n", "cp1252"),
        ("lat\tlon\tname\r\n1\t2\tZürich\r\n", "utf-8"),
        ("lat|lon|name\n1|2|Zürich", "utf-8"),
        ('"lat","lon","name"\n1,2,"Zürich"\n', "latin-1"),
    ],
)
def test_delimiter_and_encoding_are_found(tmp_path: Path, text: str, encoding: str) -> None:
    source = read(write_text(tmp_path / "a.csv", text, encoding), **LAT_LON)
    assert source.table.to_pylist() == [{"lat": 1.0, "lon": 2.0, "name": "Zürich"}]


def test_an_accent_in_the_last_row_decides_the_encoding(tmp_path: Path) -> None:
    text = "lat,lon,name\n" + "1,2,plain\n" * 400_000 + "1,2,café\n"
    names = read(write_text(tmp_path / "a.csv", text, "cp1252"), **LAT_LON).table["name"]
    assert len(names) == 400_001
    assert names[-1].as_py() == "café"


def test_params_win_over_what_is_detected(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "lat;lon;x,y,z\n1,5;2,25;Ж\n", "cp1251")
    source = read(path, **LAT_LON, converter_params={"delimiter": ";", "decimal": ",", "encoding": "cp1251"})
    assert source.table.to_pylist() == [{"lat": 1.5, "lon": 2.25, "x,y,z": "Ж"}]


@pytest.mark.parametrize("params", [{"delimiter": ";;"}, {"encoding": "klingon"}, {"decimal": "'"}])
def test_unusable_params_are_refused_by_name(tmp_path: Path, params: dict[str, str]) -> None:
    error = refusal(write_text(tmp_path / "a.csv", "lat,lon\n1,2\n"), **LAT_LON, converter_params=params)
    assert (error.code, error.parameter) == ("invalid_parameter", f"converter_params.{next(iter(params))}")


@pytest.mark.parametrize(("row", "columns"), [("1,2", 2), ("1,2,3,4", 4)])
def test_a_ragged_row_is_named_and_not_quoted(tmp_path: Path, row: str, columns: int) -> None:
    text = "lat,lon,name\n" + "1,2,x\n" * 50_000 + row + "\n" + "1,2,x\n" * 10
    error = refusal(write_text(tmp_path / "a.csv", text), **LAT_LON)
    assert error.code == "malformed_csv"
    assert error.details == {"row": 50_002, "expected_columns": 3, "actual_columns": columns}
    assert row not in error.message


def test_an_unclosed_quote_does_not_swallow_the_rows_behind_it(tmp_path: Path) -> None:
    error = refusal(write_text(tmp_path / "a.csv", 'lat,lon,name\n1,2,"x\n1,2,y\n1,2,z\n'), **LAT_LON)
    assert error.code == "malformed_csv"


def test_an_inch_mark_inside_a_value_is_no_open_quote(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", 'lat,lon,name\n1,2,5" pipe\n1,2,y\n'), **LAT_LON)
    assert source.table["name"].to_pylist() == ['5" pipe', "y"]


def test_values_may_have_several_lines(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", 'lat,lon,"na\nme"\n1,2,"x\ny"\n3,4,z\n'), **LAT_LON)
    assert source.table["na\nme"].to_pylist() == ["x\ny", "z"]


def test_a_row_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = "x" * 5_000_000
    source = read(write_text(tmp_path / "a.csv", f"lat,lon,name\n1,2,a\n3,4,{long}\n"), **LAT_LON)
    assert source.table["name"].to_pylist() == ["a", long]


@pytest.mark.parametrize("text", ["lat,lon", "lat,lon\n", "lat,lon\r\n\r\n"])
def test_a_header_alone_gives_no_rows(tmp_path: Path, text: str) -> None:
    assert read(write_text(tmp_path / "a.csv", text), **LAT_LON).wkb == []


def test_a_missing_geometry_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    error = refusal(write_text(tmp_path / "a.csv", "a,b,c\n1,2,3\n"), lat_name="b", lon_name="x")
    assert (error.code, error.parameter) == ("column_not_found", "lon_name")
    assert error.message == "column 'x' not found; available: a, b, c"


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", "lat,lon,a,a,\n1,2,x,y,z\n"), **LAT_LON)
    assert source.table.drop_columns(["lat", "lon"]).to_pylist() == [{"a": "x", "a_2": "y", "column_5": "z"}]


def test_wkt_is_parsed_and_not_kept(tmp_path: Path) -> None:
    rows = (
        "n;wkt",
        "1;POINT (1 2)",
        "2;POLYGON ((0 0, 1 0, 1",
        "3;",
        "4;LINESTRING Z (0 0 5, 1 1 6)",
        "5;CIRCULARSTRING (0 0, 1 1, 2 0)",
    )
    source = read(write_text(tmp_path / "a.csv", "\n".join(rows)), wkt_column="wkt")
    assert source.reasons == [None, "unreadable_geometry", "null_geometry", None, "unreadable_geometry"]
    assert source.geometries[0] == shapely.Point(1, 2)
    assert source.geometries[3] == shapely.LineString([(0, 0, 5), (1, 1, 6)])
    assert source.table.column_names == ["n"]


def test_ewkt_is_read_when_its_srid_is_the_sources(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "wkt;n\nSRID=25832;POINT (4 5);1\n", "utf-8")
    assert refusal(path, wkt_column="wkt").code == "malformed_csv"
    path = write_text(tmp_path / "b.csv", "wkt|n\nSRID=25832;POINT (4 5)|1\nSRID=4326;POINT (4 5)|2\n")
    source = read(path, wkt_column="wkt", source_crs="EPSG:25832")
    assert source.reasons == [None, "srid_mismatch"]


def test_wkt_that_is_plainly_not_lon_lat_needs_a_crs(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "n|wkt\n1|POINT (450000 5200000)\n")
    assert (refusal(path, wkt_column="wkt").code, refusal(path, wkt_column="wkt").parameter) == (
        "crs_missing",
        "source_crs",
    )
    assert read(path, wkt_column="wkt", source_crs="EPSG:25832").geometries == [shapely.Point(450000, 5200000)]


def test_a_crs_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    error = refusal(write_text(tmp_path / "a.csv", "lat,lon\n1,2\n"), **LAT_LON, source_crs="EPSG:1")
    assert (error.code, error.parameter) == ("invalid_crs", "source_crs")


def test_wkt_of_which_nothing_is_readable_is_rejected_row_by_row(tmp_path: Path) -> None:
    source = read(write_text(tmp_path / "a.csv", "shape,n\nPOINT (1,1\nPOLYGO,2\n"), wkt_column="shape")
    assert source.reasons == ["unreadable_geometry", "unreadable_geometry"]
