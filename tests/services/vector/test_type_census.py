import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.vector.columns import cast_batch, plan_columns
from services.vector.type_census import TypeCensus


def decided(*batches: Sequence[str | None]) -> str:
    census = TypeCensus()
    for batch in batches:
        census.observe("a", pa.array(list(batch), pa.string()))
    return census.postgres_type("a")


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "-20", "0", None], "bigint"),
        (["9223372036854775807", "-9223372036854775808"], "bigint"),
        (["9223372036854775808"], "text"),
        (["007"], "text"),
        (["+49"], "text"),
        (["-0"], "double precision"),
        (["0x1F"], "text"),
        (["1.5", "2", "-3e-5", ".5", "5."], "double precision"),
        (["007.5"], "text"),
        (["1.5", "nan"], "text"),
        (["inf"], "text"),
        (["1e400"], "text"),
        (["1e-400"], "text"),
        (["0e-400"], "double precision"),
        (["0.30000000000000004"], "double precision"),
        (["0.1234567890123456789"], "text"),
        (["1.5", "12345678901234567"], "text"),
        (["1 "], "text"),
        (["1,5"], "text"),
        (["true", "FALSE", None], "boolean"),
        (["t", "f"], "text"),
        (["yes"], "text"),
        (["0", "1"], "bigint"),
        (["2020-01-31", "1999-12-01"], "date"),
        (["2020-02-30"], "text"),
        (["31.01.2020"], "text"),
        (["2020-01-31T10:00:00", "2020-01-31 10:00"], "timestamp"),
        (["2020-01-31T10:00:00Z", "2020-01-31 10:00:00.123456+05:30"], "timestamptz"),
        (["2020-01-31T10:00:00", "2020-01-31T10:00:00Z"], "text"),
        (["2020-01-31", "2020-01-31T10:00:00"], "text"),
        (["2020-01-31T10:00:00.1234567"], "text"),
        ([None, None], "text"),
        ([""], "text"),
        ([], "text"),
    ],
)
def test_the_narrowest_type_that_loses_nothing(values: list[str | None], type_: str) -> None:
    assert decided(values) == type_


def test_the_last_value_of_the_last_batch_counts() -> None:
    assert decided(["1"] * 1000, ["2"] * 1000 + ["3.5"]) == "double precision"
    assert decided(["1"] * 1000, ["2.5"], ["x"]) == "text"
    assert decided([None], ["true"], ["1"]) == "text"


def test_integers_too_long_for_a_double_do_not_become_one() -> None:
    assert decided(["9007199254740993"], ["1.5"]) == "text"
    assert decided(["1.5"], ["9007199254740993"]) == "text"


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=True).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.sampled_from(["true", "False", "007", "1e5", "", "NA", "-0", "0.1", "12."]),
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes(timezones=st.just(dt.UTC)).map(lambda moment: moment.isoformat()),
    st.text(max_size=5).filter(lambda text: "\0" not in text),
)
COLUMNS = st.one_of(
    st.lists(VALUES, min_size=1, max_size=8),
    *(
        st.lists(kind, min_size=1, max_size=8)
        for kind in (
            st.integers(-(2**63), 2**63 - 1).map(str),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
            st.dates().map(str),
            st.datetimes().map(str),
        )
    ),
)


def says_the_same(text: str, value: Any) -> bool:
    """Whether the typed value still is what the text says."""
    match value:
        case bool():
            return text.lower() == str(value).lower()
        case int():
            return text == str(value)
        case float():
            return Decimal(text) == Decimal(repr(value)) and math.copysign(1, value) == math.copysign(1, float(text))
        case dt.datetime():
            return dt.datetime.fromisoformat(text) == value
        case dt.date():
            return text == value.isoformat()
    return bool(text == value)


@given(COLUMNS)
@example(["5e-324"])
@example(["-0", "1"])
@example(["9007199254740993", "0.5"])
def test_no_value_is_lost(values: list[str | None]) -> None:
    census = TypeCensus()
    batch = pa.record_batch([pa.array(values, pa.string())], names=["a"])
    census.observe("a", batch["a"])
    typed = cast_batch(batch, plan_columns(batch.schema, census)).column(0).to_pylist()
    assert [value is None for value in typed] == [text is None for text in values]
    assert all(says_the_same(text, value) for text, value in zip(values, typed, strict=True) if text is not None)


@given(COLUMNS, st.integers(0, 8), st.integers(0, 8))
def test_the_type_does_not_depend_on_how_the_file_was_cut(values: list[str | None], cut: int, other: int) -> None:
    whole = decided(values)
    assert decided(values[:cut], values[cut:]) == whole
    left, right = TypeCensus(), TypeCensus()
    left.observe("a", pa.array(values[:other], pa.string()))
    right.observe("a", pa.array(values[other:], pa.string()))
    left.merge(right)
    assert left.postgres_type("a") == whole


@pytest.mark.parametrize(
    ("batches", "noted"),
    [
        ([["1", "2"], ["x"]], "bigint"),
        ([["1.5", "2", "n/a"]], "double precision"),
        ([["2020-01-01", "2020-01-02", "soon"]], "date"),
        ([["01067", "99999"]], "bigint"),
        ([["true", "x", "FALSE"]], "boolean"),
        ([["a", "b", "1"]], None),
        ([["1", "2"], ["2.5"]], None),
        ([[None], ["a"]], None),
        ([["a"], ["1", "2"]], None),
    ],
)
def test_a_column_of_mixed_values_is_noted(batches: list[list[str | None]], noted: str | None) -> None:
    census, parts = TypeCensus(), TypeCensus()
    for batch in batches:
        census.observe("a", pa.array(batch, pa.string()))
        part = TypeCensus()
        part.observe("a", pa.array(batch, pa.string()))
        parts.merge(part)
    wanted = {"a": f"some values look like {noted}, but not all fit: loaded as text"} if noted else {}
    assert census.notes() == wanted
    assert set(parts.notes()) >= set(wanted)
