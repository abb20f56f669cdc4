"""An import takes the memory it is allowed, not what the data would fill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rim_core.datasets.memory import ENVIRONMENT, LEAST, MOST, memory_limit, scratch_connection
from rim_core.errors import DataError
from rim_core.storage import Workspace

CHILD = """
import json, sys
from pathlib import Path
from rim_core.storage import Workspace
with Workspace(sys.argv[1], create=True) as workspace:
    info = workspace.add_dataset("big", "shop", options={"users": 60_000, "days": 120})
status = Path("/proc/self/status")  # getrusage would count what the parent had when it forked
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
print(json.dumps({"content": info.content, "events": info.events, "peak": peak}))
"""


def imported(folder: Path, limit: str) -> dict[str, Any]:
    """What a child process under a limit says of its import."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        env={**os.environ, ENVIRONMENT: limit},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_an_import_larger_than_its_memory_ends_in_the_same_log_and_leaves_no_overflow(tmp_path: Path) -> None:
    roomy, tight = (imported(tmp_path / limit, limit) for limit in ("2GB", "80MB"))
    assert tight["content"] == roomy["content"]
    assert tight["events"] > 600_000
    assert tight["peak"] is None or tight["peak"] < roomy["peak"]  # None where there is no /proc
    assert not list((tmp_path / "80MB" / "data").glob("*.tmp"))


@pytest.mark.parametrize(("text", "size"), [("512MB", 512_000_000), ("1.5 GiB", 3 << 29), ("300000000", 300_000_000)])
def test_the_limit_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    assert memory_limit() == size
    with scratch_connection() as connection:
        folder = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
        assert Path(folder).is_dir()
    assert not Path(folder).exists()


@pytest.mark.parametrize("text", ["much", "80%", "-1GB", "5MB"])
def test_a_limit_that_is_none_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(DataError, match=ENVIRONMENT):
        Workspace(tmp_path / "shop", create=True)
    assert not (tmp_path / "shop" / "data" / "rim.duckdb").exists()


def test_without_a_word_the_limit_is_a_part_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert LEAST <= memory_limit() <= MOST


def test_overflow_of_a_process_that_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "data" / "rim.duckdb.tmp"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"0" * 4096)
    with Workspace(tmp_path, create=True) as workspace:
        assert not list(left.glob("*"))
        assert workspace.datasets() == []
    assert not left.exists()
