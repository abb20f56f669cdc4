"""Splits by configuration: a protocol of the paper by name, or the arguments of a split."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from rim_core.datasets.split import split_by_time, split_by_user, split_from_config, split_preset, windows_by_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rim_core.datasets.log import EventLog
    from rim_core.datasets.split import Split
    from rim_core.storage import DatasetInfo

PRESETS = ("ml-1m", "yoochoose", "netflix")


def make_split(log: EventLog, config: Mapping[str, Any]) -> Split:
    """The split a configuration describes; ``make_split(log, make_split(log, config).config)`` is the same split.

    Parameters
    ----------
    config : mapping
        ``{"preset": "ml-1m", "seed": 0, "fraction": 1.0}``, ``{"by": "time", "horizon": "14D", ...}`` or
        ``{"by": "user", ...}``; what is left out gets its default.

    Raises
    ------
    SplitError
        The log does not allow it.
    """
    options = dict(config)
    preset = options.get("preset")
    if preset is not None:
        seed, fraction = int(options.get("seed", 0)), float(options.get("fraction", 1.0))
        split = split_preset(log, str(preset), seed=seed, fraction=fraction)
        return replace(split, config={**split.config, "preset": preset, "seed": seed, "fraction": fraction})
    by = options.pop("by", "time")
    if "refit" in options:
        return split_from_config(log, dict(config))
    return split_by_user(log, **options) if by == "user" else split_by_time(log, **options)


def check_split(info: DatasetInfo, config: Mapping[str, Any]) -> None:
    """Refuse, before a worker starts, windows by time that do not lie in the log.

    Raises
    ------
    SplitError
        See :func:`~rim_core.datasets.split.windows_by_time`.
    """
    if config.get("preset") is not None or config.get("by", "time") != "time" or config.get("train_start"):
        return
    asked = {k: config[k] for k in ("horizon", "start", "calibration", "calibration_start") if k in config}
    first, last = (int(t.replace(tzinfo=UTC).timestamp() * 1e6) for t in (info.first, info.last))
    windows_by_time(first, last, **asked)
