"""Models by the names people write: "GRU", "GRU×Activity", "GRU*Activity", "gruxhawkes", "Frequency+NewItems"."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import rim_core.models  # registers every model
from rim_core.errors import ModelError
from rim_core.models.base import Intensity, Model, Preference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Settings = dict[str, dict[str, Any]]
"""Hyper-parameters by lower-case model name: {"gru": {"max_epochs": 2}}."""

assert rim_core.models.RIM is Model.registry["RIM"]


def available() -> dict[str, type[Model]]:
    """Every model by name, without the product RIM (write it "preference×intensity")."""
    return {name: cls for name, cls in sorted(Model.registry.items()) if name != "RIM"}


def model_config(text: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The configuration of a model by name, complete with defaults.

    Parameters
    ----------
    text : str
        A name ("RFM-GBDT" or "rfmgbdt"), or two joined by ×, * or x; with "+NewItems" behind it, new items get a
        score as well.
    settings : mapping
        Hyper-parameters by lower-case model name.

    Raises
    ------
    ModelError
        No model, or no hyper-parameter, has that name.
    """
    base, plus, addition = text.rpartition("+")
    if plus and _plain(addition) == "newitems" and base.strip():
        own = (settings or {}).get("newitems", {})
        return Model.from_config({"model": "NewItems", "base": model_config(base, settings), **own}).get_config()
    parts = _parts(text)
    configs = [_from_settings(_class(part), settings or {}).get_config() for part in parts]
    if len(parts) == 1:
        return configs[0]
    return Model.from_config({"model": "RIM", "preference": configs[0], "intensity": configs[1]}).get_config()


def parse_settings(pairs: Iterable[str]) -> Settings:
    """Settings from words like "gru.max_epochs=2".

    Raises
    ------
    ModelError
        A word is not of that form, or names no model or no hyper-parameter of it.
    """
    settings: Settings = {}
    for pair in pairs:
        found = re.fullmatch(r"([^.=]+)\.([^.=]+)=(.*)", pair.strip())
        if found is None:
            raise ModelError(f"{pair!r} is not a setting: write model.parameter=value, for example gru.max_epochs=2.")
        cls = _class(found.group(1))
        known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
        if found.group(2) not in known:
            takes = ", ".join(known) or "no settings"
            raise ModelError(f"{cls.__name__} has no setting {found.group(2)!r}: it takes {takes}.")
        value, default = _value(found.group(3)), inspect.signature(cls.__init__).parameters[found.group(2)].default
        if not _fits(value, default):
            raise ModelError(f"{pair.strip()!r} cannot be: write something like {default!r}, which is the default.")
        settings.setdefault(cls.__name__.lower(), {})[found.group(2)] = value
    return settings


def _parts(text: str) -> list[str]:
    words = re.split(r"\s*[×*]\s*", text.strip())
    if len(words) == 1 and _plain(words[0]) not in _by_lower():
        for i, letter in enumerate(words[0]):
            if letter in "xX" and {_plain(words[0][:i]), _plain(words[0][i + 1 :])} <= set(_by_lower()):
                return [words[0][:i], words[0][i + 1 :]]
    if len(words) > 2 or not all(words):
        raise ModelError(f"{text!r} names no model: write one name, or preference×intensity such as GRU×HawkesPoisson.")
    return words


def _class(name: str) -> type[Model]:
    found = _by_lower().get(_plain(name))
    if found is None:
        kinds: dict[str, Any] = {"preferences": Preference, "intensities": Intensity}
        groups = [
            f"{title} {', '.join(n for n, cls in available().items() if issubclass(cls, kind))}"
            for title, kind in kinds.items()
        ]
        others = ", ".join(n for n, cls in available().items() if not issubclass(cls, Preference | Intensity))
        raise ModelError(f"There is no model {name!r}: there are {'; '.join(groups)}; and {others}.")
    return found


def _plain(name: str) -> str:
    """A name without what people write or leave out at will."""
    return name.strip().lower().replace("-", "")


def _by_lower() -> dict[str, type[Model]]:
    return {name.lower(): cls for name, cls in available().items()}


def _from_settings(cls: type[Model], settings: Mapping[str, Mapping[str, Any]]) -> Model:
    return Model.from_config({"model": cls.__name__, **settings.get(cls.__name__.lower(), {})})


def _fits(value: Any, default: Any) -> bool:
    """Whether a value may stand where a default of that kind does; ranges are the models' own matter."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int | float):
        whole = isinstance(default, int)
        return isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    return not isinstance(default, str) or isinstance(value, str)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(text, text)
