"""Columns that answer yes or no, as campaign tools write them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rim_core.datasets import guess_columns, load_dataset
from rim_core.datasets.answers import NO, YES, answer_of, answer_sql
from rim_core.errors import FormatError

COLUMNS = {"outcome": "bought"}


def results(folder: Path, answers: list[str], name: str = "bought") -> Path:
    rows = [f"u{i},p,2024-05-{i % 28 + 1:02d}T10:00:00Z,{cell}" for i, cell in enumerate(answers)]
    file = folder / "results.csv"
    file.write_text("\n".join([f"user_id,item_id,timestamp,{name}", *rows, ""]))
    return file


@pytest.mark.parametrize(
    ("yes", "no"),
    [("yes", "no"), ("Yes", "NO"), ("true", "false"), ("True", "False"), ("1", "0"), ("1.0", "0.0"), ("y", "n"),
     ("bought", "-"), ("bought", ""), ("x", ""), ("ja", "nein"), ("Oui", "non"), (" yes ", " no ")],
)  # fmt: skip
def test_yes_counts_once_and_no_not_at_all(tmp_path: Path, yes: str, no: str) -> None:
    log = load_dataset("csv", results(tmp_path, [yes, no, no]), columns=COLUMNS)
    assert log.events.set_index("user_id")["value"].to_dict() == {"u0": 1.0, "u1": 0.0, "u2": 0.0}
    assert log.report is not None
    assert log.report.rows_rejected == 0
    assert not log.report.defaults


def test_what_is_neither_is_rejected_with_its_line_and_cause_and_a_number_counts_as_often(tmp_path: Path) -> None:
    file = results(tmp_path, ["yes", "perhaps", "3", "-1", "0.5", ""])
    log = load_dataset("csv", file, columns=COLUMNS, rejects_file=tmp_path / "rejects.csv")
    assert log.events["value"].tolist() == [1.0, 3.0, 0.0]
    rejects = pd.read_csv(tmp_path / "rejects.csv")
    assert rejects["line"].tolist() == [3, 5, 6]
    assert set(rejects["reason"]) == {"neither yes nor no"}
    assert "perhaps" in rejects["text"].iloc[0]
    assert log.report is not None
    assert "3 rejected: neither yes nor no. Write yes or no" in log.report.summary()


def test_answers_of_a_parquet_file_may_be_truth_values(tmp_path: Path) -> None:
    file = tmp_path / "results.parquet"
    frame = pd.DataFrame({"user_id": ["a", "b", "c"], "item_id": "p", "timestamp": pd.Timestamp("2024-05-01")})
    for answers in ([True, False, None], [1.0, 0.0, None], [1, 0, 0], ["yes", "no", None]):
        frame.assign(bought=pd.array(answers) if isinstance(answers[0], bool) else answers).to_parquet(file)
        assert load_dataset("parquet", file, columns=COLUMNS).events["value"].tolist() == [1.0, 0.0, 0.0]


def test_sql_and_python_read_every_cell_alike() -> None:
    cells = [
        None,
        "",
        " ",
        *YES,
        *NO,
        *(w.upper() for w in (*YES, *NO)),
        "7",
        "2.",
        "2.5",
        "-1",
        "1e3",
        "maybe",
        "no no",
    ]
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT {answer_sql('cell')} FROM (SELECT unnest($1) AS cell)", [cells]).fetchall()
    assert [row[0] for row in found] == [answer_of(cell) for cell in cells]
    assert {answer_of(word) for word in YES} == {1.0}
    assert {answer_of(word) for word in NO} == {0.0}


def test_a_value_and_an_outcome_are_not_mapped_together(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="one of the two"):
        load_dataset("csv", results(tmp_path, ["1"]), columns={"outcome": "bought", "value": "bought"})


@pytest.mark.parametrize(
    ("name", "answers", "guess"),
    [
        ("Bought", ["yes", "", "no"], "Bought"),  # by its name
        ("Kauf", ["ja", "nein", "-"], "Kauf"),  # nothing else is said, and it is all yes and no
        ("Kauf", ["ja", "nein", "vielleicht"], None),
        ("amount", ["12", "1", "0"], None),
        ("event_type", ["1", "0", "0"], None),
    ],
)
def test_a_column_of_answers_is_proposed(tmp_path: Path, name: str, answers: list[str], guess: str | None) -> None:
    assert guess_columns(results(tmp_path, answers, name)).outcome == guess
