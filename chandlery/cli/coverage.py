"""``coverage``: what there is of each instrument, what of its sessions is not, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer

from chandlery.cli.output import Format, moment, note, number, out, say, table
from chandlery.cli.session import Session
from chandlery.coverage import Summary, missing_sessions, summarize
from chandlery.errors import UsageError
from chandlery.instruments import Instrument, list_instruments, resolve
from chandlery.timeframe import Timeframe, parse_range

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.state_map import StateMap
    from chandlery.states import State

_EXAMPLES = """Examples:

chandlery coverage

chandlery coverage AAPL --timeframe 1d --format json

chandlery coverage AAPL --day 2024-12-25

chandlery coverage --state provider_gap --start 2024-01-01

chandlery coverage -t 1m --picture coverage.png"""
#: More rows make a picture that no viewer opens.
_ROWS_DRAWN = 2000
_NAMED = 10


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked: of which instruments, timeframes and sessions [since, until); and which providers are still."""

    instruments: Sequence[Instrument]
    named: bool
    timeframes: Sequence[Timeframe]
    since: date | None
    until: date | None
    still: frozenset[str]

    @property
    def ingested(self) -> list[Timeframe]:
        """The timeframes that have states."""
        return [timeframe for timeframe in self.timeframes if timeframe.is_ingested]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(coverage)


def coverage(
    ctx: typer.Context,
    *,
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Which; all by default. With one, missing sessions are listed.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", "-t", help="Which; all by default.")] = None,
    states: Annotated[bool, typer.Option("--states/--no-states", help="Count the sessions in each state.")] = True,
    start: Annotated[str | None, typer.Option(help="First session of the states; the first known by default.")] = None,
    end: Annotated[str | None, typer.Option(help="The states' end, exclusive; now by default.")] = None,
    day: Annotated[str | None, typer.Option(metavar="DATE", help="Tell the state of this day instead.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="List the sessions in this state instead.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the states instead; a file a timeframe.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="table or json")] = Format.TABLE,
) -> None:
    """Show what is stored: rows, range, sessions present of those expected, sources; and why sessions lack something.

    Sessions are expected from the first stored bar's to the last one's, by the instrument's calendar. Of 1m, also
    minutes: bars in open minutes, of those there are; and bars outside sessions. Derived bars are as complete as the
    bars they are derived from.

    States are of sessions from the first that was asked for or is there until now (or the last such, of a provider that
    never has news): complete; no_trades (thin trading, or the provider confirmed that there is no more); partial (not
    asked for as a whole); halted; provider_gap (asked for, and too much is missing); quarantined (lacks what the gate
    rejected); not_final (may still change); never_fetched; not_listed; and of days, closed.
    """
    if form not in {Format.TABLE, Format.JSON}:
        raise UsageError(f"format={form.value!r} is not available here; allowed: table json")
    if sum(option is not None for option in (day, state, picture)) > 1:
        raise UsageError("--day, --state and --picture exclude each other; give one")
    installation = Session.of(ctx).installation
    with installation.database.connection() as connection:
        order = _order(connection, symbols or (), timeframe, (start, end), installation.still)
        if day is not None:
            _tell_day(connection, order, _date("day", day), form)
        elif state is not None:
            _list_state(connection, order, state, form)
        elif picture is not None:
            _draw(connection, order, picture)
        else:
            _summarize(connection, order, form, states=states)


def _order(
    connection: psycopg.Connection,
    symbols: Sequence[str],
    timeframe: str | None,
    span: tuple[str | None, str | None],
    still: frozenset[str],
) -> _Order:
    instruments = [resolve(connection, symbol, *parse_range("1900-01-01", "2200-01-01")) for symbol in symbols]
    since, until = (
        None if text is None else _date(name, text) for name, text in zip(("start", "end"), span, strict=True)
    )
    if since and until and since >= until:
        raise UsageError(f"start={since} is not before end={until}; ranges are half-open [start, end)")
    return _Order(
        instruments or list_instruments(connection),
        bool(instruments),
        [Timeframe.parse(timeframe)] if timeframe else list(Timeframe),
        since,
        until,
        still,
    )


def _date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a date; write 2024-01-31") from None


