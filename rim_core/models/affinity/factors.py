"""What the matrix factorisations share: user and item factors, a link that makes them counts, histories of one length.

A factorisation gives every pair a number z = h · w of any scale. Its score is a · softplus(k z + s) with a, k > 0 and s
found by Poisson regression on ``split.labelled``: the ranking of pairs is that of z (the paper ranks by softplus(z)),
and a score is a count, in proportion to the horizon of the states. In a split by time a follows the drift to the window
after.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from rim_core.errors import ModelError
from rim_core.models.affinity.histories import decayed_counts, entries, training_counts
from rim_core.models.ahead import trend
from rim_core.models.base import Model, Progress
from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scipy import sparse

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

History = Literal["visible", "training"]
SAMPLED_PAIRS = 200_000
"""Pairs without a target that stand for all of them when the link is found."""
SAMPLED_STATES = 5_000
"""Of a labelled window that tell a drift at most."""


@dataclass(frozen=True)
class Factors:
    """z = user · item; biases travel as columns.

    Attributes
    ----------
    user : ndarray (U, d), item : ndarray (n, d)
    """

    user: np.ndarray
    item: np.ndarray


class Factorisation(Model):
    """Base of ALS, LogisticMF, BPR and LightFM: λ(x, y) = a · softplus(k h(x)·w(y) + s).

    Parameters
    ----------
    factors : int
        Columns of h and w, without biases.
    history : {"visible", "training"}
        Where h(x) comes from. "visible" folds in: the item factors stay, and h(x) is found from what the state shows,
        so that users of one history length meet users of the same length. "training" takes the factors that training
        found for the user, as the paper does; its calibration states then have more history behind them than its test
        states where a split by user trains on the calibration window, and an online plan under-delivers (Appendix F).
    seed : int

    Raises
    ------
    ModelError
        A setting is not positive, or the model cannot fold in.
    """

    unit: ClassVar[str] = "expected interactions in the horizon: a · softplus(k z + s) of the product z of the factors"

    def __init__(self, factors: int, history: History, seed: int) -> None:
        super().__init__()
        if factors < 1:
            raise ModelError(f"{type(self).__name__} needs at least one factor, not {factors}.")
        if history not in ("visible", "training"):
            raise ModelError(f"history is {history!r}: choose visible (fold in) or training (as the paper does).")
        if history == "visible" and not self.folds_in:
            raise ModelError(f"{type(self).__name__} cannot fold in: leave history at 'training'.")
        self.factors = factors
        self.history: History = history
        if history == "training":  # the card says so
            self.folds_in = False  # type: ignore[misc]
        self.seed = seed
        self._user = np.empty((0, 0), np.float32)
        self._item = np.empty((0, 0), np.float32)
        self._link = np.array([1.0, 1.0, 0.0])
        self._user_ids = np.empty(0, object)

    @abstractmethod
    def _factorise(self, counts: sparse.csr_matrix, callback: Callback) -> Factors:
        """Factors of the training matrix (users, n)."""

    def _fold_in(self, counts: sparse.csr_matrix) -> np.ndarray:
        """h of new rows of the matrix (m, n), item factors as they are; float32 (m, d)."""
        raise ModelError(f"{type(self).__name__} cannot fold in.")

    def _unknown(self) -> np.ndarray:
        """h of a user who was not in training, where nothing folds in: as if indifferent."""
        mean: np.ndarray = self._user.mean(axis=0)
        return mean

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        found = self._factorise(training_counts(split), callback)
        self._user, self._item = found.user.astype(np.float32), found.item.astype(np.float32)
        if not (np.isfinite(self._user).all() and np.isfinite(self._item).all()):
            raise ModelError(f"{self.name} has diverged: lower its learning rate or raise its regularisation.")
        self._user_ids = split.train.user_ids.to_numpy(object)
        callback(Progress(f"{self.name}: link", 0.95, 1.0))

        def factors_of(states: UserStates) -> tuple[np.ndarray, np.ndarray]:
            return self._state_factors(states), self._item[self._columns(states)]

        self._link, self.fit_info["ahead"] = link_ahead(factors_of, split, self.seed)
        if self.history == "visible":
            self._user, self._user_ids = np.empty((0, self._item.shape[1]), np.float32), np.empty(0, object)
        a, k, s = self._link
        self.fit_info["training"] = (
            f"{self.factors} factors of the training events; user factors from "
            f"{'the visible history (folded in)' if self.history == 'visible' else 'training'}; "
            f"count = {a:.3g} · softplus({k:.3g} z {s:+.3g}), found on {len(split.labelled):,} labelled user-states"
        )

    def _state_factors(self, states: UserStates) -> np.ndarray:
        """h(x) of every state, float32 (m, d)."""
        if self.history == "visible":
            return self._fold_in(self._visible(states)).astype(np.float32)
        position = pd.Index(self._user_ids).get_indexer(states.user_ids)
        known = position >= 0
        rows = np.tile(self._unknown(), (len(states), 1)).astype(np.float32)
        rows[known] = self._user[position[known]]
        return rows

    def _visible(self, states: UserStates) -> sparse.csr_matrix:
        """Counts of visible events over the model's own items (m, n)."""
        assert self.item_ids is not None
        own = states.log.items.index.get_indexer(pd.Index(self.item_ids))
        if (own < 0).any():
            raise ModelError("These user-states are of a log without the items the model knows: score the same log.")
        return decayed_counts(states.with_items(own))

    def _score(self, states: UserStates) -> FactorScores:
        return softplus_scores(
            self._state_factors(states), self._item, self._link, self._columns(states), states, self._horizons(states)
        )

    def _weights(self) -> dict[str, np.ndarray]:
        encoded = [str(i).encode("utf-8", "surrogatepass") for i in self._user_ids]
        return {
            "user": self._user,
            "item": self._item,
            "link": self._link,
            "user_ids.utf8": np.frombuffer(b"".join(encoded), np.uint8),
            "user_ids.ends": np.cumsum([len(e) for e in encoded], dtype=np.int64),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._user, self._item, self._link = weights["user"], weights["item"], weights["link"]
        text, ends = weights["user_ids.utf8"].tobytes(), weights["user_ids.ends"]
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        ids = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=True)]
        self._user_ids = np.array(ids, dtype=object)


