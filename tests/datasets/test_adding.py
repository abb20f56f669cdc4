"""What ``rim data add`` says when a file needs a word more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rim_core.cli import main
from rim_core.storage import Workspace


def test_advice_is_in_the_words_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times that read in two ways or not at all, repeated rows: the advice can be typed as it stands."""
    root = str(tmp_path / "shop")
    assert main(["-w", root, "init"]) == 0
    file = tmp_path / "visits.csv"
    file.write_text("user_id,item_id,timestamp\nu,i,01/02/2024\nv,i,03/04/2024\n")
    capsys.readouterr()
    assert main(["-w", root, "data", "add", "visits", "--path", str(file)]) == 3
    said = capsys.readouterr().err
    assert "state --option time_format=%d/%m/%Y or --option time_format=%m/%d/%Y" in said
    assert main(["-w", root, "data", "add", "visits", "--path", str(file), "--option", "time_format=%d/%m/%Y"]) == 0
    rows = "u,i,2024-01-01\n" * 2 + "v,i,yesterday\n" + "".join(f"u{k},i,2024-01-01\n" for k in range(9))
    file.write_text("user_id,item_id,timestamp\n" + rows)
    capsys.readouterr()
    assert main(["-w", root, "data", "add", "visits", "--path", str(file)]) == 0
    said = capsys.readouterr().out
    assert "--option 'time_format=%d/%m/%Y %H:%M' or --option time_format=s for Unix seconds" in said
    assert "import with --duplicates keep" in said


def test_a_file_in_order_of_time_and_one_in_order_of_users_are_stored_alike(tmp_path: Path) -> None:
    """The first takes the shorter way through duplicates and sorting, with ties and (later) without."""
    rng = np.random.default_rng(5)
    for step in (0, 1):
        minute = np.cumsum(rng.integers(step, 3, 3_000))
        frame = pd.DataFrame({"user_id": rng.integers(0, 40, 3_000), "item_id": rng.integers(0, 9, 3_000)})
        frame["timestamp"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(minute, unit="min")).astype(str)
        frame["value"] = rng.integers(1, 4, 3_000)
        frame.to_csv(tmp_path / "by_time.csv", index=False)
        frame.sort_values("user_id", kind="stable").to_csv(tmp_path / "by_user.csv", index=False)
        with Workspace(tmp_path / str(step), create=True) as workspace:
            found = [workspace.add_dataset(n, "csv", path=tmp_path / f"{n}.csv") for n in ("by_time", "by_user")]
            assert found[0].content == found[1].content == workspace.log("by_time").version
            assert found[0].events == len(frame.drop_duplicates())
            assert (found[0].events < len(frame)) == (step == 0)
            log = workspace.log("by_time").events
            kept = frame.drop_duplicates().astype({"user_id": str})
            kept = kept.sort_values("user_id", kind="stable")
            assert log["item_id"].astype(int).tolist() == kept["item_id"].tolist()
            assert log["value"].tolist() == kept["value"].tolist()
