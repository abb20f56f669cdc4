"""Promises as the command line takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rim_core.cli.plan import describe, group_of, wished
from rim_core.errors import ConstraintError


def asked(**given: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("min_exposure", "max_exposure", "min_count", "max_count", "max_per_user", "budget", "promises", "confidence")
    )
    return {"capacity": 10, "groups": (), **nothing, **given}


def test_rules_for_groups() -> None:
    brand = group_of("brand = PEPSI COLA >= 5%")
    assert (brand.where, brand.min_exposure) == ({"brand": "PEPSI COLA"}, 0.05)
    total = group_of("all <= 4000")
    assert (total.where, total.items, total.max_count) == (None, None, 4000)
    for wrong in ("brand", "brand >= 5%", "brand=x = 3", "brand=x >= many"):
        with pytest.raises(ConstraintError, match="is no rule for a group"):
            group_of(wrong)


def test_options_and_file_together(tmp_path: Path) -> None:
    path = tmp_path / "autumn.json"
    path.write_text(
        json.dumps({"starts": {"a": "2024-01-01"}, "budgets": [{"limit": 9, "name": "mail"}], "capacity": 3})
    )
    given = asked(promises=path, groups=("all <= 4000",), budget=50.0, max_per_user=4, min_count=2)
    constraints = wished(given)
    assert constraints.to_dict() == {
        "capacity": 3,
        "min_exposure_count": 2,
        "groups": [{"name": "all <= 4000", "max_count": 4000.0}],
        "max_per_user": 4,
        "starts": {"a": "2024-01-01T00:00:00+00:00"},
        "budgets": [{"limit": 9.0, "costs": 1.0, "name": "mail"}, {"limit": 50.0, "costs": 1.0, "name": "budget"}],
    }
    assert describe(given) == "K 10, at least 2, all <= 4000, 4 a user, budget 50, autumn"


@pytest.mark.parametrize(
    ("text", "words"), [("{", "no JSON"), ("[]", "one object"), ('{"price": 3}', "are none: price")]
)
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ConstraintError, match=words):
        wished(asked(promises=path))
