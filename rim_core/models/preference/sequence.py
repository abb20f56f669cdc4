"""What sequence models share: one training loop with early stopping, checkpoints and progress, one way to score."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rim_core.errors import Cancelled, ModelError
from rim_core.models.base import Preference, Progress
from rim_core.models.checkpoint import Checkpoint
from rim_core.models.preference.sequences import Sequences, batches_by_length
from rim_core.models.preference.softmax import (
    fast_dtype,
    negative_log_likelihood,
    sampled_softmax_loss,
    softmax_loss,
    softmax_scores,
)
from rim_core.scores import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.scores import FactorScores

HELD_OUT_EVENTS = 256
"""The held-out loss is over the last events of a user, a start token before the first."""
REPORT_SECONDS, CHECKPOINT_SECONDS = 0.5, 20.0
SCORING_TOKENS = 32_768


class Encoder(nn.Module):
    """A network from tokens to hidden states, with the output layer of eq. (1).

    Attributes
    ----------
    item : Embedding (n + 1, d)
        Row y is both the input embedding and the output weight w_y (tied); the last row is the start token.
    bias : Parameter (n,)
        b_y.
    """

    item: nn.Embedding
    bias: nn.Parameter

    def encode(
        self, tokens: torch.Tensor, gap: torch.Tensor, carry: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """h after every token, (B, L, d), and what to carry into the next chunk.

        Parameters
        ----------
        tokens, gap : int64 (B, L)
            Items, and the class of the time that passes after each before the event to predict.
        """
        raise NotImplementedError


@dataclass
class _Run:
    """Where a training stands."""

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    events: int = 0
    best_epoch: int = -1
    best_loss: float = math.inf
    history: list[list[float]] = field(default_factory=list)
    finished: bool = False


class SequencePreference(Preference):
    """A preference learned from next events: −log p(y_j | y_1 … y_{j−1}) over target events."""

    # Set by the constructors of subclasses.
    batch_tokens: int
    chunk: int
    max_history: int
    learning_rate: float
    weight_decay: float
    clip: float
    max_epochs: int
    patience: int
    held_out: float
    negatives: int
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self._network: Encoder | None = None

    @abstractmethod
    def _build(self, n: int) -> Encoder:
        """A network with fresh weights for n items; the caller has seeded torch."""

    # -- training ---------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        train = split.train
        start_token = train.shape[1]
        sequences = Sequences.of(train, train.column_of_item.astype(np.int64), start_token)
        teaching, held_out = self._hold_out(sequences)
        if not sequences.is_target.any() or len(teaching) == 0:
            raise ModelError(
                f"{self.name} found no target event to learn from: choose other target types or a later test window."
            )
        trainer = _Trainer(self, split, sequences, teaching, held_out, callback, checkpoint)
        self._network = trainer.run()
        run = trainer.state
        brief = "" if run.epoch < self.max_epochs or self.max_epochs >= 8 else " (brief training)"
        self.fit_info |= {
            "training": f"{run.epoch} of at most {self.max_epochs} epochs{brief}, "
            f"weights of epoch {run.best_epoch + 1}",
            "epochs": run.epoch,
            "held_out_users": len(held_out),
            "held_out_nll": run.best_loss if math.isfinite(run.best_loss) else None,
            "history": run.history,
        }

    def _hold_out(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Rows that teach and rows held out (a random share of the users with events)."""
        rows = np.flatnonzero(sequences.lengths > 1)
        shuffled = np.random.default_rng([self.seed, 1]).permutation(rows)
        count = int(self.held_out * len(rows))
        return np.sort(shuffled[count:]), np.sort(shuffled[:count])

    # -- scoring ----------------------------------------------------------------------------------------

    def encode(self, states: UserStates) -> np.ndarray:
        """h(x) of every state from its last ``max_history`` events, float32 (m, d)."""
        self._require_fit()
        assert self._network is not None
        assert self.item_ids is not None
        known = self._columns(states)
        token_of_item = np.full(len(states.log.items), -1, np.int64)
        token_of_item[states.item_codes] = known
        sequences = Sequences.of(states, token_of_item, len(self.item_ids), self.max_history)
        device = default_device()
        network = self._network.to(device).eval()
        h = np.zeros((len(states), network.item.embedding_dim), np.float32)
        lengths = sequences.lengths
        with torch.no_grad():
            for rows in batches_by_length(lengths, SCORING_TOKENS, self.max_history + 1):
                where, _ = sequences.window(rows, 0, int(lengths[rows[0]]))
                tokens, gap = (torch.from_numpy(a[where]).to(device) for a in (sequences.tokens, sequences.gap))
                hidden, _ = network.encode(tokens, gap, None)
                last = torch.from_numpy(lengths[rows] - 1).to(device)
                h[rows] = hidden[torch.arange(len(rows), device=device), last].cpu().numpy()
        return h

    def _preference(self, states: UserStates) -> FactorScores:
        assert self._network is not None
        w = self._network.item.weight.detach().cpu().numpy()[:-1]
        b = self._network.bias.detach().cpu().numpy()
        return softmax_scores(self.encode(states), w, b, self._columns(states), states)

    # -- artifacts --------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        assert self._network is not None
        return {key: t.detach().cpu().numpy() for key, t in self._network.state_dict().items()}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        assert self.item_ids is not None
        with torch.random.fork_rng(devices=[]):
            network = self._build(len(self.item_ids))
        try:
            network.load_state_dict({key: torch.from_numpy(np.array(w)) for key, w in weights.items()})
        except RuntimeError as error:
            raise ModelError(f"The weights do not fit the network of {self.name}") from error
        self._network = network.eval()


