"""Azurite from npm, into .local/npm/azurite-VERSION."""

import shutil
from pathlib import Path

from local.setup.commands import run
from local.setup.errors import SetupError
from local.setup.programs import AZURITE_VERSION, azurite_main, npm_folder


def is_installed(root: Path) -> bool:
    return shutil.which("node") is not None and azurite_main(root) is not None


def install(root: Path) -> None:
    """Install into a draft folder first: what is in place is always complete."""
    require_node()
    if is_installed(root):
        return
    draft, place = root / ".local" / "setup" / "npm", npm_folder(root)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    plain = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    run("npm", "install", "--prefix", draft, *plain, f"azurite@{AZURITE_VERSION}")
    place.parent.mkdir(exist_ok=True)
    draft.rename(place)


def require_node() -> None:
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise SetupError(
            f"{' and '.join(missing)} not found. Azurite, the stand-in for blob storage, runs on Node.js:"
            " install it with its npm (Debian: apt-get install nodejs npm; macOS: brew install node)"
        )
