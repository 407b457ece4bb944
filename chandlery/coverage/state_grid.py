"""States day by day, as the matrix of a heat map: a row for each symbol.

Not here: how states are derived (``session_states``), and drawing (``pictures.heatmap``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.coverage.session_states import State
from chandlery.instruments.registry import Instrument
from chandlery.pictures.heatmap import Category, Codes, Matrix

_EPOCH = date(1970, 1, 1)


#: Apart from each other in lightness or in hue, also to those who see two of the three primary colours.
STATE_COLORS = {
    State.COMPLETE: "#2b7bba",
    State.NO_TRADES: "#a9cbe4",
    State.PARTIAL: "#f2d13c",
    State.HALTED: "#a0307a",
    State.PROVIDER_GAP: "#d9722e",
    State.QUARANTINED: "#8b0000",
    State.NOT_FINAL: "#6fbf73",
    State.NEVER_FETCHED: "#3d4149",
    State.CLOSED: "#f1efe9",
    State.NOT_LISTED: "#b9b5ab",
}
#: From the best to the worst.
_SEVERITY = (
    State.CLOSED, State.NOT_LISTED, State.COMPLETE, State.NO_TRADES, State.HALTED, State.NOT_FINAL, State.PARTIAL,
    State.NEVER_FETCHED, State.PROVIDER_GAP, State.QUARANTINED,
)  # fmt: skip
#: In the order of ``State``.
STATE_CATEGORIES = tuple(
    Category(state.value.replace("_", " "), STATE_COLORS[state], _SEVERITY.index(state), state is State.CLOSED)
    for state in State
)


def build_state_matrix(
    connection: psycopg.Connection, instruments: Sequence[Instrument], runs: pa.Table
) -> Matrix | None:
    """Return the state of each day of each instrument.

    Args:
        connection: to the database.
        instruments: those of ``runs``, or more.
        runs: what ``state_runs`` returns of all states.

    Returns:
        A matrix whose categories are ``STATE_CATEGORIES``, with a row for each instrument that has a run; None where
        none has.
    """
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
        row[days[np.searchsorted(days, begin) : np.searchsorted(days, end, side="right")] - first] = order[state]
    _close_between(codes, order[State.CLOSED])
    return Matrix(list(places), _day(first), codes, STATE_CATEGORIES)


def _sessions(
    connection: psycopg.Connection, calendars: Collection[str], since: date, until: date
) -> Mapping[str, npt.NDArray[np.int64]]:
    """Return the sessions in [since, until) of each calendar, as days since 1970-01-01, ascending."""
    rows = connection.execute(
        "SELECT calendar, array_agg(session - date '1970-01-01' ORDER BY session) FROM market.session"
        " WHERE calendar = ANY(%(calendars)s) AND session >= %(since)s AND session < %(until)s GROUP BY calendar",
        {"calendars": list(calendars), "since": since, "until": until},
    )
    return {name: np.array(days, np.int64) for name, days in rows}


def _close_between(codes: Codes, closed: int) -> None:
    """Mark days between an instrument's first and last session that are no session's."""
    known = codes >= 0
    after = np.logical_or.accumulate(known, axis=1)
    before = np.logical_or.accumulate(known[:, ::-1], axis=1)[:, ::-1]
    codes[after & before & ~known] = closed


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)
