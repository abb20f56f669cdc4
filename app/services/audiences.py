"""Audiences: what a saved plan gives to whom and why, the rules, and the files made from it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from app.services.data import cut, read_log
from app.services.owner import change, tasks, workspace
from app.services.planning import scores_of
from app.services.tokens import packed, unpacked
from app.tasks import Report
from rim_core.audiences import (
    Audience,
    AudienceRecipe,
    AudienceRules,
    Reasons,
    audience_of,
    contact_columns,
    country_digits,
    explain,
    id_columns,
    laid_out,
    read_ids,
    reproduces,
    response_curve,
    write_audience,
)
from rim_core.errors import DataError, NotFoundError, RimError
from rim_core.planning import Constraints
from rim_core.storage import Scenario, SuppressionList, Workspace
from rim_core.wording import counted

FORMATS = {
    "csv": "CSV",
    "parquet": "Parquet",
    "google": "Google Customer Match",
    "meta": "Meta custom audience",
}
"""Layouts of an audience file, in words."""


def audience_items(scenario: Scenario, part: str) -> pd.DataFrame:
    """Every item of a plan, most deliveries first.

    Returns
    -------
    DataFrame
        item_id, title, label (for a list), delivered (user-states), expected (interactions; NaN where the scores are no
        counts), minimum (user-states promised; <NA> where that can no longer be told).
    """
    return _items(workspace(), scenario.id, part, scenario.updated_at.isoformat()).copy()


@lru_cache(maxsize=8)
def _items(opened: Workspace, scenario_id: str, part: str, updated: str) -> pd.DataFrame:
    scenario = opened.scenario(scenario_id)
    items = opened.scenario_items(scenario_id)[["item_id"]]
    items["minimum"] = pd.array(_minimum(opened, scenario, part, len(items)), dtype="Int64")
    items = items.merge(opened.delivered_by_item(scenario_id, part), on="item_id", how="left")
    items["delivered"] = items["delivered"].fillna(0).astype(int)
    items["title"] = items["item_id"].map(titles(opened, scenario)).fillna(items["item_id"])
    items["label"] = [
        title if title == identity else f"{title} · {identity}"
        for title, identity in zip(items["title"], items["item_id"], strict=True)
    ]
    return items.sort_values(["delivered", "item_id"], ascending=[False, True], ignore_index=True)


def _minimum(opened: Workspace, scenario: Scenario, part: str, n: int) -> Sequence[int | None]:
    """What every item is promised on a part's user-states; unknown once the dataset was removed."""
    try:
        config = json.dumps(scenario.split, sort_keys=True)
        states = getattr(cut(opened, scenario.dataset, scenario.dataset_version, config), part)
        promised: list[int] = Constraints(**scenario.constraints).bounds(len(states), n, crossing=True).minimum.tolist()
    except RimError:
        return [None] * n
    return promised


def titles(opened: Workspace, scenario: Scenario) -> pd.Series:
    """Title of every item by id; empty once the dataset was removed."""
    try:
        found = read_log(opened, scenario.dataset, scenario.dataset_version).items["title"]
    except RimError:
        return pd.Series(dtype=object)
    return found.astype(str)


def audience_of_user(scenario: Scenario, part: str, user: str) -> pd.DataFrame:
    """The pairs of one user, with titles: user_id, item_id, title, rank, score, expected and more."""
    pairs = workspace().scenario_pairs(scenario.id, part, user=user)
    return pairs.assign(title=pairs["item_id"].map(_title_of(scenario, part)))


def _title_of(scenario: Scenario, part: str) -> pd.Series:
    return audience_items(scenario, part).set_index("item_id")["title"]


# -- the audience under its rules --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MadeAudience:
    """An audience as the page shows it.

    Attributes
    ----------
    pairs : DataFrame
        user_id, item_id, title, rank, score, expected and more.
    removals : DataFrame
        rule, pairs, users, items (removed), left (pairs after it): a row a rule in force.
    held_out : int
        Users of the hold-out group.
    users : int
        Distinct users written to.
    expected : float
        Interactions expected of them; NaN where scores are no counts.
    """

    pairs: pd.DataFrame
    removals: pd.DataFrame
    held_out: int
    users: int
    expected: float


