"""What the benchmarks run on: a PostgreSQL server and folders of their own, removed at the end, and invented bars.

Not here: anything that is measured.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from psycopg import conninfo, sql

from chandlery.config.universe import InstrumentConfig
from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.database import embedded
from chandlery.database.connections import Database
from chandlery.database.dsn import ensure_database, market_dsn
from chandlery.database.migrate import migrate
from chandlery.ingest.plan import partitions_between
from chandlery.instruments.registry import sync_instruments
from chandlery.lake.store import Lake
from chandlery.providers.base import BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

#: Minutes of a month of a stock, about.
BARS_PER_MONTH = 8190
_TABLES = ("bars_revision", *(timeframe.table for timeframe in Timeframe))


class World:
    """A temporary installation.

    Args:
        rows: about how many bars the larger benchmarks use.
        repeat: how many rounds.
        quick: whether what has a size of its own is to be small, to see that it works.
    """

    def __init__(self, rows: int, repeat: int, *, quick: bool = False) -> None:
        self.rows = rows
        self.repeat = repeat
        self.quick = quick
        # A short path, because a unix socket may lie in it. Removed after the server stopped: that is registered later.
        self.folder = Path(tempfile.mkdtemp(prefix="chandlery-bench-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.timescale = os.environ.get("CHANDLERY_TEST_TIMESCALE_URL")
        for name in [name for name in os.environ if name.startswith("CHANDLERY_")]:
            del os.environ[name]
        os.environ["CHANDLERY_HOME"] = str(self.folder / "home")
        os.environ["CHANDLERY_CONFIG"] = str(self.folder / "config")
        self.settings = Settings()
        self._dsn = market_dsn(self.settings)
        superuser = conninfo.make_conninfo(self._dsn, user=embedded.SUPERUSER, dbname="postgres")
        with psycopg.connect(superuser, autocommit=True) as admin:  # each round begins with all written to the disk
            admin.execute(sql.SQL("GRANT pg_checkpoint TO {}").format(sql.Identifier(embedded.ROLE)))

    @contextmanager
    def warehouse(self, name: str, symbols: Sequence[str], *, calendar: str = "XNYS") -> Iterator[Warehouse]:
        """Lend a fresh market database in which ``symbols`` are registered."""
        dsn = conninfo.make_conninfo(self._dsn, dbname=f"bench_{name}")
        ensure_database(dsn)
        warehouse = Warehouse(Database(dsn), Lake(self.lake(name)))
        with warehouse.connection() as connection:
            migrate(connection)
            sync_instruments(
                connection, [InstrumentConfig(symbol=s, calendar=calendar, provider="simulated") for s in symbols]
            )
        yield warehouse
        warehouse.close()
        with psycopg.connect(conninfo.make_conninfo(self._dsn, dbname="postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(f"bench_{name}")))

    def lake(self, name: str) -> Path:
        """Return the folder of the lake of ``warehouse(name)``."""
        return self.folder / f"lake_{name}"

    def configure(self, symbols: Sequence[str], first_month: str, first_year: str) -> None:
        """Write the configuration of an installation with ``symbols`` that are served by the simulated provider.

        There is another one, ``remote``, which nobody answers for: schedules ask only providers that have news.
        """
        self.settings.config.mkdir(exist_ok=True)
        universe = {
            "history": {"1m": f"{first_month}-01", "1d": f"{first_year}-01-01"},
            "instruments": [{"symbol": s, "provider": "simulated", "timeframes": ["1m", "1d"]} for s in symbols],
        }
        (self.settings.config / "universe.yaml").write_text(yaml.safe_dump(universe))
        remote = {"kind": "coinbase", "options": {"url": "http://127.0.0.1:1"}}
        providers = {"providers": {"simulated": {"kind": "simulated"}, "remote": remote}}
        (self.settings.config / "providers.yaml").write_text(yaml.safe_dump(providers))


def symbols(count: int) -> list[str]:
    """Return names of ``count`` invented stocks."""
    return [f"SIM{number:03}" for number in range(count)]


def bars(
    names: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, *, calendar: str = "XNYS"
) -> pa.Table:
    """Return the invented bars of ``names`` in ``[start, end)``, UTC."""
    return (
        SimulatedProvider(calendars=dict.fromkeys(names, calendar)).fetch(BarRequest(names, timeframe, start, end)).bars
    )


def months(count: int, *, first: datetime = datetime(2023, 1, 1, tzinfo=UTC)) -> tuple[datetime, datetime]:
    """Return the half-open range of ``count`` months from ``first``."""
    after = first.month - 1 + count
    return first, datetime(first.year + after // 12, after % 12 + 1, 1, tzinfo=UTC)


def minutes(rows: int) -> tuple[list[str], datetime, datetime]:
    """Return symbols and whole months that hold about ``rows`` minutes; at least two symbols and a month."""
    names = symbols(min(max(rows // (3 * BARS_PER_MONTH), 2), 50))
    return names, *months(max(round(rows / len(names) / BARS_PER_MONTH), 1))


def partitions(names: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime) -> list[Partition]:
    """Return every partition of ``names`` that touches ``[start, end)``."""
    # A fresh database numbers its instruments from 1.
    listings = [_Listing(number, name) for number, name in enumerate(names, start=1)]
    return partitions_between(listings, timeframe, start, end)


class _Listing(NamedTuple):
    instrument_id: int
    symbol: str
    calendar: str = "XNYS"
    asset_class: str = "equity"
    listed: date | None = None
    delisted: date | None = None


def revise(table: pa.Table, share: float, *, by: int = 1) -> pa.Table:
    """Return ``table`` with a volume that is larger by ``by`` in ``share`` of its rows, spread evenly."""
    volume = table["volume"].to_numpy().copy()
    volume[:: max(round(1 / share), 1)] += by
    return table.set_column(table.column_names.index("volume"), "volume", pa.array(volume))


def reset(connection: psycopg.Connection) -> None:
    """Empty everything that publishing writes, and let the server finish its homework."""
    names = [f"market.{name}" for name in _TABLES] + [
        "ops.coverage",
        "ops.publication",
        "ops.rollup_pending",
        "ops.bar_window",
    ]
    connection.execute(f"TRUNCATE {', '.join(names)}")  # type: ignore[arg-type]
    connection.execute("CHECKPOINT")


def warm_up() -> None:
    """Import what is imported lazily, so that nobody's first round pays for it."""
    get_calendar("XNYS")
    pc.sum(pa.array([1]))
