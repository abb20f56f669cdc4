"""Who is written to: every rule does what it says, and says how many it removed."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rim_core as rim
from rim_core.audiences import AudienceRules, held_out, response_curve, select_audience


def random_pairs(seed: int = 0, users: int = 400, items: int = 12, size: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    codes = rng.choice(users * items * 2, size, replace=False)
    frame = pd.DataFrame(
        {
            "state": codes // items,
            "user_id": [f"u{c // items // 2}" for c in codes],  # two states a user
            "item_id": [f"i{c % items}" for c in codes],
            "score": rng.random(size).astype(np.float32).round(2),
        }
    )
    frame = frame.sort_values(["item_id", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    return frame.assign(rank=frame.groupby("item_id").cumcount() + 1, expected=frame["score"], state_time=pd.NaT)


def test_the_hold_out_is_what_anyone_can_compute_from_the_user_id() -> None:
    users = [f"user {i} é" for i in range(500)]
    for seed, share in ((0, 0.1), (7, 0.35)):
        expected = [int(hashlib.sha256(f"{seed}:{u}".encode()).hexdigest()[:13], 16) < share * 16**13 for u in users]
        assert held_out(pa.array(users), share, seed).tolist() == expected


def test_the_hold_out_never_changes() -> None:
    """Who is held out today must be held out when the campaign is measured, in another year and version."""
    users = pa.array([f"u{i:07d}" for i in range(40)])
    assert np.flatnonzero(held_out(users, 0.1, seed=0)).tolist() == [2, 5, 12, 13, 22, 23, 37]


def test_a_hold_out_has_its_share_grows_by_the_same_users_and_depends_on_nothing_else() -> None:
    users = pa.array([str(i) for i in range(40_000)])
    small, large, other = held_out(users, 0.1, 3), held_out(users, 0.2, 3), held_out(users, 0.1, 4)
    assert abs(small.mean() - 0.1) < 4 * np.sqrt(0.09 / 40_000)
    assert not (small & ~large).any()
    assert abs((small & other).mean() - 0.01) < 4 * np.sqrt(0.01 / 40_000)  # another seed is another draw
    shuffled = np.random.default_rng(0).permutation(40_000)
    assert (held_out(users.take(pa.array(shuffled)), 0.1, 3) == small[shuffled]).all()
    assert not held_out(users, 0.0).any()


def test_every_rule_removes_what_it_says() -> None:
    pairs = random_pairs()
    gone = {"u1", "u2", "nobody"}
    rules = AudienceRules("do not mail", holdout=0.2, holdout_seed=5, max_per_user=3, max_size=40, min_size=30)
    audience = select_audience(pairs, rules, gone)
    kept = audience.pairs
    names = ["suppression", "frequency cap", "largest size", "hold-out", "minimum size"]
    assert [r.rule for r in audience.removals] == names
    assert audience.before - sum(r.pairs for r in audience.removals) == len(kept)
    assert pairs["user_id"].nunique() - sum(r.users for r in audience.removals) == kept["user_id"].nunique()
    assert pairs["item_id"].nunique() - sum(r.items for r in audience.removals) == kept["item_id"].nunique()
    assert not kept["user_id"].isin(gone).any()
    assert not held_out(pa.array(kept["user_id"], pa.string()), 0.2, 5).any()
    assert held_out(pa.array(audience.held_out["user_id"], pa.string()), 0.2, 5).all()
    assert not audience.held_out["user_id"].isin(gone).any()
    assert kept.groupby("user_id").size().max() <= 3
    assert kept.groupby("item_id").size().max() <= 40
    assert kept.groupby("item_id")["user_id"].nunique().min() >= 30
    assert set(audience.held_out["item_id"]) <= set(kept["item_id"])
    both = pd.concat([kept, audience.held_out])  # who is held out follows the same rules
    assert both.groupby("user_id").size().max() <= 3
    assert both.groupby("item_id").size().max() <= 40
    for _, rows in kept.groupby("item_id"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing


def test_a_frequency_cap_keeps_the_best_of_every_user_over_all_her_states() -> None:
    pairs = random_pairs(1)
    kept = select_audience(pairs, AudienceRules(max_per_user=2)).pairs
    best = pairs.groupby("user_id")["score"].nlargest(2).groupby("user_id").sum()
    assert kept.groupby("user_id")["score"].sum().to_numpy() == pytest.approx(best.to_numpy())


def test_no_rules_change_nothing() -> None:
    pairs = random_pairs(2)
    audience = select_audience(pa.Table.from_pandas(pairs, preserve_index=False), AudienceRules())
    assert audience.removals == ()
    assert len(audience.held_out) == 0
    keys = ["item_id", "rank", "user_id", "state"]
    assert audience.pairs[keys].to_numpy().tolist() == pairs.sort_values(["item_id", "rank"])[keys].to_numpy().tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(1, 4), st.integers(0, 8), st.floats(0, 0.9), st.integers(0, 3))
def test_what_goes_in_comes_out_or_is_counted(size: int, cap: int, least: int, share: float, seed: int) -> None:
    pairs = random_pairs(seed, users=15, items=3, size=size)
    audience = select_audience(pairs, AudienceRules(holdout=share, max_per_user=cap, min_size=least))
    assert len(audience.pairs) + sum(r.pairs for r in audience.removals) == size
    withheld = [r.pairs for r in audience.removals if r.rule == "hold-out"]
    assert len(audience.held_out) <= sum(withheld)  # those of items that were too small are compared with nothing


def test_rules_that_cannot_be_used_are_all_named() -> None:
    with pytest.raises(rim.DataError, match=r"hold-out.*frequency cap.*minimum size"):
        AudienceRules(holdout=1.0, max_per_user=0, min_size=-1)


def test_rules_survive_being_written_down() -> None:
    rules = AudienceRules("x", 0.1, 3, 2, 100, 50)
    assert AudienceRules(**rules.to_dict()) == rules


def test_the_curve_counts_the_best_first_and_ends_with_everything() -> None:
    rng = np.random.default_rng(0)
    expected = rng.gamma(0.5, 1.0, 5000)
    happened = rng.poisson(expected).astype(float)
    with_gaps = np.where(rng.random(5000) < 0.1, -np.inf, expected)
    curve = response_curve(with_gaps, happened)
    usable = with_gaps[np.isfinite(with_gaps)]
    assert len(curve) <= 160
    assert curve["size"].iloc[-1] == len(usable)
    for row in curve.itertuples():
        assert row.expected == pytest.approx(np.sort(usable)[::-1][: row.size].sum())
    assert curve["happened"].iloc[-1] == happened[np.isfinite(with_gaps)].sum()
    assert curve["share"].iloc[-1] == pytest.approx(1)
    assert curve["next"].is_monotonic_decreasing
    assert response_curve(np.empty(0)).empty
