"""Fixtures every kind of test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared market data is absent (expected in ../shared/data beside the checkout)")
    return SHARED_DATA
