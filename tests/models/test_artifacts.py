"""Stored models: data and never code, whole or not there, and every damage is found."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rim_core.datasets.log import EventLog
from rim_core.datasets.split import Split, split_by_time
from rim_core.errors import ArtifactError, ModelError
from rim_core.models import (
    GRU,
    RIM,
    Activity,
    HawkesPoisson,
    Model,
    artifact_id,
    artifacts,
    load_model,
    read_config,
    save_model,
)

FILES = ("weights.safetensors", "config.json", "card.md")


@pytest.fixture(scope="module")
def split() -> Split:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(20, size=400).astype(str),
            "item_id": np.array(["é", "日本", "a,b", "=cmd", "", "  ", "x" * 300, "\U0001f34e"], object)[
                rng.integers(8, size=400)
            ],
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.uniform(0, 90, 400), unit="D"),
        }
    )
    return split_by_time(EventLog.from_frame(frame), horizon="14D")


@pytest.fixture(scope="module")
def model(split: Split) -> Model:
    return RIM(GRU(dim=8, max_epochs=1, chunk=8), HawkesPoisson(kernels=5)).fit(split)


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "models" / "abc", card_extra={"item_precision": 0.02517})


def test_an_artifact_holds_three_files_and_strange_ids_come_back(folder: Path, model: Model, split: Split) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["abc"]
    stored = load_model(folder)
    assert stored.item_ids is not None
    assert stored.item_ids.tolist() == split.items.tolist()
    assert read_config(folder)["facts"] == {"item_precision": 0.02517}


def test_the_card_says_what_it_was_trained_on_and_how_good_it_is(folder: Path, split: Split) -> None:
    card = (folder / "card.md").read_text(encoding="utf-8")
    for fact in (
        "GRU×HawkesPoisson",
        split.log.version,
        "1 of at most 1 epochs (brief training)",
        "0.02517",
        "expected interactions",
        '"max_epochs": 1',
        "Poisson regression",
    ):
        assert fact in card


def test_any_changed_byte_of_the_weights_is_found(folder: Path) -> None:
    path = folder / "weights.safetensors"
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, 1, 7, 8, 9, len(original) - 1, *rng.integers(len(original), size=40)]:
        damaged = bytearray(original)
        damaged[place] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="damaged or was changed"):
            load_model(folder)
    path.write_bytes(original)
    load_model(folder)


def test_any_changed_value_of_the_configuration_is_found(folder: Path) -> None:
    path = folder / "config.json"
    original = json.loads(path.read_text(encoding="utf-8"))

    def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict):
            return [leaf for k, v in value.items() for leaf in leaves(v, (*at, k))]
        if isinstance(value, list):
            return [leaf for i, v in enumerate(value) for leaf in leaves(v, (*at, i))]
        return [at]

    found = leaves(original)
    assert len(found) > 40
    for leaf in found:
        config = json.loads(json.dumps(original))
        part = config
        for step in leaf[:-1]:
            part = part[step]
        part[leaf[-1]] = "changed"
        path.write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(ArtifactError):
            load_model(folder)


@pytest.mark.parametrize("file", FILES[:2])
def test_a_file_cut_short_anywhere_is_found(folder: Path, file: str) -> None:
    original = (folder / file).read_bytes()
    for length in {0, 1, 8, 100, len(original) // 2, len(original) - 1}:
        (folder / file).write_bytes(original[:length])
        with pytest.raises(ArtifactError):
            load_model(folder)


@pytest.mark.parametrize("file", FILES[:2])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ArtifactError, match=file):
        load_model(folder)
    (folder / file).mkdir()
    with pytest.raises(ArtifactError, match=file):
        load_model(folder)
    with pytest.raises(ArtifactError):
        load_model(folder / "nowhere")


def test_the_card_is_for_people_and_never_read_back(folder: Path, model: Model) -> None:
    (folder / "card.md").write_text("anything", encoding="utf-8")
    assert load_model(folder).name == model.name
    (folder / "card.md").unlink()
    assert load_model(folder).name == model.name


class _Bomb:
    """A pickle of this makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def disguised(kind: str, mark: Path) -> bytes:
    if kind == "pickle":
        return pickle.dumps(_Bomb(mark))
    buffer = io.BytesIO()
    if kind == "torch":
        torch.save({"a": _Bomb(mark)}, buffer)
    elif kind == "numpy":
        np.save(buffer, np.array([_Bomb(mark)], dtype=object), allow_pickle=True)
    else:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("data.pkl", pickle.dumps(_Bomb(mark)))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "torch", "numpy", "zip"])
