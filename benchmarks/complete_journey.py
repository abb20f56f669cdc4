"""Complete Journey: who buys what in the first fortnight of December 2017, repeat purchases kept.

    python benchmarks/complete_journey.py [--models Frequency BoostedCounts] [--seeds 0 1 2] [--tuning] [--json ...]

An item is a product type, an event one household, item and basket. All of 2017 before 2017-12-01 trains, the 14 days
from then are the target; every household of the log is a user-state. ItemRec takes 23 items a household, UserRec 25
households an item (1 %, rounded up). ``--tuning`` trains up to the fortnight before and reports on that one instead:
the only figures that settings were chosen by. The bar is decayed frequency: the best row is to be 10 % above it.
``--limit``, ``--oracle`` and ``--taught`` say what stands between: the learning curve of decayed frequency; what it
would reach if it knew what no model may know (totals of the fortnight itself, and everything that was bought after it);
and what trees reach that were taught by the fortnight itself, on other households.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from rows import AFFINITIES, made, parser_of, run, shown, table_of, written
from scipy import sparse

import rim_core as rim
from rim_core.datasets.states import expand_ranges
from rim_core.models import BoostedCounts
from rim_core.models.affinity.boosted import NEW_LEAVES, NEW_RATE, NEW_ROUNDS
from rim_core.models.affinity.histories import DAY, decayed_counts, values_at
from rim_core.models.affinity.trees import CountTrees

START, HORIZON, BAR = "2017-12-01", "14D", 1.10
MIDDLE = "2017-07-01"
"""A fortnight with as much of the log after it as before it."""


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, AFFINITIES)
    parser.add_argument("--limit", action="store_true", help="what is lost by not knowing the rates of pairs exactly")
    parser.add_argument("--oracle", action="store_true", help="decayed frequency that knows the future")
    parser.add_argument("--taught", action="store_true", help="BoostedCounts whose trees learned the fortnight itself")
    parser.add_argument("--tuning", action="store_true", help="report on the calibration window instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    log = rim.load_dataset("complete-journey")
    split = rim.split_by_time(log, start=START, horizon=HORIZON, calibration=1)
    assert split.later is not None
    states = everyone(split.calibration if options.tuning else split.later.test)
    m, n = states.shape
    print(f"{len(log):,} events; {m:,} households × {n:,} items, {states.target_counts.sum():,.0f} target events")
    if options.limit:
        print(limit(states), flush=True)
    if options.oracle:
        print(oracle(states), oracle(at(states, MIDDLE)), sep="\n", flush=True)
    if options.taught:
        print(taught(states, split), flush=True)
    runs = [
        run(name, seed, split, states, refit=not options.tuning) for name in options.models for seed in options.seeds
    ]
    table = table_of(runs)
    print(f"\n{shown(table)}")
    if "Frequency" in table.index:
        for column in ("ItemRec", "UserRec"):
            best, plain = table[column].idxmax(), table.loc["Frequency", column]
            gain = table.loc[best, column] / plain
            verdict = "reached" if gain >= BAR else "MISSED"
            print(f"{column}: {best} has {gain - 1:+.1%} over Frequency ({plain:.4f}); bar +10 % {verdict}")
    written(options.json, {"tuning": options.tuning, "runs": runs, "summary": table.to_dict(orient="index")})
    return 0


def limit(states: rim.UserStates, half_life_days: float = 120.0) -> str:
    """How far precision could rise if the rate of every pair were known: the learning curve of decayed frequency.

    Precision with a random half of every history and with all of it; if the loss falls as 1 / events, the other half of
    the way is as long as all that is left: limit = 2 · precision(all) − precision(half).
    """
    rng = np.random.default_rng(0)
    f = decayed_counts(states, half_life_days).tocsr()
    a = states.log.arrays
    row, event = expand_ranges(states.start, states.stop)
    column = states.column_of_item[a.item[event]]
    keep = (column >= 0) & (rng.random(len(event)) < 0.5)
    weight = np.exp2(-(states.time[row] - a.time[event]) / (half_life_days * DAY))[keep]
    half = sparse.coo_matrix((weight, (row[keep], column[keep])), shape=states.shape).tocsr()
    lines = []
    for name, ranked in (("ItemRec", rim.item_rec), ("UserRec", rim.user_rec)):
        reached = []
        for counts in (half, f):
            share = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
            activity = np.asarray(counts.sum(axis=1)).ravel()
            scores = rim.Scores.from_factors(1e-3 * activity[:, None], share[:, None], added=counts, states=states)
            reached.append(rim.evaluate(ranked(scores), states).precision)
        most = 2 * reached[1] - reached[0]
        lines.append(
            f"{name}: half of every history {reached[0]:.4f}, all of it {reached[1]:.4f}, rates known exactly about "
            f"{most:.4f} ({most / reached[1] - 1:+.1%})"
        )
    return "\n".join(lines)


def oracle(states: rim.UserStates, half_life_days: float = 120.0) -> str:
    """Precision of decayed frequency that is told the future of the window, and its gain over the plain one.

    Totals make the expectations of a household (or an item) sum to what it really bought in the window. "After" counts
    what was bought after the window as what was bought before it, so that twice as much tells the rate of a pair and
    no drift is missed: what models learn from the past is worth less.
    """
    happened = states.targets
    of_user, of_item = (np.asarray(happened.sum(axis=axis), float).ravel() for axis in (1, 0))
    lines = [f"window from {pd.Timestamp(int(states.time[0]), unit='us'):%Y-%m-%d}:"]
    plain: list[float] = []
    for name, after, totals in (
        ("before", False, ""),
        ("before, item totals known", False, "items"),
        ("before, household totals known", False, "households"),
        ("before and after", True, ""),
        ("before and after, item totals known", True, "items"),
        ("before and after, household totals known", True, "households"),
    ):
        f = counts_around(states, half_life_days, after=after)
        share, activity = (np.asarray(f.sum(axis=axis)).ravel() for axis in (0, 1))
        rates = f.toarray() + 1e-3 * np.outer(activity + 1.0, share / share.sum())
        if totals == "households":
            rates *= ((of_user + 0.5) / (rates.sum(axis=1) + 0.5))[:, None]
        elif totals == "items":
            rates *= (of_item + 0.5) / (rates.sum(axis=0) + 0.5)
        scores = rim.Scores.from_dense(rates, states=states)
        reached = precisions(scores, states)
        plain = plain or reached
        gains = [f"{r:.4f} ({r / p - 1:+.1%})" for r, p in zip(reached, plain, strict=True)]
        lines.append(f"  {name:<42} ItemRec {gains[0]}, UserRec {gains[1]}")
    return "\n".join(lines)


def taught(states: rim.UserStates, split: rim.Split, folds: int = 5) -> str:
    """Precision of BoostedCounts with trees grown on the fortnight itself, four fifths of the households at a time.

    They know what the season, the week and every item's demand of that very fortnight make of a history, all that can
    be learned from others. "Totals" make the expectations sum to what each household (or item) really bought.
    """
    model = made("BoostedCounts", 0).fit(split, refit=True)
    assert isinstance(model, BoostedCounts)
    plain = precisions(made("Frequency", 0).fit(split, refit=True).score(states), states)
    past = np.maximum(model.score(states).to_dense(), 1e-9)
    now = np.maximum(taught_counts(model, states, np.random.default_rng(0).integers(0, folds, len(states))), 1e-9)
    both = np.sqrt(past * now)
    of_user, of_item = (np.asarray(states.targets.sum(axis=axis), float).ravel() for axis in (1, 0))
    lines = ["taught by the fortnight itself, on other households:"]
    for name, rates in (
        ("Frequency", None),
        ("taught by the past", past),
        ("taught by the fortnight", now),
        ("their geometric mean", both),
        ("the mean, item totals known", both * ((of_item + 0.5) / (both.sum(axis=0) + 0.5))),
        ("the mean, household totals known", both * ((of_user + 0.5) / (both.sum(axis=1) + 0.5))[:, None]),
    ):
        reached = plain if rates is None else precisions(rim.Scores.from_dense(rates, states=states), states)
        gains = [f"{r:.4f} ({r / p - 1:+.1%})" for r, p in zip(reached, plain, strict=True)]
        lines.append(f"  {name:<42} ItemRec {gains[0]}, UserRec {gains[1]}")
    return "\n".join(lines)


def taught_counts(model: BoostedCounts, states: rim.UserStates, fold: np.ndarray) -> np.ndarray:
    """What trees with the model's settings expect, grown on the targets of the other folds; float32 (m, n)."""
    direction = model._direction(states)
    (of_pair, of_state), table, names = model._features(states, model._clock, direction)
    again = values_at(states.targets, table.rows, table.columns)
    new = states.target_counts - np.bincount(table.rows, again, len(states))
    counts, fresh = np.zeros(len(again)), np.zeros(len(states))
    for k in range(fold.max() + 1):
        inside, pairs = fold == k, fold[table.rows] == k
        trees = CountTrees.fit(
            of_pair[~pairs], again[~pairs], names[0], rounds=model.rounds, leaves=model.leaves,
            learning_rate=model.learning_rate, smallest_leaf=model.smallest_leaf, seed=model.seed,
            report=lambda share: None,
        )  # fmt: skip
        counts[pairs] = trees.predict(of_pair[pairs])
        trees = CountTrees.fit(
            of_state[~inside], new[~inside], names[1], rounds=NEW_ROUNDS, leaves=NEW_LEAVES, learning_rate=NEW_RATE,
            smallest_leaf=model.smallest_leaf // 4, seed=model.seed, report=lambda share: None,
        )  # fmt: skip
        fresh[inside] = trees.predict(of_state[inside])
    rates = direction.to_dense()
    rates[table.rows, table.columns] = 0.0
    rates *= (fresh / np.maximum(rates.sum(axis=1), 1e-9))[:, None]
    rates[table.rows, table.columns] = counts
    return rates


