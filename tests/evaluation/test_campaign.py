"""After the campaign: counted by hand on a few rows, and recovered from a simulated one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rim_core as rim
from rim_core.audiences import AudienceRules, select_audience
from rim_core.evaluation import campaign_events, campaign_result, guess_roles

DAY = pd.Timestamp("2024-03-01", tz="UTC")


def events_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event_type"])
    frame["timestamp"] = [DAY + pd.Timedelta(i, "h") for i in range(len(frame))]
    return campaign_events(rim.EventLog.from_frame(frame), ["sent"], ["purchase"])


PLANNED = pd.DataFrame(
    {
        "user_id": ["ann", "ann", "ann", "bob", "cyd"],
        "item_id": ["tea", "tea", "milk", "tea", "milk"],  # ann gets tea at two times
        "expected": [0.5, 0.3, 0.2, 0.4, 0.1],
    }
)
WITHHELD = pd.DataFrame({"user_id": ["dan", "eve"], "item_id": ["tea", "tea"], "expected": [0.6, 0.2]})


def test_every_figure_is_what_one_counts_by_hand() -> None:
    events = events_of(
        [
            ("ann", "tea", "sent"), ("bob", "tea", "sent"), ("bob", "tea", "sent"), ("cyd", "milk", "sent"),
            ("eve", "tea", "sent"), ("zoe", "tea", "sent"), ("ann", "tea", "purchase"), ("ann", "milk", "purchase"),
            ("dan", "tea", "purchase"), ("cyd", "milk", "purchase"), ("cyd", "milk", "purchase"),
            ("bob", "milk", "purchase"), ("ann", "tea", "browse"),
        ]
    )  # fmt: skip
    promised = pd.Series({"tea": 2, "milk": 2, "salt": 1, "pepper": 0})
    found = campaign_result(PLANNED, WITHHELD, events, promised)
    items = found.items.set_index("item_id")
    assert items.loc["tea", ["promised", "planned", "withheld", "delivered", "outcomes"]].tolist() == [2, 3, 2, 2, 1]
    assert items.loc["tea", "expected"] == pytest.approx(0.4 + 0.4)  # one of ann's two deliveries, and bob's
    assert items.loc["milk", ["promised", "planned", "withheld", "delivered", "outcomes"]].tolist() == [2, 2, 0, 1, 2]
    assert items.loc["salt", ["promised", "planned", "delivered"]].tolist() == [1, 0, 0]
    assert items["verdict"].to_dict() == {"tea": "kept", "milk": "short", "salt": "short"}
    assert (found.exposures, found.outcomes) == (6, 6)
    assert (found.outside_exposures, found.outside_outcomes) == (1, 1)  # zoe; bob was never to get milk
    assert found.contaminated == 1  # eve
    assert found.lift is not None
    assert (found.lift.treated, found.lift.held_out) == (3, 2)
    assert found.lift.treated_mean == pytest.approx((2 + 0 + 2) / 3)
    assert found.lift.held_out_mean == pytest.approx(1 / 2)
    assert found.over_time[["exposures", "outcomes"]].sum().tolist() == [6, 6]


def test_without_outcomes_or_hold_out_the_reason_is_said() -> None:
    sent = [("ann", "tea", "sent"), ("bob", "tea", "sent")]
    found = campaign_result(PLANNED, WITHHELD, events_of(sent))
    assert found.lift is None
    assert "No outcomes" in found.no_lift
    assert set(found.items["verdict"]) == {"unknown"}
    found = campaign_result(PLANNED, WITHHELD.head(0), events_of([*sent, ("ann", "tea", "purchase")]))
    assert found.lift is None
    assert "hold-out" in found.no_lift


def test_held_out_users_whom_no_row_names_are_no_zeros() -> None:
    rows = [("ann", "tea", "sent"), ("bob", "tea", "sent"), ("ann", "tea", "purchase"), ("bob", "tea", "purchase")]
    found = campaign_result(PLANNED, WITHHELD, events_of(rows))
    assert found.lift is None
    assert "the 2 held-out users" in found.no_lift
    assert "cannot be told" in found.no_lift
    assert "no exposure" in found.no_lift
    assert found.items["outcomes"].sum() == 2  # what was delivered is told all the same
    for lift in (
        campaign_result(PLANNED, WITHHELD, events_of(rows), seen={"ann", "bob", "eve"}).lift,  # named, without an event
        campaign_result(PLANNED, WITHHELD, events_of([*rows, ("dan", "salt", "purchase")])).lift,
    ):
        assert lift is not None
        assert (lift.held_out, lift.held_out_outcomes) == (2, 0)


def test_a_file_of_another_campaign_is_refused() -> None:
    with pytest.raises(rim.DataError, match="No row of this file is about"):
        campaign_result(PLANNED, WITHHELD, events_of([("x1", "y1", "sent"), ("x2", "y1", "purchase")]))


@pytest.mark.parametrize("rules", [{}, {"max_per_user": 1}, {"max_size": 9000, "max_per_user": 2, "min_size": 10}])
def test_the_effect_of_a_simulated_campaign_is_found_again(rules: dict[str, int]) -> None:
    """60 000 deliveries, one user in ten held out, outcomes 30 % up for those reached: 0.3 lies in the interval.

    Whatever the other rules: they must treat both groups alike.
    """
    rng = np.random.default_rng(5)
    users, items = 20_000, 3
    pairs = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{i:05d}" for i in range(users)], items),
            "item_id": np.tile(["a", "b", "c"], users),
            "score": rng.gamma(0.5, 0.1, users * items),
        }
    )
    pairs = pairs.assign(expected=pairs["score"], rank=1, state=np.arange(len(pairs)) // items)
    audience = select_audience(pairs, AudienceRules(holdout=0.1, holdout_seed=2, **rules))
    parts = []
    for group, factor in ((audience.pairs, 1.3), (audience.held_out, 1.0)):
        happened = rng.poisson(factor * group["expected"])
        parts.append(group.loc[group.index.repeat(happened), ["user_id", "item_id"]].assign(kind="outcome"))
    parts.append(audience.pairs[["user_id", "item_id"]].assign(kind="exposure"))
    events = pd.concat(parts, ignore_index=True).assign(time=DAY, count=1.0)
    found = campaign_result(audience.pairs, audience.held_out, events)
    assert found.lift is not None
    assert found.lift.relative_low < 0.3 < found.lift.relative_high
    assert found.lift.conclusive
    assert found.items["expected"].sum() == pytest.approx(audience.pairs["expected"].sum())
    assert found.items["outcomes"].sum() / found.items["expected"].sum() == pytest.approx(1.3, rel=0.1)


def test_event_types_are_told_apart_by_their_names() -> None:
    assert guess_roles(["mail sent", "Purchase", "unsubscribed", "Impression", "click"]) == (
        ["mail sent", "Impression"],
        ["Purchase", "click"],
    )
