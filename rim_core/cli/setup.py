"""``rim init``."""

from __future__ import annotations

import click

from rim_core.cli.output import Output, as_json, examples


@click.command(epilog=examples("rim init", "rim --workspace ~/campaigns init"))
@as_json
@click.pass_obj
def init(out: Output) -> None:
    """Make a workspace in this folder (or --workspace); harmless where there is one already."""
    from rim_core.storage import default_root, workspace_exists

    existed = workspace_exists(out.root or default_root())
    with out.workspace(create=True) as workspace:
        text = f"{workspace.root} is a workspace{' already' if existed else ' now'}."
        out.answer(
            {"workspace": workspace.root, "created": not existed, "layout": workspace.database.schema},
            text if existed else f"{text} Add data with `rim data add`, or see it all with `rim demo`.",
        )
