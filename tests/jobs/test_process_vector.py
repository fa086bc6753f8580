"""The pipeline under bad luck: tasks that run twice, workers that lost their task, tables that must not change."""

import time
from collections.abc import Callable
from threading import Timer
from typing import Any

import psycopg
import pytest

from core.errors import Fenced, InvalidInput
from core.models.enums import JobStatus
from core.models.job import Job
from core.ports import Transaction
from core.sql import publishing
from services.vector.batches import replace_batch
from services.vector.geometry import prepare_geometries
from services.vector.leftovers import leftovers, release
from tests.jobs.conftest import CSV, Etl

WITH_REJECTS = (
    CSV.replace("row 50,5.0,10.0", "row 50,,")
    .replace("row 202,20.2,40.4", "row 202,95,10")
    .replace("row 203,20.3,40.6", "row 203,,")
)
REJECTED = [(50, "null_geometry"), (202, "axes_swapped"), (203, "null_geometry")]
ALL_ROWS = [(n, f"row {n}") for n in range(1, 251)]


def table(etl: Etl) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in etl.rows("SELECT id, name FROM geo.t ORDER BY id")]


def code_of(job: Job) -> str:
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    return str(job.error["code"])


def test_every_row_arrives_once_under_its_number_in_the_source(etl: Etl) -> None:
    job = etl.load(etl.put(CSV))
    assert job.status == JobStatus.COMPLETED
    assert table(etl) == ALL_ROWS
    assert job.result is not None
    assert (job.result["rows"]["read"], job.result["rows"]["loaded"], job.result["chunks"]) == (250, 250, 3)
    assert etl.left_behind(job) == []


def test_nothing_is_visible_before_everything_is(etl: Etl) -> None:
    etl.submit(etl.put(CSV))
    etl.until_stage(3)
    assert etl.rows("SELECT to_regclass('geo.t')") == [(None,)]
    etl.finish()
    assert len(table(etl)) == 250


def test_an_upload_that_runs_twice_replaces_its_rows(etl: Etl) -> None:
    etl.submit(etl.put(CSV))
    etl.until_stage(2)
    message = etl.bus.tasks[0]
    etl.next_task()
    # As if the worker had died between its commit and the completion of the task.
    etl.run("ALTER TABLE app.tasks DISABLE TRIGGER keep_terminal")
    etl.run("UPDATE app.tasks SET status = 'queued' WHERE stage = 2 AND task_index = 0")
    etl.run("UPDATE app.job_stages SET completed = completed - 1 WHERE stage = 2")
    etl.deliver(message)
    deleted = etl.rows("SELECT result->>'rows_deleted' FROM app.tasks WHERE stage = 2 AND task_index = 0")
    assert deleted == [("100",)]
    etl.finish()
    assert table(etl) == ALL_ROWS


def rejects(etl: Etl) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in etl.rows("SELECT row_number, reason FROM app.rejects ORDER BY row_number")]


def test_an_upload_that_runs_twice_keeps_its_rejects_once(etl: Etl) -> None:
    job = etl.submit(etl.put(WITH_REJECTS))
    etl.until_stage(2)
    message = etl.bus.tasks[0]
    etl.next_task()
    # As if the worker had died between its commit and the completion of the task.
    etl.run("ALTER TABLE app.tasks DISABLE TRIGGER keep_terminal")
    etl.run("UPDATE app.tasks SET status = 'queued' WHERE stage = 2 AND task_index = 0")
    etl.run("UPDATE app.job_stages SET completed = completed - 1 WHERE stage = 2")
    etl.deliver(message)
    etl.finish()
    assert etl.job(job).status == JobStatus.COMPLETED
    assert rejects(etl) == REJECTED


def test_rejects_that_were_not_kept_stop_the_publication(etl: Etl) -> None:
    job = etl.submit(etl.put(WITH_REJECTS))
    etl.until_stage(3)
    etl.run("DELETE FROM app.rejects WHERE row_number = 202")
    etl.finish()
    ended = etl.job(job)
    assert code_of(ended) == "rows_do_not_add_up"
    assert "rejected 3 rows, but 2 are kept" in str(ended.error)
    assert etl.rows("SELECT to_regclass('geo.t')") == [(None,)]


