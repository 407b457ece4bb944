"""A port that somebody listens on already is an error that says who."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from chandlery.errors import UsageError
from pipelines.serve import serve
from pipelines.ui_lock import Place


def test_a_port_in_use_is_an_error_that_names_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="Address already in use") as refused:
            serve(tmp_path, "127.0.0.1", port, token="t" * 16, lock=0, place=Place(lambda: None, 0))
    assert f"cannot listen on 127.0.0.1:{port}: " in str(refused.value)
    assert f"by process {os.getpid()} (" in str(refused.value)
