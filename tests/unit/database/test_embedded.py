"""The embedded server: what a person hears when it does not start. (Every other test runs on one that does.)"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from chandlery.database import embedded
from chandlery.errors import StoreError


def test_a_server_that_does_not_start_says_where_the_reason_stands() -> None:
    folder = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))  # not pytest's, which bars the server's user when root
    data = folder / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("9.6\n")  # of a server that is too old
    with pytest.raises(StoreError, match="the embedded server does not start") as caught:
        embedded.start(data)
    assert str(data / "log") in str(caught.value)
    shutil.rmtree(folder)
