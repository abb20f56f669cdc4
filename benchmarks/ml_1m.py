"""The published ml-1m protocol (user split, seen items excluded, 1 % capacity) beside the reference figures.

    python benchmarks/ml_1m.py [folder of ml-1m] [--seeds 0 1 2] [--json out.json]

The folder is found through RIM_SHARED_DATA where it is not given. Figures of the paper's own code on the same
protocol are read from ``reference/ml-1m.json`` beside that data folder (or ``--reference``); without that file the
table has ours alone. A seed chooses the groups of users and seeds the models: the reference is of one seed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

import rim_core as rim

if TYPE_CHECKING:
    from rim_core.models.base import Progress

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("RIM_SHARED_DATA", ROOT.parent / "shared" / "data"))
IN_REFERENCE = {
    "Random": "Rand",
    "Popularity": "Pop",
    "GRU": "RNN",
    "GRU×Activity": "RNN-Pop",
    "GRU×Hawkes": "RNN-Hawkes",
    "GRU×HawkesPoisson": "RNN-HP",
}
BARS = {"item_precision": 0.95, "user_precision": 0.92}
"""Share of the reference that the GRU rows have to reach."""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    ratings = options.folder or SHARED / "ml-1m"
    if not ratings.exists():
        print(f"ml-1m is not at {ratings}: give its folder, or set RIM_SHARED_DATA to the folder that holds ml-1m/.")
        return 2 if options.folder else 0
    torch.set_num_threads(options.threads)
    log = rim.load_dataset("movielens", path=ratings)
    runs = [run(log, seed, json.loads(options.gru)) for seed in options.seeds]
    reference = read_reference(options.reference or ratings.resolve().parent.parent / "reference" / "ml-1m.json")
    table = summary(runs, reference)
    losses = ", ".join(f"{r['heldout_nll']:.4f}" for r in runs)
    print(
        f"\n{log.name}: mean of {len(runs)} seed(s), {options.threads} thread(s); GRU held-out loss per event {losses}"
    )
    print(table.to_string(float_format=lambda x: f"{x:.5f}" if abs(x) < 1 else f"{x:.2f}", na_rep=""))
    for line in verdicts(table):
        print(line)
    if options.json:
        result = {"seeds": options.seeds, "runs": runs, "summary": table.to_dict(orient="index")}
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="folder that holds ratings.dat")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gru", default="{}", help='settings of the GRU as JSON, for example {"max_epochs": 2}')
    parser.add_argument("--reference", type=Path, help="figures to compare with")
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args(arguments)


def run(log: rim.EventLog, seed: int, gru_settings: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate every row once."""
    split = rim.split_preset(log, "ml-1m", seed=seed)
    print(f"\nseed {seed}: horizon {split.horizon_seconds:.1f} s\n{split.summary().to_string(index=False)}", flush=True)
    seconds: dict[str, float] = {}

    def fitted(model: rim.Model) -> rim.Model:
        begun = time.process_time()
        model.fit(split, callback=_Epochs())
        seconds[model.name] = time.process_time() - begun
        return model

    gru = fitted(rim.GRU(**{"seed": seed, **gru_settings}))
    intensities = [fitted(model) for model in (rim.Activity(), rim.Hawkes(seed=seed), rim.HawkesPoisson(seed=seed))]
    products = [rim.RIM(gru, intensity).fit(split) for intensity in intensities]
    models = [fitted(rim.Random(seed)), fitted(rim.Popularity()), gru, *products]
    test, calibration = rim.compare(models, split.test), rim.compare(models, split.calibration)
    print(test.to_string(float_format=lambda x: f"{x:.5f}" if abs(x) < 1 else f"{x:.1f}"), flush=True)
    return {
        "seed": seed,
        "states": len(split.test),
        "items": len(split.items),
        "target_events": float(split.test.target_counts.sum()),
        "cpu_seconds": seconds,
        "heldout_nll": gru.fit_info["held_out_nll"],
        "training": gru.fit_info["training"],
        "test": test.to_dict(orient="index"),
        "calibration": calibration.to_dict(orient="index"),
    }


class _Epochs:
    """Tells on stderr when an epoch is over."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, progress: Progress) -> None:
        epoch = progress.metrics.get("epoch", 0.0)
        if epoch > self.last:
            self.last = epoch
            print(f"{progress.stage} {progress.metrics}", file=sys.stderr, flush=True)


def read_reference(path: Path) -> dict[str, dict[str, float]]:
    """Rows of the reference, by its own names; empty where there is no such file."""
    if not path.is_file():
        print(f"No reference figures at {path}.")
        return {}
    rows: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))["exclude_seen"]
    return rows


def summary(runs: list[dict[str, Any]], reference: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Mean (and spread) over the seeds, the reference and our share of it; a row each model."""
    rows = {}
    for name, other in IN_REFERENCE.items():
        row: dict[str, float] = {}
        for figure, short in (("item_precision", "ItemRec"), ("user_precision", "UserRec")):
            ours = pd.Series([r["test"][name][figure] for r in runs])
            row[short] = ours.mean()
            if len(ours) > 1:
                row[f"{short} sd"] = ours.std()
            if other in reference:
                row[f"{short} reference"] = reference[other][figure]
                row[f"{short} share"] = ours.mean() / reference[other][figure]
        row["CPU s"] = sum(r["cpu_seconds"][part] for r in runs for part in name.split("×")) / len(runs)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def verdicts(table: pd.DataFrame) -> list[str]:
    """Whether the GRU rows reach their bars, a line each figure."""
    lines = []
    for figure, short in (("item_precision", "ItemRec"), ("user_precision", "UserRec")):
        if f"{short} share" in table:
            worst = table.loc[[name for name in table.index if name.startswith("GRU")], f"{short} share"]
            kept = "reached" if worst.min() >= BARS[figure] else "MISSED"
            lines.append(f"{short}: {worst.min():.1%} of the reference at worst; bar {BARS[figure]:.0%} {kept}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
