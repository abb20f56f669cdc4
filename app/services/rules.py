"""Further rules of a plan: caps, dates, values, costs and single pairs; read from and written to CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from app.services.pasted import BadCell, Items, LeftOut, cell_text, left_over, repeated, rows_of
from rim_core.audiences.formulas import neutralised
from rim_core.planning import Budget
from rim_core.wording import counted

PAIR_RULES = {"forbidden": "never", "contacted": "already contacted", "forced": "always"}
"""What can be said about a user and an item, and in words."""

LARGEST = 1e12
"""Of a value or a cost."""

_WORDS = {
    "item": {"item", "item_id", "id", "title", "sku", "product"},
    "start": {"start", "from", "starts", "launch"},
    "end": {"end", "until", "ends", "to"},
    "value": {"value", "margin", "worth"},
    "cost": {"cost", "costs", "price"},
    "user": {"user", "user_id", "customer", "customer_id", "household"},
    "rule": {"rule", "kind", "what"},
}
_RULES = {
    **{word: word for word in PAIR_RULES},
    **{text: word for word, text in PAIR_RULES.items()},
    "forbid": "forbidden",
    "force": "forced",
    "seen": "contacted",
}


@dataclass(frozen=True)
class ItemRule:
    """What holds for one item; None where nothing does.

    Attributes
    ----------
    item : str
        Its id.
    start, end : str or None
        ISO dates (UTC): only user-states at or after the start and before the end get it.
    value : float or None
        Worth of one interaction with it; 1 where none is given.
    cost : float or None
        Of one delivery, against the budget; nothing where none is given.
    """

    item: str
    start: str | None = None
    end: str | None = None
    value: float | None = None
    cost: float | None = None


@dataclass(frozen=True)
class PairRule:
    """What holds for one user and one item. ``rule`` is a key of :data:`PAIR_RULES`."""

    rule: str
    user: str
    item: str


@dataclass(frozen=True)
class Rules:
    """Rules beside the promises.

    Attributes
    ----------
    max_per_user : int or None
        Items a user gets at most over the whole period, over all her user-states.
    budget : float or None
        Limit of Σ costs over everything delivered, in the unit of the costs.
    items : tuple of ItemRule
    pairs : tuple of PairRule
    """

    max_per_user: int | None = None
    budget: float | None = None
    items: tuple[ItemRule, ...] = ()
    pairs: tuple[PairRule, ...] = ()

    def __post_init__(self) -> None:
        items = {rule.item: rule for rule in self.items}
        object.__setattr__(self, "items", tuple(items[k] for k in sorted(items)))
        object.__setattr__(self, "pairs", tuple(sorted(set(self.pairs), key=lambda p: (p.rule, p.user, p.item))))

    def __bool__(self) -> bool:
        return self != NO_RULES

    @property
    def valued(self) -> bool:
        """Whether interactions are worth different amounts."""
        return any(rule.value is not None for rule in self.items)

    @property
    def dated(self) -> bool:
        """Whether any item has dates."""
        return any(rule.start or rule.end for rule in self.items)

    def describe(self) -> str:
        """In words, empty when there are none: "≤ 3 a user, budget 500, 2 items, 10 pairs"."""
        said = [
            "" if self.max_per_user is None else f"≤ {self.max_per_user:,} a user",
            "" if self.budget is None else f"budget {self.budget:,.6g}",
            f"rules for {counted(len(self.items), 'items')}" if self.items else "",
            counted(len(self.pairs), "pairs") if self.pairs else "",
        ]
        return ", ".join(s for s in said if s)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> Rules:
        """Inverse of ``asdict``; TypeError or ValueError when it describes none."""
        rules = Rules(
            None if found.get("max_per_user") is None else int(found["max_per_user"]),
            None if found.get("budget") is None else float(found["budget"]),
            tuple(ItemRule(**rule) for rule in found.get("items", ())),
            tuple(PairRule(**rule) for rule in found.get("pairs", ())),
        )
        numbers = [rules.max_per_user, rules.budget, *(n for r in rules.items for n in (r.value, r.cost))]
        if any(n is not None and not 0 <= n < float("inf") for n in numbers):
            raise ValueError("number")
        if any(pair.rule not in PAIR_RULES for pair in rules.pairs):
            raise ValueError("rule")
        return rules

    def keywords(self) -> dict[str, Any]:
        """The rules as the planner's ``Constraints`` takes them."""
        out: dict[str, Any] = {"max_per_user": self.max_per_user}
        for name, attribute in (("starts", "start"), ("ends", "end"), ("value", "value")):
            found = {r.item: getattr(r, attribute) for r in self.items if getattr(r, attribute) is not None}
            out[name] = found or None
        for rule in PAIR_RULES:
            out[rule] = [(p.user, p.item) for p in self.pairs if p.rule == rule] or None
        costs = {r.item: r.cost for r in self.items if r.cost is not None}
        if self.budget is not None:
            out["budgets"] = [Budget(self.budget, costs)]
        return out

    def known(self, catalogue: pd.DataFrame) -> Rules:
        """Those about these items, which a catalogue indexed by id lists."""
        ids = catalogue.index
        if all(r.item in ids for r in self.items) and all(p.item in ids for p in self.pairs):
            return self
        items = tuple(r for r in self.items if r.item in ids)
        return replace(self, items=items, pairs=tuple(p for p in self.pairs if p.item in ids))

    def problems(self) -> list[str]:
        """What cannot be planned with, each with the next step."""
        found = []
        crossed = [r.item for r in self.items if r.start and r.end and r.start >= r.end]
        found += [f"Item {item} would end before it starts: change one of its dates." for item in crossed[:3]]
        if self.budget is not None and not any(r.cost for r in self.items):
            found.append("A budget needs the costs of items: take in rows with a cost, or empty the budget.")
        both = {(p.user, p.item) for p in self.pairs if p.rule == "forced"}
        both &= {(p.user, p.item) for p in self.pairs if p.rule != "forced"}
        found += [
            f"User {user} always and never gets item {item}: take one of the two rows out."
            for user, item in sorted(both)[:3]
        ]
        return found


