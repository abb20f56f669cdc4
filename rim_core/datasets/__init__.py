"""Where events come from: readers of official formats, validation, the simulated shop, splits."""

from rim_core.datasets.guessing import Preview, guess_columns
from rim_core.datasets.importing import Reader, drop_staged, stage_events, staged_import
from rim_core.datasets.log import EventArrays, EventLog
from rim_core.datasets.reading import read_log
from rim_core.datasets.report import ImportReport, Reason
from rim_core.datasets.shop import SimulatedShop
from rim_core.datasets.sources import SOURCES, Source, load_dataset, reader_for
from rim_core.datasets.split import Split, split_by_time, split_by_user, split_from_config, split_preset
from rim_core.datasets.states import UserStates
from rim_core.datasets.tables import Columns

__all__ = [
    "SOURCES",
    "Columns",
    "EventArrays",
    "EventLog",
    "ImportReport",
    "Preview",
    "Reader",
    "Reason",
    "SimulatedShop",
    "Source",
    "Split",
    "UserStates",
    "drop_staged",
    "guess_columns",
    "load_dataset",
    "read_log",
    "reader_for",
    "split_by_time",
    "split_by_user",
    "split_from_config",
    "split_preset",
    "stage_events",
    "staged_import",
]
