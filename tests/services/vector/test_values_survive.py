"""Whatever a file holds is in the table: compared value by value, for generated files, with what pyogrio reads."""

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from infrastructure.postgresql import Connection
from services.timing import Stopwatch
from services.vector.batches import copy_rows
from services.vector.columns import cast_batch, plan_columns
from tests.services.vector.loading import connected, load
from tests.services.vector.reading import feature, point, write_geojson, write_text

BIGINTS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
# What GeoPackage has: milliseconds.
MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
ZONED = MOMENTS.map(lambda moment: moment.replace(tzinfo=dt.UTC))
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "n": (pa.int64(), BIGINTS),
    "small": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "x": (pa.float64(), st.floats(allow_infinity=False)),
    "flag": (pa.bool_(), st.booleans()),
    "s": (pa.string(), TEXTS),
    "day": (pa.date32(), st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1))),
    "local": (pa.timestamp("ms"), MOMENTS),
    "moment": (pa.timestamp("ms", "UTC"), ZONED),
    "bytes": (pa.binary(), st.binary(min_size=1, max_size=9)),
    "größe": (pa.string(), TEXTS),
}
ROWS = st.lists(st.tuples(*(st.one_of(st.none(), values) for _, values in COLUMNS.values())), min_size=1, max_size=6)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def connection(session_database_url: str) -> Iterator[Connection]:
    with connected(session_database_url) as opened:
        yield opened
        opened.rollback()


def write_geopackage(path: Path, rows: Sequence[tuple[Any, ...]], latitude: float = 50.0) -> pa.Table:
    """Returns what pyogrio reads of it."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, kind) for values, (kind, _) in zip(columns, COLUMNS.values(), strict=True)]
    points = pa.array(shapely.to_wkb([shapely.Point(n, latitude) for n in range(len(rows))]), pa.binary())
    table = pa.table([*arrays, points], [*COLUMNS, "geom"])
    path.unlink(missing_ok=True)
    pyogrio.write_arrow(table, path, driver="GPKG", geometry_name="geom", geometry_type="Point", crs="EPSG:4326")
    return pyogrio.read_arrow(path)[1]


def plain(value: Any) -> Any:
    """A value of Arrow or psycopg as one compares it: NaN is null, moments are in UTC."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.astimezone(dt.UTC) if getattr(value, "tzinfo", None) else value


@SLOW
@given(ROWS)
def test_a_geopackage_is_loaded_as_pyogrio_reads_it(
    connection: Connection, tmp_path: Path, rows: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "values.gpkg"
    expected = write_geopackage(path, rows)
    loaded = load(connection, path)
    assert [row["id"] for row in loaded.rows] == list(range(1, len(rows) + 1))
    for name in COLUMNS:
        found = [plain(value) for value in loaded.values(name)]
        wanted = [plain(value) for value in expected.column(name).to_pylist()]
        if name in ("local", "moment"):
            found, wanted = [moment(value) for value in found], [moment(value) for value in wanted]
        assert found == wanted, name


def moment(value: dt.datetime | None) -> dt.datetime | None:
    """pyogrio reads what it wrote without a zone with one, when others in the file have one."""
    return value.replace(tzinfo=None) if value else None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ARROW: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = COLUMNS | {
    "unsigned": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "price": (pa.decimal128(20, 4), st.decimals(-(10**15), 10**15, places=4)),
    "wide": (pa.decimal256(60, 2), st.decimals(-(10**40), 10**40, places=2)),
    "infinite": (pa.float64(), st.sampled_from([math.inf, -math.inf])),
    "micro": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    "clock": (pa.time64("us"), st.times()),
    "list": (pa.list_(pa.int64()), st.lists(BIGINTS, max_size=3)),
    "json": (pa.string(), JSON.map(json.dumps)),
}


def copied(connection: Connection, batch: pa.RecordBatch) -> tuple[list[str], list[dict[str, Any]]]:
    """The batch as a table has it: the names of its columns, and its rows."""
    plan = plan_columns(batch.schema)
    table = sql.Identifier("copied")
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in plan.columns
    )
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(table, columns))
        copy_rows(connection, table, [cast_batch(batch, plan)], Stopwatch())
        rows = connection.execute(sql.SQL("SELECT * FROM {}").format(table)).fetchall()
    return [column.name for column in plan.columns], rows


