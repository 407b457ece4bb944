"""Which version of bars a read would have. Not here: reading them (``bars``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from chandlery.api.reads import Moment, Reads
from chandlery.core.grid import Anchor
from chandlery.database.connections import repeat_read_once
from chandlery.reading.arguments import COLUMNS, Question, ReadOptions
from chandlery.reading.made import Hours


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the bars that a read is about.

    Attributes:
        digest: the same exactly while no publication changed any window of them; what it is says nothing.
        known_at: when the last publication changed one, UTC: a read ``as_of`` it returns this version for ever. None
            where there are no bars.
    """

    digest: str
    known_at: datetime | None


class Versions(Reads):
    """Which version of bars a read would have."""

    @repeat_read_once
    def version(
        self,
        symbols: Iterable[str] | str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        session: Hours = "all",
        anchor: Anchor = "utc",
    ) -> Version:
        """Return which version of bars the same read would have now: to keep an answer until it changes.

        It is about bars alone: not about ``final_only``, ``exclude_suspect``, ``fill``, ``state`` and ``released``. All
        arguments and errors are as of ``get_multi_symbol``.
        """
        how = ReadOptions([*COLUMNS], "arrow", session=session, anchor=anchor)
        looked = self._look(Question.parse(self._symbols(symbols), start, end, timeframe, how))
        content = repr((looked.state.version, looked.names)).encode()
        changes = [window.changed_at for window in looked.state.windows]
        return Version(hashlib.sha256(content).hexdigest()[:32], max(changes, default=None))