@pytest.mark.parametrize("hash_matches", [False, True])
def test_code_in_disguise_is_refused_and_never_run(folder: Path, tmp_path: Path, kind: str, hash_matches: bool) -> None:
    mark = tmp_path / "it-ran"
    content = disguised(kind, mark)
    (folder / "weights.safetensors").write_bytes(content)
    if hash_matches:  # an attacker who knows the format recomputes the hashes as well
        rehash(folder)
    with pytest.raises(ArtifactError):
        load_model(folder)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        load_model(folder)
    assert not mark.exists()


def rehash(folder: Path, **changes: Any) -> None:
    """Make the configuration fit the files again, as an attacker could."""
    import hashlib

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.update(changes)
    weights = (folder / "weights.safetensors").read_bytes()
    config["sha256"]["weights.safetensors"] = hashlib.sha256(weights).hexdigest()
    config["sha256"]["config.json"] = artifacts._config_hash(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_weights_of_another_model_are_refused_even_with_right_hashes(
    folder: Path, split: Split, tmp_path: Path
) -> None:
    other = save_model(Activity().fit(split), tmp_path / "other")
    shutil.copy(other / "weights.safetensors", folder / "weights.safetensors")
    rehash(folder)
    with pytest.raises(ArtifactError, match="does not fit"):
        load_model(folder)


def test_settings_of_another_network_are_refused_even_with_right_hashes(folder: Path) -> None:
    model = read_config(folder)["model"]
    for changed in (
        {**model, "preference": {**model["preference"], "dim": 16}},
        {**model, "intensity": {**model["intensity"], "kernels": "many"}},
        {"model": "os.system"},
        {"model": ["GRU"]},
        "GRU",
        None,
    ):
        rehash(folder, model=changed)
        with pytest.raises(ArtifactError):
            load_model(folder)


def test_another_version_says_which(folder: Path) -> None:
    rehash(folder, package_version="99.0")
    with pytest.raises(ArtifactError, match=r"99\.0"):
        load_model(folder)
    rehash(folder, package_version=artifacts.package_version(), format=2)
    with pytest.raises(ArtifactError, match="layout 2"):
        read_config(folder)


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_save_leaves_the_old_artifact_or_none(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    folder = tmp_path / "models" / "abc"
    if before:
        save_model(model, folder, card_extra={"run": 1})
    write = artifacts._write
    for fail_at in range(4):
        calls = []

        def failing(path: Path, content: bytes, calls: list[Path] = calls, fail_at: int = fail_at) -> None:
            calls.append(path)
            if len(calls) > fail_at:
                path.write_bytes(content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            write(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(artifacts, "_write", failing)
            if fail_at == 3:  # all three are written, and the last step fails
                patch.setattr(artifacts, "_replace_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises((OSError, KeyboardInterrupt)):
                save_model(model, folder, card_extra={"run": 2})
        assert sorted(p.name for p in folder.parent.iterdir()) == (["abc"] if before else [])
        if before:
            assert read_config(folder)["facts"] == {"run": 1}
            load_model(folder)
    save_model(model, folder, card_extra={"run": 3})
    assert read_config(folder)["facts"] == {"run": 3}
    assert sorted(p.name for p in folder.parent.iterdir()) == ["abc"]


def test_an_id_follows_configuration_data_and_split() -> None:
    config, split = GRU().get_config(), {"by": "time", "horizon": "14 days"}
    one = artifact_id(config, "v1", split)
    assert one == artifact_id(dict(reversed(config.items())), "v1", dict(split))
    assert len(one) == 12
    others = {
        artifact_id({**config, "dim": 64}, "v1", split),
        artifact_id(config, "v2", split),
        artifact_id(config, "v1", {**split, "horizon": "7 days"}),
    }
    assert len(others | {one}) == 4


def test_a_model_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ModelError, match="GRU"):
        Model.from_config({"model": "Oracle"})
    with pytest.raises(ModelError, match="does not take"):
        Model.from_config({"model": "GRU", "depth": 3})