def _summarize(connection: psycopg.Connection, order: _Order, form: Format, *, states: bool) -> None:
    found = summarize(connection, order.instruments, order.timeframes)
    one_only = order.named and len(order.instruments) == 1
    gaps = {
        one.timeframe: missing_sessions(connection, order.instruments[0], one.timeframe)
        for one in found
        if one_only and one.missing
    }
    counts = _count(connection, order) if states else {}
    if form is Format.JSON:
        say(json.dumps(_rows(found, gaps, counts), indent=2))
        return
    if not found and not counts:
        _explain_nothing(order)
        return
    if found:
        _show(found)
    for width, runs in gaps.items():
        sessions = ", ".join(f"{a}" if n == 1 else f"{a}..{b} ({n})" for a, b, n in runs)
        say(f"{width.value} sessions of {order.instruments[0].symbol} without a bar: {sessions}")
    if counts:
        _show_counts(counts)
    if states and not order.named:
        _tell_never_asked(connection, order)


def _count(connection: psycopg.Connection, order: _Order) -> dict[tuple[str, Timeframe], dict[State, int]]:
    """Return how many sessions of each instrument and timeframe are in each state, in the order of both."""
    from chandlery.states import count_states  # noqa: PLC0415 - needs NumPy and Arrow, which --help can do without

    found = {
        timeframe: count_states(connection, order.instruments, timeframe, order.since, order.until, still=order.still)
        for timeframe in order.ingested
    }
    return {
        (instrument.symbol, timeframe): found[timeframe][instrument.symbol]
        for instrument in order.instruments
        for timeframe in order.ingested
        if instrument.symbol in found[timeframe]
    }


def _show_counts(counts: dict[tuple[str, Timeframe], dict[State, int]]) -> None:
    from chandlery.states import State  # noqa: PLC0415

    occurring = [state for state in State if any(state in states for states in counts.values())]
    grid = table(
        "symbol", "timeframe", "sessions", *occurring, left=["symbol", "timeframe"], title="Sessions in each state"
    )
    for (symbol, timeframe), states in counts.items():
        cells = (number(states[state]) if states.get(state) else "" for state in occurring)
        grid.add_row(symbol, timeframe.value, number(sum(states.values())), *cells)
    out().print(grid)


def _tell_never_asked(connection: psycopg.Connection, order: _Order) -> None:
    from chandlery.states import never_asked  # noqa: PLC0415

    for timeframe in order.ingested:
        names = [instrument.symbol for instrument in never_asked(connection, order.instruments, timeframe)]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            note(f"{timeframe.value} was never fetched: {', '.join(names[:_NAMED])}{more}")


def _tell_day(connection: psycopg.Connection, order: _Order, day: date, form: Format) -> None:
    from chandlery.states import states_of_day  # noqa: PLC0415

    if order.since or order.until:
        raise UsageError("--day is one day; it goes without --start and --end")
    rows = [
        {"symbol": row.pop("symbol"), "timeframe": timeframe.value, **row}
        for timeframe in _stated(order)
        for row in states_of_day(connection, order.instruments, timeframe, day).to_pylist()
    ]
    if form is Format.JSON:
        say(json.dumps(rows, indent=2, default=_text))
        return
    grid = table(
        "symbol", "timeframe", "day", "state", "present", "hole", "calendar",
        left=["symbol", "timeframe", "day", "state", "hole", "calendar"],
    )  # fmt: skip
    for row in rows:
        share = _share(row["present"], row["expected"])
        grid.add_row(row["symbol"], row["timeframe"], f"{day}", row["state"], share, _hole(row), row["calendar"])
    out().print(grid)


def _list_state(connection: psycopg.Connection, order: _Order, name: str, form: Format) -> None:
    from chandlery.states import State, state_runs  # noqa: PLC0415

    allowed = [state for state in State if state is not State.CLOSED]
    if name not in allowed:
        why = "'closed' is no state of a session; ask with --day" if name == "closed" else f"{name!r} is not known"
        raise UsageError(f"state={why}; allowed: {' '.join(allowed)}")
    rows = [
        {"symbol": row.pop("symbol"), "timeframe": timeframe.value, **row}
        for timeframe in _stated(order)
        for row in state_runs(
            connection, order.instruments, timeframe, order.since, order.until, still=order.still, only=[State(name)]
        ).to_pylist()
    ]
    if form is Format.JSON:
        say(json.dumps(rows, indent=2, default=_text))
        return
    if not rows:
        note(f"No session is in state {name}.")
        return
    grid = table(
        "symbol", "timeframe", "first", "last", "sessions", "present", "longest hole",
        left=["symbol", "timeframe", "longest hole"], title=f"Sessions in state {name}",
    )  # fmt: skip
    for row in rows:
        share = _share(row["present"], row["expected"])
        first, last = f"{row['first']}", f"{row['last']}"
        grid.add_row(row["symbol"], row["timeframe"], first, last, number(row["sessions"]), share, _hole(row))
    out().print(grid)


