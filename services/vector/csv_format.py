"""How a CSV file is written: encoding, delimiter, header, longest line. Found by one cheap pass over its bytes."""

import codecs
import csv
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InvalidInput

DELIMITERS = ",;\t|"
_BLOCK = 1 << 20
_HEADER_BLOCK = 1 << 18


@dataclass(frozen=True)
class CsvFormat:
    """header: unique column names in file order; blank_lines: how many stand before the header; longest_line: bytes of
    the longest physical line."""

    encoding: str
    delimiter: str
    decimal: str
    header: tuple[str, ...]
    blank_lines: int
    longest_line: int
    quotes_balance: bool


@dataclass(frozen=True)
class _Scan:
    is_utf8: bool
    has_undefined_cp1252: bool
    longest_line: int
    quotes: int


def read_csv_format(path: Path, params: Mapping[str, Any]) -> CsvFormat:
    """Look at the whole file once. `params` may give `encoding`, `delimiter` and `decimal`, which then win.

    Raises InvalidInput: `malformed_csv` for a file without a header, `invalid_parameter` for unusable params.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BLOCK)
    scan = _scan(path)
    encoding = _given_encoding(params) or _detect_encoding(head, scan)
    first_lines = _decode_head(head, encoding)
    delimiter = _given_delimiter(params) or _detect_delimiter(first_lines)
    return CsvFormat(
        encoding=encoding,
        delimiter=delimiter,
        decimal=_given_decimal(params),
        header=_unique_header(_first_record(first_lines, delimiter)),
        blank_lines=_leading_blank_lines(first_lines),
        longest_line=scan.longest_line,
        quotes_balance=scan.quotes % 2 == 0,
    )


def _scan(path: Path) -> _Scan:
    """Encoding is judged over the whole file: a single accent may stand in the last row."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, undefined, longest, current, quotes = True, False, 0, 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            is_utf8 = is_utf8 and _decodes(decoder, block, final=False)
            undefined = undefined or any(byte in block for byte in _UNDEFINED_CP1252)
            quotes += block.count(b'"')
            lines = block.split(b"\n")
            current += len(lines[0])
            if len(lines) > 1:
                longest = max(longest, current, *map(len, lines[1:-1]))
                current = len(lines[-1])
    is_utf8 = is_utf8 and _decodes(decoder, b"", final=True)
    return _Scan(is_utf8, undefined, max(longest, current), quotes)


_UNDEFINED_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _detect_encoding(head: bytes, scan: _Scan) -> str:
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if scan.is_utf8:
        return "utf-8"
    return "latin-1" if scan.has_undefined_cp1252 else "cp1252"


def _given_encoding(params: Mapping[str, Any]) -> str | None:
    given = params.get("encoding")
    if given is None:
        return None
    try:
        name = codecs.lookup(str(given)).name
    except LookupError as error:
        raise _invalid("encoding", f"'{given}' is not a known text encoding.") from error
    return "utf-8" if name == "utf-8-sig" else name


def _given_delimiter(params: Mapping[str, Any]) -> str | None:
    given = params.get("delimiter")
    if given is None:
        return None
    delimiter = "\t" if given in ("\\t", "tab") else str(given)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise _invalid("delimiter", "The delimiter must be one ASCII character.")
    return delimiter


def _given_decimal(params: Mapping[str, Any]) -> str:
    decimal = params.get("decimal", ".")
    if decimal not in (".", ","):
        raise _invalid("decimal", "The decimal sign must be '.' or ','.")
    return str(decimal)


def _invalid(name: str, message: str) -> InvalidInput:
    return InvalidInput("invalid_parameter", message, parameter=f"converter_params.{name}")


def _decode_head(head: bytes, encoding: str) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except (UnicodeDecodeError, LookupError) as error:
        raise _invalid("encoding", f"The file is not written in {encoding}.") from error
    return text.removeprefix("\ufeff")


def _leading_blank_lines(text: str) -> int:
    lines = io.StringIO(text)
    return sum(1 for _ in itertools.takewhile(lambda line: line == "\n", lines))


def _detect_delimiter(text: str) -> str:
    """The candidate that splits the header into most columns; the comma where none does."""
    return max(DELIMITERS, key=lambda candidate: len(_first_record(text, candidate)))


def _first_record(text: str, delimiter: str) -> list[str]:
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next((record for record in records if record), [])
    except csv.Error as error:
        raise InvalidInput("malformed_csv", "The header row of the CSV cannot be read.") from error


def _unique_header(names: list[str]) -> tuple[str, ...]:
    """Blank names become `column_3`, repeated ones `name_2`: every column stays, and can be told apart."""
    header: list[str] = []
    for position, raw in enumerate(names, start=1):
        name = base = raw.strip() or f"column_{position}"
        occurrence = 1
        while name in header:
            occurrence += 1
            name = f"{base}_{occurrence}"
        header.append(name)
    return tuple(header)
