"""What every model must do. A new model is tested by being imported: it inherits all of this from the registry."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rim_core.models  # registers every model
from rim_core.datasets.log import EventLog
from rim_core.datasets.split import Split, split_by_time, split_by_user
from rim_core.datasets.states import UserStates
from rim_core.errors import Cancelled, NotFittedError, SplitError
from rim_core.models import RIM, Activity, Intensity, Model, Preference, load_model, save_model
from rim_core.models.base import Progress
from rim_core.models.preference import trainer

assert rim_core.models.RIM is RIM

SMALL: dict[str, Any] = {
    "max_epochs": 3,
    "dim": 16,
    "factors": 4,
    "epochs": 20,
    "rounds": 30,
    "smallest_leaf": 10,
    "chunk": 16,
    "batch_tokens": 128,
    "learning_rate": 0.01,
    "dropout": 0.1,
    "kernels": 8,
    "max_iter": 200,
}
"""Settings that make a training short, for models that have them."""
SAME_FOR_ALL_COLOURS = {"Random", "Popularity"}
"""Models that are not personal in items, beside the intensities."""
KNOWN_BY_HEART = {"Frequency", "RFMGBDT", "NewItems"}
"""Models that know the items a user has had before and no others."""
FACTORISED = {"ALS", "LogisticMF", "BPR", "LightFMBPRItem", "LightFMBPRUser", "GraphConv", "GraphConvExtra"}
"""Models that tell who acts more often, but not how much more: they learn an order, not a count."""

USERS, ITEMS, EVENTS = 48, 16, 14
START = pd.Timestamp("2024-01-01", tz="UTC")


def small(name: str) -> Model:
    """The model with short settings; a product gets a small preference and an intensity."""
    if name == "RIM":
        preference, intensity = small("GRU"), Activity()
        assert isinstance(preference, Preference)
        return RIM(preference, intensity)
    known = inspect.signature(Model.registry[name].__init__).parameters
    direction = "RIM" if name == "HorizonCounts" else "ALS"
    parts = {"direction": small(direction).get_config()} if "direction" in known else {}
    settings = {k: v for k, v in SMALL.items() if k in known}
    if "max_epochs" not in known or "rounds" in known:
        settings.pop("learning_rate", None)  # it is that of the sequence models
    return Model.from_config({"model": name, **settings, **parts})


def checkerboard(seed: int = 0) -> EventLog:
    """Even users like even items, odd users odd ones; the later half of the users act four times as often.

    Every user acts until the end of the log, so activity is visible in any window; 70 days in all.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(USERS):
        events = EVENTS * (4 if user >= USERS // 2 else 1)
        items = 2 * rng.integers(ITEMS // 2, size=events) + user % 2
        hours = np.sort(rng.choice(70 * 24, size=events, replace=False))
        rows.append(pd.DataFrame({"user_id": f"u{user:02d}", "item_id": [f"i{i:02d}" for i in items], "hour": hours}))
    frame = pd.concat(rows)
    frame["timestamp"] = START + pd.to_timedelta(frame.pop("hour"), unit="h")
    return EventLog.from_frame(frame, name="checkerboard")


def split_of(log: EventLog, **options: Any) -> Split:
    return split_by_time(log, start="2024-02-26", horizon="14D", **options)


@pytest.fixture(scope="module")
def split() -> Split:
    return split_of(checkerboard())


@pytest.fixture(scope="module", params=sorted(Model.registry))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(name: str, split: Split) -> Model:
    return small(name).fit(split)


@pytest.fixture
def every_batch_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long trainings report and write a checkpoint now and then; here they do after every batch."""
    monkeypatch.setattr(trainer, "REPORT_SECONDS", -1.0)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)


def content(model: Model) -> dict[str, bytes]:
    return {key: np.ascontiguousarray(array).tobytes() for key, array in model._weights().items()}


def dense(model: Model, states: UserStates) -> np.ndarray:
    return model.score(states).to_dense()


# -- what a model is -----------------------------------------------------------------------------------------


def test_a_configuration_makes_the_same_model(name: str) -> None:
    model = small(name)
    config = json.loads(json.dumps(model.get_config()))
    again = Model.from_config(config)
    assert again.get_config() == model.get_config()
    assert type(again) is type(model)
    assert again.name == model.name
    assert not again.is_fitted


def test_an_unfitted_model_says_what_to_do(name: str, split: Split, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        small(name).score(split.test)
    with pytest.raises(NotFittedError, match="fit"):
        save_model(small(name), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# -- the known answer ----------------------------------------------------------------------------------------


def test_users_get_items_of_their_colour(fitted: Model, split: Split) -> None:
    if isinstance(fitted, Intensity) or type(fitted).__name__ in SAME_FOR_ALL_COLOURS:
        pytest.skip("not personal in items")
    scores = dense(fitted, split.test)
    user = split.test.user_ids.str[1:].astype(int).to_numpy()
    item = split.test.item_ids.str[1:].astype(int).to_numpy()
    same = user[:, None] % 2 == item % 2
    best = np.argsort(-scores, axis=1)[:, : ITEMS // (8 if type(fitted).__name__ in KNOWN_BY_HEART else 2)]
    assert np.take_along_axis(same, best, axis=1).mean() > 0.95


def test_users_who_act_more_often_are_expected_more_often(fitted: Model, split: Split) -> None:
    if type(fitted).__name__ == "Random" or (isinstance(fitted, Preference) and type(fitted).__name__ != "Popularity"):
        pytest.skip("says nothing of activity")
    expected = dense(fitted, split.test).sum(axis=1)
    often = split.test.user_ids.str[1:].astype(int).to_numpy() >= USERS // 2
    ratio = expected[often].mean() / expected[~often].mean()
    if type(fitted).__name__ in FACTORISED:
        assert 1.1 < ratio < 5.0
        return
    assert 2.0 < ratio < 5.0
    # Hawkes explains users who differ by events that excite for long, so it expects them to act ever more often.
    assert expected.sum() == pytest.approx(split.test.target_counts.sum(), rel=0.5)


def test_a_preference_is_a_distribution(fitted: Model, split: Split) -> None:
    if not isinstance(fitted, Preference):
        pytest.skip("no preference")
    np.testing.assert_allclose(fitted.preference(split.test).to_dense().sum(axis=1), 1.0, rtol=1e-4)


# -- scores --------------------------------------------------------------------------------------------------


def test_scores_are_finite_and_not_negative(fitted: Model, split: Split) -> None:
    for states in (split.labelled, split.calibration, split.test):
        scores = fitted.score(states).validate()
        assert scores.shape == states.shape
        assert np.isfinite(scores.to_dense()).all()


def test_what_was_seen_is_forbidden_where_the_split_says_so(fitted: Model, split: Split) -> None:
    states = replace(split.test, exclude_seen=True)
    scores = dense(fitted, states)
    assert states.seen is not None
    np.testing.assert_array_equal(np.isneginf(scores), states.seen.toarray() > 0)
    np.testing.assert_array_equal(scores[np.isfinite(scores)], dense(fitted, split.test)[np.isfinite(scores)])


def test_a_score_depends_on_its_own_state_alone(fitted: Model, split: Split) -> None:
    rows = np.random.default_rng(3).permutation(len(split.test))[:11]
    scores = fitted.score(split.test)
    np.testing.assert_allclose(dense(fitted, split.test.take(rows)), scores.to_dense()[rows], rtol=2e-4)
    np.testing.assert_allclose(scores.take(rows).to_dense(), scores.to_dense()[rows], rtol=1e-6)


def test_single_pairs_have_the_scores_of_the_matrix(fitted: Model, split: Split) -> None:
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(len(split.test), size=40), rng.integers(len(split.items), size=40)
    scores = fitted.score(replace(split.test, exclude_seen=True))
    np.testing.assert_allclose(scores.pairs(rows, columns), scores.to_dense()[rows, columns], rtol=1e-4)


def test_no_states_and_one_state(fitted: Model, split: Split) -> None:
    nobody = np.empty(0, np.int64)
    assert dense(fitted, split.test.take(nobody)).shape == (0, len(split.items))
    assert dense(fitted, split.test.take(np.array([0]))).shape == (1, len(split.items))


# -- leakage -------------------------------------------------------------------------------------------------


def changed_after(log: EventLog, time: pd.Timestamp) -> EventLog:
    """The same log with other items, other times and fewer events from ``time`` on."""
    events = log.events.copy()
    after = events["timestamp"] >= time
    late = events[after].sample(frac=0.5, random_state=1)
    late = late.assign(
        item_id=np.random.default_rng(2).permutation(log.items.index.to_numpy())[np.arange(len(late)) % len(log.items)],
        timestamp=late["timestamp"] + pd.Timedelta("1h"),
    )
    early = events[~after]
    frame = pd.concat([early, late]).astype({"user_id": str, "item_id": str})
    return EventLog.from_frame(frame, items=log.items, users=log.users, name=log.name)


def test_scores_do_not_see_the_states_time_or_later(fitted: Model, split: Split) -> None:
    time = pd.Timestamp(int(split.test.time[0]), unit="us", tz="UTC")
    other = replace(split.test, log=changed_after(split.log, time))
    assert abs(other.targets - split.test.targets).sum() > 0
    np.testing.assert_array_equal(dense(fitted, other), dense(fitted, split.test))


def test_weights_do_not_see_the_calibration_window_or_later(name: str, fitted: Model, split: Split) -> None:
    time = pd.Timestamp(int(split.calibration.time.min()), unit="us", tz="UTC")
    other = split_of(changed_after(split.log, time))
    assert other.log.version != split.log.version
    assert content(small(name).fit(other)) == content(fitted)


# -- reproducible, stored, resumed -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(name: str, fitted: Model, split: Split) -> None:
    again = small(name).fit(split)
    assert content(again) == content(fitted)
    assert dense(again, split.test).tobytes() == dense(fitted, split.test).tobytes()


def test_a_seed_changes_what_it_seeds(name: str, fitted: Model, split: Split) -> None:
    if "seed" not in inspect.signature(Model.registry[name].__init__).parameters or isinstance(fitted, Intensity):
        pytest.skip("takes no seed, or uses it only to thin out large data")
    other = Model.from_config({**fitted.get_config(), "seed": 1}).fit(split)
    assert dense(other, split.test).tobytes() != dense(fitted, split.test).tobytes()


def test_a_stored_model_scores_the_same(fitted: Model, split: Split, tmp_path: Path) -> None:
    stored = load_model(save_model(fitted, tmp_path / "model"))
    assert type(stored) is type(fitted)
    assert stored.get_config() == fitted.get_config()
    assert stored.fit_info == json.loads(json.dumps(fitted.fit_info))
    assert content(stored) == content(fitted)
    assert dense(stored, split.test).tobytes() == dense(fitted, split.test).tobytes()


def test_progress_never_falls_and_ends_at_the_end(name: str, split: Split, every_batch_reports: None) -> None:
    reports: list[Progress] = []
    small(name).fit(split, callback=reports.append)
    shares = [r.done / r.total for r in reports]
    assert len(reports) >= 2
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert np.diff(shares).min() >= 0
    assert all(r.stage for r in reports)
    json.dumps([r.metrics for r in reports], allow_nan=False)


def cancel_at(report: int) -> Callable[[Progress], None]:
    seen = []

    def callback(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) > report:
            raise Cancelled("stop")

    return callback


def test_a_cancelled_training_resumes_as_if_it_had_never_stopped(
    name: str, fitted: Model, split: Split, tmp_path: Path, every_batch_reports: None
) -> None:
    reports: list[Progress] = []
    small(name).fit(split, callback=reports.append)
    for stop in sorted({0, 1, len(reports) // 3, len(reports) // 2, len(reports) - 1}):
        folder = tmp_path / str(stop)
        model = small(name)
        with pytest.raises(Cancelled):
            model.fit(split, callback=cancel_at(stop), checkpoint=folder)
        assert not model.is_fitted
        with pytest.raises(NotFittedError):
            model.score(split.test)
        with pytest.raises(Cancelled):
            small(name).fit(split, callback=cancel_at(1), checkpoint=folder)
        resumed = small(name).fit(split, checkpoint=folder)
        assert content(resumed) == content(fitted)


def test_a_checkpoint_of_another_training_is_not_resumed(
    name: str, fitted: Model, split: Split, tmp_path: Path, every_batch_reports: None
) -> None:
    other = split_of(checkerboard(seed=1))
    small(name).fit(other, checkpoint=tmp_path)
    assert content(small(name).fit(split, checkpoint=tmp_path)) == content(fitted)


# -- the borders of the data -----------------------------------------------------------------------------------


def test_items_and_users_that_were_not_in_training(fitted: Model, name: str) -> None:
    old = checkerboard()
    late = pd.DataFrame(
        {
            "user_id": ["new", "new", "u00"],
            "item_id": ["launch", "i01", "launch"],
            "timestamp": pd.to_datetime(["2024-02-20", "2024-03-01", "2024-02-21"], utc=True),
        }
    )
    log = EventLog.from_frame(pd.concat([old.events.astype({"user_id": str, "item_id": str}), late]), name=old.name)
    split = split_of(log)
    model = small(name).fit(split)
    assert "launch" not in split.items
    states = split.test.with_items(np.arange(len(log.items), dtype=np.int32))
    assert "new" in states.user_ids
    scores = model.score(states).validate().to_dense()
    assert np.isfinite(scores).all()
    known = states.item_ids != "launch"
    personal = isinstance(model, (Preference, RIM)) and "user" not in str(model.get_config().get("by"))
    if personal:
        assert scores[:, ~known].max() < scores[:, known].max()
    without = states.take(np.flatnonzero(states.user_ids == "new"))
    cold = replace(without, time=np.full(len(without), int(old.arrays.time.min())))
    assert np.isfinite(model.score(cold).validate().to_dense()).all()


def test_one_user_or_one_item_or_two_events_are_enough(name: str) -> None:
    frame = checkerboard().events.astype({"user_id": str, "item_id": str})
    one_user = frame[frame["user_id"] == "u40"]
    one_item = frame.assign(item_id="only")
    two_events = pd.DataFrame(
        {"user_id": "a", "item_id": "x", "timestamp": pd.to_datetime(["2024-01-05", "2024-03-01"], utc=True)}
    )
    for events in (one_user, one_item, two_events):
        split = split_of(EventLog.from_frame(events))
        model = small(name).fit(split)
        json.dumps(model.fit_info, allow_nan=False)
        scores = model.score(split.test).validate()
        assert np.isfinite(scores.to_dense()).all()


def test_a_split_by_user_with_events_of_one_instant(name: str) -> None:
    frame = checkerboard().events.astype({"user_id": str, "item_id": str})
    frame["timestamp"] = frame["timestamp"].dt.floor("4D")  # baskets
    split = split_by_user(EventLog.from_frame(frame), exclude_seen=True)
    model = small(name).fit(split)
    assert np.isfinite(model.score(replace(split.test, exclude_seen=False)).validate().to_dense()).all()
    assert np.isneginf(model.score(split.test).to_dense()).any()


def test_types_that_are_history_only(name: str) -> None:
    log = checkerboard()
    events = log.events.astype({"user_id": str, "item_id": str}).assign(event_type="buy")
    clicks = events.assign(event_type="click", timestamp=events["timestamp"] - pd.Timedelta("30min"))
    both = EventLog.from_frame(pd.concat([events, clicks]))
    split = split_of(both, target_types=["buy"])
    model = small(name).fit(split)
    scores = model.score(split.test).validate().to_dense()
    assert np.isfinite(scores).all()
    if isinstance(model, (Intensity, RIM)):  # buys, not buys and clicks
        assert 0.5 < scores.sum() / split.test.target_counts.sum() < 2.0


def test_refit_learns_up_to_the_test_window(name: str, split: Split) -> None:
    model = small(name).fit(split, refit=True)
    assert split.later is not None
    assert model.fit_info["train_events"] > int((split.train.stop - split.train.start).sum())
    assert model.score(split.later.test).validate().shape == split.test.shape


def strange_users(split: Split) -> UserStates:
    """Five users of the same items: nothing yet, one event, one instant, 10 000 events, and items never seen."""
    rng = np.random.default_rng(6)
    known = split.items.to_numpy(object)
    time = pd.Timestamp(int(split.test.time[0]), unit="us", tz="UTC")
    minutes = np.sort(rng.choice(70 * 24 * 60, 10_000, replace=False))
    parts = {
        "later": ([known[0]], [time + pd.Timedelta("1D")]),
        "once": ([known[1]], [time - pd.Timedelta("9D")]),
        "burst": (known[rng.integers(len(known), size=50)], [time - pd.Timedelta("2D")] * 50),
        "many": (known[rng.integers(len(known), size=10_000)], time - pd.to_timedelta(minutes[::-1] + 1, unit="min")),
        "stranger": (["never seen"] * 3, time - pd.to_timedelta([30, 20, 10], unit="D")),
    }
    frame = pd.concat(
        pd.DataFrame({"user_id": user, "item_id": items, "timestamp": times}) for user, (items, times) in parts.items()
    )
    log = EventLog.from_frame(frame, items=split.log.items, users=pd.DataFrame(index=list(parts)))
    codes = log.items.index.get_indexer(split.items).astype(np.int32)
    users = log.users.index.get_indexer(list(parts)).astype(np.int32)
    return UserStates(log, users, np.full(5, split.test.time[0]), split.test.horizon, codes)


def test_histories_of_every_length_get_a_score(fitted: Model, split: Split) -> None:
    states = strange_users(split)
    assert (states.stop - states.start).tolist() == [0, 1, 50, 10_000, 3]
    scores = fitted.score(states).validate().to_dense()
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    if isinstance(fitted, Intensity):
        expected = fitted.intensity(states)
        assert expected[3] > 3 * expected[:2].max()  # 10 000 events against none and one
        assert expected.max() < 1e5


def test_a_horizon_longer_than_the_data_is_scored_as_one(fitted: Model, split: Split) -> None:
    longer = replace(split.test, horizon=100 * split.test.horizon)
    scores, expected = fitted.score(split.test).to_dense(), fitted.score(longer).validate().to_dense()
    assert np.isfinite(expected).all()
    if isinstance(fitted, Intensity | RIM):
        assert expected.sum() > scores.sum()


def test_a_count_is_in_proportion_to_the_horizon_that_is_asked_about(fitted: Model, split: Split) -> None:
    if isinstance(fitted, Preference) and type(fitted).__name__ != "Popularity":
        pytest.skip("says which item comes next, whenever that is")
    week = replace(split.test, horizon=split.test.horizon // 2)
    share = dense(fitted, week).sum() / dense(fitted, split.test).sum()
    assert 0.4 < share < 0.65  # events that excite others excite most of them soon


def test_states_that_look_less_far_than_those_that_were_learned_from(name: str, split: Split) -> None:
    short = split_of(split.log, states="interval", every="2D")
    assert short.labelled.horizon == 7 * short.test.horizon
    model = small(name).fit(short)
    if isinstance(model, Preference) and name != "Popularity":
        pytest.skip("says which item comes next, whenever that is")
    expected, at_once = dense(model, short.test).sum(), dense(small(name).fit(split), split.test).sum()
    assert expected == pytest.approx(at_once, rel=0.5)


def test_a_split_with_such_a_horizon_is_refused() -> None:
    with pytest.raises(SplitError, match="horizon"):
        split_by_time(checkerboard(), horizon="90D")


def test_the_order_of_the_rows_makes_no_difference(split: Split) -> None:
    frame = split.log.events.astype({"user_id": str, "item_id": str}).sample(frac=1.0, random_state=1)
    shuffled = EventLog.from_frame(frame, name=split.log.name)
    pd.testing.assert_frame_equal(shuffled.events, split.log.events)


def test_missing_and_negative_values_leave_scores_finite(fitted: Model, split: Split) -> None:
    frame = split.log.events.astype({"user_id": str, "item_id": str})
    value = np.random.default_rng(8).normal(size=len(frame))
    value[::7] = np.nan
    other = replace(split.test, log=EventLog.from_frame(frame.assign(value=value), name=split.log.name))
    scores = fitted.score(other).validate().to_dense()
    assert np.isfinite(scores).all()
    if isinstance(fitted, Preference | Intensity | RIM):  # they do not look at values
        np.testing.assert_array_equal(scores, dense(fitted, split.test))
