"""Intensities against closed forms and a simulated shop whose expected purchases are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from rim_core.datasets.log import SECOND, EventLog
from rim_core.datasets.shop import SimulatedShop
from rim_core.datasets.split import Split, split_by_time, split_by_user
from rim_core.datasets.states import UserStates
from rim_core.errors import ModelError
from rim_core.models import (
    EMA,
    RIM,
    Activity,
    BoostedHawkes,
    Hawkes,
    HawkesNegativeBinomial,
    HawkesPoisson,
    Intensity,
    NeuralPointProcess,
    Popularity,
    load_model,
    save_model,
)
from rim_core.models.intensity import kernels
from rim_core.models.intensity.hawkes import MOST_OFFSPRING
from rim_core.models.intensity.hawkes_poisson import poisson_regression
from rim_core.models.intensity.history import feature_names, history_features
from rim_core.models.intensity.kernels import kernel_masses, log_spaced_scales, longest_history, observed_until
from rim_core.models.intensity.negative_binomial import negative_binomial_regression

DAY = 86_400 * SECOND


def log_of(users: dict[str, list[float]], types: dict[str, list[str]] | None = None) -> EventLog:
    """Events at days since 2024-01-01 by user, all of one item."""
    frame = pd.concat(
        pd.DataFrame(
            {
                "user_id": user,
                "item_id": "x",
                "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(days, unit="D"),
                "event_type": types[user] if types else "buy",
            }
        )
        for user, days in users.items()
    )
    return EventLog.from_frame(frame)


def states_of(log: EventLog, day: float, horizon: float = 7.0, **options: object) -> UserStates:
    origin = pd.Timestamp("2024-01-01", tz="UTC").value // 1000
    users = np.arange(len(log.users), dtype=np.int32)
    time = np.full(len(users), origin + int(day * DAY))
    return UserStates(log, users, time, int(horizon * DAY), np.zeros(1, np.int32), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return SimulatedShop(users=1200, items=60, days=120, rate=0.4, seed=4)


@pytest.fixture(scope="module")
def split(shop: SimulatedShop) -> Split:
    return split_by_time(shop.log(), horizon="14D")


# -- kernel states ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 10_000])
def test_kernel_masses_are_the_sums_of_the_paper(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "BLOCK_POINTS", block)
    days = {"a": [0.0, 1.0, 1.0, 3.5, 9.0], "b": [2.0], "c": [6.0, 7.0]}
    kinds = {"a": ["buy", "click", "buy", "click", "buy"], "b": ["buy"], "c": ["buy", "click"]}
    states = states_of(log_of(days, kinds), day=5.0, target_types=("buy",))
    scales = np.array([0.1, 2.0, 30.0])
    expected = np.zeros((3, 10))
    for i, user in enumerate("abc"):
        seen = [(d, k) for d, k in zip(days[user], kinds[user], strict=True) if d < 5.0]
        for r, scale in enumerate(scales):
            for j, (day, kind) in enumerate(seen):
                mass = np.exp(-(5.0 - day) / scale) - np.exp(-(12.0 - day) / scale)
                expected[i, (6 if j == 0 else 0 if kind == "buy" else 3) + r] += mass
        expected[i, 9] = 1.0
    found = np.concatenate([m for _, _, m in kernel_masses(states, scales * DAY, channels=2)])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_scales_reach_from_a_millionth_to_ten_times_the_longest_history() -> None:
    scales = log_spaced_scales(100.0, 8)
    assert scales[0] == pytest.approx(1e-4)
    assert scales[-1] == pytest.approx(1000.0)
    np.testing.assert_allclose(np.diff(np.log(scales)), np.log(1e7) / 7)


def test_users_are_looked_at_until_training_ends_or_their_labelled_window_does(split: Split) -> None:
    np.testing.assert_array_equal(observed_until(split), split.train.time)
    by_user = split_by_user(split.log, latter_half=False, exclude_seen=False)
    until = observed_until(by_user)
    group_a = np.isin(by_user.train.user, by_user.labelled.user)
    np.testing.assert_array_equal(until[group_a], by_user.labelled.time + by_user.labelled.horizon)
    end_of_log = int(split.log.arrays.time.max()) + 1
    np.testing.assert_array_equal(until[~group_a], np.minimum(by_user.train.time[~group_a], end_of_log))
    assert longest_history(by_user) == 2 * by_user.labelled.horizon


# -- Hawkes ----------------------------------------------------------------------------------------------------


def hawkes_with(scale: float, excitation: float, baseline: float, marker: float = 0.0) -> Hawkes:
    """A Hawkes model of one kernel with given parameters; days."""
    model = Hawkes(kernels=1)
    model._load_weights(
        {
            "scales": np.array([scale * DAY]),
            "excitation": np.array([[excitation], [marker]]),
            "baseline": np.array([baseline / DAY]),
            "factor": np.array([1.0]),
        }
    )
    model.item_ids, model._fitted = np.array(["x"], object), True
    return model


@pytest.mark.parametrize("excitation", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("horizon", [0.01, 1.0, 7.0, 60.0])
def test_one_kernel_has_the_closed_form_of_the_textbook(excitation: float, horizon: float) -> None:
    scale, baseline, marker = 2.0, 0.3, 0.7
    log = log_of({"a": [0.0, 1.0, 1.0, 4.5], "b": [3.0], "c": [9.0]})
    states = states_of(log, day=5.0, horizon=horizon)
    now = np.array(  # λ(5) − μ
        [
            excitation / scale * (2 * np.exp(-4 / scale) + np.exp(-0.5 / scale)) + marker / scale * np.exp(-5 / scale),
            marker / scale * np.exp(-2 / scale),
            0.0,
        ]
    )
    decay = (1 - excitation) / scale  # dE[λ]/dt = −decay · (E[λ] − μ/(1 − n))
    final = baseline / (1 - excitation)
    expected = final * horizon + (baseline + now - final) * -np.expm1(-decay * horizon) / decay
    found = hawkes_with(scale, excitation, baseline, marker).intensity(states)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_process_that_would_explode_is_held_back() -> None:
    states = states_of(log_of({"a": [0.0, 4.9, 4.99]}), day=5.0, horizon=1000.0)
    expected = hawkes_with(0.1, 3.0, 0.0).intensity(states)
    direct = 3.0 * (np.exp(-1.0) + np.exp(-0.1))
    assert expected == pytest.approx(direct / (1 - MOST_OFFSPRING), rel=1e-3)


def simulated(users: int, days: float, baseline: float, excitation: float, scale: float, seed: int) -> EventLog:
    """Hawkes processes by branching: immigrants, and Poisson(excitation) follow-ups of every event."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.poisson(baseline * days, users))
    time = rng.uniform(0, days, len(user))
    generation = (user, time)
    while len(generation[0]):
        count = rng.poisson(excitation, len(generation[0]))
        child = np.repeat(generation[1], count) + rng.exponential(scale, count.sum())
        generation = (np.repeat(generation[0], count), child)
        user, time = np.append(user, generation[0]), np.append(time, child)
    kept = time < days
    return log_of({f"u{u:04d}": sorted(time[kept & (user == u)]) for u in range(users) if (kept & (user == u)).any()})


