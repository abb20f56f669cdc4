"""Counts of pairs by boosted trees: RFM-GBDT, the industry's default (Appendix A), BoostedCounts and HorizonCounts.

A pair that has met before has a history of its own, and trees turn its features into a count. The many pairs that have
not met share one product, as in eq. (5): how many new items the state will take up (trees on the state's features,
among them what an intensity foresees) times which (a distribution over the items it has not met). So scores stay a
sparse term plus a low-rank one.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from rim_core.errors import ModelError
from rim_core.models.affinity.als import ALS
from rim_core.models.affinity.factors import Factorisation
from rim_core.models.affinity.histories import origin_of, shares, training_counts, values_at
from rim_core.models.affinity.pair_features import (
    ITEM_FEATURES,
    ItemClock,
    PairTable,
    UserTable,
    pair_table,
    user_table,
    visible_events,
)
from rim_core.models.affinity.trees import CountTrees
from rim_core.models.ahead import drift
from rim_core.models.base import Model, Progress
from rim_core.models.intensity.hawkes_poisson import HawkesPoisson
from rim_core.models.parts import load_part, part_weights, trained_on, within
from rim_core.models.preference.horizon_blend import HorizonBlend
from rim_core.models.rim import RIM
from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

STATES_AT_ONCE, WINDOWS = 20_000, 10
ROUNDS, LEAVES, LEARNING_RATE, SMALLEST_LEAF, MAX_EVENTS = 200, 31, 0.1, 200, 10_000_000
"""Of :class:`PairTrees` where nothing else is said; RFM-GBDT has fewer rounds."""
NEW_ROUNDS, NEW_LEAVES, NEW_RATE = 200, 8, 0.05
"""Of the trees that say how many new items a state takes up. LightGBM halves the steps of a Poisson loss, so R rounds
lower an expectation to exp(−R · rate / 2) of the mean at least: users who left without a word need some 200."""
NEW_FEWEST = 15
"""A leaf of these holds that part of the states, between a quarter of ``smallest_leaf`` and all of it."""
LITTLE_UNMET = 1e-4
"""Share of the direction's weight below which a state has met everything: sums in float32 tell no less from nothing."""


@dataclass(frozen=True)
class _Lesson:
    """What one window teaches.

    Attributes
    ----------
    pairs, again : ndarray (P, F), (P,)
        Features of the pairs that had met before, and how often they met in the window.
    people, new : ndarray (m, F′), (m,)
        Features of the states, and their events with items they had not met.
    names : pair of tuple of str
        Of the features of pairs and of states.
    """

    pairs: np.ndarray
    again: np.ndarray
    people: np.ndarray
    new: np.ndarray
    names: tuple[tuple[str, ...], tuple[str, ...]]


