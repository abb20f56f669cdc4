"""NewItems: an honest score for what nobody has bought yet, from what resembles it and what that did at its launch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.optimize import minimize

from rim_core.datasets.states import expand_ranges
from rim_core.errors import ModelError
from rim_core.models.affinity.frequency import Frequency
from rim_core.models.affinity.histories import origin_of
from rim_core.models.affinity.item_features import WIDTH, directions, nearest, rarity, words_of
from rim_core.models.base import Model
from rim_core.models.parts import load_part, part_weights, trained_on, within
from rim_core.scores import BLOCK_ENTRIES, Scores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

ALIKE, BURN_IN, RECENT, BEFORE, LEAST = 50, 2, 4, 4, 0.05
"""Items that a new one is compared with; horizons of data before a first event counts as a launch; how many horizons of
launches are learned from, and how many before each say what the items alike sell; the least of that, in events."""
FEW_LAUNCHES = 20.0
"""Events of launches that weigh as much as that a new item sells what the items alike sell."""


@dataclass(frozen=True)
class Launches:
    """Items whose first event fell into some horizon of the training data, and what came of them in it.

    Attributes
    ----------
    words : csr_matrix (L, 2**18)
    happened : ndarray (L,)
        Events in that horizon.
    expected : ndarray (L,)
        Events per horizon of the items alike, before it.
    """

    words: sparse.csr_matrix
    happened: np.ndarray
    expected: np.ndarray


class NewItems(Model):
    """Any model, with scores for items that have no or few events in training.

    λ(x, y) = (1 − ρ) · base(x, y) + ρ · g(y) · Σ_j s(y, j) · base(x, j), where s weighs the items j that resemble y
    (words of title and features, rare ones count more), ρ = few / (few + events of y), and g makes of what the items
    alike sell, e, what past launches made of it in their first horizon: exp(a) · e^γ (Poisson regression), times
    what launches that resemble y did relative to that, shrunk to 1 (Gamma-Poisson). Items known well keep the
    base's score.

    Parameters
    ----------
    base : Model, optional
        Frequency by default.
    few : float
        Events of an item that weigh as much as everything it resembles.
    shrinkage : float
        Events of similar launches that weigh as much as all launches together.

    Notes
    -----
    An item with fewer than 10 × ``few`` training events is mixed. A new item costs as much as the 50 it resembles.
    """

    def __init__(self, base: Model | None = None, few: float = 5.0, shrinkage: float = 20.0) -> None:
        super().__init__()
        if few <= 0 or shrinkage <= 0:
            raise ModelError("few and shrinkage of NewItems must be positive numbers of events.")
        self.base = Frequency() if base is None else base
        # A score is a mixture of the base's: what it is, and of whom, is the base's to say.
        self.unit, self.folds_in = self.base.unit, self.base.folds_in  # type: ignore[misc]
        self.few = few
        self.shrinkage = shrinkage
        self._words = sparse.csr_matrix((0, WIDTH))
        self._rare = sparse.csr_matrix((1, WIDTH))
        self._events = np.empty(0)
        self._rate = np.empty(0)
        self._launches = Launches(sparse.csr_matrix((0, WIDTH)), np.empty(0), np.empty(0))
        self._curve = np.array([0.0, 1.0])

    @property
    def name(self) -> str:
        return f"{self.base.name}+NewItems"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base": self.base.get_config()}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Model:
        if arguments.get("base") is not None:
            arguments = {**arguments, "base": Model.from_config(arguments["base"])}
        return cls(**arguments)

    # -- training ---------------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        if not trained_on(self.base, split):
            folder = None if checkpoint is None else checkpoint / "base"
            self.base.fit(split, callback=within(callback, 0.0, 0.9), checkpoint=folder)
        words = words_of(split.log.items)[split.train.item_codes]
        rare = rarity(words)
        self._words, self._rare = (
            words,
            sparse.csr_matrix(np.where(np.bincount(words.indices, minlength=WIDTH) > 0, rare, 0)),
        )
        item, when = _training_events(split)
        self._events = np.bincount(item, minlength=words.shape[0]).astype(float)
        self._rate = _base_totals(self.base, split)
        self._launches = self._past_launches(split, item, when)
        self._curve = _growth(self._launches.happened, self._launches.expected)
        self.fit_info["parts"] = {self.base.name: self.base.fit_info}
        self.fit_info["training"] = (
            f"{self.base.name}: {self.base.fit_info.get('training', 'fitted in closed form')}; new items from "
            f"{len(self._launches.happened):,} past launches, {np.exp(self._curve[0]):.3g} · "
            f"(events of the items alike)^{self._curve[1]:.3g}"
        )

    def _past_launches(self, split: Split, item: np.ndarray, when: np.ndarray) -> Launches:
        """Items by the horizon of their first event, each against the items that were known well before that horizon.

        Those with ``few`` events by then, as when new items are scored: items hardly known sell a fraction of them. A
        launch of which nothing alike has been sold says nothing of what becomes of that, and is left out.
        """
        n, horizon = self._words.shape[0], max(split.test.horizon, 1)
        origin = origin_of(split)
        if origin is None or len(item) == 0:
            return Launches(sparse.csr_matrix((0, WIDTH)), np.empty(0), np.empty(0))
        period = (when - origin) // horizon
        first = np.full(n, np.iinfo(np.int64).max)
        np.minimum.at(first, item, period)
        last = (int(split.train.time[0]) - origin) // horizon  # whole horizons of training data
        counts = sparse.coo_matrix((np.ones(len(item)), (period, item)), shape=(int(period.max()) + 1, n)).tocsr()
        shape = directions(self._words, self._rarity())
        launched, happened, expected = [], [], []
        for p in range(max(BURN_IN, int(last) - RECENT), int(last)):
            so_far = np.asarray(counts[:p].sum(axis=0)).ravel()
            fresh, known = np.flatnonzero(first == p), np.flatnonzero(so_far >= self.few)
            if len(fresh) == 0 or len(known) == 0:
                continue
            since = max(0, p - BEFORE)
            rate = np.asarray(counts[since:p].sum(axis=0)).ravel()[known] / (p - since)
            sold = nearest(shape[fresh], shape[known], ALIKE) @ rate
            launched.append(fresh[sold > 0])
            happened.append(np.asarray(counts[p].todense()).ravel()[fresh[sold > 0]])
            expected.append(sold[sold > 0])
        fresh = np.concatenate([*launched, np.empty(0, np.int64)]).astype(np.int64)
        return Launches(
            self._words[fresh], np.concatenate([*happened, np.empty(0)]), np.concatenate([*expected, np.empty(0)])
        )

    def _rarity(self) -> np.ndarray:
        return np.asarray(self._rare.todense()).ravel()

    # -- scoring ----------------------------------------------------------------------------------------------

    def _score(self, states: UserStates) -> NewItemScores:
        assert self.item_ids is not None
        columns = self._columns(states)
        events = np.where(columns >= 0, self._events[columns], 0.0) if len(self._events) else np.zeros(len(columns))
        new = np.flatnonzero(events < 10 * self.few)
        rho = np.zeros(len(columns))
        rho[new] = self.few / (self.few + events[new])
        own = states.log.items.index.get_indexer(pd.Index(self.item_ids))
        if (own < 0).any():
            raise ModelError("These user-states are of a log without the items the model knows: score the same log.")
        base = self.base.score(replace(states.with_items(own), exclude_seen=False))
        alike = self._mixture(states, new) if len(new) else sparse.csr_matrix((0, len(own)))
        return NewItemScores(states, base, columns, new, rho, alike)

    def _mixture(self, states: UserStates, new: np.ndarray) -> sparse.csr_matrix:
        """g(y) · s(y, j) of every new item with the model's own items; CSR (new, own)."""
        rare = self._rarity()
        shape = directions(words_of(states.log.items)[states.item_codes[new]], rare)
        solid = np.flatnonzero(self._events >= self.few)
        solid = solid if len(solid) else np.arange(len(self._events))
        alike = nearest(shape, directions(self._words[solid], rare), ALIKE)
        past = nearest(shape, directions(self._launches.words, rare), ALIKE)
        sold = alike @ self._rate[solid]
        foreseen = (past != 0) @ _expected(self._curve, self._launches.expected)
        relative = ((past != 0) @ self._launches.happened + self.shrinkage) / (foreseen + self.shrinkage)
        level = relative * _expected(self._curve, sold) / np.maximum(sold, LEAST)
        mixture = sparse.coo_matrix(sparse.diags(level) @ alike)
        size = (len(new), len(self._events))
        return sparse.csr_matrix((mixture.data, (mixture.row, solid[mixture.col])), shape=size)

    # -- artifacts --------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        out = part_weights("base", self.base)
        for name, matrix in (("words", self._words), ("rare", self._rare), ("launches", self._launches.words)):
            out |= {
                f"{name}.indices": matrix.indices.astype(np.int32),
                f"{name}.indptr": matrix.indptr.astype(np.int64),
            }
            out[f"{name}.data"] = matrix.data
        return out | {
            "events": self._events,
            "happened": self._launches.happened,
            "expected": self._launches.expected,
            "curve": self._curve,
            "rate": self._rate,
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        def matrix(name: str) -> sparse.csr_matrix:
            parts = tuple(weights[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
            return sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, WIDTH))

        self._words, self._rare, self._events = matrix("words"), matrix("rare"), weights["events"]
        self._launches = Launches(matrix("launches"), weights["happened"], weights["expected"])
        self._curve, self._rate = weights["curve"], weights["rate"]
        load_part("base", self.base, self, weights)


class NewItemScores(Scores):
    """(1 − ρ) · base + ρ · base · alikeᵀ, made block by block.

    Parameters
    ----------
    states : UserStates
    base : Scores (m, own items)
    columns : ndarray (n,)
        Column of each item in the base, −1 for none.
    new : ndarray of int64 (c,)
        Columns of ``states`` that are mixed.
    rho : ndarray (n,)
    alike : csr_matrix (c, own items)
    """

    def __init__(
        self,
        states: UserStates,
        base: Scores,
        columns: np.ndarray,
        new: np.ndarray,
        rho: np.ndarray,
        alike: sparse.csr_matrix,
    ) -> None:
        super().__init__(states.shape, states)
        self._of = states
        self._base, self._columns, self._new, self._rho, self._alike = base, columns, new, rho, alike
        self._place = np.full(len(columns), -1, np.int64)
        self._place[new] = np.arange(len(new))
        self._used = np.unique(alike.indices)
        # Products with the few columns that are alike anything, dense in blocks: no sparse tensors.
        self._narrow = alike[:, self._used]

    def blocks(self, size: int | None = None) -> Iterator[tuple[int, int, torch.Tensor]]:
        return super().blocks(size or max(1, BLOCK_ENTRIES // max(self.shape[1], self._base.shape[1], 1)))

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        base = self._base.tensor(start, stop)
        out = base.new_zeros((stop - start, self.shape[1]))
        old = np.flatnonzero(self._columns >= 0)
        out[:, torch.from_numpy(old)] = base[:, torch.from_numpy(self._columns[old])]
        if len(self._new):
            some = base[:, torch.from_numpy(self._used.astype(np.int64))].cpu().numpy()
            mixed = torch.from_numpy((self._narrow @ some.T).T.astype(np.float32)).to(base.device)
            place, rho = torch.from_numpy(self._new), torch.from_numpy(self._rho[self._new].astype(np.float32))
            out[:, place] = out[:, place] * (1 - rho) + mixed * rho
        if self._of.seen is not None:
            seen = self._of.seen[start:stop].tocoo()
            out[torch.from_numpy(seen.row.astype(np.int64)), torch.from_numpy(seen.col.astype(np.int64))] = -torch.inf
        return out

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out = np.zeros(len(rows))
        own = self._columns[columns]
        old, place = own >= 0, self._place[columns]
        out[old] = self._base.pairs(rows[old], own[old])
        mixed = np.flatnonzero(place >= 0)
        if len(mixed):
            part = self._alike[place[mixed]]
            of = np.repeat(np.arange(len(mixed)), np.diff(part.indptr))
            values = self._base.pairs(rows[mixed][of], part.indices.astype(np.int64)) * part.data
            rho = self._rho[columns[mixed]]
            out[mixed] = out[mixed] * (1 - rho) + np.bincount(of, values, len(mixed)) * rho
        if self._of.seen is not None and len(rows):
            out[np.asarray(self._of.seen[rows, columns]).ravel() != 0] = -np.inf
        return out.astype(np.float32)

    def take(self, rows: np.ndarray) -> NewItemScores:
        return NewItemScores(
            self._of.take(rows), self._base.take(rows), self._columns, self._new, self._rho, self._alike
        )


def _expected(curve: np.ndarray, sold: np.ndarray) -> np.ndarray:
    """exp(a) · e^γ."""
    expected: np.ndarray = np.exp(curve[0] + curve[1] * np.log(np.maximum(sold, LEAST)))
    return expected


def _growth(happened: np.ndarray, sold: np.ndarray) -> np.ndarray:
    """(a, γ) of the largest Poisson likelihood, drawn to (0, 1) where launches are few."""
    if len(happened) == 0 or happened.sum() == 0:
        return np.array([0.0, 1.0])
    x = np.log(np.maximum(sold, LEAST))

    def loss(p: np.ndarray) -> float:
        z = p[0] + p[1] * x
        prior = FEW_LAUNCHES * (np.exp(np.clip(p[0], -30, 30)) - p[0]) + 2.0 * (p[1] - 1.0) ** 2
        return float((np.exp(np.clip(z, -30, 30)) - happened * z).sum() + prior)

    best = minimize(loss, np.array([np.log(happened.mean()) - x.mean(), 1.0]), method="Nelder-Mead")
    return np.array([best.x[0], float(np.clip(best.x[1], 0.0, 1.5))])


def _base_totals(base: Model, split: Split) -> np.ndarray:
    """Σ_x base(x, y) of every item over the training users at the end of the training data; (n,), block by block.

    In a split by user, over the labelled states: there is no end that all users share.
    """
    states = split.labelled
    if split.config.get("by") != "user":
        states = replace(split.train, horizon=split.test.horizon)
    scores = base.score(replace(states, exclude_seen=False))
    total = np.zeros(states.shape[1])
    for _, _, rows in scores.blocks():
        total += rows.sum(dim=0).double().cpu().numpy()
    return total


def _training_events(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """(column, time) of every training event of a target type."""
    train, a = split.train, split.log.arrays
    _, event = expand_ranges(train.start, train.stop)
    event = event[train.is_target_event[event]]
    column = train.column_of_item[a.item[event]].astype(np.int64)
    kept = column >= 0
    return column[kept], a.time[event][kept]
