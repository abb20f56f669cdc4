"""One pass over the scores: the pairs around every state's threshold, and the exact value of TopK⁺(λ + b).

Everything the planner does is made of such passes. A block of scores is made, the pairs that matter are picked from
it, and the block is forgotten: memory O(B·n + pairs), time O(m·n) for the picking beside the making of the scores.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from rim_core.planning.candidates import Candidates, Contacts, top_value

if TYPE_CHECKING:
    from rim_core.scores import Scores

SAMPLED_COLUMNS = 256
"""Columns that tell a first guess of a state's threshold."""
MARGIN = 1.25
"""Pairs are looked for this many widths below the threshold that is expected."""
CHUNK = 256
"""Rows that one call of the kernel looks at."""
AT_ONCE = 1024
"""States that are compared at once with the best ones so far."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Candidates around some prices.

    Attributes
    ----------
    pairs : Candidates
        Pairs with u − width ≤ λ + b (≤ u + width where the sure ones were left out).
    threshold : ndarray of float64 (m,)
        u: the K-th best λ + b of the state, at least 0.
    sure_load : ndarray of int64 (m,)
        Pairs of each state that were left out because they lie more than ``width`` above its threshold.
    sure_exposure : ndarray of float64 (n,)
        The same, an item.
    sure_value : float
        Σ λ of them.
    sure_item : ndarray of int32
        Their items, state by state.
    """

    pairs: Candidates
    threshold: np.ndarray
    sure_load: np.ndarray
    sure_exposure: np.ndarray
    sure_value: float
    sure_item: np.ndarray