def test_rejects_go_with_the_next_run_whether_it_reads_anything_or_not(etl: Etl) -> None:
    name = etl.put(WITH_REJECTS)
    job = etl.load(name)
    etl.run("DROP TABLE geo.t")
    again = etl.submit(name)
    assert (again.job_id, again.run) == (job.job_id, 2)
    assert (job.job_id, 1) in list(leftovers(etl.machine.resources))
    etl.machine.cancel(again)
    assert rejects(etl) == []


def test_rejects_go_when_nobody_can_want_them_any_more(etl: Etl) -> None:
    old, young = etl.load(etl.put(WITH_REJECTS)), etl.load(etl.put(WITH_REJECTS), table_name="u")
    end = "UPDATE app.jobs SET finished_at = now() - interval '{}' WHERE job_id = '{}'"
    etl.run(end.format("31 days", old.job_id))
    etl.run(end.format("29 days", young.job_id))
    resources = etl.machine.resources
    assert list(leftovers(resources)) == [(old.job_id, 1)]
    release(old.job_id, 1, resources)
    release(young.job_id, 1, resources)
    assert etl.rows("SELECT DISTINCT job_id FROM app.rejects") == [(young.job_id,)]
    assert rejects(etl) == REJECTED


def test_a_chunk_of_nothing_but_rejects_is_a_chunk_like_any_other(etl: Etl) -> None:
    nowhere = "".join(f"nowhere {n},,\n" for n in range(100))
    job = etl.load(etl.put(CSV + nowhere + nowhere), max_reject_percent=50)
    assert job.result is not None
    assert (job.result["rows"]["loaded"], job.result["rows"]["rejected"]) == (250, {"null_geometry": 200})
    assert len(rejects(etl)) == 200


