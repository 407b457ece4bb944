"""The states of sessions, as ``coverage`` counts, lists, tells and draws them.

Not here: what the command may say, and what is stored (``coverage``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from chandlery.cli.output import Format, moment, note, number, out, say, table
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.coverage.session_states import State
    from chandlery.coverage.state_grid import StateMap

#: More rows make a picture that no viewer opens.
_ROWS_DRAWN = 2000
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked: of which instruments, timeframes and sessions [since, until); and which providers are still."""

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


def count(connection: psycopg.Connection, order: Order) -> dict[tuple[str, Timeframe], dict[State, int]]:
    """Return how many sessions of each instrument and timeframe are in each state, in the order of both."""
    from chandlery.coverage.session_states import (  # noqa: PLC0415
        count_states,
    )

    found = {
        timeframe: count_states(connection, order.instruments, timeframe, order.since, order.until, static=order.static)
        for timeframe in order.ingested
    }
    return {
        (instrument.symbol, timeframe): found[timeframe][instrument.symbol]
        for instrument in order.instruments
        for timeframe in order.ingested
        if instrument.symbol in found[timeframe]
    }


def show_counts(counts: dict[tuple[str, Timeframe], dict[State, int]]) -> None:
    """Print how many sessions are in each state."""
    from chandlery.coverage.session_states import State  # noqa: PLC0415

    occurring = [state for state in State if any(state in states for states in counts.values())]
    grid = table(
        "symbol", "timeframe", "sessions", *occurring, left=["symbol", "timeframe"], title="Sessions in each state"
    )
    for (symbol, timeframe), states in counts.items():
        cells = (number(states[state]) if states.get(state) else "" for state in occurring)
        grid.add_row(symbol, timeframe.value, number(sum(states.values())), *cells)
    out().print(grid)


def tell_never_asked(connection: psycopg.Connection, order: Order) -> None:
    """Say of which instruments nothing was ever fetched."""
    from chandlery.coverage.known_range import never_requested  # noqa: PLC0415

    for timeframe in order.ingested:
        names = [instrument.symbol for instrument in never_requested(connection, order.instruments, timeframe)]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            note(f"{timeframe.value} was never fetched: {', '.join(names[:_NAMED])}{more}")


def tell_day(connection: psycopg.Connection, order: Order, day: date, form: Format) -> None:
    """Print what is known of one day; raise ``UsageError`` where a range was given as well."""
    from chandlery.coverage.session_states import states_of_day  # noqa: PLC0415

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
        share = describe_share(row["present"], row["expected"])
        grid.add_row(row["symbol"], row["timeframe"], f"{day}", row["state"], share, _hole(row), row["calendar"])
    out().print(grid)


def list_state(connection: psycopg.Connection, order: Order, name: str, form: Format) -> None:
    """Print the runs of sessions in one state; raise ``UsageError`` where it is none."""
    from chandlery.coverage.session_states import State, state_runs  # noqa: PLC0415

    allowed = [state for state in State if state is not State.CLOSED]
    if name not in allowed:
        why = "'closed' is no state of a session; ask with --day" if name == "closed" else f"{name!r} is not known"
        raise UsageError(f"state={why}; allowed: {' '.join(allowed)}")
    rows = [
        {"symbol": row.pop("symbol"), "timeframe": timeframe.value, **row}
        for timeframe in _stated(order)
        for row in state_runs(
            connection, order.instruments, timeframe, order.since, order.until, static=order.static, only=[State(name)]
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
        share = describe_share(row["present"], row["expected"])
        first, last = f"{row['first']}", f"{row['last']}"
        grid.add_row(row["symbol"], row["timeframe"], first, last, number(row["sessions"]), share, _hole(row))
    out().print(grid)


def draw(connection: psycopg.Connection, order: Order, file: Path) -> None:
    """Write the states as a picture, a file a timeframe; raise ``UsageError`` where it cannot be written."""
    from chandlery.coverage.session_states import state_runs  # noqa: PLC0415
    from chandlery.coverage.state_grid import map_states  # noqa: PLC0415
    from chandlery.pictures.heatmap import states_png  # noqa: PLC0415

    if file.suffix.lower() != ".png":
        raise UsageError(f"picture={str(file)!r} is not the name of a PNG; give one that ends in .png")
    maps: dict[Timeframe, tuple[StateMap, int]] = {}
    for timeframe in _stated(order):
        runs = state_runs(connection, order.instruments, timeframe, order.since, order.until, static=order.static)
        states = map_states(connection, order.instruments, _first_of(runs, _ROWS_DRAWN))
        if states is not None:
            maps[timeframe] = states, len(runs["symbol"].unique()) - len(states.symbols)
    if not maps:
        explain_nothing(order)
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


def _stated(order: Order) -> list[Timeframe]:
    """Return the timeframes asked for that have states.

    Raises:
        UsageError: there is none.
    """
    if not order.ingested:
        (given,) = order.timeframes
        raise UsageError(f"timeframe={given.value!r} is derived and as complete as its base; allowed: 1m 1d")
    return order.ingested


def _hole(row: dict[str, Any]) -> str:
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


def explain_nothing(order: Order) -> None:
    """Say that there is nothing, and how to get some."""
    of = f" of {', '.join(instrument.symbol for instrument in order.instruments)}" if order.named else ""
    width = f"{order.timeframes[0].value} " if len(order.timeframes) == 1 else ""
    note(f"No {width}bars{of} yet; `chandlery ingest --help` shows how to get some.")
