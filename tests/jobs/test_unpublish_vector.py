"""unpublish_vector under bad luck: it happens once or not at all, and never to what is not the app's."""

from typing import Any

import psycopg
import pytest

from core.errors import Conflict, InvalidInput
from core.models.enums import JobStatus
from core.models.job import Job
from tests.jobs.conftest import CSV, Etl


def is_there(etl: Etl) -> tuple[bool, bool, bool]:
    """Whether the table, its metadata and its STAC item are there."""
    query = (
        "SELECT to_regclass('geo.t') IS NOT NULL, EXISTS (SELECT FROM geo.table_metadata),"
        " EXISTS (SELECT FROM pgstac.items)"
    )
    table, metadata, item = etl.rows(query)[0]
    return table, metadata, item


def result_of(job: Job) -> dict[str, Any]:
    assert job.status == JobStatus.COMPLETED, job.error
    assert job.result is not None
    return job.result


def test_table_metadata_and_item_go_together_when_the_task_completes(etl: Etl) -> None:
    loaded = etl.load(etl.put(CSV))
    job = etl.submit_unpublish()
    etl.next_job()
    assert is_there(etl) == (True, True, True)
    etl.finish()
    result = result_of(etl.job(job))
    assert is_there(etl) == (False, False, False)
    assert (result["schema"], result["name"], result["rows"], result["geometry_type"]) == ("geo", "t", 250, "Point")
    assert result["bbox"] == pytest.approx([0.2, 0.1, 50.0, 25.0])
    assert result["published_by"] == {"job_id": loaded.job_id, "run": 1}
    assert (result["dropped"], result["degraded"]) == (True, False)
    assert result["stac"] == {"collection": "system-vectors", "item_id": "geo.t"}


