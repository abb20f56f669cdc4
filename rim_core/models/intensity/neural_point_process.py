"""NeuralPointProcess: an encoder of the whole history of waiting times, trained on what the horizon brought (eq. 6)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rim_core.datasets.log import SECOND
from rim_core.datasets.states import expand_ranges
from rim_core.errors import ModelError
from rim_core.models.base import Intensity, Progress
from rim_core.models.preference.sequences import GAPS, batches_by_length, gap_class
from rim_core.scores import default_device

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

BATCH_EVENTS, SCORING_EVENTS = 8192, 65_536
EARLIEST = 1.0
"""A labelled state is learned from at random times up to so many horizons before its own."""
HELD_OUT = 0.2
STEPS = 24
"""Optimiser steps of an epoch at least, where there are as many states."""
ABOUT, PACE = 4, 3
"""Numbers told about a state beside its waiting times, and the place of its log pace among them."""
PATIENCE = 3


class NeuralPointProcess(Intensity):
    """Λ(x) = pace(x)^a · exp(f(h(x), age of the last event)), h a GRU over the times between the visible events.

    Nothing is assumed about how past events act, as Hawkes processes do; training starts from the pace of all visible
    events. Learned by the Poisson likelihood of the
    target events of the horizon, at the labelled states and random times before them. Users who are held out tell when
    to stop. One factor makes the total over ``split.labelled`` what really happened there.

    Parameters
    ----------
    dim : int
        Width of the hidden state.
    max_history : int
        Most recent events read.
    repeats : int
        Random earlier times of every labelled state.
    max_states : int
        States learned from at most (drawn at random).
    learning_rate : float
        Peak rate of Adam, falling with a cosine.
    max_epochs : int
    seed : int

    Raises
    ------
    ModelError
        A setting is not positive.
    """

    def __init__(
        self,
        dim: int = 32,
        max_history: int = 128,
        repeats: int = 4,
        max_states: int = 20_000,
        learning_rate: float = 3e-3,
        max_epochs: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(dim, max_history, max_states, learning_rate, max_epochs) <= 0 or repeats < 0:
            raise ModelError("Settings of NeuralPointProcess must be positive, repeats not negative.")
        self.dim = dim
        self.max_history = max_history
        self.repeats = repeats
        self.max_states = max_states
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.seed = seed
        self._network: _Network | None = None
        self._horizon = 0
        self._factor = 1.0

    # -- training ---------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        labelled = split.labelled
        self._horizon, self._factor = labelled.horizon, 1.0
        states = self._earlier(labelled)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._network = _Network(self.dim)
            pace = np.exp(_Histories(states, 1, self._horizon).about[:, PACE].astype(float)).sum()
            self._network.start_at(float(states.target_counts.sum()) / pace if len(states) else 0.0)
            epochs, best = self._learn(states, callback)
        expected, happened = float(self._intensity(labelled).sum()), float(labelled.target_counts.sum())
        self._factor = happened / expected if expected > 0 else 1.0
        self.fit_info["training"] = f"{epochs} epochs over {len(states):,} user-states, weights of epoch {best + 1}"

    def _earlier(self, labelled: UserStates) -> UserStates:
        rng = np.random.default_rng([self.seed, 7])
        back = rng.uniform(0, EARLIEST * labelled.horizon, (self.repeats, len(labelled))).astype(np.int64)
        time = np.concatenate([labelled.time, (labelled.time - back).ravel()])
        states = replace(labelled, user=np.tile(labelled.user, 1 + self.repeats), time=time)
        if len(states) <= self.max_states:
            return states
        return states.take(np.sort(rng.choice(len(states), self.max_states, replace=False)))

    def _learn(self, states: UserStates, callback: Callback) -> tuple[int, int]:
        """Epochs made, and the best of them."""
        assert self._network is not None
        device = default_device()
        network = self._network.to(device)
        histories = _Histories(states, self.max_history, self._horizon)
        counts = torch.from_numpy(states.target_counts).float().to(device)
        users = np.random.default_rng([self.seed, 8]).permutation(np.unique(states.user))
        held_out = np.isin(states.user, users[: int(HELD_OUT * len(users))])
        teaching, testing = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        events = int(min(BATCH_EVENTS, histories.lengths[teaching].sum() // STEPS + 1))
        best, best_epoch, kept, epoch = math.inf, -1, network.state(), 0
        for epoch in range(self.max_epochs):
            rng = np.random.default_rng([self.seed, 9, epoch])
            batches = histories.batches(teaching, events, rng)
            for i, rows in enumerate(batches):
                rate = 0.5 * (1 + math.cos(math.pi * (epoch + i / len(batches)) / self.max_epochs))
                optimiser.param_groups[0]["lr"] = self.learning_rate * max(rate, 0.02)
                loss = _poisson(network(*histories.tensors(rows, device)), counts[rows]).mean()
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
            loss_now = self._loss(histories, testing, counts)
            callback(Progress(f"{self.name}: epoch {epoch + 1}", epoch + 1, self.max_epochs + 1, {"epoch": epoch + 1}))
            if loss_now < best or math.isnan(loss_now):
                best, best_epoch, kept = loss_now, epoch, network.state()
            elif epoch - best_epoch >= PATIENCE:
                break
        network.load_state_dict(kept)
        return epoch + 1, best_epoch

    def _loss(self, histories: _Histories, rows: np.ndarray, counts: torch.Tensor) -> float:
        """Mean Poisson loss of some states; NaN without any."""
        if len(rows) == 0:
            return math.nan
        return float(_poisson(self._predict(histories, rows, counts.device), counts[rows]).mean())

    @torch.no_grad()
    def _predict(self, histories: _Histories, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """log Λ of some states, float32 (len(rows),)."""
        assert self._network is not None
        out = torch.zeros(len(histories), device=device)
        for batch in histories.batches(rows, SCORING_EVENTS, None):
            out[batch] = self._network(*histories.tensors(batch, device))
        return out[rows]

    # -- scoring ----------------------------------------------------------------------------------------

    def _intensity(self, states: UserStates) -> np.ndarray:
        """O(E · dim²) for the last ``max_history`` events of every state."""
        assert self._network is not None
        device = default_device()
        self._network.to(device)
        histories = _Histories(states, self.max_history, self._horizon)
        log = self._predict(histories, np.arange(len(states)), device).cpu().numpy()
        expected: np.ndarray = np.exp(log.astype(float)) * (self._factor * states.horizon / max(self._horizon, 1))
        return expected

    # -- artifacts --------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        assert self._network is not None
        arrays = {f"network.{key}": tensor.cpu().numpy() for key, tensor in self._network.state_dict().items()}
        return {**arrays, "horizon": np.array([self._horizon], np.int64), "factor": np.array([self._factor])}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._horizon, self._factor = int(weights["horizon"][0]), float(weights["factor"][0])
        with torch.random.fork_rng(devices=[]):
            self._network = _Network(self.dim)
        parts = {k.removeprefix("network."): w for k, w in weights.items() if k.startswith("network.")}
        try:
            self._network.load_state_dict({key: torch.from_numpy(np.array(w)) for key, w in parts.items()})
        except RuntimeError as error:
            raise ModelError(f"The weights do not fit the network of {self.name}") from error


class _Network(nn.Module):
    """log Λ from the waiting times before each event, and the one that has passed since the last."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.waiting = nn.Embedding(GAPS, dim)
        self.kind = nn.Embedding(2, dim)
        self.slope = nn.Parameter(torch.zeros(dim))
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.age = nn.Embedding(GAPS, dim)
        self.hidden = nn.Linear(2 * dim + ABOUT - 1, dim)
        self.out = nn.Linear(dim, 1)
        self.power = nn.Parameter(torch.ones(()))

    @torch.no_grad()
    def start_at(self, factor: float) -> None:
        """Everyone's expectation before training, by her pace."""
        self.out.weight.mul_(0.1)
        self.out.bias.fill_(math.log(max(factor, 1e-6)))

    def state(self) -> dict[str, torch.Tensor]:
        return {key: tensor.detach().clone() for key, tensor in self.state_dict().items()}

    def forward(
        self, gap: torch.Tensor, log_gap: torch.Tensor, kind: torch.Tensor, last: torch.Tensor, about: torch.Tensor
    ) -> torch.Tensor:
        x = self.waiting(gap) + self.kind(kind) + log_gap[..., None] * self.slope  # (B, L, d)
        hidden, _ = self.gru(x)
        h = hidden[torch.arange(len(last), device=last.device), last]  # (B, d)
        age = self.age(about[:, 0].long())
        both = torch.cat([h, age, about[:, 1:]], dim=1)
        log: torch.Tensor = self.out(torch.tanh(self.hidden(both)))[:, 0] + self.power * about[:, PACE]
        return log.clamp(-15, 15)


