"""Promises over several items at once: groups (brand, category, launch cohort, everything) and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from rim_core.errors import ConstraintError


def as_numbers(value: Any) -> np.ndarray | None:
    """Float64 array of what is given; None where something in it is no number (text is none)."""
    try:
        array = np.asarray(value)
        return None if array.dtype.kind in "USMm" else np.array(array, dtype=float)
    except (TypeError, ValueError):
        return None


def is_amount(value: Any) -> bool:
    """Whether it is one number, finite and not negative."""
    array = as_numbers(value)
    return array is not None and array.ndim == 0 and bool(np.isfinite(array)) and bool(array >= 0)


@dataclass(frozen=True)
class Group:
    """Minimum and maximum exposure of a set of items together.

    With price g_G of the group, what an item's scores are raised by is b_y + Σ_{G ∋ y} g_G, and the dual gains

        − L_G·g_G⁺ + U_G·g_G⁻        for        L_G ≤ Σ_{y ∈ G} Σ_x π_xy ≤ U_G.

    Parameters
    ----------
    name : str
    items : sequence, optional
        Item ids, or columns as whole numbers. All items where neither this nor ``where`` is given.
    where : mapping, optional
        Column of the item catalogue to the value (or list of values) it must have: ``{"category": "BEER"}``.
    min_exposure, max_exposure : float, optional
        Shares, in [0, 1], of all places there are (the sum of the capacities).
    min_count, max_count : int, optional
        The same in exposures.
    """

    name: str
    items: tuple[str | int, ...] | None = None
    where: Mapping[str, Any] | None = None
    min_exposure: float | None = None
    max_exposure: float | None = None
    min_count: int | None = None
    max_count: int | None = None

    def __post_init__(self) -> None:
        if self.items is not None:
            object.__setattr__(self, "items", tuple(i if isinstance(i, str) else int(i) for i in self.items))
        if self.where is not None:
            object.__setattr__(self, "where", dict(self.where))
        problems = self.problems()
        if problems:
            raise ConstraintError(problems)

    def problems(self) -> list[str]:
        """Everything that is wrong with it."""
        found = []
        if self.items is not None and self.where is not None:
            found.append(f"Group {self.name!r} names its items and a feature: give one of them.")
        for name, top in (("min_exposure", 1.0), ("max_exposure", 1.0), ("min_count", None), ("max_count", None)):
            value = getattr(self, name)
            if value is None:
                continue
            if not is_amount(value) or (top is not None and value > top):
                what = "a share in [0, 1]" if top else "a number that is finite and not negative"
                found.append(f"{name} of group {self.name!r} must be {what}; got {value!r}.")
            elif top is None and value != round(value):
                found.append(f"{name} of group {self.name!r} counts whole exposures; got {value:g}.")
        if found:
            return found
        found += [
            f"Give {side}_exposure or {side}_count of group {self.name!r}, not both."
            for side in ("min", "max")
            if getattr(self, f"{side}_exposure") is not None and getattr(self, f"{side}_count") is not None
        ]
        pairs = [(getattr(self, f"min_{kind}"), getattr(self, f"max_{kind}")) for kind in ("exposure", "count")]
        if any(low is not None and high is not None and low > high for low, high in pairs):
            found.append(f"The minimum of group {self.name!r} is above its maximum: lower one or raise the other.")
        if all(getattr(self, f"{side}_{kind}") is None for side in ("min", "max") for kind in ("exposure", "count")):
            found.append(f"Group {self.name!r} promises nothing: give it a minimum or a maximum.")
        return found

    def members(self, item_ids: pd.Index, catalogue: pd.DataFrame | None, problems: list[str]) -> np.ndarray:
        """Columns of its items, int64, ascending."""
        if self.where is not None:
            if catalogue is None:
                problems.append(f"Group {self.name!r} is named by a feature, but these scores know no item catalogue.")
                return np.empty(0, np.int64)
            keep = np.ones(len(item_ids), bool)
            for column, wanted in self.where.items():
                if column not in catalogue:
                    known = ", ".join(map(str, catalogue.columns))
                    problems.append(f"Items have no {column!r} to name group {self.name!r} by: there are {known}.")
                    return np.empty(0, np.int64)
                values = wanted if isinstance(wanted, list | tuple | set) else [wanted]
                keep &= catalogue[column].reindex(item_ids).astype(str).isin([str(v) for v in values]).to_numpy()
            found = np.flatnonzero(keep)
        elif self.items is None:
            return np.arange(len(item_ids))
        else:
            found = np.unique(columns_of(self.items, item_ids, f"group {self.name!r}", problems))
        if not len(found) and not problems:
            problems.append(f"No item in play lies in group {self.name!r}.")
        return found

    def limits(self, places: int, problems: list[str]) -> tuple[int, int | None]:
        """(L, U) in exposures; U is None where nothing limits it."""
        low, high = self.min_count or 0, self.max_count
        if self.min_exposure is not None:
            low = int(np.ceil(self.min_exposure * places - 1e-9))
        if self.max_exposure is not None:
            high = int(np.floor(self.max_exposure * places + 1e-9))
        if high is not None and low > high:
            problems.append(f"In whole exposures, group {self.name!r} has a minimum of {low} and a maximum of {high}.")
        return int(low), None if high is None else int(high)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; ``Group(**d)`` is the same."""
        return {k: _jsonable(v) for k, v in asdict(self).items() if v is not None}


