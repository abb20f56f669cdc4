"""What another window would bring, against resampling; and what was expected, against what happened."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import rim_core as rim
from rim_core.evaluation.outlook import chance, interval, spread, user_moments
from rim_core.evaluation.reliability import reliability
from tests.evaluation.conftest import make_states


def test_the_spread_is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(150), 2)  # two states a user, which may both get an item
    matrix = sparse.csr_matrix((rng.random((300, 5)) < [0.5, 0.2, 0.05, 0.01, 0.0]).astype(np.float32))
    total, squares, users = user_moments(matrix, user)
    dense = matrix.toarray().reshape(150, 2, 5).sum(axis=1)
    drawn = rng.multinomial(150, np.full(150, 1 / 150), size=20_000) @ dense
    assert users == 150
    np.testing.assert_array_equal(total, dense.sum(axis=0))
    np.testing.assert_allclose(spread(total, squares, users), drawn.std(axis=0), rtol=0.03)
    low, high = interval(total, spread(total, squares, users))
    inside = (drawn >= low - 0.5) & (drawn <= high + 0.5)
    assert (inside.mean(axis=0) > 0.88).all()
    assert low[4] == 0
    assert high[4] > 0, "a delivery to nobody may still reach somebody another time"


def test_a_promise_met_on_average_is_kept_half_of_the_time() -> None:
    found = chance(
        np.array([100.0, 100.0, 100.0, 5.0, 5.0]), np.array([10.0, 10.0, 10.0, 0.0, 0.0]), [100, 70, 0, 5, 6]
    )
    assert found[0] == pytest.approx(0.52, abs=0.01)
    assert found[1] > 0.99
    assert list(found[2:]) == [1.0, 1.0, 0.0]


def test_groups_of_users_and_items_add_up_to_all_that_was_expected_and_happened() -> None:
    states = make_states(np.random.default_rng(2).poisson(0.4, (30, 12)))
    rates = np.random.default_rng(1).gamma(0.5, 0.2, states.shape).astype(np.float32)
    scores = rim.Scores.from_dense(rates)
    frame = reliability(scores, states, bins=6)
    for side, size in (("user", states.shape[0]), ("item", states.shape[1])):
        part = frame[frame["side"] == side]
        assert len(part) == 6
        assert part["members"].sum() == size
        assert (part["expected"] * part["members"]).sum() == pytest.approx(rates.sum(), rel=1e-5)
        assert (part["happened"] * part["members"]).sum() == pytest.approx(states.targets.sum())
        assert part["expected"].is_monotonic_increasing
        assert (part["low"] <= part["expected"] * 1.01).all()
