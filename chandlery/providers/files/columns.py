"""Which column of a file is which.

Not here: the cells (``numbers``, ``times``), and frames whose columns belong to several symbols (``wide``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import available_timezones

from chandlery.core.guesses import QUOTES
from chandlery.core.schema import PRICES
from chandlery.providers.files.unreadable import UnreadableError

#: What each column may be called, as ``plain`` writes it.
ALIASES = {
    "ts": (
        "ts", "time", "timestamp", "date", "datetime", "date_time", "t", "dt", "open_time", "opentime", "unix",
        "unix_time", "unix_timestamp", "unixtime", "epoch", "ts_event", "window_start", "gmt_time", "local_time",
        "dtyyyymmdd", "time_utc", "timestamp_utc", "datetime_utc", "date_utc", "start", "start_time", "bar_time",
        "datum", "zeit", "uhrzeit", "zeitpunkt", "heure", "fecha", "hora", "data", "ora",
        "日付", "日時", "時刻", "時間", "日期", "时间", "交易日期",
    ),
    "open": (
        "open", "o", "open_price", "price_open", "1._open", "first",
        "eröffnung", "erster", "ouverture", "ouv", "apertura", "始値", "开盘", "开盘价", "開盤價",
    ),
    "high": (
        "high", "h", "high_price", "price_high", "2._high", "max",
        "hoch", "tageshoch", "höchst", "haut", "plus_haut", "máximo", "máx", "massimo",
        "高値", "最高", "最高价", "最高價",
    ),
    "low": (
        "low", "l", "low_price", "price_low", "3._low", "min",
        "tief", "tagestief", "tiefst", "bas", "plus_bas", "mínimo", "mín", "minimo", "安値", "最低", "最低价", "最低價",
    ),
    "close": (
        "close", "c", "close_price", "price_close", "4._close", "close/last", "last", "price",
        "schluss", "schlusskurs", "schlußkurs", "clôture", "dernier", "cierre", "último", "chiusura", "ultimo",
        "終値", "收盘", "收盘价", "收盤價",
    ),
    "volume": (
        "volume", "v", "vol", "volume_traded", "5._volume",
        "volumen", "stück", "umsatz", "volumes", "volumi", "出来高", "成交量",
    ),
    "vwap": ("vwap", "vw", "weighted_price", "wap", "volume_weighted_average_price"),
    "trades": (
        "trades", "n", "count", "trade_count", "transactions", "number_of_trades", "num_trades",
        "trades_count", "tradecount",
    ),
    "symbol": ("symbol", "ticker"),
}  # fmt: skip

#: What a column may mean, where a person says so.
MEANINGS = (*ALIASES, "date", "time")
#: Columns of dates and of times of day, where a file has one of each.
_DATES = frozenset({"date", "day", "dtyyyymmdd", "datum", "fecha", "data", "日付", "日期", "交易日期"})
_CLOCKS = frozenset(
    {"time", "hour", "clock", "time_of_day", "zeit", "uhrzeit", "heure", "hora", "ora", "時刻", "時間", "时间"}
)
#: Columns of instants, which say more than a column of dates beside them.
_INSTANTS = frozenset({"unix", "unix_time", "unix_timestamp", "unixtime", "epoch"})
#: What pandas calls an index without a name.
_INDEX = frozenset({"", "index", "level_0", "__index_level_0__", "unnamed:_0"})
#: The name of a column that is to be dropped.
DROPPED = "\0"
#: Short names of zones, which mean several: they are asked for.
_ABBREVIATIONS = "E[SD]?T|C[SD]?T|M[SD]?T|P[SD]?T|CES?T|EES?T|BST|JST|HKT|SGT|IST|AE[SD]T"
#: A zone that a column of times names: at its end in brackets, or as a word of its own.
_NAMED_ZONE = re.compile(
    rf"(?i)\s*[(\[]\s*(UTC|GMT|Z|{_ABBREVIATIONS}|(?:UTC|GMT)[+-]\d{{1,2}}(?::?\d{{2}})?|[a-z_]+/[a-z_/+-]+\d*)\s*[)\]]$"
    rf"|_(?:{_ABBREVIATIONS}|eastern)$"
)
_ZONE_IN_NAME = re.compile(rf"{_NAMED_ZONE.pattern}|[ _](utc|gmt)$|^(gmt|utc)[ _]")
#: Coins in which others are quoted, and which are quoted themselves.
_COINS = frozenset({"BTC", "XBT", "ETH", "BNB"})
#: A volume that is counted in a coin or a currency: ``volume_btc``, ``volume_(usdt)``.
_VOLUME_OF = re.compile(r"vol(?:ume)?_?\(?([a-z][a-z0-9]{1,9})\)?")
_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column of a file stands.

    Attributes:
        places: position by canonical name; ``ts`` is the date where there is a clock as well.
        clock: position of the time of day, where the date stands in a column of its own.
        names: the file's own names, by position.
    """

    places: Mapping[str, int]
    clock: int | None
    names: Sequence[str]

    @property
    def prices(self) -> list[int]:
        """The positions of the prices, as far as there are any."""
        return [self.places[name] for name in PRICES if name in self.places]

    @property
    def needed(self) -> list[int]:
        """The positions that are read."""
        return sorted({*self.places.values(), *(() if self.clock is None else (self.clock,))})


