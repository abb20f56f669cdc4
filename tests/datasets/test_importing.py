"""Imports into a database: all or nothing, whatever happens; and the contract that a workspace builds on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rim_core.datasets import (
    EventLog,
    ImportReport,
    Reader,
    drop_staged,
    load_dataset,
    read_log,
    reader_for,
    stage_events,
    staged_import,
)
from rim_core.errors import DataError, EmptyLogError, FormatError

HEAD = "user_id,item_id,timestamp,value,title,city\n"
MAPPING = {
    "user_id": "user_id",
    "item_id": "item_id",
    "timestamp": "timestamp",
    "value": "value",
    "title": "title",
    "user_features": ["city"],
}


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    file = tmp_path / "visits.csv"
    rows = [f"u{k % 7},i{k % 5},2024-01-{1 + k % 28:02},{k},Item {k % 5},Ghent\n" for k in range(200)]
    file.write_text(HEAD + "".join(rows) + ",i1,2024-01-01,1,,\nu1,i1,soon,1,,\n")
    return file


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as opened:
        opened.execute(
            "CREATE TABLE events (row_id BIGINT, user_id VARCHAR, item_id VARCHAR, moment TIMESTAMP, value DOUBLE)"
        )
        opened.execute("CREATE TABLE orders AS SELECT 1 AS id")
        yield opened


def reader(file: Path) -> Reader:
    return reader_for("csv", file, columns=MAPPING)


INSERT = "INSERT INTO events SELECT row_id, user_id, item_id, timestamp, value FROM staged_events"


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def temporary(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Temporary tables and views that are left."""
    query = (
        "SELECT table_name FROM duckdb_tables() WHERE temporary UNION ALL "
        "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal"
    )
    return [row[0] for row in connection.execute(query).fetchall()]