NO_RULES = Rules()


# -- tables ------------------------------------------------------------------------------------------------------------

Row = TypeVar("Row", ItemRule, PairRule)


@dataclass(frozen=True)
class ReadRules:
    """What a text says: rules, and what was left out with the reason; ``left`` are its lines, to be corrected."""

    items: tuple[ItemRule, ...] = ()
    pairs: tuple[PairRule, ...] = ()
    problems: tuple[LeftOut, ...] = ()
    left: str = ""

    @property
    def taken(self) -> int:
        """Rows that were understood."""
        return len(self.items) + len(self.pairs)

    @property
    def twice(self) -> tuple[str, ...]:
        """What several rows are about: the last of them counts."""
        items = repeated((r.item, r.item) for r in self.items)
        return items + repeated((p, f"{p.user} and {p.item}") for p in self.pairs)


def item_rules_from_text(text: str, catalogue: pd.DataFrame) -> ReadRules:
    """Pasted or uploaded rows with a header: item and any of start, end, value and cost."""
    found, problems, left = _read(text, ("item", "start", "end", "value", "cost"), _item_rule, catalogue)
    return ReadRules(items=tuple(found), problems=problems, left=left)


def pair_rules_from_text(text: str, catalogue: pd.DataFrame, rule: str) -> ReadRules:
    """Pasted or uploaded rows: user and item; ``rule`` holds for rows that have no rule of their own."""
    found, problems, left = _read(text, ("user", "item", "rule"), partial(_pair_rule, rule), catalogue)
    return ReadRules(pairs=tuple(found), problems=problems, left=left)


def rules_from_table(frame: pd.DataFrame, catalogue: pd.DataFrame, also: Collection[str] = ()) -> ReadRules:
    """What a table says that was edited: columns of :func:`item_table` or :func:`pair_table`.

    Rows without an item or, where there is such a column, without a user are not finished yet: they say nothing.
    ``also`` are ids of items that stay though this model does not know them: planning passes them over.
    """
    needed = [name for name in ("user", "item") if name in frame]
    rows = [
        (number, {name: _cell(row[name]) for name in frame.columns})
        for number, row in enumerate(frame.to_dict("records"), 1)
    ]
    rows = [(number, row) for number, row in rows if all(row[name] for name in needed)]
    if "user" in frame:
        pairs, problems = _made(rows, partial(_pair_rule, "forbidden"), catalogue, also)
        return ReadRules(pairs=tuple(pairs), problems=problems)
    items, problems = _made(rows, _item_rule, catalogue, also)
    return ReadRules(items=tuple(items), problems=problems)


def _cell(value: Any) -> str:
    """A cell of an edited table as text; what is empty is empty."""
    if value is None or pd.isna(value):
        return ""
    return value.isoformat() if isinstance(value, pd.Timestamp) else cell_text(str(value))


def _pair_rule(rule: str, row: dict[str, str], item: str) -> PairRule:
    named = _RULES.get(row.get("rule", "").lower() or rule)
    if named is None:
        raise BadCell(row["rule"], "This is no rule.", "Write never, always or already contacted.")
    if not row.get("user"):
        raise BadCell("", f"No user is named for item {item}.", "Write her id.")
    return PairRule(named, row["user"], item)


