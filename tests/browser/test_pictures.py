"""Every view in both themes, without an error on the console; with RIM_PICTURES, the pictures of the documentation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from tests.browser.views import VIEWS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server, Windows

pytestmark = pytest.mark.browser

TALLEST = 1_500


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_shows_itself_in_both_themes(
    browsers: Windows, server: Server, theme: Literal["light", "dark"]
) -> None:
    page = browsers.open(theme)
    seen = set()
    for view, title in VIEWS.items():
        page.goto(f"{server.url}/{view}")
        page.get_by_role("heading", name=title, exact=True).wait_for()
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        if view == "plan":
            page.get_by_role("tab", name="Certificate").wait_for(timeout=180_000)
        assert page.get_by_test_id("stException").count() == 0
        seen.add(page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"))
        _picture(page, view or "start", theme)
    assert seen == {"rgb(255, 255, 255)" if theme == "light" else "rgb(18, 23, 28)"}


def _picture(page: Page, view: str, theme: str) -> None:
    """Keep what is seen, as tall as the page but no taller than is worth looking at."""
    folder = os.environ.get("RIM_PICTURES")
    if not folder:
        return
    page.wait_for_timeout(3_000)  # charts draw themselves after the page has run
    tall = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
    page.set_viewport_size({"width": 1440, "height": min(TALLEST, max(700, tall))})
    page.wait_for_timeout(1_500)
    name = view if theme == "light" else f"{view}-dark"
    page.screenshot(path=str(Path(folder) / f"{name}.png"))
    page.set_viewport_size({"width": 1440, "height": 900})
