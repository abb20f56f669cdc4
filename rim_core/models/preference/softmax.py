"""The categorical output p(y|x) of eq. (1): its loss over many items, and its lazy score matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates

BLOCK = 256
"""Rows of logits held at once: 256 × 20 000 items are 20 MB."""
NEVER = -60.0
"""Log-probability of an item that was never trained: exp(−60) is 1e−26."""


class _SoftmaxLoss(torch.autograd.Function):
    """Sum over events of −log softmax(h wᵀ + b)[target], the gradients found in the same pass.

    Events that share an h share its row of logits. Rows are made, used and dropped block by block, so memory is
    O(BLOCK · n) and each product is done once: 2.7 MFLOP a row for 3 500 items and 128 dimensions.
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: torch.Tensor,
        w: torch.Tensor,
        b: torch.Tensor,
        of: torch.Tensor,
        target: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        loss = h.new_zeros((), dtype=torch.float64)
        times = torch.bincount(of, minlength=len(h)).to(h.dtype)[:, None]
        dh, dw, db = torch.empty_like(h), torch.zeros_like(w), torch.zeros_like(b)
        weights = w.to(dtype)
        for start in range(0, len(h), BLOCK):
            rows, count = h[start : start + BLOCK], times[start : start + BLOCK]
            z = _logits(rows, weights, b)
            top = z.amax(1, keepdim=True)
            z.sub_(top).exp_()
            total = z.sum(1, keepdim=True)
            loss += (count * (total.log() + top)).sum(dtype=torch.float64)
            share = count / total
            p = z.to(dtype)
            dh[start : start + BLOCK] = (p @ weights).to(h.dtype) * share
            dw += (p.T @ (rows * share).to(dtype)).to(w.dtype)
            db += z.T @ share[:, 0]
        rows, chosen = h[of], w[target]
        loss -= ((rows * chosen).sum(1) + b[target]).sum(dtype=torch.float64)
        dh.index_add_(0, of, chosen, alpha=-1)
        dw.index_add_(0, target, rows, alpha=-1)
        db -= torch.bincount(target, minlength=len(b))
        ctx.save_for_backward(dh, dw, db)
        return loss.to(h.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dh, dw, db = ctx.saved_tensors
        return dh * grads[0], dw * grads[0], db * grads[0], None, None, None


def softmax_loss(
    h: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    of: torch.Tensor,
    target: torch.Tensor,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Σ −log p(target) of a full softmax, differentiable in h (U, d), w (n, d) and b (n,).

    Parameters
    ----------
    of : int64 (N,)
        Row of h that every event is predicted from.
    target : int64 (N,)
        Its item.
    dtype : torch.dtype
        Precision of the products; sums and exponentials are float32.
    """
    loss: torch.Tensor = _SoftmaxLoss.apply(h, w, b, of, target, dtype)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax_loss(
    h: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    of: torch.Tensor,
    target: torch.Tensor,
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
    wanted[target] = True
    chosen = wanted | (torch.rand(len(w), generator=generator) < inclusion.cpu()).to(w.device)
    items = chosen.nonzero().ravel()
    correction = torch.where(wanted[items], 0.0, -inclusion[items].log())
    place = torch.cumsum(chosen, 0) - 1
    return softmax_loss(h, w[items], b[items] + correction, of, place[target], dtype)


@torch.no_grad()
def negative_log_likelihood(
    h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, of: torch.Tensor, target: torch.Tensor
) -> float:
    """Σ −log p(target) over the events, in float32 products and float64 sums."""
    times = torch.bincount(of, minlength=len(h)).double()
    total = -float(((h[of] * w[target]).sum(1) + b[target]).sum(dtype=torch.float64))
    for start in range(0, len(h), BLOCK):
        z = _logits(h[start : start + BLOCK], w, b)
        total += float(torch.logsumexp(z, 1).double() @ times[start : start + BLOCK])
    return total


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, otherwise float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if native() else torch.float32


def softmax_scores(
    h: np.ndarray, w: np.ndarray, b: np.ndarray, columns: np.ndarray, states: UserStates
) -> FactorScores:
    """p(y|x) over the items in play as lazy scores: rows sum to 1.

    Parameters
    ----------
    h : ndarray (m, d)
    w : ndarray (n_model, d), b : ndarray (n_model,)
        Output layer over the model's own items.
    columns : ndarray of int64 (n,)
        Model item of every item in play; −1 (never trained) gets probability exp(−60).

    Notes
    -----
    λ = exp(h wᵀ + b − log Σ exp): b and the normaliser travel as two more factors.
    """
    known = columns >= 0
    factors = np.zeros((len(columns), w.shape[1]), np.float32)
    bias = np.full(len(columns), NEVER if known.any() else -np.log(max(len(columns), 1)), np.float32)
    factors[known], bias[known] = w[columns[known]], b[columns[known]]
    normaliser = np.zeros((len(h), 1), np.float32)
    if known.any():
        w_known, b_known = torch.from_numpy(factors[known]), torch.from_numpy(bias[known])
        for start in range(0, len(h), BLOCK):
            z = _logits(torch.from_numpy(h[start : start + BLOCK]), w_known, b_known)
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
