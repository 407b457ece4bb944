"""What is known about bars besides their values: where they come from, and what the gate noticed of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from chandlery.api.reads import Moment, Output, Reads
from chandlery.core.arguments import check_choice, check_text, check_texts
from chandlery.core.moments import parse_moment
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.connections import repeat_read_once
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
        symbols: Iterable[str] | None = None,
        timeframe: str | None = None,
        *,
        state: str | None = "current",
        output: Output = "pandas",
    ) -> Any:  # noqa: ANN401 - by ``output``
        """Return what the gate noticed and did not reject, by symbol and time.

        The schema is ``quality.findings_table.TABLE``.

        Args:
            symbols: only of these; of all instruments by default.
            timeframe: only of ``1m`` or ``1d``.
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
        names = None if symbols is None else check_texts(symbols, name="symbols", example="AAPL")
        with self._warehouse.connection() as connection:
            ids = None if names is None else [each.instrument_id for each in resolve_all(connection, names, *EVER)]
            found = findings.list_findings(connection, instrument_ids=ids, timeframe=width, state=chosen)
        return convert(findings_table.findings_table(found), output, index="finding")
