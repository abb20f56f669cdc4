"""Algorithm 1 of the paper as it stands: alternating root finding at falling temperatures.

Kept to compare with. It knows capacity and item bounds, neither says how far it is from the optimum nor repairs what
it leaves unkept; the certificate of the plan made of its prices says both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from rim_core.errors import ConstraintError
from rim_core.progress import Progress, silent

if TYPE_CHECKING:
    from rim_core.planning.problem import Problem
    from rim_core.progress import Callback

BISECTIONS = 30


@dataclass(frozen=True)
class Algorithm1:
    """Settings of Algorithm 1.

    Parameters
    ----------
    epochs : int
        k = 0, 1, …; a pass over all states in batches each (100·m / B batches in all, Appendix C.2).
    cooling : float
        ε = 0.8^k, λ being scaled to at most 1.
    step : float
        γ.
    batch : int
        B, user-states at a time.
    """

    epochs: int = 100
    cooling: float = 0.8
    step: float = 0.1
    batch: int = 500

    def prices(self, problem: Problem, *, seed: int = 0, callback: Callback = silent) -> np.ndarray:
        """v of every item, float64 (n,): v ~ Unif(−1, 0) at first, then 100 epochs of the two roots of (13).

        Raises
        ------
        ConstraintError
            Promises that the algorithm does not know.
        """
        if problem.rows or problem.contacts.capped:
            raise ConstraintError('method="paper" knows capacity and item bounds only: plan with method="dual".')
        scores, (m, n) = problem.scores, problem.scores.shape
        rng = np.random.default_rng(seed)
        largest = max((float(z.max()) for _, _, z in scores.blocks()), default=1.0)
        scale = largest if largest > 0 else 1.0
        low, high = problem.lower / m, np.minimum(problem.upper / m, 1.0)
        v = torch.from_numpy(rng.uniform(-1.0, 0.0, n))
        capacity = torch.from_numpy(problem.contacts.capacity.astype(float))
        for k in range(self.epochs):
            callback(Progress(f"Algorithm 1, epoch {k + 1} of {self.epochs}", k, self.epochs))
            epsilon = self.cooling**k
            order = rng.permutation(m)
            for at in range(0, m, self.batch):
                rows = np.sort(order[at : at + self.batch])
                z = scores.take(rows).tensor(0, len(rows)).double().cpu() / scale
                u = _root(z - v, capacity[rows], epsilon, dim=1).clamp(min=0.0)
                margin = z - u[:, None]
                size = float(len(rows))
                lifted = _root(margin, torch.from_numpy(low * size), epsilon, dim=0).clamp(max=0.0)
                pressed = _root(margin, torch.from_numpy(high * size), epsilon, dim=0).clamp(min=0.0)
                lifted = torch.where(torch.from_numpy(low > 0), lifted, 0.0)
                pressed = torch.where(torch.from_numpy(high < 1), pressed, 0.0)
                v = (1 - self.step) * v + self.step * (lifted + pressed)
        out: np.ndarray = v.numpy() * scale
        return out


def _root(margin: torch.Tensor, target: torch.Tensor, epsilon: float, dim: int) -> torch.Tensor:
    """r with Σ sigmoid((margin − r) / ε) = target along ``dim``, by bisection."""
    finite = torch.where(margin == -torch.inf, torch.nan, margin)
    reach = 40.0 * epsilon
    low = torch.nan_to_num(finite, nan=torch.inf).amin(dim=dim) - reach
    high = margin.amax(dim=dim) + reach
    low, high = torch.nan_to_num(low, posinf=0.0), torch.nan_to_num(high, neginf=0.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        filled = torch.sigmoid((margin - middle.unsqueeze(dim)) / epsilon).sum(dim=dim)
        above = filled > target
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return 0.5 * (low + high)
