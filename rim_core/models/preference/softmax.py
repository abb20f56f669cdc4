"""The categorical output p(y|x) of eq. (1): its loss over many items, and its lazy score matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rim_core.datasets.states import UserStates
    from rim_core.models.preference.sharpness import Logits

BLOCK = 256
"""Rows of logits held at once: 256 × 20 000 items are 20 MB."""
NEVER = -60.0
"""Log-probability of an item that was never trained: exp(−60) is 1e−26."""
TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Targets:
    """What some states are to predict.

    Attributes
    ----------
    of : int64 (N,), ascending
        Row of h that every event is predicted from.
    item : int64 (N,)
    weight : float32 (N,) or None
        What each event counts; one each by default.
    hidden : (int64 (M,), int64 (M,)) or None
        Row, ascending, and item of the pairs that cannot happen: p is a distribution over the other items.
    """

    of: torch.Tensor
    item: torch.Tensor
    weight: torch.Tensor | None = None
    hidden: tuple[torch.Tensor, torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.of)

    def to(self, device: torch.device) -> Targets:
        """The same on another device."""
        hidden = None if self.hidden is None else (self.hidden[0].to(device), self.hidden[1].to(device))
        weight = None if self.weight is None else self.weight.to(device)
        return Targets(self.of.to(device), self.item.to(device), weight, hidden)

    @property
    def total(self) -> float:
        """Events, by weight."""
        return float(len(self.of)) if self.weight is None else float(self.weight.sum())


class _SoftmaxLoss(torch.autograd.Function):
    """Sum over events of −log softmax(h wᵀ + b)[target], the gradients found in the same pass.

    Events that share an h share its row of logits. Rows are made, used and dropped block by block, so memory is
    O(BLOCK · n) and each product is done once: 2.7 MFLOP a row for 3 500 items and 128 dimensions.
    """

    @staticmethod
    def forward(
        ctx: Any, h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, targets: Targets, dtype: torch.dtype
    ) -> torch.Tensor:
        loss = h.new_zeros((), dtype=torch.float64)
        dh, dw, db = torch.empty_like(h), torch.zeros_like(w), torch.zeros_like(b)
        weights = w.to(dtype)
        for block in _blocks(h, targets):
            rows = h[block.rows]
            z = _logits(rows, weights, b)
            loss -= (block.weight * z[block.of, block.item]).sum(dtype=torch.float64)
            z[block.hidden] = -torch.inf
            top = z.amax(1, keepdim=True).clamp_(min=NEVER)  # also where everything is hidden
            z.sub_(top).exp_()
            total = z.sum(1, keepdim=True).clamp_(min=TINY)
            count = torch.zeros_like(total).index_add_(0, block.of, block.weight[:, None])
            loss += (count * (total.log() + top)).sum(dtype=torch.float64)
            z.mul_(count / total).index_put_((block.of, block.item), -block.weight, accumulate=True)
            slope = z.to(dtype)
            dh[block.rows] = (slope @ weights).to(h.dtype)
            dw += (slope.T @ rows.to(dtype)).to(w.dtype)
            db += z.sum(0)
        ctx.save_for_backward(dh, dw, db)
        return loss.to(h.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dh, dw, db = ctx.saved_tensors
        return dh * grads[0], dw * grads[0], db * grads[0], None, None


@dataclass(frozen=True, eq=False)
class _Block:
    """Some rows with their events and hidden pairs, rows counted from the first of them."""

    rows: slice
    of: torch.Tensor
    item: torch.Tensor
    weight: torch.Tensor
    hidden: tuple[torch.Tensor, torch.Tensor]


def _blocks(h: torch.Tensor, targets: Targets) -> Iterator[_Block]:
    weight = torch.ones(len(targets), device=h.device) if targets.weight is None else targets.weight
    nothing = torch.empty(0, dtype=torch.int64, device=h.device)
    row, item = (nothing, nothing) if targets.hidden is None else targets.hidden
    starts = list(range(0, len(h), BLOCK))
    borders = torch.tensor([*starts, len(h)], device=h.device)
    event, pair = torch.searchsorted(targets.of, borders).tolist(), torch.searchsorted(row, borders).tolist()
    for i, start in enumerate(starts):
        events, pairs = slice(event[i], event[i + 1]), slice(pair[i], pair[i + 1])
        hidden = (row[pairs] - start, item[pairs])
        own = targets.of[events] - start
        yield _Block(slice(start, start + BLOCK), own, targets.item[events], weight[events], hidden)


def softmax_loss(
    h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, targets: Targets, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Σ −log p(target) of a full softmax, differentiable in h (U, d), w (n, d) and b (n,).

    Parameters
    ----------
    dtype : torch.dtype
        Precision of the products; sums and exponentials are float32.
    """
    loss: torch.Tensor = _SoftmaxLoss.apply(h, w, b, targets, dtype)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax_loss(
    h: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    targets: Targets,
    inclusion: torch.Tensor,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """The same with the sum over all items estimated from a sample of them.

    The targets of the batch are always in; another item is in with probability π_y and then counts 1/π_y
    times, so the estimate of Σ exp is unbiased.

    Parameters
    ----------
    inclusion : float32 (n,)
        π, in (0, 1].
    """
    wanted = torch.zeros(len(w), dtype=torch.bool, device=w.device)
    wanted[targets.item] = True
    chosen = wanted | (torch.rand(len(w), generator=generator) < inclusion.cpu()).to(w.device)
    items = chosen.nonzero().ravel()
    correction = torch.where(wanted[items], 0.0, -inclusion[items].log())
    place = torch.cumsum(chosen, 0) - 1
    hidden = targets.hidden
    if hidden is not None:
        row, item = (part[chosen[hidden[1]]] for part in hidden)
        hidden = (row, place[item])
    sampled = replace(targets, item=place[targets.item], hidden=hidden)
    return softmax_loss(h, w[items], b[items] + correction, sampled, dtype)


@torch.no_grad()
def negative_log_likelihood(h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, targets: Targets) -> float:
    """Σ −log p(target) over the events, in float32 products and float64 sums."""
    total = 0.0
    for block in _blocks(h, targets):
        z = _logits(h[block.rows], w, b)
        total -= float((block.weight * z[block.of, block.item]).sum(dtype=torch.float64))
        z[block.hidden] = -torch.inf
        total += float(block.weight.double() @ torch.logsumexp(z, 1).double()[block.of])
    return total


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, otherwise float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if native() else torch.float32


def softmax_scores(logits: Logits, columns: np.ndarray, states: UserStates, hide_seen: bool = False) -> FactorScores:
    """p(y|x) over the items in play as lazy scores: rows sum to 1.

    Parameters
    ----------
    logits : Logits
        Over the model's own items.
    columns : ndarray of int64 (n,)
        Model item of every item in play; −1 (never trained) gets probability exp(−60).
    hide_seen : bool
        Rows sum to 1 over the items that are not forbidden.

    Notes
    -----
    λ = exp(h wᵀ + b − log Σ exp): b and the normaliser travel as two more factors.
    """
    h, w, b = logits.h, logits.w, logits.b
    known = columns >= 0
    factors = np.zeros((len(columns), w.shape[1]), np.float32)
    bias = np.full(len(columns), NEVER if known.any() else -np.log(max(len(columns), 1)), np.float32)
    factors[known], bias[known] = w[columns[known]], b[columns[known]]
    normaliser = np.zeros((len(h), 1), np.float32)
    if known.any():
        place = np.cumsum(known) - 1
        w_known, b_known = torch.from_numpy(factors[known]), torch.from_numpy(bias[known])
        forbidden = states.seen if hide_seen else None
        for start in range(0, len(h), BLOCK):
            z = _logits(torch.from_numpy(h[start : start + BLOCK]), w_known, b_known)
            if forbidden is not None:
                row, item = forbidden[start : start + BLOCK].nonzero()
                kept = known[item]
                z[torch.from_numpy(row[kept]), torch.from_numpy(place[item[kept]])] = NEVER
            normaliser[start : start + BLOCK, 0] = torch.logsumexp(z, 1).numpy()
    m, n = len(h), len(columns)
    left = np.concatenate([h, np.ones((m, 1), np.float32), -normaliser], axis=1)
    right = np.concatenate([factors, bias[:, None], np.ones((n, 1), np.float32)], axis=1)
    if known.any() and not known.all():  # the never trained must not ride on the normaliser
        right[~known, -2:] = [NEVER, 0.0]
    return FactorScores(left, right, link="exp", forbidden=states.seen, states=states)


def _logits(h: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """h wᵀ + b in float32, whatever the precision of w."""
    if w.dtype == torch.float32:
        return torch.addmm(b, h, w.T)
    return (h.to(w.dtype) @ w.T).float().add_(b)
