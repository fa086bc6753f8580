"""PostgreSQL with PostGIS, from the system's packages. Clusters that exist are left alone, and none is made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.setup import debian
from local.setup.commands import as_root, run
from local.setup.errors import SetupError
from local.setup.programs import postgis_server, server_major, servers_newest_first

ANY_POSTGIS = "^postgresql-[0-9]+-postgis-3$"
# Our own file beside the user's configuration; read by postgresql-common when a server is installed.
NO_MAIN_CLUSTER = "/etc/postgresql-common/createcluster.d/vector-etl.conf"
BY_HAND = """PostgreSQL with PostGIS is missing, and this machine has no apt-get. Install it with, say,
  macOS:   brew install postgis
  Fedora:  dnf install postgresql-server postgresql-contrib postgis
or set POSTGIS_HOST, POSTGIS_PORT, POSTGIS_USER, POSTGIS_PASSWORD and POSTGIS_DATABASE to use your own server."""


def is_installed(_root: Path) -> bool:
    return bool(os.environ.get("POSTGIS_HOST")) or postgis_server() is not None


def install(root: Path) -> None:
    if is_installed(root):
        return
    if not debian.is_debian():
        raise SetupError(BY_HAND)
    servers = servers_newest_first()
    if servers:
        debian.install(f"postgresql-{server_major(servers[0])}-postgis-3")
    else:
        debian.install("postgresql-common")
        with no_main_cluster():
            debian.install(newest_postgis())
    if postgis_server() is None:
        raise SetupError("PostGIS was installed, but no server that has it is found; is it in an unusual place?")


def newest_postgis() -> str:
    """The package of the newest server that has PostGIS, as in postgresql-15-postgis-3. It brings the server along."""
    packages = debian.available(ANY_POSTGIS)
    if not packages:
        debian.update()
        packages = debian.available(ANY_POSTGIS)
    if not packages:
        raise SetupError("apt knows no package postgresql-NN-postgis-3")
    return max(packages, key=lambda package: int(package.split("-")[1]))


@contextmanager
def no_main_cluster() -> Iterator[None]:
    """Installing a server creates and starts a cluster named main, unless configured otherwise."""
    run(*as_root(), "mkdir", "-p", str(Path(NO_MAIN_CLUSTER).parent))
    run(*as_root(), "tee", NO_MAIN_CLUSTER, text="create_main_cluster = false\n")
    try:
        yield
    finally:
        run(*as_root(), "rm", "-f", NO_MAIN_CLUSTER)
