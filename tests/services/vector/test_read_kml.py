import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from services.vector.kml_parser import KmlParser
from services.vector.read_kml import open_kml
from services.vector.source import ReadOptions
from tests.gdal_process import read_by_gdal, write_by_gdal
from tests.services.vector.reading import Read, read, refusal, write_text

COUNTRIES = Path(pyogrio.__file__).parent / "tests" / "fixtures" / "naturalearth_lowres" / "naturalearth_lowres.shp"
KML = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">{}</kml>'
DOCUMENT = KML.format("<Document>{}</Document>")
FOLDER = "<Folder><name>{}</name>{}</Folder>"
POINT = "<Point><coordinates>1,2</coordinates></Point>"
LINE = "<LineString><coordinates>1,2,3 4,5,6</coordinates></LineString>"


def placemark(name: str = "a", content: str = "", geometry: str = POINT) -> str:
    return f"<Placemark><name>{name}</name>{content}{geometry}</Placemark>"


def read_text(folder: Path, text: str, **options: Any) -> Read:
    return read(write_text(folder / "a.kml", text), **options)


def row_of(folder: Path, content: str) -> dict[str, Any]:
    row: dict[str, Any]
    (row,) = read_text(folder, DOCUMENT.format(placemark(content=content))).table.to_pylist()
    return row


def shape_of(folder: Path, geometry: str) -> tuple[str | None, str | None]:
    source = read_text(folder, DOCUMENT.format(placemark(geometry=geometry)))
    (shape,), (reason,) = source.geometries, source.reasons
    return None if shape is None else shape.wkt, reason


def test_values_and_geometries_are_those_of_gdal(tmp_path: Path) -> None:
    frame = pyogrio.read_dataframe(COUNTRIES).rename(columns={"name": "Name"})
    frame["real"] = [None if n % 5 == 0 else n / 7 for n in range(len(frame))]
    frame["words"] = [None if n % 4 == 0 else f"{n}\n\"'<&ü東" for n in range(len(frame))]
    path = write_by_gdal(frame, tmp_path / "a.kml", "LIBKML")
    expected, found = read_by_gdal(path), read(path)
    assert shapely.equals_exact(
        shapely.force_2d(found.geometries), shapely.force_2d(expected.geometry.to_numpy())
    ).all()
    for name in ("id", "Name", *frame.columns.drop(["geometry", "Name"])):
        values = expected[name].astype(object).where(expected[name].notna(), None)
        assert found.table[name].to_pylist() == values.to_list(), name
    always_empty = set(expected.columns[expected.isna().all() | expected.isin([-1, 0]).all()])
    assert set(expected.columns) - set(found.source.schema.names) - {"geometry"} <= always_empty


def test_folders_become_one_table_in_the_order_of_the_document(tmp_path: Path) -> None:
    extended = '<ExtendedData><Data name="depth"><value>7</value></Data></ExtendedData>'
    first = FOLDER.format("Springs", placemark("a", extended) + "<Placemark><name>b</name></Placemark>")
    second = FOLDER.format("Wells", placemark("c"))
    path = write_text(tmp_path / "a.kml", DOCUMENT.format(first + FOLDER.format("Empty", "") + second))
    source = read(path)
    rows = [(row["folder"], row["Name"], row["depth"]) for row in source.table.to_pylist()]
    assert rows == [("Springs", "a", "7"), ("Springs", "b", None), ("Wells", "c", None)]
    assert [wkb is None for wkb in source.wkb] == [False, True, False]
    assert (source.source.layer, source.source.crs_text, source.source.crs_found_in) == ("a", "EPSG:4326", "format")


def test_one_folder_can_be_chosen(tmp_path: Path) -> None:
    folders = FOLDER.format("Springs", placemark("a")) + FOLDER.format("Wells", placemark("c"))
    path = write_text(tmp_path / "a.kml", DOCUMENT.format(folders))
    chosen = read(path, layer_name="Wells")
    assert (chosen.table.to_pylist(), chosen.source.layer) == ([{"Name": "c"}], "Wells")
    error = refusal(path, layer_name="Rivers")
    assert error.code == "layer_not_found"
    assert "Springs (1 features), Wells (1 features)" in error.message


