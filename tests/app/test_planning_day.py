"""A planner's work on saved plans and single promises, without a browser: Start, Plan, Compare."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from app.services import planning
from app.services.requests import PlanRequest, PlanSize, Promise, constraints
from app.tasks import Report
from rim_core import walk
from rim_core.errors import ConstraintError
from rim_core.planning import Constraints, DualPlanner

START, PLAN, COMPARE, MODELS = "views/start.py", "views/plan.py", "views/compare.py", "views/models.py"


def words(app: AppTest) -> str:
    """Everything the page says."""
    parts = [*app.title, *app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.success, *app.subheader]
    return "\n".join(str(p.value) for p in parts)


def go(app: AppTest, page: str) -> AppTest:
    app.run()
    return app if page == START else app.switch_page(page).run()


def metric(app: AppTest, label: str) -> str:
    """The value of a figure by its label."""
    return next(str(m.value) for m in app.metric if m.label == label)


def tab(app: AppTest, name: str) -> AppTest:
    """Open a tab of the plan."""
    app.session_state["plan-tabs"] = next(t.label for t in app.tabs if name in t.label)
    return app.run()


def planned(app: AppTest, until: Callable) -> AppTest:
    return until(app, lambda page: any("Certificate" in tab.label for tab in page.tabs))


def make(request: PlanRequest) -> services.PlanResult:
    """The plan of a request, waited for."""
    key = services.request_plan(request, wish="test")
    end = time.monotonic() + 300  # kernels may be compiled first
    while not services.task(key).settled:
        assert time.monotonic() < end
        time.sleep(0.05)
    task = services.task(key)
    assert task.error is None, task.error
    return task.result


@pytest.fixture
def model(shop: Path) -> str:
    """Id of the model to plan with."""
    return services.best_model(services.models(services.datasets()[0]))


CATALOGUE = pd.DataFrame(
    {"title": ["Tea", "Coffee", "Milk", "=SUM(A1)"], "brand": ["A", "A", "B", "B"]}, index=["t", "c", "m", "=x"]
)


# -- promises -------------------------------------------------------------------------------------------------


def test_a_single_items_promise_goes_before_its_groups_and_that_before_the_general_one() -> None:
    request = PlanRequest("x", 2, 0.1, promises=(Promise("A", "brand", 0.2, 0.9), Promise("c", minimum=0.3)))
    found = constraints(request, CATALOGUE)
    np.testing.assert_allclose(found.min_exposure, [0.2, 0.3, 0.1, 0.1])
    np.testing.assert_allclose(found.max_exposure, [0.9, 0.9, 1.0, 1.0])


def test_promises_that_cannot_be_are_named() -> None:
    request = PlanRequest("x", 2, promises=(Promise("c", minimum=0.1), Promise("t", minimum=0.5, maximum=0.2)))
    with pytest.raises(ConstraintError, match="Item t"):
        constraints(request, CATALOGUE)


def test_promises_and_rules_about_items_that_are_not_here_rest_and_are_named() -> None:
    here = PlanRequest("x", 2, promises=(Promise("c", minimum=0.1), Promise("A", "brand", maximum=0.5)))
    rules = services.Rules(
        items=(services.ItemRule("gone", value=2.0),), pairs=(services.PairRule("forced", "u", "c"),)
    )
    more = (*here.promises, Promise("nothing", maximum=0.1), Promise("Z", "brand", 0.2), Promise("x", "shape", 0.2))
    request = replace(here, promises=more, rules=rules)
    assert services.resting(request, CATALOGUE) == ["brand Z", "gone", "nothing", "shape x"]
    kept = services.known(request, CATALOGUE)
    assert (kept.promises, kept.rules) == (here.promises, replace(rules, items=()))
    assert constraints(request, CATALOGUE).to_dict() == constraints(kept, CATALOGUE).to_dict()
    assert services.resting(kept, CATALOGUE) == []


def test_a_link_holds_a_plan_and_a_damaged_one_is_said_to_be() -> None:
    request = PlanRequest("abc", 3, 0.0125, 0.4, 7, (Promise("A", "brand", 0.2), Promise("c", maximum=0.3)))
    assert PlanRequest.from_token(request.token()) == request
    for damaged in (request.token()[:-9], "nonsense", "", "é"):
        with pytest.raises(ConstraintError, match="link"):
            PlanRequest.from_token(damaged)


@pytest.mark.parametrize(
    "text",
    [
        "c\t2,5\nTea\t1\t30",
        "item;at least (%);at most (%)\nc;2.5 %;\ntea;1;30",
        "applies_to,target,title,minimum_percent,maximum_percent\nitem,c,Coffee,2.5,\nitem,t,Tea,1,30",
    ],
)
def test_rows_pasted_from_a_spreadsheet_become_promises(text: str) -> None:
    read = services.promises_from_text(text, CATALOGUE)
    assert read.problems == ()
    assert set(read.promises) == {Promise("c", "", 0.025), Promise("t", "", 0.01, 0.3)}


def test_rows_that_mean_nothing_are_named_and_the_others_taken() -> None:
    read = services.promises_from_text("c\t2\nwine\t3\nt\tlots\nm\t101\nm\t5\t2", CATALOGUE)
    assert read.promises == (Promise("c", "", 0.02),)
    assert [(p.row, p.cell) for p in read.problems] == [(2, "wine"), (3, "lots"), (4, "101"), (5, "5 % and 2 %")]
    assert "no item wine" in read.problems[0].cause
    assert read.left == "wine\t3\nt\tlots\nm\t101\nm\t5\t2"


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        ("=SUM(A1)\t-1", "-1"),
        ("t\t1e9", "1e9"),
        ("t\tinf", "inf"),
        ("t\t=1+1", "=1+1"),
        ("t\tNaN", "t"),
        ("t", "t"),
        ("\t2", ""),
        ('"t\t2', '"t\t2'),
        ("\x00\x01\ufffd", "\x00\x01\ufffd"),
        ("colour\tred\t1\t2", "colour"),
        ("w" * 200_000, "w" * 60 + "…"),
    ],
)
def test_whatever_is_pasted_is_named_by_row_and_cell_and_spoils_no_other_row(row: str, cell: str) -> None:
    read = services.promises_from_text(f"c\t2\n\n{row}\nm\t3", CATALOGUE)
    assert set(read.promises) == {Promise("c", "", 0.02), Promise("m", "", 0.03)}
    (problem,) = read.problems
    assert problem.row == 3
    assert problem.cell == cell.replace('"', "")
    assert problem.cause
    assert problem.advice


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_of_a_spreadsheet_is_read_in_its_encoding(encoding: str) -> None:
    assert services.text_of("Käse;1,5".encode(encoding)) == "Käse;1,5"


def test_a_file_of_promises_reads_back_as_it_was_and_runs_nothing_in_a_spreadsheet() -> None:
    promises = (Promise("=x", "", 0.5), Promise("A", "brand", 0.015, 0.25))
    text = services.promises_to_csv(promises, CATALOGUE).decode()
    assert not any(cell[:1] in ("=", "+", "-", "@") for line in text.splitlines() for cell in line.split(","))
    assert set(services.promises_from_text(text, CATALOGUE).promises) == set(promises)


def test_ways_out_of_clashing_promises_can_be_planned_with(model: str) -> None:
    size = services.plan_size(model)
    request = PlanRequest(model, 2, min(1.0, 1.5 * size.fitting_exposure(2)))
    ways = services.relaxations(request)
    assert [w.label.split()[0] for w in ways] == ["Lower", "Raise"]
    for way in ways:
        result = make(way.request)
        assert result.certificate.feasible, way.label
    assert ways[0].request.min_exposure < request.min_exposure
    assert ways[1].request.capacity > 2


def test_a_way_out_that_raises_k_beyond_a_hundred_fits_on_the_slider() -> None:
    many, few = PlanSize(2_000, 60_000), PlanSize(2_000, 30)
    assert [many.capacity_end(k) for k in (0, 40, 703)] == [100, 100, 703]
    assert [few.capacity_end(k) for k in (0, 703)] == [30, 30]
    assert many.said_exposure(10) == 0.0


def test_a_way_out_leaves_places_free_and_says_what_the_largest_promise_would_take(model: str) -> None:
    size = services.plan_size(model)
    for capacity in (1, 2, 5):
        request = PlanRequest(model, capacity, min(1.0, 1.5 * size.fitting_exposure(capacity)))
        lower, higher = services.relaxations(request)
        for way in (lower, higher):
            taken = services.promised_places(way.request) / (size.states * way.request.capacity)
            assert 0.5 < taken <= 0.951, way.label
        most = size.said_exposure(capacity)
        assert f"{100 * most:.6g} % is the most there is room for" in lower.note
        taken = services.promised_places(replace(request, min_exposure=most)) / (size.states * capacity)
        assert 0.9 < taken <= 1.0
        assert lower.label == f"Lower β to {100 * lower.request.min_exposure:.6g} %"
    first = str(services.catalogue_of(model).index[0])
    lower = services.relaxations(PlanRequest(model, 1, 0.5, promises=(Promise(first, minimum=0.6),)))[0]
    assert services.promised_places(lower.request) <= 0.951 * size.states


def test_no_two_minimums_are_offered_that_mean_the_same_user_states(model: str) -> None:
    size = services.plan_size(model)
    for capacity in range(1, size.items):
        request = PlanRequest(model, capacity, min(1.0, 1.2 * size.fitting_exposure(capacity)))
        lower = services.relaxations(request)[0]
        said = [size.promised(float(share) / 100) for share in re.findall(r"([\d.]+) % (?:is|leaves)", lower.note)]
        assert len(set(said)) == len(said), lower.note
        assert size.promised(lower.request.min_exposure) == said[-1]


def test_the_number_of_items_that_would_fit_is_the_one_that_is_offered(shop: Path, app: AppTest, model: str) -> None:
    size = services.plan_size(model)
    app.run()
    app.query_params["plan"] = PlanRequest(model, 8, 1.3 * size.fitting_exposure(8)).token()
    app.switch_page(PLAN).run()
    (said,) = re.findall(r"K of ([\d,]+) or more", words(app))
    assert f"Raise K to {said}" in {b.label for b in app.button}


def test_a_promise_of_one_item_is_kept_and_its_price_and_losers_are_told(model: str) -> None:
    rare = services.catalogue_of(model).index[-1]
    free = make(PlanRequest(model, 3))
    size = services.plan_size(model)
    result = make(PlanRequest(model, 3, promises=(Promise(str(rare), minimum=0.5),)))
    row = result.items.set_index("item_id").loc[str(rare)]
    assert row["planned_delivered"] >= size.promised(0.5)
    assert row["cost"] > 0
    assert result.promises == 1
    lost = (result.items["free"] - result.items["planned_delivered"]).clip(lower=0).sum()
    gained = (result.items["planned_delivered"] - result.items["free"]).clip(lower=0).sum()
    assert lost == gained > 0
    assert result.given_up["states"].sum() == size.states
    assert free.losses.worse == 0.0
    story = services.item_story(result, str(rare))
    assert f"{1000 * row['cost']:,.4g}" in story.sentence
    assert (story.gave_way["lost"] > 0).all()
    assert result.cost_of_promises == pytest.approx(1 - result.certificate.objective / free.certificate.objective)


def test_a_group_is_promised_something_together_and_gets_it(model: str) -> None:
    catalogue = services.catalogue_of(model)
    about = next(a for a in services.abouts(catalogue) if a.endswith(" together"))
    group = about.removesuffix(" together")
    value = services.group_values(catalogue, group)[0]
    read = services.promises_from_text(f"{group} together\t{value}\t40\t", catalogue)
    assert read.problems == ()
    (promise,) = read.promises
    assert promise.together
    result = make(PlanRequest(model, 3, promises=read.promises))
    places = 3 * services.plan_size(model).states
    inside = (catalogue[group].astype(str) == value).to_numpy()
    assert result.items.loc[inside, "planned_delivered"].sum() >= 0.4 * places - 1e-9
    assert result.certificate.feasible
    back = services.promises_from_text(services.promises_to_csv(read.promises, catalogue).decode(), catalogue)
    assert back.promises == read.promises


def test_being_sure_keeps_more_promises_when_delivered_and_says_what_it_costs(model: str) -> None:
    size = services.plan_size(model)
    share = round(0.4 * size.fitting_exposure(4), 3)
    plain, sure = (make(PlanRequest(model, 4, share, confidence=c)) for c in (None, services.SURE))
    assert plain.margin is None
    assert sure.margin.added > 0
    assert sure.certificate.objective <= plain.certificate.objective * (1 + 1e-9)
    assert sure.broken_online <= plain.broken_online
    assert sure.broken == 0


def test_a_preview_is_close_to_the_plan_that_follows(model: str) -> None:
    before = make(PlanRequest(model, 3, 0.02))
    request = PlanRequest(model, 3, 0.03)
    seen, after = planning.preview_plan(before, request), make(request)
    assert seen.expected == pytest.approx(after.certificate.objective, rel=0.01)
    off = abs(seen.delivered - after.items["planned_delivered"].to_numpy())
    assert (off <= np.maximum(2, 0.05 * after.items["planned_delivered"])).mean() > 0.9
    assert planning.preview_plan(before, PlanRequest(model, 5, 0.03)) is None


# -- the pages ------------------------------------------------------------------------------------------------


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
    app.slider(key="plan-capacity").set_value(3).run()
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
    assert app.slider(key="plan-capacity").value == 3

    monkeypatch.setattr(planning, "_make_plan", endless)
    app.slider(key="plan-capacity").set_value(4).run()
    next(b for b in app.button if b.label == "Cancel").click().run()
    app.button(key="plan-go-back").click().run()
    assert app.slider(key="plan-capacity").value == 3
    assert "Cancelled after" not in words(app)


def test_one_bad_row_among_good_ones_the_page_is_of_what_is_in_force_and_says_what_was_left_out(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    items = services.catalogue_of(app.selectbox(key="plan-model").value).index
    app.text_area(key="own-text").set_value(f"{items[0]}\t2\nwine\t3\n{items[1]}\t4").run()
    app.button(key="own-take").click().run()
    assert any("groups (2)" in e.label for e in app.expander)
    assert not app.button(key="own-clear").disabled
    assert "2 rows taken in; 1 row left out" in words(app)
    (said,) = [d.value for d in app.dataframe if "why" in d.value]
    assert said.loc[0, ["row", "cell"]].tolist() == [2, "wine"]
    assert next(d for d in app.dataframe if "why" in d.value).proto.row_height > 64  # only then does text wrap
    assert app.text_area(key="own-text").value == "wine\t3"
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
    app.text_area(key="own-text").set_value(f"{items[0]}\t2\n{items[1]}\t4\n{items[0]}\t3").run()
    app.button(key="own-take").click().run()
    assert f"3 rows taken in. Of several rows about {items[0]} the last counts." in toasts(app)
    promises = PlanRequest.from_token(app.query_params["plan"]).promises
    assert {p.target: p.minimum for p in promises} == {items[0]: 0.03, items[1]: 0.04}
    app.text_area(key="own-text").set_value(f"{items[1]}\t5").run()
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
    app.text_area(key="own-text").set_value(f"{item}\t2").run()
    app.file_uploader(key="own-file-0").set_value(("more.csv", f"{item},3\nwine,1".encode(), "text/csv")).run()
    assert app.text_area(key="own-text").disabled
    assert "This takes in the file. The rows above wait here" in words(app)
    app.button(key="own-take").click().run()
    assert PlanRequest.from_token(app.query_params["plan"]).promises[0].minimum == 0.03
    assert app.text_area(key="own-text").value == f"{item}\t2"
    assert "Download them below" in words(app)
    app.button(key="own-take").click().run()
    assert PlanRequest.from_token(app.query_params["plan"]).promises[0].minimum == 0.02
    many = "\n".join(f"unknown {k}\t1" for k in range(2_000))
    app.text_area(key="own-text").set_value(many).run()
    app.button(key="own-take").click().run()
    assert app.text_area(key="own-text").value == ""
    assert "2,000 rows left out" in words(app)
    assert "Download them below" in words(app)
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


def of_the_command_line(name: str, model: str) -> None:
    """Make, keep and deliver a plan as `rim plan` and `rim deliver` do."""
    source = walk.scored(services.workspace(), services.workspace().model_info(model))
    made = DualPlanner(Constraints(capacity=3, min_exposure=0.05)).fit(source.calibration)
    kept = walk.keep_plan(services.workspace(), source, made, name, None)
    walk.deliver_again(services.workspace(), kept)


def test_a_plan_of_the_command_line_says_at_once_who_loses_and_what_to_expect(
    shop: Path, app: AppTest, until: Callable, model: str
) -> None:
    of_the_command_line("Made elsewhere", model)
    (scenario,) = services.scenarios(services.datasets()[0])
    read, made = services.stored_plan(PlanRequest(model, 3, 0.05)), make(PlanRequest(model, 3, 0.05))
    assert read.saved.id == scenario.id
    for column in ("free", "expected", "low", "high", "chance"):
        np.testing.assert_array_equal(read.items[column], made.items[column])
    assert read.items["outlook"].tolist() == made.items["outlook"].tolist()
    assert read.cost_of_promises == pytest.approx(made.cost_of_promises)
    pd.testing.assert_frame_equal(read.given_up, made.given_up)
    app.run()
    app.query_params["scenario"] = scenario.id
    planned(app.switch_page(PLAN).run(), until)
    tab(app, "Who loses")
    assert not app.exception
    assert any(m.label == "User-states that lose relevance" for m in app.metric)


def test_what_an_older_version_did_not_keep_is_worked_out_with_one_press(
    shop: Path, app: AppTest, until: Callable, model: str
) -> None:
    request = PlanRequest(model, 3, 0.05)
    made = make(request)
    saved = services.save_plan(made, "Old")
    with services.workspace().transaction() as cursor:
        cursor.execute("UPDATE scenario_items SET chance = NULL, low = NULL, high = NULL, expected = NULL")
        cursor.execute("UPDATE scenarios SET updated_at = '2030-01-01'")
    assert any(a.remedy == "Work it out" for a in services.attention())
    app.run()
    app.query_params["scenario"] = saved.id
    planned(app.switch_page(PLAN).run(), until)
    assert "older version" in words(app)
    tab(app, "Who loses")  # that was kept, and moved to where it stands now
    assert any(m.label == "Places that change hands" for m in app.metric)
    tab(app, "Delivery")
    app.button(key=f"deliver-{saved.id}").click().run()
    until(app, lambda a: any(m.label == "Unlikely" for m in a.metric))
    assert "older version" not in words(app)
    np.testing.assert_array_equal(services.stored_plan(request).items["chance"], made.items["chance"])
    assert not any(a.remedy == "Work it out" for a in services.attention())


def test_the_outlook_is_the_planners_own_interval(model: str) -> None:
    result = make(PlanRequest(model, 3, 0.05))
    states = result.made.delivered.matrix.shape[0]
    own = result.made.plan.delivery_intervals(states)
    for column in ("expected", "low", "high", "chance"):
        np.testing.assert_array_equal(result.items[column], own[column])
    np.testing.assert_array_equal(result.items["online_minimum"], own["promised"])
    assert ((result.items["outlook"] == "unlikely") == (own["chance"] < 0.5)).all()
    assert result.foreseen > 0.8


def test_a_link_to_a_plan_that_is_not_here_says_so(shop: Path, app: AppTest) -> None:
    app.run()
    app.query_params["scenario"] = "plan-nowhere"
    app.switch_page(PLAN).run()
    assert not app.exception
    assert "not in this workspace" in words(app)


def test_saved_plans_are_set_side_by_side_renamed_cloned_and_put_away(shop: Path, app: AppTest, model: str) -> None:
    calm = services.save_plan(make(PlanRequest(model, 3)), "Calm")
    bold = services.save_plan(make(PlanRequest(model, 3, 0.05)), "Bold")
    go(app, COMPARE)
    assert not app.exception
    assert set(app.multiselect(key="compare-plans").value) == {calm.id, bold.id}
    tables = [t.value for t in app.table]
    assert any("Calm" in t.columns and "Bold" in t.columns for t in tables)
    found = services.side_by_side([calm.id, bold.id])
    row = found.came.set_index("label").loc["Expected interactions"]
    assert (row["value_0"], row["value_1"]) == (calm.certificate["objective"], bold.certificate["objective"])
    assert found.same_data
    assert found.items["spread"].max() > 0

    app.button(key="manage-clone").click().run()
    names = [s.name for s in services.scenarios(services.datasets()[0])]
    assert len(names) == 3
    copy = next(s for s in services.scenarios(services.datasets()[0]) if s.id not in (calm.id, bold.id))
    original = next(s for s in (calm, bold) if copy.name.startswith(s.name))
    assert copy.certificate == original.certificate
    part = services.workspace().scenario_pairs(copy.id, "test")
    assert part.equals(services.workspace().scenario_pairs(original.id, "test"))
    app.button(key="compare-undo-go").click().run()
    assert len(services.scenarios(services.datasets()[0])) == 2
    app.button(key="compare-redo-go").click().run()
    assert len(services.scenarios(services.datasets()[0])) == 3
    app.button(key="compare-undo-go").click().run()
    assert len(services.scenarios(services.datasets()[0])) == 2

    (field,) = [t for t in app.text_input if t.label == "Name"]
    kept = str(field.value)
    field.set_value("Renamed").run()  # nothing else has to be pressed
    assert "Renamed" in [s.name for s in services.scenarios(services.datasets()[0])]
    app.button(key="compare-undo-go").click().run()
    (field,) = [t for t in app.text_input if t.label == "Name"]
    assert field.value == kept
    field.set_value("  ").run()
    assert [t.value for t in app.text_input if t.label == "Name"] == [kept]
    next(t for t in app.text_input if t.label == "Note").set_value("for May").run()
    assert "for May" in [s.note for s in services.scenarios(services.datasets()[0])]

    services.rename(calm.id, "Calmer")
    services.archive(bold.id)
    app.run()
    assert [s.name for s in services.scenarios(services.datasets()[0])] == ["Calmer"]
    assert "archived the plan" in "\n".join(services.lately()["what"])
    assert (services.lately()["who"] != "").all()


def test_start_says_what_needs_attention_and_where(shop: Path, app: AppTest, model: str) -> None:
    info = services.datasets()[0]
    size = services.plan_size(model)
    services.save_plan(make(PlanRequest(model, 2, size.fitting_exposure(2))), "Too bold")
    services.workspace().add_dataset("shop", "shop", options={"users": 200, "items": 20, "days": 60, "seed": 9})
    go(app, START)
    assert not app.exception
    text = words(app)
    assert "Needs attention" in text
    assert "is newer than its models" in text
    assert "was planned on version 1" in text
    assert [a.kind for a in services.attention()] == ["plan", "model"]
    services.workspace().remove_dataset(info.name, 2)
    kinds = [a.kind for a in services.attention()]
    assert "model" not in kinds


def test_any_registered_model_is_offered_and_calibration_adds_up(shop: Path, app: AppTest, until: Callable) -> None:
    from rim_core.jobs.naming import available

    assert set(available()) <= set(services.catalogue())
    assert "GRU×HawkesPoisson" in services.catalogue()
    go(app, MODELS)
    until(app, lambda page: any("were expected in the test window" in c.value for c in page.caption))
    assert not app.exception
    task = services.task(services.request_reliability(app.selectbox(key="card-model").value))
    frame = task.result
    sums = (frame["happened"] * frame["members"]).groupby(frame["side"]).sum()
    assert sums["user"] == pytest.approx(sums["item"])


@pytest.mark.parametrize(
    ("page", "query", "said"),
    [
        (PLAN, {"dataset": "nowhere v3"}, ("the dataset nowhere v3", "Here is: shop v1")),
        (COMPARE, {"dataset": "nowhere v3"}, ("the dataset nowhere v3", "Here is: shop v1")),
        (PLAN, {"scenario": "plan-gone"}, ("the plan plan-gone", "Here is: Calm")),
        (PLAN, {"plan": "nonsense"}, ("does not describe a plan",)),
        (COMPARE, {"plans": "plan-gone,plan-lost"}, ("the plans plan-gone, plan-lost", "Here is: Calm")),
        ("views/delivery.py", {"scenario": "plan-gone"}, ("the plan plan-gone", "Here is: Calm")),
    ],
)
def test_an_address_of_what_is_not_here_is_said_until_it_is_read(
    shop: Path, app: AppTest, model: str, page: str, query: dict[str, str], said: tuple[str, ...]
) -> None:
    services.save_plan(make(PlanRequest(model, 3)), "Calm")
    app.run()
    for key, value in query.items():
        app.query_params[key] = value
    app.switch_page(page).run()
    for _ in range(2):
        assert not app.exception
        for part in said:
            assert part in words(app)
        app.run()
    app.button(key="not-here-read").click().run()
    assert not any(part in words(app) for part in said)


def test_no_two_plans_of_a_dataset_have_the_same_name_and_old_ones_are_told_apart(
    shop: Path, app: AppTest, model: str
) -> None:
    first, second, third = (services.save_plan(make(PlanRequest(model, k)), "Spring") for k in (2, 3, 4))
    assert [first.name, second.name, third.name] == ["Spring", "Spring (2)", "Spring (3)"]
    assert services.clone(second.id).name == "Spring (4)"
    assert services.rename(third.id, "Spring").name == "Spring (3)"
    assert services.rename(first.id, "Spring").name == "Spring"
    # as an older version could leave them
    with services.workspace().transaction() as cursor:
        cursor.execute("UPDATE scenarios SET name = 'Spring' WHERE id = ?", [second.id])
    app.run()
    app.query_params["plans"] = f"{first.id},{second.id}"
    app.switch_page(COMPARE).run()
    told = {f"Spring · {s.id[-6:]}" for s in (first, second)}
    start = words(AppTest.from_file(app._script_path, default_timeout=180).run())
    assert all(f"**{name}**" in start for name in told)
    assert f"{first.created_at:%d %b %Y %H:%M} UTC" in start
    chips = app.multiselect(key="compare-plans").format_func
    assert {chips(first.id), chips(second.id)} == told
    assert app.text_input(key=f"name-{first.id}-Spring").value == "Spring"
    assert len(set(services.side_by_side([first.id, second.id]).names)) == 2


def test_a_plan_of_maximums_alone_says_what_they_hold_back_and_names_no_promise_of_nothing(
    shop: Path, app: AppTest, until: Callable, model: str
) -> None:
    request = PlanRequest(model, 3, max_exposure=0.4)
    result = make(request)
    assert (result.items["cost"] == 0).all()
    held = result.items[result.items["held_back"] > 0]
    assert len(held)
    assert (held["planned_delivered"] == held["planned_maximum"]).all()
    kept = services.save_plan(result, "Not too much of anything")
    assert {p["promise"].split()[1] for p in walk.dearest_promises(services.workspace(), kept.id)} == {"most"}
    app.run()
    app.query_params["scenario"] = kept.id
    planned(app.switch_page(PLAN).run(), until)
    said = words(tab(app, "Price list"))
    assert not app.exception
    assert f"{len(held)} item" in said
    assert "would reach more than the promised maximum" in said
    assert "reaches its minimum" not in said