class _Trainer:
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
        for h, of, y in self._read(self.sequences, rows):
            if len(y) == 0:
                continue
            loss = self._loss(h, of, y)
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss / model.batch_tokens)
            nn.utils.clip_grad_norm_(network.parameters(), model.clip)
            self.optimiser.step()
            self.state.loss += float(loss.detach())
            self.state.events += len(y)

    def _loss(self, h: torch.Tensor, of: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        w, b = self.network.item.weight[:-1], self.network.bias
        if self.inclusion is None:
            return softmax_loss(h, w, b, of, y, self.dtype)
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        return sampled_softmax_loss(h, w, b, of, y, self.inclusion, generator, self.dtype)

    def _read(
        self, sequences: Sequences, rows: np.ndarray
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(h, of, y) of the target events of some users (longest first), chunk by chunk.

        h (U, d) is the state before every instant with targets, with gradient within the chunk; event i is item
        y[i] at instant of[i]. What goes on into the next chunk is cut off from the gradient: the network's state, and
        the h before an instant whose events lie on both sides of the border.
        """
        lengths = sequences.lengths[rows] - 1
        state, earlier = None, torch.zeros(len(rows), 1, self.network.item.embedding_dim, device=self.device)
        for begin in range(0, int(lengths[0]), self.model.chunk):
            active = rows[lengths > begin]
            end = min(begin + self.model.chunk, int(lengths[0]))
            where, inside = sequences.window(active, begin, end + 2)
            valid = (inside & sequences.is_target[where])[:, 1:-1]
            source = np.maximum(sequences.source[where] - where[:, :1] + 1, 0)  # 0: before this chunk
            tokens, gap = (torch.from_numpy(a[where]).to(self.device) for a in (sequences.tokens, sequences.gap))
            state = None if state is None else state[:, : len(active)].contiguous()
            hidden, state = self.network.encode(tokens[:, :-2], gap[:, :-2], state)
            hidden = torch.cat([earlier[: len(active)], hidden], dim=1)  # (B, 1 + L, d)
            row, place = np.nonzero(valid)
            states, of = np.unique(row * (end - begin + 1) + source[row, place + 1], return_inverse=True)
            h = hidden.flatten(0, 1)[torch.from_numpy(states).to(self.device)]
            yield h, torch.from_numpy(of).to(self.device), tokens[torch.from_numpy(row), torch.from_numpy(place + 1)]
            last = torch.from_numpy(np.minimum(source[:, -1], end - begin)).to(self.device)
            earlier = hidden.detach()[torch.arange(len(active), device=self.device), last][:, None]
            state = state.detach()

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Mean −log p per event of the held-out users; NaN without any."""
        network = self.network.eval()
        total, events = 0.0, 0
        w, b = network.item.weight[:-1], network.bias
        for rows in batches_by_length(self.held_out.lengths, SCORING_TOKENS, self.model.chunk):
            if self.held_out.lengths[rows[0]] < 2:
                continue
            for h, of, y in self._read(self.held_out, rows):
                total += negative_log_likelihood(h, w, b, of, y)
                events += len(y)
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