@pytest.mark.parametrize(
    ("content", "folders"),
    [
        (FOLDER.format("F", placemark("a") + FOLDER.format("G", placemark("b"))), ["F", "G"]),
        (placemark("a") + FOLDER.format("F", placemark("b")) + placemark("c"), ["D", "F", "D"]),
        (FOLDER.format("F", placemark("a")) + FOLDER.format("F", placemark("b")), ["F", "F (#2)"]),
        (f"<Folder>{placemark('a')}</Folder><Folder>{placemark('b')}</Folder>", ["Layer0", "Layer1"]),
    ],
)
def test_a_folder_is_known_by_its_name(tmp_path: Path, content: str, folders: list[str]) -> None:
    source = read_text(tmp_path, DOCUMENT.format(f"<name>D</name>{content}"))
    assert source.table["folder"].to_pylist() == folders


@pytest.mark.parametrize("content", [DOCUMENT.format(placemark()), KML.format(placemark())])
def test_without_several_folders_there_is_no_folder_column(tmp_path: Path, content: str) -> None:
    source = read_text(tmp_path, content)
    assert source.table.to_pylist() == [{"Name": "a"}]
    assert source.source.layer in ("a", "Layer0")


NAMESPACES = [
    '<kml xmlns="http://earth.google.com/kml/2.0">',
    '<kml xmlns="http://earth.google.com/kml/2.1">',
    "<kml>",
    '<k:kml xmlns:k="http://www.opengis.net/kml/2.2">',
    '<k:kml xmlns:other="http://www.opengis.net/kml/2.2">',
]


@pytest.mark.parametrize("root", NAMESPACES)
def test_namespaces_make_no_difference(tmp_path: Path, root: str) -> None:
    prefix = "k:" if root.startswith("<k:") else ""
    content = DOCUMENT.format(placemark("x")).partition('2.2">')[2]
    text = root + content.replace("</", "<\0").replace("<", f"<{prefix}").replace(f"<{prefix}\0", f"</{prefix}")
    source = read_text(tmp_path, text)
    assert (source.table.to_pylist(), source.geometries) == ([{"Name": "x"}], [shapely.Point(1, 2)])


def test_elements_of_a_placemark_become_columns(tmp_path: Path) -> None:
    content = """<visibility>0</visibility><open>1</open><address>Here</address><phoneNumber>1</phoneNumber>
        <Snippet>s</Snippet><description>a<![CDATA[<b>]]>&amp;</description><styleUrl>#x</styleUrl>
        <LookAt><altitudeMode>absolute</altitudeMode></LookAt><atom:author><atom:name>n</atom:name></atom:author>
        <TimeSpan><begin>2020-01-31</begin><end>2020-01-31T10:00:00Z</end></TimeSpan>"""
    assert row_of(tmp_path, content) == {
        "Name": "a", "visibility": 0, "address": "Here", "phoneNumber": "1", "snippet": "s", "description": "a<b>&",
        "begin": dt.date(2020, 1, 31), "end": dt.datetime(2020, 1, 31, 10, tzinfo=dt.UTC),
    }  # fmt: skip


def test_data_keep_their_names_and_their_blanks(tmp_path: Path) -> None:
    data = {"depth": " 7 ", "empty": "", "Name": "other", "depth ": "x"}
    pairs = "".join(
        f'<Data name="{name}"><displayName>d</displayName><value>{v}</value></Data>' for name, v in data.items()
    )
    assert row_of(tmp_path, f"<ExtendedData>{pairs}</ExtendedData>") == {
        "Name": "a", "depth": " 7 ", "empty": "", "Name_2": "other", "depth ": "x",
    }  # fmt: skip


FIELDS = {"i": "int", "u": "ushort", "f": "float", "d": "double", "b": "bool", "t": "string"}
SCHEMA = "<Schema id='S'>{}</Schema>".format(
    "".join(f"<SimpleField name='{n}' type='{t}'/>" for n, t in FIELDS.items())
)


