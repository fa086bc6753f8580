"""`python -m tests.ui.screenshots`: the pictures of docs/images, made anew of the running app with real data."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from local.demo import completed, follow, zipped_shapefile
from local.setup.browser import tools
from local.stack import Stack
from tests.flow.sources import airports
from tests.ui.browser import DESKTOP, PHONE, Browser, chromium

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
INSTANCE = "screenshots"
COLOURS = 128
# Copies of the airports: long enough at work to be seen.
COPIES = 60


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with Stack(ROOT, INSTANCE) as stack:
        stack.start()
        headers = {"x-functions-key": stack.app.key}
        with (
            httpx.Client(base_url=stack.base_url, headers=headers, timeout=60, trust_env=False) as http,
            chromium(tools(ROOT), stack.base_url, stack.app.key) as browser,
        ):
            Studio(browser, http).everything()
    return 0


class Studio:
    def __init__(self, browser: Browser, http: httpx.Client) -> None:
        self.browser = browser
        self.http = http

    def everything(self) -> None:
        countries = self.load(
            "countries.zip", zipped_shapefile(), table_name="countries", title="Countries of the world"
        )
        airfields = self.load("airports.csv", spoiled_airports(), table_name="airports", title="Airports of the USA")
        self.failed(self.submit("stations.csv", airports().read_bytes(), table_name="stations", **PLACE))
        self.plan()
        self.list_and_progress()
        self.job(airfields)
        self.maps()
        self.queues()
        print(f"{countries[:8]}, {airfields[:8]}: see {IMAGES.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
