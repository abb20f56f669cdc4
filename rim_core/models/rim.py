"""RIM: λ(x, y) = λ(x) · p(y|x), any intensity with any preference (Section 2, eq. 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rim_core.errors import ModelError
from rim_core.models.base import Intensity, Model, Preference
from rim_core.models.parts import load_part, part_weights, trained_on, within

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.scores import FactorScores


WORK = {"preference": 0.9, "intensity": 0.1}
"""About how the time of a training is divided."""


class RIM(Model):
    """Recurrent intensity model: expected interactions of every user-state with every item.

    Parameters
    ----------
    preference : Preference
        p(y|x), for example ``GRU()``.
    intensity : Intensity
        λ(x), for example ``HawkesPoisson()``.

    Notes
    -----
    A part that is already fitted on the same training data is used as it is, so that several products
    can share one preference: ``[RIM(gru, intensity).fit(split) for intensity in ...]`` trains ``gru`` once.

    Raises
    ------
    ModelError
        A part is not of its kind.
    """

    unit: ClassVar[str] = "expected interactions in the horizon"

    def __init__(self, preference: Preference, intensity: Intensity) -> None:
        super().__init__()
        if not isinstance(preference, Preference):
            raise ModelError(f"{type(preference).__name__} gives no p(y|x): choose a preference model such as GRU.")
        if not isinstance(intensity, Intensity):
            raise ModelError(
                f"{type(intensity).__name__} gives no λ(x): choose an intensity model such as HawkesPoisson."
            )
        self.preference = preference
        self.intensity = intensity

    @property
    def name(self) -> str:
        return f"{self.preference.name}×{self.intensity.name}"

    @property
    def parts(self) -> dict[str, Model]:
        """The two factors by role."""
        return {"preference": self.preference, "intensity": self.intensity}

    def get_config(self) -> dict[str, Any]:
        return {"model": "RIM", **{role: part.get_config() for role, part in self.parts.items()}}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Model:
        parts: dict[str, Any] = {role: Model.from_config(config) for role, config in arguments.items()}
        return cls(**parts)

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        missing = {role: part for role, part in self.parts.items() if not trained_on(part, split)}
        begin = 0.0
        for role, part in missing.items():
            share = WORK[role] / sum(WORK[r] for r in missing)
            folder = None if checkpoint is None else checkpoint / role
            part.fit(split, callback=within(callback, begin, share), checkpoint=folder)
            begin += share
        self.fit_info["parts"] = {part.name: part.fit_info for part in self.parts.values()}
        self.fit_info["training"] = "; ".join(
            f"{part.name}: {part.fit_info.get('training', 'fitted in closed form')}" for part in self.parts.values()
        )

    def _score(self, states: UserStates) -> FactorScores:
        return self.preference.preference(states).scaled(self.intensity.intensity(states))

    def _weights(self) -> dict[str, np.ndarray]:
        return {key: array for role, part in self.parts.items() for key, array in part_weights(role, part).items()}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        for role, part in self.parts.items():
            load_part(role, part, self, weights)
