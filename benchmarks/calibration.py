"""Expected interactions against what happened, by decile, for every intensity model or those that are named.

    python benchmarks/calibration.py [--data ml-1m ml-100k complete-journey shop] [--models BoostedCounts] [--seeds 0]

User-states of the test part are cut into tenths by what a model expects of them. A row is one tenth, of all seeds
together: expected, happened, their ratio and its 95 % interval (bootstrap over user-states). A tenth with at least 500
events is well calibrated where the ratio is within 10 % or the interval covers 1; a model is, where all of those are
and the mean of the totals is within 5 %. A seed draws other users (another shop, another user split) but for
complete-journey, where it seeds the model alone. Every total has its interval, as if both the users learned from and
those tested had been drawn anew: of a few hundred users, a few of whom do most, one total says little. ml-1m and
ml-100k are found through RIM_SHARED_DATA and left out, with the reason, where they are absent.
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
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--brief", action="store_true", help="totals and verdicts only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for data in options.data:
        splits = {seed: split_of(data, seed) for seed in options.seeds}
        for seed, split in splits.items():
            if split is not None:
                counts = split.test.target_counts
                print(f"\n{data}, seed {seed}: {len(counts):,} test user-states, {counts.sum():,.0f} events")
        found = {seed: split for seed, split in splits.items() if split is not None}
        if not found:
            print(f"{data} is not at {SHARED}: left out. Set RIM_SHARED_DATA to the folder that holds it.")
            continue
        results[data] = {name: figures_of(name, found, brief=options.brief) for name in options.models}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def figures_of(name: str, splits: dict[int, rim.Split], *, brief: bool) -> dict[str, Any]:
    """Train and measure one model with every seed, and print what came of it."""
    totals, tenths, seconds = [], [], 0.0
    print()
    for seed, split in splits.items():
        model, happened = made(name, seed), split.test.target_counts
        begun = time.process_time()
        model.fit(split)
        seconds += (time.process_time() - begun) / len(splits)
        expected = expected_of(model, split.test)
        low, high = interval(expected, happened, split.labelled.target_counts, seed)
        totals.append(float(expected.sum() / happened.sum()))
        tenths.append(pd.DataFrame({"decile": decile(expected), "expected": expected, "happened": happened}))
        print(
            f"{name} (seed {seed}): expected/happened {totals[-1]:.3f} ({low:.2f} to {high:.2f}), deviance "
            f"{deviance(expected, happened):.3f}",
            flush=True,
        )
    table = deciles(pd.concat(tenths), seed=0)
    mean, spread = float(np.mean(totals)), float(np.std(totals, ddof=1)) if len(totals) > 1 else 0.0
    kept = worst(table) == "" and abs(mean - 1) <= 0.05
    print(
        f"{name}: expected/happened {mean:.3f} ± {spread:.3f} over {len(totals)} seed(s), {seconds:.1f} CPU s each: "
        f"{'calibrated' if kept else 'NOT calibrated ' + worst(table)}"
    )
    if not brief:
        print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))
    return {
        "totals": totals,
        "total_ratio": mean,
        "worst": worst(table),
        "fit_cpu_seconds": seconds,
        "deciles": table.to_dict(orient="records"),
    }


def split_of(data: str, seed: int) -> rim.Split | None:
    """The published user split of ml-1m and ml-100k; the last fortnight of the others, all before it for training."""
    if data.startswith("ml-"):
        if not (SHARED / data).exists():
            return None
        return rim.split_preset(rim.load_dataset("movielens", path=SHARED / data), "ml-1m", seed=seed)
    if data == "shop":
        split = rim.split_by_time(rim.load_dataset("shop", users=5000, items=200, days=180, seed=seed), horizon="14D")
    else:
        split = rim.split_by_time(rim.load_dataset(data), start="2017-12-01", horizon="14D")
    return split.later or split


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


def decile(expected: np.ndarray) -> np.ndarray:
    """Which tenth every user-state is in, 1 to 10, fewest expected events first; equal expectations stay together."""
    rank = pd.Series(expected).rank(method="average", pct=True).to_numpy()
    tenth: np.ndarray = np.minimum((rank * 10 - 1e-9).astype(int), 9) + 1
    return tenth


def deciles(states: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row a tenth of the user-states (decile, expected, happened), of all seeds together."""
    rng, rows = np.random.default_rng(seed), []
    for tenth, part in states.groupby("decile"):
        e, h = part["expected"].to_numpy(), part["happened"].to_numpy()
        drawn = (rng.integers(len(e), size=len(e)) for _ in range(DRAWS))
        ratios = [h[some].sum() / max(e[some].sum(), 1e-12) for some in drawn]
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