NEVER = -60.0
"""z of an item that was never trained: softplus(−60) is 1e−26."""


def softplus_scores(
    h: np.ndarray, w: np.ndarray, link: np.ndarray, columns: np.ndarray, states: UserStates, horizons: float
) -> FactorScores:
    """a · softplus(k h·w + s) · horizons as lazy scores; items never trained (column −1) get next to nothing.

    Parameters
    ----------
    h : ndarray (m, d), w : ndarray (own items, d)
    link : ndarray (3,)
        (a, k, s).
    columns : ndarray (n,)
        Row of w of every item of ``states``.
    horizons : float
        Length of the states' horizon, in those that a counts.
    """
    a, k, s = link
    known = columns >= 0
    return FactorScores(
        np.concatenate([k * h, np.ones((len(h), 1))], axis=1),
        np.concatenate([w[columns] * known[:, None], np.where(known, s, NEVER)[:, None]], axis=1),
        link="softplus",
        row_scale=np.full(len(h), a * horizons),
        forbidden=states.seen,
        states=states,
    )


def link_ahead(
    factors_of: Callable[[UserStates], tuple[np.ndarray, np.ndarray]], split: Split, seed: int
) -> tuple[np.ndarray, float]:
    """The link found on all labelled states, and by how much its a follows the drift to the window after them.

    Histories grow from window to window, and what is summed over them with them: the labelled windows, some states of
    each, tell by how much (:func:`~rim_core.models.ahead.trend`).

    Parameters
    ----------
    factors_of : callable
        (h (m, d), w (n, d)) of states.
    """
    link = count_link(*factors_of(split.labelled), split.labelled, seed, split.test.horizon)
    if split.config.get("by") == "user" or link[0] <= 0:
        return link, 1.0
    rng = np.random.default_rng([seed, 29])
    totals = []
    for time in np.unique(split.labelled.time):
        states = split.labelled.take(np.flatnonzero(split.labelled.time == time))
        if len(states) > SAMPLED_STATES:
            states = states.take(np.sort(rng.choice(len(states), SAMPLED_STATES, replace=False)))
        horizons = states.horizon / max(split.test.horizon, 1)
        scores = softplus_scores(*factors_of(states), link, np.arange(states.shape[1]), states, horizons)
        happened = states.targets if states.seen is None else states.targets - states.targets.multiply(states.seen > 0)
        totals.append((float(happened.sum()), float(scores.row_sums().sum())))
    ahead = trend(*np.array(totals).T)
    return link * [ahead, 1.0, 1.0], ahead


