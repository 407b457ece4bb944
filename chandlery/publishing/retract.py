"""Retracting bars that their source does not give any more: they end, and what they were stays in the revisions.

Not here: which bars those are (``ingest.vanished``), and the rest of the transaction (``publish``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from chandlery.bars.bookkeeping import Publication
from chandlery.bars.end import end_bars
from chandlery.tiers.restore import find_cold_windows, restore_window
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Retraction:
    """Bars of one source that are believed no longer.

    Attributes:
        source: of all of them; bars of another at the same time stay.
        keys: (symbol, start in UTC) of each.
    """

    source: str
    keys: Sequence[tuple[str, datetime]]


def retract(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    publication: Publication,
    retraction: Retraction,
    ids: Mapping[str, int],
) -> Publication:
    """End bars as a part of ``publication``, and return it with them. Windows that are in the lake come back.

    Args:
        connection: in the publishing transaction, which holds the instruments' locks.
        warehouse: to which ``connection`` belongs.
        publication: of the same timeframe.
        retraction: which bars.
        ids: instrument id by symbol.
    """
    timeframe = publication.timeframe
    owners = [ids[symbol] for symbol, _ in retraction.keys]
    moments = [ts for _, ts in retraction.keys]
    windows = {(owner, timeframe.window_of(ts).start.date()) for owner, ts in zip(owners, moments, strict=True)}
    for window in find_cold_windows(connection, timeframe, windows):
        restore_window(connection, warehouse, window)
    ended = end_bars(connection, timeframe, owners, moments, publication.known_at, source=retraction.source)
    changes = publication.changes.joined(ended)
    return replace(publication, changes=changes, ended=publication.ended + len(ended))
