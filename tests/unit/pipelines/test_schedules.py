"""The schedules: when they tick, and what a tick asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from assets.reference import SYMBOLS
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.due_windows import due_windows
from chandlery.instruments.registry import list_instruments
from chandlery.providers.base import ProviderLimits
from pipelines.partitions import RANGE_END, RANGE_START
from pipelines.schedules import cron_after_close, last_windows
from tests.pipeline import Tick, Workbench, failure_text, install, moment, new_database, open_workbench, requests
from tests.support import utc

NEW_YORK, SYDNEY = "America/New_York", "Australia/Sydney"
UNIVERSE = [
    {"symbol": "AAPL", "calendar": "XNYS", "provider": "vendor"},
    {"symbol": "MSFT", "calendar": "XNYS", "provider": "vendor"},
    {"symbol": "BTC/USD", "calendar": "24/7", "provider": "vendor", "timeframes": ["1m", "1d"]},
    {"symbol": "SIM", "calendar": "XNYS", "provider": "vendor", "timeframes": ["1m"]},
    {"symbol": "IBM", "calendar": "XNYS", "provider": "vendor", "timeframes": ["1d", "1m"]},
    {"symbol": "BHP", "calendar": "XASX", "provider": "vendor", "timeframes": ["1m"]},
    {"symbol": "OLD", "calendar": "XNYS", "provider": "files", "timeframes": ["1d", "1m"]},
    {"symbol": "MADE", "calendar": "XLON", "provider": "simulated"},
    {"symbol": "FED", "calendar": "XNYS", "provider": "feed", "timeframes": ["1m"]},
]
#: A provider of candles, which repair asks, and one whose calls cost nothing, so that repair leaves it alone.
PROVIDERS = {"vendor": {"kind": "coinbase", "options": {"url": "http://127.0.0.1:1"}}, "feed": {"kind": "feed"}}
FEED = """
from chandlery.providers.base import ProviderKind
from chandlery.providers.simulated.provider import SimulatedProvider