def test_hawkes_finds_the_process_that_made_the_events() -> None:
    baseline, excitation, scale = 0.15, 0.6, 1.5
    log = simulated(500, 100, baseline, excitation, scale, seed=8)
    split = split_by_time(log, start="2024-03-26", horizon="7D")
    truth = hawkes_with(scale, excitation, baseline).intensity(split.test)
    found = Hawkes(kernels=30).fit(split).intensity(split.test)
    assert np.corrcoef(truth, found)[0, 1] > 0.99
    assert found.sum() == pytest.approx(truth.sum(), rel=0.05)
    for low, high in ((0, 0.5), (0.5, 0.9), (0.9, 1.0)):
        a, b = np.quantile(truth, [low, high])
        group = (truth >= a) & (truth <= b)
        assert found[group].mean() == pytest.approx(truth[group].mean(), rel=0.1)


def test_hawkes_says_what_it_learned_and_from_how_much(split: Split) -> None:
    model = Hawkes(max_events=3000).fit(split)
    assert "50 kernels" in model.fit_info["training"]
    events = int(model.fit_info["training"].split(" events")[0].split()[-1].replace(",", ""))
    assert 2000 < events <= 3000


def test_one_event_a_user_leaves_everyone_the_mean() -> None:
    log = log_of({f"u{i}": [i * 0.9] for i in range(60)} | {"last": [0.0, 59.9]})
    model = Hawkes().fit(split_by_time(log, horizon="7D", labelled=1))
    assert np.isfinite(model.intensity(states_of(log, 55.0))).all()