def test_staged_tables_hold_what_the_contract_says(visits: Path, connection: duckdb.DuckDBPyConnection) -> None:
    with staged_import(connection, reader(visits)) as report:
        described = {
            table: [row[:2] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
            for table in ("staged_events", "staged_items", "staged_users")
        }
        assert described == {
            "staged_events": [
                ("row_id", "BIGINT"),
                ("user_id", "VARCHAR"),
                ("item_id", "VARCHAR"),
                ("timestamp", "TIMESTAMP"),
                ("value", "DOUBLE"),
                ("event_type", "VARCHAR"),
            ],
            "staged_items": [("item_id", "VARCHAR"), ("title", "VARCHAR"), ("features", "VARCHAR")],
            "staged_users": [("user_id", "VARCHAR"), ("features", "VARCHAR")],
        }
        rows = connection.execute("SELECT row_id, value FROM staged_events ORDER BY row_id").fetchall()
        assert [value for _, value in rows] == list(range(200))  # file order
        assert rows[0][0] == 0
        assert connection.execute("SELECT * FROM staged_users ORDER BY 1 LIMIT 1").fetchall() == [
            ("u0", '{"city":"Ghent"}')
        ]
        assert connection.execute("SELECT item_id, title FROM staged_items ORDER BY 1 LIMIT 1").fetchall() == [
            ("i0", "Item 0")
        ]
        connection.execute(INSERT)
        assert isinstance(read_log(connection, "visits", report=report), EventLog)
    assert count(connection, "events") == 200
    assert temporary(connection) == []
    assert report.rows_rejected == 2
    assert report.rejects_file is not None
    assert len(pd.read_csv(report.rejects_file)) == 2


def test_a_report_survives_json(visits: Path, connection: duckdb.DuckDBPyConnection) -> None:
    with staged_import(connection, reader(visits)) as report:
        pass
    assert ImportReport.from_dict(report.to_dict()) == report
    assert (report.users, report.items, report.event_types) == (7, 5, ("interaction",))
    assert (report.first, report.last) == ("2024-01-01T00:00:00Z", "2024-01-28T00:00:00Z")


def broken_files(folder: Path) -> dict[str, str]:
    """Files that cannot be read, by name."""
    contents = {
        "empty.csv": "",
        "header.csv": HEAD,
        "future.csv": HEAD + "u,i,2999-01-01,1,,\n",
        "columns.csv": "who,what\na,b\n",
        "cut.csv.gz": "\x1f\x8b\x08",
        "cut.parquet": "PAR1",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content.encode("latin-1"))
    return contents


def test_a_file_that_cannot_be_read_leaves_the_database_as_it_was(
    visits: Path, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    with staged_import(connection, reader(visits)):
        connection.execute(INSERT)
    connection.execute("CHECKPOINT")
    tables = connection.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 1").fetchall()
    before = (tmp_path / "shop.duckdb").read_bytes()
    for name in broken_files(tmp_path):
        rejects = tmp_path / f"{name}.rejects.csv"
        with pytest.raises(DataError), staged_import(connection, reader(tmp_path / name), rejects_file=rejects):
            raise AssertionError("the block must not be entered")
        assert temporary(connection) == []
        assert (
            connection.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 1").fetchall() == tables
        )
        assert rejects.exists() == (name == "future.csv")  # the message names it
    connection.execute("CHECKPOINT")
    assert (tmp_path / "shop.duckdb").read_bytes() == before
    with staged_import(connection, reader(visits)):
        connection.execute(INSERT)
    assert count(connection, "events") == 400


def test_an_error_in_the_block_undoes_everything(
    visits: Path, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    rejects = tmp_path / "rejects.csv"

    def work(query: str) -> None:
        with staged_import(connection, reader(visits), rejects_file=rejects):
            connection.execute(INSERT)
            connection.execute("DROP TABLE orders")
            connection.execute(query)
            raise KeyError("a bug")

    for query, error in (("SELECT 1", KeyError), ("INSERT INTO nowhere VALUES (1)", duckdb.Error)):
        with pytest.raises(error):
            work(query)
        assert count(connection, "events") == 0
        assert count(connection, "orders") == 1
        assert temporary(connection) == []
        assert not rejects.exists()


def test_inside_a_transaction_of_one_s_own(visits: Path, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    stage_events(connection, reader(visits))
    connection.execute(INSERT)
    drop_staged(connection)
    assert temporary(connection) == []
    connection.execute("ROLLBACK")
    assert count(connection, "events") == 0


def test_two_imports_one_after_the_other_do_not_mix(visits: Path, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    stage_events(connection, reader(visits))
    again = stage_events(connection, reader(visits))
    assert again.rows_kept == count(connection, "staged_events") == 200
    connection.execute("ROLLBACK")


@pytest.mark.parametrize("setting", ["true", "false"])
def test_file_order_holds_and_settings_stay_as_they_were(
    visits: Path, tmp_path: Path, connection: duckdb.DuckDBPyConnection, setting: str
) -> None:
    connection.execute(f"SET preserve_insertion_order = {setting}")
    with staged_import(connection, reader(visits)):
        rows = connection.execute("SELECT value FROM staged_events ORDER BY row_id").fetchall()
    assert [value for (value,) in rows] == list(range(200))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(FormatError), staged_import(connection, reader(tmp_path / "empty.csv")):
        pass
    assert connection.execute("SELECT current_setting('preserve_insertion_order')").fetchall() == [(setting == "true",)]


def test_what_is_the_future_can_be_said(visits: Path) -> None:
    log = load_dataset("csv", visits, columns=MAPPING, now=datetime(2024, 1, 10, tzinfo=UTC))
    assert log.report is not None
    assert log.report.rejected["time in the future"] == sum(1 + k % 28 > 10 for k in range(200))
    with pytest.raises(EmptyLogError, match="200 rejected: time in the future"):
        load_dataset("csv", visits, columns=MAPPING, now=datetime(2023, 1, 1, tzinfo=UTC))


def test_a_log_read_back_is_the_log_of_the_frame(visits: Path) -> None:
    log = load_dataset("csv", visits, columns=MAPPING)
    frame = pd.read_csv(visits).iloc[:200]
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    assert log.version == EventLog.from_frame(frame).version
    pd.testing.assert_frame_equal(
        log.events.astype({"user_id": str, "item_id": str, "event_type": str}),
        EventLog.from_frame(frame).events.astype({"user_id": str, "item_id": str, "event_type": str}),
    )


def test_many_rejects_and_many_duplicates_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text(
        "user_id,item_id,timestamp\n"
        + "".join(f"u{k % 1000},i{k % 7},2024-01-01\n" for k in range(30_000))  # 7 000 distinct
        + "".join(f"u{k},i,\n" for k in range(120_000))
    )
    log = load_dataset("csv", file, rejects_file=tmp_path / "rejects.csv")
    assert log.report is not None
    assert dict(log.report.rejected) == {"missing time": 120_000, "duplicate row": 23_000}
    found = pd.read_csv(tmp_path / "rejects.csv")
    lines = file.read_text().split("\n")
    assert (found["text"] == [lines[k - 1] for k in found["line"]]).all()
    assert found["line"].is_unique


CHILD = """
import sys, duckdb
from pathlib import Path
from rim_core.datasets import reader_for, staged_import
with duckdb.connect(sys.argv[1]) as connection:
    print("go", flush=True)
    with staged_import(connection, reader_for("csv", sys.argv[2]), rejects_file=Path(sys.argv[3])):
        connection.execute("INSERT INTO events SELECT row_id, user_id, item_id, timestamp, value FROM staged_events")
        print("inserted", flush=True)
        import time
        time.sleep(float(sys.argv[4]))
    print("done", flush=True)
"""


@pytest.mark.parametrize(("word", "wait"), [("go", 0.1), ("go", 0.3), ("inserted", 0.0)])
def test_killing_an_import_leaves_the_database_as_it_was(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, word: str, wait: float
) -> None:
    connection.execute("INSERT INTO events VALUES (0, 'u', 'i', TIMESTAMP '2020-01-01', 1)")
    connection.close()
    file, database, rejects = tmp_path / "big.csv", tmp_path / "shop.duckdb", tmp_path / "rejects.csv"
    rows = [f"u{k % 5000},i{k},2024-01-01 00:{k % 60:02}:00\n" for k in range(100_000)]
    file.write_text("user_id,item_id,timestamp\n" + "".join([*rows, *rows[:100]]))
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(database), str(file), str(rejects), "60"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        while process.stdout.readline().strip() not in (word, ""):
            pass
        time.sleep(wait)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with duckdb.connect(str(database)) as opened:
        assert count(opened, "events") == 1
        assert count(opened, "orders") == 1
        assert temporary(opened) == []
        with staged_import(opened, reader_for("csv", file), rejects_file=rejects) as report:
            opened.execute(INSERT)
        assert count(opened, "events") == 1 + report.rows_kept
        assert report.rows_read == 100_100
        assert len(pd.read_csv(rejects)) == report.rows_rejected == 100  # complete, whatever the killed one had begun


def test_a_file_that_changes_its_mind_halfway_is_still_all_or_nothing(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    """Damage far behind the sample: counted where rows can be told apart, and nothing is lost without a word."""
    rows = "".join(f"u{k % 50},i{k},2024-01-01,1,,\n" for k in range(40_000))
    file = tmp_path / "late.csv"
    file.write_bytes((HEAD + rows).encode() + b"u,\xff\xfe,2024-01-01,1,,\n" + b"u1,i1\n" + rows.encode()[:90])
    with staged_import(connection, reader(file), rejects_file=tmp_path / "rejects.csv") as report:
        assert report.rows_read == report.rows_kept + report.rows_rejected
        assert report.rejected["not in the stated encoding"] == 1
    found = pd.read_csv(tmp_path / "rejects.csv")
    assert found.loc[found["reason"] == "not in the stated encoding", "line"].tolist() == [40_002]
