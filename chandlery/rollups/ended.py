"""Which derived bars end when their periods are computed anew: those under a label that nothing has any more.

A week or month is labelled by its first session, and a day from minutes by its session. Where the calendar changed, or
the last base bar of a period went, the bar of before would stand beside the new one for good. Not here: ending them
(``publishing``), and which periods are computed anew (``periods``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.rows import pair_keys, split_keys
from chandlery.core.calendars import Int64s, get_calendar
from chandlery.core.periods import Days, period_end, period_of
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query
from chandlery.rollups.periods import InstrumentDays


def find_ended(
    connection: psycopg.Connection,
    rolled: Mapping[Timeframe, pa.Table],
    stale: Mapping[Timeframe, InstrumentDays],
    names: Mapping[int, str],
) -> dict[Timeframe, list[tuple[str, datetime]]]:
    """Return the stored weeks and months of stale periods, and the days from minutes, that ``rolled`` does not have.

    Args:
        connection: in the transaction that derives.
        rolled: the bars of the stale periods as they are now.
        stale: days, by derived timeframe; of ``1d``, sessions that are computed anew and days that may be none any
            more.
        names: symbol by instrument id.

    Returns:
        (symbol, start) by timeframe, of those that have any.
    """
    ended = {}
    for timeframe, days in stale.items():
        if timeframe.is_intraday or not len(days):
            continue
        stored = _stored_days(connection, days) if timeframe is Timeframe.D1 else _stored(connection, timeframe, days)
        gone = stored[~np.isin(stored, _keys(rolled[timeframe], names))]
        if len(gone):
            owners, starts = split_keys(gone)
            moments = (midnight(day) for day in starts.astype("datetime64[D]").tolist())
            ended[timeframe] = [(names[owner], ts) for owner, ts in zip(owners.tolist(), moments, strict=True)]
    return ended


def without_session(stale: InstrumentDays, calendars: Mapping[int, str]) -> InstrumentDays:
    """Return the days around ``stale``, minutes of which changed, on which the calendar has no session.

    A session that there was before began at most a day before its minutes, and ended at most a day after.
    """
    if not len(stale):
        return stale
    around = np.concatenate([stale.days + np.timedelta64(step, "D") for step in (-1, 0, 1)])
    ids, days = split_keys(np.unique(pair_keys(np.tile(stale.ids, 3), around)))
    near = InstrumentDays(ids.astype(np.int64), days.astype("datetime64[D]"))
    owned = np.array([calendars[owner] for owner in near.ids.tolist()], np.str_)
    closed = np.zeros(len(near), np.bool_)
    for name in np.unique(owned).tolist():
        of_one = owned == name
        closed[of_one] = ~np.isin(near.days[of_one].astype(np.int64), get_calendar(name).sessions)
    return near.where(closed)


def _stored(connection: psycopg.Connection, timeframe: Timeframe, days: InstrumentDays) -> Int64s:
    """Return the keys of the stored bars of the periods that ``days`` are in."""
    periods = period_of(timeframe, days.days)
    ids, firsts = split_keys(np.unique(pair_keys(days.ids, periods)))
    first = firsts.astype("datetime64[D]")
    after = period_end(timeframe, first)
    values = {"ids": Column(ids), "firsts": _numbers(first), "afters": _numbers(after), **_around(first, after)}
    statement = query("rollups/bars_of_periods", bars=sql.Identifier("market", timeframe.table))
    return _read(connection.execute(statement, values))


def _stored_days(connection: psycopg.Connection, days: InstrumentDays) -> Int64s:
    """Return the keys of ``days`` that have a bar which was rolled up from minutes."""
    values = {"ids": Column(days.ids.astype(np.int32)), "days": _numbers(days.days), **_around(days.days, days.days)}
    return _read(connection.execute(query("rollups/derived_days"), values))


def _around(firsts: Days, afters: Days) -> dict[str, datetime]:
    return {"first": midnight(firsts.min().item()), "last": midnight(afters.max().item())}


def _numbers(days: Days) -> Column:
    return Column(days.astype(np.int64).astype(np.int32))


def _read(rows: psycopg.Cursor) -> Int64s:
    table = np.array(rows.fetchall(), np.int64).reshape(-1, 2)
    return pair_keys(table[:, 0], table[:, 1].astype("datetime64[D]"))


def _keys(bars: pa.Table, names: Mapping[int, str]) -> Int64s:
    id_of = {symbol: owner for owner, symbol in names.items()}
    symbol = bars["symbol"].combine_chunks()
    owners = np.array([id_of[name] for name in symbol.dictionary.to_pylist()], np.int64)[symbol.indices.to_numpy()]
    return pair_keys(owners, bars["ts"].to_numpy().astype("datetime64[D]"))
