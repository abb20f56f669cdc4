"""HorizonTransformer: p(y|x) over the events of the whole horizon, which is what a plan is about (eq. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rim_core.models.preference.transformer import Transformer

if TYPE_CHECKING:
    from rim_core.models.preference.sequence import Objective


class HorizonTransformer(Transformer):
    """The network of :class:`Transformer`, learned as :class:`HorizonGRU` is.

    Parameters
    ----------
    dim, layers, heads, dropout, chunk, max_history, batch_tokens, learning_rate, weight_decay, clip
        As in :class:`Transformer`.
    max_epochs, patience, held_out, negatives, seed
        As in :class:`Transformer`.
    evenness : float
        As in :class:`HorizonGRU`.
    """

    objective: Objective = "horizon"
    hide_seen = True

    def __init__(
        self,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.4,
        chunk: int = 64,
        max_history: int = 256,
        batch_tokens: int = 2048,
        learning_rate: float = 2e-3,
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
            heads,
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