def request_audience(recipe: AudienceRecipe, wish: str) -> str:
    """Ask for an audience; the key of the task, whose result is a MadeAudience."""
    scenario = workspace().scenario(recipe.scenario_id)
    asked = replace(recipe, format="csv", country_code=None)
    key = f"audience {scenario.updated_at.isoformat()} {json.dumps(asked.to_dict(), sort_keys=True)}"
    return tasks.request(key, lambda report: _make(scenario, asked, report), wish).key


def _make(scenario: Scenario, recipe: AudienceRecipe, report: Report) -> MadeAudience:
    report("reading the plan's deliveries", 0.1)
    made: Audience = audience_of(workspace(), recipe)
    report("counting", 0.9)
    left = made.before
    rows = []
    for removal in made.removals:
        left -= removal.pairs
        row = {"rule": removal.rule.capitalize(), "pairs": removal.pairs, "users": removal.users}
        rows.append({**row, "items": removal.items, "left": left})
    expected = made.pairs["expected"].astype(float)
    return MadeAudience(
        pairs=made.pairs.assign(title=made.pairs["item_id"].map(_title_of(scenario, recipe.part))),
        removals=pd.DataFrame(rows, columns=["rule", "pairs", "users", "items", "left"]),
        held_out=int(made.held_out["user_id"].nunique()),
        users=int(made.pairs["user_id"].nunique()),
        expected=float(expected.sum()) if expected.notna().all() else np.nan,
    )


# -- suppression lists ---------------------------------------------------------------------------------------------


def suppression_lists(also: str = "") -> list[SuppressionList]:
    """The lists in force, the latest first; behind them that of the id ``also``, if a newer one has its name."""
    everything = workspace().suppression_lists(all_versions=True)
    latest = {s.name: s for s in reversed(everything)}
    return [s for s in everything if s in latest.values()] + [
        s for s in everything if s.id == also and s not in latest.values()
    ]


def rules_token(rules: AudienceRules) -> str:
    """Rules as text that fits into an address; empty where none is in force."""
    return "" if rules == AudienceRules() else packed(rules.to_dict())


def rules_of_token(token: str) -> AudienceRules:
    """Inverse of :func:`rules_token`.

    Raises
    ------
    DataError
        The link was cut off or changed.
    """
    try:
        return AudienceRules(**unpacked(token))
    except (TypeError, ValueError) as error:
        raise DataError(
            "This link does not say who is left out and how often one is written to; it may be cut off: copy it again."
        ) from error


@dataclass(frozen=True)
class ListedUsers:
    """Ids of a list, and which of them are no users of a dataset.

    Attributes
    ----------
    ids, unknown : tuple of str
    dataset : str
        Its name and version.
    example : str
        A user of it.
    """

    ids: tuple[str, ...]
    unknown: tuple[str, ...]
    dataset: str
    example: str

    @property
    def known(self) -> int:
        """How many are users of the dataset."""
        return len(self.ids) - len(self.unknown)


def add_suppression_list(name: str, content: bytes, column: str | None = None) -> SuppressionList:
    """Keep an uploaded list of user ids: of a table, those of ``column``, or of its likeliest one.

    Raises
    ------
    DataError
        It is no text, or empty.
    """
    ids = read_ids(content) if column is None else id_columns(content)[column]
    with change() as opened:
        return opened.add_suppression_list(Path(name).stem, ids)


def uploaded_users(scenario: Scenario, content: bytes) -> dict[str, ListedUsers]:
    """Every column of an uploaded list, the likeliest first, against the users of a plan's dataset.

    Raises
    ------
    DataError
        It is no text, or empty.
    """
    return _uploaded(workspace(), scenario.dataset, scenario.dataset_version, content)


@lru_cache(maxsize=2)
def _uploaded(opened: Workspace, dataset: str, version: int, content: bytes) -> dict[str, ListedUsers]:
    columns = {name: tuple(ids) for name, ids in id_columns(content).items() if ids}
    if not columns:
        raise DataError("This list holds no user ids: give one id a line.")
    return {name: _listed(opened, dataset, version, ids) for name, ids in columns.items()}


