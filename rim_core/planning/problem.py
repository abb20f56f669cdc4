"""The promises on given states and items: what the planner, the linear program and the online rule work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from rim_core.errors import ConstraintError
from rim_core.planning.candidates import NO_CAP, Contacts
from rim_core.planning.flow import Tree
from rim_core.planning.groups import Budget, Group, columns_of
from rim_core.planning.restricted import RestrictedScores, Restriction, pair_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_core.planning.constraints import Bounds, Constraints
    from rim_core.scores import Scores


@dataclass(frozen=True, eq=False)
class Row:
    """A promise over several items: lower ≤ Σ_y c_y · exposure_y ≤ upper.

    Attributes
    ----------
    name : str
    kind : {"group", "budget"}
    weight : ndarray of float64 (n,)
        c: 1 for the members of a group, costs for a budget.
    lower, upper : float
        ``upper`` is infinite where nothing limits it.
    exact : bool
        Nested: the flow keeps it. Otherwise its residual is reported.
    """

    name: str
    kind: str
    weight: np.ndarray
    lower: float
    upper: float
    exact: bool


@dataclass(frozen=True, eq=False)
class Problem:
    """Constraints resolved on m user-states and n items.

    Attributes
    ----------
    scores : Scores
        What is maximised: λ times its value, −inf for pairs that may not be assigned; forced pairs are taken out.
    given : Scores
        λ as it came.
    promised : Bounds
        Capacity and item bounds as promised, forced pairs included.
    contacts : Contacts
        Capacity and caps that are left beside the forced pairs.
    minimum, maximum : ndarray of int64 (n,)
        Item bounds beside the forced pairs.
    rows : tuple of Row
        Groups and budgets beside the forced pairs: first the exact ones, inner groups before those around them.
    forced_rows, forced_columns : ndarray of int64
        Pairs that are assigned whatever they cost.
    forced_value : float
        What they are worth.
    """

    scores: Scores
    given: Scores
    promised: Bounds
    contacts: Contacts
    minimum: np.ndarray
    maximum: np.ndarray
    rows: tuple[Row, ...]
    forced_rows: np.ndarray
    forced_columns: np.ndarray
    forced_value: float

    def same_states(self, other: Problem) -> bool:
        """Whether the other differs in what is promised only: the same scores, capacities and caps."""
        mine, its = self.contacts, other.contacts
        return (
            self.scores is other.scores
            and np.array_equal(mine.capacity, its.capacity)
            and np.array_equal(mine.user, its.user)
            and np.array_equal(mine.user_cap, its.user_cap)
        )

    def moved_from(self, other: Problem) -> float:
        """By what share of their size, or of the places they leave free if those are fewer, the items' promises differ.

        1 where anything else differs. Prices move about as much: the fewer places are left, the dearer the next.
        """
        n = len(self.minimum)
        if (
            not self.same_states(other)
            or not np.array_equal(self.weights, other.weights)
            or not np.array_equal(self.lower[n:], other.lower[n:])
            or not np.array_equal(self.upper[n:], other.upper[n:])
        ):
            return 1.0
        promised = max(int(self.minimum.sum()), int(other.minimum.sum()))
        free = int(self.contacts.capacity.sum()) - promised
        sides = (
            (self.minimum, other.minimum, min(free, promised)),
            (self.maximum, other.maximum, int(np.maximum(self.maximum, other.maximum).sum())),
        )
        return min(1.0, max(float(np.abs(a - b).sum() / max(1, size)) for a, b, size in sides))

    @property
    def nested(self) -> int:
        """Number of rows that the flow keeps."""
        return sum(row.exact for row in self.rows)

    @property
    def weights(self) -> np.ndarray:
        """c of every row, float64 (rows, n)."""
        return np.array([row.weight for row in self.rows]).reshape(len(self.rows), len(self.minimum))

    @property
    def lower(self) -> np.ndarray:
        """L of items and rows, float64 (n + rows,)."""
        return np.concatenate([self.minimum, [row.lower for row in self.rows]]).astype(float)

    @property
    def upper(self) -> np.ndarray:
        """U of items and rows, float64 (n + rows,); infinite where nothing limits it."""
        free = self.maximum >= self.scores.shape[0]
        return np.concatenate([np.where(free, np.inf, self.maximum), [row.upper for row in self.rows]])

    def tree(self) -> Tree:
        """Items and nested groups as the flow takes them."""
        n, rows = len(self.minimum), self.rows[: self.nested]
        up = np.full(n + len(rows), -1, np.int64)
        for g in range(len(rows) - 1, -1, -1):  # inner groups last, so that they are the ones that count
            up[np.flatnonzero(rows[g].weight)] = n + g
            for inner in range(g):
                if (rows[inner].weight <= rows[g].weight).all():
                    up[n + inner] = n + g
        upper = self.upper[: n + len(rows)]
        return Tree(
            self.lower[: n + len(rows)].astype(np.int64),
            np.where(np.isfinite(upper), upper, NO_CAP).astype(np.int64),
            up,
            n,
        )


def resolve(scores: Scores, constraints: Constraints, *, planned: bool = True) -> Problem:
    """What the constraints mean on these states and items.

    Parameters
    ----------
    scores : Scores (m, n)
    constraints : Constraints
    planned : bool
        Whether rows given as numbers are rows of these scores, and bounds have to fit. Otherwise pairs of rows are
        left out and bounds may cross: other states are decided by prices.

    Raises
    ------
    ConstraintError
        Names, lengths or times that do not fit, or promises that contradict themselves.
    """
    m, n = scores.shape
    problems: list[str] = []
    capacity = _capacities(scores, constraints, problems)
    if problems:
        raise ConstraintError(problems)
    promised = constraints.bounds(m, n, crossing=not planned, capacity=capacity)
    look = _Names(scores, planned, problems)
    restriction = _restriction(scores, constraints, look, problems)
    allowed = RestrictedScores(scores, restriction)
    rows = _rows(constraints, scores, promised, problems)
    users, caps = look.caps(constraints.max_per_user, problems)
    if problems:
        raise ConstraintError(problems)
    contacts = Contacts.of(promised.capacity, users, caps)
    forced_rows, forced_columns = look.first_allowed(constraints.forced, allowed)
    worth = allowed.pairs(forced_rows, forced_columns).astype(float)
    contacts, minimum, maximum, rows = _beside_forced(
        promised, contacts, rows, forced_rows, forced_columns, problems if planned else []
    )
    if problems:
        raise ConstraintError(problems)
    if len(forced_rows):
        taken = pair_matrix(forced_rows, forced_columns, (m, n))
        hidden = taken if restriction.forbidden is None else sparse.csr_matrix(restriction.forbidden + taken)
        allowed = RestrictedScores(scores, replace(restriction, forbidden=hidden))
    plain = restriction.empty and not len(forced_rows)
    return Problem(
        scores if plain else allowed, scores, promised, contacts, minimum, maximum, _ordered(rows),
        forced_rows, forced_columns, float(worth.sum()),
    )  # fmt: skip


class _Names:
    """Users, items and rows as the states know them; unknown ones go to ``problems``."""

    def __init__(self, scores: Scores, planned: bool, problems: list[str]) -> None:
        self.scores, self.planned, self.problems = scores, planned, problems
        states = scores.states
        self.user_ids = None if states is None else pd.Index(states.user_ids.astype(str))

    def states_of(self, who: Sequence[str | int], what: str) -> list[np.ndarray]:
        """Rows of every user id or row number."""
        m = self.scores.shape[0]
        texts = [w for w in who if isinstance(w, str)]
        by_user: dict[str, np.ndarray] = {}
        if texts:
            if self.user_ids is None:
                self.problems.append(f"{what} names users, but these scores know none: name rows by whole numbers.")
                return [np.empty(0, np.int64)] * len(who)
            wanted = np.flatnonzero(self.user_ids.isin(set(texts)))
            names = self.user_ids[wanted]
            by_user = {str(k): wanted[v] for k, v in pd.Series(names).groupby(names).indices.items()}
        out, wrong = [], []
        for w in who:
            if isinstance(w, str):
                out.append(by_user.get(w, np.empty(0, np.int64)))
            elif self.planned and not 0 <= w < m:
                wrong.append(w)
            else:
                out.append(np.array([w] if self.planned else [], np.int64))
        if wrong:
            self.problems.append(f"{what} names row {wrong[0]}, but there are {m} user-states.")
            return [np.empty(0, np.int64)] * len(who)
        return out

    def pairs(
        self, given: Sequence[tuple[str | int, ...]] | None, what: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows, columns, which entry) of all states that the entries name."""
        if not given:
            nothing = np.empty(0, np.int64)
            return nothing, nothing, nothing
        before = len(self.problems)
        columns = columns_of([e[1] for e in given], self.scores.item_ids, what, self.problems)
        states = self.states_of([e[0] for e in given], what)
        if len(self.problems) > before:
            nothing = np.empty(0, np.int64)
            return nothing, nothing, nothing
        sizes = [len(s) for s in states]
        entry = np.repeat(np.arange(len(given)), sizes)
        return np.concatenate(states).astype(np.int64), columns[entry], entry

    def first_allowed(
        self, given: Sequence[tuple[str | int, ...]] | None, allowed: Scores
    ) -> tuple[np.ndarray, np.ndarray]:
        """One pair for every forced entry: of a user, her first state that may have the item."""
        rows, columns, entry = self.pairs(given, "forced")
        if not len(rows):
            return rows, columns
        times = np.zeros(len(rows), np.int64) if self.scores.states is None else self.scores.states.time[rows]
        open_pairs = allowed.pairs(rows, columns) > -np.inf
        order = np.lexsort((rows, times, ~open_pairs, entry))
        first = order[np.flatnonzero(np.diff(entry[order], prepend=-1))]
        if self.planned and not open_pairs[first].all():
            bad = first[~open_pairs[first]][0]
            self.problems.append(
                f"Item {self.scores.item_ids[columns[bad]]!r} is forced on user-state {rows[bad]} and forbidden there "
                "(by a pair, its dates, its eligibility or what was seen): drop one of them."
            )
        first = first[open_pairs[first]]
        keys = np.unique(rows[first] * self.scores.shape[1] + columns[first])
        return keys // self.scores.shape[1], keys % self.scores.shape[1]

    def caps(self, cap: int | None, problems: list[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(user of every state, cap of every user)."""
        if cap is None:
            return None, None
        if self.user_ids is None:
            problems.append("max_per_user needs to know whose states these are: give scores with states.")
            return None, None
        user, _ = pd.factorize(self.user_ids)
        return user.astype(np.int64), np.full(int(user.max(initial=-1)) + 1, min(int(cap), NO_CAP), np.int64)


def _capacities(scores: Scores, constraints: Constraints, problems: list[str]) -> np.ndarray | None:
    """Capacity of every state where it is given by segment."""
    if not isinstance(constraints.capacity, Mapping):
        return None
    if scores.states is None or constraints.segment not in scores.states.log.users:
        known = "none" if scores.states is None else ", ".join(map(str, scores.states.log.users.columns)) or "none"
        problems.append(f"Users have no feature {constraints.segment!r} to name segments by: there are {known}.")
        return None
    segment = scores.states.log.users[constraints.segment].astype(str).to_numpy()[scores.states.user]
    capacity = pd.Series(segment).map(constraints.capacity)
    if capacity.isna().any():
        default = constraints.capacity.get("*")
        if default is None:
            unknown = sorted(set(segment[capacity.isna().to_numpy()]))
            problems.append(
                f"No capacity is given for {constraints.segment} {', '.join(unknown[:5])}: name it, or '*'."
            )
            return None
        capacity = capacity.fillna(default)
    out: np.ndarray = capacity.to_numpy(np.int64)
    return out


def _restriction(scores: Scores, constraints: Constraints, look: _Names, problems: list[str]) -> Restriction:
    shape = scores.shape
    rows, columns, _ = look.pairs((*(constraints.forbidden or ()), *(constraints.contacted or ())), "forbidden")
    values = _item_values(scores, constraints, problems)
    dated, first, last = _windows(scores, constraints, problems)
    eligible, eligible_columns = None, None
    if constraints.eligible:
        items = list(constraints.eligible)
        eligible_columns = columns_of(items, scores.item_ids, "eligible", problems)
        states = [np.concatenate([*look.states_of(constraints.eligible[i], "eligible"), []]) for i in items]
        inside = np.repeat(np.arange(len(items)), [len(s) for s in states])
        eligible = sparse.csr_matrix(
            (np.ones(len(inside), bool), (np.concatenate(states).astype(np.int64), inside)),
            shape=(shape[0], len(items)),
        )
    return Restriction(
        values,
        _pair_values(constraints, look, shape),
        pair_matrix(rows, columns, shape),
        eligible,
        eligible_columns,
        None if scores.states is None or dated is None else scores.states.time,
        dated,
        first,
        last,
    )


def _item_values(scores: Scores, constraints: Constraints, problems: list[str]) -> np.ndarray | None:
    n = scores.shape[1]
    if constraints.value is None:
        return None
    if isinstance(constraints.value, Mapping):
        values = np.ones(n)
        columns = columns_of(list(constraints.value), scores.item_ids, "value", problems)
        if len(columns) == len(constraints.value):
            values[columns] = list(constraints.value.values())
    else:
        values = np.asarray(constraints.value, float)
        if values.ndim and len(values) != n:
            problems.append(f"value lists {len(values)} numbers for {n} items: give one number or one per item.")
            return None
        values = np.broadcast_to(values, (n,))
    return values.astype(np.float32)


def _pair_values(constraints: Constraints, look: _Names, shape: tuple[int, int]) -> sparse.csr_matrix | None:
    given = constraints.pair_value
    rows, columns, entry = look.pairs(given, "pair_value")  # type: ignore[arg-type]
    if given is None or not len(rows):
        return None
    values = np.array([e[2] for e in given], np.float32)[entry]
    keys, last = np.unique((rows * shape[1] + columns)[::-1], return_index=True)  # the last word counts
    return sparse.csr_matrix((values[::-1][last], (keys // shape[1], keys % shape[1])), shape=shape)


def _windows(
    scores: Scores, constraints: Constraints, problems: list[str]
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    starts, ends = constraints.starts or {}, constraints.ends or {}
    items = list(dict.fromkeys([*starts, *ends]))
    if not items:
        return None, None, None
    if scores.states is None:
        problems.append("Start and end dates need to know when the states are: give scores with states.")
        return None, None, None
    columns = columns_of(items, scores.item_ids, "starts and ends", problems)
    limits = np.iinfo(np.int64)
    first = [_microseconds(starts[i]) if i in starts else limits.min for i in items]
    last = [_microseconds(ends[i]) if i in ends else limits.max for i in items]
    problems += [f"Item {i!r} ends before it starts." for i, a, b in zip(items, first, last, strict=True) if a > b]
    return columns, np.array(first, np.int64), np.array(last, np.int64)


def _microseconds(moment: str) -> int:
    """Since 1970; also of years that nanoseconds do not reach."""
    return int(pd.Timestamp(moment).tz_localize(None).as_unit("us").asm8.view("i8"))


def _rows(constraints: Constraints, scores: Scores, promised: Bounds, problems: list[str]) -> list[Row]:
    """Groups, the total and budgets."""
    n, places = scores.shape[1], int(promised.capacity.sum())
    catalogue = None if scores.states is None else scores.states.log.items
    rows = []
    for group in constraints.groups:
        assert isinstance(group, Group)
        low, high = group.limits(places, problems)
        weight = np.zeros(n)
        weight[group.members(scores.item_ids, catalogue, problems)] = 1.0
        rows.append(Row(group.name, "group", weight, low, np.inf if high is None else float(high), False))
    if constraints.min_total is not None or constraints.max_total is not None:
        most = np.inf if constraints.max_total is None else float(constraints.max_total)
        rows.append(Row("total", "group", np.ones(n), float(constraints.min_total or 0), most, False))
    for budget in constraints.budgets:
        assert isinstance(budget, Budget)
        costs = budget.per_item(scores.item_ids, problems)
        rows.append(Row(budget.name, "budget", costs, 0.0, float(budget.limit), False))
    return rows


def _ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """A nested family first, inner groups before outer ones; then what overlaps, then budgets."""
    nested: list[Row] = []
    others: list[Row] = []
    for row in sorted((r for r in rows if r.kind == "group"), key=lambda r: r.weight.sum()):
        meets = [np.minimum(row.weight, r.weight).sum() for r in nested]
        apart = all(both in (0.0, r.weight.sum()) for both, r in zip(meets, nested, strict=True))
        (nested if apart else others).append(row)
    budgets = [r for r in rows if r.kind == "budget"]
    return (
        *(Row(r.name, r.kind, r.weight, r.lower, r.upper, True) for r in nested),
        *others,
        *budgets,
    )


def _beside_forced(
    promised: Bounds,
    contacts: Contacts,
    rows: list[Row],
    forced_rows: np.ndarray,
    forced_columns: np.ndarray,
    problems: list[str],
) -> tuple[Contacts, np.ndarray, np.ndarray, list[Row]]:
    """What is left of every bound once the forced pairs are assigned."""
    load = np.bincount(forced_rows, minlength=len(promised.capacity))
    exposure = np.bincount(forced_columns, minlength=len(promised.minimum))
    used = (
        np.bincount(contacts.user, load, len(contacts.user_cap)).astype(np.int64)
        if contacts.capped
        else contacts.user_cap
    )
    if (load > promised.capacity).any():
        x = int(np.argmax(load - promised.capacity))
        problems.append(
            f"{load[x]} items are forced on user-state {x}, which takes {promised.capacity[x]}: raise its capacity."
        )
    if contacts.capped and (used > contacts.user_cap).any():
        problems.append(f"{int(used.max())} items are forced on a user who takes {contacts.user_cap.min()} in all.")
    if (exposure > promised.maximum).any():
        y = int(np.argmax(exposure - promised.maximum))
        problems.append(
            f"The item in column {y} is forced {exposure[y]} times and may go to {promised.maximum[y]} states."
        )
    left = []
    for row in rows:
        spent = float(row.weight @ exposure)
        if spent > row.upper * (1 + 1e-12):
            problems.append(f"What is forced takes {spent:g} of {row.upper:g} of {row.kind} {row.name!r}: raise it.")
        left.append(Row(row.name, row.kind, row.weight, max(row.lower - spent, 0.0), row.upper - spent, row.exact))
    cap = contacts.user_cap - used if contacts.capped else contacts.user_cap
    kept = Contacts(np.maximum(promised.capacity - load, 0), contacts.user, np.maximum(cap, 0))
    free = promised.maximum >= len(promised.capacity)
    maximum = np.where(free, promised.maximum, np.maximum(promised.maximum - exposure, 0))
    return kept, np.maximum(promised.minimum - exposure, 0), maximum, left
