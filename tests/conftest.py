"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

SHARED_DATA = Path(os.environ.get("RIM_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real event logs in their official formats (ml-1m/, netflix/ ...); skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real event logs at {SHARED_DATA}: set RIM_SHARED_DATA to the folder that holds them")
    return SHARED_DATA