def test_a_failure_in_the_middle_takes_nothing_back(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    etl.load(etl.put(CSV))
    job = etl.submit_unpublish()
    etl.next_job()
    etl.run(
        "CREATE FUNCTION geo.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';"
        "CREATE TRIGGER no BEFORE DELETE ON geo.table_metadata EXECUTE FUNCTION geo.no()"
    )
    etl.next_task()
    assert is_there(etl) == (True, True, True)
    etl.run("DROP TRIGGER no ON geo.table_metadata")
    etl.finish()
    assert etl.job(job).status == JobStatus.COMPLETED
    assert is_there(etl) == (False, False, False)


def test_a_task_delivered_twice_takes_the_table_back_once(etl: Etl) -> None:
    name = etl.put(CSV)
    etl.load(name)
    job = etl.submit_unpublish()
    etl.next_job()
    message = etl.next_task()
    etl.finish()
    etl.load(name)
    etl.deliver(message, delivery_count=2)
    assert is_there(etl) == (True, True, True)
    assert etl.job(job).run == 1


def test_a_worker_that_lost_its_task_takes_nothing_back(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    etl.load(etl.put(CSV))
    etl.submit_unpublish()
    etl.next_job()
    [message] = etl.bus.tasks
    complete = etl.machine.state.complete_task

    def taken_over_first(*args: Any) -> bool:
        monkeypatch.setattr(etl.machine.state, "complete_task", complete)
        assert etl.machine.state.claim(message.body["task_id"], message.message_id, redelivered=True)
        return complete(*args)

    monkeypatch.setattr(etl.machine.state, "complete_task", taken_over_first)
    etl.next_task()
    assert is_there(etl) == (True, True, True)
    etl.deliver(message, delivery_count=3)
    etl.finish()
    assert is_there(etl) == (False, False, False)


def test_a_reader_finishes_reading_first(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.vector.postgis_handler.LOCK_PAUSES", (0.1, 0.1))
    etl.load(etl.put(CSV))
    job = etl.submit_unpublish()
    etl.next_job()
    with psycopg.connect(etl.url) as reader:
        reader.execute("SELECT count(*) FROM geo.t")
        etl.next_task()
        assert etl.job(job).status == JobStatus.PROCESSING
        assert etl.rows("SELECT failures, error->>'code' FROM app.tasks WHERE status = 'queued'") == [
            (0, "table_in_use")
        ]
        assert is_there(etl) == (True, True, True)
    etl.finish()
    assert is_there(etl) == (False, False, False)


def test_a_view_made_after_the_submission_keeps_its_table(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    job = etl.submit_unpublish()
    etl.run("CREATE VIEW geo.v AS SELECT name FROM geo.t")
    etl.finish()
    ended = etl.job(job)
    assert ended.error is not None
    assert ended.error["code"] == "table_has_dependents"
    assert is_there(etl) == (True, True, True)


def test_a_table_is_not_taken_back_while_it_is_loaded(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    loading = etl.submit(etl.put(CSV), overwrite=True)
    with pytest.raises(Conflict) as busy:
        etl.submit_unpublish()
    assert busy.value.details == {"job_id": loading.job_id}
    etl.finish()
    assert result_of(etl.unpublish())["published_by"]["job_id"] == loading.job_id


def test_a_table_is_not_loaded_while_it_is_taken_back(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.submit_unpublish()
    with pytest.raises(Conflict):
        etl.submit(etl.put(CSV), overwrite=True)


def test_what_the_catalogs_tell_of_a_table_dropped_by_hand_is_taken_back(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.run("DROP TABLE geo.t")
    assert result_of(etl.unpublish())["dropped"] is False
    assert is_there(etl) == (False, False, False)


@pytest.mark.parametrize(
    "theirs", ["CREATE TABLE geo.t (id bigint, geom geometry)", "CREATE VIEW geo.t AS SELECT 1 AS etl_batch_id"]
)
def test_a_strangers_table_in_the_place_of_a_published_one_stays(etl: Etl, theirs: str) -> None:
    etl.load(etl.put(CSV))
    etl.run(f"DROP TABLE geo.t; {theirs}")
    with pytest.raises(InvalidInput) as refused:
        etl.submit_unpublish()
    assert refused.value.code == "table_not_published"


def test_a_table_that_others_inherit_from_stays(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.run("CREATE TABLE geo.child () INHERITS (geo.t)")
    with pytest.raises(InvalidInput) as refused:
        etl.submit_unpublish()
    assert refused.value.code == "table_has_dependents"


def test_an_item_that_is_gone_already_is_nothing_to_fail_for(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.run("DELETE FROM pgstac.items")
    assert result_of(etl.unpublish())["degraded"] is False
    assert is_there(etl) == (False, False, False)


def test_without_pgstac_the_table_goes_and_the_result_says_so(etl: Etl) -> None:
    etl.load(etl.put(CSV))
    etl.run("DROP SCHEMA pgstac CASCADE")
    result = result_of(etl.unpublish())
    assert (result["degraded"], result["stac"]) == (True, None)
    assert "not installed" in result["degraded_reason"]
    assert etl.rows("SELECT to_regclass('geo.t')") == [(None,)]


def test_a_table_without_an_item_is_taken_back_without_one(etl: Etl) -> None:
    etl.run("ALTER SCHEMA pgstac RENAME TO elsewhere")
    etl.load(etl.put(CSV))
    etl.run("ALTER SCHEMA elsewhere RENAME TO pgstac")
    result = result_of(etl.unpublish())
    assert (result["degraded"], result["stac"]) == (False, None)


def test_an_ordinary_role_takes_back_what_it_published(plain_etl: Etl) -> None:
    plain_etl.load(plain_etl.put(CSV))
    result = result_of(plain_etl.unpublish())
    assert result["degraded"] is False, result["degraded_reason"]
    assert is_there(plain_etl) == (False, False, False)


def test_a_table_given_to_a_stranger_is_the_strangers(plain_etl: Etl) -> None:
    plain_etl.load(plain_etl.put(CSV))
    plain_etl.run("ALTER TABLE geo.t OWNER TO CURRENT_USER")
    with pytest.raises(InvalidInput) as refused:
        plain_etl.submit_unpublish()
    assert refused.value.code == "table_not_owned"
