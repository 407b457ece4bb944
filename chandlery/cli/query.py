"""``query`` and ``revisions``: bars as they are, as they were, and how they were restated."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chandlery.api.bars import Bars
from chandlery.cli.options import AsJson
from chandlery.cli.output import moment, note
from chandlery.cli.rows import Format, choose_format, write_rows
from chandlery.cli.session import Session
from chandlery.core.grid import Anchor
from chandlery.core.moments import parse_range
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import parse_width
from chandlery.core.windows import EVER
from chandlery.reading.arguments import COLUMNS, STATE
from chandlery.reading.fill import Fill
from chandlery.reading.made import Hours
from chandlery.reading.released import RELEASED

if TYPE_CHECKING:
    import pyarrow as pa

#: How many bars a table without a range shows.
_SHOWN = 20

Symbol = Annotated[str, typer.Argument(help="Symbol, or a ticker that named the instrument within the range.")]
Start = Annotated[str | None, typer.Option(help="First instant, inclusive: 2024-01-31 or 2024-01-31T14:30:00Z.")]
End = Annotated[str | None, typer.Option(help="Last instant, exclusive.")]
Width = Annotated[str, typer.Option("--timeframe", "-t", help="1m 5m 15m 30m 1h 4h 1d 1w 1mo")]
AnyWidth = Annotated[
    str, typer.Option("--timeframe", "-t", help="1m 5m 15m 30m 1h 4h 1d 1w 1mo, or any other: 90m 2h 3d 1q.")
]
WhichHours = Annotated[Hours, typer.Option("--session", help="Of minutes and hours: which of them.")]
Beginning = Annotated[
    Anchor, typer.Option(help="Bars of minutes and hours begin on the grid of UTC, or at each session's open.")
]
Filling = Annotated[
    Fill,
    typer.Option(help="previous: repeat the close before in slots without trades; column filled marks it."),
]
Form = Annotated[Format | None, typer.Option("--format", "-f", help="How to write the rows.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file; its ending tells the format.")]

AsOf = Annotated[str | None, typer.Option(help="Show the values that were known at this time.")]
FinalOnly = Annotated[bool, typer.Option("--final-only", help="Leave out bars that are not final.")]
WithState = Annotated[
    bool, typer.Option("--with-state", help="Say of each bar whether it is forming, provisional or final.")
]
ExcludeSuspect = Annotated[
    bool, typer.Option("--exclude-suspect", help="Leave out bars that the next one confirmed as false prints.")
]
WithReleased = Annotated[
    bool, typer.Option("--with-released", help="Say of each bar whether a person released it from quarantine.")
]
Indicators = Annotated[
    list[str] | None,
    typer.Option("--indicator", "-i", help="Add an indicator: SMA_20, RSI_14, MACD_12_26_9. May be repeated."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the last N bars. (A table without a range: 20.)")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Examples:\n\nchandlery query AAPL"
        "\n\nchandlery query AAPL --start 2012-01-01 --end 2013-01-01 -o aapl.csv"
        "\n\nchandlery query AAPL --as-of 2024-06-01T12:00:00Z"
        "\n\nchandlery query AAPL -t 1m --limit 30 --with-state"
        "\n\nchandlery query AAPL -t 90m --session regular --anchor session --limit 5"
        "\n\nchandlery query AAPL -i SMA_20 -i RSI_14 --limit 5"
        "\n\nchandlery query AAPL --exclude-suspect --with-released"
    )(query)
    app.command(epilog="Example: chandlery revisions AAPL --start 2012-01-01 --end 2013-01-01")(revisions)


def query(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    timeframe: AnyWidth = "1d",
    session: WhichHours = "all",
    anchor: Beginning = "utc",
    fill: Filling = "none",
    as_of: AsOf = None,
    final_only: FinalOnly = False,
    with_state: WithState = False,
    exclude_suspect: ExcludeSuspect = False,
    with_released: WithReleased = False,
    indicator: Indicators = None,
    form: Form = None,
    as_json: AsJson = False,
    output: Output = None,
    limit: Limit = None,
) -> None:
    """Show the bars of one symbol that start in [START, END).

    A bar is forming if it was read before it ended, provisional while the provider may still change it, and final once
    its session was requested after it had settled.
    """
    chosen, width = choose_format(Format.JSON if as_json else form, output), parse_width(timeframe)
    first, last = parse_range(start or EVER[0].date(), end or EVER[1].date())
    limit = _SHOWN if (limit, start, end, chosen) == (None, None, None, Format.TABLE) else limit
    how: dict[str, Any] = {"limit": limit, "as_of": as_of, "session": session, "anchor": anchor, "fill": fill}
    how |= {"final_only": final_only, "exclude_suspect": exclude_suspect, "output": "arrow"}
    how["columns"] = [*COLUMNS, *[STATE] * with_state, *[RELEASED] * with_released]
    warehouse = Session.of(ctx).warehouse
    if indicator:
        from chandlery.api.frames import Frames  # noqa: PLC0415 - of the whole interface, a query needs one part

        bars = Frames(warehouse).get_ohlc_with_indicators(symbol, first, last, width.name, indicators=indicator, **how)
    else:
        bars = Bars(warehouse).get_ohlc(symbol, first, last, width.name, **how)
    if not bars.num_rows:
        _explain_nothing(symbol, width.name, (first, last), as_of, final_only=final_only)
    write_rows(bars, chosen, output, day=not width.is_intraday)
    if output is not None:
        note(f"{counted(bars.num_rows, 'bar')} of {symbol} {width.name} written to {output}")
    elif chosen is Format.TABLE and bars.num_rows == limit:
        shown = "bar" if limit == 1 else f"{limit:,} bars"
        note(f"The last {shown}; --limit, or --start and --end, shows others.")


def revisions(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    timeframe: Width = "1d",
    form: Form = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Show every bar that was restated, with each value and when it was believed.

    A value was believed from known_at until superseded_at; the present one has no superseded_at.
    """
    chosen, width = choose_format(Format.JSON if as_json else form, output), Timeframe.parse(timeframe)
    first, last = parse_range(start or EVER[0].date(), end or EVER[1].date())
    from chandlery.api.data import DataAPI  # noqa: PLC0415 - see ``query``

    rows = DataAPI(Session.of(ctx).warehouse).revisions(symbol, first, last, width.value, output="arrow")
    if not rows.num_rows:
        note(f"No bar of {symbol} {width.value} was ever restated{_between((first, last))}.")
    if rows.num_rows or chosen is not Format.TABLE:
        write_rows(_without_empty(rows) if chosen is Format.TABLE else rows, chosen, output, day=not width.is_intraday)


def _without_empty(rows: pa.Table) -> pa.Table:
    return rows.select(
        [name for name in rows.column_names if rows[name].null_count < rows.num_rows or name == "superseded_at"]
    )


def _explain_nothing(
    symbol: str, width: str, requested: tuple[datetime, datetime], as_of: str | None, *, final_only: bool
) -> None:
    known = f" known at {as_of}" if as_of else ""
    bars = f"{'final ' if final_only else ''}bars of {symbol} {width}"
    note(f"No {bars}{_between(requested)}{known}; `chandlery coverage {symbol}` shows what there is.")


def _between(requested: tuple[datetime, datetime]) -> str:
    if requested == EVER:
        return ""
    return f" in [{moment(requested[0])}, {moment(requested[1])})"
