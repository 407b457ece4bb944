"""Publishing several timeframes in one transaction, and finding again the bars that are restated."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest

from chandlery.bars.merge import MergeLimits
from chandlery.core.schema import empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.errors import StoreError, UnknownSymbolError
from chandlery.publishing.publish import publish_together
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, every_row, get, put, register, rows, table, utc, wait_until_blocked

pytestmark = pytest.mark.every_edition

NOON = utc("2024-06-03T16:00")
#: Two rows near each other are many, so that they are restated where they were found.
FEW = MergeLimits(rows_as_arrays=1)


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})


def pair(close: float) -> list[Bar]:
    return [Bar("AAA", NOON + timedelta(minutes=minute), close=close) for minute in range(2)]


def everything(warehouse: Warehouse) -> dict[str, list[str]]:
    with warehouse.connection() as connection:
        return every_row(connection)


def logged(warehouse: Warehouse) -> Sequence[tuple[object, ...]]:
    with warehouse.connection() as connection:
        return connection.execute(
            "SELECT publication_id, timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments,"
            " instrument_ids, origin, calendars FROM ops.publication ORDER BY publication_id"
        ).fetchall()


def test_each_timeframe_has_its_own_report_and_its_own_entry_in_the_log(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    put(warehouse, Timeframe.M15, [Bar("AAA", NOON), Bar("BBB", NOON)])
    put(warehouse, Timeframe.H1, [Bar("AAA", NOON)])
    (_, last) = logged(warehouse)
    bars = {
        Timeframe.H1: table([Bar("AAA", NOON)]),
        Timeframe.M5: table([Bar("BBB", NOON + timedelta(minutes=5)), Bar("AAA", NOON), Bar("BBB", NOON)]),
        Timeframe.H4: empty_bars(),
        Timeframe.M15: table([Bar("BBB", NOON, close=11.5), Bar("AAA", NOON)]),
    }
    with warehouse.connection() as connection:
        reports = publish_together(connection, warehouse, bars)
    assert list(reports) == [Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4]
    counted = {each: (report.inserted, report.revised, report.unchanged) for each, report in reports.items()}
    assert counted == {
        Timeframe.M5: (3, 0, 0),
        Timeframe.M15: (0, 1, 1),
        Timeframe.H1: (0, 0, 1),
        Timeframe.H4: (0, 0, 0),
    }
    m5, m15 = reports[Timeframe.M5], reports[Timeframe.M15]
    assert reports[Timeframe.H1].publication_id is None
    calendars = last[-1]
    assert sorted(logged(warehouse)[2:], key=lambda entry: str(entry[1])) == [
        (m15.publication_id, "15m", m15.known_at, 0, 1, 1, NOON, NOON, 2, [ids["BBB"]], "ingest", calendars),
        (
            m5.publication_id,
            "5m",
            m5.known_at,
            3,
            0,
            0,
            NOON,
            NOON + timedelta(minutes=5),
            2,
            sorted(ids.values()),
            "ingest",
            calendars,
        ),
    ]
    assert rows(get(warehouse, Timeframe.M15, ids)) == [Bar("AAA", NOON), Bar("BBB", NOON, close=11.5)]


def test_windows_and_stale_days_are_those_of_the_timeframe_that_changed(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    midnight, month_later = utc("2024-06-03"), NOON + timedelta(days=30)
    bars = {
        Timeframe.D1: table([Bar("BBB", midnight)]),
        Timeframe.M1: table([Bar("AAA", NOON), Bar("AAA", month_later)]),
        Timeframe.M5: table([Bar("AAA", NOON)]),
    }
    with warehouse.connection() as connection:
        reports = publish_together(connection, warehouse, bars)
        stale = connection.execute(
            "SELECT timeframe, instrument_id, day::text, noted_at FROM ops.rollup_pending ORDER BY 1, 3"
        ).fetchall()
        windows = connection.execute(
            "SELECT timeframe, instrument_id, start::text, changed_at FROM ops.bar_window ORDER BY 1, 3"
        ).fetchall()
        covered = connection.execute("SELECT instrument_id, timeframe, session::text FROM ops.coverage").fetchall()
    days, minutes, fives = (reports[each].known_at for each in (Timeframe.D1, Timeframe.M1, Timeframe.M5))
    assert stale == [
        ("1d", ids["BBB"], "2024-06-03", days),
        ("1m", ids["AAA"], "2024-06-03", minutes),
        ("1m", ids["AAA"], "2024-07-03", minutes),
    ]
    assert windows == [
        ("1d", ids["BBB"], "2024-01-01", days),
        ("1m", ids["AAA"], "2024-06-01", minutes),
        ("1m", ids["AAA"], "2024-07-01", minutes),
        ("5m", ids["AAA"], "2024-06-01", fives),
    ]
    assert sorted(covered) == [(ids["AAA"], "1m", "2024-06-03"), (ids["AAA"], "1m", "2024-07-03")]


def test_all_of_them_are_published_or_none(warehouse: Warehouse, ids: dict[str, int]) -> None:
    before = everything(warehouse)
    bars = {Timeframe.M5: table([Bar("AAA", NOON)]), Timeframe.M15: table([Bar("ZZZ", NOON)])}
    with warehouse.connection() as connection, pytest.raises(UnknownSymbolError, match="ZZZ: not registered"):
        publish_together(connection, warehouse, bars)
    assert everything(warehouse) == before


@pytest.mark.parametrize(
    ("timeframe", "symbol", "held"),
    [
        (Timeframe.M5, "BBB", [(Timeframe.M5, "AAA")]),
        (Timeframe.H4, "AAA", [(Timeframe.M5, "AAA"), (Timeframe.M5, "BBB")]),
        (Timeframe.H4, "BBB", [(Timeframe.M5, "AAA"), (Timeframe.M5, "BBB"), (Timeframe.H4, "AAA")]),
    ],
)
def test_locks_are_taken_by_timeframe_and_then_by_instrument(
    warehouse: Warehouse, ids: dict[str, int], timeframe: Timeframe, symbol: str, held: list[tuple[Timeframe, str]]
) -> None:
    """Whoever publishes one of them is waited for, and nobody waits in a circle."""
    bars = {each: table([Bar("BBB", NOON), Bar("AAA", NOON)]) for each in (Timeframe.H4, Timeframe.M5)}
    reports = []

    def publish_both() -> None:
        with warehouse.connection() as connection:
            reports.append(publish_together(connection, warehouse, bars))

    with warehouse.connection() as connection:
        with connection.transaction():
            lock_instruments(connection, timeframe, [ids[symbol]])
            other = threading.Thread(target=publish_both)
            other.start()
            (pid,) = wait_until_blocked(warehouse.database.dsn)
            locks = connection.execute(
                "SELECT classid::int8 & 255, objid::int8, granted FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid = %s ORDER BY granted, 1, 2",
                (pid,),
            ).fetchall()
        other.join()
    waited_for = (timeframe.rank, ids[symbol], False)
    assert locks == [waited_for, *((each.rank, ids[name], True) for each, name in held)]
    assert [report.inserted for report in reports[0].values()] == [2, 2]


@pytest.mark.parametrize("apart", [timedelta(minutes=1), timedelta(days=40)])
def test_rows_are_restated_whether_they_are_found_again_by_place_or_by_key(
    warehouse: Warehouse, ids: dict[str, int], apart: timedelta
) -> None:
    limits = MergeLimits(rows_as_arrays=2)
    times = [NOON, NOON + apart, NOON + apart + timedelta(minutes=1)]
    put(warehouse, Timeframe.M1, [Bar("AAA", ts, close=11.0) for ts in times], limits=limits)
    first = put(warehouse, Timeframe.M1, [Bar("AAA", ts, close=11.0) for ts in times], limits=limits)
    report = put(warehouse, Timeframe.M1, [Bar("AAA", ts, close=11.5) for ts in times], limits=limits)
    assert (first.unchanged, report.inserted, report.revised) == (3, 0, 3)
    assert [bar.close for bar in rows(get(warehouse, Timeframe.M1, ids))] == [11.5] * 3
    assert [bar.close for bar in rows(get(warehouse, Timeframe.M1, ids, as_of=first.known_at))] == [11.0] * 3


@pytest.mark.only_on("postgres")
def test_bars_that_somebody_else_changes_meanwhile_are_not_restated_in_part(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    put(warehouse, Timeframe.M1, pair(11.0))
    errors: list[Exception] = []

    def restate() -> None:
        try:
            put(warehouse, Timeframe.M1, pair(11.5), limits=FEW)
        except StoreError as error:
            errors.append(error)

    with psycopg.connect(warehouse.database.dsn) as stranger:
        stranger.execute("UPDATE market.bars_1m SET close = 9.5 WHERE ts = %s", (NOON,))
        writer = threading.Thread(target=restate)
        writer.start()
        wait_until_blocked(warehouse.database.dsn)
        stranger.commit()
        writer.join()
    assert [str(error) for error in errors] == [
        "somebody else changed bars that were being published, without the pipeline; nothing was written: try again"
    ]
    assert [bar.close for bar in rows(get(warehouse, Timeframe.M1, ids))] == [9.5, 11.0]
    with warehouse.connection() as connection:
        assert connection.execute("SELECT count(*) FROM market.bars_revision").fetchone() == (0,)
    assert put(warehouse, Timeframe.M1, pair(11.5), limits=FEW).revised == 2
