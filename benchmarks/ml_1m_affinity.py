"""The affinity rows of the published ml-1m protocol, beside the figures of the paper's own code.

    python benchmarks/ml_1m_affinity.py [--models ALS BPR] [--seeds 0 1 2] [--json out.json]

Item precision is to reach 97 % of the reference, user precision to be within 0.004 of it (the reference's own figures
move by that much with how missing timestamps are filled in). ml-1m is found through RIM_SHARED_DATA.
"""

from __future__ import annotations

import json
import sys

import torch
from rows import AFFINITIES, SHARED, parser_of, run, shown, table_of, written

import rim_core as rim

IN_REFERENCE = {
    "Random": "Rand", "Popularity": "Pop", "ALS": "ALS", "LogisticMF": "LogisticMF", "BPR": "BPR",
    "LightFM-BPR-Item": "BPR-Item", "LightFM-BPR-User": "BPR-User",
}  # fmt: skip
ITEM_SHARE, USER_DISTANCE = 0.97, 0.004


def main(arguments: list[str] | None = None) -> int:
    options = parser_of(__doc__, AFFINITIES).parse_args(arguments)
    if not (SHARED / "ml-1m").exists():
        print(f"ml-1m is not at {SHARED}: set RIM_SHARED_DATA to the folder that holds it.")
        return 0
    torch.set_num_threads(options.threads)
    log = rim.load_dataset("movielens", path=SHARED / "ml-1m")
    split, runs = rim.split_preset(log, "ml-1m", seed=0), []  # seed 0 draws the reference's own test group
    for seed in options.seeds:
        runs += [run(name, seed, split, split.test) for name in options.models]
    table = table_of(runs)
    print(f"\n{shown(table)}")
    path = SHARED.parent / "reference" / "ml-1m.json"
    if path.is_file():
        reference = json.loads(path.read_text(encoding="utf-8"))["exclude_seen"]
        for ours, theirs in IN_REFERENCE.items():
            if ours in table.index:
                share = table.loc[ours, "ItemRec"] / reference[theirs]["item_precision"]
                distance = table.loc[ours, "UserRec"] - reference[theirs]["user_precision"]
                kept = share >= ITEM_SHARE and abs(distance) <= USER_DISTANCE
                verdict = "reached" if kept else "MISSED"
                print(f"{ours}: ItemRec {share:.1%} of the reference, UserRec {distance:+.4f} from it: {verdict}")
    written(options.json, {"runs": runs, "summary": table.to_dict(orient="index")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