def test_events_of_other_types_excite_but_are_not_counted() -> None:
    rng = np.random.default_rng(0)
    clicks = {f"u{i}": sorted(rng.uniform(0, 60, rng.poisson(3 if i % 2 else 12))) for i in range(300)}
    days, kinds = {}, {}
    for user, times in clicks.items():
        buys = [t + rng.exponential(0.5) for t in times if rng.random() < 0.5]
        both = sorted([(t, "click") for t in [0.0, *times]] + [(t, "buy") for t in buys])
        days[user], kinds[user] = [t for t, _ in both], [k for _, k in both]
    split = split_by_time(log_of(days, kinds), start="2024-02-22", horizon="7D", target_types=["buy"])
    counts = split.test.target_counts
    for model in (Hawkes().fit(split), HawkesPoisson().fit(split)):
        expected = model.intensity(split.test)
        assert expected.sum() == pytest.approx(counts.sum(), rel=0.35)
        clicked = np.array([sum(51 < t < 52 for t in clicks[user]) for user in split.test.user_ids])
        assert expected[clicked > 0].mean() > 1.15 * expected[clicked == 0].mean()


@pytest.mark.parametrize("setting", ["kernels", "penalty", "max_iter", "max_events"])
def test_settings_that_make_no_sense_are_refused(setting: str) -> None:
    with pytest.raises(ModelError, match="positive"):
        Hawkes(**{setting: 0})
    with pytest.raises(ModelError, match="positive"):
        HawkesPoisson(kernels=0)
    with pytest.raises(ModelError, match="negative"):
        HawkesPoisson(ridge=-1.0)


# -- the simulated shop ----------------------------------------------------------------------------------------


def test_in_the_simulated_shop_each_intensity_is_nearer_to_the_truth(shop: SimulatedShop, split: Split) -> None:
    truth = shop.truth(split.test).to_dense().sum(axis=1)

    def error(model: Intensity) -> float:
        return float(np.mean((model.fit(split).intensity(split.test) - truth) ** 2) / truth.var())

    activity, hawkes, poisson = error(Activity()), error(Hawkes()), error(HawkesPoisson())
    assert poisson < activity
    assert hawkes < activity
    assert poisson < 0.35


def test_totals_are_what_the_shop_really_sold(shop: SimulatedShop, split: Split) -> None:
    for model in (Hawkes().fit(split), HawkesPoisson().fit(split)):
        level = model.fit_info.get("ahead", 1.0) * split.labelled.target_counts.sum()
        assert model.intensity(split.labelled).sum() == pytest.approx(level, rel=0.01)
        assert model.intensity(split.test).sum() == pytest.approx(split.test.target_counts.sum(), rel=0.25)


def test_a_longer_horizon_expects_more(split: Split) -> None:
    longer = replace(split.test, horizon=2 * split.test.horizon)
    for model in (Hawkes().fit(split), HawkesPoisson().fit(split)):
        short, long = model.intensity(split.test), model.intensity(longer)
        assert (long > short).all()
        assert 1.2 < long.sum() / short.sum() < 2.3


# -- Poisson regression ----------------------------------------------------------------------------------------


def test_one_feature_has_the_ratio_of_the_sums() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 5, (400, 1))
    counts = rng.poisson(1.7 * x[:, 0])
    assert poisson_regression(x, counts, ridge=0.0) == pytest.approx(counts.sum() / x.sum(), rel=1e-6)


