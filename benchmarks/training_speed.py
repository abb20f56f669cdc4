"""CPU time of GRU and Transformer on ml-1m until the held-out loss is as good as the reference's best.

    python benchmarks/training_speed.py [--models GRU Transformer] [--json out.json]

The loss is the reference's: mean negative log-likelihood of the next event of a random fifth of the users, their last
256 events, a start token before the first, events of one instant one after the other in the order of the log. One
thread, process CPU time, everything from the split to the epoch that reaches the loss; the measuring of the loss itself
(which the reference does as well) included. Times are scaled by the two timings of the machine that the reference file
gives; the smaller ratio counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rows import SHARED

import rim_core as rim
from rim_core.errors import Cancelled
from rim_core.models import Model

if TYPE_CHECKING:
    from rim_core.models.base import Progress

IN_REFERENCE = {"GRU": "RNN", "Transformer": "Transformer"}
BAR = 3.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(IN_REFERENCE), choices=list(IN_REFERENCE))
    parser.add_argument("--settings", default="{}", help="settings of the models as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path, default=SHARED.parent / "reference" / "ml-1m.json")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    ratings = SHARED / "ml-1m"
    if not ratings.exists() or not options.reference.exists():
        print(f"ml-1m is not at {ratings} or the reference not at {options.reference}: set RIM_SHARED_DATA.")
        return 0
    torch.set_num_threads(1)
    reference = json.loads(options.reference.read_text(encoding="utf-8"))
    split = rim.split_preset(rim.load_dataset("movielens", path=ratings), "ml-1m", seed=options.seed)
    results = []
    for name in options.models:
        theirs = reference["fit"][IN_REFERENCE[name]]
        before = machine()
        settings = {"one_by_one": True, "seed": options.seed, **json.loads(options.settings)}
        watch = Watch(theirs["best_heldout_nll_per_event"])
        model = Model.from_config({"model": name, **settings})
        with suppress(Cancelled):
            model.fit(split, callback=watch)
            watch.end(model.fit_info["history"])
        speed = [(a + b) / 2 for a, b in zip(before, machine(), strict=True)]
        slower = (
            reference["machine"]["matmul_1024_gflop_per_cpu_second"] / speed[0],
            speed[1] / float(reference["machine"]["gru_forward_backward_ms"].split()[0]),
        )
        ours = watch.reached
        ratios = [theirs["cpu_seconds"] * s / ours if ours else 0.0 for s in slower]
        row = {
            "model": name,
            "reference loss": watch.wanted,
            "loss reached": watch.loss,
            "epochs": watch.epoch,
            "CPU s": ours or watch.seconds,
            "reference CPU s": theirs["cpu_seconds"],
            "machine slower by matmul": slower[0],
            "machine slower by GRU": slower[1],
            "times less CPU": min(ratios),
            "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        results.append(row)
        print("\n".join(f"{key:>26}: {value:.4g}" if key != "model" else f"{value}" for key, value in row.items()))
        print(f"{'bar':>26}: {BAR:g} {'reached' if min(ratios) >= BAR else 'MISSED'}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


class Watch:
    """Takes the time at which the held-out loss is good enough, and stops the training then."""

    def __init__(self, wanted: float) -> None:
        self.wanted, self.begun = wanted, time.process_time()
        self.loss, self.epoch, self.seconds = float("inf"), 0, 0.0
        self.reached: float | None = None

    def __call__(self, progress: Progress) -> None:
        metrics: dict[str, Any] = progress.metrics
        if "heldout_loss" not in metrics or metrics["epoch"] - 1 == self.epoch:
            return
        self.epoch, self.loss = int(metrics["epoch"]) - 1, metrics["heldout_loss"]
        self.seconds = time.process_time() - self.begun
        print(f"  epoch {self.epoch}: loss {self.loss:.4f} after {self.seconds:.0f} CPU s", file=sys.stderr, flush=True)
        if self.loss <= self.wanted:
            self.reached = self.seconds
            raise Cancelled("the loss is reached")

    def end(self, history: list[list[float]]) -> None:
        """The last epoch, which no report follows."""
        self.epoch, self.loss, self.seconds = len(history), history[-1][1], time.process_time() - self.begun
        self.reached = self.seconds if self.loss <= self.wanted else None


def machine() -> tuple[float, float]:
    """GFLOP per CPU second of a matmul of 1024, and ms of a GRU step (2 layers, 128 wide, 32 steps, batch 64)."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    gru, x = torch.nn.GRU(128, 128, 2, batch_first=True), torch.randn(64, 32, 128)

    def seconds(step: Any, repetitions: int = 20) -> float:
        step()
        begun = time.process_time()
        for _ in range(repetitions):
            step()
        return (time.process_time() - begun) / repetitions

    return 2 * 1024**3 / seconds(lambda: a @ b) / 1e9, 1000 * seconds(lambda: gru(x)[0].sum().backward())


if __name__ == "__main__":
    sys.exit(main())
