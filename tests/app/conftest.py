"""A workspace of a small simulated shop with trained models, and the dashboard on a copy of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import services
from rim_core.jobs import Jobs
from rim_core.storage import Scenario, Workspace
from tests.app.plans import make

ROOT = Path(__file__).resolve().parents[2]
SHOP = {"users": 240, "items": 30, "days": 90, "seed": 3}
MODELS = ("Popularity", "Popularity×HawkesPoisson")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one dataset and two models, made once; copy it before changing it."""
    root = tmp_path_factory.mktemp("prepared")
    with Workspace(root, create=True) as workspace:
        workspace.add_dataset("shop", "shop", options=SHOP)
        jobs = Jobs(workspace, threads=1)
        job = jobs.submit("shop", split={"by": "time", "horizon": "14D"}, models=list(MODELS))
        assert jobs.wait(job.id).state == "done", jobs.job(job.id).message
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for a workspace; the dashboard gives it back afterwards."""
    from app.services import owner

    monkeypatch.setenv("RIM_WORKSPACE", str(tmp_path))
    yield tmp_path
    owner.close()


@pytest.fixture
def shop(root: Path, prepared: Path) -> Path:
    """A copy of the prepared workspace."""
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    return root


@pytest.fixture
def app() -> AppTest:
    """The dashboard, not yet run."""
    return AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)


Until = Callable[[AppTest, Callable[[AppTest], object]], AppTest]


@pytest.fixture
def until() -> Until:
    """Run the page again until something is true, as a fragment would."""

    def wait(page: AppTest, happened: Callable[[AppTest], object], patience: float = 120.0) -> AppTest:
        end = time.monotonic() + patience
        while not happened(page):
            assert time.monotonic() < end, f"still not there; the page says {[m.value for m in page.markdown]}"
            time.sleep(0.1)
            page.run()
        return page

    return wait


@pytest.fixture
def model(shop: Path) -> str:
    """Id of the model to plan with."""
    return services.best_model(services.models(services.datasets()[0]))


@pytest.fixture
def plan(model: str) -> Scenario:
    """A saved plan of the prepared shop that promises every item a tenth of the user-states."""
    return services.save_plan(make(services.PlanRequest(model, 4, 0.1)), "Spring")