def suppressed_users(scenario: Scenario, list_id: str) -> ListedUsers | None:
    """A list against the users of a plan's dataset; None once that was removed."""
    try:
        return _suppressed(workspace(), scenario.dataset, scenario.dataset_version, list_id)
    except RimError:
        return None


@lru_cache(maxsize=8)
def _suppressed(opened: Workspace, dataset: str, version: int, list_id: str) -> ListedUsers:
    return _listed(opened, dataset, version, tuple(opened.suppressed(list_id)))


def _listed(opened: Workspace, dataset: str, version: int, ids: tuple[str, ...]) -> ListedUsers:
    users = read_log(opened, dataset, version).users.index
    unknown = np.asarray(ids, object)[~pd.Index(ids).isin(users)]
    return ListedUsers(ids, tuple(unknown), f"{dataset} v{version}", str(users[0]))


def contacts_known(scenario: Scenario) -> tuple[str, ...]:
    """Which contacts the dataset of a plan carries: "e-mail", "phone", both or none."""
    try:
        info = workspace().dataset(scenario.dataset, scenario.dataset_version)
    except RimError:
        return ()
    found = contact_columns(info.user_columns)
    return tuple(word for word, name in (("e-mail", found.email), ("phone", found.phone)) if name is not None)


@dataclass(frozen=True)
class ToolFile:
    """Who is in a campaign tool's file.

    Attributes
    ----------
    users : int
        One a row.
    without, unusable : int
        Users who are left out because they have no contact, or none that can be used.
    """

    users: int
    without: int
    unusable: int

    @property
    def left_out(self) -> int:
        """Users who are left out."""
        return self.without + self.unusable


def country_code(typed: str) -> str | None:
    """The country code that was typed; None for none.

    Raises
    ------
    DataError
        It is not one to three digits.
    """
    return country_digits(typed) if typed.strip() else None


def request_tool_file(recipe: AudienceRecipe, wish: str) -> str:
    """Ask who will be in a campaign tool's file; the key of the task, whose result is a ToolFile."""
    opened = workspace()
    updated = opened.scenario(recipe.scenario_id).updated_at.isoformat()
    key = f"tool file {updated} {json.dumps(recipe.to_dict(), sort_keys=True)}"

    def work(report: Report) -> ToolFile:
        report("counting the users of the file", 0.1)
        laid = laid_out(opened, recipe)
        return ToolFile(len(laid.table), laid.without, laid.unusable)

    return tasks.request(key, work, wish).key


# -- how large, and why ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SizeCurve:
    """Expected response by size.

    Attributes
    ----------
    everyone : DataFrame
        size, expected, next, share and happened of the item's best user-states, whatever the plan gives them.
    plan : DataFrame
        size, expected and happened of what the plan gives the item, best first.
    counts : bool
        Whether scores are expected interactions.
    """

    everyone: pd.DataFrame
    plan: pd.DataFrame
    counts: bool


def request_curve(scenario: Scenario, part: str, item: str, wish: str) -> str:
    """Ask for the size curve of an item; the key of the task, whose result is a SizeCurve."""
    key = f"curve {scenario.id} {scenario.updated_at.isoformat()} {part} {item}"
    return tasks.request(key, lambda report: _curve(scenario, part, item, report), wish).key


def _curve(scenario: Scenario, part: str, item: str, report: Report) -> SizeCurve:
    report("scoring the visitors", 0.1)
    scored = scores_of(scenario.model_id)
    scores = getattr(scored, part)
    states = scores.states
    if item not in scores.item_ids:
        raise NotFoundError(f"The model of this plan does not know item {item}: train it again and plan anew.")
    column = int(scores.item_ids.get_loc(item))
    report("ordering them", 0.7)
    rows = np.arange(len(scores))
    expected = scores.pairs(rows, np.full(len(rows), column)).astype(float)
    happened = np.asarray(states.targets[:, [column]].todense(), float).ravel()
    pairs = workspace().scenario_pairs(scenario.id, part, item=item)
    given = pairs["state"].to_numpy(np.int64)
    return SizeCurve(
        response_curve(expected, happened), response_curve(pairs["score"].to_numpy(), happened[given]), scored.counts
    )


