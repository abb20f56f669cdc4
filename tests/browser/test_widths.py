"""What is on the pages fits, whatever the width of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from tests.browser.steps import K, drag, go, planned, save, settled, slider
from tests.browser.views import VIEWS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [800, 950, 1024, 1440])
def test_no_page_is_wider_than_the_window(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path, title in VIEWS.items():
        go(page, server, path, title)
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, path


COVERED = """
() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => {
    const box = name => chart.querySelector(name)?.getBoundingClientRect();
    const hit = (a, b) => a && b && a.width && b.width
        && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const [bar, legend, plot, title] = ['.modebar > div', '.legend', '.nsewdrag', '.xtitle'].map(box);
    return [[bar, legend], [bar, plot], [legend, plot], [legend, title]].filter(([a, b]) => hit(a, b)).length;
})
"""
"""How often buttons, legend, drawing and axis title of every chart lie over each other."""


@pytest.mark.parametrize("width", [760, 1440])
def test_buttons_and_legend_of_a_chart_cover_nothing(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path, title in (("data", "Data"), ("models", "Models"), ("plan", "Plan")):
        go(page, server, path, title)
        if path == "plan":
            planned(page)
            page.get_by_role("tab", name="Frontier").click()
        page.locator(".js-plotly-plot .modebar").first.wait_for(state="attached")
        page.wait_for_timeout(1_000)
        covered = page.evaluate(COVERED)
        assert covered
        assert not any(covered), path


CUT = """
() => [
    ...document.querySelectorAll('[data-testid="stMetricLabel"] p, button p, .st-key-plan-model input')
].filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent || e.value)
"""
"""Words of figures and buttons, and the chosen model, that are not seen to their end."""


def test_nothing_is_cut_off_beside_a_saved_plan(page: Page, server: Server) -> None:
    go(page, server, "plan", "Plan")
    planned(page)
    drag(slider(page, K), -7)  # to a plan that nobody has saved yet
    page.get_by_label("Name of this plan").and_(page.get_by_placeholder("K 3,")).wait_for()
    planned(page)
    save(page, "Wide")
    page.get_by_role("button", name="Compute again").wait_for()
    for width in (1024, 1150, 1280, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        page.wait_for_timeout(500)
        assert page.evaluate(CUT) == [], width
        page.get_by_text("calibration window").first.wait_for()  # how the model's data was cut
