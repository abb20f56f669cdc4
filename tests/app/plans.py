"""What tests of plans have in common: the pages, what they say, and a plan that is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextArea

from app import services
from app.services.requests import PlanRequest

START, PLAN, COMPARE, MODELS = "views/start.py", "views/plan.py", "views/compare.py", "views/models.py"

CATALOGUE = pd.DataFrame(
    {"title": ["Tea", "Coffee", "Milk", "=SUM(A1)"], "brand": ["A", "A", "B", "B"]}, index=["t", "c", "m", "=x"]
)
"""Items of a small shop."""


def words(app: AppTest) -> str:
    """Everything the page says."""
    parts = [*app.title, *app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.success, *app.subheader]
    return "\n".join(str(p.value) for p in parts)


def go(app: AppTest, page: str) -> AppTest:
    app.run()
    return app if page == START else app.switch_page(page).run()


def metric(app: AppTest, label: str) -> str:
    """The value of a figure by its label."""
    found = [str(m.value) for m in app.metric if m.label == label]
    assert found, f"{label} is not among {[m.label for m in app.metric]}"
    return found[0]


def tab(app: AppTest, name: str) -> AppTest:
    """Open a tab of the plan."""
    app.session_state["plan-tabs"] = next(t.label for t in app.tabs if name in t.label)
    return app.run()


def planned(app: AppTest, until: Callable) -> AppTest:
    return until(app, lambda page: any("Certificate" in tab.label for tab in page.tabs))


def pasted(app: AppTest, what: str) -> TextArea:
    """The field into which rows are pasted; it is another one after every take-in."""
    (field,) = [area for area in app.text_area if str(area.key).startswith(f"{what}-text-")]
    return field


def fine(app: AppTest) -> AppTest:
    """The page once nothing it asked for is at work any more, without an error."""
    end = time.monotonic() + 120
    while app.get("progress"):
        assert time.monotonic() < end
        time.sleep(0.1)
        app.run()
    assert not app.exception
    assert not app.error, [e.value for e in app.error]
    return app


def finished(key: str) -> object:
    """The result of a task, waited for."""
    end = time.monotonic() + 300  # kernels may be compiled first
    while True:
        task = services.task(key)
        assert task is not None
        if task.settled:
            assert task.state == "done", task.error
            return task.result
        assert time.monotonic() < end
        time.sleep(0.02)


def make(request: PlanRequest) -> services.PlanResult:
    """The plan of a request, waited for."""
    result = finished(services.request_plan(request, wish="test"))
    assert isinstance(result, services.PlanResult)
    return result
