"""The bars of these benchmarks: in a warehouse, as plain Parquet files, and in the peers' own forms.

Minutes of a year and days of ten years, sealed in the lake and still in the store; a few symbols with bars of which
one in a hundred was revised; and thousands of symbols with a few days that are not sealed yet. Not here: any
measurement.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import say
from benchmarks.peers.install import PEERS
from benchmarks.peers.pipe import Pipe
from benchmarks.world import bars, months, revise, symbols
from chandlery.core.timeframe import Timeframe
from chandlery.publishing.publish import publish
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.warehouse import Warehouse

COLUMNS = ["open", "high", "low", "close", "volume", "vwap", "trades"]
_PUBLISHED, _REVISED = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 20, tzinfo=UTC)
#: Between both.
BEFORE = datetime(2024, 1, 10, tzinfo=UTC)
_SEALED = datetime(2024, 2, 1, tzinfo=UTC)


class Size(NamedTuple):
    """How much there is.

    Attributes:
        minutes: symbols that have minutes.
        months: of them.
        days: symbols that have days, those with minutes among them.
        years: of them.
        newest: symbols that have nothing but a few days that are not sealed.
        resampled: symbols whose minutes become wider bars.
    """

    minutes: int
    months: int
    days: int
    years: int
    newest: int
    resampled: int

    @property
    def month_span(self) -> tuple[datetime, datetime]:
        """The range of the minutes."""
        return months(self.months)

    @property
    def year_span(self) -> tuple[datetime, datetime]:
        """The range of all days."""
        return datetime(2024 - self.years, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)

    @property
    def revised(self) -> list[str]:
        """The symbols of which one bar in a hundred was revised."""
        return [f"REV{number}" for number in range(4)]

    @property
    def latest(self) -> list[str]:
        """The symbols that have nothing but a few days."""
        return [f"NEW{number:05}" for number in range(self.newest)]

    @property
    def names(self) -> list[str]:
        """All symbols."""
        return [*symbols(self.days), *self.revised, *self.latest]


FULL = Size(minutes=100, months=12, days=500, years=10, newest=10_000, resampled=10)
QUICK = Size(minutes=3, months=2, days=5, years=2, newest=30, resampled=2)


def load(warehouse: Warehouse, size: Size, folder: Path) -> None:
    """Publish everything, seal what is over, and write the same as plain Parquet files into ``folder``."""
    _load_minutes(warehouse, size, folder)
    _load_days(warehouse, size, folder)
    with warehouse.connection() as connection:
        table = bars(size.revised, Timeframe.M1, *size.month_span)
        publish(connection, warehouse, Timeframe.M1, table, now=_PUBLISHED)
        publish(connection, warehouse, Timeframe.M1, revise(table, 0.01), now=_REVISED)
    for timeframe in (Timeframe.M1, Timeframe.D1):
        with warehouse.connection() as connection:
            due = find_due(connection, timeframe, _SEALED)
        say(f"sealing {len(due)} files of {timeframe.value}")
        list(archive(warehouse, due))
    newest = size.latest
    for first in range(0, len(newest), 1000):
        span = datetime(2024, 1, 22, tzinfo=UTC), datetime(2024, 1, 27, tzinfo=UTC)
        table = bars(newest[first : first + 1000], Timeframe.D1, *span)
        with warehouse.connection() as connection:
            publish(connection, warehouse, Timeframe.D1, table, now=datetime(2024, 2, 1, 1, tzinfo=UTC))
    with warehouse.connection() as connection:
        connection.execute("VACUUM ANALYZE")


def _load_minutes(warehouse: Warehouse, size: Size, folder: Path) -> None:
    names = symbols(size.minutes)
    for first in range(0, len(names), 5):
        some = names[first : first + 5]
        table = bars(some, Timeframe.M1, *size.month_span)
        say(f"publishing {table.num_rows:,} minutes of {some[0]} to {some[-1]}")
        with warehouse.connection() as connection:
            publish(connection, warehouse, Timeframe.M1, table, now=_PUBLISHED)
        for name in some:
            _write(_of(table, name), folder / "minutes" / f"symbol={name}" / "2023.parquet")


def _load_days(warehouse: Warehouse, size: Size, folder: Path) -> None:
    names = symbols(size.days)
    table = bars(names, Timeframe.D1, *size.year_span)
    say(f"publishing {table.num_rows:,} days of {len(names)} symbols")
    with warehouse.connection() as connection:
        publish(connection, warehouse, Timeframe.D1, table, now=_PUBLISHED)
    for name in names:
        _write(_of(table, name), folder / "days" / f"symbol={name}" / "all.parquet")
    plain = _plain(table)
    _write(plain.add_column(0, "symbol", table["symbol"].cast(pa.string())), folder / "days.parquet", rows=50_000)


def _of(table: pa.Table, name: str) -> pa.Table:
    return _plain(table.filter(pc.equal(table["symbol"].cast(pa.string()), name)))


def _plain(table: pa.Table) -> pa.Table:
    """Return what everybody gets: times in UTC that name no zone, which nobody has to convert."""
    return table.select(["ts", *COLUMNS]).set_column(0, "ts", table["ts"].cast(pa.timestamp("us")))


def _write(table: pa.Table, path: Path, *, rows: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=rows)


def open_peers(worker: Pipe, folder: Path, dsn: str) -> dict[str, dict[str, str]]:
    """Let each peer that is installed take the data; return the versions of what each uses."""
    versions: dict[str, dict[str, str]] = {}
    for name in PEERS:
        say(f"{name} takes the data")
        try:
            versions[name] = worker.ask(peer=name, question="open", folder=str(folder), dsn=dsn)["versions"]
        except RuntimeError as error:
            say(f"{name} is left out: {error}")
    return versions
