"""What the planner reaches, row by row of its table: exactness, gaps, CPU seconds, previews, online delivery, scale.

    python benchmarks/planner.py                      every row but `journey`, `scale` and `paper`
    python benchmarks/planner.py reference preview    these rows
    python benchmarks/planner.py scale --states 200000
    python benchmarks/planner.py --quick --json out.json

The reference's own scores are read from ``reference/`` beside the data folder (RIM_SHARED_DATA, or ../shared/data);
rows that need them are skipped where they are absent. CPU seconds are of the whole process, on ``--threads`` threads;
compiled kernels are warmed up first (they are cached on disk: a first run compiles for about a minute).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from complete_journey import HORIZON, START, everyone
from rows import made
from scipy import sparse

import rim_core as rim
from rim_core.datasets import SimulatedShop
from rim_core.planning import (
    Algorithm1,
    Budget,
    Constraints,
    DualPlanner,
    Group,
    delivered_shares,
    frontier,
    linear_program,
)
from rim_core.planning.passes import dual_value, survey
from rim_core.planning.problem import resolve
from rim_core.scores import Scores

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("RIM_SHARED_DATA", ROOT.parent / "shared" / "data"))
Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"any of {', '.join(ROWS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="smaller instances: that it runs, not how well")
    parser.add_argument("--states", type=int, default=1_000_000, help="user-states of the row `scale`")
    parser.add_argument("--model", default="BoostedCounts", help="whose scores the row `journey` plans on")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.rows) - set(ROWS))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    torch.set_num_threads(options.threads)
    warm_up()
    found: list[Row] = []
    for name in options.rows or [n for n in ROWS if n not in LONG]:
        for row in ROWS[name](options):
            found.append({"row": name, **row})
            print(f"{name:>11}  {row['what']:<52} {row['measured']:<58} bar {row['bar']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, default=float, ensure_ascii=False), encoding="utf-8")
    return 0


def warm_up() -> None:
    """Load (or compile) every kernel."""
    rng = np.random.default_rng(0)
    scores = Scores.from_dense(rng.random((60, 12)))
    for constraints in (
        Constraints(capacity=2, min_exposure_count=6),
        Constraints(capacity=2, min_exposure_count=3, groups=[Group("g", items=[0, 1], max_count=8)]),
    ):
        DualPlanner(constraints).fit(scores).preview(constraints)
    DualPlanner(Constraints(capacity=8, min_exposure=0.005)).fit(synthetic(600, 800)[0])


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, CPU seconds, wall seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def synthetic(
    m: int, n: int, *, capacity: int = 20, fair: float = 0.5, skew: float = 0.0
) -> tuple[Scores, Constraints]:
    """exp(h·w + b) · activity, d = 16: every item is promised ``fair`` of its even share; ``skew`` is sd of b."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=(m, 16)).astype(np.float32) / 4
    w = rng.normal(size=(n, 16)).astype(np.float32)
    bias = (rng.normal(size=n) * skew - 6).astype(np.float32)
    activity = rng.gamma(1.0, size=m).astype(np.float32)
    scores = Scores.from_factors(np.c_[h, np.ones(m, np.float32)], np.c_[w, bias], link="exp", row_scale=activity)
    return scores, Constraints(capacity=capacity, min_exposure=fair * capacity / n)


def reference(part: str) -> Scores | None:
    """The reference's RNN-HP scores, 3 020 × 3 556; None where they are absent."""
    path = SHARED.parent / "reference" / f"rnn-hp-scores-{part}.npz"
    if not path.is_file():
        print(f"No reference scores at {path}.")
        return None
    with np.load(path) as stored:
        h, w = stored["state_factors"], stored["item_factors"]
        seen = sparse.csr_matrix(
            (np.ones(len(stored["seen_indices"]), np.float32), stored["seen_indices"], stored["seen_indptr"]),
            shape=(len(h), len(w)),
        )
    return Scores.from_factors(h, w, link="exp", forbidden=seen)


# -- rows -----------------------------------------------------------------------------------------------------------