class _Histories:
    """Waiting times of the last events of every state, a start before them.

    Parameters
    ----------
    horizon : int
        What times are measured in: that of the training, whatever the states are asked for.
    """

    def __init__(self, states: UserStates, max_history: int, horizon: int) -> None:
        horizon = max(horizon, 1)
        times = states.log.arrays.time
        row, event = expand_ranges(np.maximum(states.start, states.stop - max_history), states.stop)
        count = np.bincount(row, minlength=len(states))
        self.offsets = np.concatenate([[0], np.cumsum(count + 1)]).astype(np.int64)
        self.lengths = count + 1
        place = np.arange(len(row)) + row + 1
        waited = np.zeros(self.offsets[-1], np.int64)
        whole = event > states.start[row]  # the first event of all waited for nothing
        waited[place[whole]] = times[event[whole]] - times[event[whole] - 1]
        self.gap = np.zeros(self.offsets[-1], np.int64)
        self.gap[place[whole]] = gap_class(waited[place[whole]])
        self.log_gap = np.log1p(waited / horizon * 1000).astype(np.float32)
        self.kind = np.zeros(self.offsets[-1], np.int64)
        self.kind[place] = states.is_target_event[event]
        known = states.stop > states.start
        age = np.where(known, states.time - times[np.maximum(states.stop - 1, 0)], 0)
        about = np.zeros((len(states), ABOUT), np.float32)
        first = np.where(known, states.time - times[np.minimum(states.start, len(times) - 1)], 0)
        about[:, PACE] = np.log((states.stop - states.start + 1) / (first / horizon + 1))
        about[:, 0] = np.where(known, gap_class(age), 0)
        about[:, 1] = np.log1p(age / horizon * 1000) / 10
        about[:, 2] = np.log(np.maximum(age, 1) / SECOND) / 10 * known
        self.about = about

    def __len__(self) -> int:
        return len(self.lengths)

    def batches(self, rows: np.ndarray, events: int, rng: np.random.Generator | None) -> list[np.ndarray]:
        longest = int(self.lengths[rows].max(initial=1))
        return [rows[part] for part in batches_by_length(self.lengths[rows], events, longest, rng)]

    def tensors(self, rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Inputs of the network for some states (longest first)."""
        where = self.offsets[rows][:, None] + np.arange(int(self.lengths[rows[0]]))
        where = np.where(where < self.offsets[rows + 1][:, None], where, 0)
        arrays = (self.gap[where], self.log_gap[where], self.kind[where], self.lengths[rows] - 1, self.about[rows])
        return tuple(torch.from_numpy(a).to(device) for a in arrays)


def _poisson(log: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return log.exp() - counts * log
