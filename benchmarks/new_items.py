"""New items: who will buy a product that nobody has bought yet?

    python benchmarks/new_items.py [--starts 2017-09-01 2017-10-06 2017-11-03 2017-12-01] [--json out.json]

Complete Journey by product. For every start, all before it trains, and the products whose first purchase lies in the
fortnight from then are launches: they have no event in training, only an entry in the product table. UserRec takes 25
households (1 %) a launch. The bar is the popularity of the launch's category times the household's activity, which
ranks households by activity alone; calibration compares expected with actual purchases, in all and by tenths of the
launches. ``category`` ranks by the household's own purchases in the category. Launches are few and rarely bought, so
precision is low for everyone: the interval is the bootstrap's over launches.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

import rim_core as rim
from rim_core.models.affinity.histories import decayed_counts

STARTS = ("2017-09-01", "2017-10-06", "2017-11-03", "2017-12-01")
DRAWS = 1000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", nargs="+", default=list(STARTS))
    parser.add_argument("--level", default="product_id", help="what an item is: product_id, product_type ...")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    log = rim.load_dataset("complete-journey", level=options.level)
    parts = [launches(log, start) for start in options.starts]
    result: dict[str, Any] = {"starts": options.starts}
    expected, happened = (np.concatenate([p[key] for p in parts]) for key in ("expected", "happened"))
    rows = {}
    for name in parts[0]["precision"]:
        each = np.concatenate([p["precision"][name] for p in parts])
        low, high = interval(each)
        rows[name] = {"UserRec": each.mean(), "low": low, "high": high}
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(f"\n{len(each):,} launches\n{table.to_string(float_format='{:.5f}'.format)}")
    by = table["UserRec"]
    print(f"NewItems has {by['NewItems'] / by['popularity of category'] - 1:+.0%} over the popularity of the category")
    print(f"expected {expected.sum():.0f}, happened {happened.sum():.0f}: ratio {expected.sum() / happened.sum():.3f}")
    tenths = [(expected[p].sum(), happened[p].sum()) for p in np.array_split(np.argsort(expected, kind="stable"), 10)]
    calibration = pd.DataFrame(tenths, columns=["expected", "happened"])
    calibration["ratio"] = calibration["expected"] / calibration["happened"]
    print(calibration.to_string(float_format="{:.2f}".format))
    naive = np.concatenate([p["naive"] for p in parts]).sum()
    print(
        f"the mean item of the category would have been expected {naive:.0f} times: ratio {naive / happened.sum():.3f}"
    )
    result |= {"rows": rows, "expected": expected.sum(), "happened": happened.sum(), "tenths": tenths, "naive": naive}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, default=float), encoding="utf-8")
    return 0


def launches(log: rim.EventLog, start: str) -> dict[str, Any]:
    """Hits a launch of every ranking, and expected and actual purchases."""
    split = rim.split_by_time(log, start=start, horizon="14D", calibration=1)
    assert split.later is not None
    later = split.later
    a, begin = log.arrays, int(later.test.time[0])
    first = np.full(len(log.items), np.iinfo(np.int64).max)
    np.minimum.at(first, a.item, a.time)
    fresh = np.flatnonzero((first >= begin) & (first < begin + later.test.horizon)).astype(np.int32)
    states = later.test.with_items(fresh)
    model = rim.NewItems().fit(split, refit=True)
    scores = model.score(states).validate()
    activity, by_category, popularity = baselines(later.test, log, fresh)
    rankings = {
        "NewItems": scores,
        "popularity of category": dense(activity[:, None] * popularity, states),
        "category": dense(by_category + 1e-6 * activity[:, None], states),
    }
    c = -(-len(states) // 100)
    precision = {}
    for name, ranked in rankings.items():
        assigned = rim.user_rec(ranked, c).matrix
        precision[name] = np.asarray(assigned.multiply(states.targets).sum(axis=0)).ravel() / c
    expected = sum(rows.sum(dim=0).double().numpy() for _, _, rows in scores.blocks())
    happened = np.asarray(states.targets.sum(axis=0), float).ravel()
    print(
        f"{start}: {len(fresh):,} launches, {happened.sum():.0f} purchases, {np.sum(expected):.0f} expected; "
        f"{model.fit_info['training']}",
        flush=True,
    )
    return {"precision": precision, "expected": expected, "happened": happened, "naive": popularity}


def baselines(
    states: rim.UserStates, log: rim.EventLog, fresh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share of each state in all events, its events in each launch's category, mean item there a horizon)."""
    column = "product_category" if "product_category" in log.items.columns else "department"
    code = pd.factorize(log.items[column])[0]
    code = np.where(code < 0, code.max() + 1, code)
    known = code[states.item_codes]
    counts = decayed_counts(states)
    into = sparse.csr_matrix((np.ones(len(known)), (np.arange(len(known)), known)), shape=(len(known), code.max() + 1))
    by_category = np.asarray((counts @ into)[:, code[fresh]].todense())
    a = log.arrays
    horizons = (int(states.time[0]) - int(a.time.min())) / states.horizon
    mean = np.asarray((counts @ into).sum(axis=0)).ravel() / np.maximum(np.bincount(known, minlength=into.shape[1]), 1)
    activity = np.asarray(counts.sum(axis=1)).ravel()
    return activity / activity.sum(), by_category, mean[code[fresh]] / horizons


def dense(values: np.ndarray, states: rim.UserStates) -> rim.Scores:
    return rim.Scores.from_dense(values, states=states)


def interval(each: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    rng = np.random.default_rng(0)
    means = each[rng.integers(len(each), size=(DRAWS, len(each)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
