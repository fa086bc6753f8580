"""The map, drawn by a real browser from the app's tiles."""

import json
from typing import Any

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from local.demo import zipped_shapefile
from tests.flow.flow import Flow
from tests.ui.browser import Browser


def colour_of(browser: Browser, layer: str, name: str) -> Any:
    return browser.run(
        "document.querySelector('.map-canvas').map.getPaintProperty(arguments[0], arguments[1])", layer, name
    )


def press_at(browser: Browser, lon: float, lat: float) -> None:
    """Click on a place of the map."""
    x, y = browser.run(
        "(at => [at.x, at.y])(document.querySelector('.map-canvas').map.project(arguments[0]))", [lon, lat]
    )
    canvas = browser.find(".map-canvas canvas")
    left, top = x - canvas.size["width"] / 2, y - canvas.size["height"] / 2
    ActionChains(browser.driver).move_to_element_with_offset(canvas, int(left), int(top)).click().perform()


def test_a_table_is_drawn_with_its_facts(clean_flow: Flow, browser: Browser, table: str) -> None:
    told = {"title": "Countries", "attribution": "Natural Earth", "license": "CC0-1.0"}
    clean_flow.load(zipped_shapefile(), "countries.zip", table, **told)
    browser.goto(f"map/geo.{table}")
    browser.sees("Countries", "177", "MultiPolygon", "EPSG:4326", "Natural Earth", "CC0-1.0", "-180, -90, 180, 83.6451")
    drawn = browser.rendered("table-fill")
    assert len({country["id"] for country in drawn}) > 150
    assert {"name", "continent", "pop_est"} <= set(drawn[0])
    assert browser.run("document.querySelector('.map-canvas').map.queryRenderedFeatures({layers: ['land']}).length") > 0


def test_attributes_are_told_on_click_and_on_enter(clean_flow: Flow, browser: Browser, table: str) -> None:
    clean_flow.load(zipped_shapefile(), "countries.zip", table)
    browser.goto(f"map/geo.{table}")
    browser.rendered("table-fill")
    press_at(browser, -55, -10)
    browser.sees("Brazil", "South America")
    browser.button("Close").click()
    assert "Brazil" not in browser.text
    browser.run("void document.querySelector('.map-canvas').map.jumpTo({center: [134, -25], zoom: 4})")
    browser.rendered("table-fill")
    browser.run("document.querySelector('.map-canvas canvas').focus()")
    browser.press(Keys.ENTER)
    browser.sees("Australia")


def test_a_column_of_texts_gives_kinds_and_one_of_numbers_gives_steps(
    clean_flow: Flow, browser: Browser, table: str
) -> None:
    clean_flow.load(zipped_shapefile(), "countries.zip", table)
    browser.goto(f"map/geo.{table}")
    plain = colour_of(browser, "table-fill", "fill-color") if browser.rendered("table-fill") else None
    Select(browser.find("#style-column")).select_by_value("continent")
    browser.until(lambda: len(browser.all(".legend li")) == 8, lambda: browser.text)
    assert browser.all(".legend li")[0].text.split() == ["Africa", "51"]
    browser.until(lambda: "match" in json.dumps(colour_of(browser, "table-fill", "fill-color")), "no kinds are drawn")
    Select(browser.find("#style-column")).select_by_value("pop_est")
    browser.until(lambda: len(browser.all(".legend li")) == 5, lambda: browser.text)
    browser.until(lambda: "step" in json.dumps(colour_of(browser, "table-fill", "fill-color")), "no steps are drawn")
    Select(browser.find("#style-column")).select_by_value("")
    browser.until(lambda: not browser.all(".legend li"), "the legend stays")
    browser.until(lambda: colour_of(browser, "table-fill", "fill-color") == plain, "the colours stay")


def test_rejected_rows_of_a_loaded_table_are_shown_and_told(clean_flow: Flow, browser: Browser, table: str) -> None:
    collapsed = {"type": "Polygon", "coordinates": [[[8, 53], [9, 53], [8, 53], [8, 53]]]}
    whole = {"type": "Polygon", "coordinates": [[[8, 53], [9, 53], [9, 54], [8, 53]]]}
    shapes = [*([whole] * 30), collapsed, None]
    features = [{"type": "Feature", "properties": {"n": n}, "geometry": shape} for n, shape in enumerate(shapes)]
    source = json.dumps({"type": "FeatureCollection", "features": features})
    job = clean_flow.load(source, "parcels.geojson", table, max_reject_percent=50)
    browser.goto(f"ui/jobs/{job['job_id']}")
    browser.button("See 2 rejected rows on the map").click()
    browser.sees("2 rejected rows", "collapsed_geometry", "null_geometry", "1 row has no place")
    assert {reject["row"] for reject in browser.rendered("reject-line", "reject-defect")} == {31}
    browser.button("collapsed_geometry 1").click()
    browser.until(lambda: browser.all(".reject-list button"), "no list")
    next(button for button in browser.all(".reject-list button") if button.is_displayed()).click()
    browser.sees("Row 31, rejected")
    assert {reject["row"] for reject in browser.rendered("picked-reject")} == {31}
    browser.find("#show-rejects").click()
    assert not browser.rendered("reject-line", "reject-defect")


def test_a_table_that_is_not_there_is_told_so(clean_flow: Flow, browser: Browser) -> None:
    browser.goto("map/geo.nothing")
    browser.sees("There is no such table", "What is published")


def test_the_map_wants_a_key_as_well(clean_flow: Flow, browser: Browser, table: str) -> None:
    clean_flow.load("n,lat,lon\n1,2,3\n", "one.csv", table, lat_name="lat", lon_name="lon")
    browser.goto(f"map/geo.{table}", key=None)
    browser.sees("Function key")
    browser.find("#key").send_keys(clean_flow.key, Keys.ENTER)
    assert [point["n"] for point in browser.rendered("table-point")] == [1]