def plain(column: str) -> str:
    """Return how a column's name is compared: without case, blanks around it, angle brackets, final dot and zone."""
    return "_".join(_NAMED_ZONE.sub("", column.strip()).strip("<>").strip().lower().rstrip(".").split())


def zone_in(column: str) -> str | None:
    """Return the IANA zone that a column's name says its times are in: ``time (UTC)``, ``gmt_time``; None for none."""
    found = _ZONE_IN_NAME.search(column.strip())
    named = found and next((text for text in found.groups() if text), "").strip()
    if not named:
        return None
    if named.upper() in {"UTC", "GMT", "Z"}:
        return "UTC"
    if "/" not in named:
        return None
    return next((zone for zone in available_timezones() if zone.lower() == named.lower()), None)


def is_index(name: str) -> bool:
    """Whether a column is called like an index that has no name."""
    return plain(name) in _INDEX


def meaning_of(text: str) -> str | None:
    """Return the meaning that a person gave a column: a key of ``ALIASES``, ``date``, ``time`` or ``ignore``; or None.

    Any name of a column will do, and ``-`` for one to drop.
    """
    name = plain(text)
    if name in {"", "-", "_", "skip", "ignore"}:
        return "ignore"
    return name if name in MEANINGS else _CANONICAL.get(name)


def find_columns(
    names: Sequence[str],
    ignored: Collection[str],
    said: Mapping[str, str],
    *,
    counts: Collection[int] = (),
    has_prices: bool = True,
    hint: str = "",
) -> Columns:
    """Return where each canonical column stands.

    Args:
        names: of the columns, as the file has them.
        ignored: columns to drop, as ``plain`` writes them; ``*`` for all that are not known.
        said: meanings by name, as ``plain`` writes it, which a person gave.
        counts: positions of columns that do nothing but count rows.
        has_prices: whether the prices must be among them; else there may be no field of a bar, nor a symbol.
        hint: what else may help, to end an error with.

    Raises:
        UnreadableError: columns are unknown, missing or there twice; names them and the flags that help.
    """
    taken: dict[str, list[int]] = {}
    unknown: list[int] = []
    for place, name in enumerate(names):
        meaning = _meaning(plain(name), ignored, said)
        if meaning:
            taken.setdefault(meaning, []).append(place)
        elif meaning is None:
            unknown.append(place)
    clock = _split_clock(taken, names, said)
    _use_index(taken, unknown, names, counts)
    _prefer_close(taken, unknown, names)
    _use_base_volume(taken, unknown, names)
    if not has_prices:
        unknown += [place for name in [*taken] if name != "ts" for place in taken.pop(name)]
    if "*" in ignored:
        unknown = []
    needed = ("ts", *PRICES) if has_prices else ("ts",)
    _refuse(taken, [names[place] for place in unknown], names, needed, hint)
    return Columns({name: places[0] for name, places in taken.items()}, clock, names)


