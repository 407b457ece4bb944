"""The embedded server: what a person hears when it does not start. (Every other test runs on one that does.)

A server that was killed is started again by the process that had started it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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


KILLED = """
import os, signal, sys
from pathlib import Path
import psutil, psycopg
from chandlery.database import embedded
data = Path(sys.argv[1])
for turn in range(3):
    with psycopg.connect(host=embedded.start(data), user="postgres", dbname="postgres") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=60)
embedded.start(data)
"""


def test_a_server_that_was_killed_is_started_again_by_the_same_process() -> None:
    folder = Path(tempfile.mkdtemp(prefix="chandlery-tests-"))
    try:
        subprocess.run([sys.executable, "-c", KILLED, str(folder / "data")], check=True, timeout=300)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
