# ruff: noqa: ANN401 - the peers say nothing of their types here
"""``python worker.py``, with the Python of the peers' environment: answers questions with what is installed there.

Reads a request from each line of its input, as JSON, and writes the answer to its output. Each peer is used as its own
documentation advises. Imports nothing of Chandlery, which needs other versions of pandas. Not here: the questions, and
the data (``data``).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


class Peer:
    """A way to read the data of a folder; ``modules`` are what it needs."""

    modules: tuple[str, ...] = ()

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder, self.dsn = folder, dsn
        for name in self.modules:
            setattr(self, name, importlib.import_module(name))

    def _minutes(self, symbols: list[str]) -> list[str]:
        return [str(self.folder / "minutes" / f"symbol={symbol}" / "2023.parquet") for symbol in symbols]

    def _days(self, symbol: str) -> str:
        return str(self.folder / "days" / f"symbol={symbol}" / "all.parquet")


class ArcticDB(Peer):
    """A library of minutes and one of days, in LMDB; a symbol's bars each."""

    modules = ("arcticdb", "pandas")

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder, dsn)
        store = self.arcticdb.Arctic(f"lmdb://{folder / 'arctic'}?map_size=8GB")
        self.minute, self.day = (store.get_library(name, create_if_missing=True) for name in ("minutes", "days"))
        for library, kind in ((self.minute, "minutes"), (self.day, "days")):
            for path in sorted((folder / kind).glob("symbol=*/*.parquet")):
                frame = self.pandas.read_parquet(path, partitioning=None).set_index("ts")
                frame.index = frame.index.astype("datetime64[ns]")
                library.write(path.parent.name.partition("=")[2], frame)

    def minutes(self, symbol: str, columns: list[str], **_: Any) -> Any:
        return self.minute.read(symbol, columns=columns).data

    def days(self, symbol: str, columns: list[str], start: str, end: str) -> Any:
        return self.day.read(symbol, date_range=self._span(start, end), columns=columns).data

    def many(self, symbols: list[str], columns: list[str], start: str, end: str) -> Any:
        span, request = self._span(start, end), self.arcticdb.ReadRequest
        found = self.day.read_batch([request(symbol, date_range=span, columns=columns) for symbol in symbols])
        return self.pandas.concat({each.symbol: each.data for each in found}, names=["symbol"])

    def _span(self, start: str, end: str) -> tuple[Any, Any]:  # both inclusive
        return self.pandas.Timestamp(start), self.pandas.Timestamp(end) - self.pandas.Timedelta(1, "ns")


class Polars(Peer):
    """Plain Parquet files, a folder for each symbol; all days in one file as well, sorted by symbol."""

    modules = ("polars", "pyarrow")

    def minutes(self, symbol: str, columns: list[str], **_: Any) -> Any:
        path = self._minutes([symbol])[0]
        return self.polars.read_parquet(path, columns=["ts", *columns]).to_pandas().set_index("ts")

    def days(self, symbol: str, columns: list[str], start: str, end: str) -> Any:
        rows = self.polars.scan_parquet(self._days(symbol)).filter(self._within(start, end)).select("ts", *columns)
        return rows.collect().to_pandas().set_index("ts")

    def many(self, symbols: list[str], columns: list[str], start: str, end: str) -> Any:
        chosen = self.polars.col("symbol").is_in(symbols) & self._within(start, end)
        rows = self.polars.scan_parquet(self.folder / "days.parquet").filter(chosen).select("symbol", "ts", *columns)
        return rows.collect().to_pandas().set_index(["symbol", "ts"])

    def resample(self, symbols: list[str], width: str) -> Any:
        col = self.polars.col
        rows = self.polars.scan_parquet(self._minutes(symbols), hive_partitioning=True)
        bars = rows.group_by("symbol", col("ts").dt.truncate(width), maintain_order=True).agg(
            col("open").first(), col("high").max(), col("low").min(), col("close").last(), col("volume").sum()
        )
        return bars.collect()

    def _within(self, start: str, end: str) -> Any:
        moments = (self.polars.lit(text).str.to_datetime(time_unit="us") for text in (start, end))
        return self.polars.col("ts").is_between(*moments, closed="left")


