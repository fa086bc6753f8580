import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InvalidInput
from services.vector.columns import cast_batch, plan_columns
from services.vector.json_columns import MOST_COLUMNS, JsonColumns


def loaded(*batches: Sequence[dict[str, Any]]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Types and rows as they reach the table; jsonb is read back."""
    columns = JsonColumns()
    written = [columns.batch(batch) for batch in batches]
    plan = plan_columns(columns.schema())
    types = {column.source: column.type for column in plan.columns}
    tables = [cast_batch(batch, plan).rename_columns(list(types)) for batch in written]
    rows = [row for table in tables for row in table.to_pylist()]
    return types, [{name: _read_back(value, types[name]) for name, value in row.items()} for row in rows]


def _read_back(value: Any, type_: str) -> Any:
    return json.loads(value) if type_ == "jsonb" and value is not None else value


def column(*batches: Sequence[Any]) -> tuple[str, list[Any]]:
    types, rows = loaded(*([{"a": value} for value in batch] for batch in batches))
    return types["a"], [row["a"] for row in rows]


UTC_TEN = dt.datetime(2020, 1, 2, 10, tzinfo=dt.UTC)
LARGE = 123456789012345678901234567890


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([1, None, -3], "bigint", [1, None, -3]),
        ([2**63 - 1, -(2**63) + 1], "bigint", [2**63 - 1, -(2**63) + 1]),
        ([2**63, 1], "numeric(19, 0)", [Decimal(2**63), Decimal(1)]),
        ([LARGE, None, -1], "numeric(30, 0)", [Decimal(LARGE), None, Decimal(-1)]),
        ([10**40, 1], "text", [str(10**40), "1"]),
        ([1.5, 2, None], "double precision", [1.5, 2.0, None]),
        ([0.5, 2**53 + 1], "text", ["0.5", "9007199254740993"]),
        ([float("nan"), 1.5], "double precision", [None, 1.5]),
        ([float("inf")], "double precision", [float("inf")]),
        ([True, None, False], "boolean", [True, None, False]),
        ([True, 1], "text", ["true", "1"]),
        ([1, "x"], "text", ["1", "x"]),
        (["12", 12, 1.0, None], "text", ["12", "12", "1", None]),
        (['"', 1], "text", ['"', "1"]),
        (["12"], "text", ["12"]),
        (["true"], "text", ["true"]),
        ([None], "text", [None]),
        ([[1, "a"], {"k": None}, "12", 12], "jsonb", [[1, "a"], {"k": None}, "12", 12]),
        ([{"a": 2**70}], "jsonb", [{"a": 2**70}]),
        (["2020-01-02", "2020/01/03"], "date", [dt.date(2020, 1, 2), dt.date(2020, 1, 3)]),
        (["2020/01/02 10:00", None], "timestamp", [UTC_TEN.replace(tzinfo=None), None]),
        (["2020-01-02T12:00:00+02:00", "2020-01-02T10:00:00Z"], "timestamptz", [UTC_TEN, UTC_TEN]),
        (["10:20", "10:20:30.5"], "time", [dt.time(10, 20), dt.time(10, 20, 30, 500000)]),
        (["10:20", "25:00"], "text", ["10:20", "25:00"]),
        (["2020-01-02", ""], "text", ["2020-01-02", ""]),
        (["20200102"], "text", ["20200102"]),
    ],
)
def test_a_column_has_the_type_that_loses_nothing(values: list[Any], type_: str, expected: list[Any]) -> None:
    assert column(values) == (type_, expected)
    assert column(*([value] for value in values)) == (type_, expected)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.integers(-(10**39), 10**39),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, -0.0, 1e15, 1e16, 0, 10**15]),
    st.text('ab"\\{1}', max_size=4),
    st.dates().map(str),
    st.lists(st.integers(), max_size=2),
)


@given(st.lists(VALUES, max_size=6), st.lists(st.integers(0, 6), max_size=3))
@example([10**15, 0.5, "x"], [1])
@example(["12", [1]], [1])
@example([10**10, 0.5, False], [2])
def test_types_and_values_do_not_depend_on_how_the_rows_were_cut(values: list[Any], cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(values)]
    batches = [values[begin:end] for begin, end in pairwise(edges)]
    if values:
        assert column(*batches) == column(values)


def test_a_column_that_comes_late_is_kept_and_null_before() -> None:
    types, rows = loaded([{"a": 1}], [{"a": 2, "late": "x"}, {}], [{"late": None}])
    assert list(types) == ["a", "late"]
    assert [tuple(row.values()) for row in rows] == [(1, None), (2, "x"), (None, None), (None, None)]


def test_rows_without_columns_are_counted_all_the_same() -> None:
    assert JsonColumns().batch([{}, {}, {}]).num_rows == 3


def test_the_types_of_the_batches_only_widen() -> None:
    columns = JsonColumns()
    given: list[Any] = [None, 1, None, 0.5, 2, "x", 3]
    types = [columns.batch([{"a": value}]).schema.field("a").type for value in given]
    assert types == [pa.null(), pa.int64(), pa.int64(), pa.float64(), pa.float64(), pa.json_(), pa.json_()]


def test_more_columns_than_a_table_can_have_are_refused() -> None:
    columns = JsonColumns()
    columns.batch([{str(n): n for n in range(MOST_COLUMNS)}])
    with pytest.raises(InvalidInput) as caught:
        columns.batch([{"one more": 1}])
    assert caught.value.code == "too_many_columns"


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(99):
        value = [value]
    assert JsonColumns().batch([{"a": value}]).num_rows == 1
    with pytest.raises(InvalidInput) as caught:
        JsonColumns().batch([{"a": {"a": [value]}}])
    assert caught.value.code == "nested_too_deeply"
