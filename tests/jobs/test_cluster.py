"""`cluster: true`: the rows stand along a Hilbert curve, whatever happens while they are sorted."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import Fenced
from core.models.enums import JobStatus
from core.models.job import Job
from core.models.messages import Outgoing
from services.vector.postgis_handler import VectorToPostGISHandler
from tests.jobs.conftest import Etl

ROWS = 1000


def scattered() -> str:
    """Points in no order, in ten chunks."""
    dice = random.Random(5)
    places = [(n, dice.uniform(-80, 80), dice.uniform(-170, 170)) for n in range(1, ROWS + 1)]
    return "name,lat,lon\n" + "".join(f"row {n},{lat:.6f},{lon:.6f}\n" for n, lat, lon in places)


CSV = scattered()


def stored(etl: Etl, table: str = "geo.t") -> list[int]:
    """The rows' numbers as they stand on disk."""
    return [number for (number,) in etl.rows(f"SELECT id FROM {table} ORDER BY ctid")]  # noqa: S608


def along_the_curve(etl: Etl) -> list[int]:
    return [number for (number,) in etl.rows("SELECT id FROM geo.t ORDER BY geom")]


def assert_clustered(etl: Etl, job: Job) -> None:
    ended = etl.job(job)
    assert ended.status == JobStatus.COMPLETED, ended.error
    assert stored(etl) == along_the_curve(etl)
    assert etl.rows("SELECT id FROM geo.t WHERE name = 'row ' || id ORDER BY id") == [(n,) for n in range(1, ROWS + 1)]
    assert etl.left_behind(job) == []


def test_rows_of_all_chunks_stand_along_one_curve(etl: Etl) -> None:
    job = etl.load(etl.put(CSV), cluster=True)
    assert_clustered(etl, job)
    assert job.result is not None
    assert job.result["chunks"] == 10
    assert "cluster" in job.result["seconds"]


def test_neighbours_on_disk_are_neighbours_in_space(etl: Etl) -> None:
    step = "SELECT avg(d) FROM (SELECT ST_Distance(geom, lag(geom) OVER (ORDER BY ctid)) AS d FROM geo.{}) AS steps"
    etl.load(etl.put(CSV), cluster=True)
    etl.load(etl.put(CSV), table_name="as_it_came")
    [(near,)], [(far,)] = etl.rows(step.format("t")), etl.rows(step.format("as_it_came"))
    assert near < far / 10


