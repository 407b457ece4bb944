"""What Prometheus collects: requests, their time and rows, the cache's places, and connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chandlery.api.condition import Stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts for one service, with a registry of its own.

    Args:
        stats: returns what the cache and the connections do.
    """

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("chandlery_requests", "Requests answered.", ["path", "status"], registry=self._registry)
        self.seconds = Histogram(
            "chandlery_request_seconds", "How long an answer took.", ["path"], registry=self._registry
        )
        self.rows = Counter("chandlery_rows", "Rows answered.", ["path"], registry=self._registry)
        self._registry.register(_OfProcess(stats))

    def write(self) -> bytes:
        """Return all, as Prometheus reads it."""
        return generate_latest(self._registry)


class _OfProcess(Collector):
    """What the cache and the connections do, at the time of asking."""

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        seen = self._stats()
        for name in ("hits", "misses", "evictions"):
            counter = CounterMetricFamily(
                f"chandlery_cache_{name}", f"{name} of a place of the cache.", labels=["place"]
            )
            for place in seen.cache:
                counter.add_metric([place.place], getattr(place, name))
            yield counter
        gauge = GaugeMetricFamily("chandlery_cache_bytes", "Bytes in a place of the cache.", labels=["place"])
        for place in seen.cache:
            if place.bytes is not None:
                gauge.add_metric([place.place], place.bytes)
        yield gauge
        pool = seen.connections
        states = {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting, "arrow_lent": pool.arrow_lent}
        gauge = GaugeMetricFamily("chandlery_connections", "Connections to the database.", labels=["state"])
        for state, value in states.items():
            gauge.add_metric([state], value)
        yield gauge
