"""A proxy between the product and PostgreSQL that counts the messages of both sides, and strikes after one of them.

It understands the framing of the protocol (version 3) and nothing else. What it does after a message is up to the test:
it may kill the client's process, the server's, or only the connection. It listens on a unix socket, which tells whose
process the client is.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from psycopg import conninfo

Side = Literal["client", "server"]

_BLOCK = 1 << 16
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it passes the proxy.

    Attributes:
        side: who sent it.
        number: the how manieth of that side it is, over all connections, from 1.
        kind: its first byte; nothing for the first message of a client, which has none.
        body: what follows its length.
    """

    side: Side
    number: int
    kind: bytes
    body: bytes

    @property
    def is_idle(self) -> bool:
        """Whether the server says by it that it is ready, and in no transaction."""
        return self.side == "server" and self.kind == b"Z" and self.body == b"I"


@dataclass(eq=False)
class Link:
    """A client's connection and the one to the server that belongs to it.

    Attributes:
        client: socket to the client.
        server: socket to the server.
        client_pid: process id of the client.
        server_pid: process id of the server's process for it; 0 until the server has told.
        database: which the client named; nothing until it has.
    """

    client: socket.socket
    server: socket.socket
    client_pid: int
    server_pid: int = 0
    database: str = ""
    _started: bool = False
    _pending: dict[Side, bytearray] = field(default_factory=lambda: {"client": bytearray(), "server": bytearray()})

    def split(self, side: Side, received: bytes) -> list[tuple[bytes, bytes]]:
        """Return the messages that are complete now, as (kind, everything after the kind)."""
        pending = self._pending[side]
        pending += received
        messages, start = [], 0
        while True:
            head = start + (1 if side == "server" or self._started else 0)
            end = head + int.from_bytes(pending[head : head + 4], "big")
            if len(pending) < max(end, head + 4):
                break
            messages.append((bytes(pending[start:head]), bytes(pending[head:end])))
            self._started = self._started or side == "client"
            start = end
        del pending[:start]
        return messages


class PostgresProxy:
    """A proxy on a thread of its own.

    Args:
        dsn: libpq connection string of the real database, by unix socket.

    Attributes:
        dsn: connection string of the same database by way of the proxy.
    """

    def __init__(self, dsn: str) -> None:
        parts = conninfo.conninfo_to_dict(dsn)
        self._upstream = f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}"
        self._folder = Path(tempfile.mkdtemp(prefix="chandlery-proxy-"))
        self.dsn = conninfo.make_conninfo(dsn, host=str(self._folder), port=5432)
        self._counts: Counter[Side] = Counter()
        self._strike: Callable[[Message, Link], bool] | None = None
        self._links: list[Link] = []
        self._lock = threading.Condition()
        self._is_closing = False

    def __enter__(self) -> Self:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._waker, self._waked = socket.socketpair()
        self._selector.register(self._waked, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closing = True
        self._waker.send(b"x")
        self._thread.join()
        self._waker.close()
        self._waked.close()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def arm(self, strike: Callable[[Message, Link], bool] | None) -> None:
        """Begin to count anew, and call ``strike`` with each message after it was passed on, on the proxy's thread.

        Rows of an answer are no messages to it: they are passed on with what follows them, and not counted.
        Where it returns True, both ends of the connection are closed, and nothing more of it is passed on.
        """
        with self._lock:
            self._counts.clear()
            self._strike = strike

    def disarm(self) -> Counter[Side]:
        """Strike no more; return how many messages each side sent since the proxy was armed."""
        with self._lock:
            self._strike = None
            return Counter(self._counts)

    def wait_until_alone(self, seconds: float = 60) -> None:
        """Wait until the server's processes of all clients that are gone have ended, and no client is left."""
        with self._lock:
            assert self._lock.wait_for(lambda: not self._links, seconds), f"{len(self._links)} clients are left"

    def _serve(self) -> None:
        while not self._is_closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data is not None:
                    self._forward(*key.data)
        for link in list(self._links):
            self._drop(link)
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        pid, _, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._upstream)
        except OSError:
            client.close()
            return
        link = Link(client, server, pid)
        with self._lock:
            self._links.append(link)
        self._selector.register(client, selectors.EVENT_READ, (link, "client"))
        self._selector.register(server, selectors.EVENT_READ, (link, "server"))

    def _forward(self, link: Link, side: Side) -> None:
        if link not in self._links:
            return
        source, target = (link.client, link.server) if side == "client" else (link.server, link.client)
        try:
            received = source.recv(_BLOCK)
        except OSError:
            received = b""
        if not received:
            self._end(link, side)
            return
        rows = b""
        for kind, rest in link.split(side, received):
            if side == "server" and kind == b"D":
                rows += kind + rest
                continue
            if side == "server" and kind == b"K":
                link.server_pid = int.from_bytes(rest[4:8], "big")
            elif side == "client" and not kind and not link.database:
                link.database = rest[4:].partition(b"database\0")[2].partition(b"\0")[0].decode()
            with suppress(OSError):
                target.sendall(rows + kind + rest)
            rows = b""
            if self._hit(Message(side, self._count(side), kind, rest[4:]), link):
                self._end(link, "client")
                return
        with suppress(OSError):
            target.sendall(rows)

    def _count(self, side: Side) -> int:
        with self._lock:
            self._counts[side] += 1
            return self._counts[side]

    def _hit(self, message: Message, link: Link) -> bool:
        strike = self._strike
        return strike is not None and strike(message, link)

    def _end(self, link: Link, side: Side) -> None:
        """End a connection whose ``side`` is gone; where that is the client, not before the server's process has."""
        if side == "server":
            self._drop(link)
            return
        self._selector.unregister(link.client)
        self._selector.unregister(link.server)
        link.client.close()
        # The server's process notices, and ends when it has let go of everything, which may take a while.
        with suppress(OSError):
            link.server.shutdown(socket.SHUT_WR)
        threading.Thread(target=self._await_end, args=(link,), daemon=True).start()

    def _await_end(self, link: Link) -> None:
        with suppress(OSError):
            while link.server.recv(_BLOCK):
                pass
        self._forget(link)

    def _drop(self, link: Link) -> None:
        for end in (link.client, link.server):
            with suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
        self._forget(link)

    def _forget(self, link: Link) -> None:
        link.server.close()
        with self._lock:
            if link in self._links:
                self._links.remove(link)
            self._lock.notify_all()
