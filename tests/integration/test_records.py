"""Everything that the command line tells of bars, the library returns: as tables with a schema that is documented."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chandlery.api.data import DataAPI
from chandlery.api.tables import ALIASES, COVERAGE, HALTS, INSTRUMENTS, MISSING, QUARANTINE
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.halts import record_halts
from chandlery.coverage.session_states import RUNS, STATES
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.ingest import rejected_rows
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.instruments.halts import Halt
from chandlery.instruments.sessions import sync_sessions
from chandlery.reading.revisions import REVISIONS
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, Traded, put, register, table, utc

MINUTE = utc("2024-06-03T14:30")


@pytest.fixture
def api(warehouse: Warehouse) -> Iterator[DataAPI]:
    ids = register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS"])
    days = [utc("2024-06-03"), utc("2024-06-05")]
    put(warehouse, Timeframe.D1, [Bar("AAA", day) for day in days])
    put(warehouse, Timeframe.D1, [Bar("AAA", days[0], close=9.25)])
    put(warehouse, Timeframe.M1, [Bar("BBB", MINUTE + timedelta(minutes=n)) for n in range(3)])
    window = Timeframe.M1.window("2024-06")
    partition = Partition.of(Traded("BBB", instrument_id=ids["BBB"]), Timeframe.M1, window)
    bad = table([Bar("BBB", MINUTE + timedelta(minutes=3), high=1.0)])
    bad = bad.append_column("reasons", pa.array([["high_is_highest"]], pa.list_(pa.string()))).cast(REJECTED)
    checks = [Check("high_is_highest", "critical", passed=False, failed_rows=1)]
    with warehouse.connection() as connection:
        rejected_rows.store_rejected(connection, Verdict(partition, True, 4, checks, bad), "simulated")
        record_halts(connection, [Halt("BBB", MINUTE, MINUTE + timedelta(minutes=5), "LUDP")])
    with DataAPI(warehouse) as opened:
        yield opened


def test_coverage_says_what_there_is_of_each_instrument(api: DataAPI) -> None:
    found = api.coverage(output="arrow")
    assert found.schema.equals(COVERAGE)
    days = {row["symbol"]: row for row in found.to_pylist() if row["timeframe"] == "1d"}["AAA"]
    assert (days["rows"], days["present"], days["first_ts"]) == (2, 2, utc("2024-06-03"))
    assert days["missing"] == days["expected"] - 2
    frame = api.coverage(["BBB"], "1m")
    assert frame.index.names == ["symbol", "timeframe"]
    assert frame.loc[("BBB", "1m"), "slots_present"] == 3
    assert str(frame["last_ts"].dtype) == "datetime64[us, UTC]"
    missing = api.missing_sessions(["AAA"], output="arrow")
    assert missing.schema.equals(MISSING)
    assert missing.to_pylist()[0] == {
        "symbol": "AAA",
        "timeframe": "1d",
        "sessions": 1,
        "first": date(2024, 6, 4),
        "last": date(2024, 6, 4),
    }
    assert sum(missing["sessions"].to_pylist()) == days["missing"]


def test_states_of_sessions_come_as_runs_and_of_a_day(api: DataAPI) -> None:
    runs = api.session_states(["AAA"], "1d", "2024-06-03", "2024-06-06", output="arrow")
    assert runs.schema.names == ["symbol", "timeframe", *RUNS.names[1:]]
    assert sum(runs["sessions"].to_pylist()) == 3
    first = runs["state"].to_pylist()[0]
    assert api.session_states(["AAA"], "1d", "2024-06-03", "2024-06-06", state=first)["state"].unique().tolist() == [
        first
    ]
    later = api.session_states(["AAA"], "1d", "2024-06-03T00:00:00.000001Z", "2024-06-06", output="arrow")
    assert min(later["first"].to_pylist()) == date(2024, 6, 4)
    day = api.states_of_day("2024-06-08", output="arrow")
    assert day.schema.names == ["symbol", "timeframe", *STATES.names[1:]]
    assert set(day["state"].to_pylist()) == {"closed"}
    with pytest.raises(UsageError, match="timeframe='5m' is derived"):
        api.session_states(timeframe="5m")


def test_instruments_their_names_and_their_halts(api: DataAPI, warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        connection.execute(
            "INSERT INTO market.symbol_alias (ticker, valid_from, valid_until, instrument_id)"
            " SELECT 'OLD', '2010-01-01', '2020-01-01', instrument_id FROM market.instrument WHERE symbol = 'AAA'"
        )
    found = api.instruments(output="arrow")
    assert found.schema.equals(INSTRUMENTS)
    assert found["symbol"].to_pylist() == ["AAA", "BBB"]
    assert api.instruments(["OLD"]).index.tolist() == ["AAA"]
    assert api.instruments([]).empty
    names = api.aliases(output="arrow")
    assert names.schema.equals(ALIASES)
    assert {"symbol": "AAA", "ticker": "OLD", "valid_from": date(2010, 1, 1), "valid_until": date(2020, 1, 1)} in (
        names.to_pylist()
    )
    halts = api.halts(output="arrow")
    assert halts.schema.equals(HALTS)
    assert halts["start"].to_pylist() == [MINUTE]
    assert api.halts(["AAA"]).empty
    assert api.halts([]).empty
    with pytest.raises(UnknownSymbolError):
        api.instruments(["NOPE"])


def test_revisions_are_every_value_of_what_was_restated(api: DataAPI) -> None:
    found = api.revisions("AAA", output="arrow")
    assert found.schema.equals(REVISIONS)
    assert found["close"].to_pylist() == [11.0, 9.25]
    assert [each is None for each in found["superseded_at"].to_pylist()] == [False, True]
    assert api.revisions("AAA", "2024-06-04").empty


def test_what_the_gate_rejected_is_listed_with_its_rows(api: DataAPI) -> None:
    found = api.quarantine(output="arrow")
    assert found.schema.equals(QUARANTINE)
    assert found["symbol"].to_pylist() == ["BBB"]
    rows = api.rejected_rows(found["quarantine_id"].to_pylist()[0])
    assert rows.index.tolist() == [pd.Timestamp(MINUTE + timedelta(minutes=3))]
    assert rows["reasons"].tolist()[0].tolist() == ["high_is_highest"]
    assert api.quarantine(["AAA"], everything=True).empty
    with pytest.raises(UsageError, match="quarantine has no entry 99"):
        api.rejected_rows(99)


def test_findings_by_rule(api: DataAPI) -> None:
    assert api.findings(rule="price_jump").empty


def test_stats_count_the_cache_and_the_connections(api: DataAPI) -> None:
    for _ in range(2):
        api.get_ohlc("AAA")
    seen = api.stats()
    (memory,) = seen.cache
    assert (memory.place, memory.hits >= 1, memory.misses >= 0) == ("memory", True, True)
    assert seen.connections.open >= 1
    assert seen.connections.idle == seen.connections.open
    assert (seen.connections.waiting, seen.connections.arrow_lent) == (0, 0)


def test_the_status_is_that_of_the_command(api: DataAPI) -> None:
    seen = api.status()
    assert (seen.instruments, seen.quarantined) == (2, 1)


@pytest.mark.parametrize("method", ["coverage", "instruments", "aliases", "halts", "quarantine", "missing_sessions"])
def test_every_table_comes_in_every_form(api: DataAPI, method: str) -> None:
    call: Any = getattr(api, method)
    arrow, polars, pandas = (call(output=output) for output in ("arrow", "polars", "pandas"))
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == arrow.column_names
    assert len(pandas) == arrow.num_rows
