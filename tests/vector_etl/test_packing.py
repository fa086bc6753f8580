"""Data sets of several files are uploaded as one zip."""

import zipfile
from pathlib import Path

import pytest

from vector_etl import Unusable
from vector_etl.packing import one_file


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)


def test_a_shapefile_takes_its_sidecars_along_and_nothing_else(tmp_path: Path) -> None:
    made(tmp_path, "roads.shp", "roads.DBF", "roads.shx", "roads.prj", "roads.cpg", "roads.csv", "rails.dbf")
    with one_file(tmp_path / "roads.shp") as packed:
        assert packed.name == "roads.zip"
        assert set(zipfile.ZipFile(packed).namelist()) == {
            f"roads.{end}" for end in ("shp", "DBF", "shx", "prj", "cpg")
        }
    assert not packed.exists()


def test_a_geodatabase_is_its_folder(tmp_path: Path) -> None:
    made(tmp_path, "city.gdb/a00000001.gdbtable", "city.gdb/gdb", "other.txt")
    with one_file(tmp_path / "city.gdb") as packed:
        assert packed.name == "city.gdb.zip"
        assert zipfile.ZipFile(packed).namelist() == ["city.gdb/a00000001.gdbtable", "city.gdb/gdb"]


def test_any_other_file_is_itself(tmp_path: Path) -> None:
    made(tmp_path, "roads.gpkg", "roads.dbf")
    with one_file(tmp_path / "roads.gpkg") as packed:
        assert packed == tmp_path / "roads.gpkg"


@pytest.mark.parametrize("name", ["folder", "nowhere.shp", "nowhere.gdb"])
def test_what_cannot_be_uploaded_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unusable, match=name), one_file(tmp_path / name):
        pass
