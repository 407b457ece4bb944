"""What a chart of Yahoo Finance says: which rows are bars, of which day, and what was traded before adjustment.

The format is not documented by Yahoo; what is known of it is in yfinance (``yfinance/utils.py``). Stamps are seconds: a
minute's start, or the open of a day's session. Arrays run parallel, with nulls where nothing was traded; without any
bar there are none. The last price may come as a row of its own.

Prices come as 32-bit floats: 75.0875 as 75.0875015258789, and seven times 92.22428 is 645.56996 for 645.57. They are
rounded to the decimals that such a float can hold; what is dropped is noise of the format. Not here: requesting a
chart (``provider``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Int64s
from chandlery.core.schema import PRICES
from chandlery.core.timeframe import Timeframe
from chandlery.providers.http.normalize import label_days
from chandlery.providers.http.splits import Floats, Split

FIELDS = (*PRICES, "volume")
_HOUR = 3_600_000_000
#: Half the distance between neighbouring 32-bit floats, as a share of their value, is at most this.
_NOISE = 2.0**-24


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as it was served, ascending.

    Attributes:
        ts: stamps, µs since the epoch.
        dates: of the sessions, in the exchange's time zone, as 00:00 UTC in µs since the epoch.
        values: of ``FIELDS``, NaN where there is none.
        splits: in its range.
    """

    ts: Int64s
    dates: Int64s
    values: Mapping[str, Floats]
    splits: Sequence[Split] = ()

    @classmethod
    def join(cls, parts: Sequence[Chart]) -> Chart:
        """Return the bars of all parts, and no splits."""
        none, times = np.empty(0), np.empty(0, np.int64)
        return cls(
            np.concatenate([times, *(part.ts for part in parts)]),
            np.concatenate([times, *(part.dates for part in parts)]),
            {name: np.concatenate([none, *(part.values[name] for part in parts)]) for name in FIELDS},
        )


def told_error(body: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return what an answer says in words instead of a chart, if it does."""
    for service in ("chart", "finance"):
        part = body.get(service) if isinstance(body, Mapping) else None
        error = part.get("error") if isinstance(part, Mapping) else None
        if isinstance(error, Mapping) and any(error.values()):
            return ": ".join(str(error[name]) for name in ("code", "description") if error.get(name)) or str(error)
        if error:
            return str(error)
    return None


def read_chart(body: Any, timeframe: Timeframe) -> Chart:  # noqa: ANN401 - JSON
    """Read an answer; raise one of Python's lookup, type and value errors where it is not a chart."""
    result = body["chart"]["result"][0]
    meta, (quotes,) = result["meta"], result["indicators"]["quote"]
    if meta["dataGranularity"] != timeframe.value:
        raise ValueError(f"its interval is {meta['dataGranularity']}")
    # Without bars there are neither stamps nor columns.
    stamps = np.array(result["timestamp"] if quotes else result.get("timestamp", []), np.int64)
    columns = {name: np.array(quotes[name] if quotes else [], np.float64) for name in FIELDS}
    if any(len(column) != len(stamps) for column in columns.values()):
        raise ValueError(f"{len(stamps)} stamps, but {sorted({len(column) for column in columns.values()})} values")
    # A minute without a trade is a row of nulls.
    kept = ~np.isnan([columns[name] for name in PRICES]).all(axis=0)
    if timeframe is Timeframe.M1:
        kept &= _in_session(stamps, meta)
    order = np.flatnonzero(kept)[np.argsort(stamps[kept], kind="stable")]
    ts, zone = stamps[order] * 1_000_000, meta["exchangeTimezoneName"]
    dates = label_days(ts, zone)
    if timeframe is Timeframe.D1:
        # Some days that should be stamped with midnight are an hour or two early, where the clocks changed (Brazil).
        dates = np.where(ts % _HOUR == 0, label_days(ts + 2 * _HOUR, zone), dates)
    return Chart(
        ts=ts,
        dates=dates,
        values={name: column[order] for name, column in columns.items()},
        splits=[_read_split(split, zone) for split in ((result.get("events") or {}).get("splits") or {}).values()],
    )


def _read_split(split: Mapping[str, Any], zone: str) -> Split:
    date = int(label_days(np.array([split["date"]], np.int64) * 1_000_000, zone)[0])
    return Split(date, float(split["numerator"]) / float(split["denominator"]))


def _in_session(stamps: Int64s, meta: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return which rows are minutes of a session.

    The others were not requested: the last price, stamped with its second, and on short days rows after the close.
    """
    minutes: npt.NDArray[np.bool_] = stamps % 60 == 0
    if not meta.get("tradingPeriods"):
        return minutes
    inside = np.zeros(len(stamps), np.bool_)
    for period in (period for day in meta["tradingPeriods"] for period in day):
        # A market that never closes is said to close at 23:59, and trades in that minute too.
        end = period["end"] + (60 if period["end"] % 3600 == 3540 else 0)
        inside |= (stamps >= period["start"]) & (stamps < end)
    return minutes & inside


def restore_values(served: Mapping[str, Floats], factors: Floats) -> dict[str, Floats]:
    """Return values as they were traded: prices times ``factors``, volumes divided by them."""
    moved = factors != 1
    prices = {
        name: _round(served[name] * factors, moved | (served[name].astype(np.float32) == served[name]))
        for name in PRICES
    }
    volume = served["volume"] / factors
    return {**prices, "volume": np.where(moved, np.round(volume), volume)}


def _round(prices: Floats, noisy: npt.NDArray[np.bool_]) -> Floats:
    """Return ``prices`` with the decimals that a 32-bit float can hold, where they are ``noisy``."""
    with np.errstate(divide="ignore"):
        decimals = np.floor(-np.log10(2 * _NOISE * np.abs(prices)))
    usable = noisy & np.isfinite(decimals)
    scale = 10.0 ** np.clip(decimals, 0, 9, where=usable, out=np.zeros_like(prices))
    return np.where(usable, np.round(prices * scale) / scale, prices)
