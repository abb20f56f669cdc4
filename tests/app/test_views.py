"""The pages, run without a browser: what a person reads on them, and what their buttons do."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from app.services import owner
from app.services.owner import trainings
from rim_core.jobs.folder import LASTING, JobFolder
from rim_core.jobs.naming import model_config
from rim_core.storage import EvaluationRecord, Workspace
from tests.app.plans import COMPARE, START, go, metric, tab, words

PAGES = ("views/data.py", "views/models.py", "views/plan.py", "views/audiences.py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("page", "next_step"),
    [
        (PAGES[0], "bring your own event log"),
        (PAGES[1], "add a dataset first"),
        (PAGES[2], "Add a dataset first"),
        (PAGES[3], "Add a dataset first"),
        (START, "learns from a log"),
        (COMPARE, "Add a dataset first"),
    ],
)
def test_an_empty_workspace_says_the_next_step_on_every_page(
    root: Path, app: AppTest, page: str, next_step: str
) -> None:
    go(app, page)
    assert not app.exception
    assert not app.error
    assert next_step in words(app)


def test_start_says_that_the_demo_is_on_its_way(root: Path, app: AppTest) -> None:
    go_on = threading.Event()
    task = owner.tasks.request(services.DEMO, lambda report: go_on.wait(60))
    try:
        go(app, START)
        assert not app.exception
        assert "The demo is on its way" in words(app)
        assert "Nothing here yet" not in words(app)
    finally:
        go_on.set()
        task.over.wait(60)
        services.forget(services.DEMO)


@pytest.mark.parametrize("page", [*PAGES, START, COMPARE])
def test_every_page_shows_a_prepared_workspace_without_an_error(shop: Path, app: AppTest, page: str) -> None:
    go(app, page)
    assert not app.exception
    assert not app.error


def test_the_data_page_counts_what_the_workspace_holds(shop: Path, app: AppTest) -> None:
    go(app, PAGES[0])
    info = services.datasets()[0]
    assert metric(app, "Events") == f"{info.events:,}"
    assert metric(app, "Users") == f"{info.users:,}"
    assert metric(app, "Items") == f"{info.items:,}"


def test_a_table_is_added_by_path_with_its_columns_guessed_and_its_rejects_counted(
    root: Path, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("in") / "visits.csv"
    rows = [f"c{i % 7},p{i % 5},2024-01-{1 + i % 28:02d}T10:{i % 60:02d}:00Z,{i}" for i in range(90)]
    file.write_text("\n".join(["customer,sku,time,price", *rows, "c1,,2024-01-05T00:00:00Z,1", "c2,p1,yesterday,1"]))
    go(app, PAGES[0])
    app.selectbox(key="add-source").set_value("file").run()
    app.segmented_control(key="add-way").set_value("Path on this machine").run()
    app.text_input(key="add-path-file").set_value(str(file)).run()
    assert app.selectbox(key="add-user_id-visits").value == "customer"
    assert app.selectbox(key="add-item_id-visits").value == "sku"
    assert app.selectbox(key="add-timestamp-visits").value == "time"
    app.button(key="add-go").click().run()
    until(app, lambda _: bool(services.datasets()))
    info = services.datasets()[0]
    assert (info.name, info.events) == ("visits", 90)
    assert info.report is not None
    assert (info.report.rows_read, info.report.rows_rejected) == (92, 2)
    app.run()
    assert "92 rows read, 2 rejected" in [e.label for e in app.expander]
    reasons = next(str(t.value) for t in app.text)
    assert "1 rejected: missing item" in reasons
    assert "1 rejected: unreadable time" in reasons


def upload(app: AppTest, heading: str, rows: Iterable[str]) -> None:
    """Upload a table as bons.csv on the form that adds a dataset."""
    go(app, PAGES[0])
    app.selectbox(key="add-source").set_value("file").run()
    app.file_uploader(key="add-upload").set_value(("bons.csv", "\n".join([heading, *rows]).encode(), "text/csv")).run()


def added(app: AppTest, until: Callable) -> services.DatasetInfo:
    """The dataset of the form, once it is there."""
    app.button(key="add-go").click().run()
    until(app, lambda _: bool(services.datasets()))
    return services.datasets()[0]


def test_models_named_alike_are_told_apart_by_what_differs(shop: Path) -> None:
    info = services.models(services.datasets()[0])[0]
    day = info.created_at.replace(day=3, hour=9, minute=5)
    brief, later = {**info.config, "max_epochs": 2}, day.replace(hour=10)
    alone = replace(info, id="0", name="Other")
    full = replace(info, id="1", created_at=day, config={"model": "GRU"})
    assert services.model_names([alone, full, replace(full, id="2", config=brief)]) == {
        "0": "Other", "1": f"{info.name} · full training", "2": f"{info.name} · brief training",
    }  # fmt: skip
    product = {"model": "NewItems", "base": {"model": "RIM", "preference": brief, "intensity": {"model": "EMA"}}}
    assert services.model_names([full, replace(full, id="2", config=product)])["2"].endswith("brief training")
    named = services.model_names(
        [full, replace(full, id="2", created_at=later), replace(full, id="3", created_at=later)]
    )
    assert named["1"] == f"{info.name} · {day:%d %b %Y %H:%M} UTC"
    assert [named[i].split(" · ")[-1] for i in "23"] == ["2", "3"]


def test_a_plan_begins_with_the_best_of_the_models_that_count(
    shop: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = services.workspace().model_info(model)
    names = {"GRU×Activity": 0.2, "HorizonCounts": 0.3, "GRU": 0.4, "GRU+NewItems": 0.5}
    models = [replace(info, id=name, config=model_config(name)) for name in names]

    def measured(workspace: object, name: str) -> list[EvaluationRecord]:
        return [EvaluationRecord(name, "test", "user", 1, {"precision": names[name]})]

    monkeypatch.setattr(type(services.workspace()), "evaluations", measured)
    assert services.best_model(models) == "HorizonCounts"
    assert (
        services.best_model([m for m in models if m.id.startswith("GRU") and m.id != "GRU×Activity"]) == "GRU+NewItems"
    )


@pytest.mark.parametrize(
    ("rows", "said"), [(1, "The first row, as it is in the file:"), (2, "The first 2 rows, as they are in the file:")]
)
def test_the_rows_of_a_file_are_counted_as_people_say_it(root: Path, app: AppTest, rows: int, said: str) -> None:
    upload(app, "customer;sku;time", ["c1;p1;2024-01-01"] * rows)
    assert said in words(app)


def test_values_with_decimal_commas_are_read_and_the_report_says_how(root: Path, app: AppTest, until: Callable) -> None:
    rows = [f"c{i % 7};p{i % 5};2024-01-{1 + i % 28:02d};{i},50" for i in range(90)]
    upload(app, "customer;sku;time;price", rows)
    assert added(app, until).events == 90
    app.run()
    (said,) = [t.value for t in app.text]
    assert "Values are written with a decimal comma: " in said
    assert str(root) not in said


def test_what_may_be_uploaded_is_said_alike_by_the_browser_and_the_how_to() -> None:
    most = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    assert most < 512  # which the browser rounds to 1 GB
    assert f"{most} MB" in (ROOT / "docs" / "howto" / "data.md").read_text()


def test_further_columns_describe_items_and_users_for_groups_of_promises_and_hashed_addresses(
    root: Path, app: AppTest, until: Callable
) -> None:
    rows = [f"c{i % 7},p{i % 5},2024-01-{1 + i % 28:02d},brand {i % 2},c{i % 7}@example.org" for i in range(90)]
    upload(app, "customer,sku,time,brand,mail", rows)
    assert app.multiselect(key="add-item_features-bons").options == ["brand", "mail"]
    app.multiselect(key="add-item_features-bons").set_value(["brand"])
    app.multiselect(key="add-user_features-bons").set_value(["mail"])
    log = services.workspace().log(added(app, until).name)
    assert "brand" in log.items.columns
    assert set(log.users["mail"]) == {f"c{i}@example.org" for i in range(7)}


def test_a_file_with_a_header_and_no_rows_says_so_and_cannot_be_added(root: Path, app: AppTest) -> None:
    upload(app, "customer,sku,time,price", [])
    assert "has a header and no rows" in words(app)
    assert "first 0 rows" not in words(app)
    assert "Add the dataset" not in [b.label for b in app.button]
    assert not app.error


def test_a_file_without_a_usable_row_says_why_by_its_own_name_and_gives_the_rows(
    root: Path, app: AppTest, until: Callable
) -> None:
    rows = [f'c{i % 7},p{i % 5},2024-01-{1 + i % 28:02d},"{1 + i},250"' for i in range(90)]
    upload(app, "customer,sku,time,price", rows)
    app.button(key="add-go").click().run()
    until(app, lambda a: a.error)
    said = app.error[0].value.replace("\\", "")
    assert "bons.csv: 0 of 90 rows kept" in said
    assert "state “Decimal sign” comma or “Decimal sign” point" in said
    assert str(root) not in said
    assert "Download the rejected rows" in [b.label for b in app.get("download_button")]
    (rejects,) = (root / "data" / "rejects").iterdir()
    assert str(root) not in rejects.read_text()
    app.selectbox(key="add-decimal").set_value(",").run()
    assert added(app, until).events == 90


def test_a_file_that_is_not_there_is_said_plainly_and_changes_nothing(root: Path, app: AppTest) -> None:
    go(app, PAGES[0])
    app.selectbox(key="add-source").set_value("file").run()
    app.segmented_control(key="add-way").set_value("Path on this machine").run()
    app.text_input(key="add-path-file").set_value("/nowhere/events.csv").run()
    assert not app.exception
    assert "events.csv" in app.error[0].value
    assert services.datasets() == []


def test_models_are_compared_with_the_figures_the_workspace_keeps(shop: Path, app: AppTest) -> None:
    go(app, PAGES[1])
    table = next(d.value for d in app.dataframe if "item_precision" in d.value)
    kept = {
        (services.workspace().model_info(e.model_id).name, e.task): e.metrics["precision"]
        for e in services.workspace().evaluations()
    }
    assert len(kept) == 4
    for row in table.itertuples():
        assert row.item_precision == kept[row.model, "item"]
        assert row.user_precision == kept[row.model, "user"]


def test_training_runs_in_a_process_of_its_own_and_ends_in_the_comparison(
    shop: Path, app: AppTest, until: Callable
) -> None:
    go(app, PAGES[1])
    app.multiselect(key="train-models").set_value(["Random"])
    app.button[[b.label for b in app.button].index("Train")].click().run()
    assert not app.exception
    job = services.jobs()[0]
    assert job.title == "Random"
    until(app, lambda _: services.jobs()[0].state == "done")
    assert services.jobs()[0].progress is None or services.jobs()[0].progress.pid != os.getpid()
    app.run()
    table = next(d.value for d in app.dataframe if "item_precision" in d.value)
    assert "Random" in set(table["model"])


def test_models_are_offered_as_they_are_called_in_comparisons_and_a_second_training_waits(
    shop: Path, app: AppTest, until: Callable
) -> None:
    go(app, PAGES[1])
    offered = app.multiselect(key="train-models").options
    assert {"LightFM-BPR-Item", "RFM-GBDT"} <= set(offered)
    assert all(model_config(name) for name in offered)
    for said in ("has started", "waits for the training before it"):
        app.multiselect(key="train-models").set_value(["RFM-GBDT"])
        app.button[[b.label for b in app.button].index("Train")].click().run()
        assert not app.exception
        assert app.toast[0].value == f"Training of RFM-GBDT {said}."
    assert "**RFM-GBDT** · shop v1 · Brief (2 epochs)" in words(app)
    services.cancel(services.jobs()[0].id)
    until(app, lambda _: not services.active_jobs())


def test_the_loss_is_drawn_as_it_fell_once_a_training_is_done(shop: Path, app: AppTest, until: Callable) -> None:
    go(app, PAGES[1])
    job = services.train(services.datasets()[0], services.SplitChoice(), ["GRU"], "brief")
    until(app, lambda _: services.jobs()[0].state == "done")
    app.run()
    assert not app.exception
    assert "is done after" in words(app)
    history = [step for step in services.jobs()[0].history if step.get("heldout_loss") is not None]
    assert len(history) >= 2
    (drawn,) = [spec for spec in map(json.loads, (c.proto.spec for c in app.get("plotly_chart"))) if loss_of(spec)]
    assert loss_of(drawn) == pytest.approx([step["heldout_loss"] for step in history])
    assert loss_of(drawn)[-1] < loss_of(drawn)[0]
    assert drawn["layout"]["yaxis"]["title"]["text"] == "loss (nats per event)"
    assert job.id == services.jobs()[0].id


def loss_of(spec: dict) -> list[float]:
    """The held-out loss by epoch in a chart that shows it."""
    return next((values(trace["y"]) for trace in spec["data"] if trace.get("name") == "held-out users"), [])


def values(y: list[float] | dict) -> list[float]:
    """Numbers as plotly writes them."""
    if isinstance(y, dict):
        return np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"]).tolist()
    return list(y)


def ways_on(app: AppTest) -> list[str]:
    """Buttons that take up a training again."""
    return [b.label for b in app.button if b.label in ("Resume", "Train again")]


def test_a_training_of_which_nothing_is_kept_is_not_resumed_but_trained_again(
    shop: Path, app: AppTest, until: Callable
) -> None:
    go(app, PAGES[1])
    job = trainings().submit("shop", split=services.SplitChoice().config(), models=["Random"])
    services.cancel(job.id)
    app.run()
    assert ways_on(app) == ["Train again"]
    (asked,) = [a for a in services.attention() if a.kind == "job"]
    assert asked.remedy == "Train again or discard it"
    assert asked.text == "The training of Random on shop v1 was cancelled."  # not at 0 %: it had not got going
    app.button(key=f"again-{job.id}").click().run()
    assert job.id not in [j.id for j in services.jobs()]
    until(app, lambda _: services.jobs()[0].state == "done")
    assert services.jobs()[0].title == "Random"


def test_a_training_that_would_fail_again_says_what_to_change_and_offers_nothing_else(
    shop: Path, app: AppTest, until: Callable
) -> None:
    go(app, PAGES[1])
    job = trainings().submit("shop", split=services.SplitChoice().config(), models=["Random"])
    services.workspace().set_job(job.id, "running", started=True)
    folder = JobFolder(services.workspace().jobs_folder / job.id)
    folder.write_result({"state": "failed", "message": "Too few events: take a shorter horizon.", LASTING: True})
    until(app, lambda _: services.jobs()[0].state == "failed")
    app.run()
    assert "Too few events: take a shorter horizon. It would fail again as it is" in words(app)
    assert ways_on(app) == []
    assert "Discard" in [b.label for b in app.button]


def test_a_killed_training_is_told_and_can_be_resumed(shop: Path, app: AppTest, until: Callable) -> None:
    go(app, PAGES[1])
    job = services.train(services.datasets()[0], services.SplitChoice(), ["GRU×Activity"], "full")
    parts = services.workspace().parts_folder
    until(app, lambda _: list(parts.glob("*.checkpoint/checkpoint.safetensors")))
    os.kill(services.jobs()[0].progress.pid, signal.SIGKILL)
    until(app, lambda _: services.jobs()[0].state == "interrupted")
    app.run()
    assert "was interrupted" in words(app)
    assert ways_on(app) == ["Resume"]
    app.button(key=f"resume-{job.id}").click().run()
    until(app, lambda _: services.jobs()[0].state == "running")
    services.cancel(job.id)
    until(app, lambda _: services.jobs()[0].state == "cancelled")
    app.run()
    assert words(app).lower().count("cancelled") == 1
    app.button(key=f"discard-{job.id}").click().run()
    assert services.jobs()[0].id != job.id


def planned(app: AppTest, until: Callable) -> AppTest:
    """The plan page once the plan of its sliders is there (until then it has no tabs)."""
    return until(app, lambda page: any("Certificate" in tab.label for tab in page.tabs))


def test_the_plan_follows_its_sliders_and_says_what_the_certificate_says(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PAGES[2]), until)
    app.slider(key="plan-capacity").set_value(4).run()
    app.slider(key="plan-least").set_value(5.0).run()
    planned(app, until)
    request = services.PlanRequest(app.selectbox(key="plan-model").value, 4, 0.05)
    result = services.task(f"plan {request.key}").result
    assert result.certificate.feasible
    size = services.plan_size(request.model_id)
    assert (result.items["planned_delivered"] >= size.promised(0.05)).all()
    assert metric(app, "Kept in the plan") == f"{size.items} of {size.items}"
    assert metric(app, "Kept when delivered") == f"{size.items - result.broken_online} of {size.items}"
    assert "Every promise is kept" in words(tab(app, "Certificate"))


def test_promises_beyond_the_places_are_named_with_what_would_fit(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PAGES[2]), until)
    app.slider(key="plan-capacity").set_value(2).run()
    size = services.plan_size(app.selectbox(key="plan-model").value)
    app.slider(key="plan-least").set_value(size.slider_end(2)).run()
    text = words(app)  # before any plan is there
    assert "ask for more places than there are" in text
    assert f"β of at most {100 * size.said_exposure(2):.6g} %" in text
    planned(app, until)
    assert "Not all promises can be kept together" in words(app)
    assert "Some promises are not kept" in words(tab(app, "Certificate"))


def test_a_saved_plan_opens_again_with_the_same_figures_and_makes_a_file(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PAGES[2]), until)
    app.slider(key="plan-capacity").set_value(3).run()
    app.toggle(key="plan-limited").set_value(True).run()
    app.slider(key="plan-most").set_value(40.0).run()
    planned(app, until)
    precision = metric(app, "Interactions per delivery")
    app.button(key="plan-save-go").click().run()
    assert not app.exception
    scenario = services.scenarios(services.datasets()[0])[0]
    assert scenario.constraints["capacity"] == 3
    app.slider(key="plan-capacity").set_value(5).run()
    planned(app, until)
    app.selectbox(key="plan-open").set_value(scenario.id).run()
    planned(app, until)
    assert app.slider(key="plan-capacity").value == 3
    assert app.slider(key="plan-most").value == 40.0
    assert metric(app, "Interactions per delivery") == precision
    app.button(key="plan-compute-again").click().run()
    planned(app, until)
    assert metric(app, "Interactions per delivery") == precision
    assert "computed again with the same figures" in words(app)

    go(app, PAGES[3])
    assert not app.exception
    assert app.selectbox(key="audience-plan").value == scenario.id
    item = app.multiselect[0].value[0]
    pairs = services.workspace().scenario_pairs(scenario.id, "test", item=item)
    assert metric(app, "Deliveries") == f"{len(pairs):,}"
    recipe = services.AudienceRecipe(scenario.id, "test", (item,))
    rows = list(csv.DictReader(io.StringIO(services.export_file(recipe).decode())))
    assert [r["user_id"] for r in rows] == pairs["user_id"].tolist()
    assert [int(r["rank"]) for r in rows] == list(range(1, len(rows) + 1))
    assert services.exports().iloc[0]["rows"] == len(rows)


def test_a_sweep_is_stored_and_drawn_without_another(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PAGES[2]), until)
    tab(app, "Frontier").button(key="frontier-go").click().run()
    model, capacity = app.selectbox(key="plan-model").value, app.slider(key="plan-capacity").value
    request = services.PlanRequest(model, capacity)
    until(app, lambda _: services.stored_frontier(request, [model]) is not None)
    points = services.stored_frontier(request, [model])
    assert set(points["mode"]) == {"offline greedy", "offline dual", "online dual"}
    app.run()
    assert "Sweep again" in [b.label for b in app.button]


def test_ids_that_a_spreadsheet_would_run_are_harmless_in_the_file(root: Path) -> None:
    times = pd.date_range("2024-01-01", periods=120, freq="12h", tz="UTC").astype(str)
    file = root / "formulas.csv"
    frame = pd.DataFrame({"user_id": ["=1+1", "@you", "plain"] * 40, "item_id": ["+a", "b"] * 60, "timestamp": times})
    frame.to_csv(file, index=False)
    services.workspace().add_dataset("formulas", "csv", path=file)
    info = services.datasets()[0]
    split = services.SplitChoice(horizon_days=7)
    job = trainings().submit(info.name, split=split.config(), models=["Popularity"])
    assert trainings().wait(job.id).state == "done"
    key = services.request_plan(services.PlanRequest(services.models(info)[0].id, 2), wish="test")
    while not services.task(key).settled:
        time.sleep(0.05)
    scenario = services.save_plan(services.task(key).result, "=cmd")
    text = services.export_file(services.AudienceRecipe(scenario.id)).decode()
    cells = [c for row in csv.reader(io.StringIO(text)) for c in row]
    assert "'=1+1" in cells
    assert not [c for c in cells if c[:1] in ("=", "+", "-", "@")]


def test_what_happened_last_time_is_told_once(root: Path, app: AppTest, prepared: Path) -> None:
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    code = "import os, sys; from rim_core.storage import Workspace; w = Workspace(sys.argv[1]); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False).returncode == 9
    app.run()
    assert "without closing" in words(app)
    app.button(key="recovery-understood").click().run()
    assert "without closing" not in words(app)


def test_a_workspace_in_use_names_its_owner_instead_of_a_traceback(root: Path, app: AppTest, prepared: Path) -> None:
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    code = (
        "import sys; from rim_core.storage import Workspace; w = Workspace(sys.argv[1], command='rim train');"
        "print('open', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline().strip() == "open"
    app.run()
    assert not app.exception
    assert f"process {owner.pid}" in app.error[0].value
    owner.communicate("")
    app.run()
    assert not app.error
    assert isinstance(services.workspace(), Workspace)


def test_a_dataset_that_is_removed_is_not_asked_for_any_more(shop: Path, app: AppTest) -> None:
    services.workspace().add_dataset("other", "shop", options={"users": 200, "items": 20, "days": 60, "seed": 9})
    app.run()
    app.query_params["dataset"] = "other v1"
    app.switch_page("views/data.py").run()
    assert app.selectbox(key="dataset").value == "other v1"
    app.button(key="remove-dataset").click().run()
    assert not app.exception
    assert app.selectbox(key="dataset").value == "shop v1"
    assert "not in this workspace" not in words(app)


def test_letters_that_the_encoding_does_not_know_are_said_before_anything_is_added(
    root: Path, app: AppTest, tmp_path: Path
) -> None:
    file = tmp_path / "shop.csv"
    file.write_bytes("user,item,time\nu1,Käse,2024-01-01\nu2,Brot,2024-01-02\n".encode("latin-1"))
    go(app, PAGES[0])
    app.selectbox(key="add-source").set_value("file").run()
    app.segmented_control(key="add-way").set_value("Path on this machine").run()
    app.text_input(key="add-path-file").set_value(str(file)).run()
    assert "cannot be read in this encoding" in words(app)
    app.text_input(key="add-encoding").set_value("latin-1").run()
    assert "cannot be read in this encoding" not in words(app)
    assert any("Käse" in d.value.astype(str).to_numpy() for d in app.dataframe)
