"""``rim plan``: promises in, item prices and a certificate out."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.models import find_model
from rim_core.cli.output import Output, as_json, examples, table
from rim_core.errors import ConstraintError, InfeasibleError
from rim_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rim_core.planning import Constraints, Group, Plan
    from rim_core.storage import Scenario


class Share(click.ParamType[float]):
    """A share of the user-states: 0.005 or 0.5%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        text = str(value).strip()
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"{value!r} is no share: write 0.005 or 0.5%.", param, ctx)


SHARE = Share()


@click.command(
    epilog=examples(
        "rim plan GRU*HawkesPoisson --capacity 10 --min-exposure 0.2%",
        "rim plan 4aa44973 --capacity 5 --max-exposure 0.1 --name autumn",
        "rim plan --list",
    )
)
@click.argument("model", required=False)
@click.option("--dataset", help="Where several datasets have a model of that name.")
@click.option(
    "--capacity", "-k", type=click.IntRange(1), default=10, show_default=True, help="K, items per user-state."
)
@click.option("--min-exposure", type=SHARE, help="β, share of the user-states every item is promised.")
@click.option("--max-exposure", type=SHARE, help="β′, largest share of the user-states any item may get.")
@click.option("--min-count", type=click.IntRange(0), help="The minimum in user-states.")
@click.option("--max-count", type=click.IntRange(0), help="The maximum in user-states.")
@click.option(
    "--group", "groups", multiple=True, metavar="RULE", help="'brand=PEPSI >= 5%', 'all <= 4000'; repeatable."
)
@click.option("--max-per-user", type=click.IntRange(0), help="Items per user over all her states.")
@click.option("--budget", type=click.FloatRange(0), help="Largest number of deliveries, or of cost (see --promises).")
@click.option(
    "--promises",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with further promises, named as in Constraints: groups, budgets, starts, forbidden, value, …",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), help="Keep minimums with this probability.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of equal choices.")
@click.option("--name", help="What the plan is called.")
@click.option("--best-effort", is_flag=True, help="Keep a plan whose promises cannot all be kept.")
@click.option("--list", "listing", is_flag=True, help="List the plans that are kept.")
@as_json
@click.pass_obj
def plan(out: Output, /, model: str | None, listing: bool, **asked: Any) -> None:
    """Plan with a MODEL (name or id): find the item prices that keep all promises at least loss, and keep the plan.

    Prices are found on the calibration windows. `rim deliver` applies them to the test window, `rim export` writes
    the audience files. Ends with code 6 and keeps nothing when promises cannot be kept together.
    """
    if listing:
        _list(out)
        return
    if model is None:
        raise click.UsageError("Name a model (see `rim models list`), or give --list.")
    from rim_core.planning import DualPlanner
    from rim_core.progress import Progress
    from rim_core.walk import dearest_promises, keep_plan, scored

    constraints = wished(asked)
    asked["capacity"] = constraints.capacity if isinstance(constraints.capacity, int) else "by segment"
    with out.workspace() as workspace, out.meter() as meter:
        info = find_model(workspace, model, asked["dataset"])
        meter(Progress(f"scoring with {info.name}", 0.0, 1.0))
        source = scored(workspace, info)
        made = DualPlanner(constraints, seed=asked["seed"]).fit(
            source.calibration, confidence=asked["confidence"], callback=meter
        )
        if made.problems and not asked["best_effort"]:
            raise InfeasibleError([*made.problems, "Nothing was kept; --best-effort keeps what comes closest."])
        meter(Progress("comparing with a plan without promises", 0.9, 1.0))
        scenario = keep_plan(workspace, source, made, asked["name"] or describe(asked), None)
        dearest = dearest_promises(workspace, scenario.id)
    if asked["name"] and scenario.name != asked["name"]:
        out.note(f"There is a plan called {asked['name']!r} already: this one is called {scenario.name!r}.")
    margin = None if made.margin is None else asdict(made.margin)
    document = {
        **scenario_document(scenario),
        "problems": made.problems,
        "most_expensive": dearest,
        "groups": made.residuals.drop(columns="problem").to_dict("records"),
        "margin": margin,
    }
    text = "\n".join(
        [
            f"{scenario.name} ({scenario.id}), {info.name} on "
            f"{counted(source.calibration.shape[0], 'calibration states')}:",
            *made.problems,
            "",
            certificate_text(scenario.certificate),
            *groups_text(made),
            "",
            losses_text(scenario.metrics["losses"]),
            "",
            dearest_text(dearest),
            "",
            f"Deliver it with `rim deliver {scenario.id}`.",
        ]
    )
    out.answer(document, text)


def _list(out: Output) -> None:
    with out.workspace() as workspace:
        names = {m.id: m.name for m in workspace.models()}
        rows = [scenario_document(s, names.get(s.model_id)) for s in workspace.scenarios()]
    shown = [
        {**r, "objective": r["certificate"]["objective"], "feasible": r["certificate"]["feasible"],
         "online": (r["metrics"].get("online") or {}).get("precision")}
        for r in rows
    ]  # fmt: skip
    titles = {"id": "Plan", "name": "Name", "dataset": "Dataset", "model": "Model", "objective": "Expected",
              "feasible": "Kept", "online": "Precision delivered"}  # fmt: skip
    out.answer(
        rows,
        table(shown, titles, {"objective": ",.1f", "online": ".5f"}) if rows else "No plan yet: see `rim plan --help`.",
    )


def wished(asked: Mapping[str, Any]) -> Constraints:
    """The promises of the options, and of the file that ``--promises`` names.

    Raises
    ------
    ConstraintError
        The file is no JSON of promises, a rule is none, or the promises contradict themselves.
    """
    from rim_core.planning import Budget, Constraints

    promises = {} if asked["promises"] is None else promises_of(asked["promises"])
    promises.setdefault("capacity", asked["capacity"])
    options = {"min_exposure": "min_exposure", "max_exposure": "max_exposure", "min_count": "min_exposure_count",
               "max_count": "max_exposure_count", "max_per_user": "max_per_user"}  # fmt: skip
    promises |= {name: asked[option] for option, name in options.items() if asked[option] is not None}
    promises["groups"] = [*promises.get("groups", ()), *(group_of(rule) for rule in asked["groups"])]
    if asked["budget"] is not None:
        promises["budgets"] = [*promises.get("budgets", ()), Budget(asked["budget"])]
    return Constraints(**promises)


def promises_of(path: Path) -> dict[str, Any]:
    """What a file of promises says.

    Raises
    ------
    ConstraintError
        It is no JSON of promises.
    """
    from rim_core.planning import Constraints

    try:
        promises: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConstraintError(f"{path} is no JSON: {error}.") from error
    if not isinstance(promises, dict):
        raise ConstraintError(f'{path} must hold one object, for example {{"max_per_user": 4}}.')
    known = sorted(f.name for f in fields(Constraints))
    wrong = sorted(set(promises) - set(known))
    if wrong:
        raise ConstraintError(f"{path} names promises that are none: {', '.join(wrong)}. There are {', '.join(known)}.")
    return promises


def group_of(rule: str) -> Group:
    """'brand=PEPSI >= 5%' or 'all <= 4000': a group named by a feature of its items (or everything), and its bound.

    Raises
    ------
    ConstraintError
        The rule cannot be read.
    """
    from rim_core.planning import Group

    found = re.fullmatch(r"\s*(?:(all)|([^=<>]+)=([^<>]+?))\s*(>=|<=)\s*([\d.]+)\s*(%?)\s*", rule)
    if found is None:
        raise ConstraintError(f"{rule!r} is no rule for a group: write 'brand=PEPSI >= 5%' or 'all <= 4000'.")
    everything, column, value, side, number, percent = found.groups()
    kind = ("min" if side == ">=" else "max") + ("_exposure" if percent else "_count")
    bound: Any = float(number) / 100 if percent else float(number)
    where = None if everything else {column.strip(): value.strip()}
    return Group(rule.strip(), where=where, **{kind: bound})


def groups_text(made: Plan) -> list[str]:
    """Groups, budgets and the margin of a plan, line by line."""
    lines = []
    if len(made.residuals):
        titles = {"name": "Group or budget", "minimum": "At least", "maximum": "At most", "delivered": "Comes to",
                  "price": "Price"}  # fmt: skip
        lines += ["", table(made.residuals.to_dict("records"), titles, {"delivered": ",.6g", "price": ".6f"})]
    if made.margin is not None:
        lines += [
            "",
            f"Every minimum is planned to hold with {100 * made.margin.reached:.0f} % "
            f"(asked: {100 * made.margin.asked:.0f} %): {made.margin.added:,} deliveries more, "
            f"{100 * made.margin.cost:.2f} % of the objective.",
        ]
    return lines


def describe(asked: dict[str, Any]) -> str:
    """A plan's promises in words."""
    words = [f"K {asked['capacity']}"]
    words += [f"at least {100 * asked['min_exposure']:g} %"] if asked["min_exposure"] else []
    words += [f"at least {asked['min_count']}"] if asked["min_count"] else []
    words += [f"at most {100 * asked['max_exposure']:g} %"] if asked["max_exposure"] is not None else []
    words += [f"at most {asked['max_count']}"] if asked["max_count"] is not None else []
    words += [rule.strip() for rule in asked["groups"]]
    words += [f"{asked['max_per_user']} a user"] if asked["max_per_user"] is not None else []
    words += [f"budget {asked['budget']:g}"] if asked["budget"] is not None else []
    words += [asked["promises"].stem] if asked["promises"] is not None else []
    words += [f"confidence {asked['confidence']:g}"] if asked["confidence"] is not None else []
    return ", ".join(words)


def scenario_document(scenario: Scenario, model: str | None = None) -> dict[str, Any]:
    """A plan for --json."""
    return {
        "id": scenario.id,
        "name": scenario.name,
        "dataset": f"{scenario.dataset} v{scenario.dataset_version}",
        "model": model,
        "model_id": scenario.model_id,
        "constraints": scenario.constraints,
        "seed": scenario.seed,
        "certificate": scenario.certificate,
        "metrics": scenario.metrics,
        "created_at": scenario.created_at,
    }


def certificate_text(certificate: Mapping[str, Any]) -> str:
    """What a plan proves about itself."""
    gap = "none while a promise is unmet" if certificate["gap"] is None else f"{100 * certificate['gap']:.4f} %"
    rows = [
        {"what": "expected interactions", "value": f"{certificate['objective']:,.3f}"},
        {"what": "no plan can expect more than", "value": f"{certificate['upper_bound']:,.3f}"},
        {"what": "gap", "value": gap},
        {"what": "largest shortfall", "value": counted(certificate["max_shortfall"], "user-states")},
        {"what": "largest excess", "value": counted(certificate["max_excess"], "user-states")},
        {"what": "every promise kept", "value": "yes" if certificate["feasible"] else "no"},
    ]
    return table(rows, {"what": "Certificate", "value": ""})


def losses_text(losses: Mapping[str, Any]) -> str:
    """Who pays for the promises, in a sentence."""
    if not losses["cost"] and not losses["worse"]:
        return "Nobody pays for the promises: the plan is the one without them."
    return (
        f"The promises cost {100 * losses['cost']:.2f} % of what would be expected without them. "
        f"{100 * losses['worse']:.1f} % of the user-states give up more than 0.5 % of theirs; the tenth that gives up "
        f"most bears {100 * losses['worst_tenth']:.0f} % of it."
    )


def dearest_text(rows: list[dict[str, Any]]) -> str:
    """The most expensive promises."""
    if not rows:
        return "No promise costs anything: without promises the plan would be the same."
    titles = {"title": f"The {len(rows)} most expensive promises", "promise": "Promised", "delivered": "Planned",
              "cost": "Cost at the margin"}  # fmt: skip
    return table(rows, titles, {"cost": ".6f"})
