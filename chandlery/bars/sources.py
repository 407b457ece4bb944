"""Where bars come from: the ids of the sources in ``market.source``, which this module alone writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg


def source_ids(
    connection: psycopg.Connection, names: Sequence[str], known: Mapping[str, int] | None = None
) -> list[int]:
    """Return the id of each source; one that is new is given an id.

    Args:
        connection: in the transaction that stores bars of these sources.
        names: such as ``alpaca:sip``.
        known: ids by name, where the caller read them already; a source that is not among them may be known all the
            same.
    """
    ids = _read(connection) if known is None else known
    unknown = sorted(set(names) - ids.keys())
    if unknown:
        connection.execute(
            "INSERT INTO market.source (name) SELECT unnest(%(names)s::text[]) ON CONFLICT DO NOTHING",
            {"names": unknown},
        )
        ids = _read(connection)
    return [ids[name] for name in names]


def _read(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
