"""Expected interactions against what happened, by decile, for every intensity model or those that are named.

    python benchmarks/calibration.py [--data ml-1m ml-100k complete-journey shop] [--models BoostedCounts] [--seeds 0]

User-states of the test part are cut into tenths by what a model expects of them. A row is one tenth: expected,
happened, their ratio and its 95 % interval (bootstrap over user-states). A tenth with at least 500 events is well
calibrated where the ratio is within 10 % or the interval covers 1; a model is, where all of those are with every seed
and the mean of the totals is within 5 %. A seed seeds the model; of the shop it makes another shop, and the tenths of
all shops are judged together, as are those of ml-1m and ml-100k with ``--other-groups``. Every total has its interval,
as if both the users learned from and those tested had been drawn anew: of a few hundred users, a few of whom do most,
one total says little. ml-1m and ml-100k are found through RIM_SHARED_DATA and left out, with the reason, where they
are absent.
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
from rows import SHARED, made

import rim_core as rim
from rim_core.models import Intensity, Model

ENOUGH_EVENTS, DRAWS = 500, 2000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["ml-1m", "complete-journey", "shop"])
    parser.add_argument(
        "--models", nargs="+", default=[n for n, c in Model.registry.items() if issubclass(c, Intensity)]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--other-groups", action="store_true", help="other groups of ml users with every seed")
    parser.add_argument("--brief", action="store_true", help="totals and verdicts only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for data in options.data:
        splits = {seed: split_of(data, seed, other_groups=options.other_groups) for seed in options.seeds}
        for seed, split in splits.items():
            if split is not None:
                counts = split.test.target_counts
                print(f"\n{data}, seed {seed}: {len(counts):,} test user-states, {counts.sum():,.0f} events")
        found = {seed: split for seed, split in splits.items() if split is not None}
        if not found:
            print(f"{data} is not at {SHARED}: left out. Set RIM_SHARED_DATA to the folder that holds it.")
            continue
        apart = data == "shop" or (options.other_groups and data.startswith("ml-"))
        results[data] = {name: figures_of(name, found, apart=apart, brief=options.brief) for name in options.models}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def figures_of(name: str, splits: dict[int, rim.Split], *, apart: bool, brief: bool) -> dict[str, Any]:
    """Train and measure one model with every seed, and print what came of it.

    Parameters
    ----------
    apart : bool
        Every seed has user-states of its own: their tenths are put together, and judged once.
    """
    runs: list[dict[str, Any]] = []
    parts = []
    print()
    for seed, split in splits.items():
        model, happened = made(name, seed), split.test.target_counts
        begun = time.process_time()
        model.fit(split)
        fitted = time.process_time() - begun
        expected = expected_of(model, split.test)
        low, high = interval(expected, happened, split.labelled.target_counts, seed)
        parts.append(pd.DataFrame({"tenth": tenths(expected), "expected": expected, "happened": happened}))
        total, off_by = float(expected.sum() / happened.sum()), deviance(expected, happened)
        runs.append({"seed": seed, "total": total, "low": low, "high": high, "poisson_deviance": off_by})
        print(
            f"{name} (seed {seed}): expected/happened {total:.3f} ({low:.2f} to {high:.2f}), deviance "
            f"{off_by:.3f}, {fitted:.1f} CPU s",
            flush=True,
        )
    tables = [deciles(part) for part in ([pd.concat(parts)] if apart else parts)]
    off = [found for table in tables if (found := worst(table))]
    totals = np.array([run["total"] for run in runs])
    kept = abs(totals.mean() - 1) <= 0.05 and not off
    spread = f" ± {totals.std(ddof=1):.3f}" if len(totals) > 1 else ""
    verdict = "calibrated" if kept else f"NOT calibrated {'; '.join(off)}"
    print(f"{name}: expected/happened {totals.mean():.3f}{spread}: {verdict}")
    if not brief:
        for table in tables:
            print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))
    return {
        "total_ratio": float(totals.mean()),
        "calibrated": bool(kept),
        "seeds": runs,
        "deciles": [table.to_dict(orient="records") for table in tables],
    }


def split_of(data: str, seed: int, *, other_groups: bool) -> rim.Split | None:
    """The published user split of ml-1m and ml-100k; the last fortnight of the others, all before it for training."""
    if data.startswith("ml-"):
        if not (SHARED / data).exists():
            return None
        log = rim.load_dataset("movielens", path=SHARED / data)
        return rim.split_preset(log, "ml-1m", seed=seed if other_groups else 0)
    if data == "shop":
        split = rim.split_by_time(rim.load_dataset("shop", users=5000, items=200, days=180, seed=seed), horizon="14D")
    else:
        split = rim.split_by_time(rim.load_dataset(data), start="2017-12-01", horizon="14D")
    return split.later or split


def expected_of(model: Model, states: rim.UserStates) -> np.ndarray:
    """Expected target events of every state; (m,)."""
    return model.intensity(states) if isinstance(model, Intensity) else model.score(states).row_sums()


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


def tenths(expected: np.ndarray) -> np.ndarray:
    """Which tenth every user-state is in, 1 to 10, fewest expected events first; equal expectations stay together."""
    rank = pd.Series(expected).rank(method="average", pct=True).to_numpy()
    tenth: np.ndarray = np.minimum((rank * 10 - 1e-9).astype(int), 9) + 1
    return tenth


def deciles(states: pd.DataFrame) -> pd.DataFrame:
    """A row a tenth of user-states (tenth, expected, happened)."""
    rng, rows = np.random.default_rng(0), []
    for tenth, part in states.groupby("tenth"):
        e, h = part["expected"].to_numpy(), part["happened"].to_numpy()
        drawn = rng.integers(len(e), size=(DRAWS, len(e)))
        ratios = h[drawn].sum(1) / np.maximum(e[drawn].sum(1), 1e-12)
        low, high = np.quantile(ratios, [0.025, 0.975])
        ratio = h.sum() / max(e.sum(), 1e-12)
        kept = h.sum() < ENOUGH_EVENTS or abs(ratio - 1) <= 0.1 or low <= 1 <= high
        rows.append((tenth, len(e), e.sum(), h.sum(), ratio, low, high, kept))
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