def _item_rule(row: dict[str, str], item: str) -> ItemRule:
    start, end = _date(row.get("start")), _date(row.get("end"))
    if start is not None and end is not None and end <= start:
        cells = f"{row['start']} to {row['end']}"
        raise BadCell(cells, f"Item {item} would end before it starts.", "Change one of its dates.")
    return ItemRule(item, start, end, _number(row, "value"), _number(row, "cost"))


def _read(
    text: str, order: tuple[str, ...], made: Callable[[dict[str, str], str], Row], catalogue: pd.DataFrame
) -> tuple[list[Row], tuple[LeftOut, ...], str]:
    lines = rows_of(text)
    if not lines:
        return [], (LeftOut(1, "", "There is nothing to read.", "Paste rows or choose a file."),), ""
    names = [next((n for n, words in _WORDS.items() if c.lower() in words), "") for c in lines[0][1]]
    headed = all(n in names for n in order[: 2 if order[0] == "user" else 1])
    rows = [
        (number, {n: c for n, c in zip(names if headed else order, cells, strict=False) if n})
        for number, cells in (lines[1:] if headed else lines)
    ]
    found, problems = _made(rows, made, catalogue)
    return found, problems, left_over(text, {p.row for p in problems}, headed)


def _made(
    rows: Iterable[tuple[int, dict[str, str]]],
    made: Callable[[dict[str, str], str], Row],
    catalogue: pd.DataFrame,
    also: Collection[str] = (),
) -> tuple[list[Row], tuple[LeftOut, ...]]:
    """A rule of every row that can be read, and the reasons for the others.

    ``rows``: number and cells by name; ``also``: ids that will do though they are not in the catalogue.
    """
    items = Items(catalogue)
    found: list[Row] = []
    problems: list[LeftOut] = []
    for number, said in rows:
        item = items.id_of(said.get("item", ""))
        try:
            if not item:
                raise BadCell(item, "No item is named.", "Write its id or title.")
            if item not in items.ids and item not in also:
                raise items.unknown(item)
            found.append(made(said, item))
        except BadCell as error:
            problems.append(LeftOut.of(number, error))
    return found, tuple(problems)


def _date(text: str | None) -> str | None:
    if not text:
        return None
    year_first = re.match(r"\s*\d{4}\b", text)  # 01/02/2024 is one day here and another there
    moment = pd.to_datetime(text, errors="coerce", utc=True) if year_first else pd.NaT
    if pd.isna(moment):
        raise BadCell(text, "This is no date with the year first.", "Write 2024-03-01 or 2024-03-01T09:00.")
    return str(moment.tz_localize(None).isoformat())


def _number(row: dict[str, str], name: str) -> float | None:
    text = row.get(name, "").replace("\N{NO-BREAK SPACE}", "").strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
        if value != value:
            raise ValueError(text)
    except ValueError:
        raise BadCell(text, f"The {name} is no number.", "Write one such as 2.5, or nothing.") from None
    if not 0 <= value <= LARGEST:
        raise BadCell(text, f"The {name} is negative or beyond all measure.", "Write 0 to 1e12, or nothing.")
    return value


def item_table(rules: Iterable[ItemRule], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Rules of items as a table to edit: item, title, start, end (times, UTC), value, cost."""
    frame = pd.DataFrame([asdict(rule) for rule in rules], columns=[f.name for f in fields(ItemRule)])
    frame.insert(1, "title", _titles(frame["item"], catalogue))
    times = {name: pd.to_datetime(frame[name], format="ISO8601").astype("datetime64[us]") for name in ("start", "end")}
    return frame.assign(**times).astype({"item": "str", "value": "float", "cost": "float"})


def pair_table(rules: Iterable[PairRule], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Rules of pairs as a table to edit: rule (in words), user, item, title."""
    frame = pd.DataFrame([asdict(rule) for rule in rules], columns=[f.name for f in fields(PairRule)])
    return frame.assign(rule=frame["rule"].map(PAIR_RULES), title=_titles(frame["item"], catalogue)).astype("str")


def _titles(items: pd.Series, catalogue: pd.DataFrame) -> pd.Series:
    """Titles of items by id; the id of one that is not there."""
    titles: pd.Series = items.map(catalogue["title"].astype(str)).fillna(items).astype("str")
    return titles


def rules_to_csv(rules: Iterable[ItemRule] | Iterable[PairRule]) -> bytes:
    """The same rows as a file that reads back as it was; cells a spreadsheet would run are made harmless."""
    frame = pd.DataFrame([asdict(rule) for rule in rules])
    for name in frame.columns.intersection(["item", "user"]):
        frame[name] = neutralised(pa.array(list(frame[name]), pa.string()))[0].to_pylist()
    out = io.StringIO()
    frame.to_csv(out, index=False, lineterminator="\n")
    return out.getvalue().encode()
