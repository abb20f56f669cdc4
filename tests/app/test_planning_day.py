"""A planner's day on the Plan page, without a browser: sliders, tables, links."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from app.services import planning
from app.services.requests import PlanRequest, Promise
from app.tasks import Report
from tests.app.plans import MODELS, PLAN, go, make, metric, pasted, planned, tab, words


def test_undo_and_redo_step_through_what_was_promised(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    first = app.slider(key="plan-capacity").value
    app.slider(key="plan-capacity").set_value(4).run()
    app.slider(key="plan-least").set_value(3.0).run()
    app.button(key="plan-undo").click().run()
    assert (app.slider(key="plan-capacity").value, app.slider(key="plan-least").value) != (4, 3.0)
    app.button(key="plan-undo").click().run()
    assert app.slider(key="plan-capacity").value == first
    assert app.button(key="plan-undo").disabled
    app.button(key="plan-redo").click().run()
    app.button(key="plan-redo").click().run()
    assert (app.slider(key="plan-capacity").value, app.slider(key="plan-least").value) == (4, 3.0)
    assert app.button(key="plan-redo").disabled


def test_a_change_after_undo_can_be_undone_itself_and_nothing_is_left_to_redo(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    least = app.slider(key="plan-least").value
    app.slider(key="plan-capacity").set_value(11).run()
    app.button(key="plan-undo").click().run()
    app.slider(key="plan-least").set_value(least + 0.1).run()
    assert app.button(key="plan-redo").disabled
    app.button(key="plan-undo").click().run()
    assert (app.slider(key="plan-capacity").value, app.slider(key="plan-least").value) == (10, least)
    assert app.button(key="plan-undo").disabled


def test_a_slider_moved_key_by_key_is_one_step_back(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    start = app.slider(key="plan-capacity").value
    for capacity in (21, 22, 23, 24):
        app.slider(key="plan-capacity").set_value(capacity).run()
    app.slider(key="plan-least").set_value(0.5).run()
    app.button(key="plan-undo").click().run()
    assert app.slider(key="plan-capacity").value == 24
    app.button(key="plan-undo").click().run()
    assert app.slider(key="plan-capacity").value == start


def test_a_minimum_that_found_no_room_comes_back_with_it(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    size = services.plan_size(app.selectbox(key="plan-model").value)
    wanted = size.slider_end(10)
    app.slider(key="plan-least").set_value(wanted).run()
    app.slider(key="plan-capacity").set_value(2).run()
    assert app.slider(key="plan-least").value == size.slider_end(2) < wanted
    assert "no room for" in words(app)
    app.slider(key="plan-capacity").set_value(3).run()
    assert app.slider(key="plan-least").value == size.slider_end(3)
    app.slider(key="plan-capacity").set_value(10).run()
    assert app.slider(key="plan-least").value == wanted
    assert "no room for" not in words(app)
    app.slider(key="plan-capacity").set_value(2).run()
    app.slider(key="plan-least").set_value(0.5).run()
    app.slider(key="plan-capacity").set_value(10).run()
    assert app.slider(key="plan-least").value == 0.5


@pytest.mark.parametrize("least", [0.0, 5.0])
def test_another_model_leaves_the_minimum_as_it_is(shop: Path, app: AppTest, until: Callable, least: float) -> None:
    planned(go(app, PLAN), until)
    app.slider(key="plan-least").set_value(least).run()
    models = app.selectbox(key="plan-model")
    other = next(m.id for m in services.models(services.datasets()[0]) if m.id != models.value)
    models.set_value(other).run()
    assert app.slider(key="plan-least").value == least
    planned(app, until)
    assert PlanRequest.from_token(app.query_params["plan"]).min_exposure == least / 100
    assert not any("no room for" in c.value for c in app.caption)


def test_a_minimum_that_the_slider_has_no_room_for_any_more_is_lowered_and_that_is_said(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    size = services.plan_size(app.selectbox(key="plan-model").value)
    app.slider(key="plan-capacity").set_value(8).run()
    app.slider(key="plan-least").set_value(size.slider_end(8)).run()
    app.slider(key="plan-capacity").set_value(2).run()
    end = size.slider_end(2)
    assert app.slider(key="plan-least").value == end
    app.run()
    assert f"β was {size.slider_end(8):.6g} %" in words(app)
    assert f"it is {end:.6g} % now" in words(app)
    app.slider(key="plan-least").set_value(1.0).run()
    assert "β was" not in words(app)


def test_a_name_that_was_typed_outlives_moves_and_a_reload_until_the_plan_is_saved(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    proposal = app.text_input(key="plan-name").placeholder
    assert proposal == PlanRequest.from_token(app.query_params["plan"]).describe()
    app.text_input(key="plan-name").set_value("Spring").run()
    app.slider(key="plan-capacity").set_value(4).run()  # while the plan is made there is the field as well
    assert app.text_input(key="plan-name").value == "Spring"
    planned(app, until)
    again = AppTest.from_file(app._script_path, default_timeout=180)
    again.query_params.update({"plan": app.query_params["plan"], "plan-name": "Spring"})  # as the browser writes it
    planned(again.run().switch_page(PLAN).run(), until)
    assert again.text_input(key="plan-name").value == "Spring"
    again.button(key="plan-save-go").click().run()
    assert [s.name for s in services.scenarios(services.datasets()[0])] == ["Spring"]
    again.slider(key="plan-capacity").set_value(5).run()
    planned(again, until)
    assert again.text_input(key="plan-name").value == ""
    again.button(key="plan-save-go").click().run()
    assert "K 5" in services.scenarios(services.datasets()[0])[0].name


def test_a_number_of_items_that_there_are_not_becomes_the_nearest_and_that_is_said(
    shop: Path, app: AppTest, until: Callable, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(go(app, PLAN), until)
    size = services.plan_size(model)
    app.slider(key="plan-capacity").set_value(size.items).run()
    fewer = next(m.id for m in services.models(services.datasets()[0]) if m.id != model)
    with monkeypatch.context() as patch:
        sizes = {model: size, fewer: replace(size, items=size.items - 5)}
        patch.setattr(services, "plan_size", sizes.__getitem__)
        app.selectbox(key="plan-model").set_value(fewer).run()
        assert app.slider(key="plan-capacity").value == size.items - 5
        assert f"K was {size.items}, and this model knows fewer items: it is {size.items - 5} now" in words(app)
        app.slider(key="plan-capacity").set_value(3).run()
        assert "K was" not in words(app)


@pytest.fixture
def other(shop: Path) -> str:
    """Label of a second dataset with a model: other items, other users."""
    workspace = services.workspace()
    workspace.add_dataset("other", "shop", options={"users": 150, "items": 12, "days": 60, "seed": 8})
    info = next(d for d in services.datasets() if d.name == "other")
    job = services.train(info, services.SplitChoice(by="time", horizon_days=10), ["Popularity"], "brief")
    end = time.monotonic() + 120
    while next(j for j in services.jobs() if j.id == job.id).active:
        assert time.monotonic() < end
        time.sleep(0.2)
    return info.label


def test_promises_belong_to_their_dataset_and_are_there_again_when_it_is(
    shop: Path, app: AppTest, until: Callable, model: str, other: str
) -> None:
    here = next(d.label for d in services.datasets() if d.label != other)
    last = str(services.catalogue_of(model).index[-1])
    app.run()
    app.selectbox(key="dataset").set_value(here).run()
    request = PlanRequest(model, 4, 0.05, promises=(Promise(last, minimum=0.1),), rules=services.Rules(3))
    app.query_params["plan"] = request.token()
    planned(app.switch_page(PLAN).run(), until)
    app.slider(key="plan-capacity").set_value(3).run()
    app.slider(key="plan-capacity").set_value(4).run()
    assert app.number_input(key="rules-per-user").value == 3
    app.selectbox(key="dataset").set_value(other).run()
    assert not app.exception
    size = services.plan_size(app.selectbox(key="plan-model").value)
    assert app.number_input(key="rules-per-user").value is None
    assert app.slider(key="plan-capacity").value == 10
    assert app.slider(key="plan-least").value == size.half_of_places(10)
    assert app.slider(key="plan-least").max == size.slider_end(10)
    assert app.button(key="plan-undo").disabled
    planned(app, until)
    app.slider(key="plan-capacity").set_value(2).run()
    for label, capacity in ((here, 4), (other, 2)):
        app.selectbox(key="dataset").set_value(label).run()
        assert app.slider(key="plan-capacity").value == capacity
    app.selectbox(key="dataset").set_value(here).run()
    assert PlanRequest.from_token(app.query_params["plan"]) == request
    assert not app.button(key="plan-undo").disabled


def test_what_is_about_items_that_another_version_lacks_rests_until_it_is_left_out(
    shop: Path, app: AppTest, until: Callable, model: str
) -> None:
    item = str(services.catalogue_of(model).index[3])
    rules = services.Rules(
        items=(services.ItemRule("GONE", value=3.0),), pairs=(services.PairRule("forced", "u", "GONE"),)
    )
    promises = (Promise(item, minimum=0.1), Promise("LOST", minimum=0.2, maximum=0.9))
    app.run()
    app.query_params["plan"] = PlanRequest(model, 4, 0.05, promises=promises, rules=rules).token()
    planned(app.switch_page(PLAN).run(), until)
    assert "This model does not know GONE, LOST." in words(app)
    assert metric(app, "Kept in the plan").endswith(f" of {services.plan_size(model).items}")
    assert any(m.label == "Expected interactions" for m in app.metric)
    request = PlanRequest.from_token(app.query_params["plan"])
    assert (request.promises, request.rules) == (promises[::-1], rules)  # all of it is kept
    other = next(m.id for m in services.models(services.datasets()[0]) if m.id != model)
    app.selectbox(key="plan-model").set_value(other).run()
    assert PlanRequest.from_token(app.query_params["plan"]).promises == promises[::-1]
    app.button(key="plan-resting-out").click().run()
    planned(app, until)
    assert "does not know" not in words(app)
    request = PlanRequest.from_token(app.query_params["plan"])
    assert (request.promises, request.rules) == (promises[:1], services.Rules())
    app.button(key="plan-undo").click().run()
    assert "does not know GONE, LOST" in words(app)


def test_what_cannot_be_planned_with_is_said_once(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    app.number_input(key="rules-budget").set_value(10.0).run()
    until(app, lambda page: page.error)
    assert len(app.error) == 1


def test_the_last_training_is_that_of_the_dataset(shop: Path, app: AppTest) -> None:
    services.workspace().add_dataset("bare", "shop", options={"users": 60, "items": 12, "days": 40, "seed": 5})
    bare = next(d.label for d in services.datasets() if d.name == "bare")
    app.run()
    app.selectbox(key="dataset").set_value(bare).run()
    app.switch_page(MODELS).run()
    assert "No trained model yet" in words(app)
    assert "The last training" not in words(app)


def test_a_plan_that_is_cancelled_stops_and_the_page_says_what_happened_above_the_plan_before(
    shop: Path, app: AppTest, until: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(go(app, PLAN), until)
    before = app.slider(key="plan-capacity").value
    make, ended = planning._make_plan, threading.Event()

    def endless(request: PlanRequest, report: Report, after: services.PlanResult | None) -> services.PlanResult:
        try:
            while True:
                report("keeping every promise exactly: 12 places to go", 0.5)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(planning, "_make_plan", endless)
    app.slider(key="plan-capacity").set_value(13).run()  # of no other test: what was planned once is there at once
    assert "Until then, the plan before" in words(app)
    next(b for b in app.button if b.label == "Cancel").click().run()
    assert ended.wait(1.0)
    assert "Cancelled after" in words(app)
    assert f"Below stands the plan before: K {before}" in words(app)
    assert any("Certificate" in t.label for t in app.tabs)
    assert app.button(key="plan-save-go").disabled  # what is shown is not what is promised now
    app.run()
    assert "Cancelled after" in words(app)
    monkeypatch.setattr(planning, "_make_plan", make)
    app.button(key="plan-take-up").click().run()
    planned(app, until)
    assert "Cancelled after" not in words(app)
    assert app.slider(key="plan-capacity").value == 13

    monkeypatch.setattr(planning, "_make_plan", endless)
    app.slider(key="plan-capacity").set_value(14).run()
    next(b for b in app.button if b.label == "Cancel").click().run()
    app.button(key="plan-go-back").click().run()
    assert app.slider(key="plan-capacity").value == 13
    assert "Cancelled after" not in words(app)


def test_one_bad_row_among_good_ones_the_page_is_of_what_is_in_force_and_says_what_was_left_out(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    items = services.catalogue_of(app.selectbox(key="plan-model").value).index
    pasted(app, "own").set_value(f"{items[0]}\t2\nwine\t3\n{items[1]}\t4").run()
    before = pasted(app, "own").key
    app.button(key="own-take").click().run()
    assert any("groups (2)" in e.label for e in app.expander)
    assert not app.button(key="own-clear").disabled
    assert "2 rows taken in; 1 row left out" in words(app)
    (said,) = [t.value for t in app.table if "Why it was left out" in t.value]  # whose text wraps
    assert said.index.tolist() == ["2"]
    assert said["Cell"].tolist() == ["wine"]
    assert pasted(app, "own").value == "wine\t3"
    assert pasted(app, "own").key != before  # another field: a closed popover keeps what the browser had typed
    app.run()
    assert "left out" in words(app)
    app.button(key="own-dismiss").click().run()
    assert "left out" not in words(app)


def toasts(app: AppTest) -> str:
    """What the page says in passing."""
    return "\n".join(str(t.value) for t in app.toast)


def test_of_several_rows_about_the_same_the_page_says_which_counts(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    items = [str(i) for i in services.catalogue_of(app.selectbox(key="plan-model").value).index[:2]]
    pasted(app, "own").set_value(f"{items[0]}\t2\n{items[1]}\t4\n{items[0]}\t3").run()
    app.button(key="own-take").click().run()
    assert f"3 rows taken in. Of several rows about {items[0]} the last counts." in toasts(app)
    promises = PlanRequest.from_token(app.query_params["plan"]).promises
    assert {p.target: p.minimum for p in promises} == {items[0]: 0.03, items[1]: 0.04}
    pasted(app, "own").set_value(f"{items[1]}\t5").run()
    app.button(key="own-take").click().run()
    assert "1 row taken in. 1 row of the table made way for new ones about the same." in toasts(app)
    rules = "item,value\nA,1\nA,2"
    catalogue = pd.DataFrame({"title": ["a"]}, index=["A"])
    assert services.item_rules_from_text(rules, catalogue).twice == ("A",)
    assert services.pair_rules_from_text("u,A\nu,A\nv,A", catalogue, "forced").twice == ("u and A",)


def test_a_file_goes_before_rows_that_wait_and_rows_left_out_are_never_lost(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    item = str(services.catalogue_of(app.selectbox(key="plan-model").value).index[0])
    pasted(app, "own").set_value(f"{item}\t2").run()
    app.file_uploader(key="own-file-0").set_value(("more.csv", f"{item},3\nwine,1".encode(), "text/csv")).run()
    assert pasted(app, "own").disabled
    assert "This takes in the file. The rows above wait here" in words(app)
    app.button(key="own-take").click().run()
    assert PlanRequest.from_token(app.query_params["plan"]).promises[0].minimum == 0.03
    assert pasted(app, "own").value == f"{item}\t2"
    assert "Download what was left out below" in words(app)
    app.button(key="own-take").click().run()
    assert PlanRequest.from_token(app.query_params["plan"]).promises[0].minimum == 0.02
    many = "\n".join(f"unknown {k}\t1" for k in range(2_000))
    pasted(app, "own").set_value(many).run()
    app.button(key="own-take").click().run()
    assert pasted(app, "own").value == ""
    assert "2,000 rows left out" in words(app)
    assert "Download what was left out below" in words(app)
    assert app.session_state["own-left"][2] == many
    assert "Download the rows left out" in [b.label for b in app.get("download_button")]


def test_an_infeasible_promise_is_relaxed_with_one_click(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    app.slider(key="plan-capacity").set_value(2).run()
    size = services.plan_size(app.selectbox(key="plan-model").value)
    app.slider(key="plan-least").set_value(size.slider_end(2)).run()
    assert "more places than there are" in words(app)
    app.button(key="relax-places-0").click().run()
    assert "more places than there are" not in words(app)
    planned(app, until)
    assert "Every promise is kept" in words(tab(app, "Certificate"))


def test_a_link_opens_the_very_plan_saved_or_not(shop: Path, app: AppTest, until: Callable, model: str) -> None:
    request = PlanRequest(model, 3, 0.04, 0.6, promises=(Promise(str(services.catalogue_of(model).index[0]), "", 0.1),))
    saved = services.save_plan(make(request), "Linked")
    for query in ({"scenario": saved.id}, {"plan": request.token()}):
        fresh = AppTest.from_file(str(Path(__file__).resolve().parents[2] / "app" / "main.py"), default_timeout=180)
        fresh.run()
        for key, value in query.items():
            fresh.query_params[key] = value
        fresh.switch_page(PLAN).run()
        planned(fresh, until)
        assert fresh.slider(key="plan-capacity").value == 3
        assert fresh.slider(key="plan-least").value == pytest.approx(4.0)
        assert fresh.slider(key="plan-most").value == pytest.approx(60.0)
        assert any("groups (1)" in e.label for e in fresh.expander)
        assert "Linked" in words(fresh)


def test_a_move_stands_though_the_browser_still_asks_with_the_address_before_it(
    shop: Path, app: AppTest, until: Callable
) -> None:
    go(app, PLAN)
    planned(app, until)
    before = app.query_params["plan"]
    for step in (3, 2):  # the second move comes with the address from before the first
        app.slider(key="plan-capacity").set_value(step)
        app.query_params["plan"] = before
        app.run()
        assert app.slider(key="plan-capacity").value == step
    assert app.query_params["plan"] != before
