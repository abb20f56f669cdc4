"""Trained models on disk: weights as safetensors, everything else as JSON, a card for people.

An artifact is data, never code: nothing in it is executed when it is read. A folder holds

- ``weights.safetensors``  what was learned, and the ids of the items it was learned for
- ``config.json``          model and training configuration, and a hash of each part
- ``card.md``              the same for people; not read back
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rim_core.errors import ArtifactError, ModelError, NotFittedError
from rim_core.models.base import Model
from rim_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
"""Layout of an artifact folder; raised when it changes."""
WEIGHTS, CONFIG, CARD = "weights.safetensors", "config.json", "card.md"
_ITEM_BYTES, _ITEM_ENDS = "item_ids.utf8", "item_ids.ends"


def package_version() -> str:
    """Version of the installed package; "0" when it runs from a checkout that was never installed."""
    try:
        return metadata.version("rim")
    except metadata.PackageNotFoundError:
        return "0"


def artifact_id(model_config: Mapping[str, Any], dataset_version: str, split_config: Mapping[str, Any]) -> str:
    """Id of the model a training would produce: 12 hex digits of configuration, data and package version."""
    parts = [dict(model_config), dataset_version, dict(split_config), package_version()]
    return hashlib.sha256(_canonical(parts)).hexdigest()[:12]


def save_model(model: Model, folder: Path | str, *, card_extra: Mapping[str, Any] | None = None) -> Path:
    """Write a fitted model to ``folder``; a reader sees the old artifact or the new one, never half of one.

    Parameters
    ----------
    card_extra : mapping, optional
        JSON-able facts for the card, for example ``{"item_precision": 0.025}``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotFittedError
        Nothing was learned yet.
    """
    if not model.is_fitted:
        raise NotFittedError(f"{model.name} has not been trained: call fit(split) before saving it.")
    assert model.item_ids is not None
    folder = Path(folder)
    weights = save_tensors(
        {**{k: np.ascontiguousarray(v) for k, v in model._weights().items()}, **_pack(model.item_ids)}
    )
    config: dict[str, Any] = {
        "format": FORMAT,
        "package_version": package_version(),
        "name": model.name,
        "model": model.get_config(),
        "fit_info": model.fit_info,
        "folds_in": model.folds_in,
        "unit": model.unit,
        "facts": dict(card_extra or {}),
        "sha256": {WEIGHTS: hashlib.sha256(weights).hexdigest()},
    }
    config["sha256"][CONFIG] = _config_hash(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(fresh / WEIGHTS, weights)
        _write(fresh / CONFIG, json.dumps(config, indent=1, ensure_ascii=False).encode())
        _write(fresh / CARD, model_card(config).encode())
        fresh.chmod(0o755)
        _replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def load_model(folder: Path | str) -> Model:
    """Read a fitted model back; every file is checked against its hash first.

    Raises
    ------
    ArtifactError
        A file is missing, damaged or edited, or was written by another version.
    """
    folder = Path(folder)
    config = read_config(folder)
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != config["sha256"][WEIGHTS]:
        raise ArtifactError(f"{folder / WEIGHTS} is damaged or was changed after it was saved. {_REMEDY}")
    try:
        tensors = load_tensors(weights)
        model = Model.from_config(config["model"])
        model.item_ids = _unpack(tensors)
        model.fit_info = config["fit_info"]
        model._load_weights(tensors)
    except (SafetensorError, ModelError, KeyError, ValueError) as error:
        raise ArtifactError(f"{folder} does not fit this version of the package: {error}. {_REMEDY}") from error
    model._fitted = True
    return model


def read_config(folder: Path | str) -> dict[str, Any]:
    """The verified ``config.json`` of an artifact: what a list of models shows without reading weights.

    Raises
    ------
    ArtifactError
        The file is missing, damaged or edited, or was written by another version.
    """
    path = Path(folder) / CONFIG
    raw = _read(path)
    try:
        config = json.loads(raw)
        stated = config["sha256"].pop(CONFIG)
        found = _config_hash(config)
        version, layout = config["package_version"], config["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged: it is not the JSON that was saved. {_REMEDY}") from error
    if stated != found:
        raise ArtifactError(f"{path} is damaged or was changed after it was saved. {_REMEDY}")
    if layout != FORMAT or version != package_version():
        raise ArtifactError(
            f"{path} was written by version {version} of the package (layout {layout}); this is version "
            f"{package_version()} (layout {FORMAT}). Train the model again, or install version {version}."
        )
    verified: dict[str, Any] = config
    return verified


def model_card(config: Mapping[str, Any]) -> str:
    """The card of an artifact (markdown) from its ``config.json``."""
    info = config["fit_info"]
    fold = "yes, from their history alone" if config["folds_in"] else "no: only users seen in training can be scored"
    rows = {
        "Trained on": f"{info.get('dataset')}, version {info.get('dataset_version')}: "
        f"{counted(info.get('train_events', 0), 'events')} of {counted(info.get('train_users', 0), 'users')}, "
        f"{counted(info.get('items', 0), 'items')}",
        "Split": f"`{json.dumps(info.get('split', {}), sort_keys=True)}`",
        "How": info.get("training", "fitted in closed form"),
        "A score is": config["unit"],
        "Scores users who were not in training": fold,
        "Package version": config["package_version"],
    }
    if info.get("split", {}).get("by") == "user":
        rows["Note"] = "the paper's user split trains on group A's calibration window as well"
    lines = [f"# {config['name']}", ""] + [f"- **{title}:** {text}" for title, text in rows.items()]
    if config["facts"]:
        lines += ["", "## Measured", ""] + [f"- {key}: {_figure(value)}" for key, value in config["facts"].items()]
    lines += ["", "## Configuration", "", "```json", json.dumps(config["model"], indent=1, ensure_ascii=False), "```"]
    for title, part in info.get("parts", {}).items():
        lines += ["", f"## {title}", "", f"- **How:** {part.get('training', 'fitted in closed form')}"]
    return "\n".join(lines) + "\n"


_REMEDY = "Restore the folder from a copy, or train the model again."


def _figure(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _config_hash(config: Mapping[str, Any]) -> str:
    """Hash of everything in a configuration but this hash itself."""
    hashes = {name: h for name, h in config["sha256"].items() if name != CONFIG}
    return hashlib.sha256(_canonical({**config, "sha256": hashes})).hexdigest()


def _pack(item_ids: np.ndarray) -> dict[str, np.ndarray]:
    encoded = [str(i).encode("utf-8", "surrogatepass") for i in item_ids]
    return {
        _ITEM_BYTES: np.frombuffer(b"".join(encoded), np.uint8),
        _ITEM_ENDS: np.cumsum([len(e) for e in encoded], dtype=np.int64),
    }


def _unpack(tensors: dict[str, np.ndarray]) -> np.ndarray:
    text, ends = tensors.pop(_ITEM_BYTES).tobytes(), tensors.pop(_ITEM_ENDS)
    starts = np.concatenate([[0], ends[:-1]])
    ids = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=True)]
    return np.array(ids, dtype=object)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace_folder(fresh: Path, folder: Path) -> None:
    """Put ``fresh`` where ``folder`` is; an old folder is moved aside first, since a full one cannot be replaced."""
    if not folder.exists():
        fresh.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(aside / "old")
    fresh.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