def _meaning(name: str, ignored: Collection[str], said: Mapping[str, str]) -> str | None:
    """Return what a name means: empty for a column to drop, None where it is not known."""
    if name in said:
        return "" if said[name] == "ignore" else said[name]
    if name in ignored or name == DROPPED:
        return ""
    return _CANONICAL.get(name)


def _split_clock(taken: dict[str, list[int]], names: Sequence[str], said: Mapping[str, str]) -> int | None:
    """Take the time of day out of the columns of times, where the date has a column of its own."""
    dates, clocks = taken.pop("date", []), taken.pop("time", [])
    if not dates and not clocks:
        candidates = taken.get("ts", [])
        instants = [place for place in candidates if plain(names[place]) in _INSTANTS]
        if len(instants) == 1:
            taken["ts"] = instants
            return None
        dates = [place for place in candidates if plain(names[place]) in _DATES and plain(names[place]) not in said]
        clocks = [place for place in candidates if plain(names[place]) in _CLOCKS and plain(names[place]) not in said]
        if not (len(candidates) == 2 and len(dates) == len(clocks) == 1):
            return None
        taken["ts"] = []
    # A date alone, or a time alone, is a column of times.
    taken["ts"] = taken.get("ts", []) + (dates or clocks)
    return clocks[0] if dates and clocks else None


def _use_index(taken: dict[str, list[int]], unknown: list[int], names: Sequence[str], counts: Collection[int]) -> None:
    """Take an index without a name for the times where there are none, and drop one that only counts rows."""
    for place in [place for place in unknown if plain(names[place]) in _INDEX]:
        if place in counts and "ts" in taken:
            unknown.remove(place)
        elif place not in counts and "ts" not in taken:
            unknown.remove(place)
            taken["ts"] = [place]


def _prefer_close(taken: dict[str, list[int]], unknown: list[int], names: Sequence[str]) -> None:
    """Let a column called ``last`` or ``price`` be the close only where nothing else is."""
    places = taken.get("close", [])
    closes = [place for place in places if plain(names[place]) not in {"last", "price"}]
    if closes and len(places) > len(closes):
        taken["close"] = closes
        unknown += [place for place in places if place not in closes]


def _use_base_volume(taken: dict[str, list[int]], unknown: list[int], names: Sequence[str]) -> None:
    """Of two volumes, each named after a coin or a currency, take the base's: ``Volume BTC``, not ``Volume USDT``."""
    pairs = [(place, found[1].upper()) for place in unknown if (found := _VOLUME_OF.fullmatch(plain(names[place])))]
    if len(pairs) != 2 or "volume" in taken:
        return
    first, second = pairs
    money = QUOTES - _COINS
    base = second if first[1] in money and second[1] not in money else first
    taken["volume"] = [base[0]]
    for place, _ in pairs:
        unknown.remove(place)


def _refuse(
    taken: Mapping[str, Sequence[int]], unknown: Sequence[str], names: Sequence[str], needed: Sequence[str], hint: str
) -> None:
    missing = [name for name in needed if name not in taken]
    again = [names[place] for places in taken.values() for place in places[1:]]
    problems = {"unknown": unknown, "missing": missing, "of the same meaning as another": again}
    if not any(problems.values()):
        return
    seen = "; ".join(f"{what}: {', '.join(map(repr_of, found))}" for what, found in problems.items() if found)
    drop = " ".join(f'--ignore-column "{name}"' for name in dict.fromkeys((*unknown, *again)) if name.strip())
    advice = [
        f"to drop what you do not need: {drop}" if drop else "",
        "to say what each column is: --columns, or columns in a --mapping FILE" if missing or again else "",
        hint,
    ]
    raise UnreadableError(
        f"columns {seen}; a bar has ts, open, high, low, close, and may have volume, vwap, trades (trade_count); "
        + "; ".join(text for text in advice if text)
    )


def repr_of(name: str) -> str:
    """Return a column's name for people: one that is blank in quotes."""
    return name if name.strip() else repr(name)
