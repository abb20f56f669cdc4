"""Promises as a value: what they mean, how they are read and written, and ways out where they clash."""

from __future__ import annotations

import re
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
from app.services.relaxing import share_of
from app.services.requests import PlanRequest, PlanSize, Promise, constraints
from app.ui import messages
from app.views import history
from rim_core.errors import ConstraintError
from tests.app.plans import CATALOGUE, PLAN, go, make, pasted, planned, tab, words


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


@pytest.mark.parametrize(
    ("row", "promise"),
    [
        ("brand\tA\t1", Promise("A", "brand", 0.01)),
        ("brand together\tA\t12,5 %", Promise("A", "brand", 0.125, together=True)),
        ("item\tTea\t1", Promise("t", "", 0.01)),
        ("size\t2\t30", Promise("2", "size", 0.3)),
        ("Tea\t2\t30", Promise("t", "", 0.02, 0.3)),
    ],
)
def test_a_row_of_a_group_may_lack_the_empty_cell_of_its_maximum(row: str, promise: Promise) -> None:
    catalogue = CATALOGUE.assign(size=["1", "2", "2", "1"])
    read = services.promises_from_text(f"{row}\nbrand\tB\t1\t30", catalogue)
    assert read.problems == ()
    assert set(read.promises) == {promise, Promise("B", "brand", 0.01, 0.3)}


def test_a_row_of_an_item_called_as_a_feature_is_stays_one() -> None:
    catalogue = CATALOGUE.rename(index={"t": "brand"})
    assert services.promises_from_text("brand\t1\t30", catalogue).promises == (Promise("brand", "", 0.01, 0.3),)


def test_rows_that_mean_nothing_are_named_and_the_others_taken() -> None:
    read = services.promises_from_text("c\t2\nwine\t3\nt\tlots\nm\t101\nm\t5\t2", CATALOGUE)
    assert read.promises == (Promise("c", "", 0.02),)
    assert [(p.row, p.cell) for p in read.problems] == [(2, "wine"), (3, "lots"), (4, "101"), (5, "5 % and 2 %")]
    assert "no item wine" in read.problems[0].cause
    assert read.left == "wine\t3\nt\tlots\nm\t101\nm\t5\t2"


def test_an_item_that_is_not_there_is_named_with_its_row_and_the_nearest_ones() -> None:
    read = services.promises_from_text("c\t2\ncofee\t3\nTee\t4\nqqqq\t1", CATALOGUE)
    assert str(read.problems[0]) == (
        "Row 2, cofee: There is no item cofee among the items of this model. Did you mean Coffee?"
    )
    assert read.problems[1].advice == "Did you mean Tea?"
    assert read.problems[2].advice == "Check how it is written."
    typed = pd.DataFrame([{"applies_to": "item", "target": "Mlik", "minimum": 2.0}])
    assert "Row 1, Mlik" in str(services.promises_from_table(typed, CATALOGUE).problems[0])
    assert "Did you mean Milk?" in str(services.promises_from_table(typed, CATALOGUE).problems[0])


def test_items_whose_name_holds_what_was_written_come_first() -> None:
    titles = ["MISC BULK", "FLUID MILK WHITE ONLY", "MILK BY-PRODUCTS", "BUTTERMILK"]
    catalogue = pd.DataFrame({"title": titles}, index=list("abcd"))
    (problem,) = services.promises_from_text("MILK\t2", catalogue).problems
    assert problem.advice.startswith("Did you mean MILK BY-PRODUCTS or FLUID MILK WHITE ONLY")


def test_the_nearest_items_of_a_large_catalogue_are_found_at_once_however_many_rows_are_wrong() -> None:
    ids = [f"p{i}" for i in range(60_000)]
    catalogue = pd.DataFrame({"title": [f"Frozen pizza {i}" for i in range(60_000)]}, index=ids)
    began = time.monotonic()
    read = services.promises_from_text("\n".join(f"Frozen pizzza {i}\t1" for i in range(2_000)), catalogue)
    assert time.monotonic() - began < 10
    assert len(read.problems) == 2_000
    assert "Did you mean Frozen pizza" in read.problems[0].advice


def test_a_relaxed_promise_stays_in_its_row(shop: Path, app: AppTest, until: Callable) -> None:
    planned(go(app, PLAN), until)
    ids = services.catalogue_of(app.selectbox(key="plan-model").value).index.astype(str)[:3]
    pasted(app, "own").set_value("\n".join(f"{i}\t90" for i in ids[::-1])).run()
    app.slider(key="plan-capacity").set_value(1)
    app.button(key="own-take").click().run()
    assert [p.target for p in app.session_state[history.TABLE]] == list(ids[::-1])
    assert "more places than there are" in words(app)
    app.button(key="relax-places-0").click().run()
    assert "more places than there are" not in words(app)
    assert [p.target for p in app.session_state[history.TABLE]] == list(ids[::-1])
    app.button(key="plan-undo").click().run()
    assert [p.target for p in app.session_state[history.TABLE]] == list(ids[::-1])


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


