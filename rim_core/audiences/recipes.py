"""How an audience file is made from a stored plan: written down, so that the same bytes can be made again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from rim_core.audiences.contacts import contact_columns
from rim_core.audiences.export import ExportReceipt, export_pairs
from rim_core.audiences.layouts import LAYOUTS, LaidOut, lay_out
from rim_core.audiences.selection import Audience, AudienceRules, select_audience
from rim_core.errors import DataError, NotFoundError

if TYPE_CHECKING:
    from rim_core.storage import ExportRecord, Scenario, Workspace

FEW_ITEMS = 40
"""Up to so many items are asked for one by one."""


@dataclass(frozen=True)
class AudienceRecipe:
    """Which deliveries of a stored plan, under which rules, in which layout.

    Attributes
    ----------
    scenario_id : str
    part : {"test", "calibration"}
        What was delivered to the test window, or planned for the calibration windows.
    items : tuple of str or None
        All items by default.
    rules : AudienceRules
        ``rules.suppression`` is the id of the list: a later list of the same name does not change an old file.
    format : str
        As :func:`rim_core.audiences.export_pairs`.
    country_code : str or None
        Of phone numbers that name no country.
    """

    scenario_id: str
    part: str = "test"
    items: tuple[str, ...] | None = None
    rules: AudienceRules = field(default_factory=AudienceRules)
    format: str = "csv"
    country_code: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` is the inverse."""
        return {
            "scenario_id": self.scenario_id,
            "part": self.part,
            "items": None if self.items is None else list(self.items),
            "rules": self.rules.to_dict(),
            "format": self.format,
            "country_code": self.country_code,
        }

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> AudienceRecipe:
        """The recipe of an export.

        Raises
        ------
        DataError
            It was written by another version.
        """
        try:
            items = stored["items"]
            return AudienceRecipe(
                stored["scenario_id"],
                stored["part"],
                None if items is None else tuple(items),
                AudienceRules(**stored["rules"]),
                stored["format"],
                stored["country_code"],
            )
        except (KeyError, TypeError) as error:
            raise DataError(
                f"This export was recorded by another version ({error}): export the audience again."
            ) from error


def audience_of(workspace: Workspace, recipe: AudienceRecipe) -> Audience:
    """The audience of a recipe, and what each rule removed.

    Raises
    ------
    NotFoundError
        No such plan or suppression list.
    """
    scenario = workspace.scenario(recipe.scenario_id)
    suppressed = workspace.suppressed(recipe.rules.suppression) if recipe.rules.suppression is not None else []
    return select_audience(_pairs(workspace, scenario, recipe), recipe.rules, suppressed)


def write_audience(
    workspace: Workspace, recipe: AudienceRecipe, to: Path | None = None
) -> tuple[ExportReceipt, ExportRecord, Audience]:
    """Make the file of a recipe and record it.

    Parameters
    ----------
    to : path, optional
        data/exports of the workspace by default.

    Raises
    ------
    NotFoundError
        As :func:`audience_of`.
    DataError
        The layout and the file's name do not fit, or the country code is none.
    StorageError
        The file cannot be written.
    """
    made = audience_of(workspace, recipe)
    scenario = workspace.scenario(recipe.scenario_id)
    target = to or workspace.exports_folder / f"{scenario.id}.{'parquet' if recipe.format == 'parquet' else 'csv'}"
    receipt = _write(workspace, scenario, recipe, made, target)
    record = workspace.record_export(
        receipt.path,
        rows=receipt.rows,
        format=receipt.format,
        scenario_id=scenario.id,
        item=", ".join(recipe.items) if recipe.items is not None else None,
        recipe=recipe.to_dict(),
    )
    return receipt, record, made


def laid_out(workspace: Workspace, recipe: AudienceRecipe) -> LaidOut:
    """What the file of a recipe in a campaign tool's layout holds: its users, and how many are left out and why.

    Raises
    ------
    NotFoundError
        As :func:`audience_of`.
    DataError
        The country code is none.
    """
    made = audience_of(workspace, recipe)
    contacts = stored_contacts(workspace, workspace.scenario(recipe.scenario_id))
    users = pa.chunked_array([pa.array(made.pairs["user_id"], pa.string())])
    return lay_out(users, recipe.format, contacts, country_code=recipe.country_code)


def reproduces(workspace: Workspace, export_id: str) -> bool:
    """Whether a recorded export, made again from what is stored, has the same bytes.

    Raises
    ------
    NotFoundError, DataError
        What it was made from is gone, or was not recorded.
    """
    record = workspace.export_record(export_id)
    if record.recipe is None:
        raise DataError("This file was made before recipes were kept: export the audience again.")
    recipe = AudienceRecipe.from_dict(record.recipe)
    with tempfile.TemporaryDirectory(prefix="rim-export-") as folder:
        target = Path(folder) / f"again.{'parquet' if recipe.format == 'parquet' else 'csv'}"
        scenario = workspace.scenario(recipe.scenario_id)
        receipt = _write(workspace, scenario, recipe, audience_of(workspace, recipe), target)
    return receipt.sha256 == record.sha256


def stored_contacts(workspace: Workspace, scenario: Scenario) -> pd.DataFrame | None:
    """E-mail and phone of the users of a plan's dataset; None where it carries neither, or was removed."""
    try:
        info = workspace.dataset(scenario.dataset, scenario.dataset_version)
    except NotFoundError:
        return None
    found = contact_columns(info.user_columns)
    wanted = {kind: name for kind, name in (("email", found.email), ("phone", found.phone)) if name is not None}
    if not wanted:
        return None
    features = workspace.user_features(info, list(wanted.values()))
    return pd.DataFrame({kind: features[name] for kind, name in wanted.items()}, index=features.index)


def _write(workspace: Workspace, scenario: Scenario, recipe: AudienceRecipe, made: Audience, to: Path) -> ExportReceipt:
    contacts = stored_contacts(workspace, scenario) if recipe.format in LAYOUTS else None
    return export_pairs(made.pairs, to=to, format=recipe.format, contacts=contacts, country_code=recipe.country_code)


def _pairs(workspace: Workspace, scenario: Scenario, recipe: AudienceRecipe) -> pd.DataFrame:
    if recipe.items is None or len(recipe.items) > FEW_ITEMS:
        pairs = workspace.scenario_pairs(scenario.id, recipe.part)
        return pairs if recipe.items is None else pairs[pairs["item_id"].isin(recipe.items)]
    if not recipe.items:
        return workspace.scenario_pairs(scenario.id, recipe.part, limit=0)
    found = [workspace.scenario_pairs(scenario.id, recipe.part, item=item) for item in recipe.items]
    return pd.concat(found, ignore_index=True)
