import datetime as dt
import json
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from services.vector.cells import CastTally
from services.vector.columns import ColumnPlan, cast_batch, plan_columns
from services.vector.copy_encoding import copy_encoder

POSTGRES_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def cast(values: pa.Array, tally: CastTally | None = None) -> tuple[str, list[Any]]:
    batch = pa.record_batch([values], names=["a"])
    plan = plan_columns(batch.schema)
    return plan.columns[0].type, cast_batch(batch, plan, tally).column(0).to_pylist()


MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (pa.array([1, None], pa.int8()), "bigint", [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), "numeric(20, 0)", [Decimal(2**64 - 1)]),
        (pa.array([1.5, float("nan"), float("inf")], pa.float32()), "double precision", [1.5, None, float("inf")]),
        (pa.array([True, None]), "boolean", [True, None]),
        (pa.array([MOMENT.date()], pa.date64()), "date", [MOMENT.date()]),
        (pa.array([MOMENT.time()], pa.time32("s")), "time", [MOMENT.time()]),
        (pa.array([MOMENT], pa.timestamp("ns")), "timestamp", [MOMENT]),
        (pa.array([1_577_934_245_000_000_123], pa.timestamp("ns")), "timestamp", [MOMENT]),
        (
            pa.array([0], pa.timestamp("s", "Europe/Berlin")),
            "timestamptz",
            [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)],
        ),
        (pa.array([Decimal("1.50")], pa.decimal128(5, 2)), "numeric(5, 2)", [Decimal("1.50")]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 1)), "text", ["1.5"]),
        (pa.array(["x"]).dictionary_encode(), "text", ["x"]),
        (pa.nulls(2), "text", [None, None]),
        (pa.array(["x"], pa.large_string()), "text", ["x"]),
        (pa.array([b"\x00\xff"], pa.large_binary()), "bytea", [b"\x00\xff"]),
    ],
)
def test_each_type_of_a_source_has_its_column(values: pa.Array, type_: str, expected: list[Any]) -> None:
    assert cast(values) == (type_, expected)


def test_numpys_missing_times_are_null() -> None:
    values = pa.array(np.array(["2020-01-02T03:04:05", "NaT"], "datetime64[ms]"))
    assert cast(values) == ("timestamp", [MOMENT, None])


def test_nul_characters_are_stripped_and_counted() -> None:
    tally = CastTally()
    assert cast(pa.array(["a\0b", "\0", "c", None]), tally) == ("text", ["ab", "", "c", None])
    assert tally.stripped_nuls == 2


def test_bytes_that_are_no_text_are_replaced_and_counted() -> None:
    tally = CastTally()
    values = pa.array([b"Z\xfcrich", b"plain"]).view(pa.string())
    assert cast(values, tally) == ("text", ["Z\ufffdrich", "plain"])
    assert tally.replaced_bytes == 1


def test_lists_and_structs_become_json() -> None:
    values = pa.array([{"a": [1, 2], "b": float("nan")}, None])
    type_, (first, second) = cast(values)
    assert (type_, json.loads(first), second) == ("jsonb", {"a": [1, 2], "b": None}, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("not json", "not json"),
        ("NaN", "NaN"),
        ('["a\\u0000b"]', ["ab"]),
        ('"\\\\u0000"', "\\u0000"),
        ('"\\ud800"', "?"),
    ],
)
def test_what_jsonb_would_refuse_is_mended(text: str, expected: Any) -> None:
    values = pa.ExtensionArray.from_storage(pa.json_(), pa.array([text]))
    type_, (stored,) = cast(values)
    assert type_ == "jsonb"
    assert json.loads(stored) == expected


def test_a_plan_survives_json() -> None:
    plan = plan_columns(pa.schema([("ID", pa.int64()), ("x", pa.decimal128(9, 2)), ("t", pa.timestamp("s", "UTC"))]))
    assert ColumnPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert [(naming.source, naming.name, naming.reason) for naming in plan.renames] == [("ID", "source_id", "reserved")]


def copied(batch: pa.RecordBatch) -> list[list[bytes | None]]:
    """The fields of every row as Postgres would read them: the COPY format of its manual, chapter COPY, binary."""
    encoder = copy_encoder(batch.schema)
    stream = encoder.write_header() + encoder.write_batch(batch) + encoder.finish()
    assert stream[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    rows, position = [], 19
    while (fields := struct.unpack_from("!h", stream, position)[0]) != -1:
        position += 2
        row: list[bytes | None] = []
        for _ in range(fields):
            (length,) = struct.unpack_from("!i", stream, position)
            position += 4
            row.append(None if length < 0 else stream[position : position + length])
            position += max(length, 0)
        rows.append(row)
    assert position + 2 == len(stream)
    return rows


def test_what_is_encoded_is_what_postgres_reads() -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    source = pa.record_batch(
        {
            "n": pa.array([-5, None], pa.int16()),
            "f": pa.array([1.5, float("nan")]),
            "b": pa.array([True, False]),
            "d": pa.array([dt.date(2000, 1, 3), None]),
            "t": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "s": pa.array(["ü", ""]),
            "j": pa.array([[1], None], pa.list_(pa.int64())),
            "y": pa.array([b"\x00", None]),
            "u": pa.array([10001, None], pa.uint64()),
            "c": pa.array([dt.time(0, 0, 1), None], pa.time32("ms")),
        }
    )
    first, second = copied(cast_batch(source, plan_columns(source.schema)))
    microseconds = (moment - POSTGRES_EPOCH) // dt.timedelta(microseconds=1)
    assert first == [
        struct.pack("!q", -5),
        struct.pack("!d", 1.5),
        b"\x01",
        struct.pack("!i", 2),
        struct.pack("!q", microseconds),
        "ü".encode(),
        b"\x01[1]",
        b"\x00",
        struct.pack("!hhhhhh", 2, 1, 0, 0, 1, 1),
        struct.pack("!q", 1_000_000),
    ]
    assert second == [None, None, b"\x00", None, None, b"", None, None, None, None]