def typed(folder: Path, *rows: dict[str, str]) -> Read:
    placemarks = [
        placemark(
            content="<ExtendedData><SchemaData schemaUrl='#S'>{}</SchemaData></ExtendedData>".format(
                "".join(f"<SimpleData name='{name}'>{value}</SimpleData>" for name, value in row.items())
            )
        )
        for row in rows
    ]
    return read_text(folder, DOCUMENT.format(SCHEMA + "".join(placemarks)))


def test_a_schema_gives_the_types(tmp_path: Path) -> None:
    given = {"i": "-5", "u": " 6 ", "f": "1.5", "d": "1e3", "b": "true", "t": "7", "undeclared": "8"}
    source = typed(tmp_path, given, {"i": "", "f": "", "b": "0", "t": ""})
    first, second = source.table.to_pylist()
    assert first == {"Name": "a", "i": -5, "u": 6, "f": 1.5, "d": 1000.0, "b": True, "t": "7", "undeclared": "8"}
    assert (second["i"], second["f"], second["b"], second["t"]) == (None, None, False, "")
    assert [column.type for column in source.plan.columns][1:] == [
        "bigint", "bigint", "double precision", "double precision", "boolean", "text", "text",
    ]  # fmt: skip


def test_a_value_that_is_not_of_its_declared_type_is_kept_as_text(tmp_path: Path) -> None:
    source = typed(tmp_path, {"i": "5"}, {"i": "n/a"}, {"i": "1.5"})
    assert source.table["i"].to_pylist() == ["5", "n/a", "1.5"]


RING = "<LinearRing><coordinates>{}</coordinates></LinearRing>"
OUTER = f"<outerBoundaryIs>{RING.format('0,0 4,0 4,4 0,0')}</outerBoundaryIs>"
INNER = f"<innerBoundaryIs>{RING.format('2,1 3,1 3,2 2,1')}</innerBoundaryIs>"
TRACK = "<gx:Track><when>2020</when><gx:coord>1 2 3</gx:coord><gx:coord/><gx:coord>4 5 6</gx:coord></gx:Track>"


@pytest.mark.parametrize(
    ("geometry", "wkt"),
    [
        (POINT, "POINT (1 2)"),
        (LINE, "LINESTRING Z (1 2 3, 4 5 6)"),
        (f"<Polygon>{OUTER}{INNER}</Polygon>", "POLYGON ((0 0, 4 0, 4 4, 0 0), (2 1, 3 1, 3 2, 2 1))"),
        (f"<Polygon>{INNER}{OUTER}</Polygon>", "POLYGON ((0 0, 4 0, 4 4, 0 0), (2 1, 3 1, 3 2, 2 1))"),
        ("<Polygon/>", "POLYGON EMPTY"),
        (RING.format("0,0 1,0 1,1 0,0"), "LINESTRING (0 0, 1 0, 1 1, 0 0)"),
        (f"<MultiGeometry>{POINT}</MultiGeometry>", "POINT (1 2)"),
        (f"<MultiGeometry>{POINT}{POINT}</MultiGeometry>", "MULTIPOINT ((1 2), (1 2))"),
        (
            f"<MultiGeometry><MultiGeometry>{POINT}</MultiGeometry>{POINT}</MultiGeometry>",
            "MULTIPOINT ((1 2), (1 2))",
        ),
        (
            f"<MultiGeometry>{LINE}<LineString><coordinates>7,8 9,9</coordinates></LineString></MultiGeometry>",
            "MULTILINESTRING Z ((1 2 3, 4 5 6), (7 8 0, 9 9 0))",
        ),
        (
            f"<MultiGeometry><Polygon>{OUTER}</Polygon><Polygon>{OUTER}</Polygon></MultiGeometry>",
            "MULTIPOLYGON (((0 0, 4 0, 4 4, 0 0)), ((0 0, 4 0, 4 4, 0 0)))",
        ),
        (
            f"<MultiGeometry>{POINT}{LINE}</MultiGeometry>",
            "GEOMETRYCOLLECTION Z (POINT Z (1 2 0), LINESTRING Z (1 2 3, 4 5 6))",
        ),
        (TRACK, "LINESTRING Z (1 2 3, 4 5 6)"),
        (f"<gx:MultiTrack>{TRACK}{TRACK}</gx:MultiTrack>", "MULTILINESTRING Z ((1 2 3, 4 5 6), (1 2 3, 4 5 6))"),
        (f"<MultiGeometry>{POINT}<Model/></MultiGeometry>", "POINT (1 2)"),
    ],
)
def test_every_shape(tmp_path: Path, geometry: str, wkt: str) -> None:
    assert shape_of(tmp_path, geometry) == (wkt, None)


