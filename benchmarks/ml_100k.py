"""MovieLens-100K split by user as ml-1m is: every row on a second real log of ratings.

    python benchmarks/ml_100k.py [--models ALS "GRU×HawkesPoisson"] [--seeds 0 1 2] [--json out.json]

The later half of every user's ratings; half the users train with all of them, the others are tested from the median
span on; what a user has rated is forbidden. ml-100k is found through RIM_SHARED_DATA.
"""

from __future__ import annotations

import sys

import torch
from rows import AFFINITIES, SHARED, parser_of, run, shown, table_of, written

import rim_core as rim

PRODUCTS = ("GRU×HawkesPoisson", "HorizonBlend×HawkesPoisson")


def main(arguments: list[str] | None = None) -> int:
    options = parser_of(__doc__, [*AFFINITIES, *PRODUCTS]).parse_args(arguments)
    if not (SHARED / "ml-100k").exists():
        print(f"ml-100k is not at {SHARED}: set RIM_SHARED_DATA to the folder that holds it.")
        return 0
    torch.set_num_threads(options.threads)
    log = rim.load_dataset("movielens", path=SHARED / "ml-100k")
    runs = []
    for seed in options.seeds:
        split = rim.split_preset(log, "ml-1m", seed=seed)
        print(f"seed {seed}: {split.test.shape} states × items, {split.test.target_counts.sum():,.0f} target events")
        runs += [run(name, seed, split, split.test) for name in options.models]
    table = table_of(runs)
    print(f"\n{shown(table)}")
    written(options.json, {"runs": runs, "summary": table.to_dict(orient="index")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
