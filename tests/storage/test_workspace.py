"""A workspace survives whatever happens to the process that has it, and says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

import rim_core as rim
from rim_core.errors import NotFoundError, StorageError, WorkspaceBusyError
from rim_core.storage import Workspace, database, read_json
from rim_core.storage.owner import Owner, read_owner

PACKAGE = str(Path(rim.__file__).resolve().parents[1])
ADDRESS = "http://localhost:8765"

Child = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """Starts a process that opens the workspace as ``w`` and runs a script up to "ready"; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        opening = (
            "import os, sys, time\nfrom rim_core.storage import Workspace\n"
            f"w = Workspace({str(tmp_path)!r}, create=True, command='rim serve', address={ADDRESS!r})\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", f"{opening}{script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": PACKAGE},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def told(workspace: Workspace) -> list[str]:
    """What was recorded, oldest first."""
    return [a.subject for a in reversed(workspace.activity())]


# -- layout ---------------------------------------------------------------------------------------------------


def test_a_new_workspace_has_every_layout_step_once_and_in_order(tmp_path: Path) -> None:
    known = database.migrations()
    assert [m.number for m in known] == list(range(1, len(known) + 1))
    for _ in range(2):  # opening again applies nothing again
        with Workspace(tmp_path, create=True) as workspace:
            rows = workspace.query("SELECT version, name FROM schema_version ORDER BY version")
            assert rows == [(m.number, m.name) for m in known]
            assert workspace.database.schema == known[-1].number


def test_a_newer_workspace_is_refused_with_advice_and_left_as_it_was(tmp_path: Path) -> None:
    with Workspace(tmp_path, create=True) as workspace, workspace.transaction() as cursor:
        cursor.execute("INSERT INTO schema_version VALUES (99, 'later', '2030-01-01')")
    path = tmp_path / "data" / "rim.duckdb"
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"newer version of RIM \(layout 99.*pip install --upgrade") as refused:
        Workspace(tmp_path)
    assert refused.value.exit_code == 7
    assert path.read_bytes() == before
    assert not (tmp_path / "data" / "rim.duckdb.owner.json").exists()


def test_plans_of_the_layout_before_say_who_loses_as_they_did(tmp_path: Path) -> None:
    losers = {"states": [5, 0, 1, 0, 2, 0, 0], "worse": 0.375, "worst_tenth": 0.5}
    promises = {"request": {"capacity": 2, "max_exposure": None}, "cost": 0.25, "problems": [], "free": [7, 0, 3]}
    kept = {"dashboard": {"online": {"precision": 0.5}, "promises": {**promises, "losers": losers}}, "command": {}}
    (tmp_path / "data").mkdir()
    with duckdb.connect(str(tmp_path / "data" / "rim.duckdb")) as old:
        for step in database.migrations()[:2]:
            old.execute(step.sql)
            old.execute("INSERT INTO schema_version VALUES (?, ?, '2024-01-01')", [step.number, step.name])
        for name, metrics in kept.items():
            row = [name, name, 1, "{}", "m", "dual", '{"capacity": 2}', 0, "", "{}", json.dumps(metrics), "1", False]
            old.execute(f"INSERT INTO scenarios VALUES ({', '.join('?' * 13)}, '2024-01-01', '2024-01-01')", row)
        for item in ("c", "a", "b"):  # of both plans by turns
            for name in kept:
                old.execute("INSERT INTO scenario_items VALUES (?, ?, 1, 9, 4, -0.5)", [name, item])
    with Workspace(tmp_path) as workspace:
        found = workspace.scenario("dashboard")
        assert found.metrics["losses"] == {**losers, "cost": 0.25}
        assert found.metrics["promises"] == {"request": promises["request"], "problems": []}
        assert found.metrics["online"] == {"precision": 0.5}
        items = workspace.scenario_items("dashboard")
        assert items["item_id"].tolist() == ["c", "a", "b"]
        assert items["free"].tolist() == [7, 0, 3]
        assert items["price"].tolist() == [-0.5] * 3
        assert items["chance"].isna().all()
        assert workspace.scenario("command").metrics == {}
        assert workspace.scenario_items("command")["free"].isna().all()
        assert workspace.scenario_items("command")["item_id"].tolist() == ["c", "a", "b"]


def test_a_layout_step_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Workspace(tmp_path, create=True).close()
    known = database.migrations()
    broken = database.Migration(known[-1].number + 1, "broken", "CREATE TABLE half (x INTEGER); SELECT nonsense;")
    with monkeypatch.context() as patch:
        patch.setattr(database, "migrations", lambda: [*known, broken])
        with pytest.raises(StorageError, match=r"layout \d+ \(broken\), nothing was changed"):
            Workspace(tmp_path)
    with Workspace(tmp_path) as workspace:
        assert workspace.database.schema == known[-1].number
        assert workspace.query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'") == [(0,)]
        assert workspace.query("SELECT max(version) FROM schema_version") == [(known[-1].number,)]


