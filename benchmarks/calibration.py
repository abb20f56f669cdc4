"""Expected interactions against what happened, by decile, for every intensity model or those that are named.

    python benchmarks/calibration.py [--data ml-1m ml-100k complete-journey shop] [--models BoostedCounts] [--seed 0]

User-states of the test part are cut into tenths by what a model expects of them. A row is one tenth: expected,
happened, their ratio and its 95 % interval (bootstrap over user-states). A tenth with at least 500 events is well
calibrated where
the ratio is within 10 % or the interval covers 1; a model is, where all of those are and the total is within 5 %. The
total has its interval as well, as if both the users learned from and those tested had been drawn anew: of a few hundred
users, a few of whom do most, the total says little about a model. ml-1m and ml-100k are found through RIM_SHARED_DATA
and left out, with the reason, where they are absent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rows import SHARED, expected_by_state, made

import rim_core as rim
from rim_core.models import Intensity, Model

ENOUGH_EVENTS, DRAWS = 500, 2000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["ml-1m", "complete-journey", "shop"])
    parser.add_argument(
        "--models", nargs="+", default=[n for n, c in Model.registry.items() if issubclass(c, Intensity)]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--brief", action="store_true", help="totals and verdicts only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for data in options.data:
        split = split_of(data, options.seed)
        if split is None:
            print(f"{data} is not at {SHARED}: left out. Set RIM_SHARED_DATA to the folder that holds it.")
            continue
        split = split.later or split  # everything before the test window trains
        happened = split.test.target_counts
        print(f"\n{data}: {len(split.test):,} test user-states, {happened.sum():,.0f} events")
        results[data] = {}
        for name in options.models:
            model = made(name, options.seed)
            begun = time.process_time()
            model.fit(split)
            fitted = time.process_time() - begun
            expected = expected_of(model, split.test)
            low, high = interval(expected, happened, split.labelled.target_counts, options.seed)
            table = deciles(expected, happened, options.seed)
            figures = {
                "total_ratio": float(expected.sum() / happened.sum()),
                "total_low": low,
                "total_high": high,
                "poisson_deviance": deviance(expected, happened),
                "worst": worst(table),
                "fit_cpu_seconds": fitted,
                "deciles": table.to_dict(orient="records"),
            }
            kept = figures["worst"] == "" and abs(figures["total_ratio"] - 1) <= 0.05
            print(
                f"\n{name}: expected/happened {figures['total_ratio']:.3f} ({low:.2f} to {high:.2f}), deviance "
                f"{figures['poisson_deviance']:.3f}, {fitted:.1f} CPU s: "
                f"{'calibrated' if kept else 'NOT calibrated ' + figures['worst']}"
            )
            if not options.brief:
                print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))
            results[data][name] = figures
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def split_of(data: str, seed: int) -> rim.Split | None:
    """The published user split of ml-1m and ml-100k; the last fortnight of the others."""
    if data.startswith("ml-"):
        if not (SHARED / data).exists():
            return None
        return rim.split_preset(rim.load_dataset("movielens", path=SHARED / data), "ml-1m", seed=seed)
    if data == "shop":
        return rim.split_by_time(rim.load_dataset("shop", users=5000, items=200, days=180, seed=seed), horizon="14D")
    return rim.split_by_time(rim.load_dataset(data), start="2017-12-01", horizon="14D")


def expected_of(model: Model, states: rim.UserStates) -> np.ndarray:
    """Expected target events of every state; (m,)."""
    return model.intensity(states) if isinstance(model, Intensity) else expected_by_state(model.score(states))


def interval(expected: np.ndarray, happened: np.ndarray, learned: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % of expected / happened in all, where test states are drawn anew and what was learned from is as well.

    Parameters
    ----------
    expected, happened : ndarray (m,)
    learned : ndarray (l,)
        Events of the labelled states, whose mean sets the level of a model.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(happened), size=(DRAWS, len(happened)))
    level = np.array([learned[rng.integers(len(learned), size=len(learned))].mean() for _ in range(DRAWS)])
    ratios = expected[drawn].sum(1) / np.maximum(happened[drawn].sum(1), 1e-12) * level / learned.mean()
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def deciles(expected: np.ndarray, happened: np.ndarray, seed: int) -> pd.DataFrame:
    """A row a tenth of the user-states, fewest expected events first; equal expectations stay together."""
    rank = pd.Series(expected).rank(method="average", pct=True).to_numpy()
    tenth = np.minimum((rank * 10 - 1e-9).astype(int), 9)
    rng, rows = np.random.default_rng(seed), []
    for t in np.unique(tenth):
        e, h = expected[tenth == t], happened[tenth == t]
        drawn = rng.integers(len(e), size=(DRAWS, len(e)))
        ratios = h[drawn].sum(1) / np.maximum(e[drawn].sum(1), 1e-12)
        low, high = np.quantile(ratios, [0.025, 0.975])
        ratio = h.sum() / max(e.sum(), 1e-12)
        kept = h.sum() < ENOUGH_EVENTS or abs(ratio - 1) <= 0.1 or low <= 1 <= high
        rows.append((t + 1, len(e), e.sum(), h.sum(), ratio, low, high, kept))
    columns = ["decile", "states", "expected", "happened", "happened/expected", "low", "high", "calibrated"]
    return pd.DataFrame(rows, columns=columns)


def deviance(expected: np.ndarray, happened: np.ndarray) -> float:
    """Mean Poisson deviance per user-state."""
    expected = np.maximum(expected, 1e-6)
    log = np.where(happened > 0, np.log(np.maximum(happened, 1e-12) / expected), 0.0)
    return float(2 * (happened * log - happened + expected).mean())


def worst(table: pd.DataFrame) -> str:
    off = table[~table["calibrated"]]
    return ", ".join(f"decile {r.decile}: {r[4]:.2f}" for r in off.itertuples(index=False))


if __name__ == "__main__":
    sys.exit(main())
