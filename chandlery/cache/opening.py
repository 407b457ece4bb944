"""Opens the cache of an installation. Not here: the variables (``settings``)."""

from __future__ import annotations

from chandlery.cache.base import Place
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.cache.usage import open_redis
from chandlery.settings import Settings


def open_cache(settings: Settings) -> Cache:
    """Return the cache that the settings describe. Nothing is made or asked yet.

    Raises:
        ConfigurationError: a variable of the cache is malformed, or Redis is asked for without its packages.
    """
    memory = MemoryCache(settings.cache_memory) if settings.cache_memory else None
    slow: list[Place] = [DiskCache(settings.cache, settings.cache_disk)] if settings.cache_disk else []
    redis = open_redis(settings)
    return Cache(memory, [*slow, *([] if redis is None else [redis])])
