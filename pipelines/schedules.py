"""The schedules: for each calendar and timeframe, one run after the close for all symbols; and daily maintenance.

Not here: what a run does (``assets``).
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from assets.reference import SYMBOLS
from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.core.windows import DAY_US
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
        name="maintain_daily", job=maintain, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
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
        description=f"All {calendar.name} symbols that keep {timeframe.value} bars, after each session's close.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time.astimezone(UTC)
        windows = last_windows(calendar, timeframe, tick)
        if windows is None:
            yield dg.SkipReason(f"{calendar.name} has had no session in the last day")
            return
        order = context.instance.get_dynamic_partitions(SYMBOLS)
        scheduled = store.installation.scheduled_instruments(timeframe)
        symbols = [i.symbol for i in scheduled if i.calendar == calendar.name and i.symbol in set(order)]
        if not symbols:
            yield dg.SkipReason(f"no {calendar.name} symbol keeps {timeframe.value} bars that a provider has news of")
        for group in rectangles(symbols, order, _RUNS):
            yield dg.RunRequest(
                run_key=f"{tick.isoformat()}/{group[0]}",
                tags=range_tags(group[0], group[-1], *windows),
                run_config=run_config(timeframe, group, order),
            )

    return schedule


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


def last_windows(calendar: Calendar, timeframe: Timeframe, now: datetime) -> tuple[str, str] | None:
    """Return the first and the last window with bars of the session that closed in the day before ``now``, if one did.

    They differ where a session begins on the evening before, in UTC: Sydney's of 1 February opens in January.
    """
    us = microseconds(now)
    index = int(calendar.closes.searchsorted(us, side="right")) - 1
    if index < 0 or us - int(calendar.closes[index]) >= timedelta(days=1) // timedelta(microseconds=1):
        return None
    if timeframe.is_intraday:
        first, last = int(calendar.opens[index]), int(calendar.closes[index]) - 1
    else:
        first = last = int(calendar.sessions[index]) * DAY_US
    start, end = (datetime.fromtimestamp(instant / 1e6, UTC) for instant in (first, last))
    return timeframe.window_of(start).key, timeframe.window_of(end).key
