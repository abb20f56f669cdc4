"""The training loop of sequence models: early stopping, checkpoints, progress, truncated back-propagation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rim_core.datasets.states import expand_ranges
from rim_core.errors import Cancelled, ModelError
from rim_core.models.base import Progress
from rim_core.models.checkpoint import Checkpoint
from rim_core.models.preference.sequences import batches_by_length
from rim_core.models.preference.softmax import (
    Targets,
    fast_dtype,
    negative_log_likelihood,
    sampled_softmax_loss,
    softmax_loss,
)
from rim_core.scores import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.models.base import Callback
    from rim_core.models.preference.sequence import Encoder, SequencePreference
    from rim_core.models.preference.sequences import Sequences

HELD_OUT_EVENTS = 256
"""The held-out loss is over the last events of a user, a start token before the first."""
REPORT_SECONDS, CHECKPOINT_SECONDS = 0.5, 20.0
READING_TOKENS = 32_768
"""Tokens read at once where no gradient is wanted."""


@dataclass
class _Run:
    """Where a training stands."""

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    events: float = 0.0
    best_epoch: int = -1
    best_loss: float = math.inf
    history: list[list[float]] = field(default_factory=list)
    finished: bool = False


class Trainer:
    """One training, from fresh weights or a checkpoint to the best weights.

    An epoch visits every teaching user once. A batch is a group of users of similar length; it is read in chunks
    of ``chunk`` tokens, one optimiser step a chunk, and the hidden state is carried from chunk to chunk
    (truncated back-propagation). All randomness of a batch comes from (seed, epoch, batch), so a resumed training
    takes the same steps.
    """

    def __init__(
        self,
        model: SequencePreference,
        split: Split,
        sequences: Sequences,
        teaching: np.ndarray,
        held_out: np.ndarray,
        callback: Callback,
        checkpoint: Path | None,
    ) -> None:
        self.model, self.sequences, self.teaching = model, sequences, teaching
        self.callback, self.folder = callback, checkpoint
        self.identity = {"config": model.get_config(), "data": dict(model.fit_info)}
        self.device = default_device()
        self.dtype = fast_dtype(self.device)
        self.state = _Run()
        self.horizon = split.test.horizon
        self.ends: dict[int, np.ndarray] = {}
        self.hide_seen = model.hide_seen and split.test.exclude_seen
        n = sequences.start_token
        teaches = np.repeat(np.isin(np.arange(len(sequences)), teaching), sequences.lengths)
        counts = np.bincount(sequences.tokens[sequences.is_target & teaches], minlength=n)[:n].astype(float)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(model.seed)
            self.network = model._build(n)
        with torch.no_grad():  # start from popularity
            self.network.bias.copy_(torch.from_numpy(np.log((counts + 1.0) / (counts.sum() + n))))
        self.network.to(self.device)
        self.inclusion = self._inclusion(counts)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": model.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=model.learning_rate, fused=True)
        self.best = {k: t.detach().clone() for k, t in self.network.state_dict().items()}
        self.held_out = sequences.take(held_out, HELD_OUT_EVENTS)
        self.work = float((sequences.lengths[teaching] - 1).sum())
        self.saved = self.reported = time.monotonic()

    def _inclusion(self, counts: np.ndarray) -> torch.Tensor | None:
        """π of every item when the softmax is sampled; None when it is full."""
        wanted = self.model.negatives
        if wanted <= 0 or len(counts) <= 2 * wanted:
            return None
        share = (counts + 1.0) ** 0.75
        return torch.from_numpy(np.minimum(1.0, wanted * share / share.sum())).float()

    def run(self) -> Encoder:
        self._resume()
        while not self.state.finished:
            try:
                self._epoch()
            except Cancelled:
                self._save()
                raise
            self._close_epoch()
        self.network.load_state_dict(self.best)
        return self.network.eval()

    # -- one epoch --------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        model, run = self.model, self.state
        rng = np.random.default_rng([model.seed, 2, run.epoch])
        lengths = self.sequences.lengths[self.teaching]
        batches = batches_by_length(lengths, model.batch_tokens, model.chunk, rng)
        self._report(0.0)
        read = float(sum((lengths[b] - 1).sum() for b in batches[: run.batch]))
        for index in range(run.batch, len(batches)):
            rows = self.teaching[batches[index]]
            progress = (run.epoch + index / len(batches)) / model.max_epochs
            for group in self.optimiser.param_groups:
                group["lr"] = model.learning_rate * _schedule(progress)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(np.random.default_rng([model.seed, 3, run.epoch, index]).integers(2**62)))
                self._batch(rows)
            run.batch = index + 1
            read += float((lengths[batches[index]] - 1).sum())
            now = time.monotonic()
            if now - self.saved > CHECKPOINT_SECONDS:
                self._save()
            if now - self.reported > REPORT_SECONDS:
                self._report(read)

    def _batch(self, rows: np.ndarray) -> None:
        """All chunks of a group of users (longest first), one step a chunk."""
        network, model = self.network.train(), self.model
        for h, targets in self._read(self.sequences, rows):
            if len(targets) == 0:
                continue
            loss = self._loss(h, targets)
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss / model.batch_tokens)
            nn.utils.clip_grad_norm_(network.parameters(), model.clip)
            self.optimiser.step()
            self.state.loss += float(loss.detach())
            self.state.events += targets.total

    def _loss(self, h: torch.Tensor, targets: Targets) -> torch.Tensor:
        w, b = self.network.item.weight[:-1], self.network.bias
        if self.inclusion is None:
            return softmax_loss(h, w, b, targets, self.dtype)
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        return sampled_softmax_loss(h, w, b, targets, self.inclusion, generator, self.dtype)

    def _read(self, sequences: Sequences, rows: np.ndarray) -> Iterator[tuple[torch.Tensor, Targets]]:
        """What some users (longest first) are to predict, chunk by chunk, and the states to predict it from.

        h (U, d) has gradient within the chunk. What goes on into the next chunk is cut off from it: the network's
        state, and the h before an instant whose events lie on both sides of the border.
        """
        lengths = sequences.lengths[rows] - 1
        carry, earlier = None, torch.zeros(len(rows), 1, self.network.item.embedding_dim, device=self.device)
        for begin in range(0, int(lengths[0]), self.model.chunk):
            active = rows[lengths > begin]
            end = min(begin + self.model.chunk, int(lengths[0]))
            where, inside = sequences.window(active, begin, end + 2)
            source = np.maximum(sequences.source[where] - where[:, :1] + 1, 0)  # 0: before this chunk
            tokens, gap = (torch.from_numpy(a[where]).to(self.device) for a in (sequences.tokens, sequences.gap))
            carry = None if carry is None else carry[:, : len(active)].contiguous()
            hidden, carry = self.network.encode(tokens[:, :-2], gap[:, :-2], carry)
            hidden = torch.cat([earlier[: len(active)], hidden], dim=1)  # (B, 1 + L, d)
            choose = self._next_events if self.model.objective == "next" else self._horizon_events
            states, targets = choose(sequences, active, where, inside, source)
            yield hidden.flatten(0, 1)[torch.from_numpy(states).to(self.device)], targets
            last = torch.from_numpy(np.minimum(source[:, -1], end - begin)).to(self.device)
            earlier = hidden.detach()[torch.arange(len(active), device=self.device), last][:, None]
            carry = carry.detach()

    def _next_events(
        self, sequences: Sequences, rows: np.ndarray, where: np.ndarray, inside: np.ndarray, source: np.ndarray
    ) -> tuple[np.ndarray, Targets]:
        """Places in (B, 1 + L) before every instant with targets, and the events of that instant."""
        valid = (inside & sequences.is_target[where])[:, 1:-1]
        row, place = np.nonzero(valid)
        states, of = np.unique(row * (where.shape[1] - 1) + source[row, place + 1], return_inverse=True)
        return states, Targets(self._tensor(of), self._tensor(sequences.tokens[where[row, place + 1]]))

    def _horizon_events(
        self, sequences: Sequences, rows: np.ndarray, where: np.ndarray, inside: np.ndarray, source: np.ndarray
    ) -> tuple[np.ndarray, Targets]:
        """Places in (B, 1 + L) after which time passes, and the events of the horizon that begins with the next one."""
        begins = inside[:, 1:-1] & (source[:, 1:-1] == np.arange(1, where.shape[1] - 1))
        row, place = np.nonzero(begins)
        at = where[row, place]  # the last token of each state
        of, event = expand_ranges(at + 1, self._until(sequences)[at])
        kept = sequences.is_target[event]
        hidden = None
        if self.hide_seen:
            kept &= sequences.first[event] > at[of]
            first = np.maximum(sequences.offsets[rows[row]] + 1, at + 1 - self.model.max_history)
            state, token = expand_ranges(first, at + 1)
            hidden = self._tensor(state), self._tensor(sequences.tokens[token])
        of, item = of[kept], sequences.tokens[event[kept]]
        count = np.bincount(of, minlength=len(at)).astype(np.float32)
        weight = np.maximum(count, 1.0)[of] ** -self.model.evenness
        targets = Targets(self._tensor(of), self._tensor(item), self._tensor(weight), hidden)
        return row * (where.shape[1] - 1) + place + 1, targets

    def _until(self, sequences: Sequences) -> np.ndarray:
        if id(sequences) not in self.ends:
            self.ends[id(sequences)] = sequences.until(self.horizon)
        return self.ends[id(sequences)]

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Mean −log p per event of the held-out users; NaN without any."""
        network = self.network.eval()
        total, events = 0.0, 0.0
        w, b = network.item.weight[:-1], network.bias
        for rows in batches_by_length(self.held_out.lengths, READING_TOKENS, self.model.chunk):
            if self.held_out.lengths[rows[0]] < 2:
                continue
            for h, targets in self._read(self.held_out, rows):
                total += negative_log_likelihood(h, w, b, targets)
                events += targets.total
        return total / events if events else math.nan

    def _close_epoch(self) -> None:
        run = self.state
        train_loss, held_out_loss = run.loss / max(run.events, 1), self._held_out_loss()
        if not math.isfinite(train_loss):
            raise ModelError(f"{self.model.name} diverged in epoch {run.epoch + 1}: lower learning_rate or clip.")
        run.history.append([train_loss, held_out_loss])
        if held_out_loss < run.best_loss or math.isnan(held_out_loss):
            run.best_epoch, run.best_loss = run.epoch, held_out_loss
            self.best = {k: t.detach().clone() for k, t in self.network.state_dict().items()}
        run.epoch, run.batch, run.loss, run.events = run.epoch + 1, 0, 0.0, 0
        run.finished = run.epoch >= self.model.max_epochs or run.epoch - 1 - run.best_epoch >= self.model.patience
        self._save()

    # -- progress and checkpoints -------------------------------------------------------------------------

    def _report(self, read: float) -> None:
        run, model = self.state, self.model
        metrics: dict[str, float] = {"epoch": run.epoch + 1}
        if run.events:
            metrics["train_loss"] = run.loss / run.events
        if run.history and math.isfinite(run.history[-1][1]):
            metrics["heldout_loss"] = run.history[-1][1]
        stage = f"{model.name}: epoch {run.epoch + 1} of at most {model.max_epochs}"
        self.reported = time.monotonic()
        self.callback(Progress(stage, run.epoch * self.work + read, model.max_epochs * self.work, metrics))

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.folder is None:
            return
        tensors = {f"network.{k}": t for k, t in self.network.state_dict().items()}
        tensors |= {f"best.{k}": t for k, t in self.best.items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        Checkpoint(self.identity, vars(self.state), tensors).save(self.folder)

    def _resume(self) -> None:
        found = None if self.folder is None else Checkpoint.load(self.folder, self.identity)
        if found is None:
            return
        self.state = _Run(**found.state)
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for key, tensor in found.tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = tensor
        self.network.load_state_dict(parts["network"])
        self.best = parts["best"]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in parts["optimiser"].items():
            index, _, slot = name.partition(".")
            state.setdefault(int(index), {})[slot] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def _schedule(progress: float) -> float:
    """Learning rate relative to its peak: linear warm-up over 5 %, then a cosine to a twentieth."""
    if progress < 0.05:
        return 0.1 + 0.9 * progress / 0.05
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.05) / 0.95))
