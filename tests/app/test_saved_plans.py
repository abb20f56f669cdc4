"""Saved plans, without a browser: opened, compared, renamed, and what Start says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from app.services import planning
from app.services.requests import PlanRequest, Promise
from app.ui import messages
from rim_core import walk
from rim_core.jobs.naming import model_config
from rim_core.planning import Constraints, DualPlanner
from tests.app.plans import COMPARE, MODELS, PLAN, START, go, make, planned, tab, words


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
    assert any(m.label == "Visitors who lose relevance" for m in app.metric)


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
    assert ((result.items["outlook"] == "unlikely") == (own["chance"] < services.UNLIKELY)).all()
    assert result.foreseen > 0.8


def test_a_link_to_a_plan_that_is_not_here_says_so(shop: Path, app: AppTest) -> None:
    app.run()
    app.query_params["scenario"] = "plan-nowhere"
    app.switch_page(PLAN).run()
    assert not app.exception
    assert "not in this workspace" in words(app)


def test_a_name_is_shown_as_it_was_typed_and_a_long_one_leaves_room_for_the_figures(
    shop: Path, app: AppTest, model: str
) -> None:
    services.save_plan(make(PlanRequest(model, 3)), "Size:small :smile: :material/home:")
    services.save_plan(make(PlanRequest(model, 3, 0.05)), "Every product reaches somebody " * 4)
    go(app, COMPARE)
    assert not app.exception
    heads = [head for t in app.table for head in t.value.columns]
    assert not any(re.search(r":[a-z]", head) for head in heads)
    assert "Size:small :smile: :material/home:" in {head.replace("\u2060", "") for head in heads}
    assert max(map(len, heads)) <= 45
    assert messages.plain("at 12:30, 3@4 www") == "at 12:30, 3\u2060@4 www"


@pytest.mark.parametrize("address", ["http://x", "HTTPS://x.org", "www.x.org", "Www.x.org", "a.b+c@x.org", "m_@x.org"])
def test_an_address_in_a_name_is_text_and_no_link(address: str) -> None:
    shown = messages.plain(f"Spring {address}").replace("\\", "")
    assert shown.replace("\u2060", "") == f"Spring {address}"
    assert not re.search(r"https?://|www\.|[\w.+-]@", shown, re.IGNORECASE)


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


def test_plans_that_sum_up_different_things_are_not_compared_by_what_they_come_to(
    shop: Path, app: AppTest, model: str
) -> None:
    first = str(services.catalogue_of(model).index[0])
    worth = services.Rules(items=(services.ItemRule(first, value=20.0),))
    count, value, other = (
        services.save_plan(make(PlanRequest(model, 6, share, rules=rules)), name)
        for name, share, rules in (("Count", 0.0, services.Rules()), ("Value", 0.0, worth), ("Other", 0.02, worth))
    )
    found = services.side_by_side([count.id, value.id, other.id])
    assert found.units == ("expected interactions", "expected value")
    came = found.came.set_index("label")
    for row in ("Expected {}", "Expected {} of any such plan, at most"):
        counted, valued = came.loc[row.format("interactions")], came.loc[row.format("value")]
        assert counted[["value_1", "value_2"]].isna().all()
        assert np.isnan(valued["value_0"])
        assert not counted["differs"]
        assert valued["differs"]
    assert list(came.index[:2]) == ["Expected interactions", "Expected value"]
    app.run()
    app.query_params["plans"] = f"{count.id},{value.id}"
    app.switch_page(COMPARE).run()
    assert "sum up different things: expected interactions, expected value" in words(app)
    (shown,) = [t.value for t in app.table if "Expected value" in t.value.index]
    assert shown.loc["Expected interactions", "Value"] == messages.NONE
    (listed,) = [d for d in app.dataframe if "objective" in d.value]
    assert "unit" in json.loads(listed.proto.columns)
    services.archive(count.id)
    app.run()
    (listed,) = [d for d in app.dataframe if "objective" in d.value]
    assert json.loads(listed.proto.columns)["objective"]["label"] == "Expected value"
    info = services.workspace().model_info(model)
    names = ("GRU", "GRU×Activity", "Popularity", "GRU+NewItems", "GRU×Activity+NewItems")
    kinds = {name: replace(info, config=model_config(name)) for name in names}
    kinds["of another version"] = replace(info, config={"model": "Oracle"})
    assert [name for name, kind in kinds.items() if not planning.is_counting(kind)] == [
        "GRU", "GRU+NewItems", "of another version",
    ]  # fmt: skip


def test_figures_that_read_the_same_are_not_marked_as_different(
    shop: Path, app: AppTest, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (services.save_plan(make(PlanRequest(model, 7, share)), str(share)) for share in (0.0, 0.02))
    read = services.side_by_side([one.id, other.id])
    rows = read.came.set_index("label")
    values = ["value_0", "value_1"]
    rows.loc["Gap (how far from the optimum, at most)", [*values, "differs"]] = [1e-6, 2e-6, True]
    rows.loc["Unlikely", [*values, "differs"]] = [None, 0, True]
    monkeypatch.setattr(services, "side_by_side", lambda ids: replace(read, came=rows.reset_index()))
    go(app, COMPARE)
    (came,) = [t.value for t in app.table if "● Unlikely" in t.value.index]
    assert came.loc["Gap (how far from the optimum, at most)"].str.startswith("below 0.01").all()
    app.toggle(key="compare-only").set_value(True).run()
    assert not any(label.endswith("at most)") and "Gap" in label for t in app.table for label in t.value.index)


@pytest.mark.parametrize(("plans", "side_by_side"), [(2, True), (3, False)])
def test_the_tables_of_many_plans_stand_under_each_other(
    shop: Path, app: AppTest, model: str, plans: int, side_by_side: bool
) -> None:
    saved = [services.save_plan(make(PlanRequest(model, 7)), str(i)) for i in range(plans)]
    app.run()
    app.query_params["plans"] = ",".join(s.id for s in saved)
    app.switch_page(COMPARE).run()
    held = [len(column.table) for column in app.columns if len(column.table)]
    assert held == ([1, 1] if side_by_side else [])


def test_a_name_or_note_that_is_too_long_is_cut_and_that_is_said(
    shop: Path, app: AppTest, until: Callable, model: str
) -> None:
    planned(go(app, PLAN), until)
    app.slider(key="plan-capacity").set_value(12).run()
    planned(app, until)
    assert not app.text_input(key="plan-name").proto.max_chars  # the browser would take nothing of a longer paste
    app.text_input(key="plan-name").set_value("Spring " * 30).run()
    assert app.text_input(key="plan-name").value == ("Spring " * 30)[:120].rstrip()
    assert [t.value for t in app.toast] == ["Only the first 120 characters of 210 are kept."]
    app.button(key="plan-save-go").click().run()
    assert services.scenarios(services.datasets()[0])[0].name == ("Spring " * 30)[:120].rstrip()
    app.switch_page(COMPARE).run()
    for label, longest in (("Name", 120), ("Note", 400)):
        field = next(t for t in app.text_input if t.label == label)
        assert not field.proto.max_chars
        field.set_value("y" * 500).run()
        assert next(t for t in app.text_input if t.label == label).value == "y" * longest


def test_an_address_of_plans_to_compare_opens_their_dataset(shop: Path, app: AppTest, model: str) -> None:
    calm, bold = (services.save_plan(make(PlanRequest(model, 9, share)), str(share)) for share in (0.0, 0.02))
    services.workspace().add_dataset("another", "shop", options={"users": 60, "items": 12, "days": 40, "seed": 5})
    app.run()
    assert app.selectbox(key="dataset").value == "another v1"
    for page, query in (
        (COMPARE, {"plans": f"plan-gone,{calm.id},{bold.id}"}),
        ("views/audiences.py", {"scenario": bold.id}),
    ):
        fresh = AppTest.from_file(app._script_path, default_timeout=180).run()
        fresh.query_params.update(query)
        fresh.switch_page(page).run()
        assert fresh.selectbox(key="dataset").value == "shop v1"
        assert "No saved plan yet" not in words(fresh)


def test_promises_of_their_own_are_compared_themselves_not_by_their_number(
    shop: Path, app: AppTest, model: str
) -> None:
    items = services.catalogue_of(model)
    first, second, third = (str(i) for i in items.index[:3])
    common = Promise(first, minimum=0.02)
    for name, own, cap in (("Low", Promise(second, minimum=0.01), 20.0), ("High", Promise(third, maximum=0.3), 10.0)):
        rules = services.Rules(items=(services.ItemRule(first, value=cap),))
        services.save_plan(make(PlanRequest(model, 3, promises=(common, own), rules=rules)), name)
    go(app, COMPARE)
    app.toggle(key="compare-only").set_value(True).run()
    assert not app.exception
    asked = next(t.value for t in app.table if "● Promises of their own" in t.value.index)
    said = {head: asked.loc["● Promises of their own", head] for head in ("Low", "High")}
    assert said == {
        "Low": f"2 (1 differs: {items['title'].iloc[1]} at least 1 %)",
        "High": f"2 (1 differs: {items['title'].iloc[2]} at most 30 %)",
    }
    assert asked.loc["● Further rules", "Low"] == "rules for 1 item (they differ)"


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


def test_start_says_of_a_plan_how_many_promises_were_kept_beside_those_that_were_unlikely(
    shop: Path, app: AppTest, model: str
) -> None:
    saved = services.save_plan(make(PlanRequest(model, 3, 0.05)), "Spring")
    walk.deliver_again(services.workspace(), saved)
    with services.workspace().transaction() as cursor:
        cursor.execute(
            "UPDATE scenario_items SET chance = 0.01 WHERE item_id IN (SELECT min(item_id) FROM scenario_items)"
        )
        cursor.execute("UPDATE scenarios SET updated_at = '2030-01-01'")
    result = services.stored_plan(PlanRequest(model, 3, 0.05))
    assert result is not None
    unlikely = int((result.items["outlook"] == "unlikely").sum())
    kept = result.promises - result.broken_online
    assert unlikely
    assert kept != result.promises - unlikely
    said = f"“Spring”: kept when delivered {kept} of {result.promises} promises; {unlikely} w"
    assert said in words(go(app, START))
    with services.workspace().transaction() as cursor:  # nothing was unlikely, and some fell short all the same
        cursor.execute("UPDATE scenario_items SET chance = 0.9")
        cursor.execute("UPDATE scenarios SET updated_at = '2030-01-01 12:00'")
    assert kept < result.promises
    (text,) = [a.text for a in services.attention() if a.kind == "promise"]
    assert text == f"“Spring”: kept when delivered {kept} of {result.promises} promises."
    with services.workspace().transaction() as cursor:
        cursor.execute(
            "UPDATE scenario_items SET chance = 0.01 WHERE item_id IN (SELECT min(item_id) FROM scenario_items)"
        )
    with services.workspace().transaction() as cursor:  # what was delivered is not kept
        cursor.execute("DELETE FROM scenario_pairs")
        cursor.execute("UPDATE scenarios SET updated_at = '2030-01-02'")
    (text,) = [a.text for a in services.attention() if a.kind == "promise"]
    assert text.startswith(f"“Spring”: {result.promises} promises; 1 was unlikely")


def test_any_registered_model_is_offered_and_calibration_adds_up(shop: Path, app: AppTest, until: Callable) -> None:
    from rim_core.jobs.naming import available, model_config

    assert set(available()) <= {model_config(name)["model"] for name in services.catalogue()}
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


def test_the_list_of_plans_says_that_promises_are_kept_in_the_plan(shop: Path, app: AppTest, model: str) -> None:
    services.save_plan(make(PlanRequest(model, 3, 0.05)), "Spring")
    go(app, COMPARE)
    (table,) = [d for d in app.dataframe if "feasible" in d.value]
    assert json.loads(table.proto.columns)["feasible"]["label"] == "Kept in the plan"


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