def test_rows_stand_as_in_the_source_unless_asked_otherwise(etl: Etl) -> None:
    """Those of a chunk do; where the next chunk begins on disk is up to the connection that loads it."""
    job = etl.load(etl.put(CSV))
    numbers = stored(etl)
    by_chunk = [[number for number in numbers if (number - 1) // 100 == chunk] for chunk in range(10)]
    assert by_chunk == [list(range(100 * chunk + 1, 100 * chunk + 101)) for chunk in range(10)]
    assert numbers != along_the_curve(etl)
    assert job.result is not None
    assert "cluster" not in job.result["seconds"]


def test_a_clustered_table_is_made_like_any_other(etl: Etl) -> None:
    columns = (
        "SELECT attname, attnotnull, attcompression, attstorage, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'geo.{}'::regclass AND attnum > 0 ORDER BY attnum"
    )
    indexes = "SELECT replace(indexdef, '{0}', 't') FROM pg_indexes WHERE tablename = '{0}' ORDER BY 1"
    etl.load(etl.put(CSV), cluster=True, indexes={"attributes": ["name"]})
    etl.load(etl.put(CSV), table_name="plain", indexes={"attributes": ["name"]})
    assert etl.rows(columns.format("t")) == etl.rows(columns.format("plain"))
    assert etl.rows(indexes.format("t")) == etl.rows(indexes.format("plain"))


def test_geometries_of_all_types_stand_along_one_curve(etl: Etl) -> None:
    shapes = ("POINT ({0} {0})", "LINESTRING ({0} 0, {0} {0})", "POLYGON (({0} 0, 80 0, 80 1, {0} 0))")
    rows = [(shape, place) for place in random.Random(5).sample(range(1, 80), 40) for shape in shapes]
    wkt = "name,shape\n" + "".join(f'x,"{shape.format(place)}"\n' for shape, place in rows)
    given = {"lat_name": None, "lon_name": None, "wkt_column": "shape", "geometry_type": "any"}
    job = etl.load(etl.put(wkt), cluster=True, **given)
    assert job.status == JobStatus.COMPLETED, job.error
    assert sorted(stored(etl)) == list(range(1, 121))
    assert stored(etl) == along_the_curve(etl) != sorted(stored(etl))


def test_large_geometries_keep_their_compression(etl: Etl) -> None:
    ring = ", ".join(f"{n / 100} {n % 7 / 10}" for n in range(2000))
    lines = "".join(f'{n},"LINESTRING ({n} -9, {ring})"\n' for n in (40, 3, 70))
    given = {"lat_name": None, "lon_name": None, "wkt_column": "shape"}
    assert etl.load(etl.put("n,shape\n" + lines), cluster=True, **given).status == JobStatus.COMPLETED
    assert etl.rows("SELECT DISTINCT pg_column_compression(geom) FROM geo.t") == [("lz4",)]
    assert stored(etl) == along_the_curve(etl)


def killed_in(etl: Etl, monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool) -> Outgoing:
    """The last stage's task dies when it comes to the method, or when it leaves it. Returns its message."""
    original: Callable[..., Any] = getattr(VectorToPostGISHandler, method)

    def die(*args: Any) -> None:
        if after:
            original(*args)
        raise KeyboardInterrupt

    message = etl.bus.tasks[0]
    with monkeypatch.context() as kill:
        kill.setattr(VectorToPostGISHandler, method, die)
        with pytest.raises(KeyboardInterrupt):
            etl.next_task()
    return message


@pytest.mark.parametrize(("method", "after"), [("cluster", False), ("cluster", True), ("build_indexes", True)])
def test_a_stage_that_was_killed_is_done_again(
    etl: Etl, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    job = etl.submit(etl.put(CSV), cluster=True)
    etl.until_stage(3)
    message = killed_in(etl, monkeypatch, method, after=after)
    etl.deliver(message, delivery_count=2)
    etl.finish()
    assert_clustered(etl, job)


def test_a_worker_killed_while_it_sorts_leaves_the_table_as_it_was(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    job = etl.submit(etl.put(CSV), cluster=True)
    etl.until_stage(3)
    before = staged(etl)
    with monkeypatch.context() as kill:
        kill.setattr(etl.machine.state, "hold", interrupted)
        message = etl.bus.tasks[0]
        with pytest.raises(KeyboardInterrupt):
            etl.next_task()
    assert staged(etl) == before
    etl.deliver(message, delivery_count=2)
    etl.finish()
    assert_clustered(etl, job)


def interrupted(*_args: Any) -> None:
    raise KeyboardInterrupt


def staged(etl: Etl) -> list[tuple[Any, ...]]:
    """The names of the staging tables, and which tables they are."""
    return etl.rows("SELECT relname, oid FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r'")


def test_what_has_its_indexes_is_not_sorted_again(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    job = etl.submit(etl.put(CSV), cluster=True)
    etl.until_stage(3)
    message = killed_in(etl, monkeypatch, "build_indexes", after=True)
    before = staged(etl)
    build_indexes = VectorToPostGISHandler.build_indexes
    seen: list[Any] = []

    def look(*args: Any) -> Any:
        seen.extend(staged(etl))
        return build_indexes(*args)

    monkeypatch.setattr(VectorToPostGISHandler, "build_indexes", look)
    etl.deliver(message, delivery_count=2)
    etl.finish()
    assert seen == before
    assert_clustered(etl, job)


def test_a_worker_that_lost_its_task_sorts_for_nobody(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    job = etl.submit(etl.put(CSV), cluster=True)
    etl.until_stage(3)
    message, before, hold = etl.bus.tasks[0], staged(etl), etl.machine.state.hold

    def taken_over_first(*args: Any) -> None:
        monkeypatch.setattr(etl.machine.state, "hold", hold)
        etl.machine.state.claim(message.body["task_id"], message.message_id, redelivered=True)
        with pytest.raises(Fenced):
            hold(*args)
        raise Fenced

    monkeypatch.setattr(etl.machine.state, "hold", taken_over_first)
    etl.next_task()
    assert staged(etl) == before
    etl.deliver(message, delivery_count=3)
    etl.finish()
    assert_clustered(etl, job)
