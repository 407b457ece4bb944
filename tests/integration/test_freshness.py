"""Whether bars are up to date: by the newest bar of each symbol, not by when something ran."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from assets.freshness import UP_TO_DATE
from chandlery.app.installation import Installation
from chandlery.config.universe import InstrumentConfig
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.freshness import GRACE, find_behind
from chandlery.instruments.registry import list_instruments, sync_instruments
from chandlery.tiers.warehouse import Warehouse
from pipelines.freshness import build_freshness_sensor
from tests.pipeline import install, new_database, open_workbench
from tests.support import Bar, forget_bars, put, utc

#: A Friday's close in New York, and the next sessions' after the weekend and a holiday (Memorial Day).
FRIDAY, TUESDAY = datetime(2024, 5, 24, 20, tzinfo=UTC), datetime(2024, 5, 28, 20, tzinfo=UTC)


def behind(
    warehouse: Warehouse, now: datetime, timeframe: Timeframe = Timeframe.D1
) -> dict[str, tuple[str | None, str, int]]:
    """Return newest bar, since when, and how many sessions, of each symbol that is behind."""
    with warehouse.connection() as connection:
        found = find_behind(connection, list_instruments(connection), timeframe, now=now)
    form = "%Y-%m-%d %H:%M"
    return {
        each.symbol: (each.newest and each.newest.strftime(form), each.since.strftime(form), each.sessions)
        for each in found
    }


def listed(warehouse: Warehouse, **more: date) -> None:
    with warehouse.connection() as connection:
        sync_instruments(
            connection,
            [
                InstrumentConfig(symbol="AAA", calendar="XNYS", provider="simulated", **more),
                InstrumentConfig(symbol="COIN", calendar="24/7", provider="simulated", **more),
            ],
        )


def test_a_symbol_is_behind_from_the_first_close_after_its_newest_bar_and_not_over_a_holiday(
    warehouse: Warehouse,
) -> None:
    listed(warehouse)
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-05-24")), Bar("COIN", utc("2024-05-25"))])
    assert behind(warehouse, datetime(2024, 5, 26, 1, tzinfo=UTC)) == {}
    # Sunday: the exchange has been closed since, the coin has not.
    assert behind(warehouse, datetime(2024, 5, 27, 12, tzinfo=UTC)) == {
        "COIN": ("2024-05-25 00:00", "2024-05-27 00:00", 1)
    }
    assert "AAA" not in behind(warehouse, TUESDAY + GRACE - timedelta(seconds=1))
    assert behind(warehouse, TUESDAY + GRACE)["AAA"] == ("2024-05-24 00:00", "2024-05-28 20:00", 1)
    assert behind(warehouse, TUESDAY + timedelta(days=2))["AAA"][2] == 2


def test_minutes_are_measured_by_the_session_of_the_newest_and_what_has_none_lacks_the_last(
    warehouse: Warehouse,
) -> None:
    listed(warehouse)
    put(warehouse, Timeframe.M1, [Bar("AAA", FRIDAY - timedelta(minutes=1))])
    found = behind(warehouse, TUESDAY + GRACE, Timeframe.M1)
    assert found["AAA"] == ("2024-05-24 19:59", "2024-05-28 20:00", 1)
    assert found["COIN"] == (None, "2024-05-28 00:00", 1)


def test_nobody_expects_bars_of_what_is_not_listed(warehouse: Warehouse) -> None:
    listed(warehouse, delisted=date(2024, 5, 25))
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-05-24")), Bar("COIN", utc("2024-05-24"))])
    assert behind(warehouse, TUESDAY + timedelta(days=30)) == {}


UNIVERSE = [
    {"symbol": "SIM", "calendar": "XNYS", "provider": "coinbase", "timeframes": ["1d"]},
    {"symbol": "OLD", "calendar": "XNYS", "provider": "sample", "timeframes": ["1d"]},
]


@pytest.fixture
def installation(
    tmp_path_factory: pytest.TempPathFactory, server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    with new_database(server) as url:
        yield install(
            tmp_path_factory.mktemp("freshness"), url, monkeypatch, UNIVERSE, {"coinbase": {"kind": "coinbase"}}
        )


def test_the_sensor_says_so_while_nothing_runs_and_once(installation: Installation) -> None:
    now = [TUESDAY + GRACE]
    sensor = build_freshness_sensor(lambda: now[0])
    with dg.DagsterInstance.ephemeral() as instance, open_workbench(installation, instance) as bench:

        def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
            with dg.build_sensor_context(
                instance, cursor=cursor, resources=bench.resources, definitions=bench.defs
            ) as context:
                result = sensor(context)
            assert isinstance(result, dg.SensorResult | dg.SkipReason)
            return result

        with installation.warehouse.connection() as connection:
            forget_bars(connection)
        put(installation.warehouse, Timeframe.D1, [Bar("SIM", utc("2024-05-24"))])
        first = tick(None)
        assert isinstance(first, dg.SensorResult)
        found = {event.asset_key.to_user_string(): event for event in first.asset_events}
        days = found["coverage_1d"]
        assert isinstance(days, dg.AssetCheckEvaluation)
        assert (days.check_name, days.passed, days.severity) == (UP_TO_DATE, False, dg.AssetCheckSeverity.WARN)
        assert days.description == "1 of 1 symbol is behind, since 2024-05-28 20:00Z at the earliest: SIM"
        table = days.metadata["behind"]
        assert isinstance(table, dg.TableMetadataValue)
        assert [dict(record.data) for record in table.records] == [
            {"symbol": "SIM", "newest bar": "2024-05-24 00:00Z", "behind since": "2024-05-28 20:00Z", "sessions": 1}
        ]
        assert isinstance(tick(first.cursor), dg.SkipReason)
        put(installation.warehouse, Timeframe.D1, [Bar("SIM", utc("2024-05-28"))])
        second = tick(first.cursor)
        assert isinstance(second, dg.SensorResult)
        assert [event.passed for event in second.asset_events if isinstance(event, dg.AssetCheckEvaluation)] == [True]
        now[0] += timedelta(days=14)
        third = tick(second.cursor)
        assert isinstance(third, dg.SensorResult)
        (late,) = third.asset_events
        assert isinstance(late, dg.AssetCheckEvaluation)
        assert late.severity is dg.AssetCheckSeverity.ERROR
