"""What every model can do: fit on a split, score user-states, be saved and loaded.

Three families share it. A *preference* gives p(y|x), an *intensity* gives λ(x), an *affinity* gives
λ(x, y) in one piece; :class:`rim_core.models.rim.RIM` multiplies the first two (eq. 5).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from rim_core.errors import ModelError, NotFittedError
from rim_core.progress import Progress as Progress
from rim_core.progress import silent as silent
from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.progress import Callback as Callback
    from rim_core.scores import Scores


def training_data(split: Split) -> dict[str, Any]:
    """What identifies the data a model is trained on, JSON-able; equal for equal training data."""
    return {
        "dataset": split.log.name,
        "dataset_version": split.log.version,
        "split": split.config,
        "horizon_seconds": split.horizon_seconds,
        "train_events": int((split.train.stop - split.train.start).sum()),
        "train_users": len(split.train),
        "items": len(split.items),
    }


class Model(ABC):
    """Base of all models.

    A constructor takes hyper-parameters only and stores each under its own name; ``get_config`` reads
    them back, so ``Model.from_config(model.get_config())`` is the same unfitted model.
    """

    registry: ClassVar[dict[str, type[Model]]] = {}
    folds_in: ClassVar[bool] = True
    """Whether users who were not in training can be scored from their history."""
    unit: ClassVar[str] = "expected interactions in the horizon"
    """What a score is, for the model card."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            Model.registry[cls.__name__] = cls

    def __init__(self) -> None:
        self.item_ids: np.ndarray | None = None
        self.fit_info: dict[str, Any] = {}
        self._fitted = False

    # -- what a model is called and made of ------------------------------------------------------------

    @property
    def name(self) -> str:
        """Row name in comparisons ("GRU", "GRU×HawkesPoisson")."""
        return type(self).__name__

    @property
    def is_fitted(self) -> bool:
        """Whether the model can score: a training that was cancelled leaves it unfitted."""
        return self._fitted

    def get_config(self) -> dict[str, Any]:
        """JSON-able: {"model": class name, **constructor arguments}."""
        arguments = [p for p in inspect.signature(type(self).__init__).parameters if p != "self"]
        return {"model": type(self).__name__, **{a: getattr(self, a) for a in arguments}}

    @staticmethod
    def from_config(config: dict[str, Any]) -> Model:
        """The unfitted model of a configuration.

        Raises
        ------
        ModelError
            Unknown model or argument.
        """
        if not isinstance(config, dict):
            raise ModelError(f"{config!r} is no configuration of a model: give what get_config() returned.")
        arguments = dict(config)
        kind = str(arguments.pop("model", ""))
        if kind not in Model.registry:
            raise ModelError(f"There is no model {kind!r}: choose among {', '.join(sorted(Model.registry))}.")
        cls = Model.registry[kind]
        try:
            return cls._from_arguments(arguments)
        except TypeError as error:
            raise ModelError(f"{kind} does not take these settings: {error}.") from error

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> Model:
        return cls(**arguments)

    # -- training ---------------------------------------------------------------------------------------

    def fit(
        self,
        split: Split,
        *,
        callback: Callback = silent,
        checkpoint: Path | None = None,
        refit: bool = False,
    ) -> Self:
        """Train on ``split.train`` and ``split.labelled``; returns self.

        Parameters
        ----------
        callback : callable
            Gets a :class:`Progress` at the start, now and then, and at the end, its share never falling; may raise
            :class:`Cancelled`, which leaves the model unfitted.
        checkpoint : Path, optional
            Folder for checkpoints; training resumes from the last one found there.
        refit : bool
            Train on everything before the test window (for scoring test states only).

        Raises
        ------
        ModelError
            The split offers nothing to learn from.
        """
        if refit:
            if split.later is None:
                raise ModelError("refit=True needs a split by time: a user split already trains up to T.")
            split = split.later
        if checkpoint is not None:
            checkpoint.mkdir(parents=True, exist_ok=True)
        self._fitted = False
        self.item_ids = split.items.to_numpy(dtype=object)
        self.fit_info = training_data(split)
        callback(Progress(f"{self.name}: starting", 0.0, 1.0))
        self._fit(split, callback, checkpoint)
        callback(Progress(f"{self.name}: trained", 1.0, 1.0))
        self._fitted = True
        return self

    @abstractmethod
    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None: ...

    # -- scoring ----------------------------------------------------------------------------------------

    def score(self, states: UserStates) -> Scores:
        """λ(x, y): expected interactions of each state with each item in the horizon; lazy.

        Raises
        ------
        NotFittedError
            ``fit`` or ``load`` first.
        """
        self._require_fit()
        return self._score(states)

    @abstractmethod
    def _score(self, states: UserStates) -> Scores: ...

    def _require_fit(self) -> None:
        if not self.is_fitted:
            raise NotFittedError(f"{self.name} has not been trained: call fit(split) first, or load an artifact.")

    def _columns(self, states: UserStates) -> np.ndarray:
        """Position in the model's own items of every item of ``states``; −1 where never trained. (n,)"""
        columns: np.ndarray = pd.Index(self.item_ids).get_indexer(states.item_ids).astype(np.int64)
        return columns

    def _horizons(self, states: UserStates) -> float:
        """Length of the horizon of ``states`` relative to that of the split's test states."""
        trained = float(self.fit_info["horizon_seconds"])
        return states.horizon_seconds / trained if trained > 0 else 1.0

    # -- artifacts ----------------------------------------------------------------------------------------

    @abstractmethod
    def _weights(self) -> dict[str, np.ndarray]:
        """Everything learned, as arrays."""

    @abstractmethod
    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Inverse of ``_weights``; ``item_ids`` is already set."""


class Preference(Model):
    """p(y|x): a categorical distribution over items (eq. 1); scored alone it is the paper's raw ItemRec."""

    unit: ClassVar[str] = "probability that the user's next event is with the item"

    def preference(self, states: UserStates) -> FactorScores:
        """p(y|x), rows summing to 1 over the items in play (before forbidden pairs are masked)."""
        self._require_fit()
        return self._preference(states)

    @abstractmethod
    def _preference(self, states: UserStates) -> FactorScores: ...

    def _score(self, states: UserStates) -> Scores:
        return self.preference(states)


class Intensity(Model):
    """λ(x): expected events of a user-state in the horizon."""

    unit: ClassVar[str] = "expected events in the horizon, spread evenly over the items"

    def intensity(self, states: UserStates) -> np.ndarray:
        """Expected target events per state, float64 (m,), finite and ≥ 0."""
        self._require_fit()
        return self._intensity(states)

    @abstractmethod
    def _intensity(self, states: UserStates) -> np.ndarray: ...

    def _score(self, states: UserStates) -> Scores:
        """λ(x) spread evenly over the items: ranks users, says nothing of items."""
        n = len(states.item_codes)
        return FactorScores(
            self.intensity(states)[:, None] / max(n, 1),
            np.ones((n, 1)),
            forbidden=states.seen,
            states=states,
        )
