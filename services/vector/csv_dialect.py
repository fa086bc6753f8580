"""How the text of a CSV is laid out: delimiter, quote, decimal sign, judged by the header and the rows behind it."""

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

# Of a group the best one is taken, of a later group only where none of the earlier ones splits the header.
CSV_DELIMITERS = (",;\t|",)
TSV_DELIMITERS = ("\t", ",;|")
_SAMPLE_RECORDS = 200
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t| ^~:])"?\r?\n', re.IGNORECASE)
_POINT_NUMBER, _COMMA_NUMBER = re.compile(r"-?\d*\.\d+"), re.compile(r"-?\d*,\d+")
_POINT_GROUPS, _COMMA_GROUPS = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})+"), re.compile(r"-?[1-9]\d{0,2}(,\d{3})+")

Records = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Dialect:
    """skipped_lines: how many stand before the header. header: its fields as they are written."""

    delimiter: str
    quote: str
    skipped_lines: int
    header: Sequence[str]
    decimal: str


def detect_dialect(
    text: str,
    groups: Sequence[str],
    *,
    delimiter: str | None = None,
    quote: str | None = None,
    decimal: str | None = None,
    coordinates: Collection[str] = (),
) -> Dialect:
    """What is given wins. text: the beginning of the file, cut off behind some line or inside one. groups: of
    delimiters to look for. coordinates: columns that hold numbers in any case."""
    separator = _SEPARATOR_LINE.match(text)
    if separator:
        text, delimiter = text[separator.end() :], delimiter or separator[1]
    blank_lines = sum(1 for _ in itertools.takewhile(lambda line: not line.strip("\r\n"), io.StringIO(text)))
    best = _best_candidate(text, (delimiter,) if delimiter else groups, quote)
    return Dialect(
        delimiter=best.delimiter,
        quote=best.quote,
        skipped_lines=bool(separator) + blank_lines,
        header=best.records[0] if best.records else [],
        decimal=decimal or _detect_decimal(best, coordinates),
    )


def _best_candidate(text: str, groups: Sequence[str], quote: str | None) -> "_Candidate":
    bests = [max((_Candidate.of(text, mark, quote) for mark in group), key=_merit) for group in groups]
    return next((best for best in bests if best.columns > 1), bests[0])


def _merit(candidate: "_Candidate") -> tuple[bool, bool, int]:
    """A delimiter that does not occur in the header may still not occur in the rows either."""
    return candidate.columns > 1, candidate.is_even, candidate.columns


@dataclass(frozen=True)
class _Candidate:
    delimiter: str
    quote: str
    records: Records

    @classmethod
    def of(cls, text: str, delimiter: str, quote: str | None) -> "_Candidate":
        double, single = (cls(delimiter, mark, _records(text, delimiter, mark)) for mark in ('"', "'"))
        if quote:
            return single if quote == "'" else double
        return single if double.is_wrapped or (single.is_even and not double.is_even) else double

    @property
    def columns(self) -> int:
        return len(self.records[0]) if self.records else 0

    @property
    def is_even(self) -> bool:
        """Whether every row has as many columns as the header."""
        return len({len(record) for record in self.records}) <= 1

    @property
    def is_wrapped(self) -> bool:
        """Whether every name of the header still has its single quotes."""
        return bool(self.records) and all(re.fullmatch(r"'.*'", name, re.DOTALL) for name in self.records[0])


def _records(text: str, delimiter: str, quote: str) -> Records:
    return list(itertools.islice(_readable_records(text, delimiter, quote), _SAMPLE_RECORDS))


def _readable_records(text: str, delimiter: str, quote: str) -> Iterator[list[str]]:
    """The records of the text but for the last one, which may be cut off, unless it is the only one."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    waiting: list[str] = []
    is_first = True
    try:
        for record in filter(None, reader):
            if waiting:
                yield waiting
                is_first = False
            waiting = record
    except csv.Error:
        # A field longer than Python's reader takes, or a quote that never ends: what was read has to do.
        if waiting:
            yield waiting
        return
    if waiting and (is_first or text.endswith("\n")):
        yield waiting


def _detect_decimal(candidate: _Candidate, coordinates: Collection[str]) -> str:
    """The comma, where it stands in numbers that are no groups of thousands, and the point does not.

    Coordinates are looked at first: they have no groups of thousands, and are what the sign is needed for.
    """
    if candidate.delimiter == "," or not candidate.records:
        return "."
    header, *rows = candidate.records
    deciding = [position for position, name in enumerate(header) if name.strip() in coordinates]
    places = [row[position].strip() for row in rows for position in deciding if position < len(row)]
    if any(_POINT_NUMBER.fullmatch(value) for value in places):
        return "."
    values = [value.strip() for row in rows for value in row]
    has_point = any(_POINT_NUMBER.fullmatch(value) and not _POINT_GROUPS.fullmatch(value) for value in values)
    has_comma = any(_COMMA_NUMBER.fullmatch(value) and not _COMMA_GROUPS.fullmatch(value) for value in values)
    place_has_comma = any(_COMMA_NUMBER.fullmatch(value) for value in places)
    return "," if place_has_comma or (has_comma and not has_point) else "."
