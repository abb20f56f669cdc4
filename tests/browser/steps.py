"""What journeys through the dashboard have in common: to go somewhere, to wait, to set something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import TimeoutError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Server


CALM = """
() => new Promise(done => {
    const app = document.querySelector('[data-testid="stApp"]'), begun = performance.now();
    let last = begun;
    const seen = new MutationObserver(() => { last = performance.now() });
    seen.observe(app, {childList: true, subtree: true, attributeFilter: ['data-test-script-state']});
    const asked = setInterval(() => {
        const now = performance.now();
        const calm = now - last > 150 && app.dataset.testScriptState === 'notRunning';
        if (calm || now - begun > 10_000) { clearInterval(asked); seen.disconnect(); done() }
    }, 30);
})
"""


def settled(page: Page) -> None:
    """Wait until the page has run to its end, and is drawn: the browser does that piece by piece afterwards."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.evaluate(CALM)


def go(page: Page, server: Server, path: str, title: str) -> None:
    page.goto(f"{server.url}/{path}")
    page.get_by_role("heading", name=title, exact=True).wait_for()
    settled(page)
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_test_id("stAlertContentError").count() == 0


def follow(page: Page, name: str) -> None:
    """Go to a page by its link; once more when the page was just being drawn anew, as a person would."""
    heading = page.get_by_role("heading", name=name, exact=True)
    for _ in range(4):
        page.get_by_test_id("stSidebar").get_by_role("link", name=name).click()
        try:
            heading.wait_for(timeout=20_000)
            break
        except TimeoutError:
            continue
    heading.wait_for()
    settled(page)


K = "Items for each visitor (K)"
BETA = "Every item reaches at least (β)"


def slider(page: Page, label: str) -> Locator:
    """By its label: the browser draws a page piece by piece, so the first slider in sight may be another one."""
    return page.get_by_role("slider", name=label)


def drag(slider: Locator, steps: int) -> None:
    """Move a slider by keys, as a person without a mouse would."""
    slider.focus()
    for _ in range(abs(steps)):
        before = slider.input_value()
        slider.press("ArrowRight" if steps > 0 else "ArrowLeft")
        eventually(lambda before=before: slider.input_value() != before, 10)


def metric(page: Page, label: str) -> str:
    """The value of a figure that is in sight."""
    boxes = page.get_by_test_id("stMetric").filter(has_text=label)
    return boxes.first.get_by_test_id("stMetricValue").inner_text().strip()


def eventually(happened: Callable[[], object], patience: float = 180.0) -> None:
    end = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def planned(page: Page) -> None:
    """Wait for the plan of the sliders as they stand."""
    page.get_by_role("tab", name="Certificate").wait_for(timeout=180_000)
    settled(page)


def save(page: Page, name: str) -> None:
    """Keep the plan that is shown under a name."""
    page.get_by_label("Name of this plan").fill(name)
    page.get_by_label("Name of this plan").press("Enter")
    page.get_by_role("button", name="Save the plan").click()