@pytest.mark.parametrize(
    ("coordinates", "wkt"),
    [
        ("\n1,2\t3,4\n", "LINESTRING (1 2, 3 4)"),
        ("1, 2, 3\n 4 ,5 6,7,\n", "LINESTRING Z (1 2 3, 4 5 0, 6 7 0)"),
        ("1,2,3,4,5,6", "LINESTRING Z (1 2 3, 4 5 6)"),
        ("+1,.5 -2.,1e1", "LINESTRING (1 0.5, -2 10)"),
        ("1,2 3,4,5", "LINESTRING Z (1 2 0, 3 4 5)"),
        ("", "LINESTRING EMPTY"),
    ],
)
def test_coordinates_as_people_write_them(tmp_path: Path, coordinates: str, wkt: str) -> None:
    assert shape_of(tmp_path, f"<LineString><coordinates>{coordinates}</coordinates></LineString>") == (wkt, None)


@pytest.mark.parametrize("coordinates", ["a,b 1,2", "1 2 3", "1,2 3", "1,2,3,4", "nan,1 2,3", "1;2", "1_0,2"])
def test_coordinates_that_are_none_cost_their_row(tmp_path: Path, coordinates: str) -> None:
    geometry = f"<LineString><coordinates>{coordinates}</coordinates></LineString>"
    assert shape_of(tmp_path, geometry) == (None, "unreadable_geometry")
    assert shape_of(tmp_path, f"<MultiGeometry>{POINT}{geometry}</MultiGeometry>") == (None, "unreadable_geometry")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            placemark(geometry="<Model><Location><longitude>1</longitude></Location></Model>"),
            "unsupported_geometry_type",
        ),
        (placemark(geometry=""), None),
        (placemark(geometry="<MultiGeometry/>"), None),
        ("<GroundOverlay><name>g</name><LatLonBox><north>1</north></LatLonBox></GroundOverlay>", "overlay"),
        (f"<PhotoOverlay>{POINT}</PhotoOverlay>", "overlay"),
        ("<NetworkLink><name>n</name><Link><href>http://127.0.0.1/x</href></Link></NetworkLink>", "network_link"),
    ],
)
def test_what_has_no_shape_is_a_row_with_a_reason(tmp_path: Path, content: str, reason: str | None) -> None:
    source = read_text(tmp_path, DOCUMENT.format(content + placemark("b")))
    assert (source.wkb[0], source.reasons) == (None, [reason, None])
    assert source.table["Name"].to_pylist()[1] == "b"


@pytest.mark.parametrize("content", ["<Change>{}</Change>", "<Create><Document>{}</Document></Create>"])
def test_placemarks_of_an_update_are_those_of_another_file(tmp_path: Path, content: str) -> None:
    update = f"<NetworkLinkControl><Update>{content.format(placemark())}</Update></NetworkLinkControl>"
    assert read_text(tmp_path, KML.format(update)).wkb == []


def test_markup_inside_a_text_is_no_element(tmp_path: Path) -> None:
    described = "<description>a<name>x</name><b>b</b><Placemark/></description>"
    assert row_of(tmp_path, described) == {"Name": "a", "description": "axb"}


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252", "shift_jis", "gb18030", "koi8-r"])
def test_the_declared_encoding_counts(tmp_path: Path, encoding: str) -> None:
    name = {"shift_jis": "東京", "gb18030": "北京", "koi8-r": "Москва"}.get(encoding, "Zürich")
    text = f'<?xml version="1.0" encoding="{encoding}"?><kml>{placemark(name)}</kml>'
    assert read(write_text(tmp_path / "a.kml", text, encoding)).table["Name"].to_pylist() == [name]


