"""Section F: users' capacity against relevance when every item has a maximum (Figures S4 to S7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rim_core.evaluation.metrics import evaluate, perplexity
from rim_core.models.base import Progress, silent
from rim_core.planning.constraints import Constraints
from rim_core.planning.dual import DualPlanner
from rim_core.planning.frontier import GAP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rim_core.assignment import Assignment
    from rim_core.models.base import Callback
    from rim_core.planning.plan import Plan
    from rim_core.scores import Scores

LOAD_MODES = ("offline dual", "online dual")


def user_load_sweep(
    scores: Mapping[str, tuple[Scores, Scores]],
    *,
    max_exposure: float,
    capacities: Sequence[int],
    modes: Sequence[str] = LOAD_MODES,
    seed: int = 0,
    callback: Callback = silent,
) -> pd.DataFrame:
    """Plan with a maximum exposure β′ for all items while the users' capacity α grows; deliver; measure.

    Parameters
    ----------
    scores : mapping of str to (Scores, Scores)
        By model name: scores of the calibration states and of the test states.
    max_exposure : float
        β′, the largest share of the user-states of every item (1 % in the paper).
    capacities : sequence of int
        K = α·n, items per user-state.
    modes : sequence of {"offline dual", "online dual"}
        Offline: the test states are known. Online: prices from the calibration states, one test state at a time.
    callback : callable
        Gets :class:`~rim_core.models.base.Progress` before every plan and from within; may raise
        :class:`~rim_core.errors.Cancelled`.

    Returns
    -------
    DataFrame
        A row a model, mode and capacity: model, mode, capacity, alpha (K/n), max_exposure, precision (NaN without
        states), user_perplexity and users_reached (its share of m), item_perplexity, delivered_share (mean over the
        items of the share of user-states that got it; max_exposure is ideal where K·m is enough, Figure S7),
        ideal_share (the lesser of max_exposure, in whole user-states, and alpha), over (share of items above their
        maximum).

    Raises
    ------
    ConstraintError
        A capacity or the maximum cannot be used.
    """
    steps = sorted({int(k) for k in capacities})
    total = len(scores) * len(modes) * len(steps)
    rows: list[dict[str, Any]] = []
    for name, (calibration, test) in scores.items():
        for mode in modes:
            last: Plan | None = None
            for capacity in steps:
                done, stage = len(rows), f"{name}, {mode}, {capacity} items a user"
                callback(Progress(stage, done, total))
                planner = DualPlanner(Constraints(capacity=capacity, max_exposure=max_exposure), seed=seed, gap=GAP)
                last = planner.fit(
                    calibration if mode == "online dual" else test,
                    warm_start=last,
                    callback=partial(_still, callback, Progress(stage, done, total)),
                )
                delivered = last.assign(test) if mode == "online dual" else last.assignment
                rows.append({"model": name, "mode": mode, **_figures(delivered, capacity, max_exposure)})
    callback(Progress("user load", total, total))
    return pd.DataFrame(rows)


def _still(callback: Callback, at: Progress, _: Progress) -> None:
    """From within a plan: say again where the sweep is, for whoever listens may want to stop."""
    callback(at)


def _figures(delivered: Assignment, capacity: int, max_exposure: float) -> dict[str, Any]:
    m, n = delivered.matrix.shape
    maximum = Constraints(capacity=capacity, max_exposure=max_exposure).bounds(m, n).maximum
    share = delivered.exposure / max(m, 1)
    users = perplexity(delivered.load)
    return {
        "capacity": capacity,
        "alpha": capacity / n,
        "max_exposure": max_exposure,
        "precision": np.nan if delivered.states is None else evaluate(delivered, delivered.states).precision,
        "user_perplexity": users,
        "users_reached": users / max(m, 1),
        "item_perplexity": perplexity(delivered.exposure),
        "delivered_share": float(share.mean()),
        "ideal_share": min(float(maximum.mean()) / max(m, 1), capacity / n),
        "over": float((delivered.exposure > maximum).mean()),
    }
