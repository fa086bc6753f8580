"""Which data set of a zip is read."""

import zipfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from tests.services.vector.reading import feature, point, read, refusal, write_geojson

WITH_INT64 = {"TARGET_ARCGIS_VERSION": "ARCGIS_PRO_3_2_OR_LATER"}
COUNTRIES = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"


def frame(count: int, crs: str | None = "EPSG:4326", **columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"n": range(count), **columns}, geometry=[shapely.Point(n, n) for n in range(count)], crs=crs
    )


def shapefile(folder: Path, name: str, count: int = 2) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    pyogrio.write_dataframe(frame(count), folder / f"{name}.shp")
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"{name}.*"))}


def geodatabase(path: Path, **layers: gpd.GeoDataFrame | pd.DataFrame) -> dict[str, bytes]:
    """The files of a geodatabase by their path in an archive."""
    for name, rows in layers.items():
        options = {"driver": "OpenFileGDB", "layer": name, "append": path.exists(), "layer_options": WITH_INT64}
        pyogrio.write_dataframe(rows, path, promote_to_multi="geometry" in rows or None, **options)
    return {f"{path.name}/{part.name}": part.read_bytes() for part in sorted(path.iterdir())}


def zipped(path: Path, *parts: dict[str, bytes], within: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (item for part in parts for item in part.items()):
            archive.writestr(within + name, content)
    return path


def test_one_of_several_shapefiles_is_chosen_by_name(tmp_path: Path) -> None:
    parts = shapefile(tmp_path / "a", "roads", 2), shapefile(tmp_path / "a", "rivers-2020", 3)
    path = zipped(tmp_path / "in.zip", *parts, within="data/")
    error = refusal(path)
    assert (error.code, error.parameter) == ("archive_ambiguous", "layer_name")
    assert error.details["layers"] == {"data/roads.shp": 2, "data/rivers-2020.shp": 3}
    assert "data/roads.shp (2 features)" in error.message
    for name in ("rivers-2020", "rivers_2020", "rivers-2020.shp", "data/rivers-2020.shp"):
        assert len(read(path, layer_name=name).wkb) == 3
    unknown = refusal(path, layer_name="lakes")
    assert (unknown.code, unknown.details["layers"]) == ("layer_not_found", error.details["layers"])


def test_two_shapefiles_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    old, new = shapefile(tmp_path / "a", "roads", 1), shapefile(tmp_path / "b", "roads", 2)
    members = {f"2019/{name}": content for name, content in old.items()}
    members |= {f"2020/{name}": content for name, content in new.items()}
    path = zipped(tmp_path / "in.zip", members)
    assert refusal(path, layer_name="roads").code == "archive_ambiguous"
    assert len(read(path, layer_name="2020/roads.shp").wkb) == 2


def test_the_only_shapefile_has_one_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", shapefile(tmp_path / "a", "roads"))
    assert len(read(path, layer_name="roads").wkb) == 2
    assert refusal(path, layer_name="rivers").code == "layer_not_found"


def test_what_describes_a_data_set_is_none_beside_it(tmp_path: Path) -> None:
    notes = {"roads.json": b"{}", "codes.csv": b"lat,lon\n1,2\n3,4\n", "legend.xlsx": b"PK"}
    path = zipped(tmp_path / "in.zip", notes, shapefile(tmp_path / "a", "roads"))
    assert read(path).source.driver == "ESRI Shapefile"
    by_name = read(path, layer_name="codes", lat_name="lat", lon_name="lon")
    assert (by_name.source.driver, len(by_name.wkb)) == ("CSV", 2)


def test_other_data_sets_are_not_passed_over(tmp_path: Path) -> None:
    inner = write_geojson(tmp_path / "a.geojson", feature(point(1, 2)))
    path = zipped(tmp_path / "in.zip", {"more.geojson": inner.read_bytes()}, shapefile(tmp_path / "a", "roads"))
    assert refusal(path).details["layers"] == {"roads.shp": 2, "more.geojson": None}
    assert read(path, layer_name="more").source.driver == "GeoJSON"


def test_parts_of_a_shapefile_that_no_reader_needs_stay_in_the_archive(tmp_path: Path) -> None:
    extra = {f"roads.{suffix}": b"x" for suffix in ("sbn", "sbx", "qix", "shp.xml", "qpj")}
    assert len(read(zipped(tmp_path / "in.zip", extra, shapefile(tmp_path / "a", "roads"))).wkb) == 2


@pytest.mark.parametrize(("without", "code"), [(".dbf", "sidecar_missing"), (".prj", "crs_missing")])
def test_a_part_that_is_needed_is_missed(tmp_path: Path, without: str, code: str) -> None:
    parts = {name: content for name, content in shapefile(tmp_path / "a", "roads").items() if without not in name}
    assert refusal(zipped(tmp_path / "in.zip", parts)).code == code


def test_a_missing_shx_is_restored(tmp_path: Path) -> None:
    parts = {name: content for name, content in shapefile(tmp_path / "a", "roads").items() if ".shx" not in name}
    assert len(read(zipped(tmp_path / "in.zip", parts)).wkb) == 2


def test_the_encoding_is_the_given_one_else_the_one_of_the_cpg(tmp_path: Path) -> None:
    pyogrio.write_dataframe(frame(1, name=["Łódź"]), tmp_path / "a.shp", encoding="CP1250")
    parts = {path.name: path.read_bytes() for path in tmp_path.glob("a.*")}
    assert read(zipped(tmp_path / "in.zip", parts)).table["name"].to_pylist() == ["Łódź"]
    wrong = zipped(tmp_path / "wrong.zip", parts | {"a.cpg": b"UTF-8"})
    assert read(wrong, converter_params={"encoding": "cp1250"}).table["name"].to_pylist() == ["Łódź"]


@pytest.mark.parametrize("encoding", ["iso-8859-2", "latin2", "cp1250", "mac_latin2", "utf-8", "cp852"])
def test_any_encoding_that_python_knows_can_be_given(tmp_path: Path, encoding: str) -> None:
    pyogrio.write_dataframe(frame(2, xxxxxxxx=["xxxxxxxx", None]), tmp_path / "a.shp")
    parts = {path.name: path.read_bytes() for path in tmp_path.glob("a.*")}
    parts["a.dbf"] = parts["a.dbf"].replace(b"x" * 8, "Łódź".encode(encoding).ljust(8))
    source = read(zipped(tmp_path / "in.zip", parts), converter_params={"encoding": encoding})
    found = [{name.strip(): value for name, value in row.items()} for row in source.table.to_pylist()]
    assert found == [{"n": 0, "Łódź": "Łódź"}, {"n": 1, "Łódź": None}]


def test_a_shapefile_without_prj_says_when_its_extent_could_be_degrees(tmp_path: Path) -> None:
    pyogrio.write_dataframe(frame(2), tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    assert "could be degrees" in refusal(tmp_path / "a.shp").message
    projected = frame(2).set_geometry([shapely.Point(4e5, 5e6)] * 2)
    pyogrio.write_dataframe(projected, tmp_path / "b.shp")
    (tmp_path / "b.prj").unlink()
    assert "could be degrees" not in refusal(tmp_path / "b.shp").message


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "parquet", "gml", "tsv"])
def test_single_files_of_any_format_are_read(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a.{suffix}"
    if suffix == "tsv":
        source.write_text("n\tlat\tlon\n0\t0\t0\n1\t1\t1\n")
    elif suffix == "parquet":
        frame(2).to_parquet(source)
    else:
        pyogrio.write_dataframe(frame(2), source)
    given = {"lat_name": "lat", "lon_name": "lon"} if suffix == "tsv" else {}
    found = read(zipped(tmp_path / "in.zip", {f"x/{source.name}": source.read_bytes()}), **given)
    numbers = [int(n) for n in found.table["n"].to_pylist()]
    # A FlatGeobuf with an index is in the order of the index.
    assert sorted(numbers) == [0, 1]
    assert found.geometries == [shapely.Point(n, n) for n in numbers]


def test_a_geodatabase_comes_back_value_by_value(tmp_path: Path) -> None:
    countries = pyogrio.read_dataframe(COUNTRIES)
    parts = geodatabase(tmp_path / "ne.gdb", countries=countries)
    expected = pyogrio.read_dataframe(tmp_path / "ne.gdb")
    source = read(zipped(tmp_path / "ne.gdb.zip", parts))
    assert (source.source.driver, source.source.layer, source.source.crs_text) == (
        "OpenFileGDB", "countries", "EPSG:4326",
    )  # fmt: skip
    assert source.wkb == shapely.to_wkb(expected.geometry.to_numpy()).tolist()
    for column in expected.columns.drop("geometry"):
        assert source.table[column].to_pylist() == expected[column].to_list()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("extracted")] == []