def _draw(connection: psycopg.Connection, order: _Order, file: Path) -> None:
    from chandlery.heatmap import states_png  # noqa: PLC0415
    from chandlery.state_map import map_states  # noqa: PLC0415
    from chandlery.states import state_runs  # noqa: PLC0415

    if file.suffix.lower() != ".png":
        raise UsageError(f"picture={str(file)!r} is not the name of a PNG; give one that ends in .png")
    maps: dict[Timeframe, tuple[StateMap, int]] = {}
    for timeframe in _stated(order):
        runs = state_runs(connection, order.instruments, timeframe, order.since, order.until, still=order.still)
        states = map_states(connection, order.instruments, _first_of(runs, _ROWS_DRAWN))
        if states is not None:
            maps[timeframe] = states, len(runs["symbol"].unique()) - len(states.symbols)
    if not maps:
        _explain_nothing(order)
    for timeframe, (states, left_out) in maps.items():
        name = file if len(maps) == 1 else file.with_stem(f"{file.stem}_{timeframe.value}")
        try:
            name.write_bytes(states_png(states, title=f"{timeframe.value}: states of sessions"))
        except OSError as error:
            raise UsageError(f"picture={str(name)!r} cannot be written: {error.strerror or error}") from None
        more = f" not shown={left_out} (name some, or use --state)" if left_out else ""
        say(f"{name}: {timeframe.value} symbols={len(states.symbols)}{more}")


def _first_of(runs: pa.Table, most: int) -> pa.Table:
    """Return the runs of the first so many symbols."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return runs.filter(pc.is_in(runs["symbol"], runs["symbol"].unique()[:most]))


def _stated(order: _Order) -> list[Timeframe]:
    """Return the timeframes asked for that have states.

    Raises:
        UsageError: there is none.
    """
    if not order.ingested:
        (given,) = order.timeframes
        raise UsageError(f"timeframe={given.value!r} is derived and as complete as its base; allowed: 1m 1d")
    return order.ingested


def _hole(row: dict[str, Any]) -> str:
    if not row["hole_slots"] or row["hole_start"] is None:
        return number(None)
    return f"{moment(row['hole_start'])}, {number(row['hole_slots'])} min"


def _text(value: object) -> str:
    """Return a date or a time as text."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value)


def _rows(
    found: Sequence[Summary],
    gaps: dict[Timeframe, list[tuple[date, date, int]]],
    counts: dict[tuple[str, Timeframe], dict[State, int]],
) -> list[dict[str, object]]:
    """Return a row of each summary, and one of each instrument that was asked for and of which nothing came."""
    rows = []
    for one in found:
        row = _plain(one, gaps.get(one.timeframe))
        states = counts.pop((one.symbol, one.timeframe), None)
        rows.append(row if states is None else row | {"states": states})
    return rows + [
        {"symbol": symbol, "timeframe": timeframe, "rows": 0, "states": states}
        for (symbol, timeframe), states in counts.items()
    ]


def _show(found: Sequence[Summary]) -> None:
    grid = table(
        "symbol", "timeframe", "rows", "first", "last", "sessions", "missing", "minutes", "outside", "sources",
        left=["symbol", "timeframe", "sources"],
    )  # fmt: skip
    for one in found:
        day = not one.timeframe.is_intraday
        grid.add_row(
            one.symbol,
            one.timeframe.value,
            number(one.rows),
            moment(one.first_ts, day=day),
            moment(one.last_ts, day=day),
            _share(one.present, one.expected),
            number(one.missing),
            _share(one.slots_present, one.slots_expected),
            number(one.outside),
            ", ".join(one.sources),
        )
    out().print(grid)


def _share(present: int | None, expected: int | None) -> str:
    if present is None or expected is None:
        return number(None)
    percent = f" {100 * present / expected:.1f}%" if expected else ""
    return f"{number(present)}/{number(expected)}{percent}"


def _plain(one: Summary, gaps: Sequence[tuple[Any, Any, int]] | None) -> dict[str, object]:
    row = asdict(one) | {"missing": one.missing}
    for name in ("first_ts", "last_ts"):
        row[name] = f"{row[name]:%Y-%m-%dT%H:%M:%SZ}"
    if gaps is not None:
        row["missing_sessions"] = [{"first": f"{a}", "last": f"{b}", "sessions": n} for a, b, n in gaps]
    return row


def _explain_nothing(order: _Order) -> None:
    of = f" of {', '.join(instrument.symbol for instrument in order.instruments)}" if order.named else ""
    width = f"{order.timeframes[0].value} " if len(order.timeframes) == 1 else ""
    note(f"No {width}bars{of} yet; `chandlery ingest --help` shows how to get some.")
