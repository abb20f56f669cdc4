"""The simulated shop, whose true intensities are known: how near to the ceiling does each row come?

    python benchmarks/shop_ceiling.py [--models Frequency BoostedCounts] [--seeds 0 1 2] [--json out.json]

A seed makes another shop (5 000 users, 500 items, 180 days). The row "truth" ranks by the expected purchases that the
shop's own equations give for what is visible: no model can be expected to do better.
"""

from __future__ import annotations

import sys

import torch
from rows import AFFINITIES, parser_of, run, shown, table_of, written

import rim_core as rim
from rim_core.datasets import SimulatedShop


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, AFFINITIES)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=500)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    runs = []
    for seed in options.seeds:
        shop = SimulatedShop(users=options.users, items=options.items, seed=seed)
        split = rim.split_by_time(shop.log(), horizon="14D", calibration=1)
        assert split.later is not None
        states = split.later.test
        print(f"seed {seed}: {states.shape} states × items, {states.target_counts.sum():,.0f} target events")
        truth = shop.truth(states)
        by_item = rim.evaluate(rim.item_rec(truth), states)
        by_user = rim.evaluate(rim.user_rec(truth), states)
        runs.append(
            {"model": "truth", "seed": seed, "item_precision": by_item.precision, "user_precision": by_user.precision,
             "item_recall": by_item.item_recall, "user_recall": by_user.user_recall,
             "item_perplexity": by_item.item_perplexity, "user_perplexity": by_user.user_perplexity,
             "total": truth.row_sums().sum() / states.target_counts.sum()}
        )  # fmt: skip
        runs += [run(name, seed, split, states, refit=True) for name in options.models]
    table = table_of(runs)
    for column in ("ItemRec", "UserRec"):
        table[f"{column} of ceiling"] = table[column] / table.loc["truth", column]
    print(f"\n{shown(table)}")
    written(options.json, {"runs": runs, "summary": table.to_dict(orient="index")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
