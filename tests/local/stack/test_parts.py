"""Real parts: what they keep, where they listen, what remains of them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from azure.storage.blob import BlobClient, BlobServiceClient

from local.stack import Stack, StackError
from local.stack import database as databases
from local.stack.errors import InstanceBusyError
from local.stack.layout import Layout
from local.stack.ports import HOST, choose_port
from local.stack.processes import Account, started_at
from tests.conftest import Database, RunningApp


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield int(listener.getsockname()[1])


def test_postgres_keeps_committed_rows_over_a_crash(stack: Stack, database: Database) -> None:
    port = stack.postgres.port
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    stack.postgres.kill()
    assert not stack.postgres.healthy()
    stack.postgres.start()
    assert stack.postgres.port == port
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_azurite_keeps_blobs_over_a_restart(stack: Stack, blob_storage: str) -> None:
    name = f"{uuid4()}.bin"
    with BlobClient.from_connection_string(blob_storage, "bronze", name) as blob:
        blob.upload_blob(b"kept")
        stack.azurite.stop()
        stack.azurite.start()
        assert blob.download_blob().readall() == b"kept"


def test_azurite_has_both_zones(blob_storage: str) -> None:
    with BlobServiceClient.from_connection_string(blob_storage) as client:
        assert {container.name for container in client.list_containers()} >= {"bronze", "silver"}


def test_starting_what_runs_does_nothing(stack: Stack) -> None:
    assert stack.postgres.running
    assert stack.start("postgres") == []


def test_a_database_comes_with_extensions_stac_and_the_schema_of_the_app(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        extensions = {row[0] for row in connection.execute("SELECT extname FROM pg_extension")}
        assert connection.execute("SELECT to_regclass('pgstac.items'), to_regclass('app.jobs')").fetchone() is not None
        assert connection.execute("SELECT count(*) FROM app.schema_migrations").fetchone() != (0,)
    assert extensions >= {"postgis", "btree_gist"}


def test_tests_do_not_see_each_others_database(stack: Stack) -> None:
    template = databases.template(stack.server, stack.layout.root)
    databases.create(stack.server, "clone_one", template=template)
    with psycopg.connect(stack.server.url("clone_one")) as connection:
        connection.execute("CREATE TABLE mine ()")
    databases.create(stack.server, "clone_two", template=template)
    with psycopg.connect(stack.server.url("clone_two")) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    for name in ("clone_one", "clone_two"):
        databases.drop(stack.server, name)
        assert name not in databases.names(stack.server, "clone_")


def test_a_password_is_needed_to_connect(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=HOST, port=stack.server.port, user=stack.server.user, password="wrong", dbname="postgres")


def test_no_secret_can_be_read_by_others(stack: Stack) -> None:
    modes = {path.stat().st_mode & 0o777 for path in (stack.layout.home / "secrets").iterdir()}
    assert modes == {0o600}


def test_an_instance_belongs_to_one_session_at_a_time(stack: Stack) -> None:
    with pytest.raises(InstanceBusyError), Stack(stack.layout.root, stack.layout.instance):
        pass
    assert stack.postgres.healthy()


def test_a_taken_port_is_passed_over(taken_port: int) -> None:
    assert choose_port([None, taken_port]) != taken_port


def test_a_free_port_that_is_wanted_is_taken() -> None:
    wanted = choose_port()
    assert choose_port([wanted]) == wanted


def test_the_app_is_ready_and_its_address_file_has_what_scripts_need(app: RunningApp, service_bus: str) -> None:
    with app.client() as client:
        assert client.get("/api/readyz").status_code == 200
    addresses = app.stack.addresses()
    assert addresses == {
        "BASE_URL": app.base_url,
        "DATABASE_URL": app.database_url,
        "BLOB_CONNECTION_STRING": app.blob_storage,
        "SERVICE_BUS_CONNECTION_STRING": app.stack.servicebus.connection_string,
        "BRONZE_CONTAINER": "bronze",
        "FUNCTIONS_KEY": app.key,
        "NOTIFY_SECRET": app.stack.app.notify_secret,
    }
    assert addresses["SERVICE_BUS_CONNECTION_STRING"] != service_bus


def test_a_part_that_ends_while_starting_says_why(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.stack.servicebus.CONFIG", "no/such/file.json")
    stack.servicebus.stop()
    with pytest.raises(StackError, match="servicebus ended while starting") as failure:
        stack.servicebus.start()
    assert "file.json" in str(failure.value)
    assert stack.servicebus.running is None


def test_a_failed_start_takes_back_what_it_had_started(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.azurite.stop()
    stack.servicebus.stop()
    monkeypatch.setattr("local.stack.servicebus.CONFIG", "no/such/file.json")
    with pytest.raises(StackError):
        stack.start("postgres", "azurite", "servicebus")
    assert stack.azurite.running is None
    assert stack.postgres.running
    monkeypatch.undo()
    stack.start("azurite", "servicebus")


def test_a_stack_ends_with_its_owner_even_if_that_is_killed(stack: Stack) -> None:
    root, instance = stack.layout.root, f"killed-{uuid4().hex[:8]}"
    own = Layout(root, instance)
    owner = (
        "import sys, time; from pathlib import Path; from local.stack import Stack\n"
        f"with Stack(Path({str(root)!r}), {instance!r}) as stack:\n"
        "    stack.start('servicebus'); print('up', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", owner], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        broker = Stack(root, instance).servicebus.running
        assert broker is not None
        process.kill()
    assert ends(broker.pid, seconds=10)
    with own.lock(patience=10):
        Stack(root, instance).remove()


def ends(pid: int, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while started_at(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_cluster_that_its_user_cannot_reach_lives_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.stack.postgres.account", lambda: Account("postgres", 1, 1))
    monkeypatch.setattr("local.stack.postgres.is_reachable", lambda _folder: False)
    monkeypatch.setattr("local.stack.postgres.give_away", lambda _path: None)
    postgres = Stack(tmp_path, "hidden").postgres
    elsewhere = postgres.data_folder().parent
    assert not elsewhere.is_relative_to(tmp_path)
    assert postgres.data_folder().parent == elsewhere
    postgres.remove_data()
    assert not elsewhere.exists()
