"""Lift: a known effect is found as often as the interval says, and none is not invented."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import rim_core as rim
from rim_core.evaluation import measure_lift


@pytest.mark.parametrize(("base", "effect"), [(0.05, 0.0), (0.05, 0.4), (0.8, 0.25)])
def test_the_interval_covers_the_true_effect_as_often_as_it_says(base: float, effect: float) -> None:
    """Poisson outcomes of users of very different activity; 1 200 campaigns with a known relative effect."""
    rng = np.random.default_rng(11)
    campaigns, treated, held_out = 1200, 2000, 500
    difference = relative = found = 0
    for _ in range(campaigns):
        activity = rng.gamma(2.0, 0.5, treated + held_out)  # mean 1
        rates = base * activity * np.where(np.arange(treated + held_out) < treated, 1 + effect, 1.0)
        outcomes = rng.poisson(rates)
        lift = measure_lift(outcomes[:treated], outcomes[treated:])
        difference += lift.low <= base * effect <= lift.high
        assert lift.relative_low is not None
        relative += lift.relative_low <= effect <= lift.relative_high
        found += lift.conclusive
    allowed = 3.5 * np.sqrt(0.95 * 0.05 / campaigns)
    assert abs(difference / campaigns - 0.95) < allowed + 0.008  # rare outcomes are a little skewed
    assert abs(relative / campaigns - 0.95) < allowed + 0.008
    if effect == 0:
        assert found / campaigns < 0.05 + allowed + 0.008
    else:
        assert found / campaigns > 0.3


def test_the_interval_of_the_difference_is_welchs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.poisson(0.4, 700), rng.poisson(0.3, 90)
    lift = measure_lift(a, b, 0.9)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert (lift.low, lift.high) == pytest.approx((expected.low, expected.high))
    assert lift.incremental == pytest.approx((a.mean() - b.mean()) * 700)
    assert (lift.treated, lift.held_out, lift.treated_outcomes) == (700, 90, a.sum())
    assert lift.relative == pytest.approx(a.mean() / b.mean() - 1)
    assert lift.relative_low < lift.relative < lift.relative_high


def test_what_cannot_be_divided_by_is_left_open() -> None:
    none = measure_lift(np.array([1, 0, 1, 1]), np.zeros(5))
    assert (none.relative, none.relative_low) == (None, None)
    assert none.few
    uncertain = measure_lift(np.array([1, 0, 1, 1]), np.array([0, 0, 0, 0, 1]))
    assert uncertain.relative is not None
    assert uncertain.relative_low is None
    same = measure_lift(np.ones(5), np.ones(5))
    assert (same.difference, same.low, same.high, same.relative) == (0, 0, 0, 0)


def test_a_campaign_without_a_hold_out_says_what_to_do() -> None:
    with pytest.raises(rim.DataError, match="Export the audience with a hold-out group"):
        measure_lift(np.ones(10), np.empty(0))
