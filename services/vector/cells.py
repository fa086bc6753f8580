"""Cast the values of one column to what binary COPY takes, without losing any that Postgres could hold."""

import json
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.vector.moments import may_hold, parse_moments

# A double has all integers of 15 digits (IEEE 754, 5.12.2).
LARGEST_WHOLE = 1e15


@dataclass
class CastTally:
    """What casting changed. stripped_nuls: values that held NUL. replaced_bytes: values that were not UTF-8."""

    stripped_nuls: int = 0
    replaced_bytes: int = 0


def to_column(values: pa.Array, postgres_type: str, target: pa.DataType, tally: CastTally) -> pa.Array:
    """(n,) values of any Arrow type -> (n,) of type `target`, the Arrow type of `postgres_type`."""
    is_json = _is_json(values)
    values = _plain(values)
    if postgres_type == "jsonb":
        return _to_json(values, tally, are_json=is_json)
    if is_json:
        values = _unquoted(values)
    if postgres_type == "text":
        return _to_text(values, tally)
    if pa.types.is_floating(target):
        return _without_nan(values.cast(target))
    if pa.types.is_timestamp(target) or pa.types.is_date(target) or pa.types.is_time(target):
        # Postgres keeps microseconds: what a nanosecond column holds beyond them is cut.
        if pa.types.is_string(values.type):
            return parse_moments(values, target)
        return values.cast(target, safe=not pa.types.is_temporal(values.type))
    return values.cast(target)


def json_values(values: pa.Array, postgres_type: str) -> list[Any]:
    """(n,) values of any Arrow type as JSON has them: numbers, booleans, lists and objects as such, NaN as None, bytes
    in hexadecimal, and whatever else as text."""
    is_json = _is_json(values)
    values = _plain(values)
    if is_json or postgres_type == "jsonb" or pa.types.is_nested(values.type):
        texts = _to_json(values, CastTally(), are_json=is_json)
        return [None if text is None else json.loads(text) for text in texts.to_pylist()]
    if pa.types.is_boolean(values.type) or pa.types.is_integer(values.type):
        return list(values.to_pylist())
    if pa.types.is_floating(values.type):
        return [None if value is None or not math.isfinite(value) else value for value in values.to_pylist()]
    if postgres_type == "bytea":
        return [None if value is None else value.hex() for value in values.to_pylist()]
    return list(_to_text(values, CastTally()).to_pylist())


def is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_json(values: pa.Array) -> bool:
    return getattr(values.type, "extension_name", "") == "arrow.json"


def _plain(values: pa.Array) -> pa.Array:
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _without_nan(values: pa.DoubleArray) -> pa.DoubleArray:
    is_nan = pc.is_nan(values)
    return pc.if_else(is_nan, pa.scalar(None, values.type), values) if pc.any(is_nan).as_py() else values


def float_texts(values: pa.FloatingPointArray) -> pa.StringArray:
    """(n,) floats as text: whole ones as JSON writes integers, where Arrow would take an exponent from 1e10 on."""
    is_whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), LARGEST_WHOLE))
    is_whole = pc.and_(pc.fill_null(is_whole, False), pc.not_equal(values, 0.0))
    whole = pc.if_else(is_whole, values, 0.0).cast(pa.int64())
    return pc.if_else(is_whole, whole.cast(pa.string()), values.cast(pa.string()))


def _to_text(values: pa.Array, tally: CastTally) -> pa.StringArray:
    if pa.types.is_floating(values.type):
        return float_texts(values)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values = values.cast(pa.binary()).view(pa.string())
    values = readable(values.cast(pa.string()), tally)
    if not may_hold(values, b"\0"):
        return values
    tally.stripped_nuls += pc.sum(pc.match_substring(values, "\0")).as_py() or 0
    return pc.replace_substring(values, "\0", "")


def readable(text: pa.StringArray, tally: CastTally) -> pa.StringArray:
    """GDAL hands on the bytes of a badly written file: those that are no UTF-8 become U+FFFD."""
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raw = text.view(pa.binary()).to_pylist()
        decoded = [None if value is None else value.decode(errors="replace") for value in raw]
        tally.replaced_bytes += sum("\ufffd" in value for value in decoded if value is not None)
        return pa.array(decoded, pa.string())
    return text


def _unquoted(values: pa.StringArray) -> pa.StringArray:
    """JSON scalars as text: what strings say, the others as they are written."""
    texts = values.to_pylist()
    return pa.array([json.loads(text) if text and text[0] == '"' else text for text in texts], pa.string())


def _to_json(values: pa.Array, tally: CastTally, *, are_json: bool) -> pa.StringArray:
    """JSON texts stay as they are, or become JSON strings where they are none; all other values are written out."""
    if are_json:
        values = readable(values.cast(pa.string()), tally)
        texts = [None if text is None else _json_text(text, tally) for text in values.to_pylist()]
    else:
        texts = [None if value is None else _dumped(value, tally) for value in values.to_pylist()]
    return pa.array(texts, pa.string())


def _json_text(text: str, tally: CastTally) -> str:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _dumped(text, tally)
    # \u0000 and lone surrogates are JSON, but not jsonb.
    return _dumped(value, tally) if "\\u0000" in text or "\\ud" in text.lower() else text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _dumped(value: Any, tally: CastTally) -> str:
    return json.dumps(_storable(value, tally), ensure_ascii=False, default=str)


def _storable(value: Any, tally: CastTally) -> Any:
    """The value without what jsonb refuses: NaN and infinity become null, NUL is stripped, surrogates are replaced."""
    if isinstance(value, str):
        tally.stripped_nuls += "\0" in value
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_storable(key, tally): _storable(item, tally) for key, item in value.items()}
    return [_storable(item, tally) for item in value] if isinstance(value, list | tuple) else value
