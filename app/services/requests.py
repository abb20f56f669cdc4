"""What a planner asks for: the promises of a plan, as a value that can be compared, kept and sent as a link."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from app.services.rules import NO_RULES, Rules
from app.services.tokens import packed, unpacked
from rim_core.errors import ConstraintError
from rim_core.planning import Constraints, Group
from rim_core.storage import Scenario

SURE = 0.9
"""Confidence that the dashboard offers."""


@dataclass(frozen=True)
class Promise:
    """A promise of its own, for one item or for the items of a group; None leaves the general one in force.

    Attributes
    ----------
    target : str
        Id of the item, or the value that the items of the group share.
    group : str
        Feature that makes the group ("brand"); empty for a single item.
    minimum, maximum : float or None
        Shares in [0, 1]: of the user-states, or of all places (user-states times K) for a group together.
    together : bool
        The items of the group together, instead of each of them.
    """

    target: str
    group: str = ""
    minimum: float | None = None
    maximum: float | None = None
    together: bool = False


@dataclass(frozen=True)
class PlanRequest:
    """What is promised, with whose scores.

    Attributes
    ----------
    model_id : str
    capacity : int
        K, items per user-state.
    min_exposure : float
        β, share of the user-states every item is promised.
    max_exposure : float or None
        β′.
    seed : int
    promises : tuple of Promise
        For items and groups that differ; a single item's goes before its group's.
    confidence : float or None
        Probability with which every minimum should be kept when delivered; None plans without a margin.
    rules : Rules
        Caps, dates, values, costs and pairs.
    """

    model_id: str
    capacity: int
    min_exposure: float = 0.0
    max_exposure: float | None = None
    seed: int = 0
    promises: tuple[Promise, ...] = ()
    confidence: float | None = None
    rules: Rules = NO_RULES

    def __post_init__(self) -> None:
        kept = {
            (p.group, p.target, p.together): p for p in self.promises if p.minimum is not None or p.maximum is not None
        }
        object.__setattr__(self, "promises", tuple(kept[k] for k in sorted(kept)))

    @property
    def key(self) -> str:
        """Equal requests have equal keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def bounds_maximum(self) -> bool:
        """Whether any maximum is promised."""
        single = any(p.maximum is not None for p in self.promises if not p.together)
        return self.max_exposure is not None or single

    @property
    def promises_something(self) -> bool:
        """Whether anything beside the capacity is promised."""
        return self.min_exposure > 0 or self.bounds_maximum or bool(self.promises)

    def describe(self) -> str:
        """In words: "K 10, at least 0.50 %"."""
        least = f", at least {100 * self.min_exposure:.2f} %" if self.min_exposure else ""
        most = "" if self.max_exposure is None else f", at most {100 * self.max_exposure:.0f} %"
        own = f", {len(self.promises)} of their own" if self.promises else ""
        sure = "" if self.confidence is None else f", {100 * self.confidence:.0f} % sure"
        rules = f", {self.rules.describe()}" if self.rules else ""
        return f"K {self.capacity}{least}{most}{own}{sure}{rules}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` reads it back."""
        return asdict(self)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> PlanRequest:
        """Inverse of :meth:`to_dict`.

        Raises
        ------
        ConstraintError
            It is no request.
        """
        try:
            known = {f.name for f in fields(PlanRequest)} - {"promises", "rules"}
            values = {k: v for k, v in found.items() if k in known}
            promises = tuple(Promise(**p) for p in found.get("promises", ()))
            rules = Rules.from_dict(found.get("rules") or {})
            request = PlanRequest(**{**values, "promises": promises, "rules": rules})
            request.check()
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConstraintError("This is no description of a plan: copy the link again.") from error
        return request

    def check(self) -> None:
        """ValueError or TypeError when a number is none or out of its range."""
        if not str(self.model_id).isalnum() or not 1 <= int(self.capacity) <= 1_000_000:
            raise ValueError("capacity")
        shares = [self.min_exposure, self.max_exposure, self.confidence]
        shares += [b for p in self.promises for b in (p.minimum, p.maximum)]
        if not all(s is None or 0.0 <= float(s) <= 1.0 for s in shares):
            raise ValueError("share")

    def token(self) -> str:
        """Everything in it as text that fits into an address."""
        return packed(asdict(self))

    @staticmethod
    def from_token(token: str) -> PlanRequest:
        """Inverse of :meth:`token`.

        Raises
        ------
        ConstraintError
            The link was cut off or changed.
        """
        try:
            return PlanRequest.from_dict(unpacked(token))
        except (ValueError, AttributeError) as error:
            raise ConstraintError("This link does not describe a plan; it may be cut off: copy it again.") from error

    @staticmethod
    def of(scenario: Scenario, items: Iterable[str] | None = None) -> PlanRequest | None:
        """The request a saved plan came from; None when it makes promises that this dashboard cannot show.

        Parameters
        ----------
        items : iterable of str, optional
            Ids in column order, for plans whose bounds are lists.
        """
        stored = scenario.metrics.get("promises", {}).get("request")
        if stored is not None:
            return PlanRequest.from_dict(stored)
        found = dict(scenario.constraints)
        capacity, least, most = (found.pop(k, None) for k in ("capacity", "min_exposure", "max_exposure"))
        if found or not isinstance(capacity, int | float) or scenario.method != "dual":
            return None
        ids = list(items) if items is not None else []
        if any(isinstance(v, list) and len(v) != len(ids) for v in (least, most)):
            return None
        least, single_least = _general(least)
        most, single_most = _general(most)
        promises = [
            Promise(ids[y], minimum=single_least.get(y), maximum=single_most.get(y))
            for y in sorted({*single_least, *single_most})
        ]
        return PlanRequest(scenario.model_id, int(capacity), least or 0.0, most, scenario.seed, tuple(promises))


