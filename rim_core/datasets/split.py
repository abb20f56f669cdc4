"""Splits of Section 5 / Table S1: what trains, what calibrates, what tests.

Both splits answer with the same :class:`Split`; everything after it (models, planner, evaluation) knows
user-states only and cannot tell which rule made them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from rim_core.datasets.states import UserStates, expand_ranges
from rim_core.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_core.datasets.log import EventLog

FOREVER = np.iinfo(np.int64).max // 4
"""A state time after every event: the whole history is visible."""

Sampling = Literal["start", "interval", "events"]


@dataclass(frozen=True, eq=False)
class Split:
    """Who is trained on, calibrated on and tested on.

    Attributes
    ----------
    log : EventLog
    train : UserStates
        One state a user whose history is that user's training events; weights see nothing else.
    labelled : UserStates
        States whose history *and* horizon lie in the training data: count models learn on them.
    calibration : UserStates
        Prices are found on these (windows stacked).
    test : UserStates
        Reported on these.
    config : dict
        Arguments that recreate the split from the log.
    later : Split or None
        The same test with everything before it as training data (``refit=True``).
    """

    log: EventLog
    train: UserStates
    labelled: UserStates
    calibration: UserStates
    test: UserStates
    config: dict[str, Any] = field(default_factory=dict)
    later: Split | None = None

    @property
    def items(self) -> pd.Index:
        """Ids of the items in play, in column order."""
        return self.test.item_ids

    @property
    def horizon_seconds(self) -> float:
        """Length of the target window in seconds."""
        return self.test.horizon_seconds

    def summary(self) -> pd.DataFrame:
        """Table S1: states, users, events and target events of each part."""
        parts = {"train": self.train, "labelled": self.labelled, "calibration": self.calibration, "test": self.test}
        rows = []
        for name, states in parts.items():
            rows.append(
                {
                    "part": name,
                    "states": len(states),
                    "users": len(np.unique(states.user)),
                    "items": len(states.item_codes),
                    "history_events": int((states.stop - states.start).sum()),
                    "target_events": int(states.targets.sum()) if states.horizon else 0,
                }
            )
        return pd.DataFrame(rows)


def split_by_time(
    log: EventLog,
    *,
    start: str | pd.Timestamp | None = None,
    horizon: str | pd.Timedelta = "14D",
    calibration: int = 1,
    calibration_start: str | pd.Timestamp | None = None,
    train_start: str | pd.Timestamp | None = None,
    labelled: int = 4,
    exclude_seen: bool = False,
    states: Sampling = "start",
    every: str | pd.Timedelta | None = None,
    target_types: Sequence[str] | None = None,
) -> Split:
    """Split in time: train, then ``calibration`` windows, then one test window of the same length.

    Parameters
    ----------
    start : timestamp, optional
        First instant of the test window [start, start + horizon); by default the last window that fits.
    horizon : timedelta
        Length of every window.
    calibration : int
        Windows before the test window, stacked into one set of states (≥ 1).
    calibration_start : timestamp, optional
        Puts one calibration window elsewhere before the test window (the published Netflix protocol).
    train_start : timestamp, optional
        Drop what happened before.
    labelled : int
        At most this many windows inside the training data for count models.
    exclude_seen : bool
        Forbid items already interacted with; keep off where people buy again.
    states : {"start", "interval", "events"}
        A state for every known user at the window's start, at regular intervals in it, or at the users'
        actual interaction times (Section 4).
    every : timedelta, optional
        Spacing of ``interval`` states and target length of ``interval`` and ``events`` states
        (a seventh of the horizon by default).
    target_types : sequence of str, optional
        Event types that count as targets; the others are history only.

    Raises
    ------
    SplitError
        A window lies outside the data, or nothing is left to train on or to test.
    """
    _check_types(log, target_types)
    if train_start is not None:
        log = _since(log, _instant(train_start))
    times = log.arrays.time
    first, last = int(times.min()), int(times.max())
    h, t_calibration, t_test = windows_by_time(first, last, horizon, start, calibration, calibration_start)
    cut = _Cut(log, h, max(labelled, 1), every, exclude_seen, target_types)
    train, labelled_states, items = cut.before(t_calibration)
    if calibration_start is None:
        windows = [t_test - (calibration - j) * h for j in range(calibration)]
    else:
        windows = [t_calibration]
    config = {
        "by": "time",
        "start": _iso(t_test),
        "horizon": str(pd.Timedelta(h, "us")),
        "calibration": calibration,
        "calibration_start": None if calibration_start is None else _iso(t_calibration),
        "train_start": None if train_start is None else _iso(_instant(train_start)),
        "labelled": labelled,
        "exclude_seen": exclude_seen,
        "states": states,
        "every": None if every is None else str(_length(every)),
        "target_types": None if target_types is None else list(target_types),
    }
    calibration_states = _stack([cut.window(t, items, states) for t in windows])
    split = Split(log, train, labelled_states, calibration_states, cut.window(t_test, items, states), config)
    _check(split)
    late_train, late_labelled, late_items = cut.before(t_test)
    later = Split(
        log,
        late_train,
        late_labelled,
        calibration_states.with_items(late_items),
        split.test.with_items(late_items),
        {**config, "refit": True},
    )
    return replace(split, later=later)


@dataclass(frozen=True, eq=False)
class _Cut:
    """States of a log in time, with what all windows of a split have in common; ``horizon`` in microseconds."""

    log: EventLog
    horizon: int
    labelled: int
    every: str | pd.Timedelta | None
    exclude_seen: bool
    target_types: Sequence[str] | None

    def window(self, begin: int, items: np.ndarray, sampling: Sampling) -> UserStates:
        """The states of [begin, begin + horizon): of every user known by then."""
        arrays = self.log.arrays
        known = np.unique(arrays.user[arrays.time < begin]).astype(np.int32)
        starts = np.full(len(known), begin)
        return _window_states(
            self.log, known, starts, self.horizon, items, sampling, self.every, self.exclude_seen, self.target_types
        )

    def before(self, end: int) -> tuple[UserStates, UserStates, np.ndarray]:
        """What models learn from: the states at ``end``, the labelled windows before it, and the items seen by then."""
        arrays = self.log.arrays
        items, users = (np.unique(codes[arrays.time < end]).astype(np.int32) for codes in (arrays.item, arrays.user))
        types = _types(self.target_types)
        train = UserStates(self.log, users, np.full(len(users), end), 0, items, self.exclude_seen, types)
        first = int(arrays.time.min())
        windows = [end - (j + 1) * self.horizon for j in range(self.labelled)]
        windows = [t for t in windows if t - first >= self.horizon] or windows[:1]
        return train, _stack([self.window(t, items, "start") for t in reversed(windows)]), items


def windows_by_time(
    first: int,
    last: int,
    horizon: str | pd.Timedelta = "14D",
    start: str | pd.Timestamp | None = None,
    calibration: int = 1,
    calibration_start: str | pd.Timestamp | None = None,
) -> tuple[int, int, int]:
    """Where the windows of :func:`split_by_time` lie in a log from ``first`` to ``last``.

    Returns
    -------
    (horizon, begin of the first calibration window, begin of the test window) in microseconds.

    Raises
    ------
    SplitError
        What was asked for is no time, or leaves nothing to train on or to test.
    """
    h = _microseconds(horizon)
    if h <= 0:
        raise SplitError("The horizon must be longer than zero: give one such as '14D'.")
    if calibration < 1:
        raise SplitError("At least one calibration window is needed: prices are found on it.")
    if calibration_start is not None and calibration > 1:
        raise SplitError("calibration_start places one calibration window: leave calibration at 1.")
    t_test = last + 1 - h if start is None else _instant(start)
    t_calibration = t_test - calibration * h if calibration_start is None else _instant(calibration_start)
    if t_calibration <= first or t_test > last:
        windows = "a calibration window" if calibration == 1 else f"{calibration} calibration windows"
        raise SplitError(
            f"The log spans {_date(first)} to {_date(last)}: {windows} of {_in_words(h)} before {_date(t_test)} "
            f"leave{'s' if calibration == 1 else ''} nothing to train on or to test. "
            "Choose a shorter horizon or another start."
        )
    if calibration_start is not None and t_calibration + h > t_test:
        raise SplitError("The calibration window overlaps the test window: start it at least one horizon earlier.")
    return h, t_calibration, t_test


def split_by_user(
    log: EventLog,
    *,
    latter_half: bool = True,
    exclude_seen: bool = True,
    fraction: float = 1.0,
    start: str | pd.Timedelta | None = None,
    horizon: str | pd.Timedelta | None = None,
    states: Sampling = "start",
    every: str | pd.Timedelta | None = None,
    target_types: Sequence[str] | None = None,
    seed: int = 0,
) -> Split:
    """Split by user, the published ml-1m protocol (Section 5, Table S1).

    A random half of the users (group A) trains with all events and calibrates at T; the other half
    (group B) trains with its events before T and is tested on [T, T + horizon), with T relative to each
    user's first event. T and the horizon default to the median of the users' spans.

    Parameters
    ----------
    latter_half : bool
        Keep a user's events with rank r/n ≥ 0.5 first.
    exclude_seen : bool
        Forbid what a state has already seen.
    fraction : float
        Share of the users that is used at all (Yoochoose: 0.1 in the paper).
    start, horizon : timedelta, optional
        T and ΔT.
    states, every, target_types
        As in :func:`split_by_time`, with windows that are each user's own.
    seed : int
        Chooses the users and the groups; 0 makes the same groups as the paper's own code.

    Raises
    ------
    SplitError
        Fewer than two users, or a span of zero.
    """
    _check_types(log, target_types)
    log = _some_users(log, fraction, seed)
    if latter_half:
        log = log.filter(latter_half=True)
    a = log.arrays
    users = np.flatnonzero(np.diff(a.offsets) > 0).astype(np.int32)
    if len(users) < 2:
        raise SplitError("A split by user needs at least two users with events: import more data or split by time.")
    first = a.time[np.minimum(a.offsets[:-1], len(log) - 1)]
    span = a.time[a.offsets[users + 1] - 1] - first[users]
    median = round(float(np.median(span)))
    begin = median if start is None else _microseconds(start)
    h = median if horizon is None else _microseconds(horizon)
    if begin <= 0 or h <= 0:
        raise SplitError(
            "Half of the users have all their events at one instant, which leaves no time to look ahead: split by "
            "time, import more data, or give split_by_user start= and horizon=."
        )
    group_a = np.sort(_draw(log, users, len(users) // 2, seed, 888))
    group_b = np.setdiff1d(users, group_a)
    cut = first + begin
    train_time = cut[users]
    train_time[np.isin(users, group_a)] = FOREVER
    whole = UserStates(log, users, train_time, 0, np.arange(len(log.items), dtype=np.int32), exclude_seen)
    _, visible = expand_ranges(whole.start, whole.stop)
    items = np.unique(a.item[visible]).astype(np.int32)

    def window(group: np.ndarray, sampling: Sampling) -> UserStates:
        return _window_states(log, group, cut[group], h, items, sampling, every, exclude_seen, target_types)

    config = {
        "by": "user",
        "latter_half": latter_half,
        "exclude_seen": exclude_seen,
        "fraction": fraction,
        "start": None if start is None else str(_length(start)),
        "horizon": None if horizon is None else str(_length(horizon)),
        "states": states,
        "every": None if every is None else str(_length(every)),
        "target_types": None if target_types is None else list(target_types),
        "seed": seed,
    }
    split = Split(
        log,
        train=replace(whole, item_codes=items, target_types=_types(target_types)),
        labelled=window(group_a, "start"),
        calibration=window(group_a, states),
        test=window(group_b, states),
        config=config,
    )
    _check(split)
    return split


def split_preset(log: EventLog, name: str, *, seed: int = 0, fraction: float = 1.0) -> Split:
    """One of the paper's three protocols: "ml-1m", "yoochoose" or "netflix".

    Of "yoochoose" repeated pairs are dropped, then users with fewer than 4 and items with fewer than 10 events until
    both hold at once; the paper does not say that it stops earlier.

    Parameters
    ----------
    fraction : float
        Share of the users that is used at all; the paper takes 0.1 of the full Yoochoose data.

    Raises
    ------
    SplitError
        An unknown name, or a log the protocol leaves empty.
    """
    config = {"preset": name, "seed": seed, "fraction": fraction}
    if name == "ml-1m":
        split = split_by_user(log, latter_half=True, exclude_seen=True, seed=seed, fraction=fraction)
    elif name == "yoochoose":
        some = _some_users(log, fraction, seed)
        some = some.filter(drop_repeats=True, min_user_events=4, min_item_events=10)
        split = split_by_user(some, latter_half=False, exclude_seen=True, seed=seed)
    elif name == "netflix":
        split = split_by_time(
            _some_users(log, fraction, seed),
            train_start="2005-01-01",
            calibration_start="2005-06-01",
            start="2005-06-15",
            horizon="14D",
            exclude_seen=True,
        )
    else:
        raise SplitError(f"There is no preset {name!r}: choose ml-1m, yoochoose or netflix.")
    later = None if split.later is None else replace(split.later, config={**split.later.config, **config})
    return replace(split, config={**split.config, **config}, later=later)


def split_from_config(log: EventLog, config: dict[str, Any]) -> Split:
    """Recreate a split from ``Split.config`` and the log it was made of (not ``Split.log``, which may be a part)."""
    options = {k: v for k, v in config.items() if k not in ("by", "refit", "preset")}
    if config.get("preset") is not None:
        split = split_preset(log, config["preset"], seed=config.get("seed", 0), fraction=config.get("fraction", 1.0))
    elif config.get("by") == "user":
        split = split_by_user(log, **options)
    else:
        split = split_by_time(log, **options)
    return split.later if config.get("refit") and split.later is not None else split


def _window_states(
    log: EventLog,
    users: np.ndarray,
    begin: np.ndarray,
    h: int,
    items: np.ndarray,
    sampling: Sampling,
    every: str | pd.Timedelta | None,
    exclude_seen: bool,
    target_types: Sequence[str] | None,
) -> UserStates:
    """States of the given users in their windows [begin, begin + h); no target lies beyond a window's end."""
    if sampling not in ("start", "interval", "events"):
        raise SplitError(f"states is {sampling!r}: choose start, interval or events.")
    step = h if sampling == "start" else (_microseconds(every) if every is not None else h // 7)
    if step <= 0 or step > h:
        raise SplitError("`every` must be longer than zero and no longer than the horizon.")
    if sampling == "events":
        a = log.arrays
        window = UserStates(log, users, begin, h - step + 1, items)
        row, event = expand_ranges(window.stop, window.target_stop)
        instants = np.unique(np.stack([row, a.time[event]]), axis=1)  # several events at one instant make one state
        user, time = users[instants[0]], instants[1]
    else:
        steps = step * np.arange(h // step, dtype=np.int64)
        user, time = np.repeat(users, len(steps)), (begin[:, None] + steps).ravel()
    return UserStates(log, user, time, step, items, exclude_seen, _types(target_types))


def _stack(parts: list[UserStates]) -> UserStates:
    if len(parts) == 1:
        return parts[0]
    return replace(parts[0], user=np.concatenate([p.user for p in parts]), time=np.concatenate([p.time for p in parts]))


def _check(split: Split) -> None:
    for name in ("train", "calibration", "test"):
        if len(getattr(split, name)) == 0:
            raise SplitError(f"The split leaves no user-states to {name}: choose another start, horizon or fraction.")
    if len(split.items) == 0:
        raise SplitError("No item has an event in the training data: start the test window later.")


def _since(log: EventLog, instant: int) -> EventLog:
    kept = log.arrays.time >= instant
    if not kept.any():
        raise SplitError(f"No event at or after {_date(instant)}: choose an earlier train_start.")
    return log.select(kept)


def _check_types(log: EventLog, target_types: Sequence[str] | None) -> None:
    if target_types is not None and (unknown := sorted(set(target_types) - set(log.event_types))):
        raise SplitError(f"No event has the type {', '.join(unknown)}: choose among {', '.join(log.event_types)}.")
    if target_types is not None and len(target_types) == 0:
        raise SplitError("No event type is a target: name at least one, or leave target_types out for all.")


def _some_users(log: EventLog, fraction: float, seed: int) -> EventLog:
    """The log of a random share of its users."""
    if not 0 < fraction <= 1:
        raise SplitError(f"fraction is {fraction}: give a share of the users in (0, 1].")
    if fraction == 1:
        return log
    users = np.flatnonzero(np.diff(log.arrays.offsets) > 0)
    chosen = np.zeros(len(log.users), bool)
    chosen[_draw(log, users, max(1, round(fraction * len(users))), seed, 10)] = True
    return log.of_users(chosen)


def _draw(log: EventLog, users: np.ndarray, count: int, seed: int, salt: int) -> np.ndarray:
    """``count`` of the users at random; the old generator and the order of ids are those of the paper's own code."""
    if not 0 <= seed < 2**32 - salt:
        raise SplitError(f"The seed is {seed}: give a number from 0 to 4 000 000 000.")
    ids = log.users.index[users].to_numpy(str)
    numeric = bool(np.all(np.char.isdigit(ids))) and ids.dtype.itemsize <= 4 * 18
    order = np.argsort(ids.astype(np.int64), kind="stable") if numeric else np.arange(len(users))
    chosen = np.random.RandomState(seed + salt).choice(len(users), count, replace=False)
    drawn: np.ndarray = users[order[chosen]]
    return drawn


def _types(target_types: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if target_types is None else tuple(target_types)


def _length(delta: str | pd.Timedelta) -> pd.Timedelta:
    try:
        length = pd.Timedelta(delta)
    except (ValueError, TypeError) as error:
        raise SplitError(f"{delta!r} is no length of time: give one such as '14D' or '36h'.") from error
    if pd.isna(length):
        raise SplitError("A length of time is missing: give one such as '14D' or '36h'.")
    return length


def _microseconds(delta: str | pd.Timedelta) -> int:
    return int(_length(delta) // pd.Timedelta(1, "us"))


def _in_words(h: int) -> str:
    """A length of time without what is zero."""
    return str(pd.Timedelta(h, "us")).removesuffix(" 00:00:00").replace("1 days", "1 day")


def _instant(when: str | pd.Timestamp) -> int:
    try:
        stamp = pd.Timestamp(when)
    except (ValueError, TypeError) as error:
        raise SplitError(f"{when!r} is no instant: give one such as '2024-03-01' or '2024-03-01 12:00'.") from error
    if pd.isna(stamp):
        raise SplitError("An instant is missing: give one such as '2024-03-01'.")
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    return int((stamp - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(1, "us"))


def _iso(instant: int) -> str:
    return str(pd.Timestamp(instant, unit="us", tz="UTC").isoformat())


def _date(instant: int) -> str:
    return str(pd.Timestamp(instant, unit="us").date())
