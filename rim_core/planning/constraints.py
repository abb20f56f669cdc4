"""What is promised: capacity of the user-states, minimum and maximum exposure of the items."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from rim_core.errors import ConstraintError

PerItem = float | np.ndarray | list[float] | None
UNBOUNDED = np.iinfo(np.int64).max // 4


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


@dataclass(frozen=True, eq=False)
class Constraints:
    """Promises of a plan (eq. 10), checked all at once.

    Parameters
    ----------
    capacity : int or array (m,)
        K, items per user-state. Dual variable u_x ≥ 0: Σ_y π_xy ≤ K_x.
    min_exposure, max_exposure : float or array (n,), optional
        β and β′, shares of the user-states in [0, 1]. Dual variable v_y ≤ 0 for Σ_x π_xy ≥ β·m,
        v_y ≥ 0 for Σ_x π_xy ≤ β′·m.
    min_exposure_count, max_exposure_count : int or array (n,), optional
        The same in user-states.

    Raises
    ------
    ConstraintError
        Names every violation at once.
    """

    capacity: int | np.ndarray | list[int] = 10
    min_exposure: PerItem = None
    max_exposure: PerItem = None
    min_exposure_count: PerItem = None
    max_exposure_count: PerItem = None

    def __post_init__(self) -> None:
        problems: list[str] = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None:
                continue
            array = _numbers(value)
            if array is None or array.ndim > 1 or array.size == 0:
                problems.append(f"{spec.name} must be a number or a list of numbers; got {value!r}.")
                continue
            if not np.isfinite(array).all() or (array < 0).any():
                problems.append(f"{spec.name} must be finite and not negative; got {_worst(array)}.")
            elif spec.name in ("min_exposure", "max_exposure"):
                if (array > 1).any():
                    problems.append(
                        f"{spec.name} is a share of the user-states and cannot exceed 1; got {array.max():g}. "
                        f"Use {spec.name}_count for a number of user-states."
                    )
            elif (array != np.round(array)).any():
                problems.append(f"{spec.name} counts whole things; got {array[array != np.round(array)].flat[0]:g}.")
            if array.ndim == 1:
                array.setflags(write=False)
                object.__setattr__(self, spec.name, array)
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

    def bounds(self, m: int, n: int, *, crossing: bool = False) -> Bounds:
        """The promises in whole user-states.

        Parameters
        ----------
        m, n : int
            User-states and items.
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
        capacity = np.minimum(self._spread("capacity", m, "user-state", problems), n).astype(np.int64)
        minimum, maximum = np.zeros(n, np.int64), np.full(n, m, np.int64)
        if self.min_exposure is not None:
            share = self._spread("min_exposure", n, "item", problems)
            minimum = np.ceil(share * m - 1e-9).astype(np.int64)
        if self.min_exposure_count is not None:
            minimum = self._spread("min_exposure_count", n, "item", problems).astype(np.int64)
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
        return {
            k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v
            for k, v in asdict(self).items()
            if v is not None
        }

    def _spread(self, name: str, size: int, per: str, problems: list[str]) -> np.ndarray:
        value = np.asarray(getattr(self, name), float)
        if value.ndim and value.size != size:
            problems.append(f"{name} lists {value.size} numbers for {size} {per}s: give one number or one per {per}.")
            return np.zeros(size)
        return np.broadcast_to(value, (size,))


def _numbers(value: Any) -> np.ndarray | None:
    try:
        return np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None


def _worst(array: np.ndarray) -> str:
    bad = array[~np.isfinite(array) | (array < 0)]
    return f"{bad.flat[0]:g}"