class DuckDB(Peer):
    """The same files as those of Polars."""

    modules = ("duckdb", "pandas", "pyarrow")

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder, dsn)
        self.connection = self.duckdb.connect()

    def minutes(self, symbol: str, columns: list[str], **_: Any) -> Any:
        return self._frame(f"SELECT ts, {', '.join(columns)} FROM read_parquet(?)", [self._minutes([symbol])], "ts")

    def days(self, symbol: str, columns: list[str], start: str, end: str) -> Any:
        text = f"SELECT ts, {', '.join(columns)} FROM read_parquet(?) WHERE ts >= ?::TIMESTAMP AND ts < ?::TIMESTAMP"
        return self._frame(text, [[self._days(symbol)], start, end], "ts")

    def many(self, symbols: list[str], columns: list[str], start: str, end: str) -> Any:
        names = ", ".join(f"'{symbol}'" for symbol in symbols)
        text = f"""SELECT symbol, ts, {", ".join(columns)} FROM read_parquet(?)
                   WHERE symbol IN ({names}) AND ts >= ?::TIMESTAMP AND ts < ?::TIMESTAMP"""
        return self._frame(text, [[str(self.folder / "days.parquet")], start, end], ["symbol", "ts"])

    def resample(self, symbols: list[str], width: str) -> Any:
        text = f"""SELECT symbol, time_bucket(INTERVAL '{_interval(width)}', ts, TIMESTAMP '1970-01-01') AS start,
                          arg_min(open, ts) AS open, max(high) AS high, min(low) AS low, arg_max(close, ts) AS close,
                          sum(volume) AS volume
                   FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL ORDER BY ALL"""
        return self.connection.sql(text, params=[self._minutes(symbols)]).to_arrow_table()

    def _frame(self, text: str, values: list[Any], index: str | list[str]) -> Any:
        return self.connection.execute(text, values).df().set_index(index)


class ReadSql(Peer):
    """``pandas.read_sql`` of our tables, by SQLAlchemy and psycopg2."""

    modules = ("pandas", "sqlalchemy", "psycopg2")

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder, dsn)
        self.engine = self.sqlalchemy.create_engine(
            "postgresql+psycopg2://", creator=lambda: self.psycopg2.connect(dsn)
        )

    def minutes(self, symbol: str, columns: list[str], start: str, end: str) -> Any:
        return self._read("bars_1m", [symbol], columns, start, end).set_index("ts")

    def days(self, symbol: str, columns: list[str], start: str, end: str) -> Any:
        return self._read("bars_1d", [symbol], columns, start, end).set_index("ts")

    def many(self, symbols: list[str], columns: list[str], start: str, end: str) -> Any:
        return self._read("bars_1d", symbols, ["symbol", *columns], start, end).set_index(["symbol", "ts"])

    def _read(self, table: str, symbols: list[str], columns: list[str], start: str, end: str) -> Any:
        names = ", ".join(f"'{symbol}'" for symbol in symbols)
        text = f"""SELECT b.ts, {", ".join(columns)}
                   FROM market.{table} AS b JOIN market.instrument USING (instrument_id)
                   WHERE symbol IN ({names}) AND b.ts >= '{start}+00' AND b.ts < '{end}+00'
                   ORDER BY instrument_id, b.ts"""
        return self.pandas.read_sql(text, self.engine)


KINDS = {"ArcticDB": ArcticDB, "DuckDB": DuckDB, "Polars": Polars, "pandas.read_sql": ReadSql}


def main() -> None:
    """Answer each request with one line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    peers: dict[str, Peer] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name, question = request.pop("peer"), request.pop("question")
        try:
            if question == "open":
                peers[name] = KINDS[name](Path(request["folder"]), request["dsn"])
                modules = (sys.modules[module] for module in peers[name].modules)
                answer: dict[str, Any] = {"versions": {each.__name__: each.__version__ for each in modules}}
            else:
                answer = _timed(lambda: getattr(peers[name], question)(**request))  # noqa: B023 - called at once
        except Exception as error:  # noqa: BLE001 - told to the other side
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _timed(work: Any) -> dict[str, Any]:
    gc.collect()
    start = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - start
    closes = found["close"]
    return {
        "seconds": seconds,
        "rows": len(found),
        "sum": float(closes.sum() if hasattr(closes, "sum") else closes.to_pandas().sum()),
    }


def _interval(width: str) -> str:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    return f"{width[:-1]} {units[width[-1]]}"


if __name__ == "__main__":
    main()
