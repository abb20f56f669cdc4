"""Saved plans: kept, named, cloned, put away, and set side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.services.data import describe_split
from app.services.owner import change, workspace
from app.services.planning import PlanResult, is_counting, items_of, model_of, scores_of, unit_of
from app.services.requests import PlanRequest, Promise
from app.services.rules import Rules
from app.services.stored import request_of, stored
from rim_core.errors import ConstraintError, RimError
from rim_core.storage import DatasetInfo, Scenario
from rim_core.walk import keep_plan

MOST = 4
"""Plans side by side."""
VALUES = ("value", "pair_value")
"""Constraints that say what an interaction is worth."""
NAMED = 3
"""Promises of a plan that are named where plans differ."""


def scenarios(info: DatasetInfo, *, archived: bool = False) -> list[Scenario]:
    """Saved plans of a dataset, the latest first."""
    return workspace().scenarios(info.name, archived=archived)


def find_scenario(scenario_id: str) -> Scenario | None:
    """A saved plan by its id, put away or not."""
    try:
        return workspace().scenario(scenario_id)
    except RimError:
        return None


def save_plan(result: PlanResult, name: str) -> Scenario:
    """Keep a plan with its promises, certificate, figures and everything it delivers."""
    made = result.made
    if made is None:
        raise ConstraintError("This plan is saved already: it can be found under its name.")
    with change() as opened:
        source = scores_of(result.request.model_id)
        return keep_plan(
            opened, source, made.plan, name, made.delivered, measured=made.measured, asked=result.request.to_dict()
        )


def same_figures(result: PlanResult, scenario: Scenario) -> bool:
    """Whether a plan computed again has the figures it was saved with (to the precision that threads leave)."""
    before = scenario.certificate
    return bool(
        np.isclose(before["objective"], result.certificate.objective, rtol=1e-6)
        and np.isclose(before["upper_bound"], result.certificate.upper_bound, rtol=1e-6)
        and before["feasible"] == result.certificate.feasible
    )


def labels(found: Sequence[Scenario]) -> dict[str, str]:
    """Names by id that tell plans apart: of those that older versions let have the same one, with the end of the id."""
    names = Counter(s.name for s in found)
    return {s.id: s.name if names[s.name] == 1 else f"{s.name} · {s.id[-6:]}" for s in found}


def rename(scenario_id: str, name: str) -> Scenario:
    """Give a saved plan another name; one that another plan has gets a number behind it.

    Raises
    ------
    ConstraintError
        The name is empty.
    """
    if not name.strip():
        raise ConstraintError("A plan needs a name: write one.")
    with change() as opened:
        return opened.update_scenario(scenario_id, name=name.strip())


def note(scenario_id: str, text: str) -> None:
    """Write something beside a saved plan."""
    with change() as opened:
        opened.update_scenario(scenario_id, note=text.strip())


def clone(scenario_id: str) -> Scenario:
    """A copy of a saved plan under a name with a number, with its figures and everything it delivers."""
    with change() as opened:
        kept = opened.scenario(scenario_id)
        pairs = {
            part: opened.cursor()
            .execute(
                """SELECT state, user_id, item_id, state_time, rank, score, expected FROM scenario_pairs
                   WHERE scenario = ? AND part = ? ORDER BY rowid""",
                [kept.id, part],
            )
            .to_arrow_table()
            for part in ("calibration", "test")
        }
        return opened.save_scenario(
            kept.name,
            dataset=opened.dataset(kept.dataset, kept.dataset_version),
            split=kept.split,
            model_id=kept.model_id,
            constraints=kept.constraints,
            seed=kept.seed,
            promises=opened.scenario_items(kept.id),
            certificate=kept.certificate,
            metrics=kept.metrics,
            pairs={part: table for part, table in pairs.items() if len(table)},
            method=kept.method,
            note=kept.note,
        )


def archive(scenario_id: str, *, archived: bool = True) -> None:
    """Put a saved plan away, or take it back: what is away is listed no more, and nothing of it is lost."""
    with change() as opened:
        opened.update_scenario(scenario_id, archived=archived)


def saved_plans(info: DatasetInfo, *, archived: bool = False) -> pd.DataFrame:
    """Saved plans of a dataset, a row each, the latest first."""
    rows = []
    named = labels(scenarios(info, archived=True))
    for scenario in scenarios(info, archived=archived):
        online, request = scenario.metrics.get("online", {}), request_of(scenario)
        rows.append(
            {
                "id": scenario.id,
                "name": scenario.name,
                "label": named[scenario.id],
                "version": scenario.dataset_version,
                "model": model_name(scenario.model_id),
                "capacity": None if request is None else request.capacity,
                "min_exposure": None if request is None else request.min_exposure,
                "max_exposure": None if request is None else request.max_exposure,
                "own": None if request is None else len(request.promises),
                "feasible": bool(scenario.certificate.get("feasible")),
                "objective": scenario.certificate.get("objective"),
                "unit": unit(scenario),
                "gap": scenario.certificate.get("gap"),
                "precision": online.get("precision"),
                "item_perplexity": online.get("item_perplexity"),
                "archived": scenario.archived,
                "note": scenario.note,
                "created_at": scenario.created_at,
            }
        )
    return pd.DataFrame(rows)


def model_name(model_id: str) -> str:
    """Name of a model, or that it is there no more."""
    try:
        return workspace().model_info(model_id).name
    except RimError:
        return "(removed)"


def unit(scenario: Scenario) -> str:
    """What the scores of a saved plan are summed up to; those of a model that was removed are taken for counts."""
    try:
        counts = is_counting(model_of(workspace(), scenario.model_id))
    except RimError:
        counts = True
    return unit_of(valued=not scenario.constraints.keys().isdisjoint(VALUES), counts=counts)


# -- side by side ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Two to four saved plans.

    Attributes
    ----------
    names : tuple of str
        Different from each other.
    units : tuple of str
        What the scores of the plans are summed up to, each unit once; figures in one of them have rows of their own.
    asked, came : DataFrame
        What was promised and what came of it: label, kind ("text", "count", "share", "decimal"), one column a plan
        (value_0, value_1 …; NaN for a plan that has no such figure) and ``differs``.
    items : DataFrame
        item_id, title, delivered_i, minimum_i, cost_i, and spread: the largest difference of the deliveries.
    points : DataFrame
        name, item_perplexity, precision, for a chart.
    unread : tuple of str
        Names of plans whose items cannot be shown here.
    undelivered : tuple of str
        Ids of plans that were never delivered to their test window.
    same_data : bool
        Whether all were made on the same dataset version and windows.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    asked: pd.DataFrame
    came: pd.DataFrame
    items: pd.DataFrame
    points: pd.DataFrame
    unread: tuple[str, ...]
    undelivered: tuple[str, ...]
    same_data: bool


def side_by_side(ids: Sequence[str]) -> SideBySide:
    """Set saved plans beside each other, in the order given.

    Raises
    ------
    ConstraintError
        Fewer than two or more than four.
    """
    if not 2 <= len(ids) <= MOST:
        raise ConstraintError(f"Choose two to {MOST} plans to compare; {len(ids)} were chosen.")
    opened = workspace()
    found = [opened.scenario(i) for i in ids]
    names = tuple(labels(found).values())
    results = [_read(s) for s in found]
    titles = {i: t for r in results if r for i, t in zip(r.items["item_id"], r.items["title"], strict=True)}
    read = [(name, r) for name, r in zip(names, results, strict=True) if r is not None]
    items = items_of([r for _, r in read])
    if len(items):
        delivered = items[[c for c in items if c.startswith("delivered_")]]
        items["spread"] = delivered.max(axis=1) - delivered.min(axis=1)
        items = items.sort_values(["spread", "item_id"], ascending=[False, True], ignore_index=True)
    online = [s.metrics.get("online", {}) for s in found]
    points = pd.DataFrame(
        {
            "name": names,
            "item_perplexity": [o.get("item_perplexity") for o in online],
            "precision": [o.get("precision") for o in online],
        }
    ).dropna()
    return SideBySide(
        names=names,
        units=tuple(dict.fromkeys(unit(s) for s in found)),
        asked=_rows([_asked(s) for s in found], titles),
        came=_rows([_came(s, r) for s, r in zip(found, results, strict=True)], titles),
        items=items,
        points=points,
        unread=tuple(name for name, r in zip(names, results, strict=True) if r is None),
        undelivered=tuple(s.id for s in found if "online" not in s.metrics),
        same_data=len({(s.dataset, s.dataset_version, str(sorted(s.split.items()))) for s in found}) == 1,
    )


def _read(scenario: Scenario) -> PlanResult | None:
    """A plan with its items; None where its data or its model are there no more."""
    try:
        return stored(scenario)
    except RimError:
        return None


Figure = tuple[str, object]
"""How a figure is shown, and the figure."""


def _asked(scenario: Scenario) -> dict[str, Figure]:
    request: PlanRequest | None = request_of(scenario)
    return {
        "Dataset": ("text", f"{scenario.dataset} v{scenario.dataset_version}"),
        "Windows": ("text", describe_split(scenario.split)),
        "Model": ("text", f"{model_name(scenario.model_id)} · {scenario.model_id[:6]}"),
        "Items for each user (K)": ("count", request.capacity if request else scenario.constraints.get("capacity")),
        "Every item at least (β)": ("share", request.min_exposure if request else None),
        "No item more than (β′)": ("share", request.max_exposure if request else None),
        "Sure of each minimum when delivered": ("share", request.confidence if request else None),
        "Promises of their own": ("promises", request.promises if request else None),
        "Further rules": ("rules", request.rules if request else None),
        "Seed": ("count", scenario.seed),
    }


def _came(scenario: Scenario, result: PlanResult | None) -> dict[str, Figure]:
    c, online = scenario.certificate, scenario.metrics.get("online", {})
    known = result is not None and result.measured
    outlook = result.items["outlook"].value_counts() if result is not None else {}
    promised = result.promises if result is not None else None
    summed = unit(scenario).capitalize()
    return {
        summed: ("decimal", c.get("objective")),
        "Given up for the promises": ("share", result.cost_of_promises if result is not None else None),
        f"{summed} of any such plan, at most": ("decimal", c.get("upper_bound")),
        "Gap (how far from the optimum, at most)": ("share", c.get("gap")),
        "Items with a promise": ("count", promised),
        "Promises kept in the plan": ("count", promised - result.broken if promised and result else promised),
        "Promises kept when delivered": ("count", promised - result.broken_online if promised and result else promised),
        "Likely to be kept": ("count", int(outlook.get("likely", 0)) if known else None),
        "Likely, but takes from others": ("count", int(outlook.get("takes", 0)) if known else None),
        "About as likely as not": ("count", int(outlook.get("even", 0)) if known else None),
        "Unlikely": ("count", int(outlook.get("unlikely", 0)) if known else None),
        "Visitors who lose relevance": ("share", result.losses.worse if result and result.losses else None),
        "Interactions per delivery, in the test window": ("decimal", online.get("precision")),
        "Items reached, in effect": ("count", online.get("item_perplexity")),
        "Visitors reached, in effect": ("count", online.get("user_perplexity")),
    }


def _rows(columns: list[dict[str, Figure]], titles: Mapping[str, str]) -> pd.DataFrame:
    """A row a figure; promises and rules are compared themselves, and said in words after that."""
    rows = []
    places = [(i, label) for c in columns for i, label in enumerate(c)]
    for label in dict.fromkeys(label for _, label in sorted(places, key=lambda place: place[0])):
        having = [c[label] for c in columns if label in c]
        kind, values = having[0][0], [c[label][1] if label in c else np.nan for c in columns]
        differs = any(figure != having[0] for figure in having)
        if kind == "promises":
            kind, values = "text", _own(values, titles)
        elif kind == "rules":
            said = [v.describe() if isinstance(v, Rules) else None for v in values]
            alike = differs and len(set(said)) == 1  # as many rules, but not the same
            kind, values = "text", [f"{s} (they differ)" if alike else s or None for s in said]
        row: dict[str, object] = {"label": label, "kind": kind}
        row |= {f"value_{i}": v for i, v in enumerate(values)}
        row["differs"] = differs
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _own(values: Sequence[object], titles: Mapping[str, str]) -> list[object]:
    """How many promises of its own each plan makes, and those that not all of the others make just so."""
    plans = [v if isinstance(v, tuple) else None for v in values]
    common = set.intersection(*(set(p) for p in plans if p is not None)) if any(p is not None for p in plans) else set()
    said: list[object] = []
    for plan in plans:
        own = [p for p in plan or () if p not in common]
        text = None if plan is None else f"{len(plan):,}"
        if own:
            more = f"; {len(own) - NAMED:,} more" if len(own) > NAMED else ""
            listed = "; ".join(_in_short(p, titles) for p in own[:NAMED])
            text = f"{text} ({len(own):,} {'differs' if len(own) == 1 else 'differ'}: {listed}{more})"
        said.append(text)
    return said


def _in_short(promise: Promise, titles: Mapping[str, str]) -> str:
    """What a promise says: "Coffee at least 2.5 %", "brand Private together at most 30 %"."""
    about = f"{promise.group} {promise.target}" if promise.group else titles.get(promise.target, promise.target)
    together = " together" if promise.together else ""
    least = "" if promise.minimum is None else f" at least {100 * promise.minimum:.6g} %"
    most = "" if promise.maximum is None else f" at most {100 * promise.maximum:.6g} %"
    return f"{about}{together}{least}{',' if least and most else ''}{most}"
