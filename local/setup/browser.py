"""What the tests of the pages need, and nobody else: Chromium with its driver, and axe-core, which judges
accessibility. They install it when they first run."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.setup import debian, npm
from local.setup.errors import SetupError
from local.setup.programs import npm_folder

AXE_VERSION = "4.14.1"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Tools:
    chromium: str
    driver: str
    axe: Path


def tools(root: Path) -> Tools:
    """Installed when they are missing. Raises SetupError where they cannot be."""
    if not (chromium() and shutil.which("chromedriver")):
        install_chromium()
    axe = npm_folder(root, "axe-core", AXE_VERSION)
    if not axe.exists():
        npm.install(root, "axe-core", AXE_VERSION)
    return Tools(str(chromium()), str(shutil.which("chromedriver")), axe / "node_modules/axe-core/axe.min.js")


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def install_chromium() -> None:
    if not debian.is_debian():
        raise SetupError("the pages are tested in Chromium: install it and chromedriver, so that both are on PATH")
    debian.install("chromium", "chromium-driver")
