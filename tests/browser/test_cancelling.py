"""Long work is cancelled from the page: it says so at once, and leaves nothing half-written behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
from playwright.sync_api import sync_playwright
from safetensors import safe_open

from tests.browser.conftest import CHROMIUM, Server, Windows, serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

AT_ONCE = 2.0
"""Seconds within which a page answers."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a workspace whose plans and trainings take many seconds."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt-get install chromium")
    shop = {"users": 40_000, "items": 400, "days": 60, "seed": 3}
    yield from serving(tmp_path_factory, tmp_path_factory.mktemp("busy"), "big", shop, horizon="7D", model="Frequency")


@pytest.fixture
def page(busy: Server) -> Iterator[Page]:
    with sync_playwright() as playwright:
        windows = Windows(playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]))
        yield windows.open()
        windows.browser.close()


def files(root: Path) -> dict[Path, int]:
    """What lies in a workspace, beside its database, with the size."""
    found = (f for folder in ("data", "models") for f in (root / folder).rglob("*"))
    return {f: f.stat().st_size for f in found if f.is_file() and not f.name.startswith("rim.duckdb")}


def until(said: Locator, seconds: float) -> float:
    """Wait until something is said; how long that took, which is no more than ``seconds``."""
    began = time.monotonic()
    said.wait_for(timeout=1000 * seconds)
    return time.monotonic() - began


def test_a_long_plan_is_cancelled_at_once_and_nothing_of_it_is_kept(page: Page, busy: Server) -> None:
    before = files(busy.root)
    page.goto(f"{busy.url}/plan")
    page.get_by_role("button", name="Cancel").click()
    until(page.get_by_text("Cancelled after"), AT_ONCE)
    page.get_by_text("nothing was saved").wait_for()
    assert page.get_by_role("button", name="Save the plan").is_disabled()
    assert files(busy.root) == before
    page.wait_for_timeout(2_000)
    assert page.get_by_role("tab", name="Certificate").count() == 0  # it does not come after all
    assert files(busy.root) == before
    page.get_by_role("button", name="Plan them after all").click()
    page.get_by_role("tab", name="Certificate").wait_for(timeout=180_000)


def test_a_long_training_is_cancelled_at_once_and_nothing_of_it_is_half_written(page: Page, busy: Server) -> None:
    models = files(busy.root / "models")
    page.goto(f"{busy.url}/models")
    page.get_by_text("Full", exact=True).click()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text("so far").wait_for()
    page.get_by_role("button", name="Cancel").click()
    until(page.get_by_text("stopping after this step").or_(page.get_by_text("was cancelled")).first, AT_ONCE)
    page.get_by_text("was cancelled").wait_for(timeout=60_000)
    kept = files(busy.root)
    assert files(busy.root / "models") == models
    assert not [f for f in kept if f.suffix in (".tmp", ".partial", ".part")]
    for file in kept:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy") as tensors:
                assert tensors.keys()
    page.get_by_role("button", name="Discard").click()
    page.get_by_text("was cancelled").wait_for(state="detached")
    assert not any((busy.root / "data" / "jobs").iterdir())
