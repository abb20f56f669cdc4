"""Whom a campaign writes to, of all a plan delivers: suppression, hold-out, caps, sizes; each says what it removed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rim_core.audiences.hashing import held_out
from rim_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class AudienceRules:
    """What makes an audience of a plan's pairs.

    Applied in the order suppression, frequency cap, largest size, hold-out, minimum size: those held out are drawn from
    just the deliveries that would be made, so that both groups differ by chance alone.

    Attributes
    ----------
    suppression : str or None
        Name of the list of users who get nothing; the list itself is given to :func:`select_audience`.
    holdout : float
        Share of the users kept out of the campaign to measure its effect, in [0, 1).
    holdout_seed : int
        Of the hash that draws them (:func:`rim_core.audiences.held_out`).
    max_per_user : int or None
        Frequency cap: items a user gets at most, over all her user-states; the best by score stay.
    max_size : int or None
        Deliveries of an item at most; the best by score stay.
    min_size : int
        Items with fewer distinct users left are dropped: too small an audience tells too much about each.

    Raises
    ------
    DataError
        Names every value that cannot be used.
    """

    suppression: str | None = None
    holdout: float = 0.0
    holdout_seed: int = 0
    max_per_user: int | None = None
    max_size: int | None = None
    min_size: int = 0

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.holdout < 1:
            problems.append(f"the hold-out is a share of the users in [0, 1), got {self.holdout:g}")
        problems += [
            f"{what} must be at least 1, got {value}"
            for what, value in (("the frequency cap", self.max_per_user), ("the largest size", self.max_size))
            if value is not None and value < 1
        ]
        if self.min_size < 0:
            problems.append(f"the minimum size cannot be negative, got {self.min_size}")
        if problems:
            raise DataError(f"These audience rules cannot be used: {'; '.join(problems)}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; ``AudienceRules(**d)`` is the same."""
        return asdict(self)


@dataclass(frozen=True)
class Removal:
    """What one rule took away.

    Attributes
    ----------
    rule : {"suppression", "frequency cap", "largest size", "hold-out", "minimum size"}
    pairs : int
        Deliveries removed.
    users, items : int
        Users and items that had deliveries before it and have none after it.
    """

    rule: str
    pairs: int
    users: int
    items: int


@dataclass(frozen=True, eq=False)
class Audience:
    """Who is written to.

    Attributes
    ----------
    pairs : DataFrame
        Columns of :func:`rim_core.audiences.plan_pairs`, by item and rank; ranks begin at 1 again.
    removals : tuple of Removal
        One for every rule that is in force, in order.
    held_out : DataFrame
        The pairs that the hold-out group would have got under the same rules: what its users do is compared with the
        others.
    before : int
        Pairs before any rule.
    """

    pairs: pd.DataFrame
    removals: tuple[Removal, ...]
    held_out: pd.DataFrame
    before: int


def select_audience(pairs: pa.Table | pd.DataFrame, rules: AudienceRules, suppressed: Collection[str] = ()) -> Audience:
    """Apply the rules to some pairs of a plan, vectorised; O(pairs · log pairs).

    Parameters
    ----------
    pairs : Table or DataFrame
        user_id, item_id, rank, score and what else comes along.
    suppressed : collection of str
        User ids that get nothing. Ids are compared letter by letter.

    Returns
    -------
    Audience
    """
    frame = (pairs.to_pandas() if isinstance(pairs, pa.Table) else pairs).reset_index(drop=True)
    work = _Selection(frame)
    if rules.suppression is not None or len(suppressed):
        work.keep("suppression", ~work.users.isin(pd.Index(list(suppressed), dtype=object))[work.user])
    if rules.max_per_user is not None:
        work.keep("frequency cap", work.best(work.user, rules.max_per_user))
    if rules.max_size is not None:
        work.keep("largest size", work.best(work.item, rules.max_size))
    out = np.zeros(len(frame), bool)
    if rules.holdout > 0:
        out = held_out(pa.array(work.users, pa.string()), rules.holdout, rules.holdout_seed)[work.user] & work.kept
        work.keep("hold-out", ~out)
    if rules.min_size > 0:
        enough = (work.users_by_item() >= rules.min_size)[work.item]
        work.keep("minimum size", enough)
        out &= enough
    return Audience(_ranked(frame[work.kept]), tuple(work.removals), _ranked(frame[out]), len(frame))


class _Selection:
    """Which pairs are left, and what each rule removed."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.user, users = pd.factorize(frame["user_id"])
        self.item, items = pd.factorize(frame["item_id"])
        self.users = pd.Index(users)
        self.items = len(items)
        self.score = frame["score"].to_numpy(float)
        self.kept = np.ones(len(frame), bool)
        self.removals: list[Removal] = []

    def keep(self, rule: str, wanted: np.ndarray) -> None:
        before, after = self.kept, self.kept & wanted
        gone = [_left(codes[before]) - _left(codes[after]) for codes in (self.user, self.item)]
        self.removals.append(Removal(rule, int(before.sum() - after.sum()), *gone))
        self.kept = after

    def best(self, group: np.ndarray, most: int) -> np.ndarray:
        """The ``most`` best pairs of every group among those left; equal scores in the order of the rows."""
        rows = np.flatnonzero(self.kept)
        order = rows[np.lexsort((rows, -self.score[rows], group[rows]))]
        wanted = np.zeros(len(group), bool)
        wanted[order[_places(group[order]) < most]] = True
        return wanted

    def users_by_item(self) -> np.ndarray:
        """Distinct users left of every item."""
        pairs = np.unique(self.item[self.kept].astype(np.int64) * (len(self.users) + 1) + self.user[self.kept])
        return np.bincount(pairs // (len(self.users) + 1), minlength=self.items)


def _left(codes: np.ndarray) -> int:
    return len(np.unique(codes))


def _places(groups: np.ndarray) -> np.ndarray:
    """0, 1, ... inside every run of equal values."""
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.append(first, len(groups))))


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """By item and rank, ranks from 1 without gaps."""
    keys = ["item_id", "rank", *(["state"] if "state" in frame else [])]
    ordered = frame.sort_values(keys, kind="stable", ignore_index=True)
    codes, _ = pd.factorize(ordered["item_id"])
    return ordered.assign(rank=(_places(codes) + 1).astype(np.int32))