def draw(
    scores: Scores,
    boost: np.ndarray,
    width: float,
    capacity: np.ndarray,
    *,
    guess: np.ndarray | None = None,
    leave_sure: bool = False,
    extra: np.ndarray | None = None,
) -> Drawn:
    """Pairs whose λ + b is at most ``width`` below their state's threshold u, in one pass.

    Of width 0 those of a score of 0 that nothing raises are left out: nobody gains by them, and of mostly empty scores
    they would be nearly all pairs.

    Parameters
    ----------
    scores : Scores (m, n)
    boost : ndarray of float64 (n,)
        b, what each item's scores are raised by.
    width : float
        In units of the scores; infinite for all pairs.
    capacity : ndarray of int64 (m,)
        States without capacity have no candidates.
    guess : ndarray (m,), optional
        Thresholds to expect, for example those of the pass before: the closer, the quicker.
    extra : ndarray of float64 (n,), optional
        How much further below the threshold pairs of an item may lie.
    leave_sure : bool
        Leave out pairs more than ``width`` above the threshold, and say how many they are.
    """
    m, n = scores.shape
    order = np.random.default_rng(0).permutation(n)[: min(n, SAMPLED_COLUMNS)].astype(np.int64)
    threshold = np.zeros(m)
    sure_load, sure_value = np.zeros(m, np.int64), 0.0
    columns, values, sizes, sure_items = [], [], [], []
    upper = width if leave_sure else np.inf
    extra = np.zeros(n) if extra is None else extra
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for start, stop, z in scores.blocks():
            if z.is_cuda:
                parts = [_pick_on_device(z, boost, extra, width, upper, capacity[start:stop])]
            else:
                block = z.numpy()
                jobs = [
                    (block[a:b], boost, extra, width, upper, capacity[start + a : start + b],
                     None if guess is None else guess[start + a : start + b], order)
                    for a in range(0, stop - start, CHUNK)
                    for b in [min(a + CHUNK, stop - start)]
                ]  # fmt: skip
                parts = list(pool.map(_pick, *zip(*jobs, strict=True)) if threads > 1 else (_pick(*j) for j in jobs))
            at = start
            for column, value, size, u, load, sure, total in parts:
                columns.append(column)
                values.append(value)
                sizes.append(size)
                threshold[at : at + len(u)], sure_load[at : at + len(u)] = u, load
                sure_items.append(sure)
                sure_value += total
                at += len(u)
    pairs = Candidates(
        np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64),
        np.concatenate(columns),
        np.concatenate(values),
    )
    sure_item = np.concatenate(sure_items)
    sure_exposure = np.bincount(sure_item, minlength=n).astype(float)
    return Drawn(pairs, threshold, sure_load, sure_exposure, sure_value, sure_item)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one look at all scores tells.

    Attributes
    ----------
    eligible : ndarray of int64 (n,)
        User-states each item may go to.
    room : ndarray of int64 (m,)
        Items each state may take, whatever its capacity.
    """

    eligible: np.ndarray
    room: np.ndarray

    @property
    def pairs(self) -> int:
        """Pairs that may be assigned."""
        return int(self.room.sum())


@dataclass(frozen=True, eq=False)
class Unpromised:
    """What the states would take if nothing were promised: the same for all promises.

    Attributes
    ----------
    survey : Survey
    value : float
        D(0): Σ λ of the best pairs within every capacity.
    exposure : ndarray of int64 (n,)
        How often each item is among them.
    """

    survey: Survey
    value: float
    exposure: np.ndarray

    @classmethod
    def of(cls, scores: Scores, contacts: Contacts) -> Unpromised:
        """Two passes. Raises :class:`~rim_core.errors.ScoreError` where a score is NaN, infinite or negative."""
        found = survey(scores)
        return cls(found, *dual_value(scores, np.zeros(scores.shape[1]), contacts))


def survey(scores: Scores) -> Survey:
    """Check every score, and count what is allowed.

    Raises
    ------
    ScoreError
        A score is NaN, infinite or negative.
    """
    m, n = scores.shape
    eligible, room = np.zeros(n, np.int64), np.zeros(m, np.int64)
    for start, stop, z in scores.blocks():
        if z.is_cuda:
            allowed = z > -torch.inf
            bad = bool((torch.isnan(z) | (z == torch.inf) | ((z < 0) & allowed)).any())
            eligible += allowed.sum(dim=0).cpu().numpy()
            room[start:stop] = allowed.sum(dim=1).cpu().numpy()
        else:
            bad = _count_allowed(z.numpy(), eligible, room[start:stop])
        if bad:
            scores.validate()  # says which one
    return Survey(eligible, room)


def alone(
    scores: Scores, shift: np.ndarray, threshold: np.ndarray, capacity: np.ndarray, items: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """The boost at which each of these items is among the best of ``place`` states, everything else as it is.

    Parameters
    ----------
    shift : ndarray (n,)
        What else scores are raised by.
    threshold : ndarray (m,)
        u.
    items, place : ndarray of int64 (k,)

    Returns
    -------
    ndarray (k,)
        −(the place-th largest λ + shift − u); NaN where fewer states may get the item. Memory O(k·max place).
    """
    most, columns = int(np.clip(place, 1, scores.shape[0]).max()), torch.from_numpy(items)
    best = np.empty((len(items), 2 * most + AT_ONCE), np.float32)
    filled = 0
    for start, stop, z in scores.blocks():
        of_items = z[:, columns.to(z.device)].cpu().numpy().T
        for a in range(start, stop, AT_ONCE):
            b = min(a + AT_ONCE, stop)
            margins = best[:, filled : filled + b - a]
            np.subtract(of_items[:, a - start : b - start], threshold[a:b].astype(np.float32), out=margins)
            margins[:, capacity[a:b] == 0] = -np.inf
            filled += b - a
            if filled > 2 * most:
                best[:, :most] = np.partition(best[:, :filled], filled - most, axis=1)[:, filled - most :]
                filled = most
    reached: np.ndarray = _reached(best[:, :filled], place) - shift[items]
    return reached


def with_further(
    scores: Scores, boost: np.ndarray, drawn: Drawn, width: float, extra: np.ndarray, capacity: np.ndarray,
    items: np.ndarray, place: np.ndarray,
) -> tuple[Drawn, np.ndarray]:  # fmt: skip
    """Further candidates of a few items: the best ``place`` states of each, however far below their thresholds.

    Parameters
    ----------
    drawn : Drawn
        What ``draw`` gave for ``boost``, ``width`` and ``extra``.
    items, place : ndarray of int64 (k,)

    Returns
    -------
    drawn : Drawn
        With these pairs as well.
    extra : ndarray of float64 (k,)
        How much further below the threshold ``draw`` would have had to look for them. Memory O(m·k).
    """
    columns = columns_of_scores(scores, items)
    below = boost[items, None].astype(np.float32) - drawn.threshold.astype(np.float32)
    margins = np.where(capacity > 0, columns + below, np.float32(-np.inf))
    reached = np.nan_to_num(_reached(margins, place), nan=0.0) * (1 + 1e-6)
    k, state = np.nonzero((columns + below >= -reached[:, None].astype(np.float32)) & (capacity > 0))
    there = columns[k, state].astype(float) + boost[items[k]] + extra[items[k]] >= drawn.threshold[state] - width
    k, state = k[~there], state[~there]
    pairs = drawn.pairs
    row = np.concatenate([pairs.rows(), state])
    order = np.argsort(row, kind="stable")
    more = Candidates(
        pairs.row_ptr + np.concatenate([[0], np.cumsum(np.bincount(state, minlength=pairs.states))]),
        np.concatenate([pairs.item, items[k].astype(np.int32)])[order],
        np.concatenate([pairs.value, columns[k, state].astype(float)])[order],
    )
    return replace(drawn, pairs=more), reached - width


def columns_of_scores(scores: Scores, items: np.ndarray) -> np.ndarray:
    """λ of some items, float32 (k, m): one pass, memory O(m·k)."""
    out = np.empty((len(items), scores.shape[0]), np.float32)
    columns = torch.from_numpy(items)
    for start, stop, z in scores.blocks():
        out[:, start:stop] = z[:, columns.to(z.device)].cpu().numpy().T
    return out


def _reached(margins: np.ndarray, place: np.ndarray) -> np.ndarray:
    """−(the place-th largest margin) of every row, NaN where fewer states may get the item."""
    at = np.clip(place, 1, margins.shape[1])
    reached = np.array([-np.partition(-row, k - 1)[k - 1] for row, k in zip(margins, at, strict=True)], float)
    return np.where(np.isfinite(reached), -reached, np.nan)


def dual_value(
    scores: Scores, boost: np.ndarray, contacts: Contacts, guess: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Σ over users and states of the best λ + b within their capacities, and how often each item is among them.

    The sum bounds the optimum only if nothing is lost to rounding: λ is taken as the float32 it is and everything
    after it is float64.

    Returns
    -------
    value : float
    exposure : ndarray of int64 (n,)
    """
    drawn = draw(scores, boost, 0.0, contacts.capacity, guess=guess)
    return top_value(drawn.pairs, boost, contacts)


