"""A training goes on, stops, or is taken up again, whatever happens to its worker and to its owner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import rim_core as rim
from rim_core.errors import Cancelled, JobError, ModelError, NotFoundError, SplitError, StorageError
from rim_core.jobs import Job, Jobs, worker
from rim_core.jobs.folder import JobFolder, JobProgress
from rim_core.jobs.jobs import FOLDERS_KEPT
from rim_core.jobs.spec import TrainingSpec
from rim_core.jobs.training import Places, train_models
from rim_core.models import load_model
from rim_core.progress import Progress, silent
from rim_core.storage import Workspace, to_json
from rim_core.storage.eventlogs import read_parquet

SHOP = {"users": 60, "items": 12, "days": 60, "seed": 1}
SPLIT = {"by": "time", "horizon": "7D"}
GRU = {"model": "GRU", "dim": 8, "batch_tokens": 256, "max_epochs": 15, "patience": 100, "seed": 3}
PACKAGE = str(Path(rim.__file__).resolve().parents[1])


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path / "w", create=True) as opened:
        opened.add_dataset("toy", "shop", options=SHOP)
        yield opened


@pytest.fixture
def jobs(workspace: Workspace) -> Iterator[Jobs]:
    """Whatever it has started ends with the test."""
    made = Jobs(workspace, threads=1)
    yield made
    for process in made._workers.values():
        process.kill()
        process.wait()


def queued(jobs: Jobs, *models: str) -> tuple[Job, JobFolder]:
    job = jobs.submit("toy", split=SPLIT, models=models or ["Popularity"])
    return job, JobFolder(jobs.workspace.jobs_folder / job.id)


def at_work(jobs: Jobs, *models: str) -> tuple[Job, JobFolder]:
    """A job that the database calls running; nobody works at it."""
    job, folder = queued(jobs, *models)
    jobs.workspace.set_job(job.id, "running", started=True)
    return jobs.job(job.id), folder


def until(happened: Callable[[], object], patience: float = 60.0) -> None:
    end = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# -- killed and resumed ---------------------------------------------------------------------------------------


def test_a_worker_killed_twice_ends_with_the_weights_of_one_that_was_left_alone(
    workspace: Workspace, jobs: Jobs, tmp_path: Path
) -> None:
    job = jobs.submit("toy", split=SPLIT, models=[GRU])
    folder = JobFolder(workspace.jobs_folder / job.id)
    spec = TrainingSpec.from_dict(workspace.job_records()[0].spec)
    places = Places(tmp_path / "parts", tmp_path / "out", tmp_path / "none")
    alone = train_models(read_parquet(folder.input), spec, places, silent).models[0]

    jobs.poll()  # killed before it has done anything
    jobs._workers[job.id].send_signal(signal.SIGKILL)
    stopped = jobs.wait(job.id, every=0.02)
    assert stopped.state == "interrupted"
    assert stopped.resumable
    assert "killed" in str(stopped.message)
    assert "train it again" in str(stopped.message)
    assert stopped.way_on == "again"
    with pytest.raises(JobError, match="train it again"):
        jobs.finished(stopped)
    with pytest.raises(JobError, match="only an interrupted"):
        jobs.resume(jobs.resume(job.id).id)  # queued already

    jobs.poll()  # killed after its first checkpoint
    until(lambda: list(workspace.parts_folder.glob("*.checkpoint/checkpoint.safetensors")))
    (checkpoint,) = workspace.parts_folder.glob("*.checkpoint/checkpoint.safetensors")
    jobs._workers[job.id].send_signal(signal.SIGKILL)
    stopped = jobs.wait(job.id, every=0.02)
    assert stopped.state == "interrupted"
    assert checkpoint.exists()
    assert stopped.way_on == "resume"
    assert "resume it" in str(stopped.message)
    away = checkpoint.rename(tmp_path / "away")
    assert "train it again" in str(jobs.job(job.id).message)  # what is kept is said as it is now
    away.rename(checkpoint)
    assert jobs.resume(job.id[-6:]).state == "queued"  # the end of its id is enough

    done = jobs.wait(job.id, every=0.05)
    assert done.state == "done", done.message
    assert done.models == (alone.id,)
    assert not folder.path.exists()
    assert not checkpoint.exists()
    model = workspace.model_info(alone.id)
    weights, expected = (load_file(f / "weights.safetensors") for f in (model.folder, places.out / alone.id))
    assert weights.keys() == expected.keys()
    assert all((weights[k] == expected[k]).all() for k in expected)
    figures = {e.task: e.metrics for e in workspace.evaluations(model.id)}
    assert figures == {e.task: json.loads(to_json(e.metrics)) for e in alone.evaluations}  # NaN is kept as null
    with pytest.raises(JobError, match="is done"):
        jobs.resume(job.id)


def test_what_a_part_of_a_model_has_reached_is_kept_as_well(workspace: Workspace, jobs: Jobs) -> None:
    job = jobs.submit("toy", split=SPLIT, models=[{"model": "HorizonBlend", "dim": 8, "max_epochs": 3}])
    folder, parts = JobFolder(workspace.jobs_folder / job.id), workspace.parts_folder
    spec = TrainingSpec.from_dict(workspace.job_records()[0].spec)

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("HorizonTransformer: epoch 2"):
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        train_models(
            read_parquet(folder.input), spec, Places(parts, folder.out, parts.parent / "none", folder.write_parts), stop
        )
    assert folder.keeps(parts)


def test_a_training_outlives_its_owner_and_is_taken_in_at_the_next_start(tmp_path: Path) -> None:
    script = (
        "import os\nfrom rim_core.jobs import Jobs\nfrom rim_core.storage import Workspace\n"
        f"w = Workspace({str(tmp_path)!r}, create=True)\n"
        f"w.add_dataset('toy', 'shop', options={SHOP!r})\n"
        f"jobs = Jobs(w, threads=1)\njob = jobs.submit('toy', split={SPLIT!r}, models=['Popularity', 'Random'])\n"
        "jobs.poll()\nprint(job.id, flush=True)\nos._exit(9)\n"
    )
    owner = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": PACKAGE},
    )
    folder = JobFolder(tmp_path / "data" / "jobs" / owner.stdout.strip())
    assert folder.alive
    with Workspace(tmp_path) as workspace:  # while it is at work
        assert "ended without closing" in workspace.recovered[0]
        (text,) = Jobs(workspace).recovered
        assert "goes on" in text
    until(lambda: not folder.alive)
    with Workspace(tmp_path) as workspace:
        jobs = Jobs(workspace)
        assert jobs.recovered == ("The training of Popularity, Random on toy v1 ended well in the meantime.",)
        assert [m.name for m in workspace.models("toy")] == ["Popularity", "Random"]
        assert jobs.jobs()[0].state == "done"
        assert not folder.path.exists()
        assert Jobs(workspace).recovered == ()


def test_a_job_is_cancelled_while_it_waits_and_while_it_works(workspace: Workspace, jobs: Jobs) -> None:
    first = jobs.submit("toy", split=SPLIT, models=[{**GRU, "max_epochs": 100_000, "patience": 100_000}])
    second = jobs.submit("toy", split=SPLIT, models=["Random"])
    jobs.poll()
    assert [jobs.job(j.id).state for j in (first, second)] == ["running", "queued"]  # one at a time
    cancelled = jobs.cancel(second.id[-6:])
    assert (cancelled.id, cancelled.state) == (second.id, "cancelled")
    with pytest.raises(JobError, match="cancel it first"):
        jobs.discard(first.id)
    until(lambda: jobs.job(first.id).share > 0)
    assert jobs.cancel(first.id).cancelling
    stopped = jobs.wait(first.id, every=0.05)
    assert (stopped.state, stopped.resumable, stopped.models) == ("cancelled", True, ())
    assert str(stopped.message).startswith("The training was cancelled.")
    assert ("resume it" in str(stopped.message)) == (stopped.way_on == "resume")
    with pytest.raises(Cancelled):
        jobs.finished(stopped)
    assert jobs.cancel(first.id).state == "cancelled"  # asking again does no harm
    jobs.discard(first.id[-6:])
    with pytest.raises(NotFoundError, match="There is no job"):
        jobs.job(first.id)
    assert not JobFolder(workspace.jobs_folder / first.id).path.exists()


# -- what is found after a start ------------------------------------------------------------------------------


def test_a_job_whose_worker_never_spoke_is_interrupted_and_can_be_resumed(workspace: Workspace, jobs: Jobs) -> None:
    job, _ = at_work(jobs)
    (text,) = Jobs(workspace).recovered
    assert "before it had begun" in text
    assert f"rim train --resume {job.id}" in text
    assert jobs.job(job.id).state == "interrupted"
    assert jobs.resume(job.id).state == "queued"


@pytest.mark.parametrize("torn", ["", "{", '{"stage": "x"}', "[]", "\x00\x01", '{"stage": 1}'])
def test_a_torn_progress_file_is_no_progress(workspace: Workspace, jobs: Jobs, torn: str) -> None:
    job, folder = at_work(jobs)
    (folder.path / "progress.json").write_text(torn)
    assert jobs.job(job.id).progress is None
    assert (jobs.job(job.id).share, jobs.job(job.id).stage, jobs.job(job.id).history) == (0.0, "starting", [])
    jobs.poll()
    assert jobs.job(job.id).state == "interrupted"


def test_progress_of_the_wrong_kinds_is_no_progress(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    good = JobProgress("GRU: epoch 1", 1.0, 4.0, os.getpid(), "m", 0.0, 10.0, 5.0, 0.0, [{"model": "GRU", "step": 1}])
    folder.write_progress(good)
    assert folder.progress() == good
    assert (good.fraction, good.seconds, good.eta, good.stuck) == (0.25, 10.0, 15.0, True)
    assert replace(good, heartbeat=7.0).eta is None  # too early to tell
    assert replace(good, done=0.1).eta is None
    changes = {"done": "1", "total": None, "pid": 1.5, "mark": 3, "metrics": [1], "heartbeat": True, "more": 1}
    for key, value in changes.items():
        (tmp_path / "progress.json").write_text(json.dumps({**asdict(good), key: value}))
        assert folder.progress() is None, key


@pytest.mark.parametrize(
    ("result", "state", "match"),
    [
        ("{", "failed", "damaged"),
        ("[]", "failed", "damaged"),
        ('{"state": "gone mad"}', "failed", "damaged"),
        ('{"state": "interrupted", "message": "told to end"}', "interrupted", "told to end"),
        ('{"state": "failed", "message": "no memory"}', "failed", "no memory"),
        ('{"state": "done"}', "failed", "cannot be trusted"),
        ('{"state": "done", "split": {}, "summary": [], "models": [{"id": "../../x"}]}', "failed", "cannot be trusted"),
        ('{"state": "done", "split": {}, "summary": [], "models": [{"id": "0123456789ab"}]}', "failed", "cannot be"),
    ],
)
def test_a_damaged_last_word_fails_the_job_and_registers_nothing(
    workspace: Workspace, jobs: Jobs, result: str, state: str, match: str
) -> None:
    job, folder = at_work(jobs)
    (folder.path / "result.json").write_text(result)
    jobs.poll()
    found = jobs.job(job.id)
    assert found.state == state
    assert match in str(found.message)
    assert found.resumable
    assert workspace.models() == []


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (SplitError("too few events"), True),
        (ValueError("a mistake"), True),
        (OSError(28, "no space left"), False),
        (StorageError("no space left"), False),
        (MemoryError(), False),
    ],
)
def test_a_training_that_would_fail_again_is_not_offered_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, error: Exception, lasting: bool
) -> None:
    def fails(*_: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(worker, "_work", fails)
    job, folder = at_work(jobs)
    folder.write_parts(["abc"])
    (jobs.workspace.parts_folder / "abc").mkdir(parents=True)
    folder.write_result(worker._end(folder, worker.Reporter(folder))[1])
    jobs.poll()
    assert jobs.job(job.id).state == "failed"
    assert jobs.job(job.id).way_on == ("change" if lasting else "resume")


def test_a_training_of_which_nothing_is_kept_is_begun_anew_in_its_place(jobs: Jobs) -> None:
    job, folder = at_work(jobs, "Popularity", "Random")
    jobs.poll()
    assert jobs.job(job.id).way_on == "again"
    (folder.input / "log.json").unlink()
    made = jobs.again(job.id)
    assert [j.id for j in jobs.jobs()] == [made.id]
    assert (made.state, made.names, made.split) == ("queued", job.names, job.split)
    assert jobs.wait(made.id, every=0.05).state == "done"
    with pytest.raises(JobError, match="is done"):
        jobs.again(made.id)


def test_a_resumed_job_shows_nothing_of_its_last_attempt(jobs: Jobs) -> None:
    job, folder = at_work(jobs)
    folder.write_progress(JobProgress("GRU: epoch 9", 9.0, 10.0, 1, "m", 0.0, 1.0, 0.0, 0.0))
    jobs.poll()
    assert "at 90 %" in str(jobs.job(job.id).message)
    jobs.resume(job.id)
    jobs.workspace.set_job(job.id, "running", started=True)
    again = jobs.job(job.id)
    assert (again.progress, again.share, again.message) == (None, 0.0, None)


def test_a_job_whose_files_are_gone_cannot_be_resumed(jobs: Jobs) -> None:
    job, folder = at_work(jobs)
    jobs.poll()
    (folder.input / "log.json").unlink()
    with pytest.raises(JobError, match="start the training again"):
        jobs.resume(job.id)


def test_a_dataset_removed_meanwhile_is_the_reason_given(workspace: Workspace, jobs: Jobs) -> None:
    job, folder = at_work(jobs)
    workspace.remove_dataset("toy")
    (folder.path / "result.json").write_text('{"state": "done", "split": {}, "summary": [], "models": []}')
    jobs.poll()
    assert jobs.job(job.id).state == "failed"
    assert "dataset was removed" in str(jobs.job(job.id).message)
    assert jobs.job(job.id).way_on == "change"
    with pytest.raises(NotFoundError, match="dataset was removed"):
        jobs.again(job.id)


def test_folders_nobody_knows_go_and_the_latest_of_ended_jobs_stay(workspace: Workspace, jobs: Jobs) -> None:
    stray = workspace.jobs_folder / "job-20200101-000000-aaaaaa"
    (stray / "input").mkdir(parents=True)
    ended = [at_work(jobs)[0].id for _ in range(FOLDERS_KEPT + 2)]
    jobs.poll()
    waiting, _ = queued(jobs)
    Jobs(workspace)
    left = {f.name for f in workspace.jobs_folder.iterdir()}
    assert stray.name not in left
    assert waiting.id in left
    assert left == {waiting.id, *sorted(ended)[-FOLDERS_KEPT:]}


# -- asking ---------------------------------------------------------------------------------------------------


def test_a_job_that_cannot_be_is_refused_and_leaves_no_folder(
    workspace: Workspace, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="give at least one"):
        jobs.submit("toy", split=SPLIT, models=[])
    with pytest.raises(ModelError, match="There is no model"):
        jobs.submit("toy", split=SPLIT, models=["Nope"])
    with pytest.raises(NotFoundError, match="There is no dataset"):
        jobs.submit("nope", split=SPLIT, models=["Popularity"])
    with pytest.raises(NotFoundError, match="no version 3"):
        jobs.submit("toy", split=SPLIT, models=["Popularity"], version=3)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_, **__: (_ for _ in ()).throw(full))
    with pytest.raises(StorageError, match="free some disk space"):
        jobs.submit("toy", split=SPLIT, models=["Popularity"])
    assert list(workspace.jobs_folder.iterdir()) == []
    assert jobs.jobs() == []


def test_the_same_model_named_twice_is_trained_once(jobs: Jobs) -> None:
    job, _ = queued(jobs, "Popularity", "popularity", "GRU×Hawkes", "gru*hawkes")
    assert job.names == ("Popularity", "GRU×Hawkes")


def test_new_items_are_added_to_what_is_trained_once(workspace: Workspace, jobs: Jobs) -> None:
    names = ["GRU×Activity", "GRU×Activity+NewItems"]
    job = jobs.submit("toy", split=SPLIT, models=names, settings={"gru": {"dim": 8, "max_epochs": 1}})
    done = jobs.wait(job.id, every=0.02)
    assert done.state == "done", done.message
    assert [workspace.model_info(i).name for i in done.models] == names
    assert len(list(workspace.parts_folder.glob("*/weights.safetensors"))) == 2  # of the GRU and of Activity
    assert load_model(workspace.model_info(done.models[1]).folder).is_fitted


def test_only_one_worker_can_have_a_folder(jobs: Jobs) -> None:
    _, folder = queued(jobs)
    assert not folder.alive
    with folder.hold():
        assert folder.alive
        with pytest.raises(JobError, match="already has a worker"):
            folder.hold()
    assert not folder.alive


@pytest.mark.parametrize("part", ["events.parquet", "users.parquet", "log.json"])
def test_a_half_written_event_log_is_refused(jobs: Jobs, part: str) -> None:
    _, folder = queued(jobs)
    whole = (folder.input / part).read_bytes()
    (folder.input / part).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="start the job again"):
        read_parquet(folder.input)
    (folder.input / part).unlink()
    with pytest.raises(StorageError, match="start the job again"):
        read_parquet(folder.input)
