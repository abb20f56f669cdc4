"""The relevance-versus-perplexity curve on a small log, and what every planner keeps whatever it is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rim_core.datasets.log import EventLog
from rim_core.datasets.split import Split, split_by_time
from rim_core.errors import Cancelled, ConstraintError, InfeasibleError
from rim_core.models.base import Progress
from rim_core.planning import Constraints, DualPlanner, frontier, linear_program
from rim_core.scores import Scores

CAPACITY, SHARES = 3, (0.05, 0.1, 0.2)


@pytest.fixture(scope="module")
def split() -> Split:
    """80 users, 15 items of very different popularity, 70 days."""
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, 16)
    events = pd.DataFrame(
        {
            "user_id": rng.integers(0, 80, 3000),
            "item_id": rng.choice(15, 3000, p=popularity / popularity.sum()),
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.uniform(0, 70, 3000), unit="D"),
        }
    )
    return split_by_time(EventLog.from_frame(events), horizon="14D", calibration=1)


@pytest.fixture(scope="module")
def scores(split: Split) -> dict[str, tuple[Scores, Scores]]:
    """Two models that follow the popularity, each with tastes of its own."""
    out = {}
    for number, name in enumerate(("first", "second")):
        rng = np.random.default_rng(number)
        w = rng.normal(0, 0.7, (len(split.items), 4))
        w[:, 0] = np.log(np.bincount(split.log.arrays.item, minlength=len(split.items)))
        parts = []
        for states in (split.calibration, split.test):
            h = rng.normal(0, 0.7, (len(states), 4))
            h[:, 0] = 1.0
            parts.append(Scores.from_factors(h, w, link="exp", states=states))
        out[name] = (parts[0], parts[1])
    return out


@pytest.fixture(scope="module")
def curve(scores: dict[str, tuple[Scores, Scores]]) -> pd.DataFrame:
    return frontier(scores, capacity=CAPACITY, shares=SHARES)


def test_a_row_a_point_and_the_unconstrained_one_always(curve: pd.DataFrame) -> None:
    assert list(curve.columns) == [
        "model", "mode", "min_exposure", "promised", "expected", "precision", "item_perplexity", "user_perplexity",
        "shortfall", "kept", "gap", "upper_bound",
    ]  # fmt: skip
    assert len(curve) == 2 * 3 * 4
    for _, line in curve.groupby(["model", "mode"]):
        assert line["min_exposure"].tolist() == [0.0, *SHARES]


def test_promises_are_paid_in_relevance_and_buy_perplexity(curve: pd.DataFrame, split: Split) -> None:
    offline = curve[curve["mode"] == "offline dual"]
    for _, line in offline.groupby("model"):
        assert (line["kept"] == 1).all()
        assert (line["shortfall"] == 0).all()
        assert (line["gap"] <= 1e-4).all()
        assert (line["expected"].diff().dropna() <= 1e-6 * line["expected"].iloc[0]).all()
        assert (line["item_perplexity"].diff().dropna() >= 0).all()
        assert line["item_perplexity"].iloc[-1] > line["item_perplexity"].iloc[0] + 1
        assert line["item_perplexity"].iloc[-1] <= len(split.items)
    assert (curve["promised"] == np.ceil(curve["min_exposure"] * len(split.test) - 1e-9)).all()


def test_the_dual_loses_least(curve: pd.DataFrame) -> None:
    wide = curve.pivot_table(index=["model", "min_exposure"], columns="mode", values="expected")
    full = curve[curve["mode"] == "offline greedy"].set_index(["model", "min_exposure"])["kept"] == 1
    assert full.any()
    assert (wide["offline dual"] >= wide["offline greedy"] * (1 - 1e-6))[full].all()
    unconstrained = wide.xs(0.0, level="min_exposure")
    assert np.allclose(unconstrained["offline dual"], unconstrained["online dual"])


def test_precision_is_what_happened(
    curve: pd.DataFrame, scores: dict[str, tuple[Scores, Scores]], split: Split
) -> None:
    row = curve.query("model == 'first' and mode == 'online dual' and min_exposure == 0.1").iloc[0]
    calibration, test = scores["first"]
    delivered = DualPlanner(Constraints(capacity=CAPACITY, min_exposure=0.1)).fit(calibration).assign(test)
    hits = (delivered.matrix.toarray() * split.test.targets.toarray()).sum()
    # the curve starts every plan from the prices of the one before: the same optimum, other ties
    assert row["precision"] == pytest.approx(hits / (CAPACITY * len(split.test)), rel=0.05)
    assert row["expected"] == pytest.approx(delivered.objective, rel=0.02)


def test_scores_without_states_have_no_precision() -> None:
    own = Scores.from_dense(np.random.default_rng(0).random((20, 5)))
    curve = frontier({"mine": (own, own)}, capacity=2, shares=[0.1, 0.0], modes=["offline greedy"])
    assert curve["min_exposure"].tolist() == [0.0, 0.1]
    assert curve["precision"].isna().all()
    assert curve["gap"].isna().all()


def test_wrong_wishes() -> None:
    own = Scores.from_dense(np.ones((20, 5)))
    with pytest.raises(ConstraintError, match="'later'"):
        frontier({"mine": (own, own)}, capacity=2, shares=[0.1], modes=["later"])
    with pytest.raises(ConstraintError, match="cannot exceed 1"):
        frontier({"mine": (own, own)}, capacity=2, shares=[20], modes=["offline dual"])


def test_progress_and_cancel(scores: dict[str, tuple[Scores, Scores]]) -> None:
    one = {"first": scores["first"]}
    seen: list[Progress] = []
    frontier(one, capacity=2, shares=[0.1], modes=["offline greedy", "offline dual"], callback=seen.append)
    assert sorted({p.done for p in seen}) == [0, 1, 2, 3, 4]
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert {p.total for p in seen} == {4}

    def stop(progress: Progress) -> None:
        raise Cancelled("The user asked to stop.")

    with pytest.raises(Cancelled):
        frontier(one, capacity=2, shares=[0.1], callback=stop)


# -- properties ----------------------------------------------------------------------------------------------------

KEEPS = settings(max_examples=80, deadline=None, derandomize=True)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, Constraints]:
    """Any small matrix with ties, zeros and forbidden pairs (−1), any promises that do not contradict themselves."""
    m, n = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    raw = draw(st.lists(st.integers(-1, 6), min_size=m * n, max_size=m * n))
    scale = draw(st.lists(st.sampled_from([0.01, 1.0, 300.0]), min_size=m, max_size=m))
    dense = np.reshape(raw, (m, n)).astype(float)
    dense = np.where(dense < 0, -np.inf, dense * np.array(scale)[:, None])
    capacity = np.array(draw(st.lists(st.integers(0, n), min_size=m, max_size=m)))
    minimum = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))).clip(max=m)
    slack = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    maximum = (minimum + slack).clip(max=m) if draw(st.booleans()) else None
    return dense, Constraints(capacity=capacity, min_exposure_count=minimum, max_exposure_count=maximum)


@KEEPS
@given(problems())
def test_what_every_plan_keeps(problem: tuple[np.ndarray, Constraints]) -> None:
    dense, constraints = problem
    scores = Scores.from_dense(dense)
    bounds = constraints.bounds(*dense.shape)
    plan = DualPlanner(constraints).fit(scores)
    taken, certificate = plan.assignment.matrix.toarray(), plan.certificate
    assert set(np.unique(taken)) <= {0.0, 1.0}
    assert (taken.sum(axis=1) <= bounds.capacity).all()
    assert (taken.sum(axis=0) <= bounds.maximum).all()
    assert (dense[taken > 0] > -np.inf).all()
    assert certificate.upper_bound >= certificate.objective - 1e-6 * abs(certificate.objective)
    assert np.isfinite(plan.item_prices).all()
    try:
        optimum = linear_program(scores, constraints).objective if np.isfinite(dense).any() else None
    except InfeasibleError:
        optimum = None
    if optimum is not None:
        assert certificate.max_shortfall == certificate.max_excess == 0
        assert plan.problems == ()
        assert certificate.upper_bound == pytest.approx(optimum, rel=1e-6, abs=1e-9)
        assert certificate.objective == pytest.approx(optimum, rel=1e-6, abs=1e-9)
    elif bounds.minimum.any():
        assert not certificate.feasible
        assert certificate.gap is None
        assert plan.problems


@KEEPS
@given(problems(), st.integers(0, 2**16))
def test_more_promises_never_earn_more(problem: tuple[np.ndarray, Constraints], seed: int) -> None:
    dense, more = problem
    keep = np.random.default_rng(seed).random(dense.shape[1])
    fewer = Constraints(
        capacity=more.capacity,
        min_exposure_count=np.floor(np.asarray(more.min_exposure_count) * keep),
        max_exposure_count=more.max_exposure_count,
    )
    scores = Scores.from_dense(dense)
    tight, loose = DualPlanner(more).fit(scores), DualPlanner(fewer).fit(scores)
    assume(tight.certificate.feasible)
    assert loose.certificate.feasible
    bound = loose.certificate.upper_bound
    assert tight.certificate.objective <= bound + 1e-6 * bound


@KEEPS
@given(problems(), problems())
def test_what_the_online_rule_keeps(
    planned: tuple[np.ndarray, Constraints], other: tuple[np.ndarray, Constraints]
) -> None:
    dense, constraints = planned
    width = dense.shape[1]
    arriving = np.resize(other[0], (len(other[0]), width))
    one_capacity = Constraints(
        capacity=int(np.asarray(constraints.capacity)[0]),
        min_exposure_count=constraints.min_exposure_count,
        max_exposure_count=constraints.max_exposure_count,
    )
    plan = DualPlanner(one_capacity).fit(Scores.from_dense(dense))
    delivered = plan.assign(Scores.from_dense(arriving))
    taken = delivered.matrix.toarray() > 0
    assert (taken.sum(axis=1) <= one_capacity.capacity).all()
    net = arriving.astype(np.float32) - plan.item_prices.astype(np.float32)
    assert (net[taken] > 0).all()
    full = taken.sum(axis=1) == min(int(np.asarray(one_capacity.capacity)), width)
    assert not (net[~full] > 0)[~taken[~full]].any()  # a place stays empty only where nothing is worth it
