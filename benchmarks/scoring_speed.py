"""How fast states are scored, and how fast histories become Hawkes states; one thread, process CPU time.

    python benchmarks/scoring_speed.py [--repeat 3] [--json out.json]

Scoring: all test states of ml-1m against all items, block by block, the reading of the histories included; pairs per
CPU second, and the memory that it adds (the matrix itself would be m × n). Hawkes states: kernel states of all users
of ml-1m at the end of the log, each with all its events; events per CPU second. Models are trained for an epoch: speed
does not depend on how well.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import SHARED

import rim_core as rim
from rim_core.datasets import UserStates
from rim_core.models.intensity.history import history_features
from rim_core.models.intensity.kernels import kernel_masses, log_spaced_scales

PAIRS_BAR, EVENTS_BAR = 1e7, 1e6


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not (SHARED / "ml-1m").exists():
        print(f"ml-1m is not at {SHARED}: set RIM_SHARED_DATA to the folder that holds it.")
        return 0
    torch.set_num_threads(1)
    log = rim.load_dataset("movielens", path=SHARED / "ml-1m")
    results = [*scoring(log, options.repeat), *features(log, options.repeat)]
    for row in results:
        kept = "reached" if row["per CPU s"] >= row["bar"] else "MISSED"
        print(
            f"{row['what']:<42} {row['CPU s']:8.3f} CPU s  {row['per CPU s']:12.4g} {row['unit']} per CPU s  "
            f"bar {row['bar']:.0e} {kept}  memory added {row['MB added']:.0f} MB"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def scoring(log: rim.EventLog, repeat: int) -> list[dict[str, Any]]:
    split = rim.split_preset(log, "ml-1m")
    rows = []
    products = [rim.RIM(part, rim.HawkesPoisson()) for part in (rim.GRU(max_epochs=1), rim.Transformer(max_epochs=1))]
    for untrained in (*products, rim.Frequency(), rim.ALS(), rim.BoostedCounts(), rim.HorizonCounts(max_epochs=1)):
        model = untrained.fit(split)

        def score(model: rim.Model = model) -> None:
            for _, _, block in model.score(split.test).blocks():
                block.sum()

        pairs = len(split.test) * len(split.items)
        rows.append(row(f"{model.name}: everything", "pairs", score, pairs, PAIRS_BAR, repeat))
        scores = model.score(split.test)

        def blocks(scores: rim.Scores = scores) -> None:
            for _, _, block in scores.blocks():
                block.sum()

        rows.append(row(f"{model.name}: blocks of lazy scores", "pairs", blocks, pairs, PAIRS_BAR, repeat))
    return rows


def features(log: rim.EventLog, repeat: int) -> list[dict[str, Any]]:
    users = np.arange(len(log.users), dtype=np.int32)
    end = np.full(len(users), int(log.arrays.time.max()) + 1)
    states = UserStates(log, users, end, 14 * 86_400_000_000, np.arange(len(log.items), dtype=np.int32))
    scales = log_spaced_scales(float(end.max() - log.arrays.time.min()), 50)

    def kernels() -> None:
        for _, _, masses in kernel_masses(states, scales, 1):
            masses.sum()

    return [
        row("Hawkes states, 50 kernels", "events", kernels, len(log), EVENTS_BAR, repeat),
        row("history features", "events", lambda: history_features(states), len(log), EVENTS_BAR, repeat),
    ]


def row(what: str, unit: str, step: Any, size: int, bar: float, repeat: int) -> dict[str, Any]:
    """The best of some repetitions."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = []
    for _ in range(repeat):
        begun = time.process_time()
        step()
        taken.append(time.process_time() - begun)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    best = min(taken)
    return {"what": what, "unit": unit, "CPU s": best, "per CPU s": size / best, "bar": bar, "MB added": added}


if __name__ == "__main__":
    sys.exit(main())
