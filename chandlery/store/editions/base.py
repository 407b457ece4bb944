"""What may differ between servers, as one small interface. Nothing else asks what server it is on."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import psycopg

from chandlery.timeframe import Timeframe


class Edition(Protocol):
    """How one kind of server stores bars."""

    @property
    def name(self) -> str:
        """``postgres``, ``apache`` or ``community``."""
        ...

    @property
    def meaning(self) -> str:
        """What this edition can and cannot do, in a sentence for ``chandlery status``."""
        ...

    def prepare(self, connection: psycopg.Connection, timeframe: Timeframe, first: datetime, last: datetime) -> None:
        """Make sure that bars which start in ``[first, last]`` (both inclusive) have a place to go.

        Runs in the caller's transaction, if there is one; does nothing where the place is there.
        """
        ...
