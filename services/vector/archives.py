"""Take one data set out of a zip or kmz, onto disk, with no trust in what the archive says about itself."""

import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidInput
from services.timing import Deadline
from services.vector.archive_members import (
    BROKEN,
    DataSet,
    chosen_data_set,
    data_members,
    data_sets,
    path_of,
    suffix_of,
    without_data,
)

_ARCHIVES = frozenset({".zip", ".kmz", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"})
_TEXT_FILES = frozenset({".geojson", ".json", ".geojsonl", ".ndjson", ".geojsons", ".kml", ".csv", ".tsv"})
_BLOCK = 1 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """total_bytes: extracted. ratio: extracted to stored, judged once more than `ratio_from_bytes` came out.
    text_bytes: of a text file only its beginning is extracted, followed by a hole up to its announced size.
    deadline: past it, extracting raises OutOfTime.

    Deflate reaches 1032; blank-padded .dbf files come to 300.
    """

    members: int = 10_000
    total_bytes: int = 4 << 30
    ratio: int = 400
    ratio_from_bytes: int = 64 << 20
    text_bytes: int | None = None
    deadline: Deadline | None = None


DEFAULT_LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Extracted:
    """A data set on disk. layer_name: the layer still to be chosen inside it."""

    path: Path
    layer_name: str | None


@contextmanager
def extracted_source(
    path: Path, layer_name: str | None = None, limits: ArchiveLimits = DEFAULT_LIMITS
) -> Iterator[Extracted]:
    """The data set of a zip, in any folder of it: a shapefile with its sidecars, a file geodatabase or a single file.

    layer_name: which of several, by its file's name. Extracted beside `path`, removed on exit. Raises InvalidInput:
    `unsafe_archive`, `archive_too_large`, `archive_without_data`, `archive_ambiguous`, `layer_not_found`,
    `unreadable_file`.
    """
    with _opened(path, limits) as archive:
        found = data_sets(archive, path)
        chosen = chosen_data_set(archive, found, layer_name)
        with _extracted(archive, chosen, path.parent, limits) as main:
            is_chosen_by_name = len(found) > 1 and chosen.is_named(layer_name)
            yield Extracted(main, None if is_chosen_by_name else layer_name)


@contextmanager
def extracted_kml(path: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Iterator[Path]:
    """The KML of a kmz: `doc.kml`, else the first one. Extracted and refused as by `extracted_source`."""
    with _opened(path, limits) as archive:
        documents = [member for member in data_members(archive) if suffix_of(member) == ".kml"]
        if not documents:
            raise without_data("kml")
        main = next((member for member in documents if member.filename.lower() == "doc.kml"), documents[0])
        with _extracted(archive, DataSet(path_of(main), (main,)), path.parent, limits) as document:
            yield document


@contextmanager
def _opened(path: Path, limits: ArchiveLimits) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
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
    name = path_of(member)
    if name.is_absolute() or re.match(r"[A-Za-z]:", str(name)):
        return "has an absolute name"
    if ".." in name.parts:
        return "points out of the archive"
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if suffix_of(member) in _ARCHIVES:
        return "is an archive itself"
    return None


@contextmanager
def _extracted(archive: zipfile.ZipFile, chosen: DataSet, beside: Path, limits: ArchiveLimits) -> Iterator[Path]:
    """The data set under names of our own making, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=beside, prefix="extracted-") as folder:
        budget = _Budget(limits, stored=sum(member.compress_size for member in chosen.members))
        stem = re.sub(r"\W+", "_", chosen.stem) or "source"
        if chosen.is_folder:
            main = Path(folder, stem + chosen.path.suffix.lower())
            main.mkdir()
            targets = [main / path_of(member).name.lower() for member in chosen.members]
        else:
            targets = [Path(folder, stem + suffix_of(member)) for member in chosen.members]
            main = targets[0]
        for member, target in zip(chosen.members, targets, strict=True):
            _extract(archive, member, target, budget)
        yield main


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: "_Budget") -> None:
    """Count what really comes out: the sizes in the archive's directory are claims. Raises for a second such part."""
    try:
        with archive.open(member) as packed, target.open("xb") as file:
            while block := packed.read(_BLOCK):
                budget.spend(len(block))
                file.write(block)
                if budget.is_enough(target, file.tell()):
                    file.truncate(max(file.tell(), member.file_size))
                    break
    except FileExistsError as error:
        raise InvalidInput("unsafe_archive", f"The archive is refused: it has {target.name} twice.") from error
    except BROKEN as error:
        raise _damaged() from error


@dataclass
class _Budget:
    limits: ArchiveLimits
    stored: int
    spent: int = 0

    def is_enough(self, target: Path, size: int) -> bool:
        most = self.limits.text_bytes if target.suffix in _TEXT_FILES else None
        return most is not None and size >= most

    def spend(self, size: int) -> None:
        if self.limits.deadline:
            self.limits.deadline.check()
        self.spent += size
        if self.spent > self.limits.total_bytes:
            raise _too_large(f"it holds more than {self.limits.total_bytes} bytes")
        if self.spent > self.limits.ratio_from_bytes and self.spent > self.limits.ratio * max(self.stored, 1):
            raise _too_large(f"it expands to more than {self.limits.ratio} times its size")


def _too_large(why: str) -> InvalidInput:
    return InvalidInput("archive_too_large", f"The archive is refused: {why}.")


def _damaged() -> InvalidInput:
    return InvalidInput("unreadable_file", "The archive is damaged or is no zip.")