@SLOW
@given(st.data())
def test_every_type_of_arrow_keeps_its_values(connection: Connection, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(ARROW)))
    kind, values = ARROW[name]
    given_values = data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=8))
    array = pa.array(given_values, kind)
    if name == "json":
        array = pa.ExtensionArray.from_storage(pa.json_(), array)
    _, rows = copied(connection, pa.record_batch([array], names=[name]))
    found = [plain(row[name]) for row in rows]
    assert found == [stored(value, name) for value in given_values]


def stored(value: Any, name: str) -> Any:
    if value is None:
        return None
    if name == "json":
        return json.loads(value)
    if name == "wide":
        return f"{value:.2f}"
    return plain(Decimal(value) if name == "unsigned" else value)


LIKELY = st.sampled_from(["id", "ID", "geom", "a", "A", "a_2", "xmin", "etl_batch_id", "", "1", "select", "ü" * 40])
NAMES = st.lists(st.one_of(LIKELY, TEXTS, st.text(min_size=50, max_size=90).filter(str.isprintable)), max_size=9)


@SLOW
@given(NAMES)
def test_whatever_the_columns_are_called_each_keeps_its_value(connection: Connection, sources: list[str]) -> None:
    """Postgres cuts and folds names on its own, silently: it must have nothing left to do."""
    batch = pa.RecordBatch.from_arrays([pa.array([number]) for number in range(len(sources))], names=sources)
    if not sources:
        return
    names, (row,) = copied(connection, batch)
    assert list(row) == names
    assert list(row.values()) == list(range(len(sources)))


def test_rejected_rows_keep_the_values_of_the_source(connection: Connection, tmp_path: Path) -> None:
    values = {"big": 2**62 + 1, "flag": True, "tags": ["a", 1], "of": {"k": None}, "größe": "ü", "id": "x"}
    path = write_geojson(tmp_path / "a.geojson", feature(None, **values), feature(point(1, 2), **values))
    (reject,) = load(connection, path).rejects
    attributes = reject["attributes"]
    assert {name: attributes[name] for name in ("big", "flag", "größe")} == {
        name: values[name] for name in ("big", "flag", "größe")
    }
    assert attributes["source_id"] == "x"
    assert attributes["of"] == {"k": None}


@SLOW
@given(ROWS)
def test_rejected_rows_of_a_geopackage_tell_what_pyogrio_reads(
    connection: Connection, tmp_path: Path, rows: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "rejected.gpkg"
    expected = write_geopackage(path, rows, latitude=200)
    loaded = load(connection, path)
    assert [reject["row_number"] for reject in loaded.rejects] == list(range(1, len(rows) + 1))
    for name in ("n", "small", "flag", "s", "größe"):
        found = [reject["attributes"][name] for reject in loaded.rejects]
        assert found == expected.column(name).to_pylist(), name
    days = [reject["attributes"]["day"] for reject in loaded.rejects]
    assert days == [None if day is None else day.isoformat() for day in expected.column("day").to_pylist()]
    raw = [reject["attributes"]["bytes"] for reject in loaded.rejects]
    assert raw == [None if value is None else value.hex() for value in expected.column("bytes").to_pylist()]


def test_a_csv_keeps_each_text_that_no_type_holds(connection: Connection, tmp_path: Path) -> None:
    text = "n,code,mixed,lat,lon\n9007199254740993,007,1,1,1\n-1,+49,x,2,2\n"
    loaded = load(connection, write_text(tmp_path / "a.csv", text), lat_name="lat", lon_name="lon")
    assert loaded.values("n") == [9007199254740993, -1]
    assert loaded.values("code") == ["007", "+49"]
    assert loaded.values("mixed") == ["1", "x"]
