"""Audience files: right rows, right order, harmless cells, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rim_core as rim
from rim_core.audiences import export_pairs, neutralised, plan_pairs

SCORES = np.array([[0.5, 0.1, 0.0], [0.9, 0.4, 0.2], [0.5, 0.3, 0.8], [0.7, 0.2, 0.1]], np.float32)


@pytest.fixture
def assignment() -> rim.Assignment:
    return rim.item_rec(rim.Scores.from_dense(SCORES, item_ids=pd.Index(["tea", "milk", "=1+1"])), k=2)


def log_of(users: list[str], items: list[str]) -> rim.EventLog:
    times = pd.date_range("2024-01-01", periods=len(users) * len(items), freq="h", tz="UTC")
    rows = [(u, i) for u in users for i in items]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    return rim.EventLog.from_frame(frame.assign(timestamp=times))


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_rows_are_the_assigned_pairs_ranked_by_score(assignment: rim.Assignment, tmp_path: Path) -> None:
    receipt = rim.export_audience(assignment, item="tea", to=tmp_path / "tea.csv")
    header, *rows = read(receipt.path)
    assert header == ["user_id", "item_id", "rank", "score", "expected_interactions"]
    assert [(r[0], r[1], r[2]) for r in rows] == [("1", "tea", "1"), ("3", "tea", "2"), ("0", "tea", "3")] + (
        [("2", "tea", "4")] if assignment.matrix[2, 0] else []
    )
    assert [float(r[3]) for r in rows] == pytest.approx([0.9, 0.7, 0.5] + [0.5] * (len(rows) - 3))
    assert [r[4] for r in rows] == [r[3] for r in rows]
    assert receipt.rows == len(rows) == int(assignment.exposure[0])
    assert receipt.sha256 == hashlib.sha256(receipt.path.read_bytes()).hexdigest()


def test_all_items_hold_every_pair_once_with_ranks_from_one(assignment: rim.Assignment, tmp_path: Path) -> None:
    receipt = rim.export_audience(assignment, to=tmp_path / "all.parquet")
    frame = pq.read_table(receipt.path).to_pandas()
    assert receipt.rows == assignment.delivered == len(frame)
    column = {str(item): j for j, item in enumerate(assignment.items)}
    got = sorted((int(u), column[i]) for u, i in zip(frame["user_id"], frame["item_id"], strict=True))
    assert got == sorted(zip(*(a.tolist() for a in assignment.matrix.nonzero()), strict=True))
    for _, rows in frame.groupby("item_id"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing


def test_cells_that_a_spreadsheet_would_run_are_text(tmp_path: Path) -> None:
    users = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", ' "=1', "＝1", "a=b", "mail@x", "1-2"]
    pairs = pd.DataFrame(
        {
            "state": range(len(users)), "user_id": users, "item_id": "a", "state_time": pd.NaT,
            "rank": 1, "score": 0.5, "expected": 0.5,
        }
    )  # fmt: skip
    receipt = export_pairs(pairs, to=tmp_path / "x.csv")
    cells = [row[0] for row in read(receipt.path)[1:]]
    assert cells[:8] == ["'" + user for user in users[:8]]
    assert cells[8:] == users[8:]
    assert receipt.neutralised == 8
    exact = export_pairs(pairs, to=tmp_path / "x.parquet")
    assert pq.read_table(exact.path)["user_id"].to_pylist() == users  # read by programs: ids as they are


@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_cell_begins_a_formula_whatever_the_id(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    cells, changed = neutralised(pa.array(texts, pa.string()))
    found = cells.to_pylist()
    assert changed == sum(a != b for a, b in zip(found, texts, strict=True))
    for before, after in zip(texts, found, strict=True):
        assert after in (before, "'" + before)
        assert not after.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        stripped = after.strip(' "\t\r\n\x00\xa0')
        assert not stripped.startswith(("=", "+", "-", "@"))


def test_a_file_that_cannot_be_written_leaves_the_old_one(assignment: rim.Assignment, tmp_path: Path) -> None:
    target = tmp_path / "no folder.csv"
    target.mkdir()  # cannot be replaced by a file
    (target / "kept").write_text("x")
    with pytest.raises(rim.StorageError, match="cannot be written"):
        rim.export_audience(assignment, to=target)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
    assert (target / "kept").read_text() == "x"


def test_the_same_plan_gives_the_same_bytes_and_replaces_the_old_file(
    assignment: rim.Assignment, tmp_path: Path
) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    first = rim.export_audience(assignment, to=target)
    assert rim.export_audience(assignment, to=target) == first
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_unknown_items_and_formats_say_what_to_do(assignment: rim.Assignment, tmp_path: Path) -> None:
    with pytest.raises(rim.NotFoundError, match="did you mean milk"):
        rim.export_audience(assignment, item="milkk", to=tmp_path / "a.csv")
    with pytest.raises(rim.DataError, match=r"\.csv or \.parquet"):
        rim.export_audience(assignment, to=tmp_path / "a.xlsx")


def test_an_item_that_nobody_gets_makes_a_file_without_rows(tmp_path: Path) -> None:
    scores = rim.Scores.from_dense(np.array([[1.0, 0.0], [1.0, 0.0]]), item_ids=pd.Index(["a", "b"]))
    receipt = rim.export_audience(rim.item_rec(scores, k=1), item="b", to=tmp_path / "b.csv")
    assert receipt.rows == 0
    assert read(receipt.path) == [["user_id", "item_id", "rank", "score", "expected_interactions"]]


def test_users_with_several_states_are_told_apart_by_the_time(tmp_path: Path) -> None:
    log = log_of(["ann", "bob"], ["a", "b"])
    one = rim.UserStates(log, np.array([0, 1], np.int32), np.array([5, 6]), 10, np.array([0, 1], np.int32))
    two = replace(one, user=np.array([0, 0], np.int32))
    for states, expected in ((one, False), (two, True)):
        scores = rim.Scores.from_dense(np.array([[1.0, 0.5], [0.2, 0.3]]), states=states)
        receipt = rim.export_audience(rim.item_rec(scores, k=2), to=tmp_path / "a.csv")
        assert ("state_time" in receipt.columns) is expected
    users = {row[0] for row in read(tmp_path / "a.csv")[1:]}
    assert users == {"ann"}


def test_scores_that_are_no_counts_leave_the_expected_interactions_open(assignment: rim.Assignment) -> None:
    assert plan_pairs(assignment, counts=False)["expected"].null_count == assignment.delivered
