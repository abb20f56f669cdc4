"""What sequence models share: one training loop with early stopping, checkpoints and progress, one way to score."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from rim_core.errors import ModelError
from rim_core.models.base import Preference
from rim_core.models.preference.sequences import Sequences, batches_by_length
from rim_core.models.preference.sharpness import Logits, fit_powers, states_to_fit
from rim_core.models.preference.softmax import softmax_scores
from rim_core.models.preference.trainer import READING_TOKENS, Trainer
from rim_core.scores import default_device

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.scores import FactorScores

Objective = Literal["next", "horizon"]
Reader = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From tokens, gaps and places to states, as :meth:`Encoder.last`."""


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
    tokens_at_once: int = READING_TOKENS
    """Read at once where states are scored."""

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

    def last(self, tokens: torch.Tensor, gap: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """h after one token of each row, (B, d): what ``encode`` says there, without the work for the others.

        Parameters
        ----------
        place : int64 (B,)
        """
        raise NotImplementedError

    def reader(self, tokens: int) -> Reader:
        """:meth:`last` for batches of so many tokens in all: what is the same for all of them may be found first."""
        return self.last


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

    objective: Objective = "next"
    """Learn from the next event of every state, or from all events of the horizon that begins with it."""
    one_by_one: bool = False
    """Of the next event: whether events of one instant are predicted one after the other."""
    evenness: float = 0.5
    """Of the horizon: 0 counts every event the same, 1 every state."""
    hide_seen: bool = False
    """Whether p is over the items not seen yet where the split forbids the others."""

    def __init__(self) -> None:
        super().__init__()
        self._network: Encoder | None = None
        self._power = 1.0

    @property
    def hides(self) -> bool:
        """Whether p was learned over the items not seen yet: the split it was trained on forbids the others."""
        return self.hide_seen and bool(self.fit_info["split"].get("exclude_seen"))

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
        trainer = Trainer(self, split, sequences, teaching, held_out, callback, checkpoint)
        self._network = trainer.run()
        self._power = 1.0
        if self.objective == "horizon":
            states = states_to_fit(split, train.user[held_out], start_token, self.seed)
            self._power = float(fit_powers([self.logits(states)], states, self.hides)[0])
        run = trainer.state
        brief = "" if run.epoch < self.max_epochs or self.max_epochs >= 8 else " (brief training)"
        self.fit_info |= {
            "training": f"{run.epoch} of at most {self.max_epochs} epochs{brief}, "
            f"weights of epoch {run.best_epoch + 1}",
            "epochs": run.epoch,
            "held_out_users": len(held_out),
            "held_out_nll": _known(run.best_loss),
            "history": [[taught, _known(held_out)] for taught, held_out in run.history],
        }

    def held_out_users(self, split: Split) -> np.ndarray:
        """Users, as positions in the log, whom a training on ``split`` does not teach."""
        train = split.train
        sequences = Sequences.of(train, train.column_of_item.astype(np.int64), train.shape[1])
        users: np.ndarray = train.user[self._hold_out(sequences)[1]]
        return users

    def _hold_out(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Rows that teach and rows held out (a random share of the users with events)."""
        rows = np.flatnonzero(sequences.lengths > 1)
        shuffled = np.random.default_rng([self.seed, 1]).permutation(rows)
        count = int(self.held_out * len(rows))
        return np.sort(shuffled[count:]), np.sort(shuffled[:count])

    # -- scoring ----------------------------------------------------------------------------------------

    def encode(self, states: UserStates) -> np.ndarray:
        """h(x) of every state from its last ``max_history`` events, float32 (m, d)."""
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
            read = network.reader(int(lengths.sum()))
            for rows in batches_by_length(lengths, network.tokens_at_once, self.max_history + 1):
                where, _ = sequences.window(rows, 0, int(lengths[rows[0]]))
                tokens, gap = (torch.from_numpy(a[where]).to(device) for a in (sequences.tokens, sequences.gap))
                last = torch.from_numpy(lengths[rows] - 1).to(device)
                h[rows] = read(tokens, gap, last).cpu().numpy()
        return h

    def logits(self, states: UserStates) -> Logits:
        """log p of every state over the model's own items, up to a constant of the state."""
        assert self._network is not None
        w = self._network.item.weight.detach().cpu().numpy()[:-1]
        b = self._network.bias.detach().cpu().numpy()
        return Logits(self.encode(states), w, b).scaled(self._power)

    def _preference(self, states: UserStates) -> FactorScores:
        return softmax_scores(self.logits(states), self._columns(states), states, self.hides)

    # -- artifacts --------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        assert self._network is not None
        weights = {key: t.detach().cpu().numpy() for key, t in self._network.state_dict().items()}
        return weights if self.objective == "next" else {**weights, "power": np.array([self._power])}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        assert self.item_ids is not None
        weights = dict(weights)
        self._power = float(weights.pop("power", np.ones(1))[0])
        with torch.random.fork_rng(devices=[]):
            network = self._build(len(self.item_ids))
        try:
            network.load_state_dict({key: torch.from_numpy(np.array(w)) for key, w in weights.items()})
        except RuntimeError as error:
            raise ModelError(f"The weights do not fit the network of {self.name}") from error
        self._network = network.eval()


def _known(loss: float) -> float | None:
    """A loss as JSON can hold it: None where nobody was held out."""
    return loss if math.isfinite(loss) else None
