"""HorizonGRU: p(y|x) over the events of the whole horizon, which is what a plan is about (eq. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rim_core.models.preference.gru import GRU

if TYPE_CHECKING:
    from rim_core.models.preference.sequence import Objective


class HorizonGRU(GRU):
    """The network of :class:`GRU`, learned from all events of the horizon of a state and not from its next one alone.

    States stand at random times, so the horizon is met as a plan meets it. Where the split forbids what was seen, p is
    a distribution over the rest. A power of p, found on users who were held out, makes its probabilities as sure as
    they may be: expected interactions then are what happens.

    Parameters
    ----------
    dim, layers, dropout, chunk, max_history, batch_tokens, learning_rate, weight_decay, clip
        As in :class:`GRU`.
    max_epochs, patience, held_out, negatives, seed
        As in :class:`GRU`.
    evenness : float
        Of the events of a state each counts 1 / (their number)^evenness: 0 counts all events the same, 1 all states.
    """

    objective: Objective = "horizon"
    hide_seen = True

    def __init__(
        self,
        dim: int = 128,
        layers: int = 1,
        dropout: float = 0.4,
        chunk: int = 64,
        max_history: int = 256,
        batch_tokens: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        clip: float = 1.0,
        max_epochs: int = 8,
        patience: int = 3,
        held_out: float = 0.2,
        negatives: int = 8192,
        evenness: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            dim,
            layers,
            dropout,
            chunk,
            max_history,
            batch_tokens,
            learning_rate,
            weight_decay,
            clip,
            max_epochs,
            patience,
            held_out,
            negatives,
            seed=seed,
        )
        self.evenness = evenness