def request_why(scenario: Scenario, part: str, item: str, user: str, wish: str) -> str:
    """Ask why a user gets an item; the key of the task, whose result is the engine's Reasons."""
    key = f"why {scenario.id} {scenario.updated_at.isoformat()} {part} {json.dumps([item, user])}"
    return tasks.request(key, lambda report: _why(scenario, part, item, user, report), wish).key


def _why(scenario: Scenario, part: str, item: str, user: str, report: Report) -> Reasons:
    opened = workspace()
    pairs = opened.scenario_pairs(scenario.id, part, item=item, user=user)
    if pairs.empty:
        raise NotFoundError(f"The plan does not give this item to user {user} here. Ids are compared letter by letter.")
    report("scoring the visitors", 0.1)
    scores = getattr(scores_of(scenario.model_id), part)
    report("taking the decision apart", 0.8)
    prices = opened.scenario_items(scenario.id)["price"].to_numpy(float, copy=True)
    row = int(pairs["state"].iloc[0])
    capacity = Constraints(**scenario.constraints).bounds(len(scores), len(prices), crossing=True).capacity
    return explain(scores, row, item, prices, int(capacity[row]))


# -- files -----------------------------------------------------------------------------------------------------------


def export_file(recipe: AudienceRecipe) -> bytes:
    """The file of a recipe: kept in the workspace, written down, and returned.

    Raises
    ------
    DataError
        The country code is none.
    StorageError
        The workspace cannot be written.
    """
    with change() as opened:
        stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        receipt, _, _ = write_audience(opened, recipe, opened.exports_folder / f"{stamp}-{export_name(recipe)}")
        return receipt.path.read_bytes()


def export_name(recipe: AudienceRecipe) -> str:
    """A file name that says what is inside, in letters that every system takes."""
    items = recipe.items
    what = "all items" if items is None else items[0] if len(items) == 1 else f"{len(items)} items"
    name = workspace().scenario(recipe.scenario_id).name
    words = [name, what, "delivered" if recipe.part == "test" else "planned"]
    words += [] if recipe.format in ("csv", "parquet") else [recipe.format]
    stem = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")[:60] or "x" for word in words)
    return f"{stem}.{'parquet' if recipe.format == 'parquet' else 'csv'}"


def exports(scenario: Scenario | None = None) -> pd.DataFrame:
    """Files made so far, the latest first: id, created_at, who, file, format, rules (in words), rows, sha256."""
    columns = ["id", "created_at", "who", "file", "format", "rules", "rows", "sha256"]
    rows = [
        {
            "id": e.id, "created_at": e.created_at, "who": e.who, "file": Path(e.path).name,
            "format": FORMATS.get(e.format, e.format), "rules": describe_rules(_rules(e.recipe)), "rows": e.rows,
            "sha256": e.sha256,
        }
        for e in workspace().exports(scenario_id=None if scenario is None else scenario.id)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _rules(recipe: dict[str, object] | None) -> AudienceRules:
    return AudienceRules() if recipe is None else AudienceRecipe.from_dict(recipe).rules


def describe_rules(rules: AudienceRules) -> str:
    """Rules in words: "10 % held out, at most 3 a user"."""
    words = []
    if rules.suppression is not None:
        names = [s.name for s in workspace().suppression_lists(all_versions=True) if s.id == rules.suppression]
        words.append(f"without {names[0] if names else rules.suppression}")
    if rules.holdout:
        words.append(f"{100 * rules.holdout:g} % held out")
    if rules.max_per_user is not None:
        words.append(f"at most {rules.max_per_user} a user")
    if rules.max_size is not None:
        words.append(f"the best {rules.max_size:,}")
    if rules.min_size:
        words.append(f"at least {counted(rules.min_size, 'users')}")
    return ", ".join(words) or "no rules"


def made_again(export_id: str) -> bool:
    """Whether a recorded file, made again from what is stored, has the same bytes.

    Raises
    ------
    DataError, NotFoundError
        What it was made from is gone, or was not recorded.
    """
    return reproduces(workspace(), export_id)
