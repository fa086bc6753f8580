"""A browser on the running app."""

from collections.abc import Iterator

import pytest

from local.setup.browser import Tools, tools
from tests.conftest import ROOT, RunningApp
from tests.flow.conftest import clean_flow, flow, session_flow, table
from tests.ui.browser import Browser, chromium

__all__ = ["clean_flow", "flow", "session_flow", "table"]


@pytest.fixture(scope="session")
def browser_tools() -> Tools:
    return tools(ROOT)


@pytest.fixture(scope="session")
def session_browser(browser_tools: Tools, app: RunningApp) -> Iterator[Browser]:
    with chromium(browser_tools, app.base_url, app.key) as browser:
        yield browser


@pytest.fixture
def browser(session_browser: Browser) -> Iterator[Browser]:
    """A new tab on a desktop screen. The pages' scripts must not have complained in the end."""
    session_browser.new_tab()
    session_browser.prefer("light")
    yield session_browser
    assert not session_browser.complaints()
