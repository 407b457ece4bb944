"""Where bars come from: the ids and names of the sources in ``market.source``, which this module alone writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.core.arrow import numpy_of
from chandlery.core.schema import is_derived
from chandlery.database.connections import Database

#: A source keeps its id for ever, so what was read once stays true.
_known_names: WeakKeyDictionary[Database, dict[int, str]] = WeakKeyDictionary()


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


def derived_sources(known: Mapping[str, int] | None, names: Sequence[str], ids: Sequence[int]) -> dict[str, int]:
    """Return ids by name of the sources of days that were rolled up from minutes: of those known, and of ``names``."""
    pairs = [*(known or {}).items(), *zip(names, ids, strict=True)]
    return {name: source_id for name, source_id in pairs if is_derived(name)}


def source_names(database: Database, ids: pa.Array | pa.ChunkedArray) -> dict[int, str]:
    """Return the name of every source of ``database``, of which ``ids`` (int2) are some; asks it for new ones only."""
    names = _known_names.get(database, {})
    if not set(np.flatnonzero(np.bincount(numpy_of(ids))).tolist()) <= names.keys():
        with database.connection() as connection:
            names = {source_id: name for name, source_id in _read(connection).items()}
        _known_names[database] = names
    return names


def _read(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
