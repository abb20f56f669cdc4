"""HorizonBlend: what a recurrent network and an attention network agree on, as one preference over the horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rim_core.models.base import Preference
from rim_core.models.parts import within
from rim_core.models.preference.horizon_gru import HorizonGRU
from rim_core.models.preference.horizon_transformer import HorizonTransformer
from rim_core.models.preference.settings import check_settings
from rim_core.models.preference.sharpness import Logits, fit_powers, states_to_fit
from rim_core.models.preference.softmax import softmax_scores

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.models.preference.sequence import SequencePreference
    from rim_core.scores import FactorScores

WORK = {"gru": 0.35, "transformer": 0.65}
"""About how the time of a training is divided."""
SLOWER = 2 / 3
"""Learning rate of attention, relative to that of recurrence."""


class HorizonBlend(Preference):
    """p ∝ p_GRU^a · p_Transformer^b of a :class:`HorizonGRU` and a :class:`HorizonTransformer`.

    The two err in different ways, so their product is better than either; it stays one pair of factors. The powers are
    found on users whom neither was taught.

    Parameters
    ----------
    dim : int
        Width of both networks.
    dropout : float
    learning_rate : float
        Peak rate of the recurrent network; the other has two thirds of it.
    chunk, max_history, batch_tokens, max_epochs, held_out, negatives, seed
        Of both, as in :class:`HorizonGRU`.
    """

    def __init__(
        self,
        dim: int = 128,
        dropout: float = 0.4,
        chunk: int = 64,
        max_history: int = 256,
        batch_tokens: int = 2048,
        learning_rate: float = 3e-3,
        max_epochs: int = 8,
        held_out: float = 0.2,
        negatives: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.dropout = dropout
        self.chunk = chunk
        self.max_history = max_history
        self.batch_tokens = batch_tokens
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.held_out = held_out
        self.negatives = negatives
        self.seed = seed
        check_settings(self)
        shared = {k: v for k, v in vars(self).items() if k in self.get_config()}
        self.parts: dict[str, SequencePreference] = {
            "gru": HorizonGRU(**shared),
            "transformer": HorizonTransformer(**{**shared, "learning_rate": learning_rate * SLOWER}),
        }
        self._powers = np.full(2, 0.5)

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        begun = 0.0
        for name, part in self.parts.items():
            folder = None if checkpoint is None else checkpoint / name
            part.fit(split, callback=within(callback, begun, WORK[name]), checkpoint=folder)
            begun += WORK[name]
        one, other = self.parts.values()
        states = states_to_fit(split, one.held_out_users(split), len(split.items), self.seed)
        self._powers = fit_powers([part.logits(states) for part in self.parts.values()], states, one.hides)
        self.fit_info["parts"] = {part.name: part.fit_info for part in self.parts.values()}
        self.fit_info["held_out_nll"] = None
        self.fit_info["training"] = (
            f"{one.name}^{self._powers[0]:.2f} · {other.name}^{self._powers[1]:.2f}; "
            + "; ".join(f"{part.name}: {part.fit_info['training']}" for part in self.parts.values())
        )

    def _preference(self, states: UserStates) -> FactorScores:
        parts = [
            part.logits(states).scaled(power) for part, power in zip(self.parts.values(), self._powers, strict=True)
        ]
        return softmax_scores(Logits.product(parts), self._columns(states), states, self.parts["gru"].hides)

    def _weights(self) -> dict[str, np.ndarray]:
        parts = {f"{name}.{key}": w for name, part in self.parts.items() for key, w in part._weights().items()}
        return {**parts, "powers": self._powers}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        for name, part in self.parts.items():
            part.item_ids, part.fit_info = self.item_ids, self.fit_info["parts"][part.name]
            part._load_weights({k.removeprefix(f"{name}."): w for k, w in weights.items() if k.startswith(f"{name}.")})
            part._fitted = True
        self._powers = weights["powers"]
