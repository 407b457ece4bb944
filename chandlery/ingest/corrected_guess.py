"""Correcting what was guessed of an instrument, as long as nothing of it was published.

Not here: the guess itself (``core.guesses``), and what follows from another calendar (``coverage.calendar_changes``).
"""

from __future__ import annotations

import psycopg

from chandlery.config.universe import InstrumentConfig, guess_instrument
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument


def corrected_guess(
    connection: psycopg.Connection, instrument: Instrument, calendar: str | None, asset_class: str | None
) -> InstrumentConfig | None:
    """Return how a registered instrument is described now; None where nothing is given that differs.

    Args:
        connection: to the database.
        instrument: as it is registered.
        calendar: by which it trades, as a person says; None where nobody does.
        asset_class: what it is, likewise. Without a calendar, that of the class is guessed anew.

    Raises:
        UsageError: it is described in ``universe.yaml``, or something of it was published.
    """
    given = {"calendar": calendar, "asset_class": asset_class}
    changed = {name: value for name, value in given.items() if value not in {None, getattr(instrument, name)}}
    if not changed:
        return None
    if instrument.in_universe or _has_bars(connection, instrument):
        now = " ".join(f"{name}={getattr(instrument, name)}" for name in changed)
        why = (
            "is described in universe.yaml: write it there and run `chandlery init`"
            if instrument.in_universe
            else "has bars: change it with `chandlery instruments set`"
        )
        raise UsageError(
            f"{' '.join(f'{name}={value}' for name, value in changed.items())}, but {instrument.symbol} is registered"
            f" with {now} and {why}; weeks, months and sessions follow"
        )
    guessed = guess_instrument(
        instrument.symbol,
        changed.get("asset_class", instrument.asset_class),
        calendar or (None if "asset_class" in changed else instrument.calendar),
    )
    kept = {"provider": instrument.provider, "timeframes": tuple(Timeframe(each) for each in instrument.timeframes)}
    return guessed.model_copy(update=kept)


def _has_bars(connection: psycopg.Connection, instrument: Instrument) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ops.bar_window WHERE instrument_id = %(instrument_id)s)",
        {"instrument_id": instrument.instrument_id},
    ).fetchone()
    return bool(row and row[0])
