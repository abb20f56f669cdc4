"""Section F: with a maximum for every item, online delivery is what was promised, unless calibration misleads."""

from __future__ import annotations

import numpy as np
import pytest

from rim_core.errors import Cancelled
from rim_core.planning import user_load_sweep
from rim_core.progress import Progress
from rim_core.scores import DenseScores, Scores


def draw(m: int, seed: int, scale: float = 1.0) -> DenseScores:
    """Users of one population: tastes times activity."""
    rng = np.random.default_rng(seed)
    popularity = np.exp(np.random.default_rng(99).normal(size=20))
    return Scores.from_dense(scale * rng.gamma(1.0, 1.0, (m, 1)) * rng.random((m, 20)) * popularity)


def test_users_of_one_population_get_what_was_planned_for_others_of_it() -> None:
    """Figure S7: the share of user-states delivered per item stays near its ideal of β′, as near as chance lets it.

    Without a capacity the prices are the items' own quantiles: then what is delivered can be counted directly.
    """
    capacities, calibration, test = [1, 5, 20], draw(600, 1), draw(600, 2)
    table = user_load_sweep({"m": (calibration, test)}, max_exposure=0.05, capacities=capacities)
    online = table[table["mode"] == "online dual"].set_index("capacity")
    assert online["delivered_share"].to_numpy() == pytest.approx([0.05] * 3, rel=0.3)
    least, most = (np.sort(calibration.to_dense(), axis=0)[-rank] for rank in (30, 31))  # prices that let 30 of 600 in
    exact = [(test.to_dense() > price).mean() for price in (least, most)]
    assert exact[0] - 1e-9 <= online.loc[20, "delivered_share"] <= exact[1] + 1e-9
    offline = table[table["mode"] == "offline dual"].set_index("capacity")
    assert (offline["over"] == 0).all()
    assert offline["delivered_share"].to_numpy() == pytest.approx([0.05] * 3, rel=0.01)
    assert (offline["user_perplexity"].diff().dropna() <= 1e-9).all()  # more room for a user: a less even load
    assert online["alpha"].tolist() == [k / 20 for k in capacities]


def test_higher_scores_in_calibration_lead_to_under_delivery() -> None:
    """Section F: prices learned where users have more history are too high for the others."""
    table = user_load_sweep(
        {"m": (draw(800, 1, scale=1.5), draw(800, 2))}, max_exposure=0.05, capacities=[20], modes=["online dual"]
    )
    assert table["delivered_share"].iloc[0] < 0.9 * table["ideal_share"].iloc[0]


def test_where_the_places_are_fewer_than_the_maxima_they_are_what_limits() -> None:
    table = user_load_sweep({"m": (draw(500, 1), draw(500, 2))}, max_exposure=0.5, capacities=[2])
    assert table["ideal_share"].tolist() == pytest.approx([0.1, 0.1])
    assert table["delivered_share"].to_numpy() == pytest.approx([0.1, 0.1], rel=0.02)


def test_a_sweep_can_be_stopped_from_within() -> None:
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        user_load_sweep({"m": (draw(500, 1), draw(500, 2))}, max_exposure=0.1, capacities=[1, 2, 3, 4], callback=stop)
    assert len(seen) == 4
