"""The longest missing run of a session, however its bars came, is what pandas finds in the most naive way."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.halts import record_halts
from chandlery.coverage.missing_runs import measure_missing_runs
from chandlery.database.named_queries import query
from chandlery.instruments.halts import Halt
from chandlery.instruments.sessions import sync_sessions
from chandlery.tiers.warehouse import Warehouse
from tests.property.test_publish import IN_ONE_DATABASE
from tests.support import Bar, forget_bars, put, register, utc

pytestmark = pytest.mark.every_edition

#: A half day between two others, around which bars of extended hours may be; a market that never closes; and one that
#: has a break at noon.
SESSIONS = {
    ("AAA", date(2024, 7, 2)): (utc("2024-07-02T13:30"), utc("2024-07-02T20:00")),
    ("AAA", date(2024, 7, 3)): (utc("2024-07-03T13:30"), utc("2024-07-03T17:00")),
    ("BTC", date(2024, 7, 2)): (utc("2024-07-02"), utc("2024-07-03")),
    ("BTC", date(2024, 7, 3)): (utc("2024-07-03"), utc("2024-07-04")),
    ("TYO", date(2024, 7, 2)): (utc("2024-07-02"), utc("2024-07-02T06:00")),
    ("TYO", date(2024, 7, 3)): (utc("2024-07-03"), utc("2024-07-03T06:00")),
}
#: Start and end of the break, minutes from the open, and the same of whoever has none.
BREAKS = {"TYO": (150, 210)}
#: A run of minutes: whose, its first one (minutes from midnight), how many, and which of the batches brings it.
RUNS = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BTC", "TYO"]),
        st.one_of(
            st.integers(0, 2879),
            st.sampled_from([809, 810, 811, 1199, 1200, 2249, 2250, 2459, 2460, 1439, 1440, 0, 149, 150, 209, 210]),
        ),
        st.integers(1, 400),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=12,
)
HALTS = st.lists(
    st.tuples(st.sampled_from(["AAA", "BTC", "TYO"]), st.integers(0, 2500), st.integers(1, 300)), max_size=3
)


def pause(symbol: str, opens: datetime) -> set[datetime]:
    """Return the minutes of the break of a session."""
    return {opens + timedelta(minutes=minute) for minute in range(*BREAKS.get(symbol, (0, 0)))}


def longest_run(present: set[datetime], opens: datetime, closes: datetime) -> tuple[datetime | None, int]:
    """Return where the longest run of empty minutes begins, and its length; the first of several."""
    minutes = pd.Series(False, index=pd.date_range(opens, closes, freq="min", inclusive="left"))
    minutes[minutes.index.isin(list(present))] = True
    empty = minutes[~minutes]
    if empty.empty:
        return None, 0
    number = minutes.cumsum()[~minutes]
    sizes = empty.groupby(number).size()
    first = sizes.idxmax()
    return number[number == first].index[0].to_pydatetime(), int(sizes[first])


@given(RUNS, HALTS)
@settings(IN_ONE_DATABASE, max_examples=25)
def test_missing_runs_are_those_that_pandas_finds(
    warehouse: Warehouse, runs: list[tuple[str, int, int, int]], halts: list[tuple[str, int, int]]
) -> None:
    start = utc("2024-07-02")
    with warehouse.connection() as connection:
        forget_bars(connection)
        connection.execute("DELETE FROM market.halt")
        if connection.execute("SELECT count(*) FROM market.instrument").fetchone() == (0,):
            register(warehouse, {"AAA": "XNYS", "BTC": "24/7", "TYO": "XTKS"})
            sync_sessions(connection, ["XNYS", "24/7", "XTKS"])
    held: dict[str, set[datetime]] = {"AAA": set(), "BTC": set(), "TYO": set()}
    for batch in sorted({run[3] for run in runs}):
        bars = {
            (symbol, start + timedelta(minutes=minute))
            for symbol, first, count, where in runs
            for minute in range(first, min(first + count, 2880))
            if where == batch
        }
        put(warehouse, Timeframe.M1, [Bar(*key) for key in sorted(bars)])
        for symbol, ts in bars:
            held[symbol].add(ts)
    with warehouse.connection() as connection:
        check(warehouse, held, held)
        for symbol, first, count in halts:
            begin = start + timedelta(minutes=first, seconds=20)
            record_halts(connection, [Halt(symbol, begin, begin + timedelta(minutes=count), "T1")])
        excused = {
            symbol: held[symbol] | {
                start + timedelta(minutes=minute)
                for name, first, count in halts if name == symbol
                for minute in range(first, first + count + 1)
            }
            for symbol in held
        }  # fmt: skip
        # Of two halts with the same start, the second replaces the first.
        if len({(symbol, first) for symbol, first, _ in halts}) == len(halts):
            check(warehouse, held, excused)


def check(warehouse: Warehouse, held: dict[str, set[datetime]], excused: dict[str, set[datetime]]) -> None:
    """Compare every session of which there is a bar; ``excused`` are minutes that do not count as missing."""
    with warehouse.connection() as connection:
        ids = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
        measure_missing_runs(connection, list(ids.values()))
        measured = {
            (symbol, session): (start, slots, present)
            for symbol, session, start, slots, present in connection.execute(
                "SELECT symbol, session, missing_start, missing_slots, present FROM ops.coverage"
                " JOIN market.instrument USING (instrument_id)"
            )
        }
        values = {"ids": list(ids.values()), "since": date(2024, 1, 1), "until": date(2025, 1, 1)}
        assert (
            connection.execute(query("coverage/unmeasured_sessions"), values).fetchall() == []
        )  # nothing remains to be measured
    for (symbol, session), (opens, closes) in SESSIONS.items():
        at_noon = pause(symbol, opens)
        inside = {ts for ts in held[symbol] if opens <= ts < closes} - at_noon
        if not inside:
            continue
        start, slots, present = measured[symbol, session]
        assert present == len(inside)
        if present < (closes - opens) // timedelta(minutes=1) - len(at_noon):
            assert (start, slots) == longest_run(excused[symbol] | at_noon, opens, closes)
        else:
            assert slots in {0, None}  # a complete session is not measured
