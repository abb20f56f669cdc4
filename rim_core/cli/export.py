"""``rim export``: audience files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.output import Output, as_json, examples
from rim_core.errors import DataError, NotFoundError
from rim_core.wording import counted

if TYPE_CHECKING:
    from rim_core.audiences import Audience, ExportReceipt
    from rim_core.storage import Scenario, Workspace

PARTS = {"test": "delivered", "calibration": "planned"}
LAYOUTS = ("google", "meta")
FORMATS = ("csv", "parquet", *LAYOUTS)
"""Those of ``rim_core.audiences``, which is imported when the command runs."""


@click.command(
    epilog=examples(
        "rim export 'K 10, at least 0.2 %' --item COFFEE --to coffee.csv",
        "rim export 4f2a1c --to everything.parquet",
        "rim export 4f2a1c --item COFFEE --format google --holdout 10 --suppress opted-out.csv",
    )
)
@click.argument("plan")
@click.option("--item", "items", multiple=True, help="An item, by id or title; may be repeated. All items by default.")
@click.option("--to", type=click.Path(path_type=Path), help="The file to write; in the workspace by default.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What the file's name says by default. google is Customer Match's layout, meta that of a custom audience: "
    "SHA-256 of e-mail and phone where the dataset carries them, the user id otherwise.",
)
@click.option(
    "--part",
    type=click.Choice(list(PARTS)),
    default="test",
    show_default=True,
    help="What was delivered to the test window, or planned for the calibration windows.",
)
@click.option("--suppress", metavar="FILE|LIST", help="Users who get nothing: a file of ids, or a list kept before.")
@click.option("--holdout", type=click.FloatRange(0, 99), default=0.0, metavar="PERCENT", help="Of the users, kept out.")
@click.option("--holdout-seed", type=int, default=0, show_default=True, help="Of the hash that draws them.")
@click.option("--max-per-user", type=click.IntRange(1), help="Frequency cap: items a user gets at most.")
@click.option("--max-size", type=click.IntRange(1), help="The best so many of every item.")
@click.option("--min-size", type=click.IntRange(0), default=0, help="Drop items with fewer users.")
@click.option("--country-code", help="Of phone numbers that name no country, such as 1 or 49.")
@as_json
@click.pass_obj
def export(
    out: Output,
    /,
    plan: str,
    items: tuple[str, ...],
    to: Path | None,
    form: str | None,
    part: str,
    suppress: str | None,
    country_code: str | None,
    **rules: Any,
) -> None:
    """Write who gets what in PLAN (name or id), best users first: one file for all items, or for those asked for.

    CSV and Parquet have user_id, item_id, rank, score and expected_interactions. In CSV, cells that a spreadsheet would
    run as a formula get a ' in front. Says how many each rule removed. An older file of that name is replaced in one
    step; the export is recorded with what makes the same bytes again.
    """
    from rim_core.audiences import AudienceRecipe, AudienceRules, write_audience

    form = form or ("parquet" if to is not None and to.suffix.lower() == ".parquet" else "csv")
    if country_code is not None and form not in LAYOUTS:
        raise click.UsageError(
            f"--country-code goes with --format {' or '.join(LAYOUTS)}: {form} has no phone numbers."
        )
    if to is not None and not to.absolute().parent.exists():
        raise DataError(f"There is no folder {to.absolute().parent}: make it first, or choose another with --to.")
    with out.workspace() as workspace:
        scenario = workspace.scenario(plan)
        chosen = tuple(_item(workspace, scenario, item) for item in items) or None
        if not _is_there(workspace, scenario, part):
            raise NotFoundError(f"{scenario.name} was not delivered yet: run `rim deliver {scenario.id}` first.")
        listed = None if suppress is None else _suppression(workspace, suppress)
        share = rules.pop("holdout") / 100
        recipe = AudienceRecipe(
            scenario.id, part, chosen, AudienceRules(listed, holdout=share, **rules), form, country_code
        )
        to = to or workspace.exports_folder / file_name(scenario, chosen, part, form)
        receipt, record, audience = write_audience(workspace, recipe, to)
    removals = [asdict(removal) for removal in audience.removals]
    document = {
        "path": record.path, "rows": receipt.rows, "columns": receipt.columns, "sha256": receipt.sha256,
        "neutralised": receipt.neutralised, "hashed": receipt.hashed, "left_out": receipt.left_out, "plan": scenario.id,
        "item": chosen[0] if chosen and len(chosen) == 1 else None,
        "items": chosen, "part": part, "format": form, "removed": removals, "held_out": len(audience.held_out),
        "export": record.id,
    }  # fmt: skip
    out.answer(document, _said(receipt, audience))


def _said(receipt: ExportReceipt, audience: Audience) -> str:
    """What was written, and what was not."""
    lines = [f"{receipt.path.resolve()}: {counted(receipt.rows, 'rows')}."]
    lines += [
        f"  {r.rule} removed {counted(r.pairs, 'deliveries')} (gone: {counted(r.users, 'users')} and "
        f"{counted(r.items, 'items')})"
        for r in audience.removals
    ]
    if receipt.left_out:
        lines.append(
            f"  {counted(receipt.left_out, 'users have')} no e-mail or phone that can be used (--country-code may help)"
        )
    if receipt.neutralised:
        lines.append(f"  {counted(receipt.neutralised, 'cells')} got a ' in front")
    return "\n".join(lines)


def _suppression(workspace: Workspace, text: str) -> str:
    """Id of a suppression list: one kept before, or the ids of a file, which are kept."""
    from rim_core.audiences import read_ids

    path = Path(text)
    try:
        there = path.exists()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        return workspace.suppression_list(text).id
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a file with one user id a line.") from error
    return workspace.add_suppression_list(path.stem, read_ids(content)).id


def file_name(scenario: Scenario, items: Sequence[str] | None, part: str, form: str) -> str:
    """A file name that says what is inside, in letters that every system takes."""
    what = "all items" if items is None else items[0] if len(items) == 1 else f"{len(items)} items"
    words = [scenario.name, what, PARTS[part], *([] if form in ("csv", "parquet") else [form])]
    stem = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")[:60] or "x" for word in words)
    return f"{stem}.{'parquet' if form == 'parquet' else 'csv'}"


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
