"""Whether an ingest would change nothing, which takes no gate and no run to find out.

So it is where every session is final, the provider has exactly the bars that are stored, and all that was ever
published of these instruments was audited by the present rules and calendars. Not here: ingesting (``pipeline``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.bars.rows import count_windows
from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.calendars import changed_calendars, get_calendar
from chandlery.core.partition import Partition
from chandlery.core.schema import STORED
from chandlery.core.symbols import ANY_PRICE
from chandlery.database.named_queries import query
from chandlery.ingest.fetch import fetch_answer
from chandlery.ingest.plan import IngestPlan, open_partitions, partitions_between, plan_requests
from chandlery.ingest.quarantine import list_entries
from chandlery.ingest.result import PartitionResult, Status
from chandlery.ingest.validate import has_sessions
from chandlery.ingest.vanished import RULE as VANISHED
from chandlery.instruments.aliases import other_tickers
from chandlery.instruments.registry import Instrument
from chandlery.providers.configured import ConfiguredProviders
from chandlery.quality.findings import count_current, list_findings
from chandlery.reading.bars import read_bars
from chandlery.rollups.stale import read_staleness
from chandlery.tiers.warehouse import Warehouse

#: What is compared: all that makes a bar, but for when it became known.
_COMPARED = [name for name in STORED.names if name != "known_at"]


def find_unchanged(
    warehouse: Warehouse, providers: ConfiguredProviders, plan: IngestPlan, *, rules: str
) -> list[PartitionResult] | None:
    """Return what becomes of each partition of a plan that would change nothing; None where it may change something.

    Providers that are called over a network are never asked here.

    Args:
        warehouse: where the bars are.
        providers: that are configured.
        plan: of the ingest.
        rules: version of the rules by which the gate would audit.
    """
    options = plan.options
    if not plan.ranges or options.refresh or options.replay_since or plan.max_rejected_share is not None:
        return None
    named: dict[str, list[Partition]] = defaultdict(list)
    for instrument, (start, end) in plan.ranges.items():
        named[options.provider or instrument.provider] += partitions_between([instrument], plan.timeframe, start, end)
    if named.keys() & providers.remote_limits().keys():
        return None
    partitions = [partition for group in named.values() for partition in group]
    with warehouse.connection() as connection:
        if not _is_settled(connection, plan, partitions, rules):
            return None
        # What waits is replaced by an answer without it.
        symbols = {(partition.symbol, name) for name, group in named.items() for partition in group}
        if any((entry.symbol, entry.provider) in symbols for entry in list_entries(connection)):
            return None
        tickers = other_tickers(connection, [each.symbol for each in plan.ranges])
    stored = _stored(warehouse, plan)
    is_comparable = _are_audited(warehouse, plan, stored) and not _has_refused_prices(stored, plan)
    for name, group in named.items():
        offered = _offered(providers, plan, name, group, tickers) if is_comparable else None
        ids = {partition.instrument_id for partition in group}
        if offered is None or not offered.equals(_of(stored, ids)):
            return None
    return _results(warehouse, partitions, stored)


def _is_settled(connection: psycopg.Connection, plan: IngestPlan, partitions: Sequence[Partition], rules: str) -> bool:
    """Return whether all that was requested is final, was audited by ``rules``, and is rolled up."""
    if any(partition.is_unlisted for partition in partitions):
        return False
    calendars = {instrument.calendar for instrument in plan.ranges}
    if calendars & changed_calendars() or open_partitions(connection, partitions)[0]:
        return False
    ids = [each.instrument_id for each in plan.ranges]
    # What had vanished may have come back.
    found = list_findings(connection, instrument_ids=ids, timeframe=plan.timeframe, state="open")
    if any(finding.rule == VANISHED for finding in found):
        return False
    stale = read_staleness(connection, plan.timeframe)
    if stale.due or stale.waiting:
        return False
    values = {"timeframe": plan.timeframe.value, "ids": ids}
    audits = connection.execute(query("ingest/audits"), values).fetchall()
    current = {get_calendar(name).label for name in calendars}
    others = {label for _, labels in audits for label in labels if label.partition(" ")[0] in calendars} - current
    return not others and {audited_by for audited_by, _ in audits} == {rules}


def _stored(warehouse: Warehouse, plan: IngestPlan) -> pa.Table:
    ranges = [BarRange(each.instrument_id, start, end) for each, (start, end) in plan.ranges.items()]
    return read_bars(warehouse, plan.timeframe, ranges, columns=_COMPARED)


def _are_audited(warehouse: Warehouse, plan: IngestPlan, stored: pa.Table) -> bool:
    """Return whether the gate audited something of each instrument that has bars; of all, ``_is_settled`` knows how."""
    ids = np.unique(numpy_of(stored["instrument_id"])).tolist()
    with warehouse.connection() as connection:
        values = {"timeframe": plan.timeframe.value, "ids": ids}
        return connection.execute(query("ingest/unaudited"), values).fetchone() is None


def _has_refused_prices(stored: pa.Table, plan: IngestPlan) -> bool:
    """Return whether the gate would refuse prices of what an instrument is now: it may have been another thing."""
    strict = [each.instrument_id for each in plan.ranges if each.asset_class not in ANY_PRICE]
    lows = numpy_of(stored["low"])[np.isin(numpy_of(stored["instrument_id"]), strict)]
    return bool((lows <= 0).any())


def _of(stored: pa.Table, ids: set[int]) -> pa.Table:
    """Return the bars of some instruments, in one chunk, with text where there was a dictionary."""
    mine = np.isin(numpy_of(stored["instrument_id"]), list(ids))
    return _plain(stored.filter(number_array(mine)))


def _offered(
    providers: ConfiguredProviders,
    plan: IngestPlan,
    name: str,
    partitions: Sequence[Partition],
    tickers: Mapping[str, Sequence[str]],
) -> pa.Table | None:
    """Return what a provider has, in the form of ``_of``; None where anything fails, which a run will say."""
    instruments: Mapping[str, Instrument] = {each.symbol: each for each in plan.ranges}
    calendars = {partition.symbol: partition.calendar for partition in partitions}
    provider = providers.build(name, options=plan.options.provider_options, calendars=calendars, tickers=tickers)
    answers = [fetch_answer(provider, request) for request in plan_requests(partitions, provider.limits)]
    if any(answer.failures for answer in answers):
        return None
    bars = pa.concat_tables([answer.bars for answer in answers]).unify_dictionaries().combine_chunks()
    symbol = bars["symbol"].combine_chunks()
    ids = np.array([instruments[each].instrument_id for each in symbol.dictionary.to_pylist()], np.int32)
    owners = ids[symbol.indices.to_numpy()] if len(symbol) else np.empty(0, np.int32)
    bars = bars.set_column(0, STORED.field("instrument_id"), number_array(owners)).select(_COMPARED)
    return _plain(bars.take(number_array(np.lexsort((numpy_of(bars["ts"]), owners)))))


def _plain(bars: pa.Table) -> pa.Table:
    place = bars.column_names.index("source")
    return bars.set_column(place, "source", bars["source"].cast(pa.string())).combine_chunks()


def _results(warehouse: Warehouse, partitions: Sequence[Partition], stored: pa.Table) -> list[PartitionResult]:
    timeframe = partitions[0].timeframe
    counts = count_windows(numpy_of(stored["instrument_id"]), numpy_of(stored["ts"]), timeframe)
    with warehouse.connection() as connection:
        warnings = count_current(connection, timeframe, [(each.instrument_id, each.window.key) for each in partitions])
    results = []
    for each in partitions:
        key = each.instrument_id, each.window.key
        unchanged = counts.get(key, 0)
        status: Status = "complete" if unchanged or not has_sessions(each) else "empty"
        results.append(PartitionResult(each, status, unchanged=unchanged, warnings=warnings.get(key, 0)))
    return results
