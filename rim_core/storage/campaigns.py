"""What leaves the workspace and what comes back: suppression lists, audience files, results of campaigns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from rim_core.errors import DataError, NotFoundError
from rim_core.storage.files import new_id, now, sha256_of, to_json
from rim_core.storage.records import CampaignRecord, ExportRecord, SuppressionList
from rim_core.storage.store import Store, actor, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rim_core.storage.records import DatasetInfo, Scenario

ITEM_FIGURES = ("item_id", "promised", "planned", "withheld", "delivered", "expected", "outcomes", "verdict")
"""Figures of a campaign's items (see :class:`rim_core.evaluation.CampaignResult`)."""
DAY_FIGURES = ("day", "exposures", "outcomes")


class CampaignStore(Store):
    """The part of :class:`Workspace` that keeps exports, suppression lists and campaigns."""

    # -- exports ------------------------------------------------------------------------------------------

    def record_export(
        self,
        path: Path,
        *,
        rows: int,
        format: str,
        scenario_id: str | None = None,
        item: str | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> ExportRecord:
        """Write down that a file was made, with its hash and its recipe: the same recipe gives the same bytes."""
        where = str(Path(path).resolve())
        values = [new_id("export"), scenario_id, item, where, format, rows, sha256_of(path), actor(), now()]
        values.append(None if recipe is None else to_json(dict(recipe)))
        with self.transaction() as cursor:
            cursor.execute(f"INSERT INTO exports VALUES ({', '.join('?' * len(values))})", values)
            self.record("audience exported", str(path), scenario=scenario_id, item=item, rows=rows, format=format)
        return self.exports(limit=1)[0]

    def exports(self, limit: int = 100, *, scenario_id: str | None = None) -> list[ExportRecord]:
        """Files made, the latest first; of one plan only if asked."""
        rows = self.query(
            """SELECT id, scenario, item, path, format, rows, sha256, who, created_at, recipe FROM exports
               WHERE ? IS NULL OR scenario = ? ORDER BY created_at DESC, id DESC LIMIT ?""",
            [scenario_id, scenario_id, limit],
        )
        return [
            ExportRecord(
                i, plan, what, path, form, size, digest, who, utc(at), None if how is None else json.loads(how)
            )
            for i, plan, what, path, form, size, digest, who, at, how in rows
        ]

    def export_record(self, id: str) -> ExportRecord:
        """One export by id.

        Raises
        ------
        NotFoundError
        """
        found = next((e for e in self.exports(limit=1 << 30) if e.id == id), None)
        if found is None:
            raise NotFoundError(f"There is no export {id!r} here: see the list of files made so far.")
        return found

    def user_features(self, info: DatasetInfo, columns: Sequence[str]) -> pd.DataFrame:
        """Some features of all users of a dataset as text, indexed by user id."""
        picked = "".join(f", json_extract_string(features, ?) AS c{i}" for i in range(len(columns)))
        frame = self._frame(
            f"SELECT user_id{picked} FROM users WHERE dataset = ? ORDER BY code",
            [*(f'$."{name}"' for name in columns), info.id],
        )
        frame = frame.set_index("user_id")
        frame.columns = pd.Index(columns)
        return frame

    # -- suppression --------------------------------------------------------------------------------------

    def add_suppression_list(self, name: str, users: Iterable[str]) -> SuppressionList:
        """Keep a list of users who are never written to; a name used before gets a further version.

        Raises
        ------
        DataError
            No name, or no users.
        """
        distinct = pd.unique(pd.Series([str(u) for u in users], dtype=object))
        distinct = distinct[[bool(u.strip()) for u in distinct]]
        if not name.strip():
            raise DataError("A suppression list needs a name.")
        if len(distinct) == 0:
            raise DataError("This list holds no user ids: give one id a line.")
        identity = new_id("list")
        with self.transaction() as cursor:
            values = [identity, name.strip(), len(distinct), actor(), now()]
            cursor.execute("INSERT INTO suppression_lists VALUES (?, ?, ?, ?, ?)", values)
            cursor.register("incoming_users", pa.table({"user_id": pa.array(distinct, pa.string())}))
            cursor.execute("INSERT INTO suppressed_users SELECT ?, user_id FROM incoming_users", [identity])
            cursor.unregister("incoming_users")
            self.record("suppression list added", name.strip(), users=len(distinct), id=identity)
        return self.suppression_list(identity)

    def suppression_lists(self, *, all_versions: bool = False) -> list[SuppressionList]:
        """Lists, the latest first; only the latest of a name unless all are asked for."""
        rows = self.query(
            "SELECT id, name, users, who, created_at FROM suppression_lists ORDER BY created_at DESC, id DESC"
        )
        found = [SuppressionList(i, name, users, who, utc(at)) for i, name, users, who, at in rows]
        if all_versions:
            return found
        latest: dict[str, SuppressionList] = {}
        for one in found:
            latest.setdefault(one.name, one)
        return list(latest.values())

    def suppression_list(self, id: str) -> SuppressionList:
        """A list by id, or the latest of a name.

        Raises
        ------
        NotFoundError
        """
        everything = self.suppression_lists(all_versions=True)
        found = next((s for s in everything if id in (s.id, s.name)), None)
        if found is None:
            names = ", ".join(dict.fromkeys(s.name for s in everything)) or "there is none yet"
            raise NotFoundError(f"There is no suppression list {id!r}: {names}.")
        return found

    def suppressed(self, id: str) -> list[str]:
        """User ids of a list."""
        one = self.suppression_list(id)
        return [
            u for (u,) in self.query("SELECT user_id FROM suppressed_users WHERE list = ? ORDER BY rowid", [one.id])
        ]

    # -- campaigns ----------------------------------------------------------------------------------------

    def save_campaign(
        self,
        name: str,
        *,
        scenario: Scenario,
        part: str,
        recipe: Mapping[str, Any],
        source: Mapping[str, Any],
        summary: Mapping[str, Any],
        items: pd.DataFrame,
        days: pd.DataFrame,
    ) -> CampaignRecord:
        """Keep the figures of a campaign, in one transaction.

        Parameters
        ----------
        items, days : DataFrame
            As :class:`rim_core.evaluation.CampaignResult` has them.
        """
        identity = new_id("campaign")
        values = [identity, name, scenario.id, part, to_json(recipe), to_json(source), to_json(summary), actor(), now()]
        tables = {
            "campaign_items": items[list(ITEM_FIGURES)].astype({"item_id": object}),
            "campaign_days": days[list(DAY_FIGURES)],
        }
        with self.transaction() as cursor:
            cursor.execute(f"INSERT INTO campaigns VALUES ({', '.join('?' * len(values))})", values)
            for table, frame in tables.items():
                cursor.register("incoming_figures", pa.Table.from_pandas(frame, preserve_index=False))
                cursor.execute(f"INSERT INTO {table} SELECT ?, * FROM incoming_figures", [identity])
                cursor.unregister("incoming_figures")
            self.record("campaign imported", identity, name=name, scenario=scenario.id, items=len(items))
        return self.campaign(identity)

    def campaigns(self, scenario_ids: Sequence[str] | None = None) -> list[CampaignRecord]:
        """Campaigns, the latest first; of some plans only if asked."""
        rows = self.query(
            """SELECT id, name, scenario, part, rules, source, summary, who, created_at
               FROM campaigns ORDER BY created_at DESC, id DESC"""
        )
        found = [
            CampaignRecord(
                identity,
                name,
                scenario,
                part,
                json.loads(recipe),
                json.loads(source),
                json.loads(summary),
                who,
                utc(at),
            )
            for identity, name, scenario, part, recipe, source, summary, who, at in rows
        ]
        return [c for c in found if scenario_ids is None or c.scenario_id in scenario_ids]

    def campaign(self, id: str) -> CampaignRecord:
        """One campaign.

        Raises
        ------
        NotFoundError
        """
        found = next((c for c in self.campaigns() if c.id == id), None)
        if found is None:
            raise NotFoundError(f"There is no campaign {id!r} here: import its results first.")
        return found

    def campaign_items(self, id: str) -> pd.DataFrame:
        """Figures of a campaign's items."""
        frame = self._frame(
            f"SELECT {', '.join(ITEM_FIGURES)} FROM campaign_items WHERE campaign = ? ORDER BY item_id", [id]
        )
        return frame.astype({"promised": "Int64"})

    def campaign_days(self, id: str) -> pd.DataFrame:
        """Exposures and outcomes of a campaign by day."""
        return self._frame(f"SELECT {', '.join(DAY_FIGURES)} FROM campaign_days WHERE campaign = ? ORDER BY day", [id])

    def remove_campaign(self, id: str) -> None:
        """Forget a campaign's figures; the plan and its exports stay."""
        record = self.campaign(id)
        with self.transaction() as cursor:
            for table, key in (("campaigns", "id"), ("campaign_items", "campaign"), ("campaign_days", "campaign")):
                cursor.execute(f"DELETE FROM {table} WHERE {key} = ?", [record.id])
            self.record("campaign removed", record.id, name=record.name)
