"""``rim frontier``: what promises cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.models import find_model
from rim_core.cli.output import Output, as_json, examples, table
from rim_core.cli.plan import SHARE
from rim_core.errors import SplitError

if TYPE_CHECKING:
    import pandas as pd

    from rim_core.progress import Callback
    from rim_core.storage import FrontierRecord, ModelInfo, Workspace
    from rim_core.walk import Scored

SWEEP = (0.1, 0.25, 0.5, 0.75, 0.95)
"""Minimum exposures of a sweep, as shares of what fits (β·n = K)."""


@click.command(
    epilog=examples(
        "rim frontier GRU*HawkesPoisson",
        "rim frontier GRU*HawkesPoisson Popularity --capacity 5 --share 0.1% --share 0.2%",
    )
)
@click.argument("models", nargs=-1, required=True)
@click.option("--dataset", help="Where several datasets have a model of that name.")
@click.option(
    "--capacity", "-k", type=click.IntRange(1), default=10, show_default=True, help="K, items per user-state."
)
@click.option("--share", "shares", type=SHARE, multiple=True, help="A minimum exposure β. [default: up to what fits]")
@click.option(
    "--mode",
    "modes",
    type=click.Choice(["offline greedy", "offline dual", "online dual"]),
    multiple=True,
    help="A way of matching. [default: all]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of equal choices.")
@as_json
@click.pass_obj
def frontier(out: Output, /, models: tuple[str, ...], dataset: str | None, **asked: Any) -> None:
    """Sweep the promised minimum for MODELS (names or ids) and keep the points.

    Relevance (precision on what happened in the test window) falls as diversity (items reached: perplexity) grows.
    """
    from rim_core.walk import scored

    with out.workspace() as workspace, out.meter() as meter:
        found = [find_model(workspace, model, dataset) for model in models]
        if len({m.split_id for m in found}) > 1:
            raise SplitError("These models were trained on different windows: sweep those of one split together.")
        first = scored(workspace, found[0])
        sources = [first, *(scored(workspace, info, first.split) for info in found[1:])]
        record, points = sweep(
            workspace, sources, capacity=asked["capacity"], shares=asked["shares"], modes=asked["modes"],
            seed=asked["seed"], callback=meter,
        )  # fmt: skip
    out.answer({"id": record.id, "points": points.to_dict("records")}, frontier_text(points))


def sweep(
    workspace: Workspace,
    sources: list[Scored],
    *,
    capacity: int,
    shares: tuple[float, ...] = (),
    modes: tuple[str, ...] = (),
    seed: int = 0,
    callback: Callback,
) -> tuple[FrontierRecord, pd.DataFrame]:
    """Compute and keep a frontier; the shares reach up to what fits by default."""
    from rim_core.planning import frontier as compute
    from rim_core.planning.frontier import MODES

    m, n = sources[0].calibration.shape
    fitting = (m * min(capacity, n) // n) / m
    chosen = [0.0, *(shares or (round(part * fitting, 5) for part in SWEEP))]
    names = _names([s.info for s in sources])
    points = compute(
        {name: (s.calibration, s.test) for name, s in zip(names, sources, strict=True)},
        capacity=capacity,
        shares=chosen,
        modes=modes or MODES,
        seed=seed,
        callback=callback,
    )
    info = sources[0].info
    record = workspace.save_frontier(
        points,
        dataset=workspace.dataset(info.dataset, info.dataset_version),
        split=info.split,
        model_ids=[s.info.id for s in sources],
        settings={"capacity": capacity, "shares": chosen, "modes": list(modes or MODES), "seed": seed},
    )
    return record, points


def frontier_text(points: pd.DataFrame) -> str:
    """A frontier as a table."""
    titles = {"model": "Model", "mode": "Mode", "min_exposure": "β", "precision": "Precision",
              "item_perplexity": "Items reached", "kept": "Promises kept", "gap": "Gap"}  # fmt: skip
    formats = {"min_exposure": ".3%", "precision": ".5f", "item_perplexity": ",.1f", "kept": ".1%", "gap": ".4%"}
    return table(points.to_dict("records"), titles, formats)


def _names(infos: list[ModelInfo]) -> list[str]:
    names = [i.name for i in infos]
    return [i.name if names.count(i.name) == 1 else f"{i.name} · {i.id[:6]}" for i in infos]
