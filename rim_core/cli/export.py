"""``rim export``: audience files."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim_core.cli.output import Output, as_json, examples
from rim_core.errors import NotFoundError

if TYPE_CHECKING:
    from rim_core.storage import Scenario, Workspace

PARTS = {"test": "delivered", "calibration": "planned"}


@click.command(
    epilog=examples(
        "rim export 'K 10, at least 0.2 %' --item COFFEE --to coffee.csv",
        "rim export 4f2a1c --to everything.parquet",
    )
)
@click.argument("plan")
@click.option("--item", help="One item, by id or title; all items by default.")
@click.option("--to", type=click.Path(path_type=Path), help="A .csv or .parquet file; in the workspace by default.")
@click.option(
    "--part",
    type=click.Choice(list(PARTS)),
    default="test",
    show_default=True,
    help="What was delivered to the test window, or planned for the calibration windows.",
)
@as_json
@click.pass_obj
def export(out: Output, plan: str, item: str | None, to: Path | None, part: str) -> None:
    """Write who gets what in PLAN (name or id), best users first: a file per item, or one for all.

    Columns are user_id, item_id, rank, score and expected_interactions. In CSV, cells that a spreadsheet would run as
    a formula get a ' in front. An older file of that name is replaced in one step.
    """
    from rim_core.audiences import export_pairs

    with out.workspace() as workspace:
        scenario = workspace.scenario(plan)
        identity = None if item is None else _item(workspace, scenario, item)
        if not _is_there(workspace, scenario, part):
            raise NotFoundError(f"{scenario.name} was not delivered yet: run `rim deliver {scenario.id}` first.")
        to = to or workspace.exports_folder / file_name(scenario, identity, part)
        receipt = export_pairs(workspace.scenario_pairs(scenario.id, part), to=to, item=identity)
        record = workspace.record_export(
            receipt.path, rows=receipt.rows, format=receipt.format, scenario_id=scenario.id, item=identity
        )
    harmless = f" {receipt.neutralised:,} cells got a ' in front." if receipt.neutralised else ""
    out.answer(
        {"path": record.path, "rows": receipt.rows, "columns": receipt.columns, "sha256": receipt.sha256,
         "neutralised": receipt.neutralised, "plan": scenario.id, "item": identity, "part": part},
        f"{record.path}: {receipt.rows:,} rows.{harmless}",
    )  # fmt: skip


def file_name(scenario: Scenario, item: str | None, part: str) -> str:
    """A file name that says what is inside, in letters that every system takes."""
    words = (scenario.name, item or "all items", PARTS[part])
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")[:60] or "x" for word in words) + ".csv"


def _is_there(workspace: Workspace, scenario: Scenario, part: str) -> bool:
    return ("online" if part == "test" else "offline") in scenario.metrics


def _item(workspace: Workspace, scenario: Scenario, text: str) -> str:
    """The id of an item by id or title.

    Raises
    ------
    NotFoundError
    """
    ids = list(workspace.scenario_items(scenario.id)["item_id"])
    if text in ids:
        return text
    rows = workspace.query(
        """SELECT i.item_id, i.title FROM items i JOIN datasets d ON d.id = i.dataset
           WHERE d.name = ? AND d.version = ?""",
        [scenario.dataset, scenario.dataset_version],
    )
    known = set(ids)
    by_title = [item for item, title in rows if item in known and title.lower() == text.lower()]
    if len(by_title) == 1:
        return str(by_title[0])
    if by_title:
        raise NotFoundError(f"Several items are called {text!r}: {', '.join(by_title[:10])}. Give the id.")
    near = difflib.get_close_matches(text, [*ids, *(title for _, title in rows)], n=3)
    hint = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise NotFoundError(f"There is no item {text!r} in this plan.{hint}")
