"""Steps that several commands share: a stored model's scores, a plan kept and delivered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rim_core.audiences import plan_pairs
from rim_core.errors import ArtifactError, NotFoundError
from rim_core.evaluation import evaluate
from rim_core.jobs import make_split
from rim_core.planning import Constraints
from rim_core.planning.online import online_match

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.datasets.split import Split
    from rim_core.planning import Plan
    from rim_core.scores import Scores
    from rim_core.storage import ModelInfo, Scenario, Workspace


@dataclass(frozen=True, eq=False)
class Scored:
    """A stored model on its own split.

    Attributes
    ----------
    info : ModelInfo
    split : Split
    calibration, test : Scores
    counts : bool
        Whether scores are expected interactions.
    """

    info: ModelInfo
    split: Split
    calibration: Scores
    test: Scores
    counts: bool

    @property
    def titles(self) -> pd.Series:
        """Title of every item by id."""
        return self.split.log.items["title"].astype(str)


def scored(workspace: Workspace, info: ModelInfo, split: Split | None = None) -> Scored:
    """Scores of a stored model on the calibration and test states it was made for.

    Parameters
    ----------
    split : Split, optional
        Where it is known already, of another model of the same split.
    """
    if info.dataset_version == 0:
        raise NotFoundError(f"The dataset of {info.name} ({info.id}) was removed: add it and train again.")
    if split is None:
        split = make_split(workspace.log(info.dataset, info.dataset_version), info.split)
    model = workspace.load_model(info.id)
    return Scored(
        info, split, model.score(split.calibration), model.score(split.test), model.unit.startswith("expected")
    )


def keep_plan(workspace: Workspace, source: Scored, plan: Plan, name: str, delivered: Assignment | None) -> Scenario:
    """Store a plan with what it gives to the calibration states and, when delivered, to the test states."""
    metrics: dict[str, Any] = {"offline": evaluate(plan.assignment, source.split.calibration).to_dict()}
    pairs = {"calibration": plan_pairs(plan.assignment, counts=source.counts)}
    if plan.margin is not None:
        metrics["margin"] = asdict(plan.margin)
    if plan.user_prices is not None:
        metrics["user_prices"] = plan.user_prices.to_dict()
    if delivered is not None:
        metrics["online"] = evaluate(delivered, source.split.test).to_dict()
        pairs["test"] = plan_pairs(delivered, counts=source.counts)
    return workspace.save_scenario(
        name,
        dataset=workspace.dataset(source.info.dataset, source.info.dataset_version),
        split=source.info.split,
        model_id=source.info.id,
        constraints=plan.constraints.to_dict(),
        seed=plan.seed,
        promises=plan.promises,
        certificate=asdict(plan.certificate),
        metrics=metrics,
        pairs=pairs,
    )


def deliver_again(workspace: Workspace, scenario: Scenario) -> tuple[Scenario, Scored, Assignment]:
    """Give the test states of a stored plan what its prices say, by the online rule, and store that.

    Raises
    ------
    ArtifactError
        The model is about other items than the plan.
    """
    source = scored(workspace, workspace.model_info(scenario.model_id))
    items = workspace.scenario_items(scenario.id)
    if list(items["item_id"]) != [str(i) for i in source.test.item_ids]:
        raise ArtifactError(f"The model of {scenario.id} is about other items than the plan: make the plan again.")
    constraints = Constraints(**scenario.constraints)
    stored = scenario.metrics.get("user_prices")
    delivered = online_match(
        source.test, items["price"].to_numpy(float, copy=True), constraints, seed=scenario.seed,
        cap_prices=None if stored is None else pd.Series(stored, dtype=float),
    )  # fmt: skip
    metrics = {"online": evaluate(delivered, source.split.test).to_dict()}
    pairs = plan_pairs(delivered, counts=source.counts)
    return workspace.deliver(scenario.id, "test", pairs, metrics), source, delivered


def dearest_promises(workspace: Workspace, scenario: str, count: int = 10) -> list[dict[str, Any]]:
    """The promises of a stored plan that cost most for one more delivery, dearest first."""
    found = workspace.query(
        """SELECT s.item_id, coalesce(i.title, s.item_id), -s.price, s.minimum, s.delivered
           FROM scenario_items s JOIN scenarios p ON p.id = s.scenario
           LEFT JOIN items i ON i.dataset = p.dataset AND i.item_id = s.item_id
           WHERE s.scenario = ? AND s.price < 0 ORDER BY s.price, s.item_id LIMIT ?""",
        [scenario, count],
    )
    keys = ("item_id", "title", "cost", "minimum", "delivered")
    return [dict(zip(keys, (*row[:3], int(row[3] or 0), int(row[4])), strict=True)) for row in found]


def delivery(assignment: Assignment, constraints: Constraints, titles: pd.Series) -> pd.DataFrame:
    """Every item against its promise on these states: item_id, title, minimum, maximum, delivered, verdict."""
    bounds = constraints.bounds(*assignment.matrix.shape, crossing=True)
    got = assignment.exposure
    items = assignment.items.astype(str)
    return pd.DataFrame(
        {
            "item_id": items,
            "title": titles.reindex(items).fillna(pd.Series(items, index=items)).to_numpy(),
            "minimum": bounds.minimum,
            "maximum": bounds.maximum,
            "delivered": got,
            "verdict": np.select([got < bounds.minimum, got > bounds.maximum], ["short", "over"], "kept"),
        }
    )
