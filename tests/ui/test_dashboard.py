"""The dashboard as somebody uses it, in a real browser."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.flow.flow import Flow
from tests.flow.sources import airports
from tests.ui.browser import DESKTOP, PHONE, Browser

BAD_ROWS = "n,lat,lon\n" + "".join(f"{n},{n},{n}\n" for n in range(10)) + "10,far,3\n11,,\n"
MANY = "n,lat,lon\n" + "".join(f"{n},{n % 80},{n % 170}\n" for n in range(60_000))


def anew(message: str) -> str:
    """The same job again would be given the same message, which the broker knows."""
    return f"{message} {uuid4().hex}"


def choose(browser: Browser, path: Path) -> None:
    browser.find("#file").send_keys(str(path))


def write(browser: Browser, field: str, text: str) -> None:
    """Replace what is in the field and leave it, as a person does."""
    box = browser.find(f"#p-{field}")
    box.send_keys(Keys.CONTROL + "a")
    box.send_keys(text, Keys.TAB)


def submit(browser: Browser) -> str:
    """Press Submit as soon as it can be pressed. Returns the job's id, which the address has then."""
    button = browser.until(
        lambda: next((b for b in browser.all("button.primary") if b.text == "Submit"), None), "no Submit"
    )
    browser.until(button.is_enabled, lambda: f"it cannot be submitted: {browser.text}")
    button.click()
    browser.until(lambda: "/ui/jobs/" in browser.driver.current_url, lambda: f"not submitted: {browser.text}")
    return browser.driver.current_url.rsplit("/", 1)[1]


def test_a_file_is_uploaded_looked_at_submitted_followed_and_on_the_map(
    clean_flow: Flow, browser: Browser, table: str
) -> None:
    browser.goto("ui/load")
    choose(browser, airports())
    browser.sees("It can be loaded", "3,376 rows", "What is in it")
    assert browser.find("#p-table_name").get_attribute("value") == "airports"
    assert Select(browser.find("#p-lat_name")).first_selected_option.text == "latitude"
    assert Select(browser.find("#p-lon_name")).first_selected_option.text == "longitude"
    write(browser, "table_name", table)
    write(browser, "title", "Airports of the USA")
    job_id = submit(browser)
    browser.sees("Completed", "3,376 read", "3,376 loaded", "0 rejected", "Timeline")
    job = clean_flow.completed(job_id)
    assert (job["parameters"]["table_name"], job["parameters"]["title"]) == (table, "Airports of the USA")
    assert len(browser.all("rect.bar.completed")) == len(clean_flow.status(job_id, verbose="true")["tasks"])
    browser.button("Map").click()
    browser.sees("Airports of the USA", "3,376")
    assert {"iata", "name", "city", "state"} <= set(browser.rendered("table-point")[0])


def test_what_would_be_refused_is_told_before_with_what_helps(
    clean_flow: Flow, browser: Browser, table: str, tmp_path: Path
) -> None:
    clean_flow.load("n,lat,lon\n1,2,3\n", "first.csv", table, lat_name="lat", lon_name="lon")
    path = tmp_path / f"{table}.csv"
    path.write_text("n,lat,lon\n1,2,3\n2,3,4\n")
    browser.goto("ui/load")
    choose(browser, path)
    browser.sees("There is a table of this name", "table_exists")
    assert not browser.button("Submit").is_enabled()
    browser.button("Replace the table").click()
    clean_flow.completed(submit(browser))
    browser.sees("1 rows before, 2 now")
    assert len(clean_flow.rows(table)) == 2


