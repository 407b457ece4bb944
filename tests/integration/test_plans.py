"""How many rows the server looks at to say what is there, whatever it believes of its tables.

A server that was started a moment ago has no statistics, and one that counted a table while it was filled has wrong
ones. Then it takes nested loops, and compares every session with every bar: minutes instead of a tenth of a second.
Not here: how long anything takes (``benchmarks/terminal.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.coverage.session_states import count_states, session_states, state_runs
from chandlery.coverage.summary import missing_sessions, monthly_coverage, summarize
from chandlery.instruments.registry import Instrument
from chandlery.tiers.warehouse import Warehouse
from tests.support import instruments_of, register

DAYS = 2000
FIRST = datetime(2019, 1, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=DAYS)
#: For each day of three instruments: its session, what was requested, its bar, and what there is of its minutes.
FILL = """
INSERT INTO market.session (calendar, session, open, close, version)
SELECT '24/7', d::date, d, d + interval '1 day', 'test' FROM generate_series({first}, {last}, '1 day') AS d;
INSERT INTO ops.requested (instrument_id, timeframe, calendar, sessions, final)
SELECT i.instrument_id, t, '24/7', days, days
FROM market.instrument AS i, unnest('{{1m,1d}}'::text[]) AS t,
     datemultirange(daterange({first}::date, {last}::date)) AS days;
INSERT INTO market.source (source_id, name) OVERRIDING SYSTEM VALUE
VALUES (101, 'simulated'), (102, 'derived:1m:simulated') ON CONFLICT DO NOTHING;
CREATE TABLE market.bars_1d_of_test PARTITION OF market.bars_1d
FOR VALUES FROM ('2010-01-01') TO ('2030-01-01');
INSERT INTO market.bars_1d (instrument_id, ts, open, high, low, close, source, known_at)
SELECT i.instrument_id, d, 1, 1, 1, 1, 101 + (i.symbol = 'CCC')::int, d
FROM market.instrument AS i, generate_series({first}, {last}, '1 day') AS d;
INSERT INTO ops.coverage (
    instrument_id, timeframe, session, present, outside, first_ts, last_ts, missing_start, missing_slots
)
SELECT i.instrument_id, '1m', d::date, 1440, 0, d, d + interval '1439 minutes', d, 0
FROM market.instrument AS i, generate_series({first}, {last}, '1 day') AS d WHERE i.symbol = 'CCC';
"""
TABLES = "n.nspname IN ('market', 'ops') AND c.relkind IN ('r', 'p')"
CLEAR = f"""
SELECT pg_clear_relation_stats(n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {TABLES};
SELECT pg_clear_attribute_stats(schemaname, tablename, attname, inherited)
FROM pg_stats WHERE schemaname IN ('market', 'ops')
"""
FEW = f"""
SELECT pg_restore_relation_stats(
    'schemaname', n.nspname::text, 'relname', c.relname::text, 'relpages', 1, 'reltuples', 5::real
)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {TABLES}
"""
#: What the server believes of its tables.
BELIEFS = {"nothing": CLEAR, "that they hold five rows": f"{CLEAR};{FEW}", "what is so": f"{CLEAR};ANALYZE"}


class _Noting(psycopg.Cursor[Any]):
    """Keeps what is asked, to let the server explain it."""

    asked: list[tuple[Any, Any]]

    def execute(self, query: Any, params: Any = None, **how: Any) -> _Noting:  # noqa: ANN401 - as of psycopg
        self.asked.append((query, params))
        super().execute(query, params, **how)
        return self


def most_rows(node: dict[str, Any]) -> int:
    """Return how many rows that part of a plan looks at that looks at most of them."""
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    own = sum(node.get(kind, 0) for kind in kinds) * node["Actual Loops"]
    return max(int(own), *map(most_rows, node.get("Plans", ())), 0)


@pytest.fixture
def filled(warehouse: Warehouse) -> Iterator[tuple[psycopg.Connection, list[Instrument]]]:
    register(warehouse, dict.fromkeys(["AAA", "BBB", "CCC"], "24/7"))
    with warehouse.connection() as connection:
        connection.execute(FILL.format(first=f"'{FIRST}'::timestamptz", last=f"'{LAST}'::timestamptz").encode())
        yield connection, list(instruments_of(warehouse).values())


@pytest.mark.parametrize("belief", BELIEFS)
def test_no_question_of_coverage_compares_every_session_with_every_bar(
    filled: tuple[psycopg.Connection, list[Instrument]], belief: str
) -> None:
    connection, instruments = filled
    connection.execute(BELIEFS[belief].encode())
    asked: list[tuple[Any, Any]] = []
    connection.cursor_factory = type("Noting", (_Noting,), {"asked": asked})
    summarize(connection, instruments, now=LAST)
    for timeframe in (Timeframe.D1, Timeframe.M1):
        count_states(connection, instruments, timeframe, now=LAST)
        state_runs(connection, instruments, timeframe, now=LAST)
        session_states(connection, instruments, timeframe, FIRST.date(), LAST.date(), now=LAST)
        monthly_coverage(connection, instruments, timeframe, now=LAST)
        missing_sessions(connection, instruments[-1], timeframe, now=LAST)
    connection.cursor_factory = psycopg.Cursor
    looked_at = {}
    for statement, values in asked:
        text = statement.as_string(connection) if hasattr(statement, "as_string") else statement
        explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}"
        (plan,) = connection.execute(explained.encode(), values).fetchone() or ()
        looked_at[text] = most_rows(plan[0]["Plan"])
    # A nested loop looks at two thousand times as much as there is.
    assert {text: count for text, count in looked_at.items() if count > 10 * len(instruments) * DAYS} == {}
    assert len(looked_at) >= 20
