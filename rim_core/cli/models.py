"""``rim models``: what was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.comparison import split_words
from rim_core.cli.output import Output, as_json, examples, table
from rim_core.errors import ModelError, NotFoundError

if TYPE_CHECKING:
    from rim_core.storage import ModelInfo, Workspace


@click.group(epilog=examples("rim models list", "rim models show GRU"))
def models() -> None:
    """Trained models."""


@models.command("list", epilog=examples("rim models list", "rim models list groceries --json"))
@click.argument("dataset", required=False)
@as_json
@click.pass_obj
def list_(out: Output, dataset: str | None) -> None:
    """List trained models, of one DATASET if named."""
    with out.workspace() as workspace:
        if dataset is not None:
            workspace.dataset(dataset)
        rows = [_document(info) for info in workspace.models(dataset)]
    titles = {"id": "Id", "name": "Model", "dataset": "Dataset", "windows": "Windows", "seconds": "Training (s)"}
    out.answer(rows, table(rows, titles, {"seconds": ".1f"}) if rows else "No model yet: train some with `rim train`.")


@models.command(epilog=examples("rim models show GRU*HawkesPoisson", "rim models show 4aa44973"))
@click.argument("model")
@click.option("--dataset", help="Where several datasets have a model of that name.")
@as_json
@click.pass_obj
def show(out: Output, model: str, dataset: str | None) -> None:
    """Show the card of a MODEL (name or id)."""
    with out.workspace() as workspace:
        info = find_model(workspace, model, dataset)
    card = info.folder / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else f"{info.folder} has no card: run `rim doctor`."
    out.answer({**_document(info), "config": info.config, "split": info.split, "folder": info.folder}, text)


@models.command(epilog=examples("rim models remove 4aa44973"))
@click.argument("model")
@click.option("--dataset", help="Where several datasets have a model of that name.")
@as_json
@click.pass_obj
def remove(out: Output, model: str, dataset: str | None) -> None:
    """Forget a MODEL (name or id) and delete its files."""
    with out.workspace() as workspace:
        info = workspace.remove_model(find_model(workspace, model, dataset).id)
    out.answer(_document(info), f"Removed {info.name} ({info.id}).")


def find_model(workspace: Workspace, text: str, dataset: str | None = None) -> ModelInfo:
    """A model by name (the latest of that name) or by the beginning of its id.

    Raises
    ------
    NotFoundError
    """
    found = [m for m in workspace.models(dataset) if m.name.lower() == _canonical(text)]
    if found:
        return found[-1]
    known = sorted({m.name for m in workspace.models(dataset)})
    try:
        info = workspace.model_info(text)
    except NotFoundError as error:
        there = f"there are {', '.join(known)}" if known else "train one with `rim train`"
        where = f" of {dataset}" if dataset else ""
        raise NotFoundError(f"There is no model {text!r}{where}: {there}.") from error
    return info


def _canonical(text: str) -> str:
    """A name as comparisons write it, in small letters; ids stay what they are."""
    from rim_core.jobs import model_config
    from rim_core.models import Model

    try:
        return Model.from_config(model_config(text)).name.lower()
    except ModelError:
        return text.strip().replace("*", "×").lower()


def _document(info: ModelInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "dataset": f"{info.dataset} v{info.dataset_version}",
        "windows": split_words(info.split),
        "seconds": info.seconds,
        "facts": info.facts,
        "created_at": info.created_at,
    }