def _general(bound: Any) -> tuple[float | None, dict[int, float]]:
    """The bound most items have, and the others by column."""
    if not isinstance(bound, list):
        return bound, {}
    values, counts = np.unique(bound, return_counts=True)
    general = float(values[np.argmax(counts)])
    return general, {y: float(v) for y, v in enumerate(bound) if v != general}


def constraints(request: PlanRequest, catalogue: pd.DataFrame) -> Constraints:
    """The promises as the planner takes them; those about other items than these are passed over (:func:`known`).

    Parameters
    ----------
    catalogue : DataFrame
        Features of the items, indexed by id, in column order.

    Raises
    ------
    ConstraintError
        Names every minimum above its maximum, and rules that contradict each other.
    """
    request = known(request, catalogue)
    problems = request.rules.problems()
    if problems:
        raise ConstraintError(problems)
    least: float | np.ndarray | None = request.min_exposure or None
    most: float | np.ndarray | None = request.max_exposure
    if request.promises:
        low, high = _spread(request, catalogue)
        if any(not p.together for p in request.promises):
            least = low if low.any() else None
            most = high if request.bounds_maximum else None
    groups = [
        Group(f"{p.group} {p.target}", where={p.group: p.target}, min_exposure=p.minimum, max_exposure=p.maximum)
        for p in request.promises
        if p.together
    ]
    return Constraints(
        capacity=request.capacity, min_exposure=least, max_exposure=most, groups=groups, **request.rules.keywords()
    )


def _spread(request: PlanRequest, catalogue: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum share of every item, (n,) each."""
    low = np.full(len(catalogue), request.min_exposure)
    high = np.full(len(catalogue), 1.0 if request.max_exposure is None else request.max_exposure)
    for promise in sorted(request.promises, key=lambda p: p.group == ""):  # single items last: theirs counts
        columns = members(promise, catalogue)
        if promise.together:
            continue
        if promise.minimum is not None:
            low[columns] = promise.minimum
        if promise.maximum is not None:
            high[columns] = promise.maximum
    crossed = np.flatnonzero(low > high)
    problems = [
        f"Item {catalogue.index[y]} is promised at least {100 * low[y]:.4g} % and at most {100 * high[y]:.4g} %: "
        "lower the one or raise the other."
        for y in crossed[:5]
    ]
    if problems:
        raise ConstraintError(problems)
    return low, high


def members(promise: Promise, catalogue: pd.DataFrame) -> np.ndarray:
    """Columns of the items that a promise is about."""
    if not promise.group:
        column: np.ndarray = catalogue.index.get_indexer([promise.target])
        return column[column >= 0]
    if promise.group not in catalogue:
        return np.empty(0, np.int64)
    return np.flatnonzero(catalogue[promise.group].astype(str).to_numpy() == promise.target)


def known(request: PlanRequest, catalogue: pd.DataFrame) -> PlanRequest:
    """The request without the promises and rules that are about none of these items.

    Another model, or another version of the data, may know other items: what is about those rests, and counts again
    with a model that knows them.
    """
    promises = tuple(p for p in request.promises if len(members(p, catalogue)))
    return replace(request, promises=promises, rules=request.rules.known(catalogue))


def resting(request: PlanRequest, catalogue: pd.DataFrame) -> list[str]:
    """What those promises and rules are about: ids of items, and groups ("brand Private")."""
    kept = known(request, catalogue)
    promises = {f"{p.group} {p.target}".strip() for p in set(request.promises) - set(kept.promises)}
    rules = {r.item for r in request.rules.items} | {p.item for p in request.rules.pairs}
    return sorted(promises | (rules - set(catalogue.index)))


@dataclass(frozen=True)
class PlanSize:
    """How much there is to plan: m user-states of the calibration windows, n items."""

    states: int
    items: int

    @property
    def usual_capacity(self) -> int:
        """K to begin with."""
        return min(10, self.items)

    def capacity_end(self, wanted: int) -> int:
        """Upper end of the slider for K: a hundred, or what is ``wanted``; never more than there are items."""
        return min(max(100, wanted), self.items)

    def promised(self, share: float) -> int:
        """User-states that a promised share comes to."""
        return int(np.ceil(share * self.states - 1e-9))

    def fitting_exposure(self, capacity: int) -> float:
        """The largest minimum exposure for all items that the places allow."""
        return (self.states * capacity // self.items) / self.states

    def said_exposure(self, capacity: int) -> float:
        """The same to two digits, rounded down: whoever sets what is said finds that it fits."""
        most = self.fitting_exposure(capacity)
        unit = 10.0 ** (np.floor(np.log10(most)) - 1) if most else 1.0
        return float(round(np.floor(most / unit + 1e-9) * unit, 9))

    def slider_end(self, capacity: int) -> float:
        """Upper end of the slider for the minimum exposure, in percent: a little beyond what fits."""
        return float(min(100.0, max(1.0, np.ceil(240 * capacity / self.items) / 2)))

    def half_of_places(self, capacity: int) -> float:
        """A minimum exposure to begin with, in percent: about half of what fits, as a round number."""
        half = 50 * self.fitting_exposure(capacity)
        return 0.0 if half <= 0 else float(round(half, -int(np.floor(np.log10(half)))))
