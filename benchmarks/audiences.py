"""A million deliveries: rules, hashes and files, in seconds of processor time and memory.

python benchmarks/audiences.py [--deliveries 1000000] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rim_core.audiences import AudienceRules, export_pairs, held_out, response_curve, select_audience
from rim_core.evaluation import campaign_result


def made(deliveries: int, seed: int = 0) -> pd.DataFrame:
    """Pairs of a plan that gives every user ten of 2 000 items."""
    rng = np.random.default_rng(seed)
    users, items = deliveries // 10, 2000
    frame = pd.DataFrame(
        {
            "state": np.repeat(np.arange(users, dtype=np.int32), 10),
            "item": rng.integers(0, items, users * 10),
            "score": rng.gamma(0.5, 0.1, users * 10).astype(np.float32),
        }
    ).drop_duplicates(["state", "item"])
    frame = frame.sort_values(["item", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    frame["user_id"] = ("u" + frame["state"].astype(str)).astype(object)
    frame["item_id"] = ("i" + frame["item"].astype(str)).astype(object)
    frame["rank"] = frame.groupby("item").cumcount() + 1
    return frame.assign(expected=frame["score"], state_time=pd.NaT).drop(columns="item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pairs = made(arguments.deliveries)
    users = pd.Index(pairs["user_id"].unique())
    contacts = pd.DataFrame({"email": [f"{u}@example.com" for u in users], "phone": "+12125650000"}, index=users)
    suppressed = users[::50].tolist()
    rules = AudienceRules("list", 0.1, 0, 5, 400, 100)
    rows: list[dict[str, Any]] = []

    def measure(what: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({"step": what, "cpu_s": round(time.process_time() - began, 2), "peak_mib": round(peak)})
        return result

    measure(f"hold-out of {len(users):,} users", lambda: held_out(pa.array(users, pa.string()), 0.1))
    audience = measure(f"all rules on {len(pairs):,} deliveries", lambda: select_audience(pairs, rules, suppressed))
    measure("curve", lambda: response_curve(pairs["score"].to_numpy()))
    with tempfile.TemporaryDirectory() as folder:
        for form in ("csv", "parquet", "google", "meta"):
            target = Path(folder) / f"a.{'parquet' if form == 'parquet' else 'csv'}"
            measure(f"file: {form}", lambda f=form, t=target: export_pairs(pairs, to=t, format=f, contacts=contacts))
    events = audience.pairs[["user_id", "item_id"]].assign(
        time=pd.Timestamp("2024-03-01", tz="UTC"), kind="exposure", count=1.0
    )
    outcomes = events.iloc[::7].assign(kind="outcome")
    everything = pd.concat([events, outcomes], ignore_index=True)
    measure(
        f"results of {len(everything):,} events", lambda: campaign_result(audience.pairs, audience.held_out, everything)
    )
    print(pd.DataFrame(rows).to_string(index=False))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"deliveries": len(pairs), "steps": rows}, indent=1))


if __name__ == "__main__":
    main()
