"""``rim deliver``: a plan applied to the test window."""

from __future__ import annotations

import click

from rim_core.cli.output import Output, as_json, examples, table
from rim_core.cli.plan import scenario_document
from rim_core.wording import counted

WORST = 10


@click.command(epilog=examples("rim deliver 'K 10, at least 0.2 %'", "rim deliver 4f2a1c --json"))
@click.argument("plan")
@as_json
@click.pass_obj
def deliver(out: Output, plan: str) -> None:
    """Apply the prices of PLAN (name or id) to the test window, deciding for one user-state at a time.

    Says which promises the delivery keeps there, and what came of it.
    """
    from rim_core.planning import Constraints
    from rim_core.walk import deliver_again, delivery

    with out.workspace() as workspace, out.meter() as meter:
        scenario, source, delivered = deliver_again(workspace, workspace.scenario(plan), callback=meter)
    items = delivery(delivered, Constraints(**scenario.constraints), source.titles)
    counts = items["verdict"].value_counts()
    online = scenario.metrics["online"]
    missed = items[items["verdict"] != "kept"].assign(by=lambda f: (f["minimum"] - f["delivered"]).abs())
    worst = missed.sort_values("by", ascending=False, kind="stable").head(WORST).to_dict("records")
    document = {
        **scenario_document(scenario, source.info.name),
        "kept": int(counts.get("kept", 0)),
        "short": int(counts.get("short", 0)),
        "over": int(counts.get("over", 0)),
        "items": items.to_dict("records"),
    }
    m, n = delivered.matrix.shape
    text = [
        f"{scenario.name} ({scenario.id}), {source.info.name} on {counted(m, 'test states')} and "
        f"{counted(n, 'items')}:",
        f"{counted(delivered.delivered, 'deliveries')}, {online['expected']:,.1f} interactions expected, "
        f"{online['hits']:,.0f} happened: precision {online['precision']:.5f}, "
        f"{counted(online['item_perplexity'], 'items')} in effect.",
        f"{counts.get('kept', 0):,} of {counted(n, 'items are')} within their promise, "
        f"{counts.get('short', 0):,} short, {counts.get('over', 0):,} over.",
    ]
    if worst:
        titles = {"title": "Furthest from their promise", "minimum": "At least", "delivered": "Delivered"}
        text += ["", table(worst, titles)]
    text += ["", f"Write the files with `rim export {scenario.id}`."]
    out.answer(document, "\n".join(text))
