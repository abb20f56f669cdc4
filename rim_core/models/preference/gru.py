"""GRU: p(y|x) from a gated recurrent network over the user's items (Hidasi et al. 2016; Section 2, eq. 1)."""

from __future__ import annotations

import torch
from torch import nn

from rim_core.models.preference.sequence import Encoder, SequencePreference
from rim_core.models.preference.sequences import GAPS
from rim_core.models.preference.settings import check_settings

INPUT_GAIN, OUTPUT_GAIN, MEMORY = 4.0, 8.0, 4.0
"""Where training starts: sigmoid(4) keeps 98 % of a unit at every event."""


class GRU(SequencePreference):
    """Next-item model: p(y|x) ∝ exp(w_yᵀ h(x) + b_y), h a GRU over the visible items, w also its input embedding.

    Parameters
    ----------
    dim : int
        Width of embeddings and hidden state.
    layers : int
    dropout : float
        On embeddings and on the output of every layer.
    chunk : int
        Steps of truncated back-propagation; the hidden state is carried on.
    max_history : int
        Most recent events read when scoring.
    batch_tokens : int
        Events per optimiser step.
    learning_rate, weight_decay, clip : float
        Peak rate of AdamW (warm-up, then cosine over ``max_epochs``), its decay, the norm gradients are clipped to.
    max_epochs : int
        The length of the schedule; a brief training is a small number here.
    patience : int
        Epochs without a better held-out loss before stopping.
    held_out : float
        Share of the users who do not teach but tell when to stop.
    negatives : int
        Items sampled per step in catalogues of more than twice as many; 0 for a full softmax always.
    one_by_one : bool
        Predict events of one instant one after the other in the order of the log, instead of the whole instant from
        the state before it.
    seed : int
    """

    def __init__(
        self,
        dim: int = 128,
        layers: int = 1,
        dropout: float = 0.2,
        chunk: int = 64,
        max_history: int = 256,
        batch_tokens: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        clip: float = 1.0,
        max_epochs: int = 10,
        patience: int = 3,
        held_out: float = 0.2,
        negatives: int = 8192,
        one_by_one: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.layers = layers
        self.dropout = dropout
        self.chunk = chunk
        self.max_history = max_history
        self.batch_tokens = batch_tokens
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clip = clip
        self.max_epochs = max_epochs
        self.patience = patience
        self.held_out = held_out
        self.negatives = negatives
        self.one_by_one = one_by_one
        self.seed = seed
        check_settings(self)

    def _build(self, n: int) -> Encoder:
        return _GRUNetwork(n, self.dim, self.layers, self.dropout)


class _GRUNetwork(Encoder):
    """h = W (GRU(items) ⊙ gate of the waiting time) + shift of the waiting time.

    The gate lets an event at once follow from the last few (the same basket, the same session) and an event after days
    from long-standing tastes ("latent cross", Beutel et al. 2018).

    It starts as a plain similarity model: every unit is a slow average of one coordinate of the items read, and h
    points to items like those. A brief training keeps that memory, which it would not find from random weights.
    """

    def __init__(self, n: int, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.item = nn.Embedding(n + 1, dim)
        nn.init.normal_(self.item.weight, std=dim**-0.5)
        self.gru = nn.GRU(dim, dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.out = nn.Linear(dim, dim)
        self.gate = nn.Embedding(GAPS, dim)
        self.shift = nn.Embedding(GAPS, dim)
        self.bias = nn.Parameter(torch.zeros(n))
        self.drop = nn.Dropout(dropout)
        self._start_as_average()

    @torch.no_grad()
    def _start_as_average(self) -> None:
        d = self.out.in_features
        nn.init.ones_(self.gate.weight)
        nn.init.zeros_(self.shift.weight)
        for layer in range(self.gru.num_layers):
            taken = getattr(self.gru, f"weight_ih_l{layer}")[2 * d :]  # of the candidate state
            taken.mul_(0.1).add_(torch.eye(d), alpha=INPUT_GAIN)
            getattr(self.gru, f"weight_hh_l{layer}")[2 * d :].mul_(0.1)
            getattr(self.gru, f"bias_ih_l{layer}")[d : 2 * d] += MEMORY  # of the update gate
        self.out.weight.mul_(0.1).add_(torch.eye(d), alpha=OUTPUT_GAIN)

    def encode(
        self, tokens: torch.Tensor, gap: torch.Tensor, carry: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.drop(self.item(tokens))  # (B, L, d)
        hidden, carry = self.gru(x, carry)  # (B, L, d), (layers, B, d)
        return self._state(self.drop(hidden), gap), carry

    def last(self, tokens: torch.Tensor, gap: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(self.item(tokens))
        row = torch.arange(len(place), device=place.device)
        return self._state(hidden[row, place], gap[row, place])

    def _state(self, hidden: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.out(hidden * self.gate(gap)) + self.shift(gap)
        return h
