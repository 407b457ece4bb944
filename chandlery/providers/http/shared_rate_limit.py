"""The rate limit that holds across all processes of an installation: it is kept in ``ops.rate_limit``.

Not here: the limit of one process, and what a rate limiter is (``rate_limit``).
"""

from __future__ import annotations

from datetime import timedelta

from chandlery.database.connections import Database
from chandlery.database.named_queries import query
from chandlery.errors import StoreError
from chandlery.providers.http.rate_limit import LocalRateLimiter, RateLimiter, RateLimiterFactory, interval


class SharedRateLimiter:
    """Evenly spaced calls, shared by all who use the same database and name.

    Args:
        database: of the installation.
        name: of the limit.
        per_minute: how many calls are allowed.
    """

    def __init__(self, database: Database, name: str, per_minute: float) -> None:
        self._database = database
        self._name = name
        self._interval = timedelta(seconds=interval(per_minute))

    def reserve(self) -> float:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            values = {"name": self._name, "interval": self._interval}
            row = connection.execute(query("providers/reserve_call"), values).fetchone()
        if row is None:
            raise StoreError("the server did not give a time for the next call")
        return max(0.0, float(row[0]))

    def pause(self, seconds: float) -> None:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            values = {"name": self._name, "length": timedelta(seconds=seconds)}
            connection.execute(query("providers/pause_calls"), values)

    def paused(self) -> float:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            row = connection.execute(query("providers/remaining_pause"), {"name": self._name}).fetchone()
        return max(0.0, float(row[0])) if row and row[0] is not None else 0.0


def shared_rate_limiters(database: Database) -> RateLimiterFactory:
    """Return what makes the rate limiters of an installation."""

    def make(name: str, per_minute: float | None) -> RateLimiter:
        return SharedRateLimiter(database, name, per_minute) if per_minute else LocalRateLimiter(None)

    return make
