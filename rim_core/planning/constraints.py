"""What is promised: capacity of users and user-states, exposure of items and groups, pairs, values and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from rim_core.errors import ConstraintError
from rim_core.planning.groups import Budget, Group, as_numbers, is_amount

PerItem = float | np.ndarray | list[float] | None


@dataclass(frozen=True, eq=False)
class Bounds:
    """Promises as whole user-states on m states and n items.

    Attributes
    ----------
    capacity : ndarray of int64 (m,)
        K: items each user-state gets at most → user price u ≥ 0.
    minimum : ndarray of int64 (n,)
        L = ⌈β·m − 1e-9⌉ → item boost b = −v ≥ 0.
    maximum : ndarray of int64 (n,)
        U = ⌊β′·m + 1e-9⌋, at most m → item price v ≥ 0.
    """

    capacity: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray


Who = str | int
Pairs: TypeAlias = Sequence[tuple[Who, str | int]] | sparse.spmatrix | None
"""(who, item): who is a user id (all states of the user) or a row; an item is an id or a column."""

COUNTED = ("capacity", "min_exposure", "max_exposure", "min_exposure_count", "max_exposure_count")


@dataclass(frozen=True, eq=False)
class Constraints:
    """Promises of a plan (eq. 10), checked all at once.

    With b_y = −v_y the price of an item, g of a group, t of a budget and w of a user's cap, scores compete as
    λ_xy + e_y, e_y = b_y + Σ_{G ∋ y} g_G − Σ_B t_B·c_y, and the dual is

        D = Σ_users max{Σ (λ + e)π : K, C} − Σ L·b⁺ + Σ U·b⁻ − Σ L_G·g⁺ + Σ U_G·g⁻ + Σ B·t.

    Parameters
    ----------
    capacity : int, array (m,) or mapping
        K, items per user-state. Dual variable u_x ≥ 0: Σ_y π_xy ≤ K_x. A mapping gives it by segment; what is not
        named there has the capacity of "*".
    min_exposure, max_exposure : float or array (n,), optional
        β and β′, shares of the user-states in [0, 1]. Dual variable v_y ≤ 0 for Σ_x π_xy ≥ β·m,
        v_y ≥ 0 for Σ_x π_xy ≤ β′·m.
    min_exposure_count, max_exposure_count : int or array (n,), optional
        The same in user-states.
    segment : str, optional
        Column of the users' features that a capacity by segment refers to.
    groups : sequence of Group, optional
        Minimum and maximum of several items together; dual variable g_G (see :class:`Group`). Groups that are nested
        or apart are kept exactly, of those that overlap the residual is reported.
    min_total, max_total : int, optional
        Bounds on everything delivered: the group of all items.
    max_per_user : int, optional
        C, items per user over all her states. Dual variable w ≥ 0 of every user: Σ_{x of the user} Σ_y π_xy ≤ C;
        u_x ≥ w. Online the cap is counted for every user. A planned user's w is a price of her states there as well;
        users not planned on are charged the median w of those who are. A user's last state is not: nothing is kept
        for a visit that does not come.
    starts, ends : mapping of item to time, optional
        A state may get the item if its time is at or after the start and before the end. No dual variable: π_xy = 0.
    forced : pairs, optional
        (who, item) that have to be delivered: π_xy = 1, taken out of every bound; of a user, at her first state that
        may have the item. No dual variable.
    forbidden, contacted : pairs, optional
        (who, item) that may not be delivered (again): π_xy = 0.
    eligible : mapping of item to sequence of who, optional
        The item may go to these only: π_xy = 0 for all others.
    value : float, array (n,) or mapping of item to number, optional
        Worth of an interaction: scores become value_y · λ_xy, in its unit (margin, for example).
    pair_value : sequence of (who, item, value) or sparse matrix, optional
        The same for single pairs, instead of the item's.
    budgets : sequence of Budget, optional
        Σ costs ≤ limit; dual variable t ≥ 0 (see :class:`Budget`). The residual is reported.

    Rows given as whole numbers are rows of the planned scores; other states are known by their users.

    Raises
    ------
    ConstraintError
        Names every violation at once.
    """

    capacity: int | np.ndarray | list[int] | Mapping[str, int] = 10
    min_exposure: PerItem = None
    max_exposure: PerItem = None
    min_exposure_count: PerItem = None
    max_exposure_count: PerItem = None
    segment: str | None = field(default=None, kw_only=True)
    groups: Sequence[Group | Mapping[str, Any]] = field(default=(), kw_only=True)
    min_total: int | None = field(default=None, kw_only=True)
    max_total: int | None = field(default=None, kw_only=True)
    max_per_user: int | None = field(default=None, kw_only=True)
    starts: Mapping[str, Any] | None = field(default=None, kw_only=True)
    ends: Mapping[str, Any] | None = field(default=None, kw_only=True)
    forced: Pairs = field(default=None, kw_only=True)
    forbidden: Pairs = field(default=None, kw_only=True)
    contacted: Pairs = field(default=None, kw_only=True)
    eligible: Mapping[str, Sequence[Who]] | None = field(default=None, kw_only=True)
    value: float | np.ndarray | list[float] | Mapping[str, float] | None = field(default=None, kw_only=True)
    pair_value: Sequence[tuple[Who, str | int, float]] | sparse.spmatrix | None = field(default=None, kw_only=True)
    budgets: Sequence[Budget | Mapping[str, Any]] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name in COUNTED:
            value = getattr(self, name)
            if name == "capacity" and isinstance(value, Mapping):
                problems += self._segments(value)
                continue
            if value is None and name != "capacity":
                continue
            array = as_numbers(value)
            if array is None or array.ndim > 1 or array.size == 0:
                problems.append(f"{name} must be a number or a list of numbers; got {value!r}.")
                continue
            if not np.isfinite(array).all() or (array < 0).any():
                problems.append(f"{name} must be finite and not negative; got {_worst(array)}.")
            elif name in ("min_exposure", "max_exposure"):
                if (array > 1).any():
                    problems.append(
                        f"{name} is a share of the user-states and cannot exceed 1; got {array.max():g}. "
                        f"Use {name}_count for a number of user-states."
                    )
            elif (array != np.round(array)).any():
                problems.append(f"{name} counts whole things; got {array[array != np.round(array)].flat[0]:g}.")
            if array.ndim == 1:
                array.setflags(write=False)
                object.__setattr__(self, name, array)
        problems += self._kept_in_form()
        problems += [
            f"Give {side}_exposure or {side}_exposure_count, not both."
            for side in ("min", "max")
            if getattr(self, f"{side}_exposure") is not None and getattr(self, f"{side}_exposure_count") is not None
        ]
        if not problems:
            problems += self._crossed()
        if problems:
            raise ConstraintError(problems)

    def _crossed(self) -> list[str]:
        problems = []
        for suffix in ("", "_count"):
            low, high = getattr(self, f"min_exposure{suffix}"), getattr(self, f"max_exposure{suffix}")
            if low is None or high is None:
                continue
            low, high = np.asarray(low), np.asarray(high)
            if low.ndim and high.ndim and low.shape != high.shape:
                problems.append(f"The minimum is given for {low.size} items and the maximum for {high.size}.")
            elif (low > high).any():
                problems.append("The minimum exposure of some item is above its maximum: lower one or raise the other.")
        return problems

    def bounds(self, m: int, n: int, *, crossing: bool = False, capacity: np.ndarray | None = None) -> Bounds:
        """The promises in whole user-states.

        Parameters
        ----------
        m, n : int
            User-states and items.
        capacity : ndarray (m,), optional
            Capacity of these very states where it is known by segment (otherwise the largest stands for all).
        crossing : bool
            Let a minimum be above a maximum, as rounding makes it on a few states: those that arrive one at a time
            are decided by prices, nothing is planned on them.

        Raises
        ------
        ConstraintError
            A list does not have one entry per user-state or item, or a minimum is above a maximum after
            rounding to whole states.
        """
        problems: list[str] = []
        if capacity is None and isinstance(self.capacity, Mapping):
            capacity = np.full(m, max(self.capacity.values()))
        elif capacity is None:
            capacity = self._spread("capacity", m, "user-state", problems)
        capacity = np.minimum(capacity, n).astype(np.int64)
        minimum, maximum = np.zeros(n, np.int64), np.full(n, m, np.int64)
        if self.min_exposure is not None:
            share = self._spread("min_exposure", n, "item", problems)
            minimum = np.ceil(share * m - 1e-9).astype(np.int64)
        if self.min_exposure_count is not None:
            minimum = np.minimum(self._spread("min_exposure_count", n, "item", problems), 2.0**53).astype(np.int64)
        if self.max_exposure is not None:
            share = self._spread("max_exposure", n, "item", problems)
            maximum = np.floor(share * m + 1e-9).astype(np.int64)
        if self.max_exposure_count is not None:
            maximum = np.minimum(self._spread("max_exposure_count", n, "item", problems), m).astype(np.int64)
        if not (problems or crossing) and (minimum > maximum).any():
            worst = int(np.argmax(minimum - maximum))
            problems.append(
                f"In whole user-states, the item in column {worst} has a minimum of {minimum[worst]} and a maximum of "
                f"{maximum[worst]} of {m}: lower the minimum or raise the maximum."
            )
        if problems:
            raise ConstraintError(problems)
        return Bounds(capacity, minimum, maximum)

    @property
    def bounds_minimum(self) -> bool:
        """Whether any minimum is promised."""
        return any(v is not None and np.any(np.asarray(v) > 0) for v in (self.min_exposure, self.min_exposure_count))

    @property
    def bounds_maximum(self) -> bool:
        """Whether any maximum is promised."""
        return self.max_exposure is not None or self.max_exposure_count is not None

    def planned(self, bounds: Bounds) -> float:
        """Deliveries the task asks for: Σ U under maximum promises only, otherwise K·m."""
        if self.bounds_maximum and not self.bounds_minimum:
            return float(min(bounds.maximum.sum(), bounds.capacity.sum()))
        return float(bounds.capacity.sum())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; ``Constraints(**d)`` is the same promise."""
        out: dict[str, Any] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None or (isinstance(value, tuple) and not value):
                continue
            if spec.name in ("groups", "budgets"):
                out[spec.name] = [part.to_dict() for part in value]
            elif isinstance(value, np.ndarray | np.generic):
                out[spec.name] = value.tolist()
            elif isinstance(value, tuple):
                out[spec.name] = [list(entry) for entry in value]
            else:
                out[spec.name] = dict(value) if isinstance(value, Mapping) else value
        return out

    # -- checks ---------------------------------------------------------------------------------------------------

    def _segments(self, capacity: Mapping[str, int]) -> list[str]:
        problems = []
        numbers = as_numbers(list(capacity.values()))
        if numbers is None or not numbers.size or not np.isfinite(numbers).all() or (numbers < 0).any():
            problems.append(
                f"capacity by segment must name whole numbers that are not negative; got {dict(capacity)!r}."
            )
        elif (numbers != np.round(numbers)).any():
            problems.append(f"capacity counts whole things; got {numbers[numbers != np.round(numbers)].flat[0]:g}.")
        if self.segment is None:
            problems.append("capacity is given by segment: say with segment= which feature of the users names them.")
        object.__setattr__(self, "capacity", {str(k): v for k, v in capacity.items()})
        return problems

    def _kept_in_form(self) -> list[str]:
        """Bring everything that is no plain number into one form: tuples, JSON-able; say what is wrong with it."""
        problems: list[str] = []
        for name, kind in (("groups", Group), ("budgets", Budget)):
            made: list[Any] = []
            for part in getattr(self, name) or ():
                try:
                    made.append(part if isinstance(part, kind) else kind(**part))
                except ConstraintError as error:
                    problems += error.problems
                except TypeError as error:
                    problems.append(f"{name} holds {part!r}, which is none: {error}.")
            object.__setattr__(self, name, tuple(made))
        names = [part.name for part in (*self.groups, *self.budgets)]  # type: ignore[union-attr]
        problems += [
            f"Two groups or budgets are called {n!r}." for n in sorted({n for n in names if names.count(n) > 1})
        ]
        for name in ("min_total", "max_total", "max_per_user"):
            number = getattr(self, name)
            if number is not None and (not is_amount(number) or number != round(number)):
                problems.append(f"{name} must be a whole number that is not negative; got {number!r}.")
        totals = (self.min_total, self.max_total)
        if all(map(is_amount, totals)) and self.min_total > self.max_total:  # type: ignore[operator]
            problems.append("min_total is above max_total: lower one or raise the other.")
        for name in ("forced", "forbidden", "contacted"):
            problems += self._pairs(name, 2)
        problems += self._pairs("pair_value", 3)
        for name in ("starts", "ends"):
            moments = getattr(self, name)
            if moments is not None:
                object.__setattr__(self, name, _times(name, moments, problems))
        if self.eligible is not None:
            kept = {str(k): [_plain(w, "eligible", problems) for w in who] for k, who in self.eligible.items()}
            object.__setattr__(self, "eligible", kept)
        problems += self._values()
        return problems

    def _pairs(self, name: str, length: int) -> list[str]:
        given, problems = getattr(self, name), []  # type: Any, list[str]
        if given is None:
            return problems
        if sparse.issparse(given):
            entries = sparse.coo_matrix(given, copy=True)
            if length == 2:
                entries.eliminate_zeros()
            columns = (entries.row.tolist(), entries.col.tolist(), entries.data.tolist())
            given = list(zip(*columns[:length], strict=True))
        kept = tuple(tuple(_plain(part, name, problems) for part in entry) for entry in given)
        object.__setattr__(self, name, kept)
        wrong = [entry for entry in kept if len(entry) != length]
        if wrong:
            problems.append(
                f"{name} lists {length} things each (who, item{', value' * (length == 3)}); got {wrong[0]!r}."
            )
        return problems

    def _values(self) -> list[str]:
        problems = []
        if self.value is not None:
            if isinstance(self.value, Mapping):
                array = as_numbers(list(self.value.values()))
                if array is not None:
                    object.__setattr__(self, "value", {str(k): float(v) for k, v in self.value.items()})
            else:
                array = as_numbers(self.value)
                if array is not None and array.ndim == 1:
                    array.setflags(write=False)
                    object.__setattr__(self, "value", array)
            if array is None or array.ndim > 1 or not np.isfinite(array).all() or (array < 0).any():
                problems.append("value must be finite and not negative, one number or one per item.")
        weights = as_numbers([entry[2] for entry in self.pair_value or () if len(entry) == 3])
        if weights is None or not np.isfinite(weights).all() or (weights < 0).any():
            worst = "text" if weights is None else _worst(weights)
            problems.append(f"pair_value must be finite and not negative; got {worst}.")
        return problems

    def _spread(self, name: str, size: int, per: str, problems: list[str]) -> np.ndarray:
        value = np.asarray(getattr(self, name), float)
        if value.ndim and value.size != size:
            problems.append(f"{name} lists {value.size} numbers for {size} {per}s: give one number or one per {per}.")
            return np.zeros(size)
        return np.broadcast_to(value, (size,))


def _worst(array: np.ndarray) -> str:
    bad = array[~np.isfinite(array) | (array < 0)]
    return f"{bad.flat[0]:g}"


def _plain(value: Any, name: str, problems: list[str]) -> Any:
    """A user, item, row, column or number as JSON knows it."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    number = as_numbers(value)
    if number is None or number.ndim:
        problems.append(f"{name} names users and items by text or whole numbers; got {value!r}.")
        return repr(value)
    return float(number)


def _times(name: str, moments: Mapping[str, Any], problems: list[str]) -> dict[str, str]:
    """Times in UTC, ISO form."""
    out = {}
    for item, moment in moments.items():
        try:
            time = pd.Timestamp(moment)
        except (TypeError, ValueError):
            time = pd.NaT
        if time is pd.NaT:  # what is empty is no time either
            problems.append(f"{name} of item {item!r} is no time: {moment!r}. Write 2024-03-01 or 2024-03-01T09:00.")
            continue
        out[str(item)] = (time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")).isoformat()
    return out
