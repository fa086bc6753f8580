"""A headless Chromium, seen as a person sees it: what is there by its role and name, what is drawn, how wide it is."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from local.setup.browser import Tools

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-proxy-server", "--disable-dev-shm-usage"),
    # WebGL without a graphics card.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
DESKTOP, PHONE = (1280, 860), (375, 740)
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.1


class Browser:
    """One tab. `goto` takes the app's function key along in the fragment, as a link for a person does."""

    def __init__(self, driver: webdriver.Chrome, base_url: str, key: str, axe: str) -> None:
        self.driver = driver
        self.axe = axe
        self.base_url = base_url
        self.key = key

    def goto(self, path: str, *, key: str | None = "") -> None:
        """Open a page of the app. key: the app's own, another, or None for a visitor without one."""
        self.driver.get("about:blank")
        given = self.key if key == "" else key
        self.driver.get(f"{self.base_url}/api/{path}" + (f"#key={given}" if given else ""))

    def resize(self, width: int, height: int) -> None:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *values)

    def all(self, selector: str) -> list[WebElement]:
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def find(self, selector: str) -> WebElement:
        """The first that is there, waited for."""
        found: WebElement = self.until(lambda: next(iter(self.all(selector)), None), f"there is no {selector}")
        return found

    def button(self, text: str) -> WebElement:
        """A button or link of this name, waited for."""
        path = f"//*[self::button or self::a or self::summary][normalize-space()={text!r}]"
        found: WebElement = self.until(
            lambda: next(iter(self.driver.find_elements(By.XPATH, path)), None),
            lambda: f"no button {text!r}: {self.text}",
        )
        return found

    @property
    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def sees(self, *texts: str, patience: float = PATIENCE_SECONDS) -> None:
        self.until(lambda: all(text in self.text for text in texts), lambda: f"{texts} not in: {self.text}", patience)

    def press(self, *keys: str) -> None:
        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def focus_by_tab(self, name: str, most: int = 60) -> WebElement:
        """Press Tab until what is focused has this name."""
        seen = []
        for _ in range(most):
            self.press(Keys.TAB)
            focused = self.driver.switch_to.active_element
            seen.append(focused.accessible_name)
            if focused.accessible_name == name:
                return focused
        raise AssertionError(f"{name!r} is not reached: {seen}")

    def complaints(self) -> list[str]:
        """What the console has told of errors; what a page asks for and is refused is no error of its script."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        severe = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return [message for message in severe if "the server responded with a status of 40" not in message]

    def until(
        self, holds: Callable[[], Any], otherwise: str | Callable[[], str], patience: float = PATIENCE_SECONDS
    ) -> Any:
        """What it says at last. An element that the page draws anew meanwhile is looked for again."""
        deadline = time.monotonic() + patience
        while not (found := drawn(holds)):
            if time.monotonic() >= deadline:
                raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
            time.sleep(POLL_SECONDS)
        return found

    def faults(self) -> list[str]:
        """What axe-core finds to be a serious or critical hindrance on the page as it is: rule, and where."""
        self.driver.execute_script(self.axe)
        found = self.driver.execute_async_script(AXE)
        return [
            f"{each['id']}: {', '.join(' '.join(node['target']) + ' ' + node['html'][:120] for node in each['nodes'])}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def is_too_wide(self) -> bool:
        """Whether one would have to scroll sideways."""
        return bool(self.run("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def new_tab(self) -> None:
        """One that knows no key yet."""
        self.driver.switch_to.new_window("tab")
        for handle in self.driver.window_handles[:-1]:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[-1])
        self.resize(*DESKTOP)

    def rendered(self, *layers: str) -> list[dict[str, Any]]:
        """The properties of what the map draws in these layers, once it has drawn all of it."""
        self.until(lambda: self.run(MAP_IS_IDLE), "the map is never idle")
        found: list[dict[str, Any]] = self.run(RENDERED, list(layers))
        return found

    def shoot(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


AXE = "axe.run().then(result => arguments[0](result.violations))"
MAP_IS_IDLE = "(m => m && m.loaded() && m.areTilesLoaded())((document.querySelector('.map-canvas') || {}).map)"
RENDERED = (
    "document.querySelector('.map-canvas').map.queryRenderedFeatures(undefined, {layers: arguments[0]})"
    ".map(feature => feature.properties)"
)


def drawn(holds: Callable[[], Any]) -> Any:
    try:
        return holds()
    except StaleElementReferenceException:
        return None


@contextmanager
def chromium(tools: Tools, base_url: str, key: str) -> Iterator[Browser]:
    """A browser of its own profile, ended with the block."""
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={DESKTOP[0]},{DESKTOP[1]}"):
            options.add_argument(flag)
        options.binary_location = tools.chromium
        driver = webdriver.Chrome(options=options, service=Service(tools.driver))
        try:
            browser = Browser(driver, base_url, key, tools.axe.read_text())
            browser.resize(*DESKTOP)
            yield browser
        finally:
            driver.quit()