def against_linear_program(options: argparse.Namespace) -> list[Row]:
    """D beside HiGHS on small instances of every kind."""
    kinds: dict[str, Callable[[np.random.Generator, np.ndarray], dict[str, Any]]] = {
        "lower": lambda rng, e: {"min_exposure_count": rng.binomial(e, 0.9)},
        "upper": lambda rng, e: {"max_exposure_count": e + rng.integers(0, 3, len(e))},
        "both": lambda rng, e: {"min_exposure_count": rng.binomial(e, 0.8), "max_exposure_count": e + 1},
        "group": lambda rng, e: {
            "min_exposure_count": rng.binomial(e, 0.4),
            "groups": [
                Group("few", items=range(3), min_count=int(e[:3].sum())),
                Group("half", items=range(len(e) // 2), max_count=int(e[: len(e) // 2].sum())),
                Group("across", items=range(2, len(e) - 1), min_count=int(0.9 * e[2:-1].sum())),
            ],
        },
        "budget": lambda rng, e: _with_budget(rng, e),
    }  # fmt: skip
    worst: dict[str, float] = {}
    count = 2 if options.quick else 10
    for kind, make in kinds.items():
        for seed in range(count):
            rng = np.random.default_rng(seed)
            m, n = int(rng.integers(60, 160)), int(rng.integers(10, 40))
            dense = rng.random((m, n)) ** 2 * rng.choice([0.2, 1.0, 4.0], n) * (1 + rng.pareto(1.3, m))[:, None]
            dense[rng.random((m, n)) < 0.1] = -np.inf
            exposure = np.zeros(n, int)
            for row in dense:
                exposure[rng.permutation(np.flatnonzero(row > -np.inf))[:3]] += 1
            scores, constraints = Scores.from_dense(dense), Constraints(capacity=3, **make(rng, exposure))
            optimum = linear_program(scores, constraints).objective
            bound = DualPlanner(constraints).fit(scores).certificate.upper_bound
            worst[kind] = max(worst.get(kind, -np.inf), bound / optimum - 1)
    figures = ", ".join(f"{k} {v:.1e}" for k, v in worst.items())
    return [
        {"what": f"D above HiGHS, {count * len(kinds)} instances, worst", "measured": figures, "bar": "≤ 1e-6", **worst}
    ]


def _with_budget(rng: np.random.Generator, exposure: np.ndarray) -> dict[str, Any]:
    costs = rng.uniform(0.2, 2.0, len(exposure))
    minimum = rng.binomial(exposure, 0.5)
    return {"min_exposure_count": minimum, "budgets": [Budget(float(costs @ exposure) * 0.9, tuple(costs))]}


def gaps(options: argparse.Namespace) -> list[Row]:
    """Certified gap and shortfall of four synthetic instances."""
    small = 10 if options.quick else 1
    instances = {
        "even 20 000×2 000": synthetic(20_000 // small, 2_000 // small),
        "skewed popularity": synthetic(20_000 // small, 2_000 // small, skew=1.0),
        "β = 0.8 fair share": synthetic(20_000 // small, 2_000 // small, fair=0.8),
        "50 000×1 000": synthetic(50_000 // small, 1_000 // small),
    }
    return [_solved(name, *made, "gap ≤ 0.1 %, shortfall 0") for name, made in instances.items()]


def tight(options: argparse.Namespace) -> list[Row]:
    """Promises that take nearly every place, of all states or of a few."""
    m, n = (500, 400) if options.quick else (3_000, 2_200)
    scores, _ = synthetic(m, n, capacity=10, skew=2.0)
    shop = SimulatedShop(users=(500 if options.quick else 5_000), items=(200 if options.quick else 2_200), seed=0)
    truth = shop.truth(rim.split_by_user(shop.log(), seed=0).calibration)
    narrow = range(100, 160)
    minimum = np.where(np.isin(np.arange(n), narrow), 11, 0)
    eligible = {str(item): list(range(20)) for item in narrow}
    instances = {}
    for of, given in (("", scores), (" of a simulated shop", truth)):
        count = int(0.98 * 10 * len(given) / given.shape[1])
        share = count * given.shape[1] / (10 * len(given))
        instances[f"{100 * share:.0f} % of all places{of}"] = given, Constraints(capacity=10, min_exposure_count=count)
    instances |= {
        "660 of the 720 places of 20 states": (
            scores, Constraints(capacity=36, min_exposure_count=minimum, eligible=eligible),
        ),
    }  # fmt: skip
    return [_solved(name, *made, "gap ≤ 0.1 %, shortfall 0") for name, made in instances.items()]


def _solved(what: str, scores: Scores, constraints: Constraints, bar: str) -> Row:
    plan, cpu, wall = timed(lambda: DualPlanner(constraints).fit(scores))
    c = plan.certificate
    gap = "none" if c.gap is None else f"{100 * c.gap:.5f} %"
    return {
        "what": what, "measured": f"gap {gap}, shortfall {c.max_shortfall}, {cpu:.1f} CPU s ({wall:.1f} s)", "bar": bar,
        "gap": c.gap, "shortfall": c.max_shortfall, "cpu": cpu, "wall": wall, "objective": c.objective,
        "upper_bound": c.upper_bound,
    }  # fmt: skip


def cold(options: argparse.Namespace) -> list[Row]:
    """20 000 × 2 000 from nothing."""
    scores, constraints = synthetic(2_000, 400) if options.quick else synthetic(20_000, 2_000)
    return [_solved("20 000×2 000, K 20, β ½ fair share, cold", scores, constraints, "≤ 5 CPU s, gap ≤ 0.1 %")]


def paper(options: argparse.Namespace) -> Iterator[Row]:
    """Algorithm 1 on the same instance."""
    scores, constraints = synthetic(2_000, 400) if options.quick else synthetic(20_000, 2_000)
    ours = _solved("ours", scores, constraints, "")
    for epochs in (20, 66):
        plan, cpu, wall = timed(lambda e=epochs: DualPlanner(constraints, method=Algorithm1(epochs=e)).fit(scores))
        above = plan.certificate.upper_bound / ours["upper_bound"] - 1
        minimum = plan.bounds.minimum
        short = np.maximum(minimum - plan.assignment.exposure, 0).sum() / minimum.sum()
        yield {
            "what": f"Algorithm 1, {epochs} epochs", "bar": "≥ 30× our CPU to come within 0.3 %",
            "measured": f"D {100 * above:.3f} % above ours, shortfall {100 * short:.1f} %, {cpu:.0f} CPU s, "
            f"{cpu / ours['cpu']:.0f}× ours", "above": above, "shortfall": short, "cpu": cpu, "wall": wall,
            "ratio": cpu / ours["cpu"],
        }  # fmt: skip


def on_reference(options: argparse.Namespace) -> list[Row]:
    """The reference's scores, offline."""
    scores = reference("test")
    if scores is None:
        return []
    return [
        _solved(
            f"reference RNN-HP, K 36, promise {count}, offline", scores,
            Constraints(capacity=36, min_exposure_count=count), "gap ≤ 0.01 %, 0, ≤ 10 CPU s",
        )
        for count in (9, 21)
    ]  # fmt: skip


def journey(options: argparse.Namespace) -> Iterator[Row]:
    """A fortnight of Complete Journey, planned on the scores of one of our models (trained here)."""
    log = rim.load_dataset("complete-journey")
    split = rim.split_by_time(log, start=START, horizon=HORIZON, calibration=1)
    assert split.later is not None
    states = everyone(split.later.test)
    scores = made(options.model, 0).fit(split, refit=True).score(states)
    for share in (0.002,) if options.quick else (0.002, 0.004):
        yield _solved(
            f"complete-journey, {options.model}, K 10, β {100 * share:g} %", scores,
            Constraints(capacity=10, min_exposure=share), "gap ≤ 0.1 %, shortfall 0",
        )  # fmt: skip


def online(options: argparse.Namespace) -> list[Row]:
    """Prices from calibration states on test states."""
    calibration, test = reference("calibration"), reference("test")
    if calibration is None or test is None:
        return []
    out: list[Row] = []
    for count, bar in ((9, 0.12), (21, 0.10)):
        constraints = Constraints(capacity=36, min_exposure_count=count)
        offline = DualPlanner(constraints).fit(test).certificate.objective
        plain = None
        for confidence in (None, 0.9):
            plan = DualPlanner(constraints).fit(calibration, confidence=confidence, warm_start=plain)
            plain = plain or plan
            got = plan.assign(test)
            short = np.maximum(count - got.exposure, 0).sum() / (count * len(got.exposure))
            kept = float((got.exposure >= count).mean())
            row = {
                "what": f"online, promise {count}, confidence {confidence}",
                "measured": f"shortfall {short:.4f}, {100 * kept:.1f} % kept, score {got.objective / offline:.4f}",
                "bar": f"≤ {bar}, ≥ 0.99" if confidence is None else "≥ 88 % kept of 9; the best reachable of 21",
                "shortfall": short, "kept": kept, "score": got.objective / offline,
            }  # fmt: skip
            if plan.margin is not None:
                row["measured"] += f", reached {plan.margin.reached:.2f}, costs {100 * plan.margin.cost:.2f} %"
                row["cost"] = plan.margin.cost
            else:
                row["covered"] = float(delivered_shares(plan, test)["covered"].mean())
                row["measured"] += f", 90 % intervals cover {100 * row['covered']:.1f} %"
            out.append(row)
    return out


def intervals(options: argparse.Namespace) -> list[Row]:
    """How many items get a delivery within their 90 % interval: prices from one half of a shop's users, on the other.

    Scores are the shop's own true intensities, so that nothing but the arriving users is left to chance.
    """
    covered = []
    for seed in range(2 if options.quick else 5):
        shop = SimulatedShop(users=4_000, items=400, seed=seed)
        split = rim.split_by_user(shop.log(), seed=seed)
        assert split.test is not None
        calibration, test = shop.truth(split.calibration), shop.truth(split.test)
        constraints = Constraints(capacity=10, min_exposure=0.5 * 10 / calibration.shape[1])
        plan = DualPlanner(constraints).fit(calibration)
        covered.append(float(delivered_shares(plan, test)["covered"].mean()))
    measured = f"{100 * np.mean(covered):.1f} ± {100 * np.std(covered):.1f} % of the items, {len(covered)} shops"
    return [
        {"what": "90 % intervals on the simulated shop", "measured": measured, "bar": "88 to 92 %", "covered": covered}
    ]


def preview(options: argparse.Namespace) -> list[Row]:
    """Moves of the β slider: how long, and how near to the plan that follows."""
    out = []
    instances = {"20 000×2 000": synthetic(2_000, 400) if options.quick else synthetic(20_000, 2_000)}
    scores = reference("test")
    if scores is not None:
        instances["ml-1m"] = (scores, Constraints(capacity=36, min_exposure=9 / 3020))
    for name, (given, constraints) in instances.items():
        plan = DualPlanner(constraints).fit(given)
        plan.preview(constraints)
        base = float(np.asarray(constraints.min_exposure))
        cpu, wall, right, after = [], [], [], []
        moves = (0.9, 1.1) if options.quick else (0.8, 0.9, 0.95, 1.05, 1.1, 1.2)
        for factor in moves:
            asked = Constraints(capacity=constraints.capacity, min_exposure=base * factor)
            for _ in range(3):
                seen, c, w = timed(partial(plan.preview, asked))
                cpu.append(c)
                wall.append(w)
            certified, c, _ = timed(partial(DualPlanner(asked).fit, given, warm_start=plan))
            after.append(c)
            got = certified.assignment.exposure
            right.append(float((np.abs(seen.delivered - got) <= np.maximum(2.0, 0.05 * got)).mean()))
        p95 = 1000 * float(np.quantile(cpu, 0.95))
        out.append(
            {
                "what": f"preview of β moves on {name}", "bar": "p95 < 100 ms, ≥ 95 %, ≤ 3 s after",
                "measured": f"p95 {p95:.0f} CPU ms ({1000 * np.quantile(wall, 0.95):.0f} ms), items right at worst "
                f"{100 * min(right):.1f} %, certified after {max(after):.1f} CPU s", "p95_ms": p95,
                "right": min(right), "after": max(after),
            }
        )  # fmt: skip
    return out


def infeasible(options: argparse.Namespace) -> list[Row]:
    """Promises that cannot be kept, on ml-1m's size: how long until the answer."""
    scores = reference("test")
    if scores is None:
        scores = synthetic(3020, 3556)[0]
    m, n = scores.shape
    nobody = [(x, 5) for x in range(m - 3)]
    cases = {
        "total over capacity": Constraints(capacity=36, min_exposure_count=40),
        "an item over its eligible states": Constraints(
            capacity=36, min_exposure_count=np.where(np.arange(n) == 7, 40, 0), eligible={"7": list(range(20))}
        ),
        "two groups clash": Constraints(
            capacity=36,
            groups=[Group("a", items=range(1000), min_exposure=0.7), Group("b", items=range(900), max_exposure=0.2),
                    Group("c", items=range(1000, 2000), min_exposure=0.4)],
        ),
        "forbidden pairs starve an item": Constraints(capacity=36, min_exposure_count=5, forbidden=nobody),
    }  # fmt: skip
    from rim_core.planning.feasibility import reachable

    out = []
    for name, constraints in cases.items():

        def told(c: Constraints = constraints) -> tuple[str, ...]:
            problem = resolve(scores, c)
            return reachable(problem, survey(problem.scores)).problems

        problems, cpu, wall = timed(told)
        out.append(
            {
                "what": f"infeasible: {name}",
                "measured": f"{cpu:.2f} CPU s ({wall:.2f} s): {(*problems, 'NOT SEEN')[0]}"[:200],
                "bar": "< 1 s", "cpu": cpu, "problems": list(problems),
            }
        )  # fmt: skip
    return out


def scale(options: argparse.Namespace) -> list[Row]:
    """Many states: time, memory, and the cost of a pass beside its bare matmul and top-k."""
    out, passes = [], {}
    sizes = [options.states // 4, options.states]
    for m in sizes:
        n, rng = (1_000 if options.quick else 10_000), np.random.default_rng(0)
        h = (rng.normal(size=(m, 64)) / 8).astype(np.float32)
        w = rng.normal(size=(n, 64)).astype(np.float32)
        scores = Scores.from_factors(h, w, link="exp")
        contacts = resolve(scores, Constraints(capacity=20)).contacts
        _, passes[m], _ = timed(lambda s=scores, c=contacts: dual_value(s, np.zeros(s.shape[1]), c))
    # nothing is kept of a block: small results in the holes between large ones would count as the planner's memory
    _, bare, _ = timed(lambda: sum(len(torch.topk(z, 20, dim=1)[0]) for _, _, z in scores.blocks()))
    slope = np.log(passes[sizes[1]] / passes[sizes[0]]) / np.log(4)
    row = _solved(f"{m:,}×{n:,}, d 64", scores, Constraints(capacity=20, min_exposure=0.5 * 20 / n), "≤ 0.5 %, ≤ 4 GiB")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row["measured"] += f", {memory:.2f} GiB, pass {passes[m] / bare:.2f}× bare, slope {slope:.2f}"
    out.append({**row, "gib": memory, "pass_ratio": passes[m] / bare, "slope": slope})
    return out


def curves(options: argparse.Namespace) -> list[Row]:
    """8 points × 3 modes × 3 score matrices of ml-1m's size."""
    calibration, test = reference("calibration"), reference("test")
    if calibration is None or test is None:
        return []
    scores = {"RNN-HP": (calibration, test)}
    for name, power in (("flatter", 0.7), ("sharper", 1.2)):
        scores[name] = tuple(  # type: ignore[assignment]
            Scores.from_factors(s.h * power, s.w, link="exp", forbidden=s.forbidden) for s in (calibration, test)
        )
    if options.quick:
        scores = {"RNN-HP": scores["RNN-HP"]}
    shares = np.linspace(0, 30 / 3020, 8)[1:] if not options.quick else [3 / 3020]
    points, cpu, wall = timed(lambda: frontier(scores, capacity=36, shares=[float(s) for s in shares]))
    dual = points[points["mode"] == "offline dual"]
    worst = float(dual["gap"].max())
    return [
        {
            "what": f"frontier, {len(points)} points", "bar": "≤ 120 s, every dual point ≤ 0.5 %",
            "measured": f"{cpu:.0f} CPU s ({wall:.0f} s), worst gap {100 * worst:.4f} %, all certified: "
            f"{dual['gap'].notna().all()}",
            "cpu": cpu, "wall": wall, "gap": worst,
        }
    ]  # fmt: skip


ROWS: dict[str, Callable[[argparse.Namespace], Iterable[Row]]] = {
    "lp": against_linear_program,
    "cold": cold,
    "reference": on_reference,
    "journey": journey,
    "gaps": gaps,
    "tight": tight,
    "infeasible": infeasible,
    "preview": preview,
    "online": online,
    "intervals": intervals,
    "paper": paper,
    "frontier": curves,
    "scale": scale,
}

LONG = ("journey", "scale", "paper")
"""Rows that run when they are named."""

if __name__ == "__main__":
    sys.exit(main())
