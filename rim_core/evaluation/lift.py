"""What a campaign added: those it wrote to against those it held out at random."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from rim_core.errors import DataError

FEW = 10
"""Fewer outcomes than this in a group say little, whatever the interval."""


@dataclass(frozen=True)
class Lift:
    """Outcomes per user, written to against held out.

    Attributes
    ----------
    treated, held_out : int
        Users of each group, whether they were reached or not (intention to treat).
    treated_outcomes, held_out_outcomes : float
    treated_mean, held_out_mean : float
        Outcomes per user.
    treated_half, held_out_half : float
        Half the width of each mean's interval (Student's t).
    difference, low, high : float
        Of the means, with its interval (Welch).
    relative, relative_low, relative_high : float or None
        Difference as a share of the held-out mean, with its interval (Fieller); None where the held-out mean is 0 or
        too uncertain to divide by.
    incremental, incremental_low, incremental_high : float
        Difference times the users written to: outcomes that the campaign added.
    confidence : float
    """

    treated: int
    held_out: int
    treated_outcomes: float
    held_out_outcomes: float
    treated_mean: float
    held_out_mean: float
    treated_half: float
    held_out_half: float
    difference: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    incremental: float
    incremental_low: float
    incremental_high: float
    confidence: float

    @property
    def conclusive(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    @property
    def few(self) -> bool:
        """Whether a group has too few outcomes to rely on the interval."""
        return min(self.treated_outcomes, self.held_out_outcomes) < FEW

    def to_dict(self) -> dict[str, Any]:
        """All figures, JSON-able."""
        return asdict(self)


def measure_lift(treated: np.ndarray, held_out: np.ndarray, confidence: float = 0.95) -> Lift:
    """Compare the outcomes of two groups that chance has made.

    Parameters
    ----------
    treated, held_out : ndarray (N,), (M,)
        Outcomes of every user of the group, zeros included.
    confidence : float
        Of the intervals, in (0, 1).

    Raises
    ------
    DataError
        A group has fewer than two users.

    Notes
    -----
    The difference of means has Welch's interval (unequal variances, Satterthwaite's degrees of freedom); their ratio
    Fieller's.
    """
    a, b = np.asarray(treated, float), np.asarray(held_out, float)
    if min(len(a), len(b)) < 2:
        raise DataError(
            f"Lift needs at least two users in both groups: {len(a):,} were written to and {len(b):,} held out. "
            "Export the audience with a hold-out group."
        )
    mean_a, mean_b = float(a.mean()), float(b.mean())
    var_a, var_b = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    spread = var_a + var_b
    if spread > 0:
        freedom = spread**2 / (var_a**2 / (len(a) - 1) + var_b**2 / (len(b) - 1))
        t = float(stats.t.ppf((1 + confidence) / 2, freedom))
    else:
        t = 0.0
    difference, half = mean_a - mean_b, t * float(np.sqrt(spread))
    relative, relative_low, relative_high = _ratio(mean_a, mean_b, var_a, var_b, t)
    return Lift(
        treated=len(a),
        held_out=len(b),
        treated_outcomes=float(a.sum()),
        held_out_outcomes=float(b.sum()),
        treated_mean=mean_a,
        held_out_mean=mean_b,
        treated_half=_half(var_a, len(a), confidence),
        held_out_half=_half(var_b, len(b), confidence),
        difference=difference,
        low=difference - half,
        high=difference + half,
        relative=relative,
        relative_low=relative_low,
        relative_high=relative_high,
        incremental=difference * len(a),
        incremental_low=(difference - half) * len(a),
        incremental_high=(difference + half) * len(a),
        confidence=confidence,
    )


def _half(variance: float, size: int, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, size - 1) * np.sqrt(variance))


def _ratio(
    mean_a: float, mean_b: float, var_a: float, var_b: float, t: float
) -> tuple[float | None, float | None, float | None]:
    """mean_a / mean_b − 1 with Fieller's limits."""
    if mean_b <= 0:
        return None, None, None
    ratio = mean_a / mean_b
    g = t**2 * var_b / mean_b**2
    if g >= 1:  # the interval is unbounded
        return ratio - 1, None, None
    half = t / mean_b * float(np.sqrt(max(var_a + ratio**2 * var_b - g * var_a, 0.0))) / (1 - g)
    centre = ratio / (1 - g)
    return ratio - 1, centre - half - 1, centre + half - 1
