"""What ``rim demo`` prints at the end, from what the workspace keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rim_core.audiences import AudienceRecipe, write_audience
from rim_core.cli.comparison import comparison, comparison_text, split_words
from rim_core.cli.export import file_name
from rim_core.cli.frontier import frontier_text
from rim_core.cli.plan import certificate_text, dearest_text
from rim_core.walk import dearest_promises
from rim_core.wording import counted

if TYPE_CHECKING:
    from rim_core.cli.demo import Demonstration
    from rim_core.storage import Workspace


def show_demo(workspace: Workspace, made: Demonstration) -> tuple[dict[str, Any], str]:
    """The comparison, the frontier, the certificate, the dearest promises, and an audience file."""
    rows = comparison(workspace, made.models)
    points = workspace.frontier_points(made.frontier.id)
    dearest = dearest_promises(workspace, made.scenario.id)
    audience = _audience(workspace, made, dearest)
    document = {
        "dataset": made.dataset.label,
        "comparison": rows,
        "frontier": points.to_dict("records"),
        "certificate": made.scenario.certificate,
        "most_expensive": dearest,
        "audience": audience,
        "plan": made.scenario.id,
        "workspace": workspace.root,
    }
    info = made.dataset
    text = "\n".join(
        [
            f"{info.label}: {counted(info.events, 'events')} of {counted(info.users, 'users')} and "
            f"{counted(info.items, 'items')}.",
            "",
            f"Models, {split_words(made.models[0].split)} (trained briefly):",
            "",
            comparison_text(rows),
            "",
            f"Frontier of {made.models[-1].name}, capacity {made.frontier.settings['capacity']}:",
            "",
            frontier_text(points),
            "",
            f"Plan: {made.scenario.name}",
            "",
            certificate_text(made.scenario.certificate),
            "",
            dearest_text(dearest),
            "",
            f"Audience of {audience['item']} ({counted(audience['rows'], 'rows')}): {audience['path']}",
        ]
    )
    return document, text


def _audience(workspace: Workspace, made: Demonstration, dearest: list[dict[str, Any]]) -> dict[str, Any]:
    """The delivered audience of the dearest promise that reached somebody, as a file."""
    reached = workspace.delivered_by_item(made.scenario.id, "test")
    served = set(reached["item_id"])
    item = next((row["item_id"] for row in dearest if row["item_id"] in served), str(reached["item_id"].iloc[0]))
    target = workspace.exports_folder / file_name(made.scenario, [item], "test", "csv")
    receipt, _, _ = write_audience(workspace, AudienceRecipe(made.scenario.id, items=(item,)), target)
    return {"item": item, "path": str(receipt.path), "rows": receipt.rows, "sha256": receipt.sha256}
