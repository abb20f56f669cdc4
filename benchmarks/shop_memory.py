"""Peak memory of `rim data add big shop --option users=N`: it is bounded, however many users there are.

    python benchmarks/shop_memory.py [--users 50000 200000 1000000] [--limit 2GB] [--json FILE]

Every size is imported by the real command in a process and a folder of its own (under --folder: a million users write
some GB). Rows: users, events, peak resident memory of the process (getrusage), CPU and wall seconds, and the size of
the database. The limit is DuckDB's (RIM_MEMORY_LIMIT); the interpreter, its packages and what is streamed through it
come on top.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rim_core.datasets.memory import ENVIRONMENT, memory_limit

ON_TOP = 0.8
"""GB above the limit that Python, its packages and streamed rows may take."""

CHILD = """
import json, resource, sys
from rim_core.storage import Workspace
with Workspace(sys.argv[1], create=True) as workspace:
    info = workspace.add_dataset("big", "shop", options={"users": int(sys.argv[2])})
used = resource.getrusage(resource.RUSAGE_SELF)
figures = {"events": info.events, "content": info.content}
print(json.dumps(figures | {"peak_gb": used.ru_maxrss * 1024 / 1e9, "cpu": used.ru_utime + used.ru_stime}))
"""


def measure(users: int, parent: Path | None) -> dict[str, float | str]:
    """Figures of one import."""
    with tempfile.TemporaryDirectory(prefix="rim-bench-shop-", dir=parent) as folder:
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", CHILD, folder, str(users)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        figures: dict[str, float | str] = {"users": users, **json.loads(done.stdout.splitlines()[-1])}
        figures["wall"] = time.perf_counter() - began
        figures["database_gb"] = (Path(folder) / "data" / "rim.duckdb").stat().st_size / 1e9
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--limit", help="RIM_MEMORY_LIMIT of the imports, such as 500MB")
    parser.add_argument("--folder", type=Path, help="where workspaces are made (the system's temporary folder)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    if options.limit:
        os.environ[ENVIRONMENT] = options.limit
    limit = memory_limit() / 1e9
    print(f"limit {limit:.2f} GB; {os.cpu_count()} cores")
    print(f"{'users':>10}{'events':>12}{'peak GB':>9}{'CPU s':>8}{'wall s':>8}{'file GB':>9}  content")
    found = []
    for users in options.users:
        row = measure(users, options.folder)
        found.append(row)
        print(
            f"{users:10,}{row['events']:12,}{row['peak_gb']:9.2f}{row['cpu']:8.1f}{row['wall']:8.1f}"
            f"{row['database_gb']:9.2f}  {row['content']}",
            flush=True,
        )
    over = [row for row in found if float(row["peak_gb"]) > limit + ON_TOP]
    print(f"\nGoal: at most the limit and {ON_TOP} GB, whatever the size: {'missed' if over else 'met'}.")
    if options.json:
        options.json.write_text(json.dumps({"limit_gb": limit, "runs": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
