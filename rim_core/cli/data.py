"""``rim data``: events in, and what is there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.output import Output, as_json, duration, examples, table
from rim_core.errors import DataError
from rim_core.wording import counted

if TYPE_CHECKING:
    from rim_core.storage import DatasetInfo


@click.group(epilog=examples("rim data add visits --path visits.csv", "rim data list", "rim data show visits"))
def data() -> None:
    """Datasets: what users did, and when."""


@data.command(
    epilog=examples(
        "rim data add groceries complete-journey",
        "rim data add ml-1m movielens --path ml-1m",
        "rim data add visits --path visits.csv --column user_id=visitor --column timestamp=seen_at",
        "rim data add toy shop --option users=2000 --option seed=1",
    )
)
@click.argument("name")
@click.argument("source", required=False)
@click.option("--path", type=click.Path(path_type=Path), help="File or folder to read.")
@click.option("--column", "columns", multiple=True, metavar="WHAT=COLUMN", help="Which column holds user_id, item_id …")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the source.")
@click.option("--duplicates", type=click.Choice(["reject", "keep"]), default="reject", show_default=True)
@as_json
@click.pass_obj
def add(
    out: Output,
    name: str,
    source: str | None,
    path: Path | None,
    columns: tuple[str, ...],
    options: tuple[str, ...],
    duplicates: str,
) -> None:
    """Import a dataset under a NAME, all of it or nothing; other content under a known name is a new version.

    SOURCE is complete-journey, movielens, netflix, yoochoose, shop, csv or parquet; by default the one NAME says, or
    the end of --path.
    """
    given: dict[str, Any] = {key: _value(value) for key, value in map(_pair, options)}
    if not isinstance(given.get("columns", {}), dict):
        raise click.BadParameter("columns cannot be given so: write --column user_id=visitor.", param_hint="--option")
    if columns:
        given["columns"] = dict(map(_pair, columns))
    source = source or _guess(name, path)
    with out.workspace() as workspace, out.meter() as meter:
        try:
            info = workspace.add_dataset(
                name, source, path=path, options={**given, "duplicates": duplicates}, callback=meter
            )
        except DataError as error:
            error.args = (_as_typed(str(error)),)
            raise
        meter.end()
        report = (
            ""
            if info.report is None
            else f"{_as_typed(info.report.summary())}\nRead in {duration(info.report.seconds)}.\n"
        )
        kept = "is kept" if info.is_new else "was kept already: the content is the same"
        out.answer({**_document(info), "is_new": info.is_new}, f"{report}{info.label} {kept}.")


@data.command("list", epilog=examples("rim data list", "rim data list --json"))
@click.option("--all", "everything", is_flag=True, help="Older versions as well.")
@as_json
@click.pass_obj
def list_(out: Output, everything: bool) -> None:
    """List datasets."""
    with out.workspace() as workspace:
        found = workspace.datasets(all_versions=everything)
    rows = [_document(info) for info in found]
    titles = {"name": "Dataset", "version": "Version", "source": "Source", "events": "Events", "users": "Users",
              "items": "Items", "first": "From", "last": "To"}  # fmt: skip
    shown = [{**row, "first": row["first"][:10], "last": row["last"][:10]} for row in rows]
    out.answer(rows, table(shown, titles) if rows else "No dataset yet: add one with `rim data add`.")


@data.command(epilog=examples("rim data show groceries"))
@click.argument("name")
@click.option("--version", type=int, help="The latest by default.")
@as_json
@click.pass_obj
def show(out: Output, name: str, version: int | None) -> None:
    """Show a dataset: size, features, what was rejected, its most frequent items."""
    with out.workspace() as workspace:
        info = workspace.dataset(name, version)
        popular = workspace.query(
            """SELECT i.item_id, i.title, count(*) FROM event_rows e
               JOIN items i ON i.dataset = e.dataset AND i.code = e.item_code
               WHERE e.dataset = ? GROUP BY ALL ORDER BY count(*) DESC, i.item_id LIMIT 10""",
            [info.id],
        )
    best = [{"item_id": item, "title": title, "events": events} for item, title, events in popular]
    features = {"users": info.user_columns, "items": info.item_columns}
    lines = [
        f"{info.label}, {info.source}: {_size(info)},",
        f"{info.first:%Y-%m-%d %H:%M} to {info.last:%Y-%m-%d %H:%M} UTC; event types: {', '.join(info.event_types)}.",
        *(f"Known of {who}: {', '.join(names)}." for who, names in features.items() if names),
        *([info.report.summary()] if info.report else []),
        "",
        table(best, {"item_id": "Item", "title": "Title", "events": "Events"}),
    ]
    out.answer({**_document(info), "features": features, "popular": best}, "\n".join(lines))


@data.command(epilog=examples("rim data remove visits --yes"))
@click.argument("name")
@click.option("--version", type=int, help="One version only.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_obj
def remove(out: Output, name: str, version: int | None, yes: bool) -> None:
    """Remove a dataset; models and plans made from it stay, but cannot be computed again."""
    with out.workspace() as workspace:
        found = workspace.dataset(name, version)
        if not yes:
            click.confirm(
                f"Remove {found.label if version else name} with {counted(found.events, 'events')}?",
                abort=True,
                err=True,
            )
        gone = workspace.remove_dataset(name, version)
    out.answer([_document(info) for info in gone], f"Removed {', '.join(info.label for info in gone)}.")


def _size(info: DatasetInfo) -> str:
    events, users = counted(info.events, "events"), counted(info.users, "users")
    return f"{events} of {users} and {counted(info.items, 'items')}"


def _as_typed(text: str) -> str:
    """Advice that names keyword arguments of Python, said as they are typed here."""
    text = re.sub(r"\bduplicates='(\w+)'", r"--duplicates \1", text)
    return re.sub(r"""\b(time_format|encoding|decimal)=(['"])(.*?)\2(?: or (['"])(.*?)\4)?""", _options, text)


def _options(found: re.Match[str]) -> str:
    values = [value for value in (found[3], found[5]) if value is not None]
    return " or ".join(f"--option {shlex.quote(f'{found[1]}={value}')}" for value in values)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _guess(name: str, path: Path | None) -> str:
    from rim_core.datasets import SOURCES

    if path is not None:
        endings = {s.lower() for s in path.suffixes}
        if ".parquet" in endings:
            return "parquet"
        if endings & {".csv", ".tsv", ".txt"}:
            return "csv"
    if name in SOURCES:
        return name
    raise DataError(f"Say what {path or name} is: `rim data add {name} SOURCE`, SOURCE one of {', '.join(SOURCES)}.")


def _document(info: DatasetInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "version": info.version,
        "content": info.content,
        "source": info.source,
        "options": info.options,
        "events": info.events,
        "users": info.users,
        "items": info.items,
        "first": info.first.isoformat(),
        "last": info.last.isoformat(),
        "event_types": info.event_types,
        "report": None if info.report is None else info.report.to_dict(),
    }