_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]


def _pick(
    z: np.ndarray,
    boost: np.ndarray,
    extra: np.ndarray,
    width: float,
    upper: float,
    capacity: np.ndarray,
    guess: np.ndarray | None,
    sampled: np.ndarray,
) -> _Part:
    room = max(1024, 8 * int(capacity.sum()))
    while True:
        column, value = np.empty(room, np.int32), np.empty(room)
        size, load = np.zeros(len(z), np.int64), np.zeros(len(z), np.int64)
        u, sure = np.zeros(len(z)), np.empty(int(np.minimum(capacity, z.shape[1]).sum()), np.int32)
        with_guess = guess is not None
        used, total = _pick_rows(
            z, boost, extra, width, upper, capacity, u if guess is None else guess, with_guess, sampled,
            column, value, size, u, load, sure,
        )  # fmt: skip
        if used <= room:
            return column[:used].copy(), value[:used].copy(), size, u, load, sure[: load.sum()].copy(), total
        room = used


def _pick_on_device(
    z: torch.Tensor, boost: np.ndarray, extra: np.ndarray, width: float, upper: float, capacity: np.ndarray
) -> _Part:
    """The same with torch, where the block already lies on an accelerator."""
    n = z.shape[1]
    most = max(1, min(int(capacity.max(initial=0)), n))
    boosted = z.double() + torch.from_numpy(boost).to(z.device)
    room = torch.from_numpy(capacity).to(z.device)[:, None]
    best = torch.topk(boosted, most, dim=1).values
    threshold = best.gather(1, (room - 1).clamp(min=0)).clamp(min=0.0)
    open_pairs = (z > -torch.inf) & (room > 0)
    sure = open_pairs & (boosted > threshold + upper)
    further = torch.from_numpy(extra).to(z.device)
    keep = open_pairs & (boosted + further >= threshold - width) & ~sure
    if width == 0.0:
        keep &= (z != 0.0) | (boosted > 0.0)
    row, column = keep.nonzero(as_tuple=True)
    return (
        column.to(torch.int32).cpu().numpy(),
        z[row, column].double().cpu().numpy(),
        keep.sum(dim=1).cpu().numpy(),
        threshold[:, 0].cpu().numpy(),
        sure.sum(dim=1).cpu().numpy(),
        sure.nonzero(as_tuple=True)[1].to(torch.int32).cpu().numpy(),
        float(z[sure].double().sum()),
    )