def test_what_is_no_workspace_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "rim.duckdb"
    with pytest.raises(NotFoundError, match="rim init"):
        Workspace(tmp_path)
    path.parent.mkdir()
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE TABLE invoices (x INTEGER)")
    with pytest.raises(StorageError, match="a database of something else"):
        Workspace(tmp_path)
    with duckdb.connect(str(path)) as other:
        assert other.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("invoices",)]
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StorageError, match=r"cannot be read as a RIM workspace.*restore a copy"):
        Workspace(tmp_path)
    assert path.read_bytes().startswith(b"no database")


@pytest.mark.parametrize("where", ["file", "file/below", "x" * 300])
def test_a_folder_that_cannot_be_one_is_a_storage_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Workspace(tmp_path / where, create=True)
    with pytest.raises(StorageError):
        Workspace(tmp_path / where)


# -- one owner ------------------------------------------------------------------------------------------------


def test_who_is_refused_learns_which_process_has_it_and_where(tmp_path: Path, child: Child) -> None:
    other = child("print('ready', flush=True); sys.stdin.read()")
    with pytest.raises(WorkspaceBusyError) as refused:
        Workspace(tmp_path)
    assert (refused.value.pid, refused.value.address) == (other.pid, ADDRESS)
    for word in (f"process {other.pid}", "rim serve", f"open {ADDRESS}"):
        assert word in str(refused.value)
    for torn in ("", '{"pid": 1', "[]", '{"pid": 1}'):  # without the owner file the lock still names the process
        (tmp_path / "data" / "rim.duckdb.owner.json").write_text(torn)
        with pytest.raises(WorkspaceBusyError, match=f"process {other.pid}") as refused:
            Workspace(tmp_path)
        assert (refused.value.pid, refused.value.address) == (other.pid, None)
    other.kill()
    other.wait()
    Workspace(tmp_path).close()


def test_one_process_may_open_it_twice_and_gives_it_back_with_the_last(tmp_path: Path) -> None:
    owner = tmp_path / "data" / "rim.duckdb.owner.json"
    first, second = Workspace(tmp_path, create=True), Workspace(tmp_path)
    assert first.database is second.database
    first.announce(ADDRESS)
    found = read_owner(owner)
    assert found is not None
    assert (found.pid, found.address) == (os.getpid(), ADDRESS)
    first.close()
    first.close()
    second.record("x", "still usable")
    second.close()
    assert not owner.exists()


