"""Rules beside the promises: caps, budgets, dates, values and pairs, from a pasted row to the plan and back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from app.services import rules as written
from app.services.requests import PlanRequest, constraints
from app.services.rules import ItemRule, PairRule, Rules
from rim_core.errors import ConstraintError
from tests.app.plans import CATALOGUE, PLAN, go, pasted, planned, tab, words

ALL = Rules(
    3,
    120.0,
    (ItemRule("t", "2024-03-01T00:00:00", "2024-04-01T00:00:00", 2.5, 0.5), ItemRule("=x", cost=0.25)),
    (PairRule("forbidden", "u1", "c"), PairRule("forced", "=u2", "m"), PairRule("contacted", "u3", "=x")),
)


def made(request: PlanRequest) -> services.PlanResult:
    key = services.request_plan(request, wish="test")
    task = services.task(key)
    assert task.over.wait(300)
    if task.error is not None:
        raise task.error
    return task.result


# -- as values ------------------------------------------------------------------------------------------------


def test_rules_travel_with_the_link_and_are_kept_as_they_were() -> None:
    request = PlanRequest("abc", 3, 0.01, rules=ALL)
    assert PlanRequest.from_token(request.token()) == request
    assert PlanRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert request.key != PlanRequest("abc", 3, 0.01).key
    assert "≤ 3 a user, budget 120, rules for 2 items, 3 pairs" in request.describe()
    old = {k: v for k, v in PlanRequest("abc", 3).to_dict().items() if k != "rules"}
    assert PlanRequest.from_dict(old) == PlanRequest("abc", 3)


@pytest.mark.parametrize(
    "damaged",
    [
        {"max_per_user": -1},
        {"budget": "much"},
        {"items": [{"item": "a", "value": -2.0}]},
        {"pairs": [{"rule": "maybe", "user": "u", "item": "a"}]},
        [3],
    ],
)
def test_a_link_with_damaged_rules_is_said_to_be_none(damaged: object) -> None:
    with pytest.raises(ConstraintError, match="no description of a plan"):
        PlanRequest.from_dict({**PlanRequest("abc", 3).to_dict(), "rules": damaged})


def test_the_planner_is_told_every_rule() -> None:
    found = constraints(PlanRequest("abc", 3, rules=ALL), CATALOGUE)
    assert found.max_per_user == 3
    assert found.starts == {"t": "2024-03-01T00:00:00+00:00"}
    assert found.ends == {"t": "2024-04-01T00:00:00+00:00"}
    assert found.value == {"t": 2.5}
    assert found.forbidden == (("u1", "c"),)
    assert found.forced == (("=u2", "m"),)
    assert found.contacted == (("u3", "=x"),)
    (budget,) = found.budgets
    assert (budget.limit, budget.costs) == (120.0, {"t": 0.5, "=x": 0.25})


def test_files_of_rules_read_back_as_they_were_and_run_nothing_in_a_spreadsheet() -> None:
    items, pairs = written.rules_to_csv(ALL.items).decode(), written.rules_to_csv(ALL.pairs).decode()
    for text in (items, pairs):
        assert not any(cell[:1] in ("=", "+", "-", "@") for line in text.splitlines() for cell in line.split(","))
    assert set(written.item_rules_from_text(items, CATALOGUE).items) == set(ALL.items)
    assert set(written.pair_rules_from_text(pairs, CATALOGUE, "forbidden").pairs) == set(ALL.pairs)


def test_rows_are_read_with_titles_headers_in_any_order_and_without() -> None:
    read = written.item_rules_from_text("margin;item\n2,5;coffee\n;t", CATALOGUE)
    assert read.items == (ItemRule("c", value=2.5), ItemRule("t"))
    read = written.pair_rules_from_text("u1\tTea\nu2\tm", CATALOGUE, "contacted")
    assert read.pairs == (PairRule("contacted", "u1", "t"), PairRule("contacted", "u2", "m"))
    read = written.pair_rules_from_text("item,user,rule\nt,u1,always\nt,u2,", CATALOGUE, "forbidden")
    assert read.pairs == (PairRule("forced", "u1", "t"), PairRule("forbidden", "u2", "t"))


def test_rows_that_mean_nothing_are_named_with_the_reason_and_the_others_taken() -> None:
    rows = ("t,soon,,,", "wine,,,1,", "c,,,lots,", "m,,,-1,", "m,,,NaN,", "m,,,1e308,", "m,01/02/2024,,,", "m,,,,0.5")
    text = "\n".join(["item,start,end,value,cost", *rows])
    read = written.item_rules_from_text(text, CATALOGUE)
    assert read.items == (ItemRule("m", cost=0.5),)
    assert [(p.row, p.cell) for p in read.problems] == [
        (2, "soon"), (3, "wine"), (4, "lots"), (5, "-1"), (6, "NaN"), (7, "1e308"),
        (8, "01/02/2024"),
    ]  # fmt: skip
    assert "no number" in read.problems[4].cause
    assert "year first" in read.problems[6].cause
    assert read.left.splitlines() == text.splitlines()[:8]
    read = written.item_rules_from_text("item,start,end\nt,2024-03-02,2024-03-01\nc,2024-03-01,2024-03-02", CATALOGUE)
    assert read.items == (ItemRule("c", "2024-03-01T00:00:00", "2024-03-02T00:00:00"),)
    assert [(p.row, p.cell) for p in read.problems] == [(2, "2024-03-02 to 2024-03-01")]
    assert "Item t would end before it starts" in read.problems[0].cause
    table = written.item_table((ItemRule("t", "2024-03-02T00:00:00", "2024-03-02T00:00:00"),), CATALOGUE)
    assert not written.rules_from_table(table, CATALOGUE).items
    read = written.pair_rules_from_text("user,item,rule\nu,t,sometimes\n,t,never", CATALOGUE, "forbidden")
    assert not read.pairs
    assert "sometimes" in str(read.problems[0])
    assert "No user" in read.problems[1].cause
    assert written.item_rules_from_text(" \n", CATALOGUE).problems


def test_rules_that_contradict_each_other_say_what_to_do() -> None:
    rules = Rules(
        budget=5.0,
        items=(ItemRule("t", "2024-02-01T00:00:00", "2024-01-01T00:00:00"),),
        pairs=(PairRule("forced", "u", "c"), PairRule("contacted", "u", "c")),
    )
    with pytest.raises(ConstraintError) as error:
        constraints(PlanRequest("x", 2, rules=rules), CATALOGUE)
    said = str(error.value)
    for part in ("before it starts", "needs the costs", "always and never"):
        assert part in said, part


def test_a_table_of_rules_that_is_not_edited_says_what_it_was_made_of() -> None:
    items, pairs = services.item_table(ALL.items, CATALOGUE), services.pair_table(ALL.pairs, CATALOGUE)
    assert set(services.rules_from_table(items, CATALOGUE).items) == set(ALL.items)
    assert set(services.rules_from_table(pairs, CATALOGUE).pairs) == set(ALL.pairs)
    assert set(pairs["rule"]) == set(services.PAIR_RULES.values())
    for table in (services.item_table((), CATALOGUE), services.pair_table((), CATALOGUE)):
        assert table.empty
        assert services.rules_from_table(table, CATALOGUE) == services.ReadRules()


def test_cells_edited_rows_added_and_rows_begun_are_read() -> None:
    table = services.item_table((ItemRule("t", value=2.5), ItemRule("gone", cost=1.0)), CATALOGUE)
    table.loc[0, ["value", "start"]] = [4.0, pd.Timestamp("2024-03-01 09:30")]
    table.loc[2] = {"item": "Milk", "cost": 0.5}
    table.loc[3] = {"value": 1.0}  # no item yet
    table.loc[4] = {"item": "wine", "value": 1.0}
    read = services.rules_from_table(table, CATALOGUE, {"gone"})
    assert read.items == (
        ItemRule("t", "2024-03-01T09:30:00", value=4.0),
        ItemRule("gone", cost=1.0),
        ItemRule("m", cost=0.5),
    )
    assert [(p.row, p.cell) for p in read.problems] == [(5, "wine")]
    table = services.pair_table((PairRule("forbidden", "u1", "c"),), CATALOGUE)
    table.loc[0, "rule"] = "always"
    table.loc[1] = {"rule": "never", "user": "u2", "item": "tea", "title": None}
    table.loc[2] = {"rule": "never", "user": "u3", "item": None, "title": None}
    read = services.rules_from_table(table, CATALOGUE)
    assert read == services.ReadRules(pairs=(PairRule("forced", "u1", "c"), PairRule("forbidden", "u2", "t")))


def test_a_long_list_of_pairs_is_edited_a_page_at_a_time_and_keeps_the_others(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    item = str(services.catalogue_of(app.selectbox(key="plan-model").value).index[0])
    rows = "\n".join(f"u{i},{item}" for i in range(450))
    pasted(app, "rules-pairs").set_value(f"user,item\n{rows}").run()
    app.button(key="rules-pairs-take").click().run()
    app.number_input(key="rules-pairs-page").set_value(3).run()
    assert [len(d.value) for d in app.dataframe if "rule" in d.value] == [50]
    app.text_input(key="rules-pairs-search").set_value("U44").run()
    assert not app.exception
    assert [len(d.value) for d in app.dataframe if "rule" in d.value] == [11]
    assert any("450 pairs" in e.label for e in app.expander)


# -- planned --------------------------------------------------------------------------------------------------


def test_a_plan_keeps_the_cap_the_budget_and_the_pairs(model: str) -> None:
    plain = made(PlanRequest(model, 3))
    users = plain.made.plan.assignment.states.user_ids.astype(str)
    items = plain.items["item_id"]
    matrix = plain.made.plan.assignment.matrix.toarray()
    row = int(np.flatnonzero(matrix.any(axis=1))[0])
    got, missed = int(np.flatnonzero(matrix[row])[0]), int(np.flatnonzero(matrix[row] == 0)[-1])
    cost = {str(i): 1.0 for i in items}
    rules = Rules(
        2,
        0.5 * float(matrix.sum()),
        tuple(ItemRule(i, cost=c) for i, c in cost.items()),
        (
            PairRule("forbidden", str(users[row]), str(items[got])),
            PairRule("forced", str(users[row]), str(items[missed])),
        ),
    )
    result = made(PlanRequest(model, 3, rules=rules))
    ruled = result.made.plan.assignment.matrix.toarray()
    own = users == users[row]
    assert ruled[own][:, got].sum() == 0
    assert ruled[own][:, missed].sum() == 1
    assert pd.Series(ruled.sum(axis=1)).groupby(np.asarray(users)).sum().max() <= 2
    assert ruled.sum() <= 0.5 * matrix.sum() + 1e-6
    assert result.groups.set_index("name").loc["budget", "delivered"] == ruled.sum()


def test_values_are_what_is_maximised_and_the_figures_say_so(model: str) -> None:
    plain = made(PlanRequest(model, 2))
    last = plain.items.sort_values("planned_delivered").iloc[0]
    result = made(PlanRequest(model, 2, rules=Rules(items=(ItemRule(str(last["item_id"]), value=1000.0),))))
    row = result.items.set_index("item_id").loc[last["item_id"]]
    assert row["planned_delivered"] > last["planned_delivered"]
    assert (plain.unit, result.unit) == ("expected interactions", "expected value")
    assert result.cost_of_promises == 0.0


def test_dates_are_those_of_the_test_window(model: str) -> None:
    plain = made(PlanRequest(model, 3))
    item = str(plain.items.sort_values("planned_delivered").iloc[-1]["item_id"])
    moment = pd.to_datetime(plain.made.delivered.states.time.min(), unit="us")
    day = pd.Timedelta(days=1)
    inside = ItemRule(item, (moment - day).isoformat(), (moment + 60 * day).isoformat())
    result = made(PlanRequest(model, 3, rules=Rules(items=(inside,))))
    np.testing.assert_array_equal(result.items["planned_delivered"], plain.items["planned_delivered"])
    np.testing.assert_array_equal(result.items["online_delivered"], plain.items["online_delivered"])
    with pytest.raises(ConstraintError, match=r"all count as of its beginning, .* outside its dates"):
        made(PlanRequest(model, 3, rules=Rules(items=(ItemRule(item, end=(moment - day).isoformat()),))))


# -- the page -------------------------------------------------------------------------------------------------


def test_rules_are_set_saved_opened_undone_and_compared(shop: Path, app: AppTest, until: Callable, model: str) -> None:
    planned(go(app, PLAN), until)
    rare = str(services.catalogue_of(model).index[-1])
    app.number_input(key="rules-per-user").set_value(2).run()
    pasted(app, "rules-items").set_value(f"item,value\n{rare},3\nwine,2").run()
    app.button(key="rules-items-take").click().run()
    assert "1 row taken in; 1 row left out" in words(app)
    assert pasted(app, "rules-items").value == "item,value\nwine,2"
    assert any("no item wine" in t.value.to_csv() for t in app.table)
    planned(app, until)
    shown = next(e for e in app.expander if e.label.startswith("More rules"))
    assert "≤ 2 a user" in shown.label
    assert any(m.label == "Expected value" for m in app.metric)
    app.button(key="plan-save-go").click().run()
    (scenario,) = services.scenarios(services.datasets()[0])
    request = services.request_of(scenario)
    assert request.rules == Rules(2, items=(ItemRule(rare, value=3.0),))
    assert scenario.constraints["max_per_user"] == 2
    assert services.stored_plan(request).saved.id == scenario.id

    app.button(key="plan-undo").click().run()
    app.button(key="plan-undo").click().run()
    assert app.number_input(key="rules-per-user").value is None
    assert not any(m.label == "Expected value" for m in planned(app, until).metric)
    app.selectbox(key="plan-open").set_value(scenario.id).run()
    assert app.number_input(key="rules-per-user").value == 2
    assert "as it was saved" in words(planned(app, until))
    app.button(key="rules-items-clear").click().run()
    planned(app, until)
    assert any(m.label == "Expected interactions" for m in app.metric)


def test_rules_that_cannot_be_planned_with_say_the_cause_and_the_next_step(
    shop: Path, app: AppTest, until: Callable
) -> None:
    planned(go(app, PLAN), until)
    app.number_input(key="rules-budget").set_value(10.0).run()
    end = time.monotonic() + 60
    while "needs the costs of items" not in words(app):
        assert time.monotonic() < end
        app.run()
    app.number_input(key="rules-budget").set_value(None).run()
    planned(app, until)
    assert "needs the costs of items" not in words(app)


@pytest.mark.parametrize("forced", [False, True])
def test_a_budget_too_small_says_by_how_much_it_is_overrun_and_is_raised_with_one_click(
    shop: Path, app: AppTest, until: Callable, model: str, forced: bool
) -> None:
    items = services.catalogue_of(model).index.astype(str)
    costs = tuple(ItemRule(item, cost=1.0 + k % 3) for k, item in enumerate(items))
    user = str(services.planning.split_of(services.workspace(), model).calibration.user_ids[0])
    pairs = (PairRule("forced", user, str(items[0])),) if forced else ()
    request = PlanRequest(model, 4, 0.05, rules=Rules(budget=100.0, items=costs, pairs=pairs))
    app.run()
    app.query_params["plan"] = request.token()
    planned(app.switch_page(PLAN).run(), until)
    result = services.task(services.plan_key(request)).result
    needed = float(result.groups["delivered"].iloc[0])
    said = words(app)
    assert "budget is too small" in said
    assert f"keeps every promise to items and overruns the budget of 100 by {needed - 100:,.6g}" in said
    assert "Not all promises can be kept" not in said
    below = {str(m.delta) for m in app.metric}
    assert f"{needed - 100:,.6g} over the budget" in below
    assert "nothing given up" not in below
    saved = services.save_plan(result, "Too dear")
    assert services.stored_plan(request).saved.id == saved.id
    assert services.stored_plan(request).over_budget == pytest.approx(result.over_budget)
    app.run()
    assert "as it was saved" in words(app)
    assert "Budget" in [t.value.index for t in tab(app, "Certificate").table][-1]
    way = next(b for b in app.button if b.label == f"Raise the budget to {needed:,.6g}")
    way.click().run()
    planned(app, until)
    assert app.number_input(key="rules-budget").value == needed
    assert "budget is too small" not in words(app)
    assert "Every promise is kept" in words(tab(app, "Certificate"))