def test_layers_of_a_geodatabase_are_chosen_and_tables_are_none(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1]})
    parts = geodatabase(tmp_path / "x.gdb", one=frame(2), two=frame(3), notes=table)
    path = zipped(tmp_path / "x.zip", parts, within="deep/er/")
    assert refusal(path).details["layers"] == {"one": 2, "two": 3}
    assert refusal(path).code == "layer_ambiguous"
    assert len(read(path, layer_name="two").wkb) == 3
    assert refusal(path, layer_name="three").code == "layer_not_found"
    assert refusal(path, layer_name="notes").code == "no_spatial_layer"


def test_a_geodatabase_without_its_folder_is_known_by_its_files(tmp_path: Path) -> None:
    parts = {Path(name).name: content for name, content in geodatabase(tmp_path / "x.gdb", one=frame(2)).items()}
    assert len(read(zipped(tmp_path / "x.gdb.zip", parts)).wkb) == 2


def test_a_geodatabase_without_crs_needs_one(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", geodatabase(tmp_path / "x.gdb", one=frame(2, crs=None)))
    assert refusal(path).code == "crs_missing"
    assert read(path, source_crs="EPSG:4326").source.crs_found_in == "parameter"


@pytest.mark.parametrize("suffix", [".gdbtable", ".gdbtablx"])
def test_a_geodatabase_with_a_table_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    parts = geodatabase(tmp_path / "x.gdb", one=frame(5000, text=["x" * 50] * 5000))
    name, content = max(((n, c) for n, c in parts.items() if n.endswith(suffix)), key=lambda part: len(part[1]))
    path = zipped(tmp_path / "x.zip", parts | {name: content[: len(content) * 6 // 10]})
    assert refusal(path).code == "unreadable_file"


def test_a_geodatabase_without_its_catalog_is_none(tmp_path: Path) -> None:
    parts = geodatabase(tmp_path / "x.gdb", one=frame(2))
    path = zipped(tmp_path / "x.zip", {name: content for name, content in parts.items() if "00000001" not in name})
    assert refusal(path).code == "archive_without_data"


def test_several_containers_in_one_archive_are_chosen_by_name(tmp_path: Path) -> None:
    parts = geodatabase(tmp_path / "a.gdb", one=frame(2)), geodatabase(tmp_path / "b.gdb", one=frame(3))
    path = zipped(tmp_path / "in.zip", *parts)
    assert refusal(path).code == "archive_ambiguous"
    assert len(read(path, layer_name="b").wkb) == 3
