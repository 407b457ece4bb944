"""Ending bars that are believed no longer, because nothing is to be believed in their place.

Not here: bars with other values, which are revised (``merge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import psycopg
from psycopg import sql

from chandlery.bars.merge import Changes
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query


def end_bars(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    ids: Sequence[int],
    moments: Sequence[datetime],
    known_at: datetime,
    *,
    only_derived: bool = False,
    source: str | None = None,
) -> Changes:
    """End bars: from ``known_at`` on they are no longer believed; what they were stays in the revisions.

    Args:
        connection: in the publishing transaction, which holds the instruments' locks.
        timeframe: of the bars.
        ids: instrument of each; parallel to ``moments``.
        moments: start of each, UTC. Bars that are not there are no error.
        known_at: of the publication, UTC.
        only_derived: leave bars of a provider as they are.
        source: leave bars of other sources as they are.
    """
    statement = query(
        "bars/end_bars",
        bars=sql.Identifier("market", timeframe.table),
        timeframe=timeframe.value,
        ids=list(ids),
        moments=list(moments),
        first=min(moments),
        last=max(moments),
        only_derived=only_derived,
        source=source,
        known_at=known_at,
    )
    rows = sorted(connection.execute(statement).fetchall())
    owners = np.array([owner for owner, _ in rows], np.int32)
    starts = np.array([ts.astimezone(UTC).replace(tzinfo=None) for _, ts in rows], "datetime64[us]")
    return Changes(owners, starts, np.ones(len(rows), np.bool_))
