"""``why``: where a bar comes from and what it was before, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from chandlery.api.data import DataAPI
from chandlery.cli.output import columns_of, moment, number, say
from chandlery.cli.session import Session
from chandlery.core.text import counted, plural
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.lineage.steps import Answer, BaseBars, Lineage, Missing, Publication, Rejection, Value

_NOT_RECORDED = "not recorded: published by an earlier version of Chandlery"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\nchandlery why AAPL 2012-09-19\n\nchandlery why AAPL 2024-03-11T14:30 -t 1m"
        "\n\nchandlery why AAPL 2012-09-19 --as-of 2024-06-01T12:00:00Z --json"
    )(why)


def why(
    ctx: typer.Context,
    *,
    symbol: Annotated[str, typer.Argument(help="Symbol, or a ticker that named the instrument then.")],
    ts: Annotated[str, typer.Argument(metavar="TIME", help="Start of the bar: 2024-01-31 or 2024-01-31T14:30.")],
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="1m 5m 15m 30m 1h 4h 1d 1w 1mo")] = "1d",
    as_of: Annotated[str | None, typer.Option(help="Show what was known at this time.")] = None,
    tz: Annotated[str, typer.Option(help="Zone of a TIME that names none, as in America/New_York.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that is known, as JSON.")] = False,
) -> None:
    """Show where a bar comes from and what it was before, or why there is none.

    That is: the provider's request and answer, the landed file, the run, the versions of the gate's rules and of the
    calendar, the person who released it from quarantine, and every earlier value with the same. Of a derived bar, also
    the base bars that it was computed from.
    """
    moment_of_bar = _in_zone(ts, tz)
    width = Timeframe.parse(timeframe)
    lineage = DataAPI(Session.of(ctx).warehouse).lineage(symbol, moment_of_bar, width.value, as_of=as_of)
    if as_json:
        say(json.dumps(lineage.to_dict(), indent=2))
        return
    for line in _page(lineage):
        say(line)


def _in_zone(text: str, zone: str) -> str | datetime:
    """Return a time that names no zone as one of ``zone``; a date, and what is no time at all, as it is."""
    try:
        where = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"tz={zone!r} is not a time zone; write a name such as UTC or America/New_York") from None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if len(text) <= 10 or given.tzinfo is not None else given.replace(tzinfo=where)


def _page(lineage: Lineage) -> Iterator[str]:
    width = Timeframe(lineage.timeframe)
    start = f"{lineage.ts:%Y-%m-%d %H:%MZ}" if width.is_intraday else f"{lineage.ts:%Y-%m-%d}"
    known = f", as known at {moment(lineage.as_of)}" if lineage.as_of is not None else ""
    yield f"{lineage.symbol} {width.value} {start}{known}"
    if lineage.missing is not None:
        yield from _section("no bar", _missing_facts(lineage.missing))
    for place, value in enumerate(lineage.values):
        until = f" until {_exact(value.superseded_at)}" if value.superseded_at is not None else ""
        title = f"{'before' if place else 'value'}, believed from {_exact(value.known_at)}{until}"
        yield from _section(title, _value_facts(value))
    shown = [value.publication.release for value in lineage.values if value.publication is not None]
    for rejection in lineage.rejections:
        if rejection not in shown:
            yield from _section(f"rejected on {moment(rejection.rejected_at)}", _rejection_facts(rejection))


def _section(title: str, facts: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield ""
    yield title
    for line in columns_of(facts):
        yield f"  {line}"


def _value_facts(value: Value) -> Iterator[tuple[str, str]]:
    yield "bar", " ".join(f"{name}={number(part)}" for name, part in value.bar.items() if part is not None)
    yield "source", value.source
    if value.publication is None:
        yield "publication", _NOT_RECORDED
    else:
        yield from _publication_facts(value.publication)
    for base in value.derived_from:
        yield "made of", _base_text(base)


def _publication_facts(publication: Publication) -> Iterator[tuple[str, str]]:
    yield "publication", f"{publication.publication_id}: {publication.kind}"
    if not publication.recorded:
        yield "origin", _NOT_RECORDED
        return
    yield "run", publication.run_id or "none: published outside of a run"
    if publication.answer is not None:
        yield from _answer_facts(publication.answer)
    if publication.rules is not None:
        yield "rules", f"version {publication.rules}"
    if publication.calendar is not None:
        yield "calendar", publication.calendar
    if publication.release is not None:
        yield from _rejection_facts(publication.release)


def _answer_facts(answer: Answer) -> Iterator[tuple[str, str]]:
    span = f"[{moment(answer.start)}, {moment(answer.end)})"
    yield "request", f"{answer.provider}: {span}, sent {moment(answer.requested_at)}"
    if answer.file is not None:
        yield "file", answer.file
    if answer.path is not None:
        gone = f"; the file was deleted on {moment(answer.deleted_at)}" if answer.deleted_at is not None else ""
        yield "landed", f"{answer.path}, {number(answer.rows)} {plural(answer.rows or 0, 'bar')}{gone}"


def _rejection_facts(rejection: Rejection) -> Iterator[tuple[str, str]]:
    broken = f" (its own: {', '.join(rejection.broken)})" if rejection.broken else ""
    yield "rejected", f"{moment(rejection.rejected_at)}, entry {rejection.quarantine_id}: {rejection.reason}{broken}"
    yield "rejected by", f"rules {rejection.rules or 'not recorded'}, run {rejection.run_id or 'not recorded'}"
    if rejection.released_at is not None:
        person = rejection.released_by or "somebody whose name was not recorded"
        yield "released", f"{moment(rejection.released_at)} by {person}: {rejection.release_reason}"
    else:
        yield "state", "replaced by a later answer" if rejection.replaced else "waits in quarantine"


def _base_text(base: BaseBars) -> str:
    day = not Timeframe(base.timeframe).is_intraday
    first, last = (moment(each, day=day) for each in (base.first, base.last))
    span = f"{number(base.bars)} {base.timeframe} {plural(base.bars, 'bar')}, {first}" + (
        f" to {last}" if base.bars > 1 else ""
    )
    publication = base.publication
    if publication is None or not publication.recorded:
        return f"{span}; where from was not recorded"
    answer = publication.answer
    parts = [f"{span}; publication {publication.publication_id}: {publication.kind}"]
    parts += [f"run {publication.run_id}"] if publication.run_id else []
    parts += [part for part in (answer.provider, answer.file, answer.path) if part] if answer is not None else []
    return ", ".join(parts)


def _missing_facts(missing: Missing) -> Iterator[tuple[str, str]]:
    yield "state", missing.state
    yield "why", missing.explanation
    if missing.session is not None:
        yield "session", f"{missing.session}"
        final = f"final since {moment(missing.final_at)}" if missing.final else "not final"
        yield "requested", f"yes, {final}" if missing.requested else "no"
    if missing.last_answer is not None:
        yield from _answer_facts(missing.last_answer)
    if missing.tries:
        yield "tried again", f"{counted(missing.tries, 'time')}; next not before {moment(missing.next_try)}"


def _exact(value: datetime | None) -> str:
    """Return a time to the microsecond, so that it can be given to ``--as-of``."""
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if value is not None else ""
