"""A planner's day in a real browser: data, training, promises, the file she sends."""

from __future__ import annotations

import csv
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from playwright.sync_api import TimeoutError

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Server, Windows

pytestmark = pytest.mark.browser


def settled(page: Page) -> None:
    """Wait until the page has run to its end."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


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


def drag(slider: Locator, steps: int) -> None:
    """Move a slider by keys, as a person without a mouse would."""
    slider.focus()
    for _ in range(abs(steps)):
        slider.press("ArrowRight" if steps > 0 else "ArrowLeft")


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


def test_from_choosing_data_to_sending_an_audience(page: Page, server: Server, tmp_path: Path) -> None:
    go(page, server, "data", "Data")
    picker = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox")
    picker.wait_for()
    assert "shop v1" in picker.inner_text() + (picker.locator("input").first.get_attribute("value") or "")
    assert int(metric(page, "Events").replace(",", "")) > 1_000

    # train, cancel, train something shorter
    follow(page, "Models")
    page.get_by_text("Full", exact=True).click()
    page.get_by_role("button", name="Train", exact=True).click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.wait_for()
    page.get_by_text("so far").wait_for()
    cancel.click()
    page.get_by_text("was cancelled").wait_for(timeout=180_000)
    page.get_by_role("button", name="Discard").wait_for()
    page.get_by_text("Brief (2 epochs)").click()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text("is done after").wait_for(timeout=180_000)
    page.get_by_test_id("stPlotlyChart").get_by_text("GRU×HawkesPoisson", exact=True).wait_for()
    settled(page)

    # promises
    follow(page, "Plan")
    planned(page)
    before = metric(page, "Expected interactions")
    drag(page.get_by_role("slider").first, -4)
    eventually(lambda: page.get_by_role("tab", name="Certificate").count() and metric(page, "Expected inter") != before)
    planned(page)
    kept, of = metric(page, "Kept in the plan").split(" of ")
    assert kept == of
    page.get_by_role("tab", name="Certificate").click()
    page.get_by_text("Every promise is kept on the planned user-states").wait_for()

    # the frontier
    page.get_by_role("tab", name="Frontier").click()
    page.get_by_role("button", name="Sweep the promises").click()
    page.get_by_role("button", name="Sweep again").wait_for(timeout=180_000)
    plot = page.get_by_test_id("stPlotlyChart").filter(has_text="items effectively reached")
    plot.wait_for()
    for name in ("offline greedy", "offline dual", "online dual", "this plan"):
        assert plot.get_by_text(name, exact=True).count(), name

    # save, and send
    save(page, "Spring")
    audiences = page.get_by_role("link", name="Make audience files")
    eventually(lambda: audiences.count() == 1)  # two while the page is drawn anew
    settled(page)
    audiences.click()
    page.get_by_role("heading", name="Audiences", exact=True).wait_for()
    settled(page)
    promised = int(metric(page, "Deliveries").replace(",", ""))
    rows = download(page, "Download this audience", tmp_path)
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score", "expected_interactions"]
    assert len(rows) == promised
    assert len({r["user_id"] for r in rows}) == promised
    assert len({r["item_id"] for r in rows}) == 1
    assert [int(r["rank"]) for r in rows] == list(range(1, promised + 1))
    scores = [float(r["score"]) for r in rows]
    assert scores == sorted(scores, reverse=True)

    # the whole plan keeps K, and holds the same audience
    page.get_by_role("tab", name="The whole plan").click()
    whole = download(page, "Download the whole plan", tmp_path)
    assert max(Counter(r["user_id"] for r in whole).values()) <= 6
    assert [r for r in whole if r["item_id"] == rows[0]["item_id"]] == rows


def save(page: Page, name: str) -> None:
    """Keep the plan that is shown under a name."""
    page.get_by_label("Name of this plan").fill(name)
    page.get_by_label("Name of this plan").press("Enter")
    page.get_by_role("button", name="Save the plan").click()


def test_an_uploaded_table_to_two_plans_side_by_side_and_a_link_for_a_colleague(
    browsers: Windows, server: Server, tmp_path: Path
) -> None:
    page = browsers.open()
    # add data, map columns
    go(page, server, "data", "Data")
    page.get_by_role("tab", name="Add a dataset").click()
    choose(page, "Where the events come from", "A CSV or Parquet file")
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(visits(tmp_path))
    page.get_by_text("The first").first.wait_for()
    choose(page, "Item", "sku")
    page.get_by_role("button", name="Add the dataset").click()
    picker = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox")
    eventually(lambda: "visits v1" in picker.inner_text() + (picker.locator("input").first.input_value() or ""))
    settled(page)

    # train two models
    follow(page, "Models")
    page.get_by_test_id("stForm").get_by_label("remove GRU×HawkesPoisson").click()
    box = page.get_by_test_id("stForm").get_by_role("combobox")
    box.fill("Random")
    page.get_by_role("option", name="Random", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_test_id("stPlotlyChart").get_by_text("Random", exact=True).wait_for(timeout=180_000)
    settled(page)

    # a promise that cannot be kept, relaxed; two plans saved
    follow(page, "Plan")
    planned(page)
    slider = page.get_by_role("slider").nth(1)
    slider.focus()
    slider.press("End")
    page.get_by_text("more places than there are").wait_for()
    page.get_by_role("button", name="Lower β").first.click()
    page.get_by_text("more places than there are").wait_for(state="detached")
    planned(page)
    save(page, "Bold")
    page.get_by_role("link", name="Make audience files").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("more places than there are").wait_for()
    slider = page.get_by_role("slider").nth(1)
    slider.focus()
    slider.press("Home")
    page.get_by_text("No minimum is promised").first.wait_for()
    planned(page)
    save(page, "Calm")
    page.get_by_role("link", name="Make audience files").wait_for()
    settled(page)

    # side by side
    follow(page, "Compare")
    page.get_by_role("heading", name="What was promised").wait_for()
    settled(page)
    for name in ("Bold", "Calm"):
        page.get_by_role("columnheader", name=name).or_(
            page.get_by_test_id("stTable").get_by_text(name)
        ).first.wait_for()
    link = page.get_by_test_id("stCode").last.inner_text().strip()

    # the link, opened by somebody else
    colleague = browsers.open("dark")
    colleague.goto(link)
    colleague.get_by_role("heading", name="What was promised").wait_for()
    settled(colleague)
    page.get_by_text("Rename, clone, archive").click()
    one = page.get_by_test_id("stCode").first.inner_text().strip()
    assert "scenario=plan-" in one
    colleague.goto(one)
    planned(colleague)
    colleague.get_by_text("as it was saved").wait_for()
    assert colleague.get_by_role("slider").nth(0).input_value() == "10"


def choose(page: Page, label: str, option: str) -> None:
    """Pick from a list by its label."""
    box = page.get_by_test_id("stSelectbox").filter(has_text=label).first
    box.get_by_role("combobox").first.click()
    page.get_by_role("option", name=option).first.click()
    settled(page)


def visits(folder: Path) -> Path:
    """A table as a shop might bring it: names of its own, one column to map by hand."""
    draw = random.Random(5)
    file = folder / "visits.csv"
    lines = ["customer,sku,brand_of_item,when"]
    for _ in range(4_000):
        day = draw.randint(0, 89)
        sku = min(int(draw.expovariate(0.12)), 29)
        stamp = f"2024-{1 + day // 30:02d}-{1 + day % 29:02d}T{draw.randint(8, 20):02d}:{draw.randint(0, 59):02d}:00Z"
        lines.append(f"c{draw.randint(0, 149)},p{sku},{'AB'[sku % 2]},{stamp}")
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def download(page: Page, button: str, folder: Path) -> list[dict[str, str]]:
    """The rows of a file that a button gives."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    name = waiting.value.suggested_filename
    assert name.startswith("Spring_")
    waiting.value.save_as(folder / name)
    return list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines()))


def test_a_second_start_is_healthy_at_once_tells_what_happened_and_trains_nothing(page: Page, server: Server) -> None:
    models = {p.name: p.stat().st_mtime for p in (server.root / "models").iterdir()}
    assert models
    server.stop(signal.SIGKILL)
    server.start()
    assert server.seconds_to_healthy <= 10
    go(page, server, "plan", "Plan")
    page.get_by_text("ended without closing").wait_for()
    planned(page)
    assert {p.name: p.stat().st_mtime for p in (server.root / "models").iterdir()} == models
    page.get_by_role("button", name="Understood").click()
    page.get_by_text("ended without closing").wait_for(state="detached")


@pytest.mark.parametrize("width", [1024, 1440])
def test_no_page_is_wider_than_the_window(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("", "data", "models", "plan", "compare", "delivery", "audiences"):
        go(page, server, path, path.capitalize() or "Start")
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, path