def test_a_file_that_is_none_is_refused_in_words(clean_flow: Flow, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no data")
    browser.goto("ui/load")
    choose(browser, path)
    browser.sees("invalid_parameters", "file_extension")
    assert not browser.button("Submit").is_enabled()


def test_live_progress_and_cancelling(clean_flow: Flow, browser: Browser, table: str) -> None:
    blob = clean_flow.put(MANY, "many.csv")
    job_id = clean_flow.submit(blob, table, lat_name="lat", lon_name="lon", chunk_size=500)
    browser.goto("ui/jobs")
    browser.sees("Processing", table)
    browser.until(lambda: "rows/s" in browser.text, lambda: f"no pace: {browser.text}", patience=150)
    browser.button(f"geo.{table}").click()
    browser.sees("Progress", "of 60,000 rows", "left of this stage")
    percent = browser.find("[role=progressbar]").get_attribute("aria-valuenow")
    browser.until(
        lambda: browser.find("[role=progressbar]").get_attribute("aria-valuenow") != percent, "it does not move"
    )
    browser.button("What is it waiting for?").click()
    browser.sees("tasks are being worked on")
    browser.button("Cancel the job").click()
    browser.sees("Cancelled", "Try again")
    assert clean_flow.ended(job_id)["status"] == "cancelled"
    assert browser.find("[role=status]").text == "The job is cancelled."


def test_a_failed_job_says_what_helps_and_is_tried_again(clean_flow: Flow, browser: Browser) -> None:
    job_id = clean_flow.hello(n=1, message=anew("fails"), failure_rate=1.0)
    clean_flow.failed(job_id)
    browser.goto(f"ui/jobs/{job_id}")
    browser.sees("Failed", "It failed: hello_world was asked to fail", "simulated_failure")
    browser.button("Try again").click()
    browser.sees("run 2", "Earlier runs")
    clean_flow.failed(job_id)
    assert clean_flow.status(job_id)["run"] == 2


def test_rejected_rows_are_counted_explained_and_shown_on_the_map(
    clean_flow: Flow, browser: Browser, table: str
) -> None:
    parameters = {"lat_name": "lat", "lon_name": "lon"}
    job_id = clean_flow.submit(clean_flow.put(BAD_ROWS, "bad.csv"), table, **parameters)
    assert clean_flow.failed(job_id)["code"] == "too_many_rejects"
    browser.goto(f"ui/jobs/{job_id}")
    browser.sees(
        "12 read", "10 loaded", "2 rejected", "unreadable_coordinates", "has coordinates in a CSV", "What helps"
    )
    browser.button("See 2 rejected rows on the map").click()
    browser.sees("The table is not published", "2 rejected rows", "unreadable_coordinates")


def test_the_list_is_filtered_and_its_filters_are_in_the_address(clean_flow: Flow, browser: Browser) -> None:
    clean_flow.completed(clean_flow.hello(n=1, message=anew("well")))
    clean_flow.failed(clean_flow.hello(n=1, message=anew("badly"), failure_rate=1.0))
    browser.goto("ui")
    browser.until(lambda: len(browser.all(".job-row")) == 2, "not two jobs")
    Select(browser.find("#filter-status")).select_by_value("failed")
    browser.until(lambda: [row.text.split()[0] for row in browser.all(".job-row")] == ["Failed"], "not filtered")
    assert browser.driver.current_url.endswith("/ui?status=failed")
    browser.driver.refresh()
    browser.until(lambda: len(browser.all(".job-row")) == 1, "the filter is forgotten")
    Select(browser.find("#filter-status")).select_by_value("cancelled")
    browser.sees("No job is like that")


def test_queues_and_janitors(clean_flow: Flow, browser: Browser) -> None:
    browser.goto("ui/queues")
    browser.sees("messages in geospatial-jobs", "open tasks", "Task watchdog", "History")
    for button in browser.all("[aria-label='Run now: Job health']"):
        button.click()
    browser.until(lambda: "ran" in browser.find(".janitors li:nth-child(2)").text, "it was not run")
    browser.find("#acted").click()
    browser.until(lambda: "Job health" in browser.find("section[aria-labelledby=history] table").text, "no history")


def test_empty_pages_say_what_to_do(clean_flow: Flow, browser: Browser) -> None:
    browser.goto("ui/jobs")
    browser.sees("No jobs yet", "Load a file")
    browser.goto("ui/tables")
    browser.sees("Nothing is published yet")
    browser.goto(f"ui/jobs/{'0' * 64}")
    browser.sees("There is no job of this id")
    browser.goto("ui/nowhere")
    browser.sees("There is no such page")


def test_a_key_is_asked_for_kept_and_never_left_in_the_address(clean_flow: Flow, browser: Browser) -> None:
    browser.goto("ui/queues", key=None)
    browser.sees("Function key")
    browser.find("#key").send_keys("wrong", Keys.ENTER)
    browser.sees("The app did not take this key")
    browser.find("#key").send_keys(clean_flow.key, Keys.ENTER)
    browser.sees("open jobs")
    browser.driver.refresh()
    browser.sees("open jobs")
    browser.goto("ui/queues")
    browser.sees("open jobs")
    assert clean_flow.key not in browser.driver.current_url
    browser.button("Forget key").click()
    browser.sees("Function key")


NASTY = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>{{7*7}}"


def test_texts_of_the_data_stay_texts(clean_flow: Flow, browser: Browser, table: str) -> None:
    row = json.dumps(
        {"type": "Feature", "properties": {NASTY: NASTY}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    )
    source = f'{{"type": "FeatureCollection", "features": [{row}]}}'
    job = clean_flow.load(source, "nasty.geojson", table, title=NASTY, attribution=NASTY)
    for path in (f"ui/jobs/{job['job_id']}", "ui/tables", f"map/geo.{table}"):
        browser.goto(path)
        browser.sees(NASTY if not path.startswith("ui/jobs") else table)
        for closed in browser.all("details:not([open]) > summary"):
            closed.click()
        assert not browser.all("main img, .attribution img")
        assert "owned" not in browser.driver.title.replace(NASTY, "")


def test_by_keyboard_alone(clean_flow: Flow, browser: Browser, tmp_path: Path, table: str) -> None:
    """From the first key to a loaded table. A file dialog is the system's: the field takes the path instead."""
    path = tmp_path / f"{table}.csv"
    path.write_text("n,lat,lon\n1,2,3\n")
    browser.goto("ui")
    browser.sees("No jobs yet")
    browser.press(Keys.TAB)
    assert browser.driver.switch_to.active_element.accessible_name == "Skip to content"
    browser.press(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "main"
    browser.focus_by_tab("Load a file")
    browser.press(Keys.ENTER)
    browser.until(lambda: browser.run("document.activeElement.tagName") == "H1", "the heading has not the focus")
    browser.focus_by_tab("Choose a file").send_keys(str(path))
    browser.sees("It can be loaded")
    browser.focus_by_tab("Title")
    browser.press("By hand", Keys.TAB)
    browser.until(lambda: browser.button("Submit").is_enabled(), lambda: browser.text)
    browser.focus_by_tab("Submit")
    browser.press(Keys.ENTER)
    browser.sees("Receipt", "1 loaded")
    browser.focus_by_tab("Map")
    browser.press(Keys.ENTER)
    browser.sees("By hand")
    browser.rendered("table-point")
    browser.focus_by_tab("Map. Arrow keys move it, plus and minus zoom, Enter shows what is in its middle.")
    browser.press(Keys.ENTER)
    browser.sees("Row 1")


@pytest.fixture
def furnished(clean_flow: Flow, table: str) -> dict[str, Any]:
    """Every kind of page with something on it."""
    good = clean_flow.load(BAD_ROWS, "mixed.csv", table, lat_name="lat", lon_name="lon", max_reject_percent=50)
    failed = clean_flow.hello(n=1, message=anew("badly"), failure_rate=1.0)
    clean_flow.failed(failed)
    return {"table": f"geo.{table}", "good": good["job_id"], "failed": failed}


def pages_of(furnished: dict[str, Any]) -> list[str]:
    return [
        *(
            "ui/jobs",
            f"ui/jobs/{furnished['good']}",
            f"ui/jobs/{furnished['failed']}",
            "ui/load",
            "ui/tables",
            "ui/queues",
        ),
        *(f"map/{furnished['table']}", f"map/{furnished['table']}?job={furnished['good']}"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_no_page_hinders_anybody(
    furnished: dict[str, Any], browser: Browser, scheme: str, size: tuple[int, int]
) -> None:
    """axe-core finds nothing serious; nothing has to be scrolled sideways."""
    browser.resize(*size)
    browser.prefer(scheme)
    found = {}
    for path in pages_of(furnished):
        browser.goto(path)
        browser.find("h1")
        browser.until(lambda: not browser.all("[aria-busy=true], .map-note"), "it is loading for ever")
        for closed in browser.all("details:not([open]) > summary"):
            closed.click()
        found[path] = browser.faults() + ["too wide"] * browser.is_too_wide()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