@njit(cache=True, nogil=True)
def _pick_rows(  # type: ignore[no-untyped-def]
    z, boost, extra, width, upper, capacity, guess, with_guess, sampled, column, value, size, threshold, sure_load, sure
):
    """Fill ``column`` and ``value`` row by row; returns how much room they need, and Σ λ of the sure pairs."""
    m, n = z.shape
    room, used, left, total = len(column), 0, 0, 0.0
    found, net = np.empty(n, np.int64), np.empty(n)
    drawn = np.empty(len(sampled))
    boost32 = (boost + extra).astype(np.float32)
    rounding = 4e-7 * (np.abs(boost).max() + extra.max())
    for x in range(m):
        k = min(capacity[x], n)
        if k == 0:
            continue
        row = z[x]
        low = -np.inf
        if width < np.inf:
            low = guess[x] - MARGIN * width if with_guess else _first_guess(row, boost, k, sampled, drawn) - width
        count = _gather(row, boost, boost32, rounding, low, found, net)
        u = _kth(net, count, k)
        if u - width < low:  # the guess was too high
            low = -np.inf if u == -np.inf else u - width
            count = _gather(row, boost, boost32, rounding, low, found, net)
            u = max(u, _kth(net, count, k))
        u = max(u, 0.0)
        threshold[x] = u
        for i in range(count):
            if net[i] + extra[found[i]] < u - width or (width == 0.0 and row[found[i]] == 0.0 and net[i] <= 0.0):
                continue
            if net[i] > u + upper:
                sure_load[x] += 1
                sure[left] = found[i]
                left += 1
                total += row[found[i]]
                continue
            if used < room:
                column[used] = found[i]
                value[used] = row[found[i]]
            used += 1
            size[x] += 1
    return used, total


@njit(cache=True, nogil=True)
def _gather(row, boost, boost32, rounding, low, found, net):  # type: ignore[no-untyped-def]
    """All allowed entries with λ + b ≥ low, and a few just below it."""
    count = 0
    low32 = np.float32(low - rounding - 4e-7 * abs(low)) if low > -np.inf else np.float32(-np.inf)
    for j in range(len(row)):
        if row[j] + boost32[j] >= low32:
            v = np.float64(row[j]) + boost[j]
            if v > -np.inf:
                found[count] = j
                net[count] = v
                count += 1
    return count


@njit(cache=True, nogil=True)
def _kth(net, count, k):  # type: ignore[no-untyped-def]
    """The k-th largest of the first ``count`` numbers; −inf where there are fewer."""
    if count < k:
        return -np.inf
    return -np.partition(-net[:count], k - 1)[k - 1]


@njit(cache=True, nogil=True)
def _first_guess(row, boost, k, sampled, drawn):  # type: ignore[no-untyped-def]
    """A value that probably a few more than k entries reach, told from some columns."""
    s = len(sampled)
    expected = s * k / len(row)
    rank = math.ceil(expected + 2.0 * math.sqrt(expected) + 1.0)
    if rank >= s:
        return -np.inf
    for i in range(s):
        drawn[i] = row[sampled[i]] + boost[sampled[i]]
    return -np.partition(-drawn, rank - 1)[rank - 1]


@njit(cache=True, nogil=True)
def _count_allowed(z, eligible, room):  # type: ignore[no-untyped-def]
    """Add up the entries above −inf of every column and row; whether some entry is no count."""
    bad = False
    for x in range(z.shape[0]):
        for y in range(z.shape[1]):
            v = z[x, y]
            allowed = v >= 0.0
            eligible[y] += allowed
            room[x] += allowed
            bad |= not ((allowed and v < np.inf) or v == -np.inf)
    return bad