PLACES = [placemark(f"n{n}", geometry=LINE if n % 2 else POINT) for n in range(3)]
WHOLE = DOCUMENT.format(FOLDER.format("東", "".join(PLACES)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 900))
def test_the_size_of_the_blocks_changes_nothing(tmp_path: Path, block: int) -> None:
    path = write_text(tmp_path / "a.kml", WHOLE)
    with open_kml(path, ReadOptions(), block) as source:
        found = Read(source, list(source.batches()))
    assert (found.table.to_pylist(), found.wkb) == (read(path).table.to_pylist(), read(path).wkb)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(WHOLE.encode()) - 1))
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, end: int) -> None:
    path = tmp_path / "a.kml"
    path.write_bytes(WHOLE.encode()[:end])
    assert refusal(path).code in ("unreadable_file", "content_mismatch")


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        (DOCUMENT.format("<Placemark>\n<name>a</Placemark>"), "unreadable_file", "mismatched tag in line 3, column 10"),
        (DOCUMENT.format(placemark("&nbsp;")), "unreadable_file", "undefined entity in line 2"),
        (DOCUMENT.format(placemark("a & b")), "unreadable_file", "not well-formed (invalid token) in line 2"),
        (KML.format("") + "<x/>", "unreadable_file", "junk after document element in line 2"),
        ('<?xml version="1.0" encoding="klingon"?><kml/>', "unreadable_file", "its encoding 'klingon' is not known"),
        ('<?xml version="1.0" encoding="hex"?><kml/>', "unreadable_file", "its encoding 'hex' is not known"),
        ('<?xml version="1.0" encoding="cp1252"?><kml>\xc1</kml>', "unreadable_file", "it is not written in cp1252"),
        (KML.format("<a>" * 300 + "</a>" * 300), "nested_too_deeply", "The element in line 2"),
        (KML.format("<a>" * 90_000), "nested_too_deeply", "The element in line 2"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(tmp_path: Path, text: str, code: str, why: str) -> None:
    error = refusal(write_text(tmp_path / "a.kml", text, "utf-8"))
    assert error.code == code
    assert why in error.message


def test_a_document_type_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    """Behind more comments than the look at the file's head reaches, too."""
    for comments in (0, 100_000):
        laughs = '<!DOCTYPE kml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
        text = f"<!--{'x' * comments}-->{laughs}<kml>{placemark('&b;')}</kml>"
        error = refusal(write_text(tmp_path / "a.kml", text))
        assert error.code in ("unsafe_xml", "content_mismatch")
    with pytest.raises(InvalidInput, match="document type"):
        KmlParser(b"").feed(text.encode(), is_last=True)


def test_a_placemark_that_does_not_end_is_refused_before_it_fills_the_memory() -> None:
    parser = KmlParser(b"", largest=1000)
    parser.feed(b"<kml><Placemark><description>" + b"x" * 900)
    with pytest.raises(InvalidInput) as caught:
        parser.feed(b"x" * 200)
    assert caught.value.code == "feature_too_large"


def test_a_large_placemark_comes_whole(tmp_path: Path) -> None:
    """Larger than a block, and than the pieces in which its coordinates are read."""
    xyz = np.random.default_rng(1).uniform(-90, 90, (100_000, 3))
    text = "\n".join(",".join(map(repr, position)) for position in xyz.tolist())
    source = read_text(
        tmp_path, DOCUMENT.format(placemark("a") + placemark("b", geometry=LINE.replace("1,2,3 4,5,6", text)))
    )
    assert len(text) > 4 << 20
    assert (shapely.get_coordinates(source.geometries[1], include_z=True) == xyz).all()


def test_moments_of_several_kinds_stay_text(tmp_path: Path) -> None:
    stamps = [f"<TimeStamp><when>{when}</when></TimeStamp>" for when in ("2020", "2020-01", "2020-01-31")]
    source = read_text(tmp_path, DOCUMENT.format("".join(placemark(content=stamp) for stamp in stamps)))
    assert source.table["timestamp"].to_pylist() == ["2020", "2020-01", "2020-01-31"]
