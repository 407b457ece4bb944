"""Whatever the notation of a file, the bars in it are read back bit for bit."""

from __future__ import annotations

import csv
import gzip
import io
import random
import struct
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import BarRequest
from chandlery.providers.files.columns import ALIASES
from chandlery.providers.files.provider import FilesProvider
from chandlery.providers.files.times import EpochUnit

Bar = tuple[datetime, dict[str, float | int | None]]

ZONE = "America/New_York"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Time zone databases tabulate daylight-saving time until 2037; what follows is each reader's own extrapolation.
FIRST, LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)
UNITS: dict[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

numbers = st.none() | st.floats(allow_nan=False, width=64)
values = st.fixed_dictionaries(
    {name: numbers for name in VALUES if name != "trades"} | {"trades": st.none() | st.integers(0, 2**31 - 1)}
)
bars_of_minutes = st.lists(
    st.tuples(
        st.integers(0, (LAST - FIRST) // timedelta(minutes=1)).map(lambda n: FIRST + timedelta(minutes=n)), values
    ),
    min_size=1,
    max_size=12,
)
bars_of_days = st.lists(
    st.tuples(st.integers(0, (LAST - FIRST).days).map(lambda n: FIRST + timedelta(days=n)), values),
    min_size=1,
    max_size=12,
)


def offset_text(moment: datetime, minutes: int) -> str:
    shifted = moment + timedelta(minutes=minutes)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    return f"{shifted:%Y-%m-%d %H:%M:%S}{sign}{hours:02}:{rest:02}"


def local(moment: datetime) -> datetime | None:
    """The wall clock, unless it shows that time twice."""
    wall = moment.astimezone(ZoneInfo(ZONE))
    return None if wall.utcoffset() != wall.replace(fold=1 - wall.fold).utcoffset() else wall.replace(tzinfo=None)


#: How a minute's time may be written in text.
NOTATIONS: dict[str, Callable[[datetime, int], str | None]] = {
    "Z": lambda moment, _: f"{moment:%Y-%m-%dT%H:%M:%SZ}",
    "milliseconds": lambda moment, _: f"{moment:%Y-%m-%dT%H:%M:%S.000Z}",
    "offset": offset_text,
    "naive": lambda moment, _: None if (wall := local(moment)) is None else f"{wall:%Y-%m-%d %H:%M:%S}",
    **{
        unit: lambda moment, _, per=per: str((moment - EPOCH) // timedelta(seconds=1) * per)
        for unit, per in UNITS.items()
    },
}


def header(choice: random.Random) -> dict[str, str]:
    """A name for each column, in some order and some case."""
    names = ["ts", *VALUES]
    choice.shuffle(names)
    return {
        name: "".join(choice.choice([letter.upper(), letter]) for letter in choice.choice(ALIASES[name]))
        for name in names
    }


def write_csv(file: Path, times: list[str], bars: list[Bar], choice: random.Random) -> None:
    names = header(choice)
    blank = choice.choice(["", "NaN", "nan"])
    text = io.StringIO()
    writer = csv.writer(text, quoting=choice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow(names.values())
    for time, (_, row) in zip(times, bars, strict=True):
        cells: dict[str, Any] = {"ts": time} | {k: blank if v is None else repr(v) for k, v in row.items()}
        writer.writerow([cells[name] for name in names])
    data = text.getvalue().encode()
    file.write_bytes(gzip.compress(data, 1) if file.suffix == ".gz" else data)


def write_parquet(file: Path, times: pa.Array, bars: list[Bar], choice: random.Random) -> None:
    columns = {"ts": times}
    for name in VALUES:
        kind = pa.int64() if name == "trades" else pa.float64()
        columns[name] = pa.array([row[name] for _, row in bars], kind)
    pq.write_table(pa.table({alias: columns[name] for name, alias in header(choice).items()}), file, row_group_size=5)


def bits(rows: list[Bar]) -> list[tuple[Any, ...]]:
    """The bars oldest first, numbers as their eight bytes, so that -0.0 is not 0.0."""
    ordered = sorted(rows, key=lambda bar: bar[0])
    return [
        (moment, *(None if row[k] is None else struct.pack("d", row[k]) for k in VALUES)) for moment, row in ordered
    ]


def assert_read_back(provider: FilesProvider, bars: list[Bar], timeframe: Timeframe) -> None:
    cut = sorted(moment for moment, _ in bars)[len(bars) // 2] if bars else FIRST
    found: list[Bar] = []
    for start, end in ((FIRST, cut), (cut, LAST + timedelta(days=1))):
        reply = provider.fetch(BarRequest(["A/B"], timeframe, start, end))
        assert reply.failures == {}
        rows = reply.bars.to_pylist()
        assert all(start <= row["ts"] < end for row in rows)
        assert {(row["symbol"], row["source"]) for row in rows} <= {("A/B", "files")}
        found += [(row["ts"], {name: row[name] for name in VALUES}) for row in rows]
    assert bits(found) == bits(bars)
    if bars:
        width = timedelta(microseconds=timeframe.microseconds)
        moments = [moment for moment, _ in bars]
        assert provider.span("A/B", timeframe) == (min(moments), max(moments) + width)


def target(folder: str, timeframe: Timeframe, suffix: str) -> Path:
    path = Path(folder) / timeframe.table
    path.mkdir()
    return path / f"A-B{suffix}"


@settings(max_examples=60, deadline=None)
@given(
    bars=bars_of_minutes,
    notation=st.sampled_from(sorted(NOTATIONS)),
    suffix=st.sampled_from((".csv", ".TXT", ".csv.gz")),
    minutes=st.integers(-14 * 60, 14 * 60),
    choice=st.randoms(use_true_random=False),
)
def test_minutes_in_csv_of_any_notation_are_read_back_bit_for_bit(
    *, bars: list[Bar], notation: str, suffix: str, minutes: int, choice: random.Random
) -> None:
    written = [(NOTATIONS[notation](moment, minutes), (moment, row)) for moment, row in bars]
    kept = [(text, bar) for text, bar in written if text is not None]
    with tempfile.TemporaryDirectory() as folder:
        write_csv(target(folder, Timeframe.M1, suffix), [text for text, _ in kept], [bar for _, bar in kept], choice)
        unit = cast("EpochUnit", notation) if notation in UNITS else None
        provider = FilesProvider(Path(folder), tz=ZONE, epoch_unit=unit, decimal=".")
        assert_read_back(provider, [bar for _, bar in kept], Timeframe.M1)


@settings(max_examples=60, deadline=None)
@given(
    bars=bars_of_minutes,
    unit=st.sampled_from(sorted(UNITS)),
    kind=st.sampled_from(["UTC", "Asia/Kolkata", "naive", "epoch"]),
    choice=st.randoms(use_true_random=False),
)
def test_minutes_in_parquet_of_any_type_are_read_back_bit_for_bit(
    *, bars: list[Bar], unit: EpochUnit, kind: str, choice: random.Random
) -> None:
    if kind == "naive":
        bars = [bar for bar in bars if local(bar[0]) is not None]
        times = pa.array([local(moment) for moment, _ in bars], pa.timestamp(unit))
    else:
        times = pa.array([moment for moment, _ in bars], pa.timestamp(unit, tz="UTC" if kind == "epoch" else kind))
        times = times.cast(pa.int64()) if kind == "epoch" else times
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(target(folder, Timeframe.M1, ".parquet"), times, bars, choice)
        assert_read_back(FilesProvider(Path(folder), tz=ZONE, epoch_unit=unit, decimal="."), bars, Timeframe.M1)


@settings(max_examples=60, deadline=None)
@given(
    bars=bars_of_days,
    suffix=st.sampled_from((".csv", ".csv.gz", ".parquet")),
    choice=st.randoms(use_true_random=False),
)
def test_days_are_read_back_bit_for_bit_whatever_their_offset(
    *, bars: list[Bar], suffix: str, choice: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = target(folder, Timeframe.D1, suffix)
        if suffix == ".parquet":
            dates = pa.array([date(moment.year, moment.month, moment.day) for moment, _ in bars], pa.date32())
            write_parquet(file, dates, bars, choice)
        else:
            clocks = ["", " 00:00:00", "T00:00:00Z", " 00:00:00+09:00", "T00:00-0430"]
            write_csv(file, [f"{moment:%Y-%m-%d}{choice.choice(clocks)}" for moment, _ in bars], bars, choice)
        assert_read_back(FilesProvider(Path(folder)), bars, Timeframe.D1)
