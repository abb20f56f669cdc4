"""Promises, prices and plans: the constrained matching of Section 4."""

from rim_core.planning.confidence import Margin, delivered_shares, delivery_intervals, expected_deliveries
from rim_core.planning.constraints import Bounds, Constraints
from rim_core.planning.dual import DualPlanner
from rim_core.planning.explain import ItemStory
from rim_core.planning.frontier import frontier
from rim_core.planning.greedy import greedy_match
from rim_core.planning.groups import Budget, Group
from rim_core.planning.linear_program import LinearProgramSolution, linear_program
from rim_core.planning.losses import Baseline, Losses, who_loses, without_promises
from rim_core.planning.paper import Algorithm1
from rim_core.planning.plan import Certificate, Plan
from rim_core.planning.preview import Preview
from rim_core.planning.user_load import user_load_sweep

__all__ = [
    "Algorithm1",
    "Baseline",
    "Bounds",
    "Budget",
    "Certificate",
    "Constraints",
    "DualPlanner",
    "Group",
    "ItemStory",
    "LinearProgramSolution",
    "Losses",
    "Margin",
    "Plan",
    "Preview",
    "delivered_shares",
    "delivery_intervals",
    "expected_deliveries",
    "frontier",
    "greedy_match",
    "linear_program",
    "user_load_sweep",
    "who_loses",
    "without_promises",
]
