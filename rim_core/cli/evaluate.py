"""``rim evaluate``: every model in both directions."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from rim_core.cli.comparison import comparison, comparison_text, split_words
from rim_core.cli.output import Output, as_json, examples

if TYPE_CHECKING:
    from rim_core.progress import Callback
    from rim_core.storage import ModelInfo, Workspace


@click.command(epilog=examples("rim evaluate", "rim evaluate ml-1m", "rim evaluate groceries --k 10 --c 100 --json"))
@click.argument("dataset", required=False)
@click.option("--k", type=click.IntRange(1), help="Items per user-state; 1 % of the items by default.")
@click.option("--c", type=click.IntRange(1), help="User-states per item; 1 % of the user-states by default.")
@as_json
@click.pass_obj
def evaluate(out: Output, dataset: str | None, k: int | None, c: int | None) -> None:
    """Compare the models of DATASET (of all datasets by default) on their test windows.

    ItemRec@k: the k best items of every user-state. UserRec@c: the c best user-states of every item. Precision is
    interactions per recommendation, recall their share of all that happened; reached is the perplexity.
    """
    with out.workspace() as workspace, out.meter() as meter:
        if dataset is not None:
            workspace.dataset(dataset)
        models = workspace.models(dataset)
        sizes = {task: size for task, size in (("item", k), ("user", c)) if size is not None}
        for info in models:
            _measure(workspace, info, sizes, meter)
        meter.end()
        groups = []
        ordered = sorted(models, key=lambda m: (m.dataset, m.dataset_version, m.split_id))
        for _, group in groupby(ordered, key=lambda m: (m.dataset, m.dataset_version, m.split_id)):
            members = list(group)
            title = f"{members[0].dataset} v{members[0].dataset_version}, {split_words(members[0].split)}"
            groups.append((title, members[0].split, comparison(workspace, members, sizes)))
    document = [{"dataset": title.partition(",")[0], "split": split, "models": rows} for title, split, rows in groups]
    texts = [f"{title}:\n\n{comparison_text(rows)}" for title, _, rows in groups]
    out.answer(document, "\n\n".join(texts) or "No model yet: train some with `rim train`.")


def _measure(workspace: Workspace, info: ModelInfo, sizes: dict[str, int], callback: Callback) -> None:
    """Compute and keep the figures that are asked for and not there."""
    known = {(e.task, e.size) for e in workspace.evaluations(info.id) if e.part == "test"}
    missing = {task: size for task, size in sizes.items() if (task, size) not in known}
    if not missing or info.dataset_version == 0:  # of a dataset that was removed, only what is known already
        return
    from rim_core.evaluation import evaluate as measure
    from rim_core.evaluation import item_rec, user_rec
    from rim_core.jobs import make_split
    from rim_core.progress import Progress
    from rim_core.storage import EvaluationRecord

    callback(Progress(f"{info.name}: measuring", 0.0, 1.0))
    split = make_split(workspace.log(info.dataset, info.dataset_version), info.split)
    scores = workspace.load_model(info.id).score(split.test)
    found = []
    for task, size in missing.items():
        chosen = item_rec(scores, size) if task == "item" else user_rec(scores, size)
        found.append(EvaluationRecord(info.id, "test", task, size, measure(chosen, split.test).to_dict()))
    workspace.save_evaluations(found)
