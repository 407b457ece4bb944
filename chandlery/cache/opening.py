"""Opens the cache of an installation. Not here: the variables (``settings``)."""

from __future__ import annotations

from chandlery.cache.base import Place
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.cache.redis import RedisCache
from chandlery.errors import ConfigurationError
from chandlery.settings import Settings


def open_cache(settings: Settings) -> Cache:
    """Return the cache that the settings describe. Nothing is made or asked yet.

    Raises:
        ConfigurationError: a variable of the cache is malformed, or Redis is asked for without its packages.
    """
    memory = MemoryCache(settings.cache_memory) if settings.cache_memory else None
    return Cache(memory, shared_places(settings))


def shared_places(settings: Settings) -> list[Place]:
    """Return the places that processes share, the faster one first.

    Raises:
        ConfigurationError: see ``open_cache``.
    """
    places: list[Place] = []
    if settings.cache_disk:
        places.append(DiskCache(settings.cache, settings.cache_disk))
    password = None if settings.redis_password is None else settings.redis_password.get_secret_value()
    if settings.redis_url is not None:
        places.append(RedisCache(settings.redis_url.get_secret_value(), password))
    elif password is not None:
        raise ConfigurationError("CHANDLERY_REDIS_PASSWORD needs CHANDLERY_REDIS_URL, the address that it belongs to")
    return places
