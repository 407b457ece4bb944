"""The states of sessions, as the command ``coverage`` counts, lists, shows and draws them.

Not here: the command's options, and how it shows what is stored (``coverage``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chandlery.cli.output import moment, note, number, say, show_table, table
from chandlery.cli.rows import Format
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument
from chandlery.quality.findings import list_findings
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.coverage.session_states import State
    from chandlery.pictures.heatmap import Matrix

#: No viewer opens a picture of more rows.
_ROWS_PER_PICTURE = 2000
_NAMES_PER_NOTE = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command tells about.

    Attributes:
        instruments: which.
        named: whether the user named them; else they are all there are.
        timeframes: which, narrowest first.
        since: first session, inclusive; None for the first that is known.
        until: last session, exclusive; None for now.
        static: providers whose data never changes.
    """

    instruments: Sequence[Instrument]
    named: bool
    timeframes: Sequence[Timeframe]
    since: date | None
    until: date | None
    static: frozenset[str]

    @property
    def ingested(self) -> list[Timeframe]:
        """The timeframes that have states."""
        return [timeframe for timeframe in self.timeframes if timeframe.is_ingested]


def count(warehouse: Warehouse, selection: Selection) -> dict[tuple[str, Timeframe], dict[State, int]]:
    """Return how many sessions of each instrument and timeframe are in each state, in the order of both."""
    from chandlery.coverage.session_states import count_states  # noqa: PLC0415

    span = selection.since, selection.until
    with warehouse.connection() as connection:
        counts = {
            timeframe: count_states(connection, selection.instruments, timeframe, *span, static=selection.static)
            for timeframe in selection.ingested
        }
    return {
        (instrument.symbol, timeframe): counts[timeframe][instrument.symbol]
        for instrument in selection.instruments
        for timeframe in selection.ingested
        if instrument.symbol in counts[timeframe]
    }


def show_counts(counts: dict[tuple[str, Timeframe], dict[State, int]]) -> None:
    """Print how many sessions are in each state."""
    from chandlery.coverage.session_states import State  # noqa: PLC0415

    occurring = [state for state in State if any(state in states for states in counts.values())]
    grid = table(
        "symbol",
        "timeframe",
        "sessions",
        *occurring,
        left=["symbol", "timeframe"],
        keys=["symbol", "timeframe"],
        title="Sessions in each state",
    )
    for (symbol, timeframe), states in counts.items():
        cells = (number(states[state]) if states.get(state) else "" for state in occurring)
        grid.add_row(symbol, timeframe.value, number(sum(states.values())), *cells)
    show_table(grid)


def count_findings(warehouse: Warehouse, selection: Selection) -> Counter[tuple[str, str]]:
    """Return how many findings nobody dismissed, by symbol and timeframe."""
    with warehouse.connection() as connection:
        found = list_findings(connection, instrument_ids=[each.instrument_id for each in selection.instruments])
    widths = {width.value for width in selection.timeframes}
    return Counter((each.symbol, each.timeframe) for each in found if each.timeframe in widths)


def note_never_requested(warehouse: Warehouse, selection: Selection) -> None:
    """Say of which instruments no provider was ever asked for a scheduled timeframe."""
    from chandlery.coverage.known_range import never_requested  # noqa: PLC0415

    for timeframe in selection.ingested:
        with warehouse.connection() as connection:
            instruments = never_requested(connection, selection.instruments, timeframe)
        names = [instrument.symbol for instrument in instruments]
        if names:
            more = f" and {len(names) - _NAMES_PER_NOTE} more" if len(names) > _NAMES_PER_NOTE else ""
            note(f"{timeframe.value} was never fetched: {', '.join(names[:_NAMES_PER_NOTE])}{more}")


def show_day(warehouse: Warehouse, selection: Selection, day: date, form: Format) -> None:
    """Print what is known of one day; raise ``UsageError`` where a range was given as well."""
    from chandlery.core.arrow import to_rows  # noqa: PLC0415
    from chandlery.coverage.day_states import states_of_day  # noqa: PLC0415

    if selection.since or selection.until:
        raise UsageError("--day is one day; it goes without --start and --end")
    with warehouse.connection() as connection:
        rows = [
            {"symbol": row.pop("symbol"), "timeframe": timeframe.value, **row}
            for timeframe in _timeframes_with_states(selection)
            for row in to_rows(states_of_day(connection, selection.instruments, timeframe, day))
        ]
    if form is Format.JSON:
        say(json.dumps(rows, indent=2, default=_text))
        return
    grid = table(
        "symbol", "timeframe", "day", "state", "present", "longest missing run", "calendar",
        left=["symbol", "timeframe", "day", "state", "longest missing run", "calendar"],
        keys=["symbol", "timeframe", "state"],
    )  # fmt: skip
    for row in rows:
        share = describe_share(row["present"], row["expected"])
        run = _missing_run(row)
        grid.add_row(row["symbol"], row["timeframe"], f"{day}", row["state"], share, run, row["calendar"])
    show_table(grid)


