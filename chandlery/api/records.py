"""What is known about bars besides their values: where they come from, and what the gate noticed of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from chandlery.api.reads import Moment, Output, Reads
from chandlery.api.tables import QUARANTINE, table_of
from chandlery.core.arguments import check_choice, check_count, check_flag, check_text
from chandlery.core.moments import parse_moment, parse_range
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.connections import repeat_read_once
from chandlery.errors import UsageError
from chandlery.instruments.aliases import resolve_all
from chandlery.reading.formats import OUTPUTS, convert

if TYPE_CHECKING:
    from chandlery.lineage.steps import Lineage


class Records(Reads):
    """What is known about bars besides their values."""

    @repeat_read_once
    def lineage(self, symbol: str, ts: Moment, timeframe: str = "1d", *, as_of: Moment | None = None) -> Lineage:
        """Return where one bar comes from and what it was before, or why there is none.

        Args:
            symbol: canonical symbol, or a ticker that named the instrument then.
            ts: start of the bar; of one of a day or wider, the date that it is labelled with.
            timeframe: as of ``get_ohlc``.
            as_of: return what was known at that time, instead of now.

        Raises:
            UsageError: no bar starts at ``ts``, it is yet to come, or an argument is wrong; see ``get_ohlc``.
        """
        from chandlery.lineage.trace import trace  # noqa: PLC0415 - slow to import, and reads do not need it

        start, moment = parse_moment(ts, name="ts"), None if as_of is None else parse_moment(as_of, name="as_of")
        name = check_text(symbol, name="symbol", example="AAPL")
        return trace(self._warehouse, name, start, Timeframe.parse(timeframe), as_of=moment)

    @repeat_read_once
    def findings(
        self,
        symbols: Iterable[str] | str | None = None,
        timeframe: str | None = None,
        *,
        rule: str | None = None,
        state: str | None = "current",
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what the gate noticed and did not reject, by symbol and time.

        The schema is ``quality.findings_table.TABLE``.

        Args:
            symbols: only of these, or of a preset of ``universe.yaml``; of all instruments by default.
            timeframe: only of ``1m`` or ``1d``.
            rule: only what this rule noticed, such as ``price_jump``.
            state: ``open``, ``confirmed``, ``dismissed``, or ``current`` (not dismissed); None for all.
            output: as of ``get_ohlc``; with ``pandas``, indexed by the finding's number.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.quality import findings, findings_table  # noqa: PLC0415 - see ``lineage``

        check_choice(output, OUTPUTS, name="output")
        chosen = None if state is None else check_choice(state, findings.CHOICES, name="state")
        width = None if timeframe is None else Timeframe.parse(timeframe)
        findings.check_timeframe(width)
        names = None if symbols is None else self._symbols(symbols)
        named = None if rule is None else check_text(rule, name="rule", example="price_jump")
        with self._warehouse.connection() as connection:
            ids = None if names is None else [each.instrument_id for each in resolve_all(connection, names, *EVER)]
            found = findings.list_findings(connection, instrument_ids=ids, timeframe=width, rule=named, state=chosen)
        return convert(findings_table.findings_table(found), output, index="finding")

    @repeat_read_once
    def revisions(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        timeframe: str = "1d",
        *,
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return every value of each bar that starts in ``[start, end)`` and was restated at least once.

        The columns are those of ``chandlery.reading.revisions.REVISIONS``, sorted by ``ts`` and ``known_at``: a value
        was believed from ``known_at`` until ``superseded_at`` (exclusive, UTC), which is null of the present one.

        Args:
            symbol: as of ``get_ohlc``.
            start: inclusive; by default, from the first bar there is.
            end: exclusive; by default, to the last bar there is.
            timeframe: a stored one.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``ts``, where each value is a row.

        Raises:
            UnknownSymbolError: no instrument goes by that name in the range.
            UsageError: any other argument is wrong.
        """
        from chandlery.reading.revisions import read_revisions  # noqa: PLC0415 - see ``lineage``

        check_choice(output, OUTPUTS, name="output")
        span = parse_range(EVER[0] if start is None else start, EVER[1] if end is None else end)
        name, width = check_text(symbol, name="symbol", example="AAPL"), Timeframe.parse(timeframe)
        with self._warehouse.connection() as connection:
            (instrument,) = resolve_all(connection, [name], *span)
        return convert(read_revisions(self._warehouse, instrument.instrument_id, width, *span), output, index="ts")

    @repeat_read_once
    def quarantine(
        self, symbols: Iterable[str] | str | None = None, *, everything: bool = False, output: Output = "pandas"
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what the gate rejected and waits for a person or for another answer, oldest first.

        The columns are those of ``chandlery.api.tables.QUARANTINE``, which ``ingest.quarantine.QuarantineEntry``
        explains; all times are UTC. ``rejected_rows`` are the rows of an entry.

        Args:
            symbols: as of ``findings``.
            everything: return also what was released, or replaced by a later answer.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``quarantine_id``.

        Raises:
            UnknownSymbolError: no instrument goes by a name of ``symbols``.
            UsageError: any other argument is wrong.
        """
        from chandlery.ingest.quarantine import list_entries  # noqa: PLC0415 - see ``lineage``

        check_choice(output, OUTPUTS, name="output")
        waits_or_not = check_flag(everything, name="everything")
        names = None if symbols is None else self._symbols(symbols)
        with self._warehouse.connection() as connection:
            ids = None if names is None else {each.instrument_id for each in resolve_all(connection, names, *EVER)}
            entries = list_entries(connection, everything=waits_or_not)
        chosen = [each for each in entries if ids is None or each.instrument_id in ids]
        return convert(table_of(chosen, QUARANTINE), output, index="quarantine_id")

    @repeat_read_once
    def rejected_rows(self, quarantine_id: int, *, output: Output = "pandas") -> Any:  # noqa: ANN401 - by ``output``
        """Return the rows of an entry of the quarantine, each with the rules that it broke (``reasons``).

        The columns are those of ``chandlery.ingest.gate.REJECTED``, as the provider sent them; ``ts`` is in UTC.

        Args:
            quarantine_id: number of the entry.
            output: as of ``get_ohlc``; with ``pandas``, indexed by ``ts``.

        Raises:
            UsageError: there is no such entry, or an argument is wrong.
        """
        from chandlery.ingest.rejected_rows import read_entry  # noqa: PLC0415 - see ``lineage``

        check_choice(output, OUTPUTS, name="output")
        number = check_count(quarantine_id, name="quarantine_id", most=2**63 - 1)
        if number is None:
            raise UsageError("quarantine_id=None is not allowed; give the number of an entry, as quarantine() has it")
        with self._warehouse.connection() as connection:
            _, rows = read_entry(connection, number)
        return convert(rows, output, index="ts")
