"""Bringing instruments to ``universe.yaml``, renames among them.

An instrument that the file lists under a new symbol, with its former one as an alias, is renamed and keeps its history.
Where the file says nothing of that, it is asked about. Not here: what a sync does else (``coverage.calendar_changes``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import psycopg

from chandlery.config.universe import AliasConfig, InstrumentConfig
from chandlery.coverage.calendar_changes import apply_universe
from chandlery.instruments.registry import Instrument, SyncReport, load_instruments
from chandlery.instruments.rename import describe_uses
from chandlery.ops.registrations.belongings import hold_instruments, read_belongings
from chandlery.ops.registrations.rename import rename
from chandlery.tiers.warehouse import Warehouse


def follow_universe(
    connection: psycopg.Connection, warehouse: Warehouse, configs: Iterable[InstrumentConfig]
) -> SyncReport:
    """Do what ``calendar_changes.apply_universe`` does, after renaming what has a new symbol; in one transaction.

    Raises:
        UsageError: a calendar does not exist, or a symbol cannot be given. Nothing was changed.
        LakeError: a file that has to be read for a rename is missing or damaged. Nothing was changed.
    """
    configs = list(configs)
    with connection.transaction():
        hold_instruments(connection)
        known = load_instruments(connection)
        renamed, questions = [], []
        for config, alias in _said(configs, known):
            other = known.get(config.symbol)
            if other is not None and read_belongings(connection, other).windows:
                questions.append(
                    f"{alias.ticker} is an alias of {config.symbol} in universe.yaml, but both are instruments and have"
                    f" bars: `chandlery instruments merge {alias.ticker} {config.symbol}` makes them one"
                )
            else:
                done = rename(connection, warehouse, alias.ticker, config.symbol, alias.valid_until)
                questions += describe_uses(done.taken, config.symbol, alias.ticker)
                renamed.append((alias.ticker, config.symbol))
        report = apply_universe(connection, warehouse, configs)
    by_symbol = {config.symbol: config for config in configs}
    pairs = ((known[gone], by_symbol[new]) for new in report.added for gone in report.removed)
    questions += [_ask(gone, new) for gone, new in pairs if _may_be_one(gone, new)]
    return replace(report, renamed=renamed, questions=questions)


def _said(
    configs: Sequence[InstrumentConfig], known: Mapping[str, Instrument]
) -> list[tuple[InstrumentConfig, AliasConfig]]:
    """Return the instruments that the file lists with an alias under which one is registered that it does not list."""
    listed = {config.symbol for config in configs}
    claims = Counter(alias.ticker for config in configs for alias in config.aliases)
    found: dict[str, tuple[InstrumentConfig, AliasConfig]] = {}
    for config in configs:
        for alias in config.aliases:
            former = known.get(alias.ticker)
            if former is None or alias.ticker in listed or claims[alias.ticker] > 1:
                continue
            if former.listed and alias.valid_until and former.listed >= alias.valid_until:
                continue  # another thing, which took the ticker over
            # Of several former symbols that are registered, the last is that of the instrument.
            if config.symbol not in found or _is_later(alias, found[config.symbol][1]):
                found[config.symbol] = config, alias
    return list(found.values())


def _is_later(alias: AliasConfig, other: AliasConfig) -> bool:
    return alias.valid_until is None or (other.valid_until is not None and alias.valid_until > other.valid_until)


def _may_be_one(gone: Instrument, new: InstrumentConfig) -> bool:
    return (gone.asset_class, gone.calendar, gone.provider) == (new.asset_class, new.calendar, new.provider)


def _ask(gone: Instrument, new: InstrumentConfig) -> str:
    return (
        f"{gone.symbol} is no longer in universe.yaml, and {new.symbol} is new there. If {new.symbol} is {gone.symbol}"
        f" under a new symbol, write `aliases: [{{ticker: {gone.symbol}, until: YYYY-MM-DD}}]` at {new.symbol} and run"
        " `chandlery init` again: it keeps the history then"
    )