def test_where_the_cap_of_a_user_is_what_lacks_the_ways_out_say_so(model: str) -> None:
    size = services.plan_size(model)
    least = 1.2 * size.fitting_exposure(2)  # there is room with K of 25, but not with two items for a user
    request = PlanRequest(model, 25, least, rules=services.Rules(max_per_user=2))
    assert services.all_places(request) <= 2 * size.states
    assert services.promised_places(request) > services.all_places(request)
    lower, higher = services.relaxations(request)
    assert higher.label == f"Raise the items for a user to {services.fitting_cap(request)}"
    assert higher.request.capacity == 25
    assert make(higher.request).certificate.feasible
    assert make(lower.request).certificate.feasible
    (said,) = make(request).problems[:1]
    assert "raise what a user may have in all to 3 items" in said


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


def test_minimums_are_lowered_by_no_more_than_the_button_says_and_it_says_why_so_much(model: str) -> None:
    size = services.plan_size(model)
    first = str(services.catalogue_of(model).index[0])
    each = 1.8 * size.fitting_exposure(1)
    request = PlanRequest(model, 1, each, promises=(Promise(first, minimum=0.6),))
    lower = services.relaxations(request)[0]
    (share,) = re.findall(r"Lower every minimum to about (\d+) %", lower.label)
    most, said = re.findall(r"(\d+) % (?:of every minimum takes|leaves)", lower.note)
    assert said == share
    assert int(share) < int(most) == 100 * size.states // services.promised_places(request)
    for before, after in ((each, lower.request.min_exposure), (0.6, lower.request.promises[0].minimum)):
        assert size.promised(after) >= np.floor(int(share) / 100 * size.promised(before))


@pytest.mark.parametrize("states", [1, 3, 40, 288, 3_020, 1_000_000])
def test_a_lowered_minimum_is_a_round_share_that_a_visitor_more_does_not_raise(states: int) -> None:
    for count in {0, 1, min(2, states), states // 7, states // 3, states - 1, states}:
        share = share_of(count, states)
        assert 0 <= share <= 1
        assert PlanSize(states, 1).promised(share) == count
        if count <= states // 7:
            assert PlanSize(states + 1, 1).promised(share) == count
    assert [share_of(28, 288), share_of(8, 288), share_of(59, 288)] == [0.095, 0.026, 0.203]


def test_no_two_minimums_are_offered_that_mean_the_same_user_states(model: str) -> None:
    size = services.plan_size(model)
    for capacity in range(1, size.items):
        request = PlanRequest(model, capacity, min(1.0, 1.2 * size.fitting_exposure(capacity)))
        lower = services.relaxations(request)[0]
        said = [size.promised(float(share) / 100) for share in re.findall(r"([\d.]+) % (?:is|leaves)", lower.note)]
        assert len(set(said)) == len(said), lower.note
        assert size.promised(lower.request.min_exposure) == said[-1]


def test_groups_together_count_among_what_is_promised(shop: Path, app: AppTest, until: Callable, model: str) -> None:
    size, items = services.plan_size(model), services.catalogue_of(model)
    feature, other = services.abouts(items)[1:3]
    value = services.group_values(items, feature)[0]
    capacity = 15
    places = size.states * capacity
    members = int((items[feature].astype(str) == value).sum())
    group = Promise(value, feature, 0.3, together=True)
    bare, beside = (
        PlanRequest(model, capacity, promises=(group,)),
        PlanRequest(model, capacity, 0.02, promises=(group,)),
    )
    asked = int(np.ceil(0.3 * places - 1e-9))
    assert services.promised_places(bare) == asked
    each = size.promised(0.02)
    assert services.promised_places(beside) == asked + each * (size.items - members)
    crossing = Promise(services.group_values(items, other)[0], other, 0.4, together=True)
    both = replace(bare, promises=(group, crossing))
    assert services.promised_places(both) == int(np.ceil(0.4 * places - 1e-9))  # the same items may do for both
    app.run()
    app.query_params["plan"] = both.token()
    app.switch_page(PLAN).run()
    assert f"Promised: at least {services.promised_places(both):,} deliveries" in words(app)
    everything = tuple(Promise(v, feature, 0.9, together=True) for v in services.group_values(items, feature)[:2])
    assert services.fitting_capacity(replace(bare, promises=everything)) is None


def test_a_group_together_that_is_short_is_named(shop: Path, app: AppTest, until: Callable, model: str) -> None:
    items = services.catalogue_of(model)
    feature = services.abouts(items)[1]
    value = services.group_values(items, feature)[-1]
    request = PlanRequest(model, 16, promises=(Promise(value, feature, 0.9, together=True),))
    result = make(request)
    (row,) = result.short_groups.to_dict("records")
    assert not result.broken
    app.run()
    app.query_params["plan"] = request.token()
    planned(app.switch_page(PLAN).run(), until)
    assert "1 group together not kept" in {str(m.delta) for m in app.metric}
    said = words(tab(app, "Certificate"))
    assert f"{messages.plain(row['name'])} together falls short by {row['missed']:,.0f} deliver" in said
    assert "an item falls short" not in said


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
