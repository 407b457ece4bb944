"""Redis or Valkey: tables that several machines share. Slow or down, it costs a reader little and never an error.

Values are Arrow IPC with lz4 behind a header with their length, checksum and key. Memory and evictions are the
server's: give it ``maxmemory`` and ``maxmemory-policy allkeys-lru``. Whoever may write to it can put bars into the
answers of those who read it. Not here: when it is asked (``cache``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from chandlery.cache.base import Counters, PlaceStats, compact
from chandlery.cache.breaker import Breaker
from chandlery.cache.keys import FORMAT
from chandlery.cache.redis_address import describe, parse_address
from chandlery.cache.sealed import decode, encode, is_whole
from chandlery.core.optional import import_optional
from chandlery.database.forks import forget_in_children
from chandlery.redaction.text import hide

_log = logging.getLogger("chandlery.cache")
_NEEDED_BY = "CHANDLERY_REDIS_URL"
#: How long a reader waits for a connection, and for each part of an answer, in seconds.
READ_TIMEOUT = 0.05
#: How long whoever writes waits for all of a value to be sent, in seconds. No reader waits for it.
_WRITE_TIMEOUT = 1.0
#: An answer that took longer is a failure too: so many seconds, and one for so many bytes of it.
_TOO_SLOW, _BYTES_PER_SECOND = 0.5, 20_000_000
#: Larger values are left out: they would hold up others on the same server.
_MOST_BYTES = 64 * 1024 * 1024
_KEYS_PER_CALL, _KEYS_PER_REMOVAL = 32, 500
_PREFIX = f"chandlery:{FORMAT}:"
#: What an answer can be that is none: the server is another one, or speaks something else.
_NO_ANSWER = (OSError, ValueError, TypeError, AttributeError, LookupError)


class RedisCache:
    """Tables in a server that speaks Redis's protocol.

    A reader waits 50 ms for a connection and 50 ms for each part of an answer; nothing is repeated. After a failure the
    server is left alone for half a second, then for one, up to 30. The first failure is logged as a warning. To write
    fails by itself: a full server is still read from.

    Args:
        url: ``redis://[user:password@]host[:port][/number]``, ``rediss://`` likewise for TLS, or ``unix:///path``.
        password: where the address holds none.
        clock: returns seconds that only grow.

    Raises:
        ConfigurationError: the address is malformed, or the packages for Redis are not installed.
    """

    name = "redis"

    def __init__(self, url: str, password: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._arguments = (url, password)
        self._options = parse_address(url, password)
        self._where = describe(self._options)
        self._redis = import_optional("redis", extra="redis", needed_by=_NEEDED_BY)
        import_optional("hiredis", extra="redis", needed_by=_NEEDED_BY)
        self._clock = clock
        self._reading, self._writing = Breaker(clock=clock), Breaker(clock=clock)
        self._counters = Counters()
        self._open_clients()
        forget_in_children(self)

    def __reduce__(self) -> tuple[type[RedisCache], tuple[str, str | None]]:
        """Be opened anew where it is unpickled."""
        return RedisCache, self._arguments

    def forget(self) -> None:
        """Leave the parent's connections to it, in a child."""
        self._counters.forget()
        self._reading.forget()
        self._writing.forget()
        self._open_clients()

    def get(self, key: str) -> pa.Table | None:
        """Return the table, or None, also where the server does not answer in time."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, pa.Table]:
        """Return those of the tables that are there, with one round trip for each 32."""
        found: dict[str, pa.Table] = {}
        for start in range(0, len(keys), _KEYS_PER_CALL):
            some = keys[start : start + _KEYS_PER_CALL]
            names = [_name(key) for key in some]
            values = self._ask(self._reading, lambda: self._reader.mget(names))  # noqa: B023 - called at once
            if not isinstance(values, list) or len(values) != len(some):
                continue
            for key, value in zip(some, values, strict=True):
                table = self._opened(key, value) if value is not None else None
                if table is not None:
                    found[key] = table
        self._counters.add(hits=len(found), misses=len(keys) - len(found))
        return found

    def put(self, key: str, table: pa.Table) -> None:
        """Send the table, where the server takes it."""
        if self._writing.is_pausing():
            self._counters.add(skipped=1)
            return
        header, content = encode(key, compact(table), compression="lz4")
        is_sent = content.size <= _MOST_BYTES and self._ask(
            self._writing, lambda: self._writer.set(_name(key), header + content.to_pybytes())
        )
        self._counters.add(skipped=not is_sent)

    def stats(self) -> PlaceStats:
        """Return what this process did, and what is in the server now, in all of its databases and by everybody.

        The server is asked even if it did not answer before.
        """
        memory = self._ask(None, lambda: self._reader.info("memory")) or {}
        entries = self._ask(None, self._reader.dbsize) if memory else None
        counted = self._counters
        return PlaceStats(
            place=self.name,
            where=self._where,
            hits=counted.hits,
            misses=counted.misses,
            evictions=0,
            bytes=memory.get("used_memory"),
            entries=entries,
            limit=memory.get("maxmemory") or None,
            damaged=counted.damaged,
            skipped=counted.skipped,
            trouble=self._reading.trouble or self._writing.trouble,
        )

    def clear(self) -> None:
        """Remove what Chandlery of this format put there, from any machine, and nothing else."""
        self._ask(None, self._remove_all)

    def close(self) -> None:
        """Close the connections; a later call opens them anew."""
        self._reader.close()
        self._writer.close()

    def _remove_all(self) -> None:
        some: list[bytes] = []
        for name in self._writer.scan_iter(match=f"{_PREFIX}*", count=1000):
            some.append(name)
            if len(some) == _KEYS_PER_REMOVAL:
                self._writer.unlink(*some)
                some.clear()
        if some:
            self._writer.unlink(*some)

    def _open_clients(self) -> None:
        self._reader, self._writer = self._client(READ_TIMEOUT), self._client(_WRITE_TIMEOUT)

    def _client(self, timeout: float) -> Any:  # noqa: ANN401 - the package is optional
        import redis.backoff  # noqa: PLC0415 - see ``__init__``
        import redis.retry  # noqa: PLC0415 - see ``__init__``

        options = dict(self._options)
        is_encrypted = options.pop("tls")
        kind = "UnixDomainSocketConnection" if "path" in options else "SSLConnection" if is_encrypted else "Connection"
        pool = self._redis.ConnectionPool(
            connection_class=getattr(self._redis, kind),
            **options,
            socket_timeout=timeout,
            **({} if "path" in options else {"socket_connect_timeout": READ_TIMEOUT}),
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        return self._redis.Redis.from_pool(pool)

    def _ask(self, breaker: Breaker | None, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the server answers
        """Return the answer, or None where there is none, or the server is left alone just now.

        Args:
            breaker: says whether the server may be asked; None to ask it in any case.
            call: asks it.
        """
        if breaker is not None and not breaker.allows():
            return None
        breaker = breaker or self._reading
        started = self._clock()
        try:
            answer = call()
            took = self._clock() - started
            length = sum(map(len, filter(None, answer))) if isinstance(answer, list) else 0
        except (self._redis.RedisError, *_NO_ANSWER) as error:
            self._failed(breaker, str(error) or type(error).__name__)
            return None
        if took > _TOO_SLOW + length / _BYTES_PER_SECOND:
            self._failed(breaker, f"an answer took {took:.1f} s")
        else:
            breaker.succeeded()
        return answer

    def _failed(self, breaker: Breaker, reason: str) -> None:
        verb = "written to" if breaker is self._writing else "read from"
        trouble = hide(f"cannot be {verb}: {reason}")
        if breaker.failed(trouble):
            _log.warning("Redis (%s) %s; reads go on without it", _NEEDED_BY, trouble)

    def _opened(self, key: str, value: object) -> pa.Table | None:
        sealed = pa.py_buffer(value) if isinstance(value, bytes) else pa.py_buffer(b"")
        table = decode(sealed) if is_whole(key, sealed) else None
        self._counters.add(damaged=table is None)
        return table


def _name(key: str) -> bytes:
    return f"{_PREFIX}{key}".encode("utf-8", "surrogatepass")
