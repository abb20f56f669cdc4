"""GraphConv: users as graph-convolved sums of their items, a recency bias, two-sided BPR (Appendix B; GCMC there)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rim_core.errors import ModelError
from rim_core.models.affinity.factors import link_ahead, softplus_scores
from rim_core.models.affinity.histories import decayed_counts, entries
from rim_core.models.base import Model, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from scipy import sparse

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.scores import FactorScores

RECENCY = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Borders of the recency classes, in horizons since the last event."""
ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Period:
    """Labelled states of one window as arrays.

    Attributes
    ----------
    history : csr_matrix (m, n)
    recency : ndarray of int64 (m,)
        Class of the time since the last event.
    rows, columns : ndarray of int64 (P,)
        Target events (repeated as often as they happened).
    states, items : ndarray of float64
        Probability of every state and item as a negative, ∝ (count + 1)^0.5.
    """

    history: sparse.csr_matrix
    recency: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    states: np.ndarray
    items: np.ndarray


class _Network(nn.Module):
    def __init__(self, items: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.item = nn.Parameter(torch.empty(items, dim).uniform_(-0.1, 0.1, generator=generator))
        self.convolution = nn.Parameter(torch.empty(dim, dim).uniform_(-0.1, 0.1, generator=generator))
        self.shift = nn.Parameter(torch.zeros(dim))
        self.gain = nn.Parameter(torch.ones(dim))
        self.offset = nn.Parameter(torch.zeros(dim))
        self.item_bias = nn.Parameter(torch.zeros(items))
        self.recency_bias = nn.Parameter(torch.zeros(len(RECENCY) + 1))

    def users(self, history: sparse.csr_matrix) -> torch.Tensor:
        """LayerNorm(Σ counts · item · convolution + shift), (m, d)."""
        summed = functional.embedding_bag(
            torch.from_numpy(history.indices.astype(np.int64)),
            self.item,
            torch.from_numpy(history.indptr[:-1].astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(history.data.astype(np.float32)),
        )
        out: torch.Tensor = functional.layer_norm(
            summed @ self.convolution + self.shift, self.shift.shape, self.gain, self.offset
        )
        return out


class GraphConv(Model):
    """z = LayerNorm(conv(history)) · w(y) + recency bias(x) + b(y), trained to rank both ways (Appendix B).

    The labels are the targets of the last labelled window. For every event the loss compares it with negative items
    and negative states drawn ∝ (count + 1)^0.5. Scores are a · softplus(k z + s), see :class:`Factorisation`.

    Parameters
    ----------
    factors : int
    epochs : int
    learning_rate : float
        Of Adagrad.
    batch : int
        Target events a step.
    negatives : int
        Of each kind, per event.
    weight_decay : float
    seed : int
    """

    unit: ClassVar[str] = "expected interactions in the horizon: a · softplus(k z + s) of the network's output z"

    def __init__(
        self,
        factors: int = 32,
        epochs: int = 15,
        learning_rate: float = 0.1,
        batch: int = 4096,
        negatives: int = 4,
        weight_decay: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(factors, epochs, batch, negatives) < 1 or learning_rate <= 0:
            raise ModelError(f"The settings of {type(self).__name__} must be positive.")
        self.factors = factors
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch = batch
        self.negatives = negatives
        self.weight_decay = weight_decay
        self.seed = seed
        self._horizon = 1
        self._link = np.array([1.0, 1.0, 0.0])
        self._network: _Network | None = None

    # -- training -------------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._horizon = max(split.labelled.horizon, 1)
        windows = [w for w in self._windows(split) if w.targets.sum() > 0]
        generator = torch.Generator().manual_seed(self.seed)
        self._network = _Network(len(split.items), self.factors, generator)
        if windows:
            self._train([self._period(w) for w in windows], callback)
        self._link, self.fit_info["ahead"] = link_ahead(self._factors, split, self.seed)
        events = sum(int(w.targets.sum()) for w in windows)
        self.fit_info["training"] = f"{self.epochs} epochs on {events:,} target events of {len(windows)} window(s)"

    def _windows(self, split: Split) -> list[UserStates]:
        """The last labelled window."""
        labelled = split.labelled
        if split.config.get("by") == "user":
            return [labelled]
        return [labelled.take(labelled.time == labelled.time.max())] if len(labelled) else []

    def _period(self, states: UserStates) -> Period:
        rows, columns = entries(states.targets)
        times = states.targets.data.astype(np.int64)
        rows, columns = np.repeat(rows, times), np.repeat(columns, times)
        proposals = [
            np.sqrt(np.bincount(x, minlength=n) + 1.0) for x, n in zip((rows, columns), states.shape, strict=True)
        ]
        return Period(
            decayed_counts(states, targets_only=False),
            self._recency(states),
            rows,
            columns,
            proposals[0] / proposals[0].sum(),
            proposals[1] / proposals[1].sum(),
        )

    def _train(self, periods: list[Period], callback: Callback) -> None:
        assert self._network is not None
        rng = np.random.default_rng([self.seed, 17])
        optimizer = torch.optim.Adagrad(
            self._network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, eps=1e-3
        )
        for epoch in range(self.epochs):
            steps = [
                (period, part)
                for period in periods
                for part in np.array_split(rng.permutation(len(period.rows)), -(-len(period.rows) // self.batch))
            ]
            total = 0.0
            for at in rng.permutation(len(steps)):
                period, part = steps[at]
                loss = self._loss(period, part, rng)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += float(loss.detach())
            done = 0.95 * (epoch + 1) / self.epochs
            callback(Progress(f"{self.name}: epochs", done, 1.0, {"loss": total / len(steps), "epoch": epoch + 1.0}))

    def _loss(self, period: Period, part: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        net = self._network
        assert net is not None
        i, j = period.rows[part], period.columns[part]
        other_states = rng.choice(len(period.states), (self.negatives, len(part)), p=period.states)
        other_items = torch.from_numpy(rng.choice(len(period.items), (self.negatives, len(part)), p=period.items))
        used, where = np.unique(np.concatenate([i, other_states.ravel()]), return_inverse=True)
        h = net.users(period.history[used])
        bias = net.recency_bias[torch.from_numpy(period.recency[used])]
        mine, others = torch.from_numpy(where[: len(i)]), torch.from_numpy(where[len(i) :].reshape(other_states.shape))
        item = torch.from_numpy(j)
        w = net.item[item]
        z = (h[mine] * w).sum(-1) + bias[mine] + net.item_bias[item]
        z_states = (h[others] * w).sum(-1) + bias[others] + net.item_bias[item]
        z_items = (h[mine] * net.item[other_items]).sum(-1) + bias[mine] + net.item_bias[other_items]
        loss: torch.Tensor = -(functional.logsigmoid(z - z_states).mean() + functional.logsigmoid(z - z_items).mean())
        return loss / 2

    # -- scoring --------------------------------------------------------------------------------------------

    def _recency(self, states: UserStates) -> np.ndarray:
        """Class of the time since the last visible event; the last class where there is none. int64 (m,)"""
        times = states.log.arrays.time
        some = states.stop > states.start
        last = times[np.maximum(states.stop, 1) - 1]
        since = np.where(some, (states.time - last) / self._horizon, np.inf)
        classes: np.ndarray = np.searchsorted(np.array(RECENCY), since, side="left").astype(np.int64)
        return classes

    @torch.no_grad()
    def _factors(self, states: UserStates) -> tuple[np.ndarray, np.ndarray]:
        """([LayerNorm(conv), recency bias, 1], [w, 1, b]) of states and of the model's own items."""
        net = self._network
        assert net is not None
        assert self.item_ids is not None
        own = states.with_items(states.log.items.index.get_indexer(self.item_ids))
        history = decayed_counts(own, targets_only=False)
        parts = [net.users(history[a : a + ROWS_AT_ONCE]) for a in range(0, len(states), ROWS_AT_ONCE)]
        h = torch.cat(parts).numpy() if parts else np.empty((0, self.factors), np.float32)
        bias = net.recency_bias.numpy()[self._recency(states)]
        one = np.ones((len(net.item), 1), np.float32)
        w = np.concatenate([net.item.numpy(), one, net.item_bias.numpy()[:, None]], axis=1)
        return np.concatenate([h, bias[:, None], np.ones((len(h), 1), np.float32)], axis=1), w

    def _score(self, states: UserStates) -> FactorScores:
        h, w = self._factors(states)
        return softplus_scores(h, w, self._link, self._columns(states), states, self._horizons(states))

    def _weights(self) -> dict[str, np.ndarray]:
        assert self._network is not None
        network = {f"network.{k}": v.numpy() for k, v in self._network.state_dict().items()}
        return {**network, "link": self._link, "horizon": np.array([self._horizon], np.int64)}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        assert self.item_ids is not None
        self._link, self._horizon = weights["link"], int(weights["horizon"][0])
        self._network = _Network(len(self.item_ids), self.factors, torch.Generator().manual_seed(0))
        state = {
            k.removeprefix("network."): torch.from_numpy(v) for k, v in weights.items() if k.startswith("network.")
        }
        self._network.load_state_dict(state)


class GraphConvExtra(GraphConv):
    """GraphConv on several periods: every labelled window, or in a split by user half horizons around T.

    Parameters
    ----------
    factors, epochs, learning_rate, batch, negatives, weight_decay, seed
        See :class:`GraphConv`.
    """

    @property
    def name(self) -> str:
        return "GraphConv-Extra"

    def _windows(self, split: Split) -> list[UserStates]:
        labelled = split.labelled
        if split.config.get("by") == "user":
            half = labelled.horizon // 2
            return [replace(labelled, time=labelled.time + j * half) for j in (-1, 0, 1, 2)]
        return [labelled.take(labelled.time == t) for t in np.unique(labelled.time)]
