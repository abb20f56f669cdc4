"""``rim doctor``: is everything in order, and what to do where it is not."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim_core.cli.output import Output, as_json, examples
from rim_core.errors import NotFoundError, RimError, WorkspaceBusyError

if TYPE_CHECKING:
    from rim_core.storage import Finding, Workspace

PACKAGES = ("rim", "duckdb", "pyarrow", "numpy", "scipy", "pandas", "torch", "tick", "streamlit")
MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.command(epilog=examples("rim doctor", "rim --workspace ~/campaigns doctor --json"))
@as_json
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check the workspace: database, datasets, the files of the models, jobs, disk, versions, owner.

    Ends with code 0 when all is well, 1 when something needs doing, 8 while another process has the workspace, 9 when
    there is none.
    """
    from rim_core.storage import Finding

    out = context.ensure_object(Output)
    findings = [Finding("ok", "versions", _versions())]
    code = 0
    try:
        with out.workspace() as workspace:
            findings += [Finding("ok", "owner", f"this command, {workspace.owner.describe()}"), *_inside(workspace)]
    except WorkspaceBusyError as error:
        findings.append(Finding("note", "owner", str(error), "the rest is checked once it is free"))
        code = error.exit_code
    except NotFoundError as error:
        findings.append(Finding("problem", "workspace", str(error), "rim init"))
        code = error.exit_code
    except RimError as error:
        findings.append(Finding("problem", "workspace", str(error)))
        code = error.exit_code
    if code == 0 and any(f.level == "problem" for f in findings):
        code = 1
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.level]:8}{finding.subject}: {finding.text}")
        lines += [f"{'':8}→ {finding.remedy}"] if finding.remedy else []
    out.answer({"findings": [asdict(f) for f in findings], "exit_code": code}, "\n".join(lines))
    context.exit(code)


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} missing")
    return ", ".join(found)


def _inside(workspace: Workspace) -> list[Finding]:
    from rim_core.jobs import Jobs
    from rim_core.storage import Finding

    findings = workspace.health()
    jobs = Jobs(workspace)
    findings += [Finding("note", "job", text) for text in jobs.recovered]
    for job in jobs.jobs():
        if job.active:
            stuck = job.progress is not None and job.progress.stuck
            text = f"{job.id} ({job.title}) is {job.state}, {job.share:.0%} done"
            remedy = f"no sign of life for a while: rim jobs cancel {job.id}" if stuck else ""
            findings.append(Finding("problem" if stuck else "ok", "job", text, remedy))
        elif job.state == "interrupted":
            text = f"{job.id} ({job.title}) was interrupted. {job.message or ''}".strip()
            remedy = f"rim train --resume {job.id}, or rim jobs discard {job.id}"
            findings.append(Finding("note", "job", text, remedy))
    findings += workspace.check_models()
    findings += [Finding("note", "exports", f"{path} is gone") for path in _lost(workspace)]
    size = sum(f.stat().st_size for f in workspace.parts_folder.rglob("*") if f.is_file())
    findings.append(Finding("ok", "parts", f"{size / (1 << 20):.0f} MiB of fitted parts and checkpoints"))
    return findings


def _lost(workspace: Workspace) -> list[str]:
    """Files in the workspace's own folder that were exported and are not there any more."""
    inside = str(workspace.exports_folder)
    return [e.path for e in workspace.exports() if e.path.startswith(inside) and not Path(e.path).exists()]
