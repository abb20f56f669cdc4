"""The training loop of sequence models: early stopping, checkpoints, progress, truncated back-propagation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rim_core.errors import Cancelled, ModelError
from rim_core.models.base import Progress
from rim_core.models.checkpoint import Checkpoint
from rim_core.models.preference.lessons import HorizonEvents, NextEvents
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
    from rim_core.models.preference.lessons import Lesson
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
        self.hide = model.max_history if model.hides else 0
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
        for epoch in range(self.state.epoch):  # of an earlier attempt, for whoever draws the whole course
            self._report_closed(epoch)
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
        lesson = self._lesson(self.sequences, run.epoch)
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
                self._batch(lesson, rows)
            run.batch = index + 1
            read += float((lengths[batches[index]] - 1).sum())
            now = time.monotonic()
            if now - self.saved > CHECKPOINT_SECONDS:
                self._save()
            if now - self.reported > REPORT_SECONDS:
                self._report(read)

    def _batch(self, lesson: Lesson, rows: np.ndarray) -> None:
        """All chunks of a group of users (longest first), one step a chunk."""
        network, model = self.network.train(), self.model
        for h, targets in self._read(lesson, rows):
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

    def _lesson(self, sequences: Sequences, epoch: int) -> Lesson:
        """What the states of these users are to predict in an epoch; −1 for the held-out ones."""
        model = self.model
        if model.objective == "next":
            return NextEvents(sequences, model.one_by_one)
        rng = np.random.default_rng([model.seed, 10, epoch + 1])
        return HorizonEvents(sequences, self.horizon, model.evenness, self.hide, rng)

    def _read(self, lesson: Lesson, rows: np.ndarray) -> Iterator[tuple[torch.Tensor, Targets]]:
        """The states of some users (longest first) and what each is to predict, chunk by chunk.

        h (U, d) has gradient within the chunk. What goes on into the next chunk is cut off from it: the network's
        state, and the h before an instant whose events lie on both sides of the border.
        """
        sequences = lesson.sequences
        lengths = sequences.lengths[rows] - 1
        carry, earlier = None, torch.zeros(len(rows), 1, self.network.item.embedding_dim, device=self.device)
        for begin in range(0, int(lengths[0]), self.model.chunk):
            active = rows[lengths > begin]
            end = min(begin + self.model.chunk, int(lengths[0]))
            where, inside = sequences.window(active, begin, end + 2)
            tokens, gap = (torch.from_numpy(a[where[:, :-2]]).to(self.device) for a in (sequences.tokens, lesson.gap))
            carry = None if carry is None else carry[:, : len(active)].contiguous()
            hidden, carry = self.network.encode(tokens, gap, carry)
            hidden = torch.cat([earlier[: len(active)], hidden], dim=1)  # (B, 1 + L, d)
            places, targets = lesson.chunk(active, where, inside)
            yield hidden.flatten(0, 1)[torch.from_numpy(places).to(self.device)], targets.to(self.device)
            last = torch.from_numpy(lesson.last(where)).to(self.device)
            earlier = hidden.detach()[torch.arange(len(active), device=self.device), last][:, None]
            carry = carry.detach()

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Mean −log p per event of the held-out users; NaN without any."""
        network, lesson = self.network.eval(), self._lesson(self.held_out, -1)
        total, events = 0.0, 0.0
        w, b = network.item.weight[:-1], network.bias
        for rows in batches_by_length(self.held_out.lengths, READING_TOKENS, self.model.chunk):
            if self.held_out.lengths[rows[0]] < 2:
                continue
            for h, targets in self._read(lesson, rows):
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
        self._report_closed(run.epoch - 1)

    # -- progress and checkpoints -------------------------------------------------------------------------

    def _report(self, read: float) -> None:
        run = self.state
        metrics = {"epoch": run.epoch + 1, "train_loss": run.loss / run.events} if run.events else {}
        self.reported = time.monotonic()
        self._say(run.epoch, run.epoch * self.work + read, metrics)

    def _report_closed(self, epoch: int) -> None:
        """The figures of an epoch that is over; those of the held-out users are known only now."""
        train_loss, held_out_loss = self.state.history[epoch]
        metrics = {"epoch": epoch + 1, "train_loss": train_loss}
        if math.isfinite(held_out_loss):
            metrics["heldout_loss"] = held_out_loss
        self._say(epoch, (epoch + 1) * self.work, metrics)

    def _say(self, epoch: int, read: float, metrics: dict[str, float]) -> None:
        model = self.model
        stage = f"{model.name}: epoch {epoch + 1} of at most {model.max_epochs}"
        self.callback(Progress(stage, read, model.max_epochs * self.work, metrics))

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
