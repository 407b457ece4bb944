"""Hours of trading where those of ``exchange_calendars`` are not what trades: futures and currencies.

Not here: all other calendars, and what a session is (``calendars``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_EPOCH = date(1970, 1, 1)
_UTC_EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


@dataclass(frozen=True, slots=True)
class MarketHours:
    """When the sessions of a calendar trade.

    Attributes:
        timezone: IANA name of the zone of these times.
        close: the latest end of a session, on its own date. An earlier close, as before a holiday, stays.
        open: start of a session, on the day before its date; None where the calendar's own is right.
    """

    timezone: str
    close: time
    open: time | None = None

    def opens(self, sessions: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the opens of sessions (days since 1970-01-01), µs since the epoch, where ``known`` are given."""
        return known if self.open is None else self._instants(sessions - 1, self.open)

    def closes(self, sessions: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the closes of sessions, where ``known`` are given; see ``opens``."""
        latest = self._instants(sessions, self.close)
        return latest if self.open is not None else np.minimum(known, latest)

    def _instants(self, days: npt.NDArray[np.int64], at: time) -> npt.NDArray[np.int64]:
        zone = ZoneInfo(self.timezone)
        moments = (datetime.combine(_EPOCH + timedelta(days=day), at, zone) for day in days.tolist())
        return np.array([(moment - _UTC_EPOCH) // timedelta(microseconds=1) for moment in moments], np.int64)


#: By calendar. Futures pause for an hour each day, which is the end of a session; currencies trade from Sunday evening
#: to Friday evening in New York, and a session of them ends when the banks of New York close their books.
MARKET_HOURS = {
    "CMES": MarketHours("America/Chicago", close=time(16)),
    "us_futures": MarketHours("America/New_York", close=time(17)),
    "24/5": MarketHours("America/New_York", close=time(17), open=time(17)),
}
