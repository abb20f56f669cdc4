"""How long importing a CSV takes beside DuckDB's bare ``read_csv`` of it into a table.

    python benchmarks/import_csv.py [--rows 1000000] [--repeats 5] [--json FILE]

The bare read knows nothing of users, items or times: it guesses types and fills one table of a database file. The
import does all that `rim data add` does: it scans the bytes, converts, validates and counts every row, keeps what it
rejects, finds duplicates, codes and sorts users, items and events, hashes the content and commits. Runs take turns,
each in a process and a folder of its own, so that neither gains from what the other left behind.

Rows: what is timed, wall and CPU seconds (median of the repeats, and the least), and wall time beside the bare read.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 3.0
"""The import may take this many times the bare read."""


FILES = {
    "ids of text, ISO times": """
        SELECT 'visitor-' || who AS visitor, 'sku-' || what AS product,
               strftime(moment, '%Y-%m-%dT%H:%M:%SZ') AS moment, price,
               CASE WHEN i % 10 = 0 THEN 'buy' ELSE 'view' END AS action
        FROM visits""",
    "numbers only, Unix times": """
        SELECT who AS visitor, what AS product, epoch(moment)::BIGINT AS moment, price, i % 2 AS action FROM visits""",
    "1 % faulty or duplicate": """
        SELECT 'visitor-' || who AS visitor, 'sku-' || what AS product,
               CASE WHEN i % 300 = 7 THEN 'yesterday' ELSE strftime(moment, '%Y-%m-%dT%H:%M:%SZ') END AS moment,
               CASE WHEN i % 300 = 107 THEN -1 ELSE price END AS price,
               CASE WHEN i % 10 = 0 THEN 'buy' ELSE 'view' END AS action
        FROM (FROM visits UNION ALL FROM visits WHERE i % 300 = 207)""",
}
"""What the files hold."""

COLUMNS = {"user_id": "visitor", "item_id": "product", "timestamp": "moment", "value": "price", "event_type": "action"}


def write_csv(path: Path, rows: int, query: str) -> None:
    """Visits of a shop: 20 a visitor, few items with most of the visits, half a year in order of time."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(
            f"""CREATE VIEW visits AS SELECT i, hash(i) % ({rows} // 20 + 1) AS who,
                       floor(10000 * pow((hash(i * 7) % 1000000) / 1e6, 2))::INTEGER AS what,
                       TIMESTAMP '2024-01-01' + to_seconds(i * 15768000.0 / {rows}) AS moment,
                       round((hash(i * 3) % 10000) / 100, 2) AS price
                FROM range({rows}) t(i)"""
        )
        connection.execute(f"COPY ({query}) TO '{path}' (HEADER)")


def bare(csv: Path, folder: Path) -> None:
    """read_csv into a table of a new database file."""
    import duckdb

    with duckdb.connect(str(folder / "bare.duckdb")) as connection:
        connection.execute(f"CREATE TABLE events AS SELECT * FROM read_csv('{csv}')")
        connection.execute("CHECKPOINT")


def staged(csv: Path, folder: Path) -> None:
    """The importer alone, into one table of a new database file."""
    import duckdb

    from rim_core.datasets import reader_for, staged_import

    with duckdb.connect(str(folder / "staged.duckdb")) as connection:
        reader = reader_for("csv", csv, columns=COLUMNS)
        with staged_import(connection, reader, rejects_file=folder / "rejects.csv"):
            connection.execute("CREATE TABLE events AS SELECT * FROM staged_events")
        connection.execute("CHECKPOINT")


def workspace(csv: Path, folder: Path) -> None:
    """All of `rim data add`: the importer and the workspace's tables, codes, hashes and report."""
    from rim_core.storage import Workspace

    with Workspace(folder, create=True) as opened:
        opened.add_dataset("visits", "csv", path=csv, options={"columns": COLUMNS})


def _timed(work: Callable[[Path, Path], None], csv: Path, results: multiprocessing.Queue[tuple[float, float]]) -> None:
    import duckdb  # noqa: F401  (importing packages is not what is measured)

    import rim_core.storage  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="rim-bench-") as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        work(csv, Path(folder))
        results.put((time.perf_counter() - wall, time.process_time() - cpu))


def measure(csv: Path, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of every run, runs taking turns."""
    works = {"bare read_csv": bare, "staged import": staged, "rim data add": workspace}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    context = multiprocessing.get_context("spawn")
    for _ in range(repeats):
        for name, work in works.items():
            results: multiprocessing.Queue[tuple[float, float]] = context.Queue()
            process = context.Process(target=_timed, args=(work, csv, results))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{name} failed: see above")
            seconds[name].append(results.get())
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="rim-bench-csv-") as folder:
        for kind, query in FILES.items():
            csv = Path(folder) / "visits.csv"
            write_csv(csv, options.rows, query)
            print(f"\n{options.rows:,} rows, {csv.stat().st_size / 2**20:.0f} MB, {kind}; {os.cpu_count()} cores")
            print(f"{'':<16}{'wall s':>9}{'least':>9}{'CPU s':>9}{'least':>9}{'x bare (wall)':>15}{'x bare (CPU)':>14}")
            runs = measure(csv, options.repeats)
            base = [statistics.median(values) for values in zip(*runs["bare read_csv"], strict=True)]
            for name, times in runs.items():
                wall, cpu = zip(*times, strict=True)
                row = [statistics.median(wall), min(wall), statistics.median(cpu), min(cpu)]
                times_bare = row[0] / base[0], row[2] / base[1]
                print(f"{name:<16}" + "".join(f"{x:9.2f}" for x in row) + f"{times_bare[0]:15.2f}{times_bare[1]:14.2f}")
                found.append({"file": kind, "what": name, "wall": wall, "cpu": cpu, "times_bare": times_bare})
    slow = [f for f in found if f["what"] == "rim data add" and f["times_bare"][0] > LIMIT]
    print(f"\nGoal: at most {LIMIT:.0f}x the wall time of the bare read: {'missed' if slow else 'met'}.")
    if options.json:
        options.json.write_text(json.dumps({"rows": options.rows, "runs": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
