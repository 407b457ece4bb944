"""The budget of calls to a provider that holds across all processes of an installation: kept in its database.

Not here: budgets of one process, and what a budget is (``providers.rate_limiter``).
"""

from __future__ import annotations

from datetime import timedelta

from chandlery.database.connections import Database
from chandlery.errors import StoreError
from chandlery.providers.http.rate_limit import LocalRateLimiter, RateLimiter, RateLimiterFactory, interval


class SharedRateLimiter:
    """Evenly spaced calls, shared by whoever uses the same database.

    Args:
        database: of the installation.
        name: of the budget; whoever gives the same name shares it.
        per_minute: calls.
    """

    def __init__(self, database: Database, name: str, per_minute: float) -> None:
        self._database = database
        self._name = name
        self._interval = timedelta(seconds=interval(per_minute))

    def reserve(self) -> float:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            row = connection.execute(_TAKE, {"name": self._name, "interval": self._interval}).fetchone()
        if row is None:
            raise StoreError("the server did not give a time for the next call")
        return max(0.0, float(row[0]))

    def pause(self, seconds: float) -> None:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            connection.execute(_PAUSE, {"name": self._name, "length": timedelta(seconds=seconds)})

    def paused(self) -> float:
        """See ``RateLimiter``."""
        with self._database.connection() as connection:
            row = connection.execute(_PAUSED, (self._name,)).fetchone()
        return max(0.0, float(row[0])) if row and row[0] is not None else 0.0


def shared_rate_limiters(database: Database) -> RateLimiterFactory:
    """Return what makes the budgets of an installation."""

    def make(name: str, per_minute: float | None) -> RateLimiter:
        return SharedRateLimiter(database, name, per_minute) if per_minute else LocalRateLimiter(None)

    return make


_TAKE = """
INSERT INTO ops.rate_limit AS b (name, due) VALUES (%(name)s, clock_timestamp() + %(interval)s)
ON CONFLICT (name) DO UPDATE SET due = greatest(b.due, clock_timestamp()) + %(interval)s
RETURNING extract(epoch FROM due - %(interval)s - clock_timestamp())
"""
_PAUSE = """
INSERT INTO ops.rate_limit AS b (name, due, paused_until)
VALUES (%(name)s, clock_timestamp() + %(length)s, clock_timestamp() + %(length)s)
ON CONFLICT (name) DO UPDATE
SET due = greatest(b.due, excluded.due), paused_until = greatest(b.paused_until, excluded.paused_until)
"""
_PAUSED = "SELECT extract(epoch FROM paused_until - clock_timestamp()) FROM ops.rate_limit WHERE name = %s"
