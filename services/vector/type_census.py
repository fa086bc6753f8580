"""The narrowest Postgres type that loses nothing, for columns that are text in the file. Judged over every value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from services.vector.moments import parse_moments, with_dashes

Test = Callable[[pa.StringArray], bool]

# No leading zeros (they make an identifier, not a number) and no plus sign (it makes a telephone number).
_DECIMAL = r"^-?(0|[1-9][0-9]*|(0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\.)([eE][+-]?[0-9]+)?$"
# A double gives back any decimal of 15 digits, and is itself written with at most 17 (IEEE 754, 5.12.2).
_SAFE_DIGITS, _WRITTEN_DIGITS = 15, 17
_LARGEST_EXACT_INTEGER = 10**_SAFE_DIGITS - 1
_SMALLEST_NORMAL_DOUBLE = 2.2250738585072014e-308
# What single values look like; whether a column is of the type is decided by casting all of it.
_PATTERNS = {
    "bigint": r"^-?(0|[1-9][0-9]*)$",
    "double precision": _DECIMAL,
    "boolean": r"^(?i:true|false)$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
}
_DATE_LENGTH, _TIMESTAMP_LENGTH = len("2020-01-31"), len("2020-01-31T10:00")
_TIME = r"^\d\d:\d\d(:\d\d(\.\d{1,6})?)?$"


# A column is mixed, and not just text, when at least half of the values seen first look like another type.
_SHARE_OF_MIXED = 0.5


@dataclass
class _Standing:
    """The type every value so far fits; None before the first value. largest: greatest magnitude of an integer. mixed:
    the type that values looked like which not all fit."""

    type: str | None = None
    largest: int = 0
    mixed: str | None = None


class TypeCensus:
    """Fed batch by batch, in any order; censuses of parts of a file can be merged.

    candidates: the types to choose from besides text, with their tests: TYPES, or MOMENTS where the file tells texts
    from numbers.
    """

    def __init__(self, candidates: Mapping[str, Test] | None = None) -> None:
        self._candidates = TYPES if candidates is None else candidates
        self._columns: dict[str, _Standing] = {}

    def observe(self, column_name: str, values: pa.StringArray) -> None:
        """Add the values of one batch. Only the type still standing is tested; nulls fit every type."""
        standing = self._columns.setdefault(column_name, _Standing())
        values = values.drop_null() if values.null_count else values
        if standing.type != "text" and len(values):
            before, standing.type = standing.type, self._narrowed(standing, values)
            if standing.type == "text":
                standing.mixed = before or self._mixed(values)
            if standing.type == "bigint":
                standing.largest = max(standing.largest, _largest_magnitude(values))

    def merge(self, other: "TypeCensus") -> None:
        for name, theirs in other._columns.items():
            ours = self._columns.setdefault(name, _Standing())
            narrower = [each for each in (ours.type, theirs.type) if each and each != "text"]
            ours.type = _joined(ours, theirs)
            lost = narrower[0] if narrower and ours.type == "text" else None
            ours.mixed = ours.mixed or theirs.mixed or lost
            ours.largest = max(ours.largest, theirs.largest)

    def observed(self, column_name: str) -> bool:
        return column_name in self._columns

    def postgres_type(self, column_name: str) -> str:
        """One of the candidates that every value fits, else `text`."""
        return self._columns[column_name].type or "text"

    def notes(self) -> dict[str, str]:
        """By column: why it is text, where its values are mixed."""
        return {
            name: f"some values look like {standing.mixed}, but not all fit: loaded as text"
            for name, standing in self._columns.items()
            if standing.mixed
        }

    def _narrowed(self, standing: _Standing, values: pa.StringArray) -> str:
        if standing.type is None:
            return next((name for name, fits in self._candidates.items() if fits(values)), "text")
        if self._candidates[standing.type](values):
            return standing.type
        if standing.type == "bigint" and standing.largest <= _LARGEST_EXACT_INTEGER and _are_doubles(values):
            return "double precision"
        return "text"

    def _mixed(self, values: pa.StringArray) -> str | None:
        """The candidate that at least half of the values look like, which are not all of one."""
        for name, pattern in _PATTERNS.items():
            share = pc.mean(pc.match_substring_regex(values, pattern).cast(pa.int8())).as_py()
            if name in self._candidates and share >= _SHARE_OF_MIXED:
                return name
        return None


def _joined(ours: _Standing, theirs: _Standing) -> str | None:
    if ours.type is None or theirs.type is None or ours.type == theirs.type:
        return ours.type or theirs.type
    integers_fit = max(ours.largest, theirs.largest) <= _LARGEST_EXACT_INTEGER
    if {ours.type, theirs.type} == {"bigint", "double precision"} and integers_fit:
        return "double precision"
    return "text"


def _cast_or_none(values: pa.StringArray, target: pa.DataType) -> pa.Array | None:
    try:
        return values.cast(target)
    except pa.ArrowInvalid:
        return None


def _come_back(values: pa.StringArray, target: pa.DataType) -> bool:
    """Whether every text is exactly what Postgres and Arrow write for its value."""
    typed = _cast_or_none(values, target)
    return typed is not None and bool(typed.cast(pa.string()).equals(values))


def _are_integers(values: pa.StringArray) -> bool:
    return _come_back(values, pa.int64())


def _are_booleans(values: pa.StringArray) -> bool:
    words = pa.array(["true", "false"])
    return _lengths(values)[1] <= len("false") and _all(pc.is_in(pc.ascii_lower(values), words))


def _are_doubles(values: pa.StringArray) -> bool:
    numbers = _cast_or_none(values, pa.float64())
    if numbers is None or not _all(pc.is_finite(numbers)) or not _all(pc.match_substring_regex(values, _DECIMAL)):
        return False
    return _keeps_digits(values) and _keeps_tiny_values(values, numbers)


def _keeps_digits(values: pa.StringArray) -> bool:
    if _lengths(values)[1] <= _SAFE_DIGITS:
        return True
    mantissa = pc.replace_substring_regex(values, r"[eE].*$|-", "")
    digits = pc.utf8_trim(pc.replace_substring(mantissa, ".", ""), characters="0")
    limit = pc.if_else(pc.match_substring(mantissa, "."), _WRITTEN_DIGITS, _SAFE_DIGITS)
    return _all(pc.less_equal(pc.binary_length(digits), limit))


def _keeps_tiny_values(values: pa.StringArray, numbers: pa.DoubleArray) -> bool:
    """Below the normal range a double loses digits, and at last the value."""
    tiny = values.filter(pc.less(pc.abs(numbers), _SMALLEST_NORMAL_DOUBLE))
    return not pc.any(pc.match_substring_regex(tiny, r"^[^eE]*[1-9]")).as_py()


def _are_dates(values: pa.StringArray) -> bool:
    return _lengths(values) == (_DATE_LENGTH, _DATE_LENGTH) and _come_back(values, pa.date32())


def _are_timestamps(values: pa.StringArray) -> bool:
    """ISO 8601 without a zone, to the microsecond. A date alone is none: midnight would be an invention."""
    return _lengths(values)[0] >= _TIMESTAMP_LENGTH and _cast_or_none(values, pa.timestamp("us")) is not None


def _are_zoned_timestamps(values: pa.StringArray) -> bool:
    return _lengths(values)[0] > _TIMESTAMP_LENGTH and _cast_or_none(values, pa.timestamp("us", "UTC")) is not None


def _are_times(values: pa.StringArray) -> bool:
    if not _all(pc.match_substring_regex(values, _TIME)):
        return False
    try:
        parse_moments(values, pa.time64("us"))
    except pa.ArrowInvalid:
        return False
    return True


def _dashed(fits: Test) -> Test:
    return lambda values: fits(with_dashes(values))


def _lengths(values: pa.StringArray) -> tuple[int, int]:
    extremes = pc.min_max(pc.binary_length(values))
    return extremes["min"].as_py(), extremes["max"].as_py()


def _largest_magnitude(values: pa.StringArray) -> int:
    extremes = pc.min_max(values.cast(pa.int64())).as_py()
    return int(max(abs(extremes["min"]), abs(extremes["max"])))


def _all(holds: pa.BooleanArray) -> bool:
    return bool(pc.all(holds).as_py())


TYPES: Mapping[str, Test] = {
    "boolean": _are_booleans,
    "bigint": _are_integers,
    "double precision": _are_doubles,
    "date": _are_dates,
    "timestamp": _are_timestamps,
    "timestamptz": _are_zoned_timestamps,
}
MOMENTS: Mapping[str, Test] = {
    "date": _dashed(_are_dates),
    "timestamp": _dashed(_are_timestamps),
    "timestamptz": _dashed(_are_zoned_timestamps),
    "time": _are_times,
}
