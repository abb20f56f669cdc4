"""Splits: what trains, calibrates and tests, and that nothing sees its own future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rim_core.datasets import EventLog, Split, UserStates, split_by_time, split_by_user, split_from_config, split_preset
from rim_core.errors import EmptyLogError, SplitError

DAY = 86_400_000_000
START = pd.Timestamp("2024-01-01", tz="UTC")


def make_log(rows: list[tuple[str, str, float]] | list[tuple[str, str, float, str]]) -> EventLog:
    """Rows of user, item, day and perhaps type."""
    frame = pd.DataFrame([(*row, "buy")[:4] for row in rows], columns=["user_id", "item_id", "day", "event_type"])
    frame["timestamp"] = START + pd.to_timedelta(frame["day"], unit="D")
    return EventLog.from_frame(frame)


def days(states: UserStates) -> list[tuple[str, float]]:
    """User and day of every state."""
    origin = int(START.value // 1000)
    return list(zip(states.user_ids, ((states.time - origin) / DAY).round(3).tolist(), strict=True))


def history(states: UserStates, row: int) -> list[str]:
    a = states.log.arrays
    return states.log.items.index[a.item[states.start[row] : states.stop[row]]].tolist()


LOG = make_log([(u, f"i{d % 5}", float(d)) for d in range(40) for u in ("anna", "ben", "cleo")])


def test_a_split_by_time_stacks_its_calibration_windows_before_the_test_window() -> None:
    split = split_by_time(LOG, horizon="7D", calibration=2, start="2024-02-02")
    assert days(split.test) == [("anna", 32), ("ben", 32), ("cleo", 32)]
    assert sorted({d for _, d in days(split.calibration)}) == [18, 25]
    assert history(split.train, 0) == [f"i{d % 5}" for d in range(18)]
    assert split.test.target_counts.tolist() == [7, 7, 7]
    labelled = split.labelled
    assert (labelled.time + labelled.horizon <= split.calibration.time.min()).all()


def test_the_last_window_that_fits_is_tested_by_default() -> None:
    split = split_by_time(LOG, horizon="7D")
    assert split.test.target_counts.sum() == 21
    assert int(split.test.time[0]) + 7 * DAY == int(LOG.arrays.time.max()) + 1


def test_refitting_trains_up_to_the_test_window_and_changes_nothing_else() -> None:
    split = split_by_time(LOG, horizon="7D", start="2024-02-02")
    assert split.later is not None
    assert history(split.later.train, 0) == [f"i{d % 5}" for d in range(32)]
    assert days(split.later.test) == days(split.test)
    again = split_from_config(LOG, split.later.config)
    assert history(again.train, 1) == history(split.later.train, 1)


def test_items_launched_after_training_are_not_in_play() -> None:
    log = make_log([*[("a", "old", float(d)) for d in range(30)], ("a", "new", 29.5)])
    split = split_by_time(log, horizon="7D")
    assert split.items.tolist() == ["old"]
    assert split.test.target_counts.tolist() == [7]  # of the eight events of the window one is of the new item


def test_states_at_intervals_tile_the_window() -> None:
    split = split_by_time(LOG, horizon="7D", start="2024-02-02", states="interval", every="2D")
    assert [d for u, d in days(split.test) if u == "ben"] == [32, 34, 36]
    assert split.test.target_counts.tolist() == [2] * 9
    assert split.test.horizon == 2 * DAY


def test_states_at_actual_interactions_stand_at_each_distinct_instant() -> None:
    log = make_log([*[("a", "x", float(d)) for d in range(20)], ("a", "y", 15.0), ("b", "y", 1.0), ("late", "x", 16.0)])
    split = split_by_time(log, start="2024-01-15", horizon="5D", states="events", every="1D")
    assert days(split.test) == [("a", d) for d in (14, 15, 16, 17, 18)]  # late was not known; b did nothing
    assert split.test.target_counts.tolist() == [1, 2, 1, 1, 1]


@pytest.mark.parametrize("states", ["start", "interval", "events"])
@pytest.mark.parametrize("by", [split_by_time, split_by_user])
def test_no_target_lies_beyond_the_window(states: str, by: Callable[..., Split]) -> None:
    more = {"start": "10D", "horizon": "7D"} if by is split_by_user else {"start": "2024-02-02", "horizon": "7D"}
    split = by(LOG, states=states, every="3D", **more)
    first = LOG.arrays.time[LOG.arrays.offsets[split.test.user]] if by is split_by_user else 0
    shift = 10 * DAY if by is split_by_user else split.test.time.min()
    if by is split_by_user:
        first = split.log.arrays.time[split.log.arrays.offsets[split.test.user]]
    assert (split.test.time + split.test.horizon <= first + shift + 7 * DAY).all()
    if by is split_by_time:
        assert (split.calibration.time + split.calibration.horizon <= split.test.time.min()).all()


def test_history_types_are_seen_but_only_target_types_count() -> None:
    log = make_log([("a", "x", float(d), "click" if d % 2 else "buy") for d in range(20)])
    split = split_by_time(log, start="2024-01-11", horizon="5D", target_types=["buy"])
    assert len(history(split.test, 0)) == 10
    assert split.test.target_counts.tolist() == [3]  # days 10, 12, 14
    users = make_log([(u, "x", float(d), "click" if d % 2 else "buy") for d in range(20) for u in "abcd"])
    by_user = split_by_user(users, start="5D", horizon="5D", latter_half=False, target_types=["buy"])
    assert by_user.test.target_counts.tolist() == [2, 2]  # days 6, 8
    assert by_user.train.target_types == ("buy",)


def test_exclude_seen_forbids_what_the_history_holds_and_nothing_else() -> None:
    log = make_log([("a", "x", 0.0), ("b", "y", 0.0), ("a", "y", 5.0), ("b", "x", 9.0), ("a", "x", 9.0)])
    seen = split_by_time(log, start="2024-01-06", horizon="4D", exclude_seen=True, calibration=1).test.seen
    assert seen is not None
    assert seen.toarray().tolist() == [[1, 0], [0, 1]]
    assert split_by_time(log, start="2024-01-06", horizon="4D").test.seen is None


def test_a_split_by_user_gives_group_a_everything_and_group_b_its_first_part() -> None:
    rows = [(f"{u}", f"i{(u + d) % 7}", u + float(d)) for u in range(40) for d in range(10)]
    split = split_by_user(make_log(rows), latter_half=False, start="4D", horizon="3D")
    a, b = set(split.calibration.user_ids), set(split.test.user_ids)
    assert len(a) == len(b) == 20
    assert not a & b
    for row, user in enumerate(split.train.user_ids):
        assert len(history(split.train, row)) == (10 if user in a else 4)
    assert (split.calibration.target_counts == 3).all()
    assert (split.test.target_counts == 3).all()


def test_the_latter_half_keeps_ranks_from_one_half_on() -> None:
    for n in range(1, 12):
        log = make_log([("a", f"i{d:02}", float(d)) for d in range(n)])
        kept = log.filter(latter_half=True).events["item_id"].tolist()
        assert kept == [f"i{r - 1:02}" for r in range(1, n + 1) if r / n >= 0.5]


def test_ties_in_time_keep_the_order_of_the_file() -> None:
    log = make_log([("a", item, 1.0) for item in "dcbaefgh"])
    assert log.filter(latter_half=True).events["item_id"].tolist() == list("aefgh")


def test_one_seed_one_split_and_the_config_recreates_it() -> None:
    log = make_log([(f"{u}", f"i{(u * d) % 7}", u / 9 + float(d)) for u in range(60) for d in range(12)])
    for split in (
        split_by_user(log, seed=3, fraction=0.5, states="interval", every="1D"),
        split_by_time(log, horizon="2D", calibration=2, states="events", every="12h"),
        split_preset(log, "ml-1m", seed=1, fraction=0.8),
        split_preset(log, "yoochoose"),
    ):
        again = split_from_config(log, split.config)
        for part in ("train", "labelled", "calibration", "test"):
            one, two = getattr(split, part), getattr(again, part)
            np.testing.assert_array_equal(one.user, two.user)
            np.testing.assert_array_equal(one.time, two.time)
            assert one.item_ids.equals(two.item_ids)
            assert one.horizon == two.horizon
        assert again.config == split.config
    assert set(split_by_user(log, seed=0).test.user_ids) != set(split_by_user(log, seed=1).test.user_ids)


def test_the_yoochoose_preset_drops_repeats_and_rare_users_and_items() -> None:
    rows = [(f"s{u}", f"i{k}", u + k / 10) for u in range(30) for k in range(5)]
    rows += [("s1", "i1", 40.0), ("s2", "rare", 2.05), ("short", "i1", 1.0), ("short", "i2", 2.0)]
    split = split_preset(make_log(rows), "yoochoose")
    assert len(split.log) == 150
    assert "rare" not in split.log.items.index
    assert "short" not in split.log.users.index
    assert split.horizon_seconds == pytest.approx(0.4 * 86400)


def test_the_yoochoose_preset_leaves_no_user_and_no_item_with_too_few_events() -> None:
    """Dropping an item takes users with it, and they take other items: both conditions hold at the end."""
    rows = [(f"s{u}", f"i{k}", u + k / 10) for u in range(30) for k in range(5)]
    rows += [(f"t{u}", f"i{k}", 50.0 + u + k / 10) for u in range(3) for k in range(3)]
    rows += [(f"t{u}", "last", 50.5 + u) for u in range(3)]  # t0 to t2 stand on "last" ...
    rows += [(f"w{u}", f"i{k}", 60.0 + u + k / 10) for u in range(7) for k in range(2)]
    rows += [(f"w{u}", "last", 60.5 + u) for u in range(7)]  # ... which has ten events, seven of users who
    rows += [(f"w{u}", f"rare{u}", 60.6 + u) for u in range(7)]  # stand on items of one event
    log = make_log(rows)
    split = split_preset(log, "yoochoose")
    assert set(split.log.users.index) == {f"s{u}" for u in range(30)}
    assert set(split.log.items.index) == {f"i{k}" for k in range(5)}


def test_the_netflix_preset_has_the_windows_of_the_paper() -> None:
    day = pd.date_range("2004-12-01", "2005-07-30", freq="D", tz="UTC")
    frame = pd.DataFrame({"user_id": "u", "item_id": "m", "timestamp": day})
    split = split_preset(EventLog.from_frame(frame), "netflix")
    assert len(history(split.train, 0)) == 151  # January to May
    assert split.calibration.frame()["state_time"].tolist() == [pd.Timestamp("2005-06-01", tz="UTC")]
    assert split.test.frame()["state_time"].tolist() == [pd.Timestamp("2005-06-15", tz="UTC")]
    assert split.calibration.target_counts.tolist() == split.test.target_counts.tolist() == [14]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"horizon": "0D"}, "longer than zero"),
        ({"horizon": "30D"}, "shorter horizon"),
        ({"start": "2030-01-01"}, "another start"),
        ({"calibration": 0}, "At least one"),
        ({"target_types": ["sale"]}, "choose among buy"),
        ({"target_types": []}, "at least one"),
        ({"states": "interval", "every": "20D", "horizon": "7D"}, "every"),
        ({"states": "sometimes", "horizon": "7D"}, "choose start"),
        ({"horizon": "7D", "start": "2024-02-02", "calibration_start": "2024-01-30"}, "overlaps"),
        ({"horizon": "7D", "calibration_start": "2024-01-10", "calibration": 2}, "calibration at 1"),
        ({"train_start": "2031-01-01"}, "train_start"),
        ({"horizon": "abc"}, "'abc' is no length of time"),
        ({"horizon": "NaT"}, "length of time is missing"),
        ({"start": "yesterday"}, "'yesterday' is no instant"),
        ({"start": "NaT"}, "instant is missing"),
        ({"states": "interval", "every": "soon"}, "'soon' is no length of time"),
    ],
)
def test_a_split_that_cannot_be_says_why(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(SplitError, match=word):
        split_by_time(LOG, **arguments)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"fraction": 0.0}, "fraction"),
        ({"seed": -1}, "seed"),
        ({"start": "0D"}, "start= and horizon="),
        ({"target_types": ["sale"]}, "choose among buy"),
    ],
)
def test_a_split_by_user_that_cannot_be_says_why(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(SplitError, match=word):
        split_by_user(LOG, **arguments)
    with pytest.raises(SplitError, match="two users"):
        split_by_user(make_log([("a", "x", 1.0), ("a", "y", 2.0)]))
    with pytest.raises(SplitError, match="no preset"):
        split_preset(LOG, "ml-2m")


# Nothing sees its own future: whatever happens at or after a state's time, all that a model can read stays as it was.


@dataclass(frozen=True)
class View:
    """What a model can read of user-states, by ids and not by positions (codes of a log may shift)."""

    history: list[tuple[str, int, list[tuple[str, int, float, str]]]]
    items: list[str]
    seen: list[tuple[str, int, str]]


def view(states: UserStates) -> View:
    a, log = states.log.arrays, states.log
    rows, seen = [], []
    matrix = states.seen
    for i in range(len(states)):
        span = slice(states.start[i], states.stop[i])
        events = zip(
            log.items.index[a.item[span]].tolist(),
            a.time[span].tolist(),
            a.value[span].tolist(),
            [log.event_types[k] for k in a.type[span]],
            strict=True,
        )
        user, time = str(states.user_ids[i]), int(states.time[i])
        rows.append((user, time, list(events)))
        if matrix is not None:
            seen += [(user, time, str(states.item_ids[j])) for j in matrix[i].indices]
    return View(rows, states.item_ids.tolist(), sorted(seen))


events_strategy = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3", "u4", "u5"]),
        st.sampled_from(["i1", "i2", "i3", "i4"]),
        st.integers(0, 29).map(float) | st.floats(0, 29.99, allow_nan=False),
        st.sampled_from(["click", "buy"]),
    ),
    min_size=1,
    max_size=40,
)
futures = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3", "u4", "u5", "u6"]),
        st.sampled_from(["i1", "i2", "i9", "i0"]),
        st.integers(0, 9).map(float) | st.floats(0, 9.99, allow_nan=False),
        st.sampled_from(["click", "buy", "return"]),
    ),
    max_size=20,
)
ANCHORS = [(f"u{k}", "i1", d, "buy") for k in (1, 2, 3, 4) for d in (0.0, 17.0, 29.999)]
"""Everybody starts at day 0, so that windows of user splits are known as well; no window is empty."""


LATER = [("u1", "i1", 21.0, "buy"), ("u1", "i1", 29.0, "buy")]


def visible(log: EventLog, states: UserStates) -> None:
    """Every event that a state may read is the user's own and strictly before its time."""
    a = log.arrays
    for i in range(len(states)):
        span = slice(states.start[i], states.stop[i])
        assert (a.user[span] == states.user[i]).all()
        assert (a.time[span] < states.time[i]).all()
        own = a.user == states.user[i]
        assert int((own & (a.time < states.time[i])).sum()) == states.stop[i] - states.start[i]


