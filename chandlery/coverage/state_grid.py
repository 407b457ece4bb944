"""States day by day: a matrix of symbol by time, for a picture.

Not here: how states are found (``states``), and drawing (``heatmap``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.coverage.session_states import State
from chandlery.instruments.registry import Instrument

Codes: TypeAlias = npt.NDArray[np.int8]

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class StateMap:
    """The state of each day of each instrument.

    Attributes:
        symbols: canonical symbols.
        first: the first day.
        codes: of shape (symbols, days): the place of each state in ``State``; -1 where nothing is known.
    """

    symbols: Sequence[str]
    first: date
    codes: Codes


def map_states(connection: psycopg.Connection, instruments: Sequence[Instrument], runs: pa.Table) -> StateMap | None:
    """Return ``runs`` (of all states) day by day; None where there is none. Instruments without a run are left out."""
    if not runs.num_rows:
        return None
    calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
    firsts, lasts = (runs[name].cast(pa.int32()).to_numpy() for name in ("first", "last"))
    first, last = int(firsts.min()), int(lasts.max())
    sessions = _sessions(connection, set(calendars.values()), _day(first), _day(last + 1))
    places = {symbol: place for place, symbol in enumerate(dict.fromkeys(runs["symbol"].to_pylist()))}
    codes = np.full((len(places), last - first + 1), -1, np.int8)
    order = {state.value: code for code, state in enumerate(State)}
    for symbol, state, begin, end in zip(
        runs["symbol"].to_pylist(), runs["state"].to_pylist(), firsts, lasts, strict=True
    ):
        days = sessions[calendars[symbol]]
        row = codes[places[symbol]]
        stretch = row[begin - first : end - first + 1]
        stretch[:] = order[State.CLOSED]
        row[days[np.searchsorted(days, begin) : np.searchsorted(days, end, side="right")] - first] = order[state]
    _close_between(codes, order[State.CLOSED])
    return StateMap(list(places), _day(first), codes)


def _sessions(
    connection: psycopg.Connection, calendars: Collection[str], since: date, until: date
) -> Mapping[str, npt.NDArray[np.int64]]:
    """Return the sessions in [since, until) of each calendar, as days since 1970-01-01, ascending."""
    found = connection.execute(
        "SELECT calendar, array_agg(session - date '1970-01-01' ORDER BY session) FROM market.session"
        " WHERE calendar = ANY(%s) AND session >= %s AND session < %s GROUP BY calendar",
        (list(calendars), since, until),
    )
    return {name: np.array(days, np.int64) for name, days in found}


def _close_between(codes: Codes, closed: int) -> None:
    """Mark days between an instrument's first and last session that are no session's."""
    known = codes >= 0
    after = np.logical_or.accumulate(known, axis=1)
    before = np.logical_or.accumulate(known[:, ::-1], axis=1)[:, ::-1]
    codes[after & before & ~known] = closed


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)