def list_state(warehouse: Warehouse, selection: Selection, name: str, form: Format) -> None:
    """Print the runs of sessions in the state called ``name``; raise ``UsageError`` where there is no such state."""
    from chandlery.core.arrow import to_rows  # noqa: PLC0415
    from chandlery.coverage.session_states import State  # noqa: PLC0415

    allowed = [state for state in State if state is not State.CLOSED]
    if name not in allowed:
        why = "'closed' is no state of a session; ask with --day" if name == "closed" else f"{name!r} is not known"
        raise UsageError(f"state={why}; allowed: {' '.join(allowed)}")
    rows = [
        {"symbol": row.pop("symbol"), "timeframe": timeframe.value, **row}
        for timeframe in _timeframes_with_states(selection)
        for row in to_rows(_runs(warehouse, selection, timeframe, only=[State(name)]))
    ]
    if form is Format.JSON:
        say(json.dumps(rows, indent=2, default=_text))
        return
    if not rows:
        note(f"No session is in state {name}.")
        return
    grid = table(
        "symbol", "timeframe", "first", "last", "sessions", "present", "longest missing run",
        left=["symbol", "timeframe", "longest missing run"], keys=["symbol", "timeframe", "first", "last"],
        title=f"Sessions in state {name}",
    )  # fmt: skip
    for row in rows:
        share = describe_share(row["present"], row["expected"])
        first, last = f"{row['first']}", f"{row['last']}"
        grid.add_row(row["symbol"], row["timeframe"], first, last, number(row["sessions"]), share, _missing_run(row))
    show_table(grid)


def draw(warehouse: Warehouse, selection: Selection, file: Path) -> None:
    """Write the states as a picture, a file for each timeframe; raise ``UsageError`` where it cannot be written."""
    from chandlery.coverage.state_grid import build_state_matrix  # noqa: PLC0415
    from chandlery.pictures.heatmap import heatmap_png  # noqa: PLC0415

    if file.suffix.lower() != ".png":
        raise UsageError(f"picture={str(file)!r} is not the name of a PNG; give one that ends in .png")
    matrices: dict[Timeframe, tuple[Matrix, int]] = {}
    for timeframe in _timeframes_with_states(selection):
        runs = _runs(warehouse, selection, timeframe)
        with warehouse.connection() as connection:
            matrix = build_state_matrix(connection, selection.instruments, _first_symbols(runs, _ROWS_PER_PICTURE))
        if matrix is not None:
            matrices[timeframe] = matrix, len(runs["symbol"].unique()) - len(matrix.rows)
    if not matrices:
        explain_nothing(selection)
    for timeframe, (matrix, omitted) in matrices.items():
        name = file if len(matrices) == 1 else file.with_stem(f"{file.stem}_{timeframe.value}")
        try:
            name.write_bytes(heatmap_png(matrix, title=f"{timeframe.value}: states of sessions"))
        except OSError as error:
            raise UsageError(f"picture={str(name)!r} cannot be written: {error.strerror or error}") from None
        more = f" not shown={omitted} (name some, or use --state)" if omitted else ""
        say(f"{name}: {timeframe.value} symbols={len(matrix.rows)}{more}")


def _runs(
    warehouse: Warehouse, selection: Selection, timeframe: Timeframe, *, only: Sequence[State] | None = None
) -> pa.Table:
    """Return what ``state_runs`` returns of the selection."""
    from chandlery.coverage.session_states import state_runs  # noqa: PLC0415

    span = selection.since, selection.until
    with warehouse.connection() as connection:
        return state_runs(connection, selection.instruments, timeframe, *span, static=selection.static, only=only)


def _first_symbols(runs: pa.Table, most: int) -> pa.Table:
    """Return the runs of the first ``most`` symbols."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return runs.filter(pc.is_in(runs["symbol"], runs["symbol"].unique()[:most]))


def _timeframes_with_states(selection: Selection) -> list[Timeframe]:
    """Return the selected timeframes that have states.

    Raises:
        UsageError: there is none.
    """
    if not selection.ingested:
        (given,) = selection.timeframes
        raise UsageError(f"timeframe={given.value!r} is derived and as complete as its base; allowed: 1m 1d")
    return selection.ingested


def _missing_run(row: dict[str, Any]) -> str:
    if not row["missing_slots"] or row["missing_start"] is None:
        return number(None)
    return f"{moment(row['missing_start'])}, {number(row['missing_slots'])} min"


def _text(value: object) -> str:
    """Return a date or a time as text."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value)


def describe_share(present: int | None, expected: int | None) -> str:
    """Return how much is there, as in ``9/10 90.0%``."""
    if present is None or expected is None:
        return number(None)
    percent = f" {100 * present / expected:.1f}%" if expected else ""
    return f"{number(present)}/{number(expected)}{percent}"


def explain_nothing(selection: Selection) -> None:
    """Say that there are no bars, and how to get some."""
    of = f" of {', '.join(instrument.symbol for instrument in selection.instruments)}" if selection.named else ""
    width = f"{selection.timeframes[0].value} " if len(selection.timeframes) == 1 else ""
    note(f"No {width}bars{of} yet; `chandlery ingest --help` shows how to get some.")
