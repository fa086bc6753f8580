"""Which data sets an archive holds, and which of them is meant."""

import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import InvalidInput
from services.vector.layer_choice import is_named, layer_not_found, with_counts

_SHAPEFILE_PARTS = frozenset({".shp", ".shx", ".dbf", ".prj", ".cpg"})
_SINGLE_FILES = (
    *(".gpkg", ".geojson", ".json", ".geojsonl", ".ndjson", ".geojsons", ".fgb", ".parquet", ".geoparquet"),
    *(".gml", ".gpx", ".kml", ".csv", ".tsv", ".xlsx"),
)
# What often lies beside a data set to describe it. It is one itself where there is no other.
_DESCRIBING = frozenset({".json", ".csv", ".tsv", ".xlsx"})
_GEODATABASE = ".gdb"
_GEODATABASE_CATALOG = "a00000001.gdbtable"
# What reading a damaged archive raises.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)
_DBF_HEADER, _RECORD_COUNT = 8, slice(4, 8)


@dataclass(frozen=True)
class DataSet:
    """path: of the main file, or of the folder of a geodatabase. members: all its files, the main one first."""

    path: PurePosixPath
    members: tuple[zipfile.ZipInfo, ...]
    is_folder: bool = False

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def describes(self) -> bool:
        return self.path.suffix.lower() in _DESCRIBING

    def is_named(self, wanted: str | None) -> bool:
        """By its stem, its file name, or its whole path."""
        return wanted is not None and (wanted in (self.path.name, str(self.path)) or is_named(wanted, self.stem))


def data_sets(archive: zipfile.ZipFile, path: Path) -> list[DataSet]:
    """Shapefiles with their sidecars, file geodatabases and single files. path: of the archive, which names a
    geodatabase whose files lie at its root. Raises InvalidInput(`archive_without_data`)."""
    members = data_members(archive)
    geodatabases = _geodatabases(members, path)
    inside = {id(member) for geodatabase in geodatabases for member in geodatabase.members}
    rest = [member for member in members if id(member) not in inside]
    shapefiles = [_shapefile(member, rest) for member in rest if suffix_of(member) == ".shp"]
    files = [DataSet(path_of(member), (member,)) for member in rest if suffix_of(member) in _SINGLE_FILES]
    found = [*shapefiles, *geodatabases, *files]
    if not found:
        wanted = ", ".join(suffix.lstrip(".") for suffix in (".shp", _GEODATABASE, *_SINGLE_FILES))
        raise without_data(wanted)
    return found


def chosen_data_set(archive: zipfile.ZipFile, found: Sequence[DataSet], layer_name: str | None) -> DataSet:
    """The one that is named, else the only one that describes no other.

    Raises InvalidInput, listing them: `archive_ambiguous`, or `layer_not_found` for a name that is none of several.
    """
    named = [data_set for data_set in found if data_set.is_named(layer_name)]
    likely = [data_set for data_set in found if not data_set.describes] or found
    for candidates in (named, likely):
        if len(candidates) == 1:
            return candidates[0]
    counts = {str(data_set.path): _records(archive, data_set) for data_set in named or found}
    if layer_name is not None and not named:
        raise layer_not_found(layer_name, counts)
    raise InvalidInput(
        "archive_ambiguous",
        f"The archive holds several data sets: {with_counts(counts)}.",
        parameter="layer_name",
        remedy="Name one of them as layer_name.",
        details={"layers": counts},
    )


def data_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files that were put in on purpose: no folders, no hidden files, no resource forks of macOS."""
    return [
        member
        for member in archive.infolist()
        if member.filename
        and not member.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in path_of(member).parts)
    ]


def path_of(member: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(member.filename.replace("\\", "/"))


def suffix_of(member: zipfile.ZipInfo) -> str:
    return path_of(member).suffix.lower()


def without_data(wanted: str) -> InvalidInput:
    return InvalidInput("archive_without_data", f"The archive holds no file of these kinds: {wanted}.")


def _geodatabases(members: Sequence[zipfile.ZipInfo], path: Path) -> list[DataSet]:
    folders = [path_of(member).parent for member in members if path_of(member).name.lower() == _GEODATABASE_CATALOG]
    return [_geodatabase(folder, members, path) for folder in folders]


def _geodatabase(folder: PurePosixPath, members: Sequence[zipfile.ZipInfo], path: Path) -> DataSet:
    parts = tuple(member for member in members if path_of(member).parent == folder)
    named = folder if folder.name else PurePosixPath(path.stem)
    if named.suffix.lower() != _GEODATABASE:
        named = named.with_name(named.name + _GEODATABASE)
    return DataSet(named, parts, is_folder=True)


def _shapefile(main: zipfile.ZipInfo, members: Sequence[zipfile.ZipInfo]) -> DataSet:
    """The sidecars: same folder and name, in any case."""
    sidecars = [
        member
        for member in members
        if suffix_of(member) in _SHAPEFILE_PARTS
        and member is not main
        and _without_suffix(member) == _without_suffix(main)
    ]
    return DataSet(path_of(main), (main, *sidecars))


def _without_suffix(member: zipfile.ZipInfo) -> str:
    return str(path_of(member).with_suffix("")).lower()


def _records(archive: zipfile.ZipFile, data_set: DataSet) -> int | None:
    """What the .dbf of a shapefile says; None for what would have to be read first."""
    for member in data_set.members:
        if suffix_of(member) == ".dbf":
            with suppress(*BROKEN), archive.open(member) as table:
                return int.from_bytes(table.read(_DBF_HEADER)[_RECORD_COUNT], "little")
    return None