def test_an_upload_may_repair_for_longer_than_a_transaction_may_idle(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(1)
        return prepare_geometries(*args, **kwargs)

    def impatiently(tx: Transaction, *args: Any) -> tuple[int, int]:
        tx.run("SET LOCAL idle_in_transaction_session_timeout = '500ms'")
        return replace_batch(tx, *args)

    monkeypatch.setattr("services.vector.chunk_loader.prepare_geometries", slowly)
    monkeypatch.setattr("services.vector.process_vector_tasks.replace_batch", impatiently)
    job = etl.load(etl.put(CSV))
    assert job.status == JobStatus.COMPLETED, job.error
    assert etl.rows("SELECT max(attempt) FROM app.tasks") == [(1,)]


def test_a_worker_that_lost_its_chunk_writes_nothing(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    etl.submit(etl.put(CSV))
    etl.until_stage(2)
    message = etl.bus.tasks[0]
    hold = etl.machine.state.hold

    def taken_over_first(*args: object) -> None:
        monkeypatch.setattr(etl.machine.state, "hold", hold)
        etl.machine.state.claim(message.body["task_id"], message.message_id, redelivered=True)
        with pytest.raises(Fenced):
            hold(*args)  # type: ignore[arg-type]
        raise Fenced

    monkeypatch.setattr(etl.machine.state, "hold", taken_over_first)
    etl.next_task()
    assert etl.rows("SELECT count(*) FROM app.batches") == [(0,)]
    etl.deliver(message, delivery_count=3)
    etl.finish()
    assert table(etl) == ALL_ROWS


def test_rows_that_do_not_add_up_are_never_published(etl: Etl) -> None:
    job = etl.submit(etl.put(CSV))
    etl.until_stage(3)
    name = etl.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")[0][0]
    etl.run(f'DELETE FROM staging."{name}" WHERE id = 17')  # noqa: S608
    etl.finish()
    ended = etl.job(job)
    assert code_of(ended) == "rows_do_not_add_up"
    assert "loaded 250 rows, but the table has 249" in str(ended.error)
    assert etl.rows("SELECT to_regclass('geo.t')") == [(None,)]
    assert etl.left_behind(job) == []


def test_without_pgstac_the_job_completes_degraded_and_says_why(etl: Etl) -> None:
    etl.run("DROP SCHEMA pgstac CASCADE")
    job = etl.load(etl.put(CSV))
    assert job.status == JobStatus.COMPLETED
    assert job.result is not None
    assert job.result["degraded"] is True
    assert "not installed" in job.result["degraded_reason"]
    assert job.result["stac"] is None
    assert len(table(etl)) == 250


def test_a_failed_overwrite_leaves_the_old_table_as_it_was(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    failed = etl.load(etl.put("name,lat,lon\nnowhere,,\n"), overwrite=True)
    assert code_of(failed) == "no_usable_features"
    assert table(etl) == ALL_ROWS
    assert etl.rows("SELECT feature_count FROM geo.table_metadata") == [(250,)]
    assert etl.left_behind(failed) == []


def test_the_old_table_serves_until_the_new_one_takes_its_place(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.submit(etl.put("name,lat,lon\nnew,1,2\n"), overwrite=True)
    etl.until_stage(3)
    assert table(etl) == ALL_ROWS
    etl.finish()
    assert table(etl) == [(1, "new")]


def test_who_could_read_the_old_table_can_read_the_new_one(etl: Etl) -> None:
    etl.run("DROP ROLE IF EXISTS reader_of_tests")
    etl.run("CREATE ROLE reader_of_tests")
    try:
        etl.load(etl.put(CSV))
        etl.run("GRANT SELECT ON geo.t TO reader_of_tests")
        etl.load(etl.put(CSV), overwrite=True, title="again")
        assert etl.rows("SELECT has_table_privilege('reader_of_tests', 'geo.t', 'SELECT')") == [(True,)]
        assert etl.rows("SELECT has_table_privilege('reader_of_tests', 'geo.t', 'DELETE')") == [(False,)]
    finally:
        etl.run("DROP TABLE IF EXISTS geo.t")
        etl.run("DROP ROLE reader_of_tests")


def test_a_table_that_a_view_stands_on_is_not_replaced(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.run("CREATE VIEW geo.v AS SELECT name FROM geo.t")
    with pytest.raises(InvalidInput, match=r"geo\.v depends on it") as refused:
        etl.submit(etl.put(CSV), overwrite=True)
    assert refused.value.code == "table_has_dependents"


def test_a_table_that_appears_while_the_job_runs_is_not_overwritten(etl: Etl) -> None:
    job = etl.submit(etl.put(CSV))
    etl.until_stage(3)
    etl.run("CREATE TABLE geo.t AS SELECT 'theirs' AS name, 1 AS id")
    etl.finish()
    assert code_of(etl.job(job)) == "table_exists"
    assert table(etl) == [(1, "theirs")]


def test_a_name_that_an_index_would_take_may_be_in_use(etl: Etl) -> None:
    etl.run("CREATE TABLE geo.t_geom_idx (x integer); CREATE TABLE geo.t_pkey_idx (x integer)")
    assert etl.load(etl.put(CSV)).status == JobStatus.COMPLETED
    names = {row[0] for row in etl.rows("SELECT indexname FROM pg_indexes WHERE tablename = 't'")}
    assert names == {"t_geom_idx2", "t_pkey_idx2", "t_batch_idx"}


def test_the_longest_table_name_is_published_with_its_indexes(etl: Etl) -> None:
    name = "t" * 57
    assert etl.load(etl.put(CSV), table_name=name).status == JobStatus.COMPLETED
    assert len(etl.rows(f"SELECT 1 FROM pg_indexes WHERE tablename = '{name}'")) == 3  # noqa: S608


def test_indexes_and_the_time_span_are_made_as_asked_for(etl: Etl) -> None:
    csv = "name,lat,lon,seen\na,1,2,2024-05-01\nb,3,4,2025-06-02\n"
    indexes = {"attributes": ["name"], "temporal": ["seen"]}
    job = etl.load(etl.put(csv), indexes=indexes, temporal_property="seen")
    assert job.status == JobStatus.COMPLETED
    names = {row[0] for row in etl.rows("SELECT indexname FROM pg_indexes WHERE tablename = 't'")}
    assert {"t_name_idx", "t_seen_idx"} <= names
    item = etl.rows("SELECT pgstac.get_item('geo.t', 'system-vectors')")[0][0]
    assert item["properties"]["start_datetime"].startswith("2024-05-01")
    assert item["properties"]["end_datetime"].startswith("2025-06-02")


def test_an_index_on_a_column_that_is_not_there_fails_before_anything_is_loaded(etl: Etl) -> None:
    job = etl.load(etl.put(CSV), indexes={"attributes": ["nmae"]})
    assert code_of(job) == "column_not_found"
    assert "available: name, lat, lon" in str(job.error)
    assert etl.left_behind(job) == []


def test_a_source_that_is_replaced_after_submission_is_not_loaded(etl: Etl) -> None:
    name = etl.put(CSV)
    job = etl.submit(name)
    etl.bronze.upload_blob(name, CSV + "more,1,2\n", overwrite=True)
    etl.finish()
    assert code_of(etl.job(job)) == "source_changed"


def test_a_source_that_vanishes_after_submission_fails_the_job_at_once(etl: Etl) -> None:
    name = etl.put(CSV)
    job = etl.submit(name)
    etl.bronze.delete_blob(name)
    etl.finish()
    assert code_of(etl.job(job)) == "blob_not_found"
    assert etl.rows("SELECT attempt FROM app.tasks") == [(1,)]


def test_a_damaged_chunk_fails_the_job_and_not_the_worker(etl: Etl) -> None:
    job = etl.submit(etl.put(CSV))
    etl.until_stage(2)
    silver = etl.machine.resources.silver
    for name in silver.names(f"chunks/{job.job_id}/"):
        silver._in(None).upload_blob(name, silver.read(name)[:300], overwrite=True)
    etl.finish()
    assert code_of(etl.job(job)) == "damaged_chunk"


def test_no_temporary_file_stays_on_any_way_out(etl: Etl, no_temporary_files_left: Callable[[], list[str]]) -> None:
    etl.load(etl.put(CSV))
    etl.load(etl.put("not,a,geometry\n1,2,3\n"), table_name="u")
    assert no_temporary_files_left() == []


def test_a_completed_job_runs_again_when_its_table_is_gone(etl: Etl) -> None:
    name = etl.put(CSV)
    etl.load(name)
    etl.run("DROP TABLE geo.t")
    again = etl.load(name)
    assert (again.status, again.run) == (JobStatus.COMPLETED, 2)
    assert len(table(etl)) == 250


def test_what_a_crash_leaves_behind_is_named_by_its_run_and_removed(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    job = etl.submit(etl.put(CSV))
    etl.until_stage(2)
    resources = etl.machine.resources
    with monkeypatch.context() as crash:
        crash.setattr(etl.machine, "release", lambda _job_id: None)
        etl.machine.cancel(job)
    assert (job.job_id, 1) in list(leftovers(resources))
    assert etl.left_behind(job) != []
    release(job.job_id, 1, resources)
    release(job.job_id, 1, resources)
    assert etl.left_behind(job) == []
    assert (job.job_id, 1) not in list(leftovers(resources))


def test_a_table_in_use_is_not_waited_for_so_long_that_readers_pile_up(
    etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.vector.postgis_handler.LOCK_PAUSES", (0.1, 0.1))
    etl.load(etl.put(CSV))
    job = etl.submit(etl.put("name,lat,lon\nnew,1,2\n"), overwrite=True)
    etl.until_stage(3)
    with psycopg.connect(etl.url) as reader:
        reader.execute("SELECT count(*) FROM geo.t")
        etl.next_task()
        assert etl.job(job).status == JobStatus.PROCESSING
        assert len(table(etl)) == 250
    etl.finish()
    assert table(etl) == [(1, "new")]


def test_an_autovacuum_gives_way_to_a_table_that_is_replaced(etl: Etl) -> None:
    """A vacuum that would take hours, as of a large table on a busy server."""
    etl.load(etl.put(CSV))
    etl.submit(etl.put("name,lat,lon\nnew,1,2\n"), overwrite=True)
    etl.until_stage(3)
    slow = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    always = "autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0"
    with psycopg.connect(etl.url, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE geo.t SET ({slow}, {always})")
        # Pages to work through, a tenth of a second for each.
        point = "ST_SetSRID(ST_Point(1, 2), 4326)"
        admin.execute(
            "INSERT INTO geo.t (id, etl_batch_id, name, geom)"  # noqa: S608
            f" SELECT n + 1000, 0, 'x', {point} FROM generate_series(1, 100000) AS n"
        )
        admin.execute("DELETE FROM geo.t WHERE id > 1000")
        try:
            admin.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
            admin.execute("SELECT pg_reload_conf()")
            wait_for_autovacuum(admin)
        finally:
            admin.execute("ALTER SYSTEM RESET autovacuum_naptime")
            admin.execute("SELECT pg_reload_conf()")
    etl.next_task()
    assert table(etl) == [(1, "new")]
    etl.finish()


@pytest.mark.parametrize("cluster", [False, True])
def test_no_autovacuum_is_in_the_way_of_a_table_that_is_loaded_and_each_may_have_it_once_it_is_published(
    etl: Etl, cluster: bool
) -> None:
    options = (
        "SELECT c.reloptions, t.reloptions FROM pg_class AS c JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE "
    )
    etl.submit(etl.put(CSV), cluster=cluster)
    etl.until_stage(2)
    off = ["autovacuum_enabled=false"]
    assert etl.rows(options + "c.relnamespace = 'staging'::regnamespace") == [(off, off)]
    etl.finish()
    assert etl.rows(options + "c.oid = 'geo.t'::regclass") == [(None, None)]


def wait_for_autovacuum(admin: psycopg.Connection) -> None:
    at_work = "SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%geo.t'"
    deadline = time.monotonic() + 60
    while admin.execute(at_work).fetchone() is None:
        assert time.monotonic() < deadline, "no autovacuum came"
        time.sleep(0.1)


def test_the_catalog_is_waited_for_also_when_a_table_is_replaced(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    job = etl.submit(etl.put("name,lat,lon\nnew,1,2\n"), overwrite=True)
    etl.until_stage(3)
    with psycopg.connect(etl.url) as writer:
        writer.execute(publishing.lock_catalog.encode())
        end_of_writing = Timer(2.0, writer.commit)
        end_of_writing.start()
        etl.next_task()
        end_of_writing.join()
    etl.finish()
    assert etl.job(job).status == JobStatus.COMPLETED
    assert etl.rows("SELECT DISTINCT attempt FROM app.tasks WHERE stage = 3") == [(1,)]
    assert table(etl) == [(1, "new")]


def test_a_grant_on_a_column_stays_while_the_column_does(etl: Etl) -> None:
    etl.run("DROP ROLE IF EXISTS clerk_of_tests")
    etl.run("CREATE ROLE clerk_of_tests")
    try:
        etl.load(etl.put("name,gone,lat,lon\na,b,1,2\n"))
        etl.run("GRANT SELECT (name, gone) ON geo.t TO clerk_of_tests")
        assert etl.load(etl.put(CSV), overwrite=True).status == JobStatus.COMPLETED
        rights = "has_column_privilege('clerk_of_tests', 'geo.t', '{}', 'SELECT')"
        assert etl.rows(f"SELECT {rights.format('name')}, {rights.format('lat')}") == [(True, False)]
    finally:
        etl.run("DROP TABLE IF EXISTS geo.t")
        etl.run("DROP ROLE clerk_of_tests")


def test_moments_beyond_what_a_catalog_can_tell_do_not_stop_a_table(etl: Etl) -> None:
    csv = "name,lat,lon,seen\na,1,2,2024-05-01T00:00:00Z\nb,3,4,9999-12-31T23:59:59-10:00\n"
    assert etl.load(etl.put(csv), temporal_property="seen").status == JobStatus.COMPLETED


def test_an_ordinary_role_loads_replaces_and_catalogs_a_table(plain_etl: Etl) -> None:
    first = plain_etl.load(plain_etl.put(CSV))
    assert first.status == JobStatus.COMPLETED, first.error
    again = plain_etl.load(plain_etl.put(CSV), overwrite=True, title="again")
    assert again.status == JobStatus.COMPLETED, again.error
    assert again.result is not None
    assert again.result["degraded"] is False, again.result["degraded_reason"]
    assert len(table(plain_etl)) == 250


def test_a_role_that_may_not_write_the_catalog_publishes_degraded(plain_etl: Etl) -> None:
    plain_etl.run(f"REVOKE pgstac_ingest FROM {plain_etl.settings.postgis_user}")
    job = plain_etl.load(plain_etl.put(CSV))
    assert job.status == JobStatus.COMPLETED, job.error
    assert job.result is not None
    assert job.result["degraded"] is True
    assert "may not use it" in job.result["degraded_reason"]
