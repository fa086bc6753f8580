"""Data sets of several files become one zip."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vector_etl.errors import Unusable

SIDECARS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@contextmanager
def one_file(path: Path) -> Iterator[Path]:
    """The file itself; of a shapefile with its sidecars, or a `.gdb` folder, a zip as long as the context is open."""
    members = members_of(path)
    if not members:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / (f"{path.name}.zip" if path.is_dir() else f"{path.stem}.zip")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in members:
                archive.write(member, member.relative_to(path.parent))
        yield packed


def members_of(path: Path) -> list[Path]:
    """Raises Unusable for a folder that is no geodatabase, and a path where nothing is."""
    if path.is_dir():
        if path.suffix.lower() != ".gdb":
            raise Unusable(f"{str(path)!r} is a folder; of folders only a File Geodatabase (.gdb) can be loaded")
        return sorted(member for member in path.rglob("*") if member.is_file())
    if not path.exists():
        raise Unusable(f"there is no file {str(path)!r}")
    if path.suffix.lower() != ".shp":
        return []
    beside = sorted(other for other in path.parent.iterdir() if other.stem == path.stem)
    return [other for other in beside if other.suffix.lower() in SIDECARS]
