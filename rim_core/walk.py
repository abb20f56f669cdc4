"""Steps that the command line and the dashboard share: a stored model's scores, a plan kept and delivered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rim_core.audiences import plan_pairs
from rim_core.errors import ArtifactError, NotFoundError
from rim_core.evaluation import evaluate
from rim_core.jobs import make_split
from rim_core.planning import Baseline, Constraints, expected_deliveries, who_loses, without_promises
from rim_core.planning.losses import value_of_states
from rim_core.planning.online import online_match
from rim_core.progress import Progress, silent
from rim_core.storage.scenarios import MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rim_core.assignment import Assignment
    from rim_core.datasets.split import Split
    from rim_core.planning import Losses, Plan
    from rim_core.progress import Callback
    from rim_core.scores import Scores
    from rim_core.storage import ModelInfo, Scenario, Workspace


GROUPS = ("name", "kind", "minimum", "maximum", "delivered", "missed")
"""What is kept of the groups and budgets of a plan (:attr:`Plan.residuals`)."""


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


@dataclass(frozen=True, eq=False)
class Measured:
    """What a plan keeps beside its promises and prices.

    Attributes
    ----------
    items : DataFrame
        item_id, free (user-states without promises), expected, low, high, chance (of other states like the test ones).
    losses : Losses
        Who pays.
    """

    items: pd.DataFrame
    losses: Losses


def measure(plan: Plan, states: int, free: Baseline | None = None) -> Measured:
    """Who pays for a plan, and what it will deliver to ``states`` others.

    Parameters
    ----------
    free : Baseline, optional
        The plan without promises, where it is known already.
    """
    if free is None:
        free = Baseline.of(without_promises(plan.problem.given, plan.constraints, seed=plan.seed))
    losses = who_loses(value_of_states(plan.assignment), plan.certificate.objective, free)
    return Measured(plan.delivery_intervals(states).assign(free=free.exposure), losses)


def keep_plan(
    workspace: Workspace,
    source: Scored,
    plan: Plan,
    name: str,
    delivered: Assignment | None,
    *,
    measured: Measured | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Scenario:
    """Store a plan: who pays for it, what it gives to the calibration states and, when delivered, to the test states.

    Parameters
    ----------
    asked : mapping, optional
        How whoever asked for it said so; it comes back as it is.
    """
    if measured is None:
        measured = measure(plan, source.test.shape[0])
    metrics: dict[str, Any] = {"offline": evaluate(plan.assignment, source.split.calibration).to_dict()}
    metrics["losses"] = losses_document(measured.losses)
    metrics["promises"] = {"problems": list(plan.problems)} | ({} if asked is None else {"request": asked})
    metrics["groups"] = plan.residuals[list(GROUPS)].to_dict("records")
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
        promises=plan.promises.merge(measured.items[["item_id", *MEASURED]], on="item_id", how="left"),
        certificate=asdict(plan.certificate),
        metrics=metrics,
        pairs=pairs,
    )


def kept_groups(scenario: Scenario) -> pd.DataFrame | None:
    """The groups and budgets of a stored plan, columns :data:`GROUPS`; None of one that an older version kept."""
    rows = scenario.metrics.get("groups")
    if rows is None:
        return None
    frame = pd.DataFrame(rows, columns=list(GROUPS))
    return frame.assign(maximum=frame["maximum"].astype(float).fillna(np.inf))  # JSON knows no infinity


def losses_document(losses: Losses) -> dict[str, Any]:
    """Who pays, as it is kept with a plan."""
    return {**asdict(losses), "states": losses.states.tolist()}


def deliver_again(
    workspace: Workspace,
    scenario: Scenario,
    source: Scored | None = None,
    *,
    planned: Constraints | None = None,
    callback: Callback = silent,
) -> tuple[Scenario, Scored, Assignment]:
    """Give the test states of a stored plan what its prices say, by the online rule, and store that.

    A plan that an older version kept is given what it lacks as well: who pays for it, and what to expect of it.

    Parameters
    ----------
    source : Scored, optional
        The plan's model on its split, where that is known already.
    planned : Constraints, optional
        The promises as they were planned on the calibration states, where their dates are other ones.
    callback : callable
        Gets :class:`~rim_core.progress.Progress`; what it raises ends the work, and nothing is stored.

    Raises
    ------
    ArtifactError
        The model is about other items than the plan.
    """
    callback(Progress("scoring the user-states", 0.05, 1.0))
    source = source or scored(workspace, workspace.model_info(scenario.model_id))
    items = workspace.scenario_items(scenario.id)
    if list(items["item_id"]) != [str(i) for i in source.test.item_ids]:
        raise ArtifactError(f"The model of {scenario.id} is about other items than the plan: make the plan again.")
    constraints = Constraints(**scenario.constraints)
    stored = scenario.metrics.get("user_prices")
    cap_prices = None if stored is None else pd.Series(stored, dtype=float)
    prices = items["price"].to_numpy(float, copy=True)
    heed = partial(callback, Progress("delivering to the test window", 0.4, 1.0))
    delivered = online_match(source.test, prices, constraints, seed=scenario.seed, cap_prices=cap_prices, heed=heed)
    metrics: dict[str, Any] = {"online": evaluate(delivered, source.split.test).to_dict()}
    lacking = None
    if lacks_figures(scenario, items):
        heed = partial(callback, Progress("comparing with a plan without promises", 0.7, 1.0))
        again = online_match(
            source.calibration, prices, planned or constraints, seed=scenario.seed, cap_prices=cap_prices,
            planned=True, heed=heed,
        )  # fmt: skip
        free = without_promises(
            source.calibration, planned or constraints, seed=scenario.seed, callback=lambda _: heed()
        )
        lacking = expected_deliveries(again, prices, constraints, source.test.shape[0])
        lacking["free"] = free.assignment.exposure
        value = _planned_value(workspace, scenario, source.calibration.shape[0])
        losses = who_loses(value, scenario.certificate["objective"], Baseline.of(free))
        metrics["losses"] = losses_document(losses)
    callback(Progress("storing what is delivered", 0.9, 1.0))
    pairs = plan_pairs(delivered, counts=source.counts)
    return workspace.deliver(scenario.id, "test", pairs, metrics, lacking), source, delivered


def lacks_figures(scenario: Scenario, items: pd.DataFrame) -> bool:
    """Whether a plan was kept without who pays for it or what to expect of it. ``items``: ``scenario_items``."""
    return "losses" not in scenario.metrics or bool(items[list(MEASURED)].isna().any(axis=None))


def _planned_value(workspace: Workspace, scenario: Scenario, states: int) -> np.ndarray:
    """Σ λ of what a stored plan gives to every calibration state, (m,)."""
    rows = workspace.query(
        "SELECT state, sum(score) FROM scenario_pairs WHERE scenario = ? AND part = 'calibration' GROUP BY state",
        [scenario.id],
    )
    value = np.zeros(states)
    if rows:
        state, total = np.array(rows).T
        value[state.astype(np.int64)] = total
    return value


def dearest_promises(workspace: Workspace, scenario: str, count: int = 10) -> list[dict[str, Any]]:
    """The promises of a stored plan that cost most, dearest first: item_id, title, promise, cost, delivered.

    A minimum costs what one more delivery gives up, a maximum what one more would bring. Promises that cost nothing are
    left out, and so are prices of items that are promised nothing and delivered to nobody, as older versions kept them.
    """
    found = workspace.query(
        """SELECT s.item_id, coalesce(i.title, s.item_id), s.price, s.minimum, s.maximum, s.delivered
           FROM scenario_items s JOIN scenarios p ON p.id = s.scenario
           LEFT JOIN items i ON i.dataset = p.dataset AND i.item_id = s.item_id
           WHERE s.scenario = ?
             AND (s.price < 0 AND (s.minimum > 0 OR s.delivered > 0) OR s.price > 0 AND s.delivered >= s.maximum)
           ORDER BY abs(s.price) DESC, s.item_id LIMIT ?""",
        [scenario, count],
    )
    return [
        {
            "item_id": item,
            "title": title,
            "promise": f"at least {int(minimum or 0):,}" if price < 0 else f"at most {int(maximum):,}",
            "cost": abs(price),
            "delivered": int(delivered),
        }
        for item, title, price, minimum, maximum, delivered in found
    ]


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
