import stat
import zipfile
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely

from core.errors import InvalidInput
from core.models.vector import EXTENSIONS
from services.vector.archives import ArchiveLimits, extracted_source
from services.vector.converters import _READERS
from services.vector.file_signature import SUPPORTED_EXTENSIONS
from tests.services.vector.reading import feature, point, read, refusal, write_geojson, write_text

VRT_LAYER = '<OGRVRTLayer name="a"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>'
VRT = f"<OGRVRTDataSource>{VRT_LAYER}</OGRVRTDataSource>"
KML = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>'
PLACE = "<Placemark><name>a</name>{}<Point><coordinates>1,2</coordinates></Point></Placemark>"


@pytest.mark.parametrize("extension", sorted(SUPPORTED_EXTENSIONS - {"csv", "tsv"}))
def test_a_vrt_is_refused_under_every_name(tmp_path: Path, extension: str) -> None:
    assert refusal(write_text(tmp_path / f"a.{extension}", VRT)).code == "content_mismatch"


def test_binary_content_is_no_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"SQLite format 3\x00" + bytes(100))
    assert refusal(path, lat_name="a", lon_name="b").code == "content_mismatch"


def test_every_extension_that_a_request_may_name_has_a_reader() -> None:
    assert set(EXTENSIONS) == SUPPORTED_EXTENSIONS == set(_READERS)


def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    error = refusal(write_text(tmp_path / "a.vrt", VRT))
    assert error.code == "unsupported_format"
    assert "gpkg" in (error.remedy or "")


def test_entities_are_refused_before_any_parser_expands_them(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!-- x --><!DOCTYPE kml [<!ENTITY a "aaaa">]>' + KML.format(PLACE.format("&a;"))
    assert refusal(write_text(tmp_path / "a.kml", bomb)).code == "unsafe_xml"


def test_a_web_page_inside_a_description_is_harmless(tmp_path: Path) -> None:
    described = KML.format(PLACE.format("<description><![CDATA[<!DOCTYPE html><p>x</p>]]></description>"))
    source = read(write_text(tmp_path / "a.kml", '<?xml version="1.0" encoding="UTF-8"?>\n' + described))
    assert source.table["description"].to_pylist() == ["<!DOCTYPE html><p>x</p>"]


def shapefile(folder: Path, name: str = "roads") -> list[Path]:
    frame = gpd.GeoDataFrame({"n": [1, 2]}, geometry=shapely.points([[1, 2], [3, 4]]), crs="EPSG:4326")
    pyogrio.write_dataframe(frame, folder / f"{name}.shp")
    return sorted(folder.glob(f"{name}.*"))


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zipped_shapefile_is_read_from_any_folder(tmp_path: Path) -> None:
    parts = {f"data/2020/{part.name}": part.read_bytes() for part in shapefile(tmp_path)}
    noise = {"__MACOSX/data/._roads.shp": b"x", "data/readme.txt": b"x", "data/2020/roads.json": b"{}"}
    path = zipped(tmp_path / "in.zip", {**noise, **parts})
    source = read(path)
    assert (source.source.layer, source.source.driver, source.table["n"].to_pylist()) == (
        "roads", "ESRI Shapefile", [1, 2],
    )  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_sidecars_are_found_in_any_case(tmp_path: Path) -> None:
    parts = {part.stem.upper() + part.suffix.upper(): part.read_bytes() for part in shapefile(tmp_path)}
    assert len(read(zipped(tmp_path / "in.zip", parts)).wkb) == 2


def test_a_zip_with_one_other_file_is_read(tmp_path: Path) -> None:
    inner = write_geojson(tmp_path / "a.geojson", feature(point(1, 2), n=1))
    source = read(zipped(tmp_path / "in.zip", {"x y!.geojson": inner.read_bytes()}))
    assert source.geometries == [shapely.Point(1, 2)]


def test_a_kmz_is_read_by_its_doc(tmp_path: Path) -> None:
    members = {"other.kml": KML.format("").encode(), "doc.kml": KML.format(PLACE.format("")).encode(), "a.png": b"x"}
    assert read(zipped(tmp_path / "a.kmz", members)).table["Name"].to_pylist() == ["a"]


@pytest.mark.parametrize("name", ["../a.geojson", "/a.geojson", "x/../../a.geojson", "C:/a.geojson", "..\\a.geojson"])
def test_members_that_would_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    error = refusal(zipped(tmp_path / "in.zip", {name: b"{}"}))
    assert error.code == "unsafe_archive"
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.geojson")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refusal(path).code == "unsafe_archive"


def test_archives_in_archives_are_refused(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "in.zip", {"a.geojson": b"{}", "b.zip": b"PK"})).code == "unsafe_archive"


def test_several_data_sets_are_ambiguous(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "in.zip", {"a.geojson": b"{}", "b.gpkg": b"x"})).code == "archive_ambiguous"


def test_an_archive_without_data_says_what_is_missing(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "in.zip", {"a.txt": b"x"})).code == "archive_without_data"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {"a.csv": b"lat,lon\n" + b"1,2\n" * 9999})
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    assert refusal(path, lat_name="lat", lon_name="lon").code == "unreadable_file"


@pytest.mark.parametrize(
    "limits",
    [
        ArchiveLimits(total_bytes=1 << 20),
        ArchiveLimits(ratio=100, ratio_from_bytes=1 << 20),
        ArchiveLimits(members=1),
    ],
)
def test_a_bomb_is_stopped_and_cleaned_up(tmp_path: Path, limits: ArchiveLimits) -> None:
    path = zipped(tmp_path / "in.zip", {"a.geojson": bytes(4 << 20), "b.txt": b""})
    with pytest.raises(InvalidInput) as caught, extracted_source(path, limits=limits):
        pytest.fail("the archive was extracted")
    assert caught.value.code == "archive_too_large"
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.zip"]
