"""Where the programs of this machine are: PostgreSQL with PostGIS, Node, Azurite."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Where Debian, Red Hat and Homebrew (Apple silicon, Intel) keep server programs that are not on PATH.
SERVER_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
SERVER_PROGRAMS = ("initdb", "postgres", "pg_config")
# Newer releases of Azurite want Node 22.
AZURITE_VERSION = "3.35.0"
AZURITE_MAIN = "node_modules/azurite/dist/src/blob/main.js"


def postgis_server() -> Path | None:
    """The folder of the newest PostgreSQL server programs that have PostGIS; None when there is none."""
    servers = [folder for folder in servers_newest_first() if has_postgis(folder)]
    return servers[0] if servers else None


def servers_newest_first() -> list[Path]:
    """The folders of all PostgreSQL server programs on this machine."""
    complete = {folder.resolve() for folder in server_folders() if all((folder / p).exists() for p in SERVER_PROGRAMS)}
    return sorted(complete, key=server_major, reverse=True)


def server_folders() -> Iterator[Path]:
    for pattern in SERVER_FOLDERS:
        yield from Path("/").glob(pattern.lstrip("/"))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


@cache
def server_major(folder: Path) -> int:
    """The major version, as in `postgres (PostgreSQL) 15.18`."""
    version = re.search(r"\s(\d+)", output_of(folder / "postgres", "--version"))
    return int(version.group(1)) if version else 0


def has_postgis(folder: Path) -> bool:
    extensions = Path(output_of(folder / "pg_config", "--sharedir")) / "extension"
    return (extensions / "postgis.control").exists()


def output_of(program: Path, argument: str) -> str:
    answer = subprocess.run([program, argument], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def npm_folder(root: Path, package: str, version: str) -> Path:
    """Where setup installs this version of a package; it is there complete or not at all."""
    return root / ".local" / "npm" / f"{package}-{version}"


def azurite_main(root: Path) -> Path | None:
    """Azurite's blob service as a Node script; None when it is not installed."""
    script = npm_folder(root, "azurite", AZURITE_VERSION) / AZURITE_MAIN
    return script if script.exists() else None


def functions_core_tools() -> str | None:
    """Azure Functions Core Tools, when installed."""
    return None if os.environ.get("LOCAL_HOST") else shutil.which("func")
