"""Azurite from npm."""

import shutil
from pathlib import Path

from local.setup import npm
from local.setup.errors import SetupError
from local.setup.programs import AZURITE_VERSION, azurite_main


def is_installed(root: Path) -> bool:
    return shutil.which("node") is not None and azurite_main(root) is not None


def install(root: Path) -> None:
    require_node()
    if not is_installed(root):
        npm.install(root, "azurite", AZURITE_VERSION)


def require_node() -> None:
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise SetupError(
            f"{' and '.join(missing)} not found. Azurite, the stand-in for blob storage, runs on Node.js:"
            " install it with its npm (Debian: apt-get install nodejs npm; macOS: brew install node)"
        )
