"""``rim train`` and ``rim jobs``: training in a worker process, watched from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.comparison import comparison, comparison_text, split_words
from rim_core.cli.output import Meter, Output, as_json, duration, examples, table
from rim_core.errors import NotFoundError

if TYPE_CHECKING:
    from rim_core.jobs import Job, Jobs
    from rim_core.storage import Workspace

MODELS = ("Popularity", "GRU", "GRU×Activity", "GRU×Hawkes", "GRU×HawkesPoisson")
"""Trained where nothing else is asked for."""
LATEST = "the latest"


@click.command(
    epilog=examples(
        "rim train groceries",
        "rim train ml-1m --split ml-1m -m Popularity -m GRU -m GRU*HawkesPoisson",
        "rim train groceries --horizon 7D --calibration 2 --set gru.max_epochs=4",
        "rim train --resume",
    )
)
@click.argument("dataset", required=False)
@click.option("--version", type=int, help="Of the dataset; the latest by default.")
@click.option(
    "--model", "-m", "models", multiple=True, help=f"A model; several times for more. [default: {', '.join(MODELS)}]"
)
@click.option(
    "--split",
    type=click.Choice(["time", "user", "ml-1m", "yoochoose", "netflix"]),
    default="time",
    show_default=True,
    help="How users and time are cut; the last three are published protocols.",
)
@click.option("--horizon", help="Length of a window, such as 14D or 36h. [default: 14D]")
@click.option("--start", help="First instant of the test window; the last that fits by default.")
@click.option("--calibration", type=click.IntRange(1), help="Calibration windows before the test window. [default: 1]")
@click.option("--exclude-seen/--include-seen", default=None, help="Whether items a user already had are forbidden.")
@click.option("--fraction", type=click.FloatRange(0, 1, min_open=True), help="Share of the users (split by user).")
@click.option("--seed", type=click.IntRange(0), help="Who is in which group (split by user).")
@click.option("--set", "settings", multiple=True, metavar="MODEL.NAME=VALUE", help="A hyper-parameter.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the worker.")
@click.option(
    "--resume", is_flag=False, flag_value=LATEST, metavar="[JOB]", help="Go on with a job that did not end well."
)
@as_json
@click.pass_obj
def train(out: Output, /, dataset: str | None, resume: str | None, **asked: Any) -> None:
    """Train models on DATASET in a process of its own, and compare them.

    A part that several models share (the GRU of two products) is trained once. Ctrl-C stops the training and keeps
    its checkpoint; `rim train --resume` goes on. If this command is killed the training goes on by itself, and the
    next command finds it.
    """
    from rim_core.jobs import Jobs

    if dataset is None and resume is None:
        raise click.UsageError("Name a dataset (see `rim data list`), or give --resume.")
    with out.workspace() as workspace:
        jobs = Jobs(workspace, threads=asked["threads"])
        for text in jobs.recovered:
            out.note(text)
        job = _submitted(jobs, str(dataset), asked) if resume is None else jobs.resume(_latest(jobs, resume))
        job = follow(out, jobs, job)
        _report(out, workspace, job)


def follow(out: Output, jobs: Jobs, job: Job, *, prefix: str = "") -> Job:
    """Watch a job until it is done; Ctrl-C asks it to stop, a second time kills it.

    Raises
    ------
    Cancelled, JobError
    """
    with out.meter(prefix) as meter:
        while True:
            try:
                job = jobs.wait(job.id, lambda now: _show(meter, now))
                break
            except KeyboardInterrupt:
                meter.end()
                out.note("Stopping at the next checkpoint; press Ctrl-C again to stop at once.")
                job = jobs.cancel(job.id)
    if job.state == "cancelled":
        out.note(f"Go on with `rim train --resume {job.id}`.")
    return jobs.finished(job)


def _show(meter: Meter, job: Job) -> None:
    if job.active:
        meter.show(job.stage, job.share, job.eta)


def _submitted(jobs: Jobs, dataset: str, asked: dict[str, Any]) -> Job:
    from rim_core.jobs import parse_settings

    names = [name.strip() for text in asked["models"] or MODELS for name in text.split(",") if name.strip()]
    return jobs.submit(
        dataset,
        version=asked["version"],
        split=_split(asked),
        models=names,
        settings=parse_settings(asked["settings"]),
    )


def _split(asked: dict[str, Any]) -> dict[str, Any]:
    """What the options say about the split; options of another kind of split are an error."""
    kind = asked["split"]
    takes = {
        "time": ("horizon", "start", "calibration", "exclude_seen"),
        "user": ("horizon", "start", "exclude_seen", "fraction", "seed"),
    }.get(kind, ("fraction", "seed") if kind != "netflix" else ())
    given = {k: asked[k] for k in ("horizon", "start", "calibration", "exclude_seen", "fraction", "seed")}
    given = {k: v for k, v in given.items() if v is not None}
    if given.get("fraction") != given.get("fraction"):
        raise click.BadParameter("nan is no share of the users: write 0.1 for a tenth.", param_hint="--fraction")
    foreign = [f"--{k.replace('_', '-')}" for k in given if k not in takes]
    if foreign:
        raise click.UsageError(f"{', '.join(foreign)} cannot be chosen with --split {kind}.")
    return {"preset": kind, **given} if kind not in ("time", "user") else {"by": kind, **given}


def _latest(jobs: Jobs, asked: str) -> str:
    if asked != LATEST:
        return jobs.job(asked).id
    for job in jobs.jobs():
        if job.resumable:
            return job.id
    raise NotFoundError("No job waits to be resumed: start one with `rim train DATASET`.")


def _report(out: Output, workspace: Workspace, job: Job) -> None:
    rows = comparison(workspace, [workspace.model_info(i) for i in job.models])
    info = workspace.model_info(job.models[0])
    text = f"{job.dataset}, {split_words(info.split)}; trained in {duration(job.seconds)}:\n\n{comparison_text(rows)}"
    out.answer({"job": job.id, "dataset": job.dataset, "split": info.split, "models": rows}, text)


@click.group(
    invoke_without_command=True, epilog=examples("rim jobs", "rim jobs cancel 4f2a1c", "rim jobs discard 4f2a1c")
)
@as_json
@click.pass_context
def jobs(context: click.Context) -> None:
    """List training jobs; cancel or discard one."""
    if context.invoked_subcommand is None:
        _list(context.ensure_object(Output))


def _list(out: Output) -> None:
    from rim_core.jobs import Jobs

    with out.workspace() as workspace:
        rows = [_document(job) for job in Jobs(workspace).jobs()]
    titles = {"id": "Job", "dataset": "Dataset", "models": "Models", "state": "State", "share": "Done", "message": ""}
    shown = [{**row, "models": ", ".join(row["models"]), "message": row["message"] or ""} for row in rows]
    out.answer(rows, table(shown, titles, {"share": ".0%"}) if rows else "No job yet: start one with `rim train`.")


@jobs.command(epilog=examples("rim jobs cancel 4f2a1c"))
@click.argument("job")
@as_json
@click.pass_obj
def cancel(out: Output, job: str) -> None:
    """Stop a training that goes on without a command or a dashboard; its checkpoints are kept."""
    from rim_core.jobs import Jobs

    with out.workspace() as workspace:
        jobs = Jobs(workspace)
        found = jobs.cancel(jobs.job(job).id)
        if found.active:
            found = jobs.wait(found.id)
        out.answer(_document(found), f"{found.id} is {found.state}.")


@jobs.command(epilog=examples("rim jobs discard 4f2a1c"))
@click.argument("job")
@as_json
@click.pass_obj
def discard(out: Output, job: str) -> None:
    """Forget a job that is not at work."""
    from rim_core.jobs import Jobs

    with out.workspace() as workspace:
        jobs = Jobs(workspace)
        found = jobs.job(job)
        jobs.discard(found.id)
        out.answer(_document(found), f"{found.id} is forgotten.")


def _document(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "dataset": job.dataset,
        "models": job.names,
        "split": job.split,
        "state": job.state,
        "share": job.share,
        "stage": job.stage,
        "message": job.message,
        "made": job.models,
        "created_at": job.created_at,
        "seconds": job.seconds,
    }