@dataclass(frozen=True)
class Budget:
    """Σ costs ≤ B over everything delivered.

    Its price t ≥ 0 is in interactions a unit of cost: scores become λ − t·c_y, and the dual gains

        B·t        for        Σ_y c_y Σ_x π_xy ≤ B.

    Parameters
    ----------
    limit : float
        B.
    costs : float, sequence (n,) or mapping
        c: one number, one per item, or item id to cost (others cost nothing).
    name : str
    """

    limit: float
    costs: float | tuple[float, ...] | Mapping[str, float] = 1.0
    name: str = "budget"

    def __post_init__(self) -> None:
        problems = []
        if not is_amount(self.limit):
            problems.append(
                f"The limit of {self.name!r} must be a number that is finite and not negative; got {self.limit!r}."
            )
        values = as_numbers(list(self.costs.values()) if isinstance(self.costs, Mapping) else self.costs)
        if values is None or values.ndim > 1 or not np.isfinite(values).all() or (values < 0).any():
            problems.append(f"Costs of {self.name!r} must be finite and not negative, one number or one per item.")
        if problems or values is None:
            raise ConstraintError(problems)
        if isinstance(self.costs, Mapping):
            object.__setattr__(self, "costs", {str(k): float(v) for k, v in self.costs.items()})
        else:
            object.__setattr__(self, "costs", tuple(values.tolist()) if values.ndim else float(values))

    def per_item(self, item_ids: pd.Index, problems: list[str]) -> np.ndarray:
        """c of every item, float64 (n,)."""
        if isinstance(self.costs, Mapping):
            out = np.zeros(len(item_ids))
            columns = columns_of(list(self.costs), item_ids, self.name, problems)
            if len(columns) == len(self.costs):
                out[columns] = list(self.costs.values())
            return out
        costs = np.asarray(self.costs, float)
        if costs.ndim and len(costs) != len(item_ids):
            problems.append(f"Costs of {self.name!r} list {len(costs)} numbers for {len(item_ids)} items.")
            return np.zeros(len(item_ids))
        return np.broadcast_to(costs, (len(item_ids),)).astype(float)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; ``Budget(**d)`` is the same."""
        costs = list(self.costs) if isinstance(self.costs, tuple) else self.costs
        return {"limit": float(self.limit), "costs": costs, "name": self.name}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_jsonable(v) for v in value), key=str)
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def columns_of(names: Sequence[str | int], item_ids: pd.Index, what: str, problems: list[str]) -> np.ndarray:
    """Columns of item ids (text) or columns (whole numbers), int64, in the order given."""
    texts = [i for i in names if isinstance(i, str)]
    columns = np.array([-1 if isinstance(i, str) else int(i) for i in names], np.int64)
    if texts:
        columns[[isinstance(i, str) for i in names]] = pd.Index(item_ids.astype(str)).get_indexer(texts)
    unknown = [str(names[i]) for i in np.flatnonzero((columns < 0) | (columns >= len(item_ids))).tolist()]
    if unknown:
        problems.append(f"Items in {what} are not in play: {', '.join(unknown[:5])}{' …' if unknown[5:] else ''}.")
        return columns[(columns >= 0) & (columns < len(item_ids))]
    return columns
