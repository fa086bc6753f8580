"""An .xlsx workbook: which sheets it has, where their headers are, and their rows as text, one by one."""

import datetime as dt
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl

from core.errors import InvalidInput
from services.vector.archives import DEFAULT_LIMITS
from services.vector.shared_texts import FrugalReader

# openpyxl reads row by row, but has all texts that cells share in memory, and the styles.
_LARGEST_SHARED_PART = 64 << 20
_PARTS, _SHEETS = "xl/", "xl/worksheets/"
# Titles and notes may stand above the header.
_HEADER_WITHIN_ROWS = 50
_BLOCK = 1 << 20
# A cell with a formula and no value: no program has ever calculated it. An empty text (t="str") is a value.
_UNCALCULATED = re.compile(
    rb'<(?:\w+:)?c\b(?![^>]*\bt="str")[^>]*>\s*'
    rb"(?:<(?:\w+:)?f\b[^>]*/>|<(?:\w+:)?f\b[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
# A formula has at most 8192 characters.
_LONGEST_MATCH = 1 << 15
Row = Sequence[str | None]


@dataclass(frozen=True)
class Sheet:
    """header: the names in its header row, as they are written. header_row: counted from 1. rows: how many the file
    says it has below that, None where it does not say."""

    name: str
    header: Row
    header_row: int
    rows: int | None


class Workbook:
    """Of an open file. What it yields is text: numbers and dates as ISO writes them, null for an empty cell."""

    def __init__(self, book: openpyxl.Workbook) -> None:
        self._book = book

    def sheets(self, wanted: Sequence[str]) -> list[Sheet]:
        """The sheets that are not empty. wanted: names that tell the header from titles above it."""
        with _translated():
            found = [self._sheet(worksheet, wanted) for worksheet in self._book.worksheets]
        return [sheet for sheet in found if sheet is not None]

    def _sheet(self, worksheet: Any, wanted: Sequence[str]) -> Sheet | None:
        last_row = worksheet.max_row
        # What a file says of its sheets' sizes is not always true.
        worksheet.reset_dimensions()
        first: tuple[int, Row] | None = None
        for number, values in enumerate(worksheet.iter_rows(values_only=True, max_row=_HEADER_WITHIN_ROWS), start=1):
            row = _texts(values)
            names = [name.strip() for name in row if name]
            if first is None and names:
                first = (number, row)
            if names and set(wanted) <= set(names):
                first = (number, row)
                break
        if first is None:
            return None
        number, row = first
        return Sheet(worksheet.title, row, number, last_row - number if last_row else None)

    def rows(self, sheet: Sheet) -> Iterator[tuple[int, Row]]:
        """The rows below the header with their numbers in the sheet, but for those without any value."""
        with _translated():
            values = self._book[sheet.name].iter_rows(values_only=True, min_row=sheet.header_row + 1)
            for number, row in enumerate(map(_texts, values), start=sheet.header_row + 1):
                if any(text is not None for text in row):
                    yield number, row


@contextmanager
def opened_workbook(path: Path) -> Iterator[Workbook]:
    """Raises InvalidInput: `content_mismatch`, `archive_too_large`, `formula_without_value`, `unreadable_file`."""
    with _translated():
        _refuse_unusable(path)
        reader = FrugalReader(path, read_only=True, keep_vba=False, data_only=True, keep_links=False)
        reader.read()
    try:
        yield Workbook(reader.wb)
    finally:
        reader.wb.close()


@contextmanager
def _translated() -> Iterator[None]:
    """openpyxl raises whatever comes when parts are missing, broken or not what they should be."""
    try:
        yield
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            "unreadable_file",
            "The file cannot be read as xlsx: it is damaged or incomplete.",
            remedy="Open it in a spreadsheet program and save it anew.",
        ) from error


def _refuse_unusable(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if not any(member.filename.startswith(_PARTS) for member in members):
            raise InvalidInput(
                "content_mismatch",
                "The content of the file is not what its extension .xlsx says.",
                remedy="Give the file the extension of its real format.",
            )
        _refuse_bomb(members)
        for member in members:
            if member.filename.startswith(_SHEETS):
                _refuse_uncalculated(archive, member)


def _refuse_bomb(members: Sequence[zipfile.ZipInfo]) -> None:
    """The sizes are claims, but the zip library takes no more out of a member than it claims."""
    total, stored = (sum(sizes) for sizes in zip(*((m.file_size, m.compress_size) for m in members), strict=True))
    is_bomb = total > DEFAULT_LIMITS.ratio_from_bytes and total > DEFAULT_LIMITS.ratio * stored
    shared = max(m.file_size for m in members if not m.filename.startswith(_SHEETS))
    if total > DEFAULT_LIMITS.total_bytes or is_bomb or shared > _LARGEST_SHARED_PART:
        raise InvalidInput(
            "archive_too_large",
            "The workbook is refused: unpacked it is too large to be read.",
            remedy="Save the sheet as CSV.",
        )


def _refuse_uncalculated(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    rest = b""
    with archive.open(member) as sheet:
        while block := sheet.read(_BLOCK):
            if _UNCALCULATED.search(rest + block):
                raise InvalidInput(
                    "formula_without_value",
                    "The workbook has formulas whose values were never calculated.",
                    remedy="Open it in a spreadsheet program and save it anew.",
                )
            rest = block[-_LONGEST_MATCH:]


def _texts(values: Sequence[Any]) -> Row:
    return [_text(value) for value in values]


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return None if value is None else str(value)
