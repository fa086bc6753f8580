"""A private PostgreSQL cluster of this checkout. No other cluster of the machine is looked at or touched."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from local.setup.programs import postgis_server, server_major
from local.stack import database
from local.stack.errors import StackError
from local.stack.layout import Layout
from local.stack.part import Part
from local.stack.ports import HOST
from local.stack.processes import Account
from local.stack.server import Server

SUPERUSER = "postgres"
# Sized for a laptop with two cores that runs the whole stack at once.
TUNING = {
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "max_wal_size": "4GB",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
}
# Commits reach the system but need not reach the disk: a killed server loses nothing, a power cut everything.
# Hence no synchronous_commit=off here, which costs a killed server its last commits.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
# Folders in the system's temporary directory are ours only when they carry this file.
OWNER_FILE = "vector-etl-checkout"


class Postgres(Part):
    """PostgreSQL with PostGIS, TCP only, with a generated password."""

    name = "postgres"
    # A fast shutdown: connections are ended, the WAL is flushed.
    stop_signal = signal.SIGINT
    stop_seconds = 60

    def __init__(self, layout: Layout, *, fast: bool = False) -> None:
        super().__init__(layout)
        self.fast = fast

    @property
    def server(self) -> Server:
        return Server(HOST, self.port, SUPERUSER, self.layout.secret("postgres"))

    def settings(self) -> dict[str, str]:
        return self.server.settings()

    def launch(self, port: int) -> None:
        programs = server_programs()
        data = self.data_folder()
        if not (data / "PG_VERSION").exists():
            self.create_cluster(programs, data)
        options = TUNING | wal_compression(programs) | (NOT_DURABLE if self.fast else {}) | listen_on(port)
        switches = [switch for name, value in options.items() for switch in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(data), *switches]
        self.processes.launch(self.name, command, port=port, account=account(), cwd=data)

    def create_cluster(self, programs: Path, data: Path) -> None:
        """Run initdb. Half a cluster is never left: it moves into place when it is complete."""
        draft = data.with_name("new")
        shutil.rmtree(draft, ignore_errors=True)
        password_file = data.with_name("password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.layout.secret("postgres"))
        give_away(password_file)
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            draft,
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ]
        try:
            run_as(account(), [*command, f"--locale={locale()}", f"--pwfile={password_file}", "--no-instructions"])
        finally:
            password_file.unlink()
        draft.rename(data)

    def data_folder(self) -> Path:
        """Where the cluster is: here, or in a recorded place when the server's user cannot reach this checkout."""
        here = self.layout.folder(self.name)
        elsewhere = self.folder_elsewhere()
        if elsewhere is None and account() is not None and not is_reachable(here):
            elsewhere = self.new_folder_elsewhere()
        if elsewhere is None:
            give_away(here)
        return (elsewhere or here) / "data"

    def folder_elsewhere(self) -> Path | None:
        """The recorded folder outside of the checkout, when it is ours: a copied checkout has the record, too."""
        with suppress(OSError):
            folder = Path(self.pointer.read_text())
            return folder if (folder / OWNER_FILE).read_text() == self.layout.mark else None
        return None

    def new_folder_elsewhere(self) -> Path:
        """A folder that survives a reboot, marked as ours."""
        folder = Path(tempfile.mkdtemp(prefix="vector-etl-", dir="/var/tmp"))
        (folder / OWNER_FILE).write_text(self.layout.mark)
        give_away(folder)
        self.pointer.write_text(str(folder))
        return folder

    @property
    def pointer(self) -> Path:
        return self.layout.home / self.name / "elsewhere"

    def remove_data(self) -> None:
        """Delete the cluster, which is down, wherever it is; only what we created."""
        elsewhere = self.folder_elsewhere()
        if elsewhere is not None:
            shutil.rmtree(elsewhere)
        super().remove_data()

    def healthy(self) -> bool:
        try:
            with psycopg.connect(self.server.url("postgres"), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def prepare_use(self) -> None:
        database.create(self.server, self.server.database)


def server_programs() -> Path:
    """The folder of the server programs. Raises StackError when PostgreSQL or PostGIS is missing."""
    programs = postgis_server()
    if programs is None:
        raise StackError("PostgreSQL with PostGIS is not installed; `make setup` installs it or says how")
    return programs


def wal_compression(programs: Path) -> dict[str, str]:
    """A new index goes to the WAL as whole pages. pglz, the only way before 15, doubles the time of a btree."""
    return {"wal_compression": "lz4" if server_major(programs) >= 15 else "on"}


def listen_on(port: int) -> dict[str, str]:
    return {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": ""}


def locale() -> str:
    return "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"


def account() -> Account | None:
    """PostgreSQL refuses to run as root, so root lends it an unprivileged user. None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise StackError("root cannot run PostgreSQL, and there is no user `postgres` to run it as") from None
    return Account(user.pw_name, user.pw_uid, user.pw_gid)


def give_away(path: Path) -> None:
    """Let the server's user own a file or folder."""
    owner = account()
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)


def is_reachable(folder: Path) -> bool:
    """Whether the server's user may pass through all folders above."""
    try:
        run_as(account(), ["test", "-x", folder])
    except StackError:
        return False
    return True


def run_as(user: Account | None, command: list[str | Path]) -> None:
    """Run a command to its end. Raises StackError with its output when it fails."""
    answer = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    if answer.returncode:
        raise StackError(f"{Path(command[0]).name} failed: {answer.stderr.strip() or answer.stdout.strip()}")