def test_the_owner_is_forgotten_before_the_lock_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the next owner, already there, would lose its name to the one who goes."""
    workspace = Workspace(tmp_path, create=True)
    seen = []

    class Watched:
        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self.connection = connection

        def close(self) -> None:
            seen.append(workspace.database.owner_file.exists())
            self.connection.close()

    monkeypatch.setattr(workspace.database, "_connection", Watched(workspace.database._connection))
    workspace.close()
    assert seen == [False]


def test_two_processes_take_turns_and_both_keep_what_they_wrote(tmp_path: Path) -> None:
    Workspace(tmp_path, create=True).close()
    script = (
        "import sys, time\nfrom rim_core.storage import Workspace\nfrom rim_core.errors import WorkspaceBusyError\n"
        "for i in range(3):\n"
        "    while True:\n"
        "        try:\n"
        f"            with Workspace({str(tmp_path)!r}) as w: w.record('said', f'{{sys.argv[1]}}{{i}}')\n"
        "            break\n"
        "        except WorkspaceBusyError: time.sleep(0.2)\n"
        "    assert not w.recovered, w.recovered\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script, name], env={**os.environ, "PYTHONPATH": PACKAGE})
        for name in "ab"
    ]
    assert [p.wait(60) for p in both] == [0, 0]
    with Workspace(tmp_path) as workspace:
        assert sorted(told(workspace)) == [f"{name}{i}" for name in "ab" for i in range(3)]
        assert workspace.recovered == ()


def test_threads_write_in_turns_and_nothing_of_a_failed_block_stays(tmp_path: Path) -> None:
    with Workspace(tmp_path, create=True) as workspace:

        def write(name: str) -> None:
            for i in range(10):
                with workspace.transaction():
                    workspace.record("said", f"{name}{i}")
                    workspace.record("said", f"{name}{i}'")

        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told(workspace)) == 60
        with pytest.raises(ZeroDivisionError), workspace.transaction():  # noqa: PT012
            workspace.record("said", "undone")
            with workspace.transaction():
                workspace.record("said", "undone too")
            raise ZeroDivisionError
        assert len(told(workspace)) == 60


# -- killed ---------------------------------------------------------------------------------------------------

COMMITTED = "for i in range(20): w.record('said', str(i))\n"
OPEN = (
    "c = w.database.cursor(); c.execute('BEGIN')\n"
    "c.execute(\"INSERT INTO activity SELECT nextval('activity_ids'), now(), 'x', 'said', 'lost', '{}' "
    'FROM range(200000)")\n'
)


@pytest.mark.parametrize("script", [COMMITTED, COMMITTED + OPEN], ids=["between", "in the middle of a transaction"])
def test_sigkill_loses_nothing_committed_and_the_next_open_says_what_happened(
    tmp_path: Path, child: Child, script: str
) -> None:
    other = child(f"{script}print('ready', flush=True); sys.stdin.read()")
    other.send_signal(signal.SIGKILL)
    assert other.wait() == -signal.SIGKILL
    with Workspace(tmp_path) as workspace:
        (text,) = workspace.recovered
        for words in (f"process {other.pid} (`rim serve`)", ADDRESS, "ended without closing", "were recovered"):
            assert words in text
        assert told(workspace) == [str(i) for i in range(20)]
        assert text in [f.text for f in workspace.health()]
    with Workspace(tmp_path) as workspace:
        assert workspace.recovered == ()
        assert told(workspace) == [str(i) for i in range(20)]


def test_a_process_that_ends_without_a_word_is_told_from_one_that_closed(tmp_path: Path, child: Child) -> None:
    other = child(f"{COMMITTED}{OPEN}print('ready', flush=True); sys.stdin.readline(); os._exit(3)")
    other.communicate("\n")
    assert other.returncode == 3
    with Workspace(tmp_path) as workspace:
        assert len(workspace.recovered) == 1
        assert len(told(workspace)) == 20
    other = child("w.record('said', 'more'); w.close(); print('ready', flush=True)")
    other.wait()
    with Workspace(tmp_path) as workspace:
        assert workspace.recovered == ()
        assert told(workspace)[-1] == "more"


def test_a_log_cut_off_while_it_was_written_keeps_what_stands_before_it(tmp_path: Path, child: Child) -> None:
    """The machine went down in the middle of a write: the last bytes of the write-ahead log are missing."""
    other = child(f"{COMMITTED}print('ready', flush=True); sys.stdin.read()")
    other.kill()
    other.wait()
    wal = tmp_path / "data" / "rim.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[:-7])
    with Workspace(tmp_path) as workspace:
        kept = told(workspace)
        assert kept == [str(i) for i in range(19)]
        assert workspace.recovered


def test_an_owner_file_of_a_reused_process_number_is_not_believed(tmp_path: Path) -> None:
    Workspace(tmp_path, create=True).close()
    stranger = Owner(os.getpid(), "another start", "rim serve", ADDRESS, Owner.this().host, "2024-01-01")
    assert not stranger.alive
    assert Owner.this().alive
    database.write_owner(tmp_path / "data" / "rim.duckdb.owner.json", stranger)
    with Workspace(tmp_path) as workspace:
        assert "no change was under way" in workspace.recovered[0]
        assert workspace.owner.alive
    assert read_json(tmp_path / "data" / "rim.duckdb.owner.json") is None


# -- full disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here (needs root): a full disk is tried with failing writes")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_and_nothing_committed_is_lost(small_disk: Path) -> None:
    workspace = Workspace(small_disk / "w", create=True)
    info = workspace.add_dataset("toy", "shop", options={"users": 40, "items": 12, "days": 40, "seed": 0})
    workspace.record("said", "before")
    filler = small_disk / "filler"
    with filler.open("wb") as stream, pytest.raises(OSError, match="No space"):  # noqa: PT012
        while True:
            stream.write(b"x" * (1 << 20))
            stream.flush()
    with pytest.raises(StorageError, match="free some"):
        workspace.add_dataset("big", "shop", options={"users": 1_500, "items": 100, "days": 100, "seed": 0})
    with pytest.raises(StorageError, match=r"cannot be written.*free some disk space"):
        workspace.write_log("toy", None, workspace.jobs_folder / "job-x" / "input")
    workspace.close()
    filler.unlink()
    with Workspace(small_disk / "w") as workspace:
        assert workspace.datasets() == [info]
        assert len(workspace.log("toy").events) == info.events
        assert "before" in told(workspace)
        assert workspace.add_dataset("more", "shop", options={"users": 20, "items": 12, "days": 30}).is_new


@pytest.mark.parametrize("error", [duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException])
def test_a_write_that_fails_undoes_the_block_and_says_what_to_do(tmp_path: Path, error: type[Exception]) -> None:
    with Workspace(tmp_path, create=True) as workspace:
        workspace.record("said", "before")
        with pytest.raises(StorageError, match=r"[Ff]ree some"), workspace.transaction():  # noqa: PT012
            workspace.record("said", "undone")
            raise error("No space left on device")
        assert told(workspace) == ["before"]
        workspace.record("said", "after")
        assert told(workspace) == ["before", "after"]
