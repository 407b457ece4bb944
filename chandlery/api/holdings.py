"""What there is and what is missing, by instrument and session. Not here: the bars themselves (``bars``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from chandlery.api.reads import Moment, Output, Reads
from chandlery.api.tables import ALIASES, COVERAGE, HALTS, INSTRUMENTS, MISSING, table_of, with_timeframe
from chandlery.core.arguments import check_choice
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.instruments.halts import list_halts
from chandlery.instruments.registry import Instrument, list_aliases, list_instruments
from chandlery.reading.formats import OUTPUTS, convert
from chandlery.settings import Settings


class Holdings(Reads):
    """What there is, of which instruments, and what is missing."""

    @repeat_read_once
    def coverage(
        self, symbols: Iterable[str] | str | None = None, timeframe: str | None = None, *, output: Output = "pandas"
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what there is of each instrument and timeframe that has any bar, by order of registration.

        The columns are those of ``chandlery.api.tables.COVERAGE``: ``rows`` counts bars from ``first_ts`` to
        ``last_ts`` (starts, UTC), of ``sources``. ``expected`` counts sessions of the calendar, ``present`` those with
        a bar, ``missing`` the others; ``slots_expected`` and ``slots_present`` count minutes of ``1m``; ``outside`` is
        about bars outside every session. They are null where bars are derived. ``stale_since`` (UTC) is the close of
        the first session after the newest bar, and ``findings`` counts what nobody dismissed. More:
        ``chandlery.coverage.summary.Summary``.

        Args:
            symbols: only of these, or of a preset of ``universe.yaml``; of all instruments by default.
            timeframe: only of this stored one.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``(symbol, timeframe)``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.coverage.summary import summarize  # noqa: PLC0415 - slow to import, and reads do not need it
        from chandlery.quality.findings import list_findings  # noqa: PLC0415

        check_choice(output, OUTPUTS, name="output")
        widths, chosen = _widths(timeframe), self._chosen(symbols)
        with self._warehouse.connection() as connection:
            found = summarize(connection, chosen, widths, static=self._static())
            noticed = list_findings(connection, instrument_ids=[each.instrument_id for each in chosen])
        counts = Counter((each.symbol, each.timeframe) for each in noticed)
        findings = [counts[each.symbol, each.timeframe.value] for each in found]
        table = table_of(found, COVERAGE, timeframe=[each.timeframe.value for each in found], findings=findings)
        return convert(table, output, index=["symbol", "timeframe"])

    @repeat_read_once
    def missing_sessions(
        self, symbols: Iterable[str] | str | None = None, timeframe: str = "1d", *, output: Output = "pandas"
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return the sessions without any bar, as runs of consecutive ones; of those that ``coverage`` expects.

        The columns are ``symbol timeframe first last sessions``; ``first`` and ``last`` are dates, both inclusive.

        Args:
            symbols: as of ``coverage``.
            timeframe: ``1m`` or ``1d``.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``symbol``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.coverage.summary import missing_sessions  # noqa: PLC0415 - see ``coverage``

        check_choice(output, OUTPUTS, name="output")
        width, static, chosen = Timeframe.parse(timeframe), self._static(), self._chosen(symbols)
        with self._warehouse.connection() as connection:
            rows = [
                (each.symbol, width.value, *run)
                for each in chosen
                for run in missing_sessions(connection, each, width, static=static)
            ]
        columns = list(zip(*rows, strict=True)) or [()] * len(MISSING)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, MISSING, strict=True)]
        return convert(pa.Table.from_arrays(arrays, schema=MISSING), output, index="symbol")

    @repeat_read_once
    def session_states(
        self,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        state: str | None = None,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return why sessions have what they have, as runs of consecutive sessions in one state.

        The columns are ``symbol timeframe``, and then those of ``chandlery.coverage.session_states.RUNS``: ``state``,
        the run's ``first`` and ``last`` session (dates, both inclusive), how many ``sessions``, the slots ``expected``
        and ``present`` in them, and the longest run of missing slots (``missing_start``, UTC, and ``missing_slots``).

        Args:
            symbols: as of ``coverage``.
            timeframe: ``1m`` or ``1d``; both by default.
            start: of sessions from this date on, inclusive; from the first that is known by default.
            end: of sessions before this date; until now by default.
            state: only of this state; see ``chandlery.coverage.session_states.State``.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``(symbol, timeframe)``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.coverage.session_states import RUNS, State, state_runs  # noqa: PLC0415 - see ``coverage``

        check_choice(output, OUTPUTS, name="output")
        allowed = [each for each in State if each is not State.CLOSED]
        only = None if state is None else [State(check_choice(state, allowed, name="state"))]
        widths, span, static = _ingested(timeframe), _sessions(start, end), self._static()
        parts, chosen = [with_timeframe(RUNS.empty_table(), "")], self._chosen(symbols)
        with self._warehouse.connection() as connection:
            for width in widths:
                runs = state_runs(connection, chosen, width, *span, static=static, only=only)
                parts.append(with_timeframe(runs, width.value))
        return convert(pa.concat_tables(parts), output, index=["symbol", "timeframe"])

    @repeat_read_once
    def states_of_day(
        self,
        day: Moment,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        *,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what is known of one day, also where an instrument has no session on it (``closed``).

        The columns are ``symbol timeframe``, and then those of ``chandlery.coverage.session_states.STATES``; ``open``,
        ``close`` and all other times are UTC, and ``calendar`` has the version of its rules.

        Args:
            day: a date; of a moment, its date in UTC.
            symbols: as of ``coverage``.
            timeframe: ``1m`` or ``1d``; both by default.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``(symbol, timeframe)``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: the day has not begun or is beyond the calendar, or any other argument is wrong.
        """
        from chandlery.coverage.day_states import states_of_day  # noqa: PLC0415 - see ``coverage``
        from chandlery.coverage.session_states import STATES  # noqa: PLC0415

        check_choice(output, OUTPUTS, name="output")
        chosen_day, widths = parse_moment(day, name="day").date(), _ingested(timeframe)
        parts, chosen = [with_timeframe(STATES.empty_table(), "")], self._chosen(symbols)
        with self._warehouse.connection() as connection:
            for width in widths:
                states = states_of_day(connection, chosen, width, chosen_day)
                parts.append(with_timeframe(states, width.value))
        return convert(pa.concat_tables(parts), output, index=["symbol", "timeframe"])

    @repeat_read_once
    def instruments(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any:  # noqa: ANN401 - by ``output``
        """Return which instruments there are, in the order of registration.

        The columns are those of ``chandlery.api.tables.INSTRUMENTS``: the permanent ``instrument_id``, ``asset_class``,
        ``calendar``, ``provider``, the ``timeframes`` that schedules keep up to date, ``name``, the dates ``listed``
        and ``delisted``, and ``in_universe``: whether ``universe.yaml`` lists it; false where it no longer does, and
        null where it never did.

        Args:
            symbols: only these, by any name that they ever had, or a preset of ``universe.yaml``; all by default.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``symbol``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        check_choice(output, OUTPUTS, name="output")
        return convert(table_of(self._chosen(symbols), INSTRUMENTS), output, index="symbol")

    @repeat_read_once
    def aliases(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any:  # noqa: ANN401 - by ``output``
        """Return which tickers named the instruments, and when: ``symbol ticker valid_from valid_until``.

        ``valid_from`` is a date, inclusive, and ``valid_until`` one, exclusive; null where there is no such limit.
        Arguments and errors are those of ``instruments``.
        """
        check_choice(output, OUTPUTS, name="output")
        chosen = self._chosen(symbols)
        with self._warehouse.connection() as connection:
            names = list_aliases(connection, chosen)
        return convert(table_of(names, ALIASES), output, index="symbol")

    @repeat_read_once
    def halts(self, symbols: Iterable[str] | str | None = None, *, output: Output = "pandas") -> Any:  # noqa: ANN401 - by ``output``
        """Return when trading was halted, by symbol and time: ``symbol start end reason``, half-open and in UTC.

        Arguments and errors are those of ``instruments``.
        """
        check_choice(output, OUTPUTS, name="output")
        names = None if symbols is None else [each.symbol for each in self._chosen(symbols)]
        with self._warehouse.connection() as connection:
            recorded = [] if names == [] else list_halts(connection, names)
        return convert(table_of(recorded, HALTS), output, index="symbol")

    def _chosen(self, symbols: Iterable[str] | str | None) -> list[Instrument]:
        """Return the instruments that ``symbols`` name, or all."""
        names = None if symbols is None else self._symbols(symbols)
        with self._warehouse.connection() as connection:
            return list_instruments(connection) if names is None else resolve_all(connection, names, *EVER)

    @staticmethod
    def _static() -> frozenset[str]:
        """Return the providers whose data never changes."""
        from chandlery.providers.catalog import is_static, load_providers  # noqa: PLC0415 - slow to import

        path = Settings().config / "providers.yaml"
        configured = load_providers(path).providers if path.is_file() else {}
        return frozenset(name for name, provider in configured.items() if is_static(provider))


def _widths(timeframe: str | None) -> list[Timeframe]:
    return list(Timeframe) if timeframe is None else [Timeframe.parse(timeframe)]


def _ingested(timeframe: str | None) -> list[Timeframe]:
    """Return the timeframes that have states: the one that was named, or all."""
    widths = [width for width in _widths(timeframe) if width.is_ingested]
    if not widths:
        raise UsageError(f"timeframe={timeframe!r} is derived and as complete as its base; allowed: 1m 1d")
    return widths


def _sessions(start: Moment | None, end: Moment | None) -> tuple[date | None, date | None]:
    """Return the first session from ``start`` on and the first from ``end`` on."""
    first, last = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
    return None if start is None else _first_session(first), None if end is None else _first_session(last)


def _first_session(moment: datetime) -> date:
    """Return the first date that does not begin before ``moment``."""
    is_midnight = moment == datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return moment.date() if is_midnight or moment.date() == date.max else moment.date() + timedelta(days=1)
