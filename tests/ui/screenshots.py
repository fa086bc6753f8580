"""`python -m tests.ui.screenshots`: the pictures of docs/images, made anew of the running app with real data."""

import io
import json
import sys
from pathlib import Path

import httpx
from PIL import Image
from selenium.webdriver.support.select import Select

from local.demo import follow, zipped_shapefile
from local.setup.browser import tools
from local.stack import Stack
from tests.flow.sources import airports, countries
from tests.ui.browser import DESKTOP, PHONE, Browser, chromium

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
INSTANCE = "screenshots"
PLACE = {"lat_name": "latitude", "lon_name": "longitude"}
COLOURS = 256
# Copies of the airports, and rows a chunk: long enough at work to be seen.
COPIES, CHUNK = 35, 1000


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with Stack(ROOT, INSTANCE) as stack:
        stack.start()
        headers = {"x-functions-key": stack.app.key}
        with (
            httpx.Client(base_url=stack.base_url, headers=headers, timeout=60, trust_env=False) as http,
            chromium(tools(ROOT), stack.base_url, stack.app.key) as browser,
        ):
            studio = Studio(browser, http)
            studio.load_all()
            studio.jobs_and_progress()
            studio.one_job()
            studio.plan()
            studio.maps()
            studio.small_and_dark()
    return 0


class Studio:
    def __init__(self, browser: Browser, http: httpx.Client) -> None:
        self.browser = browser
        self.http = http

    def upload(self, name: str, content: bytes) -> str:
        answer = self.http.post("/api/uploads", params={"file_name": name}, content=content)
        return str(answer.raise_for_status().json()["blob_name"])

    def submit(self, name: str, content: bytes, **parameters: object) -> str:
        request = {"blob_name": self.upload(name, content), "overwrite": True, **parameters}
        answer = self.http.post("/api/jobs/submit/process_vector", json=request)
        if answer.status_code == httpx.codes.CONFLICT:
            # A session before was cut off.
            follow(self.http, answer.json()["job_id"])
            answer = self.http.post("/api/jobs/submit/process_vector", json=request)
        return str(answer.raise_for_status().json()["job_id"])

    def load(self, name: str, content: bytes, **parameters: object) -> str:
        job_id = self.submit(name, content, **parameters)
        follow(self.http, job_id)
        return job_id

    def shoot(self, name: str) -> None:
        """Few colours make a small file."""
        self.browser.until(lambda: not self.browser.all("[aria-busy=true], .map-note"), "it is loading for ever")
        picture = Image.open(io.BytesIO(self.browser.driver.get_screenshot_as_png())).convert("RGB")
        picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            IMAGES / f"{name}.png", optimize=True
        )

    def load_all(self) -> None:
        world = {"title": "Countries of the world", "attribution": "Natural Earth", "license": "CC0-1.0"}
        self.load("countries.zip", zipped_shapefile(), table_name="countries", **world)
        self.airports = self.load(
            "airports.csv", spoiled_airports(), table_name="airports", title="Airports of the USA", **PLACE
        )
        self.failed = self.load("borders.geojson", spoiled_countries(), table_name="borders", max_reject_percent=1)

    def jobs_and_progress(self) -> None:
        job_id = self.submit("flights.csv", many_airports(), table_name="flights", chunk_size=CHUNK, **PLACE)
        self.browser.goto("ui/jobs")
        self.browser.until(lambda: "rows/s" in self.browser.text, "no pace", patience=200)
        self.shoot("jobs")
        self.browser.goto(f"ui/jobs/{job_id}")
        self.browser.until(lambda: "left of this stage" in self.browser.text, "no pace")
        self.shoot("progress")
        follow(self.http, job_id)

    def one_job(self) -> None:
        self.browser.goto(f"ui/jobs/{self.airports}")
        self.browser.sees("Receipt")
        self.browser.resize(DESKTOP[0], 1330)
        self.shoot("job")
        self.browser.resize(*DESKTOP)
        self.browser.goto(f"ui/jobs/{self.failed}")
        self.browser.sees("It failed")
        self.shoot("failed")

    def plan(self) -> None:
        self.browser.goto("ui/load")
        self.browser.find("#file").send_keys(str(airports()))
        self.browser.sees("There is a table of this name")
        self.browser.resize(DESKTOP[0], 1100)
        self.shoot("load")
        self.browser.resize(*DESKTOP)

    def maps(self) -> None:
        self.browser.goto("map/geo.countries")
        self.browser.rendered("table-fill")
        Select(self.browser.find("#style-column")).select_by_value("continent")
        self.browser.until(lambda: self.browser.all(".legend li"), "no legend")
        self.browser.run(f"void {MAP}.jumpTo({{center: [15, 25], zoom: 1.6}})")
        self.browser.rendered("table-fill")
        self.shoot("map")
        self.browser.goto(f"map/geo.borders?job={self.failed}")
        self.browser.rendered("reject-line")
        self.browser.all("summary")[0].click()
        self.browser.all(".reject-list button")[1].click()
        self.browser.run(f"void {MAP}.jumpTo({{center: [40, 30], zoom: 1.7}})")
        self.browser.rendered("reject-line")
        self.shoot("rejects")

    def small_and_dark(self) -> None:
        self.browser.prefer("dark")
        self.browser.resize(*PHONE)
        self.browser.goto(f"ui/jobs/{self.airports}")
        self.browser.sees("Receipt")
        self.shoot("phone-dark")


MAP = "document.querySelector('.map-canvas').map"


def spoiled_airports() -> bytes:
    """A latitude that is none, one that is missing, one that is somewhere else."""
    content = airports().read_bytes().replace(b"31.95376472", b"131.95").replace(b"38.94574889", b"n/a")
    return content.replace(b"30.68586111,-95.01792778", b",")


def many_airports() -> bytes:
    header, *rows = airports().read_bytes().splitlines(keepends=True)
    return header + b"".join(rows) * COPIES


def spoiled_countries() -> bytes:
    """Some have lost their area, some their shape."""
    told = json.loads(countries().to_json())
    for feature in told["features"][:40:5]:
        ring = outer_ring(feature["geometry"])
        half = ring[: len(ring) // 2]
        feature["geometry"] = {"type": "Polygon", "coordinates": [half + half[::-1][1:]]}
    for feature in told["features"][100:104]:
        feature["geometry"] = None
    return json.dumps(told).encode()


def outer_ring(geometry: dict[str, object]) -> list[object]:
    rings = geometry["coordinates"]
    assert isinstance(rings, list)
    ring: list[object] = rings[0] if geometry["type"] == "Polygon" else max((polygon[0] for polygon in rings), key=len)
    return ring


if __name__ == "__main__":
    sys.exit(main())