KIND = ProviderKind(name="feed", factory=lambda setup: SimulatedProvider(calendars=setup.calendars, name=setup.name))
"""


@pytest.fixture(scope="module")
def bench(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    folder = tmp_path_factory.mktemp("schedules")
    information = folder / "feed-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: feed\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[chandlery.providers]\nfeed = feed_of_tests:KIND\n")
    (folder / "feed_of_tests.py").write_text(FEED)
    with pytest.MonkeyPatch.context() as patch, new_database(server) as url:
        patch.syspath_prepend(folder)
        with open_workbench(install(folder, url, patch, UNIVERSE, PROVIDERS)) as bench:
            yield bench


def tick(bench: Workbench, schedule: str, at: str, zone: str = NEW_YORK) -> Tick:
    """Let a schedule tick at a wall-clock time."""
    context = dg.build_schedule_context(
        instance=bench.instance,
        scheduled_execution_time=moment(at, zone),
        resources={"store": bench.resources["store"]},
        repository_def=bench.repository,
    )
    with context:
        return bench.repository.get_schedule_def(schedule).evaluate_tick(context)


def ranges(found: Tick) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests(found)]


@pytest.mark.parametrize(
    ("calendar", "cron"),
    [
        ("XNYS", "30 16 * * MON,TUE,WED,THU,FRI"),
        ("24/7", "30 0 * * *"),
        ("XLON", "0 17 * * MON,TUE,WED,THU,FRI"),
        ("24/5", "30 17 * * MON,TUE,WED,THU,FRI"),
        ("XSAU", "30 15 * * MON,TUE,WED,THU,SUN"),
    ],
)
def test_a_schedule_fires_half_an_hour_after_the_usual_close(calendar: str, cron: str) -> None:
    assert cron_after_close(get_calendar(calendar)) == cron


@pytest.mark.parametrize(
    ("calendar", "now", "windows"),
    [
        ("XNYS", "2024-02-01 21:30", ("2024-02", "2024-02")),
        ("XNYS", "2024-02-01 21:00", ("2024-02", "2024-02")),  # the close itself is exclusive: the session is over
        ("XNYS", "2024-02-01 20:59", ("2024-01", "2024-01")),
        ("XNYS", "2024-07-01 20:30", ("2024-07", "2024-07")),  # summer time
        ("XNYS", "2024-01-15 21:30", None),  # Martin Luther King's day; Friday's close is long past
        ("XNYS", "2024-11-28 21:30", None),  # Thanksgiving: Wednesday's close is 24.5 hours past
        ("XNYS", "2024-11-29 21:30", ("2024-11", "2024-11")),  # closed at 13:00
        ("XNYS", "1979-01-01 00:00", None),  # before anything is known
        ("24/7", "2024-01-01 00:30", ("2023-12", "2023-12")),
        ("XASX", "2024-02-01 05:30", ("2024-01", "2024-02")),  # opened on 31 January at 23:00 UTC
        ("XASX", "2024-02-02 05:30", ("2024-02", "2024-02")),
    ],
)
def test_a_tick_is_about_the_session_that_closed_within_a_day(
    calendar: str, now: str, windows: tuple[str, str] | None
) -> None:
    assert last_windows(get_calendar(calendar), Timeframe.M1, utc(now)) == windows


def test_a_bar_of_a_day_belongs_to_the_year_of_its_session() -> None:
    # Sydney's session of 2 January 2024 opened on the first, in UTC; its label is what counts.
    assert last_windows(get_calendar("XASX"), Timeframe.D1, utc("2024-01-02 05:30")) == ("2024", "2024")
    assert last_windows(get_calendar("24/7"), Timeframe.D1, utc("2024-01-01 00:30")) == ("2023", "2023")


def test_a_session_day_asks_for_all_symbols_of_the_calendar(bench: Workbench) -> None:
    found = tick(bench, "xnys_1d_after_close", "2024-01-10 16:30")
    assert ranges(found) == [("AAPL|2024", "MSFT|2024"), ("IBM|2024", "IBM|2024")]
    assert found.skip_message is None


def test_symbols_that_stand_side_by_side_share_one_run(bench: Workbench) -> None:
    request, _ = requests(tick(bench, "xnys_1m_after_close", "2024-01-10 16:30"))
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("SIM|2024-01", "IBM|2024-01")
    assert request.tags["chandlery/timeframe"] == "1m"
    assert "SIM" in request.tags["chandlery/symbols"]
    assert request.tags["chandlery/provider"], "known while the run is queued"
    assert request.partition_key is None


def test_a_holiday_is_skipped_and_says_why(bench: Workbench) -> None:
    found = tick(bench, "xnys_1d_after_close", "2024-01-15 16:30")
    assert ranges(found) == []
    assert found.skip_message == "XNYS has had no session in the last day"


def test_a_half_day_is_not_skipped(bench: Workbench) -> None:
    assert ranges(tick(bench, "xnys_1m_after_close", "2024-11-29 16:30"))[0] == ("SIM|2024-11", "IBM|2024-11")


def test_the_first_tick_of_a_year_asks_for_the_window_of_the_session_that_closed(bench: Workbench) -> None:
    at = "2025-01-01 00:30"
    assert ranges(tick(bench, "always_open_1d_after_close", at, "UTC")) == [("BTC/USD|2024", "BTC/USD|2024")]
    assert ranges(tick(bench, "always_open_1m_after_close", at, "UTC")) == [("BTC/USD|2024-12", "BTC/USD|2024-12")]


def test_a_session_that_began_in_another_month_of_utc_asks_for_both(bench: Workbench) -> None:
    # Sydney's session of 1 February opens on 31 January at 23:00 UTC.
    assert ranges(tick(bench, "xasx_1m_after_close", "2024-02-01 16:30", SYDNEY)) == [("BHP|2024-01", "BHP|2024-02")]
    assert ranges(tick(bench, "xasx_1m_after_close", "2024-02-02 16:30", SYDNEY)) == [("BHP|2024-02", "BHP|2024-02")]


def test_a_calendar_whose_symbols_keep_no_such_bars_is_skipped(bench: Workbench) -> None:
    found = tick(bench, "xasx_1d_after_close", "2024-02-01 16:30", SYDNEY)
    assert (ranges(found), found.skip_message) == ([], "no XASX symbol keeps 1d bars that a provider has news of")


def test_symbols_of_providers_without_news_are_not_asked_for(bench: Workbench) -> None:
    found = tick(bench, "xlon_1d_after_close", "2024-01-10 16:30", "Europe/London")
    assert (ranges(found), found.skip_message) == ([], "no XLON symbol keeps 1d bars that a provider has news of")
    assert not any("OLD" in key for key, _ in ranges(tick(bench, "xnys_1d_after_close", "2024-01-10 16:30")))


def test_a_symbol_that_dagster_does_not_know_yet_is_left_out(bench: Workbench) -> None:
    bench.instance.delete_dynamic_partition(SYMBOLS, "IBM")
    try:
        assert ranges(tick(bench, "xnys_1d_after_close", "2024-01-10 16:30")) == [("AAPL|2024", "MSFT|2024")]
    finally:  # the order is restored
        for symbol in ("BHP", "OLD", "MADE", "FED"):
            bench.instance.delete_dynamic_partition(SYMBOLS, symbol)
        bench.instance.add_dynamic_partitions(SYMBOLS, ["IBM", "BHP", "OLD", "MADE", "FED"])


def test_a_tick_that_is_evaluated_twice_asks_once(bench: Workbench) -> None:
    def keys(at: str) -> list[str | None]:
        return [request.run_key for request in requests(tick(bench, "xnys_1d_after_close", at))]

    assert keys("2024-01-10 16:30") == keys("2024-01-10 16:30")
    assert len({*keys("2024-01-10 16:30"), *keys("2024-01-11 16:30")}) == 4


# --- after a time in which nothing ran


@pytest.fixture
def requested(bench: Workbench) -> Iterator[Callable[[str, str], None]]:
    """Note that sessions of a symbol were requested and are final, until the end of the test."""

    def note(symbol: str, sessions: str, timeframe: str = "1m") -> None:
        with bench.installation.warehouse.connection() as connection:
            connection.execute(
                "INSERT INTO ops.requested (instrument_id, timeframe, sessions, final, calendar)"
                " SELECT instrument_id, %s, %s, %s, calendar FROM market.instrument WHERE symbol = %s",
                (timeframe, sessions, sessions, symbol),
            )

    yield note
    with bench.installation.warehouse.connection() as connection:
        connection.execute("DELETE FROM ops.requested")


def test_windows_that_ended_while_nothing_ran_are_caught_up(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    requested("SIM", "{[2023-11-20,2023-12-15)}")
    requested("IBM", "{[2023-12-20,2024-01-31)}")
    found = tick(bench, "xnys_1m_after_close", "2024-02-05 16:30")
    spans = [("SIM|2023-12", "SIM|2024-02"), ("IBM|2024-01", "IBM|2024-02"), ("FED|2024-02", "FED|2024-02")]
    assert sorted(ranges(found)) == sorted(spans)
    assert len({request.run_key for request in requests(found)}) == 3


def test_on_a_holiday_too_what_was_missed_is_caught_up_and_nothing_else(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    requested("SIM", "{[2023-11-20,2023-12-28)}")
    requested("IBM", "{[2023-12-20,2024-01-13)}")
    found = tick(bench, "xnys_1m_after_close", "2024-01-15 16:30")
    assert ranges(found) == [("SIM|2023-12", "SIM|2024-01")]


def test_what_repair_looks_after_is_not_requested_in_the_middle_but_of_others_it_is(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    missed = "{[2023-06-20,2023-06-28),[2023-09-05,2024-01-10)}"
    requested("SIM", missed)  # by a provider that repair asks
    requested("FED", missed)
    found = tick(bench, "xnys_1m_after_close", "2024-01-10 16:30")
    assert sorted(ranges(found)) == sorted(
        [("SIM|2024-01", "IBM|2024-01"), ("FED|2024-01", "FED|2024-01"), ("FED|2023-06", "FED|2023-09")]
    )


def test_as_many_windows_are_caught_up_as_a_run_bears_the_newest_first(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    requested("SIM", "{[2022-01-20,2022-01-28)}")
    found = tick(bench, "xnys_1m_after_close", "2024-01-10 16:30")
    assert ("SIM|2023-02", "SIM|2024-01") in ranges(found)


def test_nothing_is_caught_up_that_the_provider_does_not_serve_any_more_or_that_was_not_listed(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    requested("SIM", "{[2022-01-20,2022-01-28)}")
    requested("FED", "{[2023-06-20,2023-06-28)}")
    limits = {"vendor": ProviderLimits(remote=True, history_depth={Timeframe.M1: timedelta(days=40)})}
    with bench.installation.warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET delisted = '2023-08-15' WHERE symbol = 'FED'")
        instruments = [each for each in list_instruments(connection) if each.symbol in {"SIM", "FED"}]
        found = due_windows(
            connection,
            instruments,
            Timeframe.M1,
            limits=limits,
            since=date(2020, 1, 1),
            now=utc("2024-01-10T21:30"),
        )
        connection.execute("UPDATE market.instrument SET delisted = NULL")
    assert found == {"SIM": ["2023-12", "2024-01"], "FED": ["2023-06", "2023-07", "2023-08"]}


@pytest.mark.slow
def test_what_a_feed_without_repair_missed_arrives_and_is_requested_once(
    bench: Workbench, requested: Callable[[str, str], None]
) -> None:
    requested("FED", "{[2023-11-20,2023-12-28)}")
    at = "2024-01-10 16:30"
    (request,) = [each for each in requests(tick(bench, "xnys_1m_after_close", at)) if "FED" in each.tags[RANGE_START]]
    result = bench.run(request)
    assert result.success, failure_text(result)
    assert bench.materialized("bars_1m") == {"FED|2023-12", "FED|2024-01"}
    assert [span for span in ranges(tick(bench, "xnys_1m_after_close", "2024-02-01 16:30")) if "FED" in span[0]] == [
        ("FED|2024-02", "FED|2024-02")
    ]


def test_daily_maintenance_makes_room_ahead(bench: Workbench) -> None:
    ahead = f"bars_1m_{datetime.now(UTC) + timedelta(days=50):%Y_%m}"
    with bench.installation.warehouse.connection() as connection:
        connection.execute(f"DROP TABLE market.{ahead}")  # type: ignore[call-overload]
    context = dg.build_schedule_context(instance=bench.instance, scheduled_execution_time=datetime.now(UTC))
    schedule = bench.repository.get_schedule_def("maintain_daily")
    assert len(requests(schedule.evaluate_tick(context))) == 1
    assert bench.defs.resolve_job_def(schedule.job_name).execute_in_process(instance=bench.instance).success
    assert bench.scalar(f"SELECT to_regclass('market.{ahead}')") is not None
