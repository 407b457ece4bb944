"""``chart``: bars as a page that a browser shows. Not here: what is on it (``chandlery.api.plots``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chandlery.api.data import DataAPI
from chandlery.cli.options import AsJson
from chandlery.cli.output import note, say, say_json
from chandlery.cli.query import AnyWidth, AsOf, End, Start, Symbol, WhichHours
from chandlery.cli.session import Session
from chandlery.core.text import counted
from chandlery.errors import UsageError

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.html", help="The file to write; SYMBOL_WIDTH.html by default."),
]
Indicators = Annotated[
    list[str] | None,
    typer.Option(
        "--indicators", "--indicator", "-i", help="SMA_20,RSI_14: with commas, or repeated. Prices go over the candles."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\nchandlery chart AAPL\n\nchandlery chart AAPL --indicators SMA_20,RSI_14 -o aapl.html"
        "\n\nchandlery chart SIM -t 1m --session regular"
        "\n\nchandlery chart AAPL --as-of 2024-06-01T12:00:00Z"
    )(chart)


def chart(
    ctx: typer.Context,
    *,
    symbol: Symbol,
    start: Start = None,
    end: End = None,
    timeframe: AnyWidth = "1d",
    indicators: Indicators = None,
    as_of: AsOf = None,
    session: WhichHours = "all",
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Write the bars of one symbol that start in [START, END) as a chart: one HTML file, which needs no network.

    It shows candles, volume and indicators; where bars are missing, shaded by the reason; restated bars, with what they
    were before; rows that wait in quarantine; what the gate noticed; and extended hours. Too many bars are drawn wider.
    """
    if output is not None and output.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"output={str(output)!r} does not end with .html; a chart is a page of HTML")
    names = [name.strip() for text in indicators or () for name in text.split(",") if name.strip()]
    made = DataAPI(Session.of(ctx).warehouse).plot(
        symbol, start, end, timeframe, indicators=names, as_of=as_of, session=session
    )
    path = made.save(output or Path(f"{_plain(made.symbol)}_{made.timeframe}.html"))
    if as_json:
        facts = {"symbol": made.symbol, "timeframe": made.timeframe, "bars": made.bars, "gaps": made.gaps}
        say_json({"file": str(path), **facts})
        return
    say(f"{made.symbol} {made.timeframe}: {counted(made.bars, 'bar')}, {_gaps(made.gaps)}")
    say(f"Chart  {path}")
    if not made.bars:
        note(f"There are no bars to draw; `chandlery coverage {symbol}` shows what there is.")


def _gaps(gaps: dict[str, int]) -> str:
    from chandlery.pictures.candle_chart import CATEGORIES  # noqa: PLC0415 - slow to import

    texts = [f"{count:,} {CATEGORIES[reason].name}" for reason, count in gaps.items()]
    return f"gaps: {', '.join(texts)}" if texts else "no gaps"


def _plain(symbol: str) -> str:
    """Return a symbol as the name of a file."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in symbol)
