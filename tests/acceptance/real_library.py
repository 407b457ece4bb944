"""What the tests of real data share: files in the right places, loaded as the pipeline loads them, and what is in them.

The files are read here once more with nothing but ``csv`` and ``pyarrow``, so that the reader is not judged by itself.
Not here: any expectation, and any data (``shared_data``).
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chandlery.api.data import DataAPI
from chandlery.config.universe import InstrumentConfig
from chandlery.core.calendars import get_calendar
from chandlery.core.symbols import AssetClass
from chandlery.core.timeframe import Timeframe
from chandlery.ingest import quarantine, rejected_rows
from chandlery.ingest.gate import Gate
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import partitions_between
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.registry import load_instruments, sync_instruments
from chandlery.providers.files.provider import FilesProvider
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, utc

M1, D1 = Timeframe.M1, Timeframe.D1
#: After the last bar of the shared data, so that none is from the future.
NOW = utc("2026-07-01")
OHLCV = ("open", "high", "low", "close", "volume")
#: What Yahoo adds to a bar.
EXTRAS = ("Adj Close", "Dividends", "Stock Splits", "Repaired?")


@dataclass(frozen=True)
class Library:
    """A folder of files and the database that they go to."""

    warehouse: Warehouse
    shared: Path
    folder: Path

    def put(self, name: str, symbol: str, timeframe: Timeframe) -> Path:
        """Offer the shared file ``name`` as the bars of ``symbol``, instead of any before; return the shared file."""
        source = self.shared / name
        suffix = ".csv.gz" if name.endswith(".csv.gz") else source.suffix
        link = self.folder / timeframe.table / f"{symbol}{suffix}"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)
        return source

    def load(
        self,
        timeframe: Timeframe,
        calendars: Mapping[str, str],
        gate: Gate,
        *,
        now: datetime = NOW,
        asset_class: AssetClass = "equity",
    ) -> dict[str, PartitionResult]:
        """Register, ingest and roll up everything there is of these symbols; return what became of each partition."""
        configs = [
            InstrumentConfig(symbol=name, calendar=calendar, provider="files", asset_class=asset_class)
            for name, calendar in calendars.items()
        ]
        with self.warehouse.connection() as connection:
            sync_instruments(connection, configs)
            by_symbol = load_instruments(connection)
        provider = FilesProvider(self.folder, ignore_columns=EXTRAS)
        partitions = [
            partition
            for symbol in calendars
            for partition in partitions_between(
                [by_symbol[symbol]], timeframe, *(provider.span(symbol, timeframe) or EVER)
            )
        ]
        pipeline = IngestPipeline(self.warehouse, gate, by_symbol, now=now)
        outcomes = {done.partition.key: done for done in pipeline.ingest(provider, partitions)}
        for _ in catch_up(self.warehouse, timeframe, list(by_symbol.values()), *EVER, now=now):
            pass
        return outcomes

    def read(
        self,
        symbol: str,
        timeframe: str,
        start: datetime = EVER[0],
        end: datetime = EVER[1],
        *,
        as_of: datetime | None = None,
    ) -> pa.Table:
        """Return ``ts`` and ``OHLCV`` of the bars that start in ``[start, end)``, as a user would get them."""
        return DataAPI(self.warehouse).get_ohlc(
            symbol, start, end, timeframe, as_of=as_of, columns=OHLCV, output="arrow"
        )

    def coverage(self, symbol: str) -> dict[date, tuple[int, int]]:
        """Return how many minutes are within and outside of each session."""
        with self.warehouse.connection() as connection:
            found = connection.execute(
                "SELECT session, present, outside FROM ops.coverage JOIN market.instrument USING (instrument_id)"
                " WHERE symbol = %s AND timeframe = '1m'",
                (symbol,),
            ).fetchall()
        return {session: (present, outside) for session, present, outside in found}

    def quarantined(self) -> dict[date, set[str]]:
        """Return the reasons of every row that waits in quarantine, by its date, which must be of one row only."""
        found: dict[date, set[str]] = {}
        with self.warehouse.connection() as connection:
            for entry in quarantine.list_entries(connection):
                _, rows = rejected_rows.read_entry(connection, entry.quarantine_id)
                assert rows.num_rows == entry.row_count
                days = dates(rows)
                assert not found.keys() & set(days)
                found |= dict(zip(days, map(set, rows["reasons"].to_pylist()), strict=True))
        return found


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text, oldest first, with canonical names of columns."""
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        rows = [{name.lower(): cell for name, cell in row.items()} for row in csv.DictReader(lines)]
    for row in rows:
        row["ts"] = row.get("ts") or row.get("date") or row["datetime"]
    return sorted(rows, key=lambda row: row["ts"])


def content(file: Path) -> dict[str, np.ndarray]:
    """Return the bars in a file, oldest first: ``ts`` in µs since the epoch, the others as float64."""
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        moments = table["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
        return {"ts": moments} | {name: table[name].to_numpy() for name in OHLCV}
    rows = read_rows(file)
    # A bar of a day is labelled with its local date, whatever the offset behind it; a minute here is always in UTC.
    moments = [row["ts"].removesuffix("Z") if row["ts"].endswith("Z") else row["ts"][:10] for row in rows]
    stamps = np.array(moments, "datetime64[us]").astype(np.int64)
    return {"ts": stamps} | {name: np.array([number(row[name]) for row in rows]) for name in OHLCV}


def number(cell: str) -> float:
    """Return a cell as a number; a blank one is NaN."""
    return float(cell or "nan")


def assert_same_bits(bars: pa.Table, wanted: Mapping[str, np.ndarray]) -> None:
    """Compare ``ts`` and ``OHLCV`` bit for bit."""
    assert bars.num_rows == len(wanted["ts"])
    assert np.array_equal(bars["ts"].cast(pa.int64()).to_numpy(), wanted["ts"])
    for name in OHLCV:
        assert bars[name].null_count == 0
        differs = bars[name].to_numpy().view(np.int64) != wanted[name].view(np.int64)
        assert not differs.any(), f"{name} differs in {differs.sum()} rows, first at row {differs.argmax()}"


def combine(rows: Iterable[Mapping[str, float]]) -> tuple[float, float, float, float, float]:
    """Return open, high, low, close and volume of consecutive bars taken as one."""
    bars = list(rows)
    return (
        bars[0]["open"],
        max(bar["high"] for bar in bars),
        min(bar["low"] for bar in bars),
        bars[-1]["close"],
        sum(bar["volume"] for bar in bars),
    )


def failed_checks(outcome: PartitionResult) -> dict[str, str]:
    """Return the details of the checks that failed, by name."""
    assert outcome.verdict is not None
    return {check.name: check.detail for check in outcome.verdict.checks if not check.passed}


def dates(bars: pa.Table) -> Sequence[date]:
    """Return the dates of bars of a day and wider, which must be labelled with midnight."""
    moments = bars["ts"].to_pylist()
    assert all(moment.time().isoformat() == "00:00:00" for moment in moments)
    return [moment.date() for moment in moments]


def session_dates(calendar: str) -> set[date]:
    """Return the dates of all sessions of a calendar."""
    return {date(1970, 1, 1) + timedelta(days=day) for day in get_calendar(calendar).sessions.tolist()}