class PairTrees(Model):
    """Base of RFM-GBDT and BoostedCounts.

    Parameters
    ----------
    rounds : int
        Trees.
    leaves : int
    learning_rate : float
    smallest_leaf : int
        Labelled pairs in a leaf at least; of states, where trees count new items, down to a quarter of it.
    max_events : int
        Events in the histories of the labelled states that are used (whole states are left out at random).
    seed : int
    """

    unit: ClassVar[str] = "expected interactions in the horizon"

    def __init__(
        self, rounds: int, leaves: int, learning_rate: float, smallest_leaf: int, max_events: int, seed: int
    ) -> None:
        super().__init__()
        if min(rounds, smallest_leaf, max_events) < 1 or leaves < 2 or not 0 < learning_rate <= 1:
            raise ModelError(f"{type(self).__name__} needs rounds ≥ 1, leaves ≥ 2 and a learning rate in (0, 1].")
        self.rounds = rounds
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.smallest_leaf = smallest_leaf
        self.max_events = max_events
        self.seed = seed
        self._origin: int | None = None
        self._horizon = 1
        self._clock = ItemClock((), np.empty((0, 0), np.float32))
        self._again = CountTrees("", 0.0, ())
        self._new = CountTrees("", 0.0, ())
        self._ahead = 1.0

    # -- what the two differ in -------------------------------------------------------------------------------

    _user_features: ClassVar[tuple[str, ...] | None] = None
    _pair_features: ClassVar[tuple[str, ...] | None] = None
    _item_features: ClassVar[tuple[str, ...] | None] = None
    """Features that are used; None for all."""

    @abstractmethod
    def _fit_direction(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        """Learn what new items a state takes up."""

    @abstractmethod
    def _direction(self, states: UserStates) -> FactorScores:
        """Which items: ≥ 0, of any scale in each row, nothing forbidden."""

    def _extra(self, direction: FactorScores, rows: np.ndarray, columns: np.ndarray) -> tuple[list[str], np.ndarray]:
        """More features of pairs, float32 (P, ·)."""
        return [], np.empty((len(rows), 0), np.float32)

    @property
    def _direction_counts(self) -> bool:
        """Whether the direction says how many new items as well, which the trees of that are told."""
        return False

    # -- training ---------------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._origin, self._horizon = origin_of(split), max(split.labelled.horizon, 1)
        self._fit_direction(split, callback, checkpoint)
        windows = self._windows(split)
        total = sum(_events(states) for states, _ in windows)
        lessons = [
            self._lesson(self._thinned(states, number, total), clock) for number, (states, clock) in enumerate(windows)
        ]
        ahead = 1.0
        if len(lessons) > 1:  # the last one last, and of all states: what a third of them happen to do hides a drift
            self._grow(lessons[:-1], within(callback, 0.5, 0.2))
            last, clock = windows[-1]
            whole = lessons[-1]
            if len(whole.new) < len(last):
                whole = self._lesson(self._thinned(last, len(windows), _events(last)), clock)
            ahead = drift(whole.again.sum() + whole.new.sum(), self._expected(whole))
        self._grow(lessons, within(callback, 0.7, 0.3))
        self._ahead = self.fit_info["ahead"] = ahead
        self._clock = ItemClock.at(split, None, self._origin)
        met_again = sum(float(one.again.sum()) for one in lessons)
        met_new, people = sum(float(one.new.sum()) for one in lessons), sum(len(one.people) for one in lessons)
        self.fit_info["training"] = (
            f"{self.rounds} trees on {sum(len(one.pairs) for one in lessons):,} labelled pairs that had met before "
            f"({met_again:,.0f} events), {NEW_ROUNDS} small ones on {people:,} user-states for new items "
            f"({met_new:,.0f} events)"
        )
        if len(lessons) > 1:
            self.fit_info["training"] += f", times {ahead:.3f} for what a window ahead holds"

    def _grow(self, lessons: list[_Lesson], callback: Callback) -> None:
        """Trees of what met again, and of how many new items."""
        names = lessons[-1].names
        self._again = CountTrees.fit(
            [one.pairs for one in lessons], np.concatenate([one.again for one in lessons]), names[0],
            rounds=self.rounds, leaves=self.leaves, learning_rate=self.learning_rate, smallest_leaf=self.smallest_leaf,
            seed=self.seed, report=lambda share: callback(Progress(f"{self.name}: trees", 0.8 * share, 1.0)),
        )  # fmt: skip
        states = sum(len(one.people) for one in lessons)
        smallest = max(1, self.smallest_leaf // 4, min(self.smallest_leaf, states // NEW_FEWEST))
        self._new = CountTrees.fit(
            [one.people for one in lessons], np.concatenate([one.new for one in lessons]), names[1],
            rounds=NEW_ROUNDS, leaves=NEW_LEAVES, learning_rate=NEW_RATE, smallest_leaf=smallest, seed=self.seed,
            report=lambda share: callback(Progress(f"{self.name}: new items", 0.8 + 0.2 * share, 1.0)),
        )  # fmt: skip

    def _expected(self, lesson: _Lesson) -> float:
        """Events that the trees expect of these states in all."""
        return float(self._again.predict(lesson.pairs).sum() + self._new.predict(lesson.people).sum())

    def _lesson(self, states: UserStates, clock: ItemClock) -> _Lesson:
        states = replace(states, exclude_seen=False)
        direction, (people, pairs) = self._direction(states), self._tables(states)
        unmet = _unmet(direction, pairs)[1] if self._direction_counts else None
        of_pairs, of_people = self._of_pairs(states, clock, direction, people, pairs), self._of_people(people, unmet)
        met = values_at(states.targets, pairs.rows, pairs.columns)
        new = states.target_counts - np.bincount(pairs.rows, met, len(states))
        return _Lesson(of_pairs[1], met, of_people[1], new, (of_pairs[0], of_people[0]))

    def _windows(self, split: Split) -> list[tuple[UserStates, ItemClock]]:
        """Labelled states by window, the last one last, with the items as they stood then.

        A split by time is looked at further back than its labelled windows, so that no single fortnight (a holiday)
        says what the next one will be like; where that is too much, some states of every window are left out.
        """
        labelled = split.labelled
        if split.config.get("by") == "user":
            return [(labelled, ItemClock.at(split, None, self._origin))]
        times = [int(t) for t in np.unique(labelled.time)]
        windows = [labelled.take(np.flatnonzero(labelled.time == t)) for t in times] or [labelled]
        while len(windows[0]) > 0 and len(windows) < WINDOWS and self._origin is not None:
            time = int(windows[0].time[0]) - labelled.horizon
            if time - self._origin < 2 * labelled.horizon:
                break
            earlier = replace(windows[0], time=np.full(len(windows[0]), time))
            windows.insert(0, earlier.take(np.flatnonzero(earlier.stop > earlier.start)))
        return [
            (window, ItemClock.at(split, int(window.time[0]), self._origin) if len(window) else self._clock)
            for window in windows
        ]

    def _thinned(self, states: UserStates, number: int, total: int) -> UserStates:
        """A random share of the states where the histories of all windows are too many events."""
        if total <= self.max_events or len(states) == 0:
            return states
        keep = np.random.default_rng([self.seed, 23, number]).random(len(states)) < self.max_events / total
        keep[0] = True
        return states.take(np.flatnonzero(keep))

    def _elapsed(self, states: UserStates) -> np.ndarray:
        """Horizons of history behind every state, (m,)."""
        times = states.log.arrays.time
        if self._origin is None:
            some = states.stop > states.start
            first = np.where(some, times[np.minimum(states.start, len(times) - 1)], states.time)
        else:
            first = np.full(len(states), self._origin)
        elapsed: np.ndarray = (states.time - first) / max(states.horizon, 1)
        return elapsed

    def _tables(self, states: UserStates) -> tuple[UserTable, PairTable]:
        events, elapsed = visible_events(states), self._elapsed(states)
        return user_table(states, events, elapsed), pair_table(states, events, elapsed)

    def _of_people(self, people: UserTable, unmet: np.ndarray | None) -> tuple[tuple[str, ...], np.ndarray]:
        """Features of states, and what the direction foresees of new items where it counts; float32 (m, F′)."""
        names, values = _chosen(people.values, people.names, self._user_features)
        if unmet is None:
            return names, values
        return (*names, "foreseen"), np.concatenate([values, unmet.astype(np.float32)[:, None]], axis=1)

    def _of_pairs(
        self, states: UserStates, clock: ItemClock, direction: FactorScores, people: UserTable, pairs: PairTable
    ) -> tuple[tuple[str, ...], np.ndarray]:
        """Features of pairs, of their states and of their items; float32 (P, F)."""
        own = self._columns(states)[pairs.columns]
        of_pair = _chosen(pairs.values, pairs.names, self._pair_features)
        of_user = _chosen(people.values, people.names, self._user_features)
        of_item = _chosen(clock.values, clock.names, self._item_features)
        items = np.where((own >= 0)[:, None], of_item[1][own], np.nan).astype(np.float32)
        extra = self._extra(direction, pairs.rows, pairs.columns)
        x = np.concatenate([of_pair[1], of_user[1][pairs.rows], items, extra[1]], axis=1)
        return (*of_pair[0], *of_user[0], *of_item[0], *extra[0]), x

    # -- scoring ----------------------------------------------------------------------------------------------

    def _score(self, states: UserStates) -> FactorScores:
        """Trees of all pairs that have met, at once; the rest stays lazy. O(E + pairs · rounds · depth + m · n · d).

        Trees see every state as if it looked as far ahead as those that they learned from; counts are in proportion.
        """
        open_states = replace(states, exclude_seen=False, horizon=self._horizon)
        level = self._ahead * (states.horizon / self._horizon)
        direction = self._direction(open_states)
        rows, columns, values, scale = [], [], [], np.zeros(len(states))
        for start in range(0, len(states), STATES_AT_ONCE):
            part = np.arange(start, min(start + STATES_AT_ONCE, len(states)))
            some, which = open_states.take(part), direction.take(part)
            people, pairs = self._tables(some)
            met, unmet = _unmet(which, pairs)
            told = unmet if self._direction_counts else None
            new = level * self._new.predict(self._of_people(people, told)[1])
            scale[part] = np.where(unmet > 0.0, new / np.where(unmet > 0.0, unmet, 1.0), 0.0)
            rest = scale[part][pairs.rows] * met
            again = level * self._again.predict(self._of_pairs(some, self._clock, which, people, pairs)[1])
            counts = np.maximum(again, 1e-7 + 1e-5 * rest)
            rows.append(pairs.rows + start)
            columns.append(pairs.columns)
            values.append(counts - rest)
        added = None
        if rows:
            added = sparse.coo_matrix(
                (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=states.shape
            ).tocsr()
        own = direction.row_scale if direction.row_scale is not None else 1.0
        return FactorScores(
            direction.h, direction.w, link=direction.link, row_scale=own * scale, added=added,
            forbidden=states.seen, states=states,
        )  # fmt: skip

    def _weights(self) -> dict[str, np.ndarray]:
        origin = [] if self._origin is None else [self._origin]
        return {
            **self._again.to_arrays("again"),
            **self._new.to_arrays("new"),
            "clock": self._clock.values,
            "origin": np.array(origin, np.int64),
            "horizon": np.array([self._horizon], np.int64),
            "ahead": np.array([self._ahead]),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        if "horizon" not in weights:
            raise ModelError("its trees were grown by an earlier version")
        self._again = CountTrees.from_arrays("again", weights, ())
        self._new = CountTrees.from_arrays("new", weights, ())
        self._clock = ItemClock(ITEM_FEATURES, weights["clock"])
        self._origin = int(weights["origin"][0]) if len(weights["origin"]) else None
        self._horizon, self._ahead = int(weights["horizon"][0]), float(weights["ahead"][0])


class RFMGBDT(PairTrees):
    """Boosted trees on recency, frequency and monetary value of the user and of the user with the item (Appendix A).

    Which new items: by their popularity.

    Parameters
    ----------
    rounds, leaves, learning_rate, smallest_leaf, max_events, seed
        See :class:`PairTrees`.
    """

    _user_features: ClassVar[tuple[str, ...] | None] = ("since", "events/8", "visits/8", "items", "money")
    _pair_features: ClassVar[tuple[str, ...] | None] = ("since", "count", "tenure", "money")
    _item_features: ClassVar[tuple[str, ...] | None] = ("item/8",)

    def __init__(
        self,
        rounds: int = 150,
        leaves: int = LEAVES,
        learning_rate: float = LEARNING_RATE,
        smallest_leaf: int = SMALLEST_LEAF,
        max_events: int = MAX_EVENTS,
        seed: int = 0,
    ) -> None:
        super().__init__(rounds, leaves, learning_rate, smallest_leaf, max_events, seed)
        self._share = np.empty(0)

    @property
    def name(self) -> str:
        return "RFM-GBDT"

    def _fit_direction(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._share = shares(training_counts(split))

    def _direction(self, states: UserStates) -> FactorScores:
        columns = self._columns(states)
        share = np.where(columns >= 0, self._share[columns], 0.0)
        return FactorScores(np.ones((len(states), 1)), share[:, None], states=states)

    def _weights(self) -> dict[str, np.ndarray]:
        return {**super()._weights(), "share": self._share}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        super()._load_weights(weights)
        self._share = weights["share"]


class BoostedCounts(PairTrees):
    """Long histories, rhythm, repeat purchases and calibrated counts in one: trees where a pair has met, a model of
    what is chosen next where it has not.

    Trees see how often the pair met at four decays, how long ago, its own gap between purchases and how far into it
    the state is, how active the state is and how often it takes up new items, how the item sells, and what
    ``direction`` says of the pair (where that folds in, so that it says the same of states that it was trained on).

    Parameters
    ----------
    direction : Model, optional
        Which new items: a preference or a factorisation, for example ``GRU()``; how many, trees say, and of a product,
        ``RIM(GRU(), HawkesPoisson())``, they are told what it foresees. ALS by default.
    rounds, leaves, learning_rate, smallest_leaf, max_events, seed
        See :class:`PairTrees`.
    """

    def __init__(
        self,
        direction: Model | None = None,
        rounds: int = ROUNDS,
        leaves: int = LEAVES,
        learning_rate: float = LEARNING_RATE,
        smallest_leaf: int = SMALLEST_LEAF,
        max_events: int = MAX_EVENTS,
        seed: int = 0,
    ) -> None:
        super().__init__(rounds, leaves, learning_rate, smallest_leaf, max_events, seed)
        self.direction = ALS(seed=seed) if direction is None else direction

    @property
    def name(self) -> str:
        return "BoostedCounts" if isinstance(self.direction, ALS) else f"BoostedCounts ({self.direction.name})"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "direction": self.direction.get_config()}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Model:
        given = arguments.get("direction")
        if given is not None:
            arguments = {**arguments, "direction": Model.from_config(given)}
        return cls(**arguments)

    def _fit_direction(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        part = self.direction
        if not trained_on(part, split):
            folder = None if checkpoint is None else checkpoint / "direction"
            part.fit(split, callback=within(callback, 0.0, 0.5), checkpoint=folder)
        self.fit_info["parts"] = {part.name: part.fit_info}

    def _direction(self, states: UserStates) -> FactorScores:
        scores = self.direction.score(states)
        if not isinstance(scores, FactorScores) or scores.added is not None:
            raise ModelError(f"{self.direction.name} gives no low-rank scores: choose a preference or a factorisation.")
        return scores

    @property
    def _direction_counts(self) -> bool:
        return isinstance(self.direction, RIM)

    def _extra(self, direction: FactorScores, rows: np.ndarray, columns: np.ndarray) -> tuple[list[str], np.ndarray]:
        if not isinstance(self.direction, Factorisation):
            return [], np.empty((len(rows), 0), np.float32)
        return ["direction"], direction.pairs(rows, columns)[:, None]

    def _weights(self) -> dict[str, np.ndarray]:
        return {**super()._weights(), **part_weights("direction", self.direction)}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        super()._load_weights(weights)
        load_part("direction", self.direction, self, weights)


class HorizonCounts(BoostedCounts):
    """What is bought again by trees, what is new by trees that are told what HorizonBlend×HawkesPoisson foresees.

    For logs of either kind. Where what was seen is forbidden it ranks the items of a state as the product does, and
    expects less of a state the more of its preference lies on what it has seen; where people buy again, most of what
    they will buy are pairs that have met, and trees count those better than networks do.

    Parameters
    ----------
    direction, rounds, leaves, learning_rate, smallest_leaf, max_events, seed
        See :class:`BoostedCounts`; the direction is ``RIM(HorizonBlend(), HawkesPoisson())`` by default.
    max_epochs : int
        Of that HorizonBlend; a direction that is given has its own.
    """

    def __init__(
        self,
        direction: Model | None = None,
        rounds: int = ROUNDS,
        leaves: int = LEAVES,
        learning_rate: float = LEARNING_RATE,
        smallest_leaf: int = SMALLEST_LEAF,
        max_events: int = MAX_EVENTS,
        max_epochs: int = 8,
        seed: int = 0,
    ) -> None:
        if direction is None:
            direction = RIM(HorizonBlend(max_epochs=max_epochs, seed=seed), HawkesPoisson())
        super().__init__(direction, rounds, leaves, learning_rate, smallest_leaf, max_events, seed)
        self.max_epochs = max_epochs

    @property
    def name(self) -> str:
        return type(self).__name__


def _chosen(
    values: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    if wanted is None:
        return names, values
    return wanted, values[:, [names.index(w) for w in wanted]]


def _events(states: UserStates) -> int:
    """Events in the histories of these states."""
    return int((states.stop - states.start).sum())


def _unmet(direction: FactorScores, table: PairTable) -> tuple[np.ndarray, np.ndarray]:
    """(the direction's weight on every pair that has met (P,), its sum over all others of every state (m,))."""
    met = direction.pairs(table.rows, table.columns).astype(float)
    whole = direction.row_sums()
    unmet = whole - np.bincount(table.rows, met, len(direction))
    return met, np.where(unmet > LITTLE_UNMET * whole, unmet, 0.0)