def count_link(h: np.ndarray, w: np.ndarray, states: UserStates, seed: int, horizon: int) -> np.ndarray:
    """(a, k, s) of the largest Poisson likelihood of what the states went on to do under a · softplus(k h·w + s).

    Parameters
    ----------
    h : ndarray (m, d), w : ndarray (n, d)
        n items in the order of ``states``.
    horizon : int
        Microseconds that a is to count for; the states may have looked further.

    Notes
    -----
    All pairs with a target and a uniform sample of all pairs, weighted to stand for them; forbidden pairs are left out.
    Then a is set so that the sample's total is what happened.
    """
    rng = np.random.default_rng([seed, 7])
    m, n = len(h), len(w)
    rows, columns = entries(states.targets)
    happened = np.asarray(states.targets.data, float)
    r, c = _pairs(rng, m, n)
    if states.seen is not None:
        allowed = np.asarray(states.seen[rows, columns]).ravel() == 0 if len(rows) else np.ones(0, bool)
        rows, columns, happened = rows[allowed], columns[allowed], happened[allowed]
        free = np.asarray(states.seen[r, c]).ravel() == 0
        weight = m * n / len(r)
        r, c = r[free], c[free]
    else:
        weight = m * n / len(r)
    if happened.sum() == 0 or len(r) == 0:
        return np.array([0.0, 1.0, 0.0])
    at = np.einsum("ij,ij->i", h[rows], w[columns]).astype(float)
    anywhere = np.einsum("ij,ij->i", h[r], w[c]).astype(float)
    centre, spread = float(anywhere.mean()), float(max(anywhere.std(), 1e-6))
    at, anywhere = (at - centre) / spread, (anywhere - centre) / spread

    def rate(z: np.ndarray, k: float, s: float) -> np.ndarray:
        return np.maximum(np.logaddexp(0.0, k * z + s), 1e-12)

    def loss(p: np.ndarray) -> float:
        k, s = float(np.exp(p[0])), float(p[1])
        total = weight * rate(anywhere, k, s).sum()
        level = happened.sum() / total
        return float(-(happened * np.log(level * rate(at, k, s))).sum() / happened.sum()) + 1e-4 * float(p @ p)

    best = minimize(loss, np.array([0.0, -2.0]), method="Nelder-Mead", options={"maxiter": 200, "xatol": 1e-3})
    k, s = float(np.exp(np.clip(best.x[0], -6.0, 4.0))), float(np.clip(best.x[1], -40.0, 40.0))
    level = happened.sum() / (weight * rate(anywhere, k, s).sum()) * (horizon / max(states.horizon, 1))
    return np.array([level, k / spread, s - k * centre / spread])


def _pairs(rng: np.random.Generator, m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs where there are few, otherwise a uniform sample."""
    if m * n <= SAMPLED_PAIRS:
        return np.repeat(np.arange(m), n), np.tile(np.arange(n), m)
    return rng.integers(m, size=SAMPLED_PAIRS), rng.integers(n, size=SAMPLED_PAIRS)
