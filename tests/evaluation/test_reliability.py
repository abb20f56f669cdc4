"""What was expected, against what happened."""

from __future__ import annotations

import numpy as np
import pytest

import rim_core as rim
from rim_core.evaluation.reliability import reliability
from tests.evaluation.conftest import make_states


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
