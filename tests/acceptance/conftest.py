"""Fixtures for the tests of real market data: the gate, a library of files, and the shared calendar."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from expectations.limits import GateLimits
from tests.acceptance.real_library import Library


@pytest.fixture(scope="session")
def gate() -> BarGate:
    return BarGate()


@pytest.fixture(scope="session")
def permissive_gate() -> BarGate:
    return BarGate(GateLimits(max_rejected_share=1.0))


@pytest.fixture
def library(warehouse: Warehouse, shared_data: Path, tmp_path: Path) -> Library:
    return Library(warehouse, shared_data, tmp_path)


@pytest.fixture(scope="session")
def sessions(shared_data: Path) -> dict[date, tuple[datetime, datetime]]:
    """Open and close of every session of XNYS from 1990 to 2023, from the shared calendar."""
    with gzip.open(shared_data / "calendar/xnys_sessions.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    return {date.fromisoformat(row["session"]): (_moment(row["open"]), _moment(row["close"])) for row in rows}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
