"""Stored plans and sweeps, and what they deliver."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from rim_core.errors import NotFoundError
from rim_core.storage.files import new_id, now, to_json
from rim_core.storage.records import FrontierRecord, Scenario
from rim_core.storage.store import Store, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rim_core.storage.records import DatasetInfo

ITEM_COLUMNS = (
    "item_id", "minimum", "maximum", "delivered", "price", "free", "expected", "low", "high", "chance",
)  # fmt: skip
"""Of a plan's items: promises and prices, what each would get without promises (``free``), and what to expect of other
states (see :func:`rim_core.planning.delivery_intervals`)."""
MEASURED = ITEM_COLUMNS[5:]
"""Those that plans of older versions lack."""
PAIR_COLUMNS = ("state", "user_id", "item_id", "state_time", "rank", "score", "expected")
"""Columns of the pairs of a plan (see :func:`rim_core.audiences.plan_pairs`)."""


class ScenarioStore(Store):
    """The part of :class:`Workspace` that keeps plans and frontiers."""

    # -- scenarios ----------------------------------------------------------------------------------------

    def save_scenario(
        self,
        name: str,
        *,
        dataset: DatasetInfo,
        split: Mapping[str, Any],
        model_id: str,
        constraints: Mapping[str, Any],
        seed: int,
        promises: pd.DataFrame,
        certificate: Mapping[str, Any],
        metrics: Mapping[str, Any] | None = None,
        pairs: Mapping[str, pa.Table] | None = None,
        method: str = "dual",
        note: str = "",
    ) -> Scenario:
        """Keep a plan with everything needed to open it again and to compute it again, in one transaction.

        Parameters
        ----------
        name : str
            Where another plan of the dataset has it already, a number is put behind it (:meth:`free_name`).
        promises : DataFrame
            ``Plan.promises`` and, where they are known, the other :data:`ITEM_COLUMNS`; one row an item in play, in
            column order.
        pairs : mapping of part to Table
            {"calibration": ..., "test": ...}: the assigned pairs with rank, score and expected interactions.
        """
        from rim_core.models.artifacts import package_version

        identity, name = new_id("plan"), self.free_name(name, dataset.name)
        values = [identity, name, dataset.id, to_json(split), model_id, method, to_json(constraints), seed, note]
        values += [to_json(certificate), to_json(metrics or {}), package_version(), False, now(), now()]
        items = promises.reindex(columns=list(ITEM_COLUMNS)).astype({"item_id": object})
        with self.transaction() as cursor:
            cursor.execute(f"INSERT INTO scenarios VALUES ({', '.join('?' * len(values))})", values)
            cursor.register("incoming_items", pa.Table.from_pandas(items, preserve_index=False))
            cursor.execute("INSERT INTO scenario_items SELECT ?, * FROM incoming_items", [identity])
            cursor.unregister("incoming_items")
            for part, table in (pairs or {}).items():
                self._insert_pairs(identity, part, table)
            self.record("plan saved", identity, name=name, dataset=dataset.label, model=model_id)
        return self.scenario(identity)

    def _insert_pairs(self, scenario: str, part: str, table: pa.Table) -> None:
        with self.transaction() as cursor:
            cursor.register("incoming_pairs", table.select(list(PAIR_COLUMNS)))
            cursor.execute("INSERT INTO scenario_pairs SELECT ?, ?, * FROM incoming_pairs", [scenario, part])
            cursor.unregister("incoming_pairs")

    def deliver(
        self, id: str, part: str, table: pa.Table, metrics: Mapping[str, Any], items: pd.DataFrame | None = None
    ) -> Scenario:
        """Replace the pairs of one part of a scenario, and its figures under the same key.

        Parameters
        ----------
        items : DataFrame, optional
            item_id and :data:`MEASURED`, of a plan that was kept without them.
        """
        scenario = self.scenario(id)
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM scenario_pairs WHERE scenario = ? AND part = ?", [scenario.id, part])
            self._insert_pairs(scenario.id, part, table)
            if items is not None:
                self._measure(scenario.id, items)
            merged = {**scenario.metrics, **metrics}
            cursor.execute(
                "UPDATE scenarios SET metrics = ?, updated_at = ? WHERE id = ?", [to_json(merged), now(), scenario.id]
            )
            self.record("plan delivered", scenario.id, part=part, pairs=len(table))
        return self.scenario(scenario.id)

    def _measure(self, scenario: str, items: pd.DataFrame) -> None:
        with self.transaction() as cursor:
            table = items[["item_id", *MEASURED]].astype({"item_id": object})
            cursor.register("measured_items", pa.Table.from_pandas(table, preserve_index=False))
            columns = ", ".join(f"{c} = m.{c}" for c in MEASURED)
            cursor.execute(
                f"""UPDATE scenario_items SET {columns} FROM measured_items m
                    WHERE scenario_items.scenario = ? AND scenario_items.item_id = m.item_id""",
                [scenario],
            )
            cursor.unregister("measured_items")

    def scenarios(self, dataset: str | None = None, *, archived: bool = False) -> list[Scenario]:
        """Stored plans, the latest first; archived ones only when asked."""
        rows = self.query(
            """SELECT s.id, s.name, coalesce(d.name, '(removed)'), coalesce(d.version, 0), s.split, s.model, s.method,
                      s.constraints, s.seed, s.note, s.certificate, s.metrics, s.package, s.archived,
                      s.created_at, s.updated_at
               FROM scenarios s LEFT JOIN datasets d ON d.id = s.dataset ORDER BY s.created_at DESC, s.id DESC"""
        )
        found = [_scenario(row) for row in rows]
        return [s for s in found if dataset in (None, s.dataset) and (archived or not s.archived)]

    def scenario(self, id: str) -> Scenario:
        """One scenario by id, by the end of its id, or by its name when only one has it.

        Raises
        ------
        NotFoundError
        """
        everything = self.scenarios(archived=True)
        found = [s for s in everything if s.id == id] or [s for s in everything if id and s.id.endswith(id)]
        found = found or [s for s in everything if s.name == id]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(f"Several plans are called {id!r}: {', '.join(s.id for s in found)}. Give the id.")
        raise NotFoundError(f"There is no plan {id!r} here: see `rim plan --list`, or make one with `rim plan`.")

    def free_name(self, name: str, dataset: str, id: str | None = None) -> str:
        """A name that no plan of the dataset has, archived or not: "spring", then "spring (2)", then "spring (3)".

        ``id`` is the plan that it is for, where there is one: its own name is free.
        """
        taken = {s.name for s in self.scenarios(dataset, archived=True) if s.id != id}
        if name not in taken:
            return name
        stem = re.sub(r" \(\d+\)$", "", name)
        return next(free for i in count(2) if (free := f"{stem} ({i})") not in taken)

    def scenario_items(self, id: str) -> pd.DataFrame:
        """The :data:`ITEM_COLUMNS` of a scenario's items, in column order; NaN where something was not kept."""
        columns = ", ".join(ITEM_COLUMNS)
        return self._frame(f"SELECT {columns} FROM scenario_items WHERE scenario = ? ORDER BY rowid", [id])

    def scenario_pairs(
        self, id: str, part: str = "test", *, item: str | None = None, user: str | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """Pairs of a scenario by item and rank; of one item or one user only if asked."""
        return self._frame(
            f"""SELECT {", ".join(PAIR_COLUMNS)} FROM scenario_pairs
                WHERE scenario = ? AND part = ? AND (? IS NULL OR item_id = ?) AND (? IS NULL OR user_id = ?)
                ORDER BY item_id, rank, state LIMIT ?""",
            [id, part, item, item, user, user, limit if limit is not None else (1 << 62)],
        )

    def delivered_by_item(self, id: str, part: str = "test") -> pd.DataFrame:
        """item_id and how many user-states of a part get it (items that reach nobody are absent)."""
        return self._frame(
            """SELECT item_id, count(*) AS delivered, sum(expected) AS expected FROM scenario_pairs
               WHERE scenario = ? AND part = ? GROUP BY item_id ORDER BY item_id""",
            [id, part],
        )

    def update_scenario(
        self, id: str, *, name: str | None = None, note: str | None = None, archived: bool | None = None
    ) -> Scenario:
        """Rename, annotate or archive a scenario; what was computed never changes.

        A name that another plan of the dataset has gets a number behind it (:meth:`free_name`).
        """
        scenario = self.scenario(id)
        if name is not None:
            name = self.free_name(name, scenario.dataset, scenario.id)
        with self.transaction() as cursor:
            cursor.execute(
                "UPDATE scenarios SET name = ?, note = ?, archived = ?, updated_at = ? WHERE id = ?",
                [
                    scenario.name if name is None else name,
                    scenario.note if note is None else note,
                    scenario.archived if archived is None else archived,
                    now(),
                    scenario.id,
                ],
            )
            self.record("plan changed", scenario.id, name=name, note=note, archived=archived)
        return self.scenario(scenario.id)

    # -- frontiers ----------------------------------------------------------------------------------------

    def save_frontier(
        self,
        points: pd.DataFrame,
        *,
        dataset: DatasetInfo,
        split: Mapping[str, Any],
        model_ids: Sequence[str],
        settings: Mapping[str, Any],
    ) -> FrontierRecord:
        """Keep the points of a sweep (``planning.frontier``) with what recreates it."""
        identity = new_id("frontier")
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO frontiers VALUES (?, ?, ?, ?, ?, ?)",
                [identity, dataset.id, to_json(split), to_json(list(model_ids)), to_json(settings), now()],
            )
            rows = [(identity, i, to_json(row)) for i, row in enumerate(points.to_dict("records"))]
            cursor.executemany("INSERT INTO frontier_points VALUES (?, ?, ?)", rows)
            self.record("frontier saved", identity, dataset=dataset.label, points=len(rows))
        return next(f for f in self.frontiers() if f.id == identity)

    def frontiers(self, dataset: str | None = None) -> list[FrontierRecord]:
        """Stored sweeps, the latest first."""
        rows = self.query(
            """SELECT f.id, coalesce(d.name, '(removed)'), coalesce(d.version, 0), f.split, f.models, f.settings,
                      f.created_at
               FROM frontiers f LEFT JOIN datasets d ON d.id = f.dataset ORDER BY f.created_at DESC, f.id DESC"""
        )
        found = [
            FrontierRecord(i, name, version, json.loads(split), tuple(json.loads(m)), json.loads(settings), utc(at))
            for i, name, version, split, m, settings, at in rows
        ]
        return [f for f in found if dataset in (None, f.dataset)]

    def frontier_points(self, id: str) -> pd.DataFrame:
        """The points of a stored sweep."""
        rows = self.query("SELECT point FROM frontier_points WHERE frontier = ? ORDER BY position", [id])
        return pd.DataFrame([json.loads(point) for (point,) in rows])


def _scenario(row: tuple[Any, ...]) -> Scenario:
    (identity, name, dataset, version, split, model, method, constraints, seed, note, certificate, metrics, *rest) = row
    package, archived, created, updated = rest
    return Scenario(
        id=identity,
        name=name,
        dataset=dataset,
        dataset_version=version,
        split=json.loads(split),
        model_id=model,
        method=method,
        constraints=json.loads(constraints),
        seed=seed,
        note=note,
        certificate=json.loads(certificate),
        metrics=json.loads(metrics),
        package=package,
        archived=archived,
        created_at=utc(created),
        updated_at=utc(updated),
    )
