"""Dates and times written as text: ISO 8601, with dashes or slashes in the date."""

import pyarrow as pa
import pyarrow.compute as pc

_SLASHED_DATE = r"^(\d{4})/(\d{2})/(\d{2})"


def with_dashes(texts: pa.StringArray) -> pa.StringArray:
    """`2020/01/31 10:00` -> `2020-01-31 10:00`, as older versions of GDAL write it."""
    if not pc.any(pc.match_substring(texts, "/")).as_py():
        return texts
    return pc.replace_substring_regex(texts, _SLASHED_DATE, r"\1-\2-\3")


def parse_moments(texts: pa.StringArray, target: pa.DataType) -> pa.Array:
    """(n,) texts to a date, time or timestamp type. Raises pa.ArrowInvalid for one that is none."""
    if pa.types.is_time(target):
        # Arrow reads a time only behind a date.
        return pc.binary_join_element_wise("1970-01-01", texts, "T").cast(pa.timestamp(target.unit)).cast(target)
    return with_dashes(texts).cast(target)