@pytest.mark.parametrize("states", ["start", "interval", "events"])
@settings(max_examples=30, deadline=None)
@given(events=events_strategy, future=futures, exclude_seen=st.booleans(), types=st.sampled_from([None, ["buy"]]))
def test_the_future_of_a_split_by_time_changes_nothing_that_trains_or_is_scored(
    states: Any, events: list[Any], future: list[Any], exclude_seen: bool, types: list[str] | None
) -> None:
    """All that lies at or after the test window is thrown away and replaced."""
    options: dict[str, Any] = {"start": "2024-01-21", "horizon": "4D", "every": "1D"}
    options |= {"states": states, "exclude_seen": exclude_seen, "target_types": types}
    past = [row for row in [*ANCHORS, *events] if row[2] < 20]
    one = split_by_time(make_log([*past, *LATER, *[r for r in [*ANCHORS, *events] if r[2] >= 20]]), **options)
    other = make_log([*past, *[(u, i, 20 + d, k) for u, i, d, k in future], *LATER])
    two = split_by_time(other, **options)
    for part in ("train", "labelled", "calibration"):
        assert view(getattr(one, part)) == view(getattr(two, part))
        if getattr(one, part).horizon:
            targets = [getattr(s, part).targets.toarray().tolist() for s in (one, two)]
            assert targets[0] == targets[1]
    for split in (one, two):
        for part in ("train", "labelled", "calibration", "test"):
            visible(split.log, getattr(split, part))
        cut = split.calibration.time.min()
        assert (split.train.time <= cut).all()
        assert (split.labelled.time + split.labelled.horizon <= cut).all()
        assert (split.calibration.time + split.calibration.horizon <= 20 * DAY + START.value // 1000).all()
    if states != "events":  # when states stand is part of the future there
        first = {(u, t): h for u, t, h in view(one.test).history if t == one.test.time.min()}
        second = {(u, t): h for u, t, h in view(two.test).history if t == two.test.time.min()}
        assert first == second


@settings(max_examples=30, deadline=None)
@given(
    events=events_strategy, future=futures, exclude_seen=st.booleans(), states=st.sampled_from(["start", "interval"])
)
def test_the_future_of_group_b_changes_nothing_that_trains_or_is_scored(
    events: list[Any], future: list[Any], exclude_seen: bool, states: Any
) -> None:
    options: dict[str, Any] = {"start": "20D", "horizon": "4D", "every": "4D", "latter_half": False, "states": states}
    options["exclude_seen"] = exclude_seen
    known = {"u1", "u2", "u3", "u4"}
    rows = [*ANCHORS, *(r for r in events if r[0] in known)]
    one = split_by_user(make_log(rows), **options)
    tested = set(one.test.user_ids)
    kept = [r for r in rows if r[0] not in tested or r[2] < 20]
    changed = [(u, i, 20 + d, k) for u, i, d, k in future if u in tested]
    two = split_by_user(make_log([*kept, *changed]), **options)
    for part in ("train", "labelled", "calibration", "test"):
        a, b = view(getattr(one, part)), view(getattr(two, part))
        assert a.history == b.history
        assert a.items == b.items
        assert a.seen == b.seen
        visible(one.log, getattr(one, part))
        visible(two.log, getattr(two, part))
    assert one.calibration.targets.toarray().tolist() == two.calibration.targets.toarray().tolist()


@settings(max_examples=25, deadline=None)
@given(events=events_strategy, preset=st.sampled_from(["ml-1m", "yoochoose", "netflix"]))
def test_presets_show_no_state_its_future(events: list[Any], preset: str) -> None:
    many = [(f"u{k}", i, d, kind) for k in range(1, 11) for _, i, d, kind in events]
    if preset == "netflix":
        shift = (pd.Timestamp("2005-01-02", tz="UTC") - START) / pd.Timedelta("1D")
        many = [(u, i, shift + 5.9 * d, kind) for u, i, d, kind in many]
        many += [("u1", "i1", shift + x, "buy") for x in (1.0, 175.0)]
    else:
        many += [(f"u{k}", f"i{j}", 3.0 * j, "buy") for k in range(1, 11) for j in range(1, 6)]
    split = split_preset(make_log(many), preset)
    for part in ("train", "labelled", "calibration", "test"):
        visible(split.log, getattr(split, part))
    if preset == "netflix":
        assert split.train.time.max() <= split.calibration.time.min() < split.test.time.min()
    else:
        b = set(split.test.user_ids)
        own = dict(zip(split.test.user_ids, split.test.time, strict=True))
        assert all(t == own[u] for u, t in zip(split.train.user_ids, split.train.time, strict=True) if u in b)
        assert not b & set(split.calibration.user_ids)


def test_several_states_of_one_user_each_see_up_to_their_own_time() -> None:
    split = split_by_time(LOG, horizon="6D", start="2024-02-02", states="interval", every="1D")
    lengths = split.test.stop - split.test.start
    ben = [int(n) for n, u in zip(lengths, split.test.user_ids, strict=True) if u == "ben"]
    assert ben == [32, 33, 34, 35, 36, 37]


@given(events=events_strategy, users=st.integers(1, 4), items=st.integers(1, 4))
def test_counts_after_filtering_are_enough_and_no_event_is_dropped_without_need(
    events: list[tuple[str, str, float]], users: int, items: int
) -> None:
    left = set(range(len(events)))
    while left:  # the definition, one row at a time
        poor = {
            e
            for e in left
            if sum(events[f][0] == events[e][0] for f in left) < users
            or sum(events[f][1] == events[e][1] for f in left) < items
        }
        if not poor:
            break
        left -= poor
    log = make_log(events)
    if not left:
        with pytest.raises(EmptyLogError):
            log.filter(min_user_events=users, min_item_events=items)
        return
    kept = log.filter(min_user_events=users, min_item_events=items)
    assert sorted(kept.events["user_id"].astype(str)) == sorted(events[e][0] for e in left)
    assert sorted(kept.events["item_id"].astype(str)) == sorted(events[e][1] for e in left)
