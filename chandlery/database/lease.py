"""A lease: what only one process of all that share a database may be, for as long as it shows that it lives.

It is an advisory lock of a transaction that does nothing, so it works behind a pooler too. The holder is heard of every
few seconds; where it is not, because its process or its machine died or sleeps, the server itself ends the transaction.
What the holder started may live on meanwhile: the holder's beats tell whoever ends it in time (``pipelines.watchdog``).
Not here: what needs a lease (``pipelines.ui_lock``), and locks of single steps (``locks``).
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Self

import psycopg

from chandlery.database.connections import Database
from chandlery.database.locks import try_lock
from chandlery.database.named_queries import query
from chandlery.errors import ChandleryError

#: How long a holder may not be heard of before it loses its lease, in seconds.
LONGEST_SILENCE = 60.0
_LOCK_CLASS = 0x6368_0300
#: How long the end of a block waits for a server that does not answer.
_SECONDS_TO_END = 10.0


class Lease:
    """A lease, held from the beginning of a ``with`` block to its end if it was free.

    Args:
        database: whose processes share it.
        number: of the lease.
        holder: how the holder is named to others, in at most 63 bytes.
        pulse: how often the holder is heard of, in seconds.
        longest_silence: how long it may not be heard of before it loses the lease, in seconds.

    Attributes:
        held_by: how another holder is named, where there is one: nothing where this role may not see it, None where
            this process holds the lease.
        beats: file descriptor, open within the block. A byte comes there at each pulse at which the server answered or
            could not be reached at all, so that it gave the lease to nobody; none while this process or the server is
            silent. It is at its end once the lease is another's or given back.
    """

    def __init__(
        self,
        database: Database,
        number: int,
        holder: str,
        *,
        pulse: float = 5.0,
        longest_silence: float = LONGEST_SILENCE,
    ) -> None:
        self.held_by: str | None = None
        self._database = database
        self._number = number
        self._values = {"holder": holder, "milliseconds": f"{1000 * longest_silence:.0f}"}
        self._pulse = pulse
        self._error: ChandleryError | None = None
        self.beats = self._beating = -1
        self._stop, self._known = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease where it is free.

        Raises:
            StoreError: the database cannot be asked.
        """
        self.beats, self._beating = os.pipe()
        os.set_blocking(self._beating, False)  # perhaps nobody reads
        self._thread.start()
        self._known.wait()
        if self._error is not None:
            os.close(self.beats)
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._stop.set()
        self._thread.join(_SECONDS_TO_END)
        os.close(self.beats)

    def _run(self) -> None:
        """Hold the lease; where the connection is lost, take it again, unless somebody else was faster."""
        while not self._stop.is_set() and self.held_by is None:
            try:
                with self._database.dedicated() as connection:
                    self._hold(connection)
            except ChandleryError as error:
                if not self._known.is_set():
                    self._error = error
                    break
                self._beat()
                self._stop.wait(self._pulse)
        os.close(self._beating)
        self._known.set()

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._beating, b".")

    def _hold(self, connection: psycopg.Connection) -> None:
        key = {"lock_class": _LOCK_CLASS, "number": self._number}
        with try_lock(connection, *key.values()) as is_free:
            if not is_free:
                row = connection.execute(query("database/lock_holder"), key).fetchone()
                if row is not None:  # otherwise it is given back just now
                    self.held_by = row[0] or ""
                return
            connection.execute(query("database/begin_lease"), self._values)
            self._known.set()
            while not self._stop.wait(self._pulse):
                connection.execute("SELECT")
                self._beat()