def precisions(scores: rim.Scores, states: rim.UserStates) -> list[float]:
    """[ItemRec, UserRec]."""
    return [rim.evaluate(ranked(scores), states).precision for ranked in (rim.item_rec, rim.user_rec)]


def counts_around(states: rim.UserStates, half_life_days: float, *, after: bool) -> sparse.csr_matrix:
    """Events outside the window, decayed by their distance from it; CSR (m, n). Without ``after`` those before only."""
    a = states.log.arrays
    f = decayed_counts(states, half_life_days)
    if not after:
        return f
    row, event = expand_ranges(states.target_stop, a.offsets[states.user + 1])
    column = states.column_of_item[a.item[event]]
    weight = np.exp2(-(a.time[event] - states.time[row] - states.horizon) / (half_life_days * DAY))
    kept = column >= 0
    late = sparse.coo_matrix((weight[kept], (row[kept], column[kept])), shape=states.shape)
    return sparse.csr_matrix(f + late)


def at(states: rim.UserStates, when: str) -> rim.UserStates:
    """The same households at another instant."""
    return replace(states, time=np.full(len(states), pd.Timestamp(when).value // 1000))


def everyone(states: rim.UserStates) -> rim.UserStates:
    """A state for every household of the log, also those without a purchase before."""
    users = np.arange(len(states.log.users), dtype=np.int32)
    return replace(states, user=users, time=np.full(len(users), states.time[0]))


if __name__ == "__main__":
    sys.exit(main())
