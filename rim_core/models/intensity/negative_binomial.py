"""HawkesNegativeBinomial: counts that spread more than Poisson counts do (what Section 3 leaves as future work)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from rim_core.models.intensity.hawkes_poisson import TINY, HawkesPoisson, poisson_regression


class HawkesNegativeBinomial(HawkesPoisson):
    """Λ(x) = φ(t) · w with w ≥ 0, as in :class:`HawkesPoisson`, learned by the likelihood of over-dispersed counts.

    The variance of a count is Λ + Λ²/r with one r for all, so that a few very active states count for less. A score is
    the mean Λ. Parameters are those of HawkesPoisson; one factor makes the total over ``split.labelled`` what really
    happened there, which this likelihood does not do by itself.
    """

    _law: ClassVar[str] = "Negative binomial"

    def _regress(self, masses: np.ndarray, counts: np.ndarray) -> np.ndarray:
        coefficients, shape = negative_binomial_regression(masses, counts, self.ridge)
        self.fit_info["shape"] = shape
        return coefficients


def negative_binomial_regression(
    features: np.ndarray, counts: np.ndarray, ridge: float, max_iter: int = 300
) -> tuple[np.ndarray, float]:
    """Weights w ≥ 0 (F,) and shape r of the mean negative log-likelihood plus ridge/2 ‖w‖², then Σ Λ = Σ n.

    By L-BFGS-B from the Poisson solution, O(m · F) a step; r at most 1e6 (a Poisson law).
    """
    start = poisson_regression(features, counts, ridge)
    if start.max(initial=0.0) <= 0:
        return start, 1e6
    m = len(counts)
    size = np.maximum(features.mean(axis=0), 1e-6)
    x, penalty = features / size, ridge / size**2

    def loss(z: np.ndarray) -> tuple[float, np.ndarray]:
        r = np.exp(z[-1])
        expected = np.maximum(x @ z[:-1], TINY)
        both = np.log(expected + r)
        value = gammaln(r) - gammaln(counts + r) - r * z[-1] - counts * np.log(expected) + (counts + r) * both
        by_mean = (counts + r) / (expected + r) - counts / expected
        by_shape = digamma(r) - digamma(counts + r) - z[-1] - 1 + both + (counts + r) / (expected + r)
        gradient = np.append(x.T @ by_mean / m + penalty * z[:-1], r * by_shape.mean())
        return float(value.mean() + 0.5 * (penalty * z[:-1]) @ z[:-1]), gradient

    begin = np.append(np.maximum(start * size, 1e-6), 0.0)
    bounds = [(0.0, None)] * len(size) + [(np.log(1e-3), np.log(1e6))]
    found = minimize(loss, begin, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": max_iter})
    weights = found.x[:-1] / size
    total = float((features @ weights).sum())
    return weights * (counts.sum() / total if total > 0 else 1.0), float(np.exp(found.x[-1]))
