"""The schedules: for each calendar and timeframe, one run after the close for all symbols; and daily maintenance.

Not here: what a run does (``assets``).
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from assets.reference import SYMBOLS
from assets.tags import run_tags
from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.coverage.due_windows import due_windows, last_windows
from pipelines.jobs import ingest_job_name, maintain
from pipelines.partitions import range_tags, rectangles, run_config
from resources.store import StoreResource

#: Providers' daily bars are still moving at the close itself.
_AFTER_CLOSE = timedelta(minutes=30)
#: A tick launches so many runs at most, each for one rectangle of partitions.
_RUNS = 4
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def build_schedules(calendars: Collection[str], live: Collection[str]) -> list[dg.ScheduleDefinition]:
    """Return the schedules of these calendars.

    Args:
        calendars: names of calendars.
        live: those with an instrument whose provider's data changes; only theirs are on by default.
    """
    schedules = [
        _after_close(get_calendar(name), timeframe, on=name in live)
        for name in sorted(calendars)
        for timeframe in INGESTED
    ]
    daily = dg.ScheduleDefinition(
        name="maintain_daily",
        job=maintain,
        cron_schedule="0 3 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night: makes room ahead, compresses, archives, and prunes what the lake holds.",
    )
    return [*schedules, daily]


def _after_close(calendar: Calendar, timeframe: Timeframe, *, on: bool) -> dg.ScheduleDefinition:
    cron = cron_after_close(calendar)

    @dg.schedule(
        name=f"{calendar.name.lower().replace('/', '_')}_{timeframe.value}_after_close".replace("24_7", "always_open"),
        job_name=ingest_job_name(timeframe),
        cron_schedule=cron,
        execution_timezone=calendar.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description=f"All {calendar.name} symbols that keep {timeframe.value} bars, after each session's close; windows"
        " whose end passed while nothing ran are caught up.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time.astimezone(UTC)
        installation = store.installation
        order = context.instance.get_dynamic_partitions(SYMBOLS)
        known = set(order)
        scheduled = [
            instrument
            for instrument in installation.scheduled_instruments(timeframe)
            if instrument.calendar == calendar.name and instrument.symbol in known
        ]
        with store.warehouse.connection() as connection:
            due = due_windows(
                connection,
                scheduled,
                timeframe,
                limits=installation.providers.remote_limits(),
                since=installation.universe.history.first_day(timeframe),
                now=tick,
            )
        if not due:
            yield dg.SkipReason(_why_nothing(calendar, timeframe, tick, is_empty=not scheduled))
        providers = {instrument.symbol: instrument.provider for instrument in scheduled}
        for (first, last), symbols in _by_range(timeframe, due).items():
            for group in rectangles(symbols, order, _RUNS):
                of_group = [providers[symbol] for symbol in group]
                yield dg.RunRequest(
                    run_key=f"{tick.isoformat()}/{first}/{group[0]}",
                    job_name=ingest_job_name(timeframe),
                    tags=range_tags(group[0], group[-1], first, last) | run_tags(timeframe, group, of_group),
                    run_config=run_config(timeframe, group, order),
                )

    return schedule


def _why_nothing(calendar: Calendar, timeframe: Timeframe, tick: datetime, *, is_empty: bool) -> str:
    if is_empty:
        return f"no {calendar.name} symbol keeps {timeframe.value} bars that a provider has news of"
    if last_windows(calendar, timeframe, tick) is None:
        return f"{calendar.name} has had no session in the last day"
    return f"no {calendar.name} symbol was listed in the last day"


def cron_after_close(calendar: Calendar) -> str:
    """Return the cron expression, in the calendar's zone, of half an hour after its usual close on its usual days."""
    recent = slice(-260, None)
    zone = ZoneInfo(calendar.timezone)
    closes = [datetime.fromtimestamp(us / 1e6, zone) for us in calendar.closes[recent].tolist()]
    times = [(close.hour, close.minute) for close in closes]
    hour, minute = max(set(times), key=times.count)
    at = datetime(2000, 1, 1, hour, minute, tzinfo=UTC) + _AFTER_CLOSE
    # A market that closes at midnight has its session's day behind it when the cron fires.
    days = {close.weekday() for close in closes}
    shown = "*" if len(days) == len(_WEEKDAYS) else ",".join(_WEEKDAYS[day] for day in sorted(days))
    return f"{at.minute} {at.hour} * * {shown}"


def _by_range(timeframe: Timeframe, due: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], list[str]]:
    """Return the symbols by the runs of neighbouring windows that are due, each as its first and its last key."""
    symbols: dict[tuple[str, str], list[str]] = defaultdict(list)
    for symbol, keys in due.items():
        first = previous = keys[0]
        for key in keys[1:]:
            if timeframe.window(previous).end != timeframe.window(key).start:
                symbols[first, previous].append(symbol)
                first = key
            previous = key
        symbols[first, previous].append(symbol)
    return symbols
