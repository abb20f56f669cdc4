"""Transformer: p(y|x) from causal self-attention over the user's items (Kang & McAuley 2018; Section 2, eq. 1)."""

from __future__ import annotations

import torch
from torch import nn

from rim_core.errors import ModelError
from rim_core.models.preference.sequence import Encoder, Reader, SequencePreference
from rim_core.models.preference.sequences import GAPS
from rim_core.models.preference.settings import check_settings

INPUT_GAIN, OUTPUT_GAIN = 0.5, 4.0
Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Queries, keys and values."""


class Transformer(SequencePreference):
    """Next-item model: p(y|x) ∝ exp(w_yᵀ h(x) + b_y), h by causal attention over the visible items, w also its input.

    Distance is told by a penalty on attention that is linear in it, a slope for each head (Press et al. 2022), so
    there is no longest position. A chunk attends to what was read before it as well (Dai et al. 2019).

    Parameters
    ----------
    dim : int
        Width of embeddings and hidden state.
    layers, heads : int
    dropout : float
        On embeddings and on the output of every block.
    chunk : int
        Tokens per optimiser step and user; gradients end at its border.
    max_history : int
        Most recent events attended to.
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

    Raises
    ------
    ModelError
        ``dim`` is no multiple of ``heads``.
    """

    def __init__(
        self,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
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
        one_by_one: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.layers = layers
        self.heads = heads
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
        if dim % heads:
            raise ModelError(f"The width {dim} of a Transformer must be a multiple of its {heads} heads.")

    def _build(self, n: int) -> Encoder:
        return TransformerNetwork(n, self.dim, self.layers, self.heads, self.dropout, self.max_history)


class TransformerNetwork(Encoder):
    """h = W (blocks(items) ⊙ gate of the waiting time) + shift of the waiting time.

    The gate is that of the GRU. It starts as a plain similarity model: attention averages the items read, recent ones
    more, and h points to items like those.
    """

    tokens_at_once = 2048
    """What a block makes of them, four times as wide, stays in the cache."""

    def __init__(self, n: int, dim: int, layers: int, heads: int, dropout: float, memory: int) -> None:
        super().__init__()
        self.item = nn.Embedding(n + 1, dim)
        nn.init.normal_(self.item.weight, std=dim**-0.5)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout) for _ in range(layers))
        self.out = nn.Linear(dim, dim)
        self.gate = nn.Embedding(GAPS, dim)
        self.shift = nn.Embedding(GAPS, dim)
        self.bias = nn.Parameter(torch.zeros(n))
        self.drop = nn.Dropout(dropout)
        self.memory = memory
        with torch.no_grad():
            nn.init.ones_(self.gate.weight)
            nn.init.zeros_(self.shift.weight)
            self.out.weight.mul_(0.1).add_(torch.eye(dim), alpha=OUTPUT_GAIN)

    def encode(
        self, tokens: torch.Tensor, gap: torch.Tensor, carry: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.drop(self.item(tokens))  # (B, L, d)
        inputs = []
        for i, block in enumerate(self.blocks):
            seen = x if carry is None else torch.cat([carry[i], x], dim=1)  # (B, M + L, d)
            inputs.append(seen[:, -self.memory :])
            x = block(x, seen, _distance(x.shape[1], seen.shape[1], x.device))
        return self._state(x, gap), torch.stack(inputs)

    def last(self, tokens: torch.Tensor, gap: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        return self._last(tokens, gap, place, None)

    def reader(self, tokens: int) -> Reader:
        """Distance is told by attention alone, so what the first block asks, is asked and answers is the item's own."""
        first = self.blocks[0]
        assert isinstance(first, _Block)
        if len(self.blocks) < 2 or tokens < len(self.item.weight):
            return self.last
        parts = first.parts(self.item.weight)
        return lambda tokens, gap, place: self._last(tokens, gap, place, parts)

    def _last(self, tokens: torch.Tensor, gap: torch.Tensor, place: torch.Tensor, parts: Parts | None) -> torch.Tensor:
        """:meth:`last`, with the parts of every item in the first block, each (n + 1, d), where they are known."""
        x = self.item(tokens)
        length, row = tokens.shape[1], torch.arange(len(place), device=place.device)
        *lower, top = self.blocks
        assert isinstance(top, _Block)
        distance = _distance(length, length, x.device)
        if parts is not None:
            first, *lower = lower
            assert isinstance(first, _Block)
            q, k, v = (nn.functional.embedding(tokens, part) for part in parts)
            x = first.attend(x, (q, k, v), distance)
        for block in lower:
            x = block(x, x, distance)
        back = place[:, None] - torch.arange(length, device=x.device)  # (B, L)
        h: torch.Tensor = top.one(x[row, place], x, back)
        return self._state(h, gap[row, place])

    def _state(self, x: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.out(x * self.gate(gap)) + self.shift(gap)
        return h


def _distance(length: int, seen: int, device: torch.device) -> torch.Tensor:
    """How far back every seen token is from each of the last ``length``; int64 (L, M + L)."""
    steps = torch.arange(seen, device=device)
    return steps[seen - length :, None] - steps


class _Block(nn.Module):
    """x + attention, then x + a wider layer; both of normed inputs."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.mix = nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.drop = nn.Dropout(dropout)
        self.heads = heads
        self.slope: torch.Tensor
        self.register_buffer("slope", torch.exp2(-torch.linspace(0, 8, heads)), persistent=False)
        with torch.no_grad():
            for layer in (self.query, self.key):
                layer.weight.mul_(0.3)
            for layer in (self.value, self.mix):
                layer.weight.mul_(0.1).add_(torch.eye(dim), alpha=INPUT_GAIN)
            self.narrow.weight.mul_(0.1)

    def forward(self, x: torch.Tensor, seen: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """What comes of x (B, L, d) that attends to seen (B, M, d) at int64 distances (…, L, M), negative: later."""
        if seen is x:
            return self.attend(x, self.parts(x), distance)
        normed = self.before(seen)
        return self.attend(x, (self.query(self.before(x)), self.key(normed), self.value(normed)), distance)

    def parts(self, x: torch.Tensor) -> Parts:
        """Queries, keys and values of x, each of its shape."""
        normed = self.before(x)
        return self.query(normed), self.key(normed), self.value(normed)

    def attend(self, x: torch.Tensor, parts: Parts, distance: torch.Tensor) -> torch.Tensor:
        """:meth:`forward` for queries (B, L, d), keys and values (B, M, d)."""
        batch, length, dim = x.shape
        q, k, v = (part.view(batch, -1, self.heads, dim // self.heads).transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self._penalty(distance))
        return self._add(x, mixed.transpose(1, 2).reshape(batch, length, dim))

    def one(self, x: torch.Tensor, seen: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """:meth:`forward` for one token of each row, (B, d), at distances (B, M).

        Neither keys nor values of what is seen are made: q · K y = Kᵀq · y, and the mean of values is the value of the
        mean; O(heads · d) a token instead of O(d²).
        """
        batch, dim = x.shape
        normed = self.before(seen)  # (B, M, d)
        q = self.query(self.before(x)).view(batch, self.heads, -1).transpose(0, 1)  # (heads, B, d / heads)
        keys, values = (layer.weight.view(self.heads, -1, dim) for layer in (self.key, self.value))
        asked = (q @ keys).transpose(0, 1)  # (B, heads, d): by head, so that no weight is copied for every row
        likeness = asked @ normed.transpose(1, 2) * (dim // self.heads) ** -0.5
        weight = (likeness + self._penalty(distance[:, None, None])[:, :, 0]).softmax(dim=-1)  # (B, heads, M)
        mixed = (weight @ normed).transpose(0, 1) @ values.transpose(1, 2)  # (heads, B, d / heads)
        return self._add(x, mixed.transpose(0, 1).reshape(batch, dim))

    def _add(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        x = x + self.drop(self.mix(mixed))
        out: torch.Tensor = x + self.drop(self.narrow(nn.functional.gelu(self.widen(self.between(x)))))
        return out

    def _penalty(self, distance: torch.Tensor) -> torch.Tensor:
        """−slope · distance, −inf for what comes later; (1 or B, heads, L, M)."""
        penalty = -distance.to(self.slope.dtype) * self.slope[:, None, None]
        return torch.where(distance < 0, -torch.inf, penalty).reshape(-1, self.heads, *distance.shape[-2:])
