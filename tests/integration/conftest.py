"""Fixtures of several files of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apache_server import UnavailableError
from tests.deployed import Deployed, deployed_server


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    """An empty server like that of the service ``database``."""
    context = deployed_server()
    try:
        server = context.__enter__()
    except UnavailableError as error:
        pytest.skip(f"no server of Debian's: {error}")
    yield server
    context.__exit__(None, None, None)