def test_groups_of_their_own_have_their_means() -> None:
    counts = np.array([0.0, 3.0, 3.0, 10.0, 0.0, 0.0])
    groups = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], float)
    found = poisson_regression(groups, counts, ridge=0.0)
    np.testing.assert_allclose(found, [1.5, 6.5, 0.0], atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_no_other_weights_have_a_lower_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = np.append(rng.exponential(1, (300, 7)) * 10.0 ** rng.uniform(-4, 2, 7), np.ones((300, 1)), axis=1)
    truth = np.maximum(rng.normal(size=8), 0) / features.mean(axis=0)
    counts = rng.poisson(features @ truth + 0.1).astype(float)
    ridge = 1e-6
    w = poisson_regression(features, counts, ridge)

    def loss(v: np.ndarray) -> float:
        expected = np.maximum(features @ v, 1e-10)
        return float((expected - counts * np.log(expected)).mean() + 0.5 * ridge * v @ v)

    # Karush-Kuhn-Tucker, in units in which every feature has mean 1.
    slope = features.T @ (1 - counts / (features @ w)) / 300 + ridge * w
    slope /= features.mean(axis=0)
    assert (w >= 0).all()
    assert slope.min() > -1e-4
    assert np.abs(slope[w * features.mean(axis=0) > 1e-6]).max() < 1e-4
    other = minimize(loss, np.maximum(w, 1e-3), bounds=[(0, None)] * 8, method="L-BFGS-B")
    assert loss(w) <= other.fun + 1e-7


@pytest.mark.parametrize("seed", [0, 4, 6])
def test_kernels_that_nothing_falls_into_do_not_stop_the_regression(seed: int) -> None:
    """At the lowest loss no scale of all weights is better, so what is missing from the total is the penalty's."""
    rng = np.random.default_rng(seed)
    age = 10.0 ** rng.uniform(-2, 0, (200, 8))
    age[:, 0] = 1.0
    scales = np.geomspace(1e-6, 10, 50)
    masses = np.exp(-age[:, :, None] / scales) * -np.expm1(-1 / scales)
    features = np.concatenate([masses.sum(axis=1), masses[:, 0], np.ones((200, 1))], axis=1)
    counts = rng.poisson(rng.gamma(0.15, 1 / 0.15, 200) * 7).astype(float)
    w = poisson_regression(features, counts, ridge=1e-4)
    missing = counts.mean() - (features @ w).mean()
    assert missing == pytest.approx(1e-4 * w @ w, abs=1e-4 * counts.mean())


def test_nothing_happened_or_nobody_is_there() -> None:
    assert poisson_regression(np.ones((5, 2)), np.zeros(5), 0.1).tolist() == [0.0, 0.0]
    assert poisson_regression(np.ones((0, 2)), np.zeros(0), 0.1).tolist() == [0.0, 0.0]


def test_kernels_that_are_nearly_equal_are_no_problem() -> None:
    rng = np.random.default_rng(2)
    base = rng.exponential(1, (200, 1))
    features = np.concatenate([base, base * (1 + 1e-13), base, np.full((200, 1), 1e-200), np.ones((200, 1))], axis=1)
    counts = rng.poisson(2 * base[:, 0] + 0.5)
    found = poisson_regression(features, counts, 1e-8)
    assert features @ found == pytest.approx(
        poisson_regression(features[:, [0, 4]], counts, 1e-8) @ features[:, [0, 4]].T, rel=1e-3
    )


# -- Activity --------------------------------------------------------------------------------------------------


def test_activity_counts_events_per_observed_time(split: Split) -> None:
    model = Activity().fit(split)
    counts = split.test.stop - split.test.start + 1
    ratio = model.intensity(split.test) / counts
    np.testing.assert_allclose(ratio, ratio[0])
    assert model.intensity(split.labelled).sum() == pytest.approx(split.labelled.target_counts.sum())


def test_activity_expects_more_of_a_longer_horizon(split: Split) -> None:
    model = Activity().fit(split)
    longer = replace(split.test, horizon=3 * split.test.horizon)
    np.testing.assert_allclose(model.intensity(longer), 3 * model.intensity(split.test))


# -- EMA ---------------------------------------------------------------------------------------------------------


def test_ema_is_a_weighted_count_and_a_level() -> None:
    days = {"a": [0.0, 3.0, 4.5], "b": [4.9], "c": [9.0]}
    log = log_of(days)
    states = states_of(log, day=5.0, horizon=2.0)
    model = EMA(scale=3 * 86_400)
    model._load_weights({"scale": [3.0 * DAY], "coefficients": np.array([0.5, 0.1]), "horizon": [2 * DAY]})
    model.item_ids, model._fitted = np.array(["x"], object), True
    counts = [sum(np.exp(-(5.0 - d) / 3.0) for d in days[u] if d < 5) for u in "abc"]
    np.testing.assert_allclose(model.intensity(states), 0.5 * np.array(counts) + 0.1, rtol=1e-9)


def test_ema_takes_the_horizon_for_its_scale_and_keeps_the_total(split: Split) -> None:
    model = EMA().fit(split)
    assert "1.21e+06 s" in model.fit_info["training"]  # 14 days
    assert model.intensity(split.labelled).sum() == pytest.approx(split.labelled.target_counts.sum(), rel=1e-3)
    with pytest.raises(ModelError, match="scale"):
        EMA(scale=0.0)


# -- BoostedHawkes -------------------------------------------------------------------------------------------------


def sessions(users: int = 200, seed: int = 3) -> EventLog:
    """Visits of exactly ten events, ten minutes apart; users come back after some days."""
    rng = np.random.default_rng(seed)
    days = {}
    for u in range(users):
        starts = np.cumsum(rng.exponential(4.0, 12))
        days[f"u{u:03d}"] = (starts[:, None] + np.arange(10) / 144).ravel().tolist()
    return log_of(days)


def test_trees_see_that_a_visit_is_over() -> None:
    split = split_by_time(sessions(), start="2024-01-24T12:00:00", horizon="1h", labelled=40, calibration=40)
    counts = split.calibration.target_counts

    def loss(model: Intensity) -> float:
        expected = np.maximum(model.fit(split).intensity(split.calibration), 1e-9)
        return float((expected - counts * np.log(expected)).mean())

    assert loss(BoostedHawkes(trees=40, max_states=8000)) < loss(HawkesPoisson(max_states=8000)) - 0.004


def test_history_features_are_those_of_the_visible_events(monkeypatch: pytest.MonkeyPatch) -> None:
    days = {"a": [0.0, 1.0, 1.0, 3.5, 9.0], "b": [2.0], "c": [6.0, 7.0]}
    states = states_of(log_of(days), day=5.0, horizon=2.0)
    features = history_features(states)
    column = {name: features[:, i] for i, name in enumerate(feature_names())}
    assert features.shape == (3, len(column))
    np.testing.assert_allclose(np.exp(column["log pace since the first event"]), [5 / 3.5, 2 / 2.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(column["events an instant"], [4 / 3, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(column["log age of the event 1 back"])[:2], [1.5 * 86_400, 3 * 86_400], rtol=1e-5)
    assert np.isnan(column["log age of the event 1 back"][2])
    assert np.isnan(column["log age of the event 3 back"][1])
    np.testing.assert_allclose(np.expm1(column["log events in 1 horizons"]), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.expm1(column["log events in 2 horizons"]), [1, 1, 0], atol=1e-6)
    monkeypatch.setattr(kernels, "BLOCK_POINTS", 1)
    np.testing.assert_array_equal(history_features(states), features)


def test_a_little_data_grows_no_trees() -> None:
    split = split_by_time(log_of({f"u{i}": [i * 0.9, 30 + i] for i in range(8)}), horizon="7D")
    boosted, plain = BoostedHawkes().fit(split), HawkesPoisson().fit(split)
    assert np.isfinite(boosted.intensity(split.test)).all()
    assert boosted.intensity(split.labelled).sum() == pytest.approx(plain.intensity(split.labelled).sum(), rel=1e-2)


# -- over-dispersed counts -----------------------------------------------------------------------------------------


def test_negative_binomial_finds_the_weights_and_the_spread() -> None:
    rng = np.random.default_rng(5)
    features = np.append(rng.exponential(1, (6000, 2)), np.ones((6000, 1)), axis=1)
    truth, shape = np.array([2.0, 0.5, 0.3]), 0.7
    mean = features @ truth
    counts = rng.poisson(rng.gamma(shape, mean / shape)).astype(float)
    found, spread = negative_binomial_regression(features, counts, ridge=0.0)
    np.testing.assert_allclose(found, truth, rtol=0.15, atol=0.05)
    assert spread == pytest.approx(shape, rel=0.1)
    assert (features @ found).sum() == pytest.approx(counts.sum())
    _, spread = negative_binomial_regression(features, rng.poisson(mean).astype(float), ridge=0.0)
    assert spread > 50  # Poisson counts need no spread
    none, _ = negative_binomial_regression(features, np.zeros(6000), ridge=0.0)
    assert none.tolist() == [0.0, 0.0, 0.0]


# -- the neural point process --------------------------------------------------------------------------------------


def test_a_rhythm_that_no_kernel_can_follow_is_learned() -> None:
    rng = np.random.default_rng(2)
    days = {f"u{i}": (rng.uniform(0, 7) + 7 * np.arange(12) + rng.normal(0, 0.05, 12)).tolist() for i in range(300)}
    split = split_by_time(log_of(days), start="2024-03-11", horizon="1D", labelled=14)
    counts = split.test.target_counts

    def loss(model: Intensity) -> float:
        expected = np.maximum(model.fit(split).intensity(split.test), 1e-9)
        return float((expected - counts * np.log(expected)).mean())

    assert loss(NeuralPointProcess(max_epochs=6, repeats=1, learning_rate=0.01)) < loss(HawkesPoisson()) - 0.1


@pytest.mark.parametrize("kind", [BoostedHawkes, NeuralPointProcess])
def test_settings_of_learned_intensities_that_make_no_sense_are_refused(kind: type[Intensity]) -> None:
    with pytest.raises(ModelError, match="positive"):
        kind(learning_rate=0.0)  # type: ignore[call-arg]


# -- the paradox of Figure 2 ---------------------------------------------------------------------------------------


def test_bayes_prefers_the_inactive_majority_and_intensities_do_not() -> None:
    """Of p(x|y) ∝ p(y|x) p(x) the many without events win; λ(x) p(y|x) goes to those who act (Section 2)."""
    share = {"A, B": 0.2, "C": 0.2, "nothing": 0.6}
    chooses_d = {"A, B": 0.4, "C": 0.8, "nothing": 0.3}
    bayes = {state: share[state] * chooses_d[state] for state in share}
    assert max(bayes, key=bayes.__getitem__) == "nothing"

    rng = np.random.default_rng(0)
    rows = []
    for i in range(500):
        kind, pace = (("A, B", 2.0), ("C", 1.0), *[("nothing", 0.05)] * 3)[i % 5]
        for week in range(12):
            times = rng.uniform(0, 7, rng.poisson(pace)) + 7 * week
            rows += [(f"{kind} {i}", "D" if rng.random() < chooses_d[kind] else "E", t) for t in times]
        rows.append((f"{kind} {i}", "E", 0.0))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D")
    split = split_by_time(EventLog.from_frame(frame), horizon="7D")
    d = list(split.items).index("D")
    kinds = split.test.user_ids.str.rsplit(" ", n=1).str[0].to_numpy()
    for intensity in (Activity(), EMA(), Hawkes(), HawkesPoisson()):
        score = RIM(Popularity("item"), intensity).fit(split).score(split.test).to_dense()[:, d]
        best = kinds[np.argsort(-score)[: len(score) // 5]]
        assert (best == "nothing").mean() < 0.05
        assert score[kinds == "A, B"].mean() > score[kinds == "nothing"].mean() * 5


def test_learned_intensities_are_stored_as_text_and_numbers(split: Split, tmp_path: Path) -> None:
    for model in (BoostedHawkes(trees=20), HawkesNegativeBinomial(), NeuralPointProcess(max_epochs=1)):
        stored = load_model(save_model(model.fit(split), tmp_path / model.name))
        np.testing.assert_array_equal(stored.intensity(split.test), model.intensity(split.test))  # type: ignore[attr-defined]
