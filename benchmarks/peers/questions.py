"""What is asked of Chandlery and of its peers, round by round, and what is hoped for.

Not here: the data (``data``), how peers answer (``worker``), readers beside a writer and memory (``pressure``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import Measure, Section, stopwatch, take_turns
from benchmarks.peers.data import BEFORE, COLUMNS, Size
from benchmarks.peers.pipe import Pipe
from benchmarks.world import symbols
from chandlery.api.data import DataAPI
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.core.grid import Grid
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import parse_width
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.made import Shape, read_made
from chandlery.reading.windows import look
from chandlery.tiers.warehouse import Warehouse

_MEMORY, _DISK = 1 << 30, 4 << 30
#: Short reads are repeated more often: their medians cost little.
_TIMES = 4
_BARS = ["open", "high", "low", "close", "volume"]
FIRST, AGAIN, DISK = "Chandlery, in no cache", "Chandlery, from memory", "Chandlery, from another process's disk cache"


class Asking(NamedTuple):
    """Who is asked, and of what.

    Attributes:
        warehouse: has the bars.
        size: of the data.
        worker: answers for the peers; None where there are none.
        peers: the names of those that there are.
        second: another process that reads through ``DataAPI``.
        reader: starts one more.
        cache: a folder that both processes use.
        repeat: how many rounds.
    """

    warehouse: Warehouse
    size: Size
    worker: Pipe | None
    peers: Sequence[str]
    second: Pipe
    reader: Sequence[str | Path]
    cache: DiskCache
    repeat: int

    def fresh(self) -> DataAPI:
        """Return one that has read nothing yet."""
        return DataAPI(self.warehouse, cache=Cache(MemoryCache(_MEMORY)))

    def ours(self, read: Callable[[DataAPI], Any]) -> dict[str, Callable[[], float]]:
        """Return how long ``read`` takes the first time, and once its answer is in memory."""
        kept = self.fresh()
        read(kept)

        def first() -> float:
            api = self.fresh()
            return stopwatch(lambda: read(api))

        return {FIRST: first, AGAIN: lambda: stopwatch(lambda: read(kept))}

    def theirs(self, question: str, found: Any, **request: Any) -> dict[str, Callable[[], float]]:  # noqa: ANN401
        """Return how long each peer takes that can answer; what it answers is compared with what we ``found``."""
        if self.worker is None:
            return {}
        able = {}
        for name in self.peers:
            answer = partial(self.worker.ask, peer=name, question=question, **request)
            try:
                answer()  # the first time, nothing is warm
                given = answer()
            except RuntimeError as error:
                if "has no attribute" in str(error):
                    continue
                raise
            total = float(np.sum(found["close"]))
            if given["rows"] != len(found) or abs(given["sum"] / total - 1) > 1e-9:
                raise AssertionError(f"{name} answers {question} with {given}, not {len(found)} rows and {total}")
            able[name] = lambda answer=answer: float(answer()["seconds"])
        return able  # type: ignore[return-value]


class Goal(NamedTuple):
    """That ``one`` is so many times as fast as ``other``."""

    one: str
    other: str
    times: float


def run(asking: Asking) -> Iterator[Section]:
    """Yield what each question takes."""
    yield from _minutes(asking)
    yield from _days(asking)
    yield _latest(asking)
    yield from _resampled(asking)
    yield _as_of(asking)
    yield _looking(asking)


def _minutes(asking: Asking) -> Iterator[Section]:
    name, (start, end) = symbols(1)[0], asking.size.month_span
    span = {"start": f"{start:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"}
    for columns, title in ((COLUMNS, "a year of minutes"), (["close"], "one column of a year of minutes")):
        read = partial(_ohlc, name=name, start=start, end=end, timeframe="1m", columns=columns)
        contestants = asking.ours(read)
        shared = Cache(None, [asking.cache])
        read(DataAPI(asking.warehouse, cache=shared))
        shared.flush()
        question = {"folder": str(asking.cache.folder), "symbol": name, **span, "columns": columns}
        if not asking.second.ask(question="disk", **question)["hits"]:
            raise AssertionError("the other process did not find what this one left on the disk")
        contestants[DISK] = lambda question=question: float(  # type: ignore[misc]
            asking.second.ask(question="disk", **question)["seconds"]
        )
        found = read(asking.fresh())
        contestants |= asking.theirs("minutes", found, symbol=name, columns=columns, **span)
        goals = [
            Goal(FIRST, "Polars", 1 / 1.2),
            Goal(FIRST, "ArcticDB", 1 / 1.6),
            Goal(FIRST, "pandas.read_sql", 40),
            Goal(AGAIN, "ArcticDB", 8),
            Goal(DISK, "ArcticDB", 3),
        ]
        yield _section(f"{title} of one symbol, to pandas", contestants, len(found), goals, asking.repeat)


def _days(asking: Asking) -> Iterator[Section]:
    size = asking.size
    start, end = (
        datetime(2022, 1, 1, tzinfo=size.year_span[0].tzinfo),
        datetime(2023, 1, 1, tzinfo=size.year_span[0].tzinfo),
    )
    span = {"start": f"{start:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"}
    name, many = symbols(2)[1], symbols(min(100, size.days))
    read = partial(_ohlc, name=name, start=start, end=end, timeframe="1d", columns=COLUMNS)
    found = read(asking.fresh())
    contestants = asking.ours(read) | asking.theirs("days", found, symbol=name, columns=COLUMNS, **span)
    goals = [Goal(FIRST, "ArcticDB", 1 / 1.5), Goal(AGAIN, "ArcticDB", 2)]
    yield _section("a year of days of one symbol, to pandas", contestants, len(found), goals, asking.repeat)

    def read_many(api: DataAPI) -> Any:  # noqa: ANN401 - a frame
        return api.get_multi_symbol(many, start, end, "1d", columns=COLUMNS)

    found = read_many(asking.fresh())
    contestants = asking.ours(read_many) | asking.theirs("many", found, symbols=many, columns=COLUMNS, **span)
    title = f"a year of days of {len(many)} symbols, to one pandas frame"
    yield _section(title, contestants, len(found), [Goal(FIRST, "ArcticDB", 4)], asking.repeat)


def _latest(asking: Asking) -> Section:
    names = asking.size.latest
    sample = names[:: max(len(names) // 50, 1)]
    api = asking.fresh()
    one, each = f"the latest bar of {len(names):,} symbols, at once", f"a read for each ({len(sample)} of them)"

    def by_one() -> float:
        return stopwatch(lambda: [api.get_ohlc(name, timeframe="1d", limit=1, columns=COLUMNS) for name in sample])

    if len(api.latest(names, "1d", columns=COLUMNS)) != len(names):
        raise AssertionError("not every symbol has a latest bar")
    reads = {one: lambda: stopwatch(lambda: api.latest(names, "1d", columns=COLUMNS)), each: by_one}

    def renewed() -> float:
        nonlocal api
        api = asking.fresh()
        return reads[each]()

    seconds = take_turns({one: reads[one], each: renewed}, asking.repeat)
    of = {
        one: Measure(one, seconds[one], len(names), "symbols"),
        each: Measure(each, seconds[each], len(sample), "symbols"),
    }
    section = Section(f"peers: the latest bar of {len(names):,} symbols, to pandas")
    section.add(of)
    section.compare(of[one], of[each], aim=50)
    return section


def _resampled(asking: Asking) -> Iterator[Section]:
    names, (start, end) = symbols(asking.size.resampled), asking.size.month_span
    warehouse, kept = asking.warehouse, LakeFiles(Cache(MemoryCache(_MEMORY)))
    with warehouse.connection() as connection:
        state = look(connection, Timeframe.M1, start, end, symbols=names)
    rows = len(asking.fresh().get_multi_symbol(names, start, end, "1m", columns=["close"], output="arrow"))
    for text in ("5m", "1h", "1d", "2h", "90m"):
        width = parse_width(text)
        grids = {number: Grid(width, named.calendar) for number, named in state.instruments.items()}
        shape = Shape(width, grids, "all", Timeframe.M1)

        def read(files: LakeFiles, shape: Shape = shape) -> Any:  # noqa: ANN401 - an Arrow table
            return read_made(warehouse, shape, start, end, columns=_BARS, state=state, files=files)

        found = read(kept)
        contestants = {
            FIRST: lambda read=read: stopwatch(lambda: read(LakeFiles())),  # type: ignore[misc]
            "Chandlery, its minutes in memory": lambda read=read: stopwatch(lambda: read(kept)),  # type: ignore[misc]
        }
        contestants |= asking.theirs("resample", found, symbols=names, width=text)
        goals = [Goal(FIRST, other, 1 / 1.2) for other in ("DuckDB", "Polars")]
        yield _section(f"minutes to {text} at read time", contestants, rows, goals, asking.repeat, times=1)


def _as_of(asking: Asking) -> Section:
    name, (start, end) = asking.size.revised[0], asking.size.month_span
    read = partial(_ohlc, name=name, start=start, end=end, timeframe="1m", columns=COLUMNS)
    now, then = read(asking.fresh()), read(asking.fresh(), as_of=BEFORE)
    if len(now) != len(then) or (now["volume"] != then["volume"]).mean() < 0.005:
        raise AssertionError("what was known before is not what is known now")

    def first(as_of: datetime | None) -> float:
        api = asking.fresh()
        return stopwatch(lambda: read(api, as_of=as_of))

    plain, earlier = FIRST, "Chandlery, as_of a time before the revisions"
    contestants = {plain: lambda: first(None), earlier: lambda: first(BEFORE)}
    title = "a year of minutes of one symbol, of which one in a hundred was revised, to pandas"
    return _section(title, contestants, len(now), [Goal(earlier, plain, 1 / 1.3)], asking.repeat)


def _looking(asking: Asking) -> Section:
    name, (start, end) = symbols(1)[0], asking.size.month_span
    what = "is what is cached still true, of a year of one symbol's months"
    with asking.warehouse.connection() as connection:

        def ask_often() -> float:
            return (
                stopwatch(lambda: [look(connection, Timeframe.M1, start, end, symbols=[name]) for _ in range(20)]) / 20
            )

        ask_often()
        measure = Measure(what, take_turns({what: ask_often}, _TIMES * asking.repeat)[what])
    section = Section("peers: the round trip that validates a cached answer")
    section.add({what: measure})
    section.limit(measure, 0.0003)
    return section


def _ohlc(
    api: DataAPI,
    *,
    name: str,
    start: datetime,
    end: datetime,
    timeframe: str,
    columns: Sequence[str],
    as_of: datetime | None = None,
) -> Any:  # noqa: ANN401 - a frame
    return api.get_ohlc(name, start, end, timeframe, columns=columns, as_of=as_of)


def _section(
    title: str,
    contestants: Mapping[str, Callable[[], float]],
    rows: int,
    goals: Sequence[Goal],
    repeat: int,
    *,
    times: int = _TIMES,
) -> Section:
    seconds = take_turns(contestants, times * repeat)
    of = {name: Measure(name, taken, rows, "rows") for name, taken in seconds.items()}
    section = Section(f"peers: {title}: {rows:,} rows")
    section.add(of)
    for goal in goals:
        if goal.other in of:
            section.compare(of[goal.one], of[goal.other], aim=goal.times)
    return section
