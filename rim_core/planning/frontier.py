"""Relevance against perplexity while the promises grow (Figure 4), for several models and ways of matching."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rim_core.errors import Cancelled, ConstraintError
from rim_core.evaluation.metrics import evaluate, perplexity
from rim_core.models.base import Progress, silent
from rim_core.planning.constraints import Constraints
from rim_core.planning.dual import DualPlanner
from rim_core.planning.greedy import greedy_match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from rim_core.assignment import Assignment
    from rim_core.models.base import Callback
    from rim_core.planning.plan import Plan
    from rim_core.scores import Scores

GAP = 1e-3
"""Relative gap of a point, well below what can be seen in the curve; a plan itself is closer."""
MODES = ("offline greedy", "offline dual", "online dual")


def frontier(
    scores: Mapping[str, tuple[Scores, Scores]],
    *,
    capacity: int,
    shares: Sequence[float],
    modes: Sequence[str] = MODES,
    seed: int = 0,
    callback: Callback = silent,
) -> pd.DataFrame:
    """Plan every minimum exposure β for every model, deliver to the test states, and measure.

    Parameters
    ----------
    scores : mapping of str to (Scores, Scores)
        By model name: scores of the calibration states and of the test states.
    capacity : int
        K, items per user-state.
    shares : sequence of float
        β, shares of the user-states promised to every item; β = 0, the unconstrained point, is always added.
    modes : sequence of {"offline greedy", "offline dual", "online dual"}
        Offline: the test states are known. Online: prices from the calibration states, one test state at a time.
    callback : callable
        Gets :class:`~rim_core.models.base.Progress` after every point and several times a second; may raise
        :class:`~rim_core.errors.Cancelled`.

    Returns
    -------
    DataFrame
        A row a point: model, mode, min_exposure (β), promised (user-states an item), expected (Σ λπ), precision (of
        what happened; NaN where the scores have no states), item_perplexity, user_perplexity, shortfall
        (Σ max(promise − delivered, 0) / Σ promise), kept (share of items at or above their promise), gap and
        upper_bound (offline dual and, on the calibration states, online dual; NaN for greedy).

    Raises
    ------
    ConstraintError
        A mode is unknown, or a share is not one.
    """
    unknown = sorted(set(modes) - set(MODES))
    if unknown:
        raise ConstraintError(f"There is no way of matching {unknown[0]!r}: choose among {', '.join(MODES)}.")
    steps = sorted({0.0, *(float(s) for s in shares)})
    curves = [(name, mode, *pair) for name, pair in scores.items() for mode in modes]
    total = len(curves) * len(steps)
    reports: SimpleQueue[str] = SimpleQueue()
    stop = Event()

    def follow(name: str, mode: str, calibration: Scores, test: Scores) -> list[dict[str, Any]]:
        match = _Matcher(mode, calibration, test, capacity, seed, partial(_check, stop))
        points = []
        for share in steps:
            points.append({"model": name, "mode": mode, **match.point(share)})
            reports.put(f"{name}, {mode}, minimum {100 * share:.2f} %")
        return points

    # Planning leaves the interpreter lock most of the time: curves are followed side by side.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        first = sorted(range(len(curves)), key=lambda i: curves[i][1] == "offline greedy")  # the long ones
        begun = {i: pool.submit(follow, *curves[i]) for i in first}
        running = [begun[i] for i in range(len(curves))]
        try:
            _report(running, reports, total, callback)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return pd.DataFrame([point for curve in running for point in curve.result()])


def _check(stop: Event, _: Progress) -> None:
    """From within a point: whether the sweep has been given up."""
    if stop.is_set():
        raise Cancelled


def _report(running: list[Future[Any]], reports: SimpleQueue[str], total: int, callback: Callback) -> None:
    """Tell the callback of every point, and several times a second, for it may ask to stop, until all is done."""
    stage, done = "the first points", 0
    while done < total:
        callback(Progress(stage, done, total))
        with suppress(Empty):
            stage, done = reports.get(timeout=0.2), done + 1
        failed = next((f for f in running if f.done() and f.exception() is not None), None)
        if failed is not None:
            failed.result()
    callback(Progress("frontier", total, total))


class _Matcher:
    """One model and mode along the curve; every plan starts from the prices of the one before."""

    def __init__(
        self, mode: str, calibration: Scores, test: Scores, capacity: int, seed: int, callback: Callback
    ) -> None:
        self.mode, self.capacity, self.seed, self.callback = mode, capacity, seed, callback
        self.planned = calibration if mode == "online dual" else test
        self.test = test
        self.last: Plan | None = None

    def point(self, share: float) -> dict[str, Any]:
        """The figures of one minimum exposure."""
        constraints = Constraints(capacity=self.capacity, min_exposure=share or None)
        if self.mode == "offline greedy":
            heed = partial(self.callback, Progress("greedy matching", 0.0, 1.0))
            return self._figures(share, greedy_match(self.test, constraints, seed=self.seed, heed=heed), None)
        planner = DualPlanner(constraints, seed=self.seed, gap=GAP, online=self.mode == "online dual")
        plan = planner.fit(self.planned, warm_start=self.last, callback=self.callback)
        self.last = plan
        delivered = plan.assignment if self.mode == "offline dual" else plan.assign(self.test)
        return self._figures(share, delivered, plan)

    def _figures(self, share: float, delivered: Assignment, plan: Plan | None) -> dict[str, Any]:
        m, n = delivered.matrix.shape
        promise = Constraints(capacity=self.capacity, min_exposure=share or None).bounds(m, n).minimum
        missing = np.maximum(promise - delivered.exposure, 0)
        happened = delivered.states
        certificate = None if plan is None else plan.certificate
        return {
            "min_exposure": share,
            "promised": int(promise.max(initial=0)),
            "expected": delivered.objective,
            "precision": np.nan if happened is None else evaluate(delivered, happened).precision,
            "item_perplexity": perplexity(delivered.exposure),
            "user_perplexity": perplexity(delivered.load),
            "shortfall": float(missing.sum() / max(1, promise.sum())),
            "kept": float((missing == 0).mean()),
            "gap": np.nan if certificate is None or certificate.gap is None else certificate.gap,
            "upper_bound": np.nan if certificate is None else certificate.upper_bound,
        }
