"""Where a training stands, on disk: tensors and JSON in one safetensors file, replaced atomically."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

logger = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a training.

    Attributes
    ----------
    identity : dict
        Model configuration and training data; a training of another identity must not resume from it.
    state : dict
        JSON-able: epoch, batch, losses.
    tensors : dict of str to Tensor
    """

    identity: Mapping[str, Any]
    state: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]

    def save(self, folder: Path) -> None:
        """Replace the checkpoint in ``folder``; a kill at any moment leaves the old one or the new one."""
        meta = {"identity": json.dumps(self.identity, sort_keys=True), "state": json.dumps(self.state)}
        content = save({k: t.detach().cpu().contiguous() for k, t in self.tensors.items()}, metadata=meta)
        fresh = folder / f"{FILE}.tmp"
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
        """The checkpoint in ``folder``; None when there is none that is whole and of this identity."""
        path = folder / FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                meta = file.metadata() or {}
                found = json.loads(meta["identity"])
                state = json.loads(meta["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            logger.warning("The checkpoint %s is damaged (%s): training starts again from the beginning.", path, error)
            return None
        if found != json.loads(json.dumps(identity)):
            logger.warning("The checkpoint %s is of another training: this one starts from the beginning.", path)
            return None
        return cls(found, state, tensors)
