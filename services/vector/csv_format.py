"""How a CSV file is written: encoding, dialect, header, longest line. Found by one cheap pass over its bytes, or
guessed from its beginning."""

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InvalidInput
from services.vector.arriving import open_arriving
from services.vector.csv_dialect import CSV_DELIMITERS, detect_dialect
from services.vector.file_signature import LOOKED_AT

# Stays in the processor's cache.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class CsvFormat:
    """header: unique column names in file order; skipped_lines: how many stand before the header; longest_line: bytes
    of the longest physical line. is_guess: only the beginning was looked at; what follows may not be UTF-8, or have
    longer lines or an odd number of quotes."""

    encoding: str
    delimiter: str
    quote: str
    decimal: str
    header: tuple[str, ...]
    skipped_lines: int
    longest_line: int
    quotes_balance: bool
    is_guess: bool = False


@dataclass(frozen=True)
class _Scan:
    """quotes: how often each quote character occurs."""

    is_utf8: bool
    has_undefined_cp1252: bool
    longest_line: int
    quotes: Mapping[str, int]


def read_csv_format(
    path: Path,
    params: Mapping[str, Any],
    delimiters: Sequence[str] = CSV_DELIMITERS,
    coordinates: Collection[str] = (),
    *,
    guess: bool = False,
) -> CsvFormat:
    """Look at the whole file once; where it may be guessed, and is long, only at its beginning. `params` may give
    `encoding`, `delimiter`, `quote` and `decimal`, which then win.

    delimiters: groups of those to look for. coordinates: columns that hold numbers in any case.

    Raises InvalidInput: `malformed_csv` for a file without a header, `invalid_parameter` for unusable params.
    """
    with open_arriving(path) as file:
        head = file.read(_BLOCK)
    given_encoding = _given_encoding(params)
    is_guess = guess and len(head) == _BLOCK and given_encoding in (None, "utf-8") and _begins_as_utf8(head)
    scan = _GUESSED if is_guess else _scan(path)
    encoding = given_encoding or _detect_encoding(head, scan)
    dialect = detect_dialect(
        _decode_head(head, encoding) + ("\n" if len(head) < _BLOCK else ""),
        delimiters,
        delimiter=_given_delimiter(params),
        quote=_given_sign(params, "quote", ('"', "'")),
        decimal=_given_sign(params, "decimal", (".", ",")),
        coordinates=coordinates,
    )
    if not dialect.header:
        raise InvalidInput("malformed_csv", "The file has no header row that can be read.", parameter="blob_name")
    return CsvFormat(
        encoding=encoding,
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        decimal=dialect.decimal,
        header=unique_header(dialect.header),
        skipped_lines=dialect.skipped_lines,
        longest_line=scan.longest_line,
        quotes_balance=scan.quotes[dialect.quote] % 2 == 0,
        is_guess=is_guess,
    )


_GUESSED = _Scan(is_utf8=True, has_undefined_cp1252=False, longest_line=0, quotes={'"': 0, "'": 0})


def _begins_as_utf8(head: bytes) -> bool:
    """A character may be cut off at the end."""
    return b"\x00" not in head and _decodes(codecs.getincrementaldecoder("utf-8")(), head, final=False)


def _scan(path: Path) -> _Scan:
    """Encoding is judged over the whole file: a single accent may stand in the last row."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, undefined, longest, current = True, False, 0, 0
    quotes = {'"': 0, "'": 0}
    with open_arriving(path) as file:
        while block := file.read(_BLOCK):
            is_utf8 = is_utf8 and _decodes(decoder, block, final=False)
            undefined = undefined or any(byte in block for byte in _UNDEFINED_CP1252)
            codes = np.frombuffer(block, np.uint8)
            for quote in quotes:
                quotes[quote] += int(np.count_nonzero(codes == ord(quote)))
            ends = np.flatnonzero(codes == _LINE_FEED)
            if len(ends):
                longest = max(longest, current + int(ends[0]), int(np.diff(ends).max(initial=1)) - 1)
                current = len(block) - int(ends[-1]) - 1
            else:
                current += len(block)
    is_utf8 = is_utf8 and _decodes(decoder, b"", final=True)
    return _Scan(is_utf8, undefined, max(longest, current), quotes)


_LINE_FEED = ord("\n")
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
    if b"\x00" in head[:LOOKED_AT]:
        # Only UTF-16 without a byte order mark has come through the check of the file's signature.
        return "utf-16-le" if b"\x00" in head[1::2] else "utf-16-be"
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
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\"'\r\n":
        raise _invalid("delimiter", "The delimiter must be one ASCII character.")
    return delimiter


def _given_sign(params: Mapping[str, Any], name: str, signs: tuple[str, ...]) -> str | None:
    given = params.get(name)
    if given is not None and given not in signs:
        raise _invalid(name, f"The {name} sign must be one of {' '.join(signs)}")
    return given


def _invalid(name: str, message: str) -> InvalidInput:
    return InvalidInput("invalid_parameter", message, parameter=f"converter_params.{name}")


def _decode_head(head: bytes, encoding: str) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except (UnicodeDecodeError, LookupError) as error:
        raise _invalid("encoding", f"The file is not written in {encoding}.") from error
    return text.removeprefix("\ufeff")


def unique_header(names: Sequence[str]) -> tuple[str, ...]:
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
