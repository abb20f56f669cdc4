"""Complete Journey: who buys what in the first fortnight of December 2017, repeat purchases kept.

    python benchmarks/complete_journey.py [--models Frequency BoostedCounts] [--seeds 0 1 2] [--tuning] [--json ...]

An item is a product type, an event one household, item and basket. All of 2017 before 2017-12-01 trains, the 14 days
from then are the target; every household of the log is a user-state. ItemRec takes 23 items a household, UserRec 25
households an item (1 %, rounded up). ``--tuning`` trains up to the fortnight before and reports on that one instead:
the only figures that settings were chosen by. The bar is decayed frequency: the best row is to be 10 % above it;
complete_journey_limits.py says what stands between.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from rows import AFFINITIES, parser_of, run, shown, table_of, written

import rim_core as rim

START, HORIZON, BAR = "2017-12-01", "14D", 1.10


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, AFFINITIES)
    parser.add_argument("--tuning", action="store_true", help="report on the calibration window instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    log = rim.load_dataset("complete-journey")
    split = rim.split_by_time(log, start=START, horizon=HORIZON, calibration=1)
    assert split.later is not None
    states = everyone(split.calibration if options.tuning else split.later.test)
    m, n = states.shape
    print(f"{len(log):,} events; {m:,} households × {n:,} items, {states.target_counts.sum():,.0f} target events")
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


def everyone(states: rim.UserStates) -> rim.UserStates:
    """A state for every household of the log, also those without a purchase before."""
    users = np.arange(len(states.log.users), dtype=np.int32)
    return replace(states, user=users, time=np.full(len(users), states.time[0]))


if __name__ == "__main__":
    sys.exit(main())
