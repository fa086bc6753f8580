"""The command line, run as a user runs it."""

import json
import os
import pty
import signal
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from core.models.vector import ProcessVectorParams
from tests.conftest import RunningApp
from tests.flow.flow import Flow
from tests.flow.sources import csv, written
from tests.vector_etl.conftest import PLACE, CommandLine, environment
from vector_etl.cli.parameters import option_of, parameters

BAD_ROW = csv("name,lat,lon", "a,1,2", "b,999,4")
KEEP_ALL = ("--max-reject-percent", "100")


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A file whose job fails."""
    path = tmp_path / "header.csv"
    path.write_text("name,lat,lon\n")
    return path


def test_a_file_is_loaded_and_its_receipt_shown(vector_etl: CommandLine, flow: Flow, points: Path, table: str) -> None:
    ran = vector_etl("load", points, "--table", table, *PLACE, "--title", "Points", "--follow")
    assert f"geo.{table} Point, EPSG:4326" in ran.stdout
    assert "2 rows read = 2 loaded + 0 rejected" in ran.stdout
    assert "/api/jobs/rejects/" in ran.stdout
    assert "completed: create_stac" in ran.stderr
    assert [row["name"] for row in flow.rows(table)] == ["a", "b"]


def test_a_terminal_sees_a_bar_for_each_stage(vector_etl: CommandLine, points: Path, table: str) -> None:
    terminal, end = pty.openpty()
    running = vector_etl.start("load", points, "--table", table, *PLACE, "--follow", stderr=end)
    os.close(end)
    seen = b""
    while chunk := read(terminal):
        seen += chunk
    assert running.wait(60) == 0
    for stage in ("upload points.csv", "1/3 prepare_chunks", "2/3 upload_chunks", "3/3 create_stac"):
        assert stage in seen.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_a_shapefile_comes_with_its_sidecars(vector_etl: CommandLine, flow: Flow, tmp_path: Path, table: str) -> None:
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shapely.Point(1, 1)], crs=4326)
    path = written(frame, tmp_path / "places.shp")
    job = vector_etl.json("load", path, "--table", table, "--follow")
    assert job["result_data"]["rows"]["loaded"] == 1
    assert job["parameters"]["blob_name"].endswith("/places.zip")
    assert flow.rows(table)[0]["name"] == "a"


def test_without_following_the_job_goes_on_by_itself(
    vector_etl: CommandLine, flow: Flow, points: Path, table: str
) -> None:
    ran = vector_etl("load", points, "--table", table, *PLACE)
    job_id = ran.stdout.strip()
    assert f"vector-etl status {job_id} --follow" in ran.stderr
    assert vector_etl.json("status", job_id, "--follow")["status"] == "completed"
    assert job_id[:12] in vector_etl("jobs", "--limit", "1").stdout
    assert vector_etl.json("jobs", "--limit", "1")[0]["job_id"] == job_id  # type: ignore[index]
    assert "completed" in vector_etl("status", job_id[:16]).stdout


def test_what_would_be_refused_is_not_submitted(vector_etl: CommandLine, flow: Flow, points: Path, table: str) -> None:
    with flow.nothing_accepted():
        ran = vector_etl("load", points, "--table", table, exit_code=3)
    assert "csv_geometry_missing --lat (lat_name)" in ran.stderr
    assert "Perhaps: --lat lat --lon lon" in ran.stderr
    blob = ran.stderr.split("give --blob ")[1].split()[0]
    vector_etl("load", "--blob", blob, "--table", table, *PLACE, "--follow")


def test_a_refused_submission_names_the_option(vector_etl: CommandLine, points: Path) -> None:
    ran = vector_etl("load", points, "--table", "P 1", *PLACE, "--no-inspect", exit_code=3)
    assert "invalid_parameters --table (table_name): " in ran.stderr
    told = vector_etl.json("load", points, "--table", "P 1", *PLACE, "--no-inspect", exit_code=3)
    assert (told["error"]["code"], told["error"]["exit_code"]) == ("invalid_parameters", 3)
    assert told["error"]["errors"][0]["parameter"] == "table_name"


def test_a_file_is_looked_at_without_a_table(vector_etl: CommandLine, flow: Flow, points: Path) -> None:
    with flow.nothing_accepted():
        ran = vector_etl("inspect", points, *PLACE)
        assert "double precision" in ran.stdout
        assert vector_etl.json("inspect", points, *PLACE)["estimate"]["rows"] == 2
        assert "csv_geometry_missing" in vector_etl("inspect", points, exit_code=3).stderr


def test_a_failed_job_tells_why_and_how_to_go_on(vector_etl: CommandLine, failing: Path, table: str) -> None:
    arguments = ("load", failing, "--table", table, *PLACE, "--no-inspect", "--follow")
    ran = vector_etl(*arguments, exit_code=4)
    assert "no_features" in ran.stderr
    job_id = ran.stderr.split("vector-etl retry ")[1].split()[0]
    assert vector_etl.json("retry", job_id, "--follow", exit_code=4)["error"]["job"]["run"] == 2
    assert vector_etl.json("status", job_id)["run"] == 2


def test_a_cancelled_job_has_an_exit_code_of_its_own(vector_etl: CommandLine, flow: Flow, table: str) -> None:
    job_id = flow.hello(n=1, message=table, failure_rate=1.0)
    # Before the job fails by itself: a process takes its time to start. Twice is the same.
    flow.http.post(f"/api/jobs/cancel/{job_id}")
    assert "cancelled" in vector_etl("cancel", job_id).stdout
    vector_etl("status", job_id, "--follow", exit_code=5)


def test_who_interrupts_is_told_how_to_come_back_and_the_job_goes_on(
    vector_etl: CommandLine, flow: Flow, points: Path, table: str
) -> None:
    job_id = vector_etl("load", points, "--table", table, *PLACE).stdout.strip()
    flow.completed(job_id)
    with flow.standing_still():
        running = vector_etl.start("load", points, "--table", f"{table}_2", *PLACE, "--follow")
        assert running.stderr is not None
        while not (line := running.stderr.readline()).startswith(("queued", "processing")):
            assert line, "it ended"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130, said
    assert "The job goes on" in said
    other = said.split("vector-etl status ")[1].split()[0]
    flow.completed(other)
    assert flow.there(f"{table}_2")


def test_rejected_rows_are_shown_and_written(vector_etl: CommandLine, flow: Flow, tmp_path: Path, table: str) -> None:
    (tmp_path / "bad.csv").write_text(BAD_ROW if isinstance(BAD_ROW, str) else BAD_ROW.decode())
    job = vector_etl.json("load", "bad.csv", "--table", table, *PLACE, *KEEP_ALL, "--follow")
    assert "coordinates_out_of_range" in vector_etl("rejects", job["job_id"]).stdout
    assert vector_etl.json("rejects", job["job_id"])[0]["row_number"] == 2  # type: ignore[index]
    assert "1 rejected rows" in vector_etl("rejects", job["job_id"], "--output", "r.csv").stderr
    assert (tmp_path / "r.csv").read_text().splitlines()[1].startswith("2,coordinates_out_of_range,")
    assert "1 rejected rows" in vector_etl("rejects", job["job_id"], "-o", "r.geojson").stderr
    assert json.loads((tmp_path / "r.geojson").read_text())["features"][0]["id"] == 2
    vector_etl("rejects", job["job_id"], "-o", "r.txt", exit_code=2)


def test_a_table_is_taken_back_by_who_says_yes(vector_etl: CommandLine, flow: Flow, points: Path, table: str) -> None:
    vector_etl("load", points, "--table", table, *PLACE, "--follow")
    assert "--yes" in vector_etl("unpublish", f"geo.{table}", exit_code=2).stderr
    assert flow.there(table)
    vector_etl("unpublish", f"geo.{table}", "--yes", "--follow")
    assert not flow.there(table)


def test_pages_are_opened_by_table_and_job(vector_etl: CommandLine, app: RunningApp, flow: Flow) -> None:
    job_id = flow.hello(n=1, message="opened")
    assert vector_etl.json("open")["url"] == f"{app.base_url}/api/ui"
    assert vector_etl.json("open", "parcels")["url"] == f"{app.base_url}/api/map/geo.parcels"
    assert vector_etl.json("open", job_id)["url"] == f"{app.base_url}/api/ui/jobs/{job_id}"
    assert app.key not in vector_etl("open").stdout


def test_the_exit_code_tells_what_went_wrong(vector_etl: CommandLine, flow: Flow, points: Path) -> None:
    done = flow.hello(n=1, message="exit code")
    flow.completed(done)
    vector_etl("load", points, exit_code=2)
    vector_etl("load", "--table", "t", exit_code=2)
    vector_etl("load", "nowhere.csv", "--table", "t", exit_code=3)
    vector_etl("jobs", "--url", "http://127.0.0.1:1", exit_code=6)
    vector_etl("retry", done, exit_code=7)
    assert "--key" in vector_etl("jobs", "--key", "wrong", exit_code=8).stderr
    vector_etl("status", "0" * 64, exit_code=9)


def test_a_running_stack_of_the_checkout_is_found(app: RunningApp, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    lost = CommandLine(environment(), tmp_path / "below")
    assert "--url" in lost("jobs", exit_code=6).stderr
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "stack.env").write_text(f"BASE_URL='{app.base_url}'\nFUNCTIONS_KEY='{app.key}'\n")
    lost("jobs")
    lost("jobs", "--url", app.base_url, exit_code=8)


def test_every_parameter_is_reachable() -> None:
    texts: Any = dict.fromkeys(("layer_name", "source_crs", "schema", "title", "description", "attribution"), "a")
    more: Any = dict.fromkeys(("license", "lat_name", "lon_name", "temporal_property"), "a")
    sent = parameters(
        **texts,
        **more,
        file_extension="csv",
        encoding="utf-8",
        delimiter=";",
        quote="'",
        decimal=",",
        overwrite=True,
        geometry_type="any",
        max_reject_percent=1,
        tolerance=1,
        preserve_topology=False,
        snap_to_grid=1,
        chunk_size=100,
        spatial=False,
        attributes=["a"],
        temporal=["a"],
        keywords=["a"],
        param=["container_name=abc", 'table_name="a"', "blob_name=a"],
    )
    taken = ProcessVectorParams.model_validate(sent).model_dump(mode="json")
    left_out = {"wkt_column", "wkb_column"}
    assert {name for name, value in taken.items() if value is None} == left_out
    assert taken["converter_params"] == {"delimiter": ";", "quote": "'", "encoding": None, "decimal": ","}
    assert taken["geometry_params"]["simplify"] == {"tolerance": 1, "preserve_topology": False}
    assert taken["indexes"] == {"spatial": False, "attributes": ["a"], "temporal": ["a"]}
    assert [option_of(name) for name in sorted(left_out)] == ["--wkb", "--wkt"]
    assert parameters(wkt_column="w") == {"wkt_column": "w"}


def test_every_parameter_has_an_option() -> None:
    inside = {"converter_params", "geometry_params", "indexes"}
    names = {field.alias or name for name, field in ProcessVectorParams.model_fields.items()} - inside
    assert [name for name in sorted(names) if option_of(name) is None] == []
