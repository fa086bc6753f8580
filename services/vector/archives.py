"""Take the one data set out of a zip or kmz, onto disk, with no trust in what the archive says about itself."""

import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import InvalidInput

_SHAPEFILE_PARTS = frozenset({".shp", ".shx", ".dbf", ".prj", ".cpg"})
_SINGLE_FILES = frozenset({".gpkg", ".geojson", ".json", ".geojsonl", ".ndjson", ".geojsons", ".kml", ".csv"})
_ARCHIVES = frozenset({".zip", ".kmz", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"})
_BLOCK = 1 << 20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)


@dataclass(frozen=True)
class ArchiveLimits:
    """total_bytes: extracted. ratio: extracted to stored, judged once more than `ratio_from_bytes` came out.

    Deflate reaches 1032; blank-padded .dbf files come to 300.
    """

    members: int = 10_000
    total_bytes: int = 4 << 30
    ratio: int = 400
    ratio_from_bytes: int = 64 << 20


DEFAULT_LIMITS = ArchiveLimits()


@contextmanager
def extracted_source(path: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Iterator[Path]:
    """The data set of a zip: a shapefile with its sidecars, or the only supported file, in any folder of it.

    Extracted beside `path`, removed on exit. Raises InvalidInput: `unsafe_archive`, `archive_too_large`,
    `archive_ambiguous`, `archive_without_data`, `unreadable_file`.
    """
    with _opened(path, limits) as archive:
        main = _the_only_data_set(_data_members(archive))
        with _extracted(archive, _parts(archive, main), path.parent, limits) as files:
            yield files[0]


@contextmanager
def extracted_kml(path: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Iterator[Path]:
    """The KML of a kmz: `doc.kml`, else the first one. Extracted and refused as by `extracted_source`."""
    with _opened(path, limits) as archive:
        documents = [member for member in _data_members(archive) if _suffix(member) == ".kml"]
        if not documents:
            raise _without_data("kml")
        main = next((member for member in documents if member.filename.lower() == "doc.kml"), documents[0])
        with _extracted(archive, [main], path.parent, limits) as files:
            yield files[0]


@contextmanager
def _opened(path: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise _damaged() from error
    with archive:
        _refuse_unsafe(archive.infolist(), limits)
        yield archive


def _refuse_unsafe(members: Sequence[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    """Every member counts, also those that are never extracted: such an archive was made to do harm."""
    if len(members) > limits.members:
        raise _too_large(f"it has {len(members)} members, more than {limits.members}")
    for member in members:
        if reason := _danger(member):
            raise InvalidInput("unsafe_archive", f"The archive is refused: a member {reason}.")


def _danger(member: zipfile.ZipInfo) -> str | None:
    name = member.filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute name"
    if ".." in PurePosixPath(name).parts:
        return "points out of the archive"
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if _suffix(member) in _ARCHIVES:
        return "is an archive itself"
    return None


def _data_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Files that were put in on purpose: no folders, no hidden files, no resource forks of macOS."""
    return [
        member
        for member in archive.infolist()
        if not member.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in _parts_of_name(member))
    ]


def _parts_of_name(member: zipfile.ZipInfo) -> tuple[str, ...]:
    return PurePosixPath(member.filename.replace("\\", "/")).parts


def _suffix(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).suffix.lower()


def _the_only_data_set(members: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """A shapefile goes before what may lie beside it, such as its metadata as json."""
    shapefiles = [member for member in members if _suffix(member) == ".shp"]
    found = shapefiles or [member for member in members if _suffix(member) in _SINGLE_FILES]
    if not found:
        raise _without_data("shp, gpkg, geojson, json, kml or csv")
    if len(found) > 1:
        raise InvalidInput(
            "archive_ambiguous",
            f"The archive holds several data sets: {', '.join(member.filename for member in found)}.",
            remedy="Upload one data set per archive.",
        )
    return found[0]


def _parts(archive: zipfile.ZipFile, main: zipfile.ZipInfo) -> list[zipfile.ZipInfo]:
    """The main file, then its sidecars: same folder and name, in any case."""
    if _suffix(main) != ".shp":
        return [main]
    sidecars = [
        member
        for member in _data_members(archive)
        if member is not main and _suffix(member) in _SHAPEFILE_PARTS and _stem(member) == _stem(main)
    ]
    return [main, *sidecars]


def _stem(member: zipfile.ZipInfo) -> str:
    return str(PurePosixPath(member.filename).with_suffix("")).lower()


@contextmanager
def _extracted(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], beside: Path, limits: ArchiveLimits
) -> Iterator[list[Path]]:
    """The members under names of our own making, in a folder that is gone afterwards."""
    stem = re.sub(r"\W+", "_", PurePosixPath(members[0].filename).stem) or "source"
    with tempfile.TemporaryDirectory(dir=beside, prefix="extracted-") as folder:
        budget = _Budget(limits, stored=sum(member.compress_size for member in members))
        yield [_extract(archive, member, Path(folder, stem + _suffix(member)), budget) for member in members]


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: "_Budget") -> Path:
    """Count what really comes out: the sizes in the archive's directory are claims. Raises for a second such part."""
    try:
        with archive.open(member) as packed, target.open("xb") as file:
            while block := packed.read(_BLOCK):
                budget.spend(len(block))
                file.write(block)
    except FileExistsError as error:
        raise InvalidInput("unsafe_archive", f"The archive is refused: it has {target.name} twice.") from error
    except _BROKEN as error:
        raise _damaged() from error
    return target


@dataclass
class _Budget:
    limits: ArchiveLimits
    stored: int
    spent: int = 0

    def spend(self, size: int) -> None:
        self.spent += size
        if self.spent > self.limits.total_bytes:
            raise _too_large(f"it holds more than {self.limits.total_bytes} bytes")
        if self.spent > self.limits.ratio_from_bytes and self.spent > self.limits.ratio * max(self.stored, 1):
            raise _too_large(f"it expands to more than {self.limits.ratio} times its size")


def _too_large(why: str) -> InvalidInput:
    return InvalidInput("archive_too_large", f"The archive is refused: {why}.")


def _damaged() -> InvalidInput:
    return InvalidInput("unreadable_file", "The archive is damaged or is no zip.")


def _without_data(wanted: str) -> InvalidInput:
    return InvalidInput("archive_without_data", f"The archive holds no {wanted} file.")
