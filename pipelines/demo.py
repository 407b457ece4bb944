"""``python -m pipelines.demo``: from nothing to bars, a query and a report, without a key, a network or a server.

Goes through the same gate, store and orchestrator as everything else. Not here: any of these.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from rich.console import Console

from chandlery.api.data import DataAPI
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Orchestrator
from chandlery.bars.read import BarRange
from chandlery.cli.grid import Grid
from chandlery.cli.outcome import DONE, FAILED, report_failures
from chandlery.cli.output import err, number, say, say_error, show_table, table
from chandlery.cli.progress import show_progress
from chandlery.cli.tally import Tally
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.summary import Summary, summarize
from chandlery.errors import ChandleryError
from chandlery.ingest.request import IngestRequest
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import list_instruments
from chandlery.reading.bars import read_bars
from chandlery.report.report import ShownQuery, write_report

#: Of this minute, the simulated provider first gives what it has in another world, and then corrects it.
RESTATED = datetime(2024, 6, 14, 14, 30, tzinfo=UTC)
_DRAFT = {"seed": 9}
#: Fixed, so that the simulated minutes are the same every time and running again changes nothing.
MINUTES_FROM, MINUTES_UNTIL = datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 17, tzinfo=UTC)
_QUERY = 'DataAPI().get_ohlc("AAPL", "2012-09-17", "2012-09-29")'
_NEXT = """
Where to look next
  make ui                                      runs, lineage, schedules and backfills
  chandlery query AAPL                         bars on the command line; --help shows more
  chandlery revisions SIM -t 1m                a bar that was restated, and what it was before
  chandlery ingest AAPL --path DIR             your own files: DIR/bars_1d/AAPL.csv (docs/files.md)
  python                                       >>> from chandlery import DataAPI
                                               >>> {query}
