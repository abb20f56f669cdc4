"""Online transfer of matrix factorisation (Appendix F, Figure S7): prices of group A, delivered to group B.

    python benchmarks/online_transfer.py [--models ALS LogisticMF BPR] [--capacities 36 360] [--json out.json]

The published ml-1m split trains on group A's window, so group A's factors have more history behind them than group B's.
Every item may go to at most 1 % of the user-states; prices are found on group A and used on group B, one visitor at a
time. Ideal is 1 % delivered. ``training`` takes the factors that training found, as the paper does, and under-delivers;
``visible`` folds both groups in from what they show at their time T. Without a capacity (α = 100 %, the right end of
Figure S7) an item's price is the score of its 1 % best state of group A; with ``--capacities`` the planner finds them
(minutes each).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rows import SHARED, shown

import rim_core as rim
from rim_core.models import Model

SHARE = 0.01


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ALS", "LogisticMF", "BPR"])
    parser.add_argument("--capacities", nargs="*", type=int, default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not (SHARED / "ml-1m").exists():
        print(f"ml-1m is not at {SHARED}: set RIM_SHARED_DATA to the folder that holds it.")
        return 0
    torch.set_num_threads(1)
    split = rim.split_preset(rim.load_dataset("movielens", path=SHARED / "ml-1m"), "ml-1m", seed=options.seed)
    found: list[dict[str, Any]] = []
    for name in options.models:
        for history in ("training", "visible"):
            model = Model.from_config({"model": name, "history": history, "seed": options.seed}).fit(split)
            before, after = model.score(split.calibration), model.score(split.test)
            level = after.row_sums().sum() / before.row_sums().sum()
            delivered, precision = by_price(before, after, split.test)
            row = {"model": name, "history": history, "scores B / A": level}
            found.append({**row, "capacity": "all", "delivered": delivered, "precision": precision})
            print(f"{name}, {history}: {delivered:.2%} of the user-states an item", flush=True)
            for capacity in options.capacities:
                promises = rim.Constraints(capacity=capacity, max_exposure=SHARE)
                assigned = rim.DualPlanner(promises).fit(before).assign(after)
                share = float(assigned.exposure.mean()) / len(split.test)
                precision = rim.evaluate(assigned, split.test).precision
                found.append({**row, "capacity": capacity, "delivered": share, "precision": precision})
                print(f"  capacity {capacity}: {share:.2%}", flush=True)
    table = pd.DataFrame(found).set_index(["model", "history", "capacity"])
    print(f"\nideal: {SHARE:.0%} delivered\n{shown(table)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def by_price(before: rim.Scores, after: rim.Scores, states: rim.UserStates) -> tuple[float, float]:
    """(share of B's states an item is delivered to, precision) at the prices that deliver SHARE in group A."""
    c = math.ceil(SHARE * before.shape[0])
    best = None
    for _, _, rows in before.blocks():
        both = rows if best is None else torch.cat([best, rows])
        best = torch.topk(both, min(c, len(both)), dim=0, sorted=False).values
    assert best is not None
    prices = best.min(dim=0).values
    hits, delivered = 0.0, np.zeros(after.shape[1])
    for start, stop, rows in after.blocks():
        given = ((rows >= prices) & (rows > -torch.inf)).numpy()
        delivered += given.sum(axis=0)
        hits += float(states.targets[start:stop].multiply(given).sum())
    return float(delivered.mean()) / after.shape[0], hits / max(delivered.sum(), c * after.shape[1])


if __name__ == "__main__":
    sys.exit(main())