"""


def main(orchestrator: Callable[[Installation], Orchestrator] | None = None) -> int:
    """Run the demo and return its exit code, as ``chandlery ingest`` does.

    Args:
        orchestrator: makes the one to use; Dagster's by default.
    """
    try:
        return _run(orchestrator)
    except ChandleryError as error:
        say_error(str(error))
        return FAILED


def _run(make_orchestrator: Callable[[Installation], Orchestrator] | None) -> int:
    begun = time.monotonic()
    progress = err()
    progress.print("Setting up the database and the orchestrator ...", style="dim")
    installation, _ = Installation.create()
    try:
        return _show_off(installation, make_orchestrator or _dagster, progress, begun)
    finally:
        installation.warehouse.close()


def _show_off(
    installation: Installation,
    make_orchestrator: Callable[[Installation], Orchestrator],
    progress: Console,
    begun: float,
) -> int:
    orchestrator = make_orchestrator(installation)
    tally, code = _load(installation, orchestrator, progress)
    if code != DONE:
        return code
    answer = _ask(installation)
    symbols = installation.universe.preset("demo")
    report = write_report(
        installation,
        installation.settings.home / "reports" / "demo.html",
        symbols,
        title="Chandlery, the demo",
        outcomes=tally.outcomes,
        queries=[answer],
    )
    _show(installation, symbols, tally, answer)
    say(f"Report      {report}")
    say(f"Total time  {time.monotonic() - begun:.1f} s")
    say(_NEXT.format(query=_QUERY).rstrip())
    return DONE


def _dagster(installation: Installation) -> Orchestrator:
    from pipelines.orchestrator import DagsterOrchestrator  # noqa: PLC0415 - slow to import

    return DagsterOrchestrator(installation)


def _load(installation: Installation, orchestrator: Orchestrator, progress: Console) -> tuple[Tally, int]:
    """Ingest the real days and the simulated minutes; return what was done, and the exit code."""
    universe = installation.universe
    days = IngestRequest(Timeframe.D1, universe.preset("demo-daily"))
    minutes = IngestRequest(Timeframe.M1, universe.preset("demo-minute"), start=MINUTES_FROM, end=MINUTES_UNTIL)
    requests = {"real days": days, "simulated minutes": minutes}
    if not _is_stored(installation, RESTATED):
        draft = replace(minutes, symbols=["SIM"], start=RESTATED, end=RESTATED + timedelta(minutes=1))
        first = replace(draft, provider="simulated", options=_DRAFT)
        requests = {"a minute that its provider will correct": first} | requests
    tally, codes = Tally(), [DONE]
    for what, request in requests.items():
        prepared = installation.plan_ingest(request)
        progress.print(f"Ingesting {what} of {counted(len(prepared.plan.ranges), 'instrument')} ...", style="dim")
        with show_progress(progress) as listener:
            records = orchestrator.ingest(prepared.plan, listener)
        codes.append(report_failures(listener.tally, records))
        tally.add(listener.tally)
    return tally, FAILED if FAILED in codes else max(codes)


def _is_stored(installation: Installation, ts: datetime) -> bool:
    """Return whether there is a bar of SIM at ``ts``."""
    with installation.warehouse.connection() as connection:
        instrument = resolve(connection, "SIM", *EVER)
    bar = BarRange(instrument.instrument_id, ts, ts + timedelta(minutes=1))
    return bool(read_bars(installation.warehouse, Timeframe.M1, [bar]).num_rows)


def _ask(installation: Installation) -> ShownQuery:
    """Ask one question twice, and time the second: the first also connects."""
    api = DataAPI(installation.warehouse)

    def ask() -> pa.Table:
        return api.get_ohlc("AAPL", "2012-09-17", "2012-09-29", output="arrow")

    ask()
    begun = time.perf_counter()
    rows = ask()
    seconds = time.perf_counter() - begun
    return ShownQuery(f"from chandlery import DataAPI\n\n{_QUERY}", rows.drop_columns(["vwap", "trades"]), seconds)


def _show(installation: Installation, symbols: Sequence[str], tally: Tally, answer: ShownQuery) -> None:
    with installation.warehouse.connection() as connection:
        known = [instrument for instrument in list_instruments(connection) if instrument.symbol in symbols]
        summaries = summarize(connection, known, static=installation.static)
    show_table(_stored(summaries))
    total = tally.total()
    changed = total.inserted + total.revised + sum(tally.rolled_up.values())
    say(f"total  {total}")
    if not changed:
        say("Nothing changed: everything was there already, with the same values.")
    say()
    say(f">>> {_QUERY}")
    names = ["ts", "open", "high", "low", "close", "volume"]
    grid = table(*names, left=["ts"])
    for row in answer.rows.slice(max(0, answer.rows.num_rows - 5)).to_pylist():
        grid.add_row(f"{row['ts']:%Y-%m-%d}", *(number(row[name]) for name in names[1:]))
    show_table(grid)
    say(f"{counted(answer.rows.num_rows, 'row')} in {answer.seconds * 1000:.1f} ms; the last 5 are shown.")
    say()


def _stored(summaries: Sequence[Summary]) -> Grid:
    """Return a table of what was ingested, with what was rolled up from it at the side."""
    derived: dict[tuple[str, Timeframe], list[str]] = defaultdict(list)
    for summary in summaries:
        if not summary.timeframe.is_ingested:
            text = f"{summary.timeframe.value} {number(summary.rows)}"
            derived[summary.symbol, summary.timeframe.base].append(text)
    names = ["symbol", "timeframe", "rows", "first", "last", "sessions", "source", "rolled up into"]
    grid = table(*names, left=[names[0], names[1], names[6], names[7]], keys=names[:2], title="What is stored")
    for summary in (each for each in summaries if each.timeframe.is_ingested):
        grid.add_row(
            summary.symbol,
            summary.timeframe.value,
            number(summary.rows),
            f"{summary.first_ts:%Y-%m-%d}",
            f"{summary.last_ts:%Y-%m-%d}",
            f"{number(summary.present)}/{number(summary.expected)}",
            ", ".join(summary.sources),
            ", ".join(derived[summary.symbol, summary.timeframe]),
        )
    return grid


if __name__ == "__main__":
    sys.exit(main())
