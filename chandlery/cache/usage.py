"""What is in the places that processes share: to look at, and to remove. Reading and writing are not here (``cache``).

Looking at the disk needs no columns, so that a command that only looks is quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chandlery.cache.folder import CacheFolder
from chandlery.errors import ConfigurationError
from chandlery.settings import Settings

if TYPE_CHECKING:
    from chandlery.cache.redis import RedisCache


@dataclass(frozen=True, slots=True)
class PlaceUsage:
    """What is in a place now.

    Attributes:
        place: ``disk`` or ``redis``.
        where: the folder, or the server without a password.
        bytes: what is in it; of Redis, all that the server holds. None where it cannot be used.
        entries: how many, likewise.
        limit: the most bytes that may be in it; None where there is no limit.
        trouble: why it cannot be used, or None.
    """

    place: str
    where: str
    bytes: int | None
    entries: int | None
    limit: int | None
    trouble: str | None = None


def read_usage(settings: Settings) -> list[PlaceUsage]:
    """Return what is in the places that the settings name, the faster one first; nothing of one that is turned off.

    Raises:
        ConfigurationError: a variable of the cache is malformed, or Redis is asked for without its packages.
    """
    found = []
    if settings.cache_disk:
        found.append(_read_folder(settings))
    redis = open_redis(settings)
    if redis is not None:
        seen = redis.stats()
        found.append(PlaceUsage("redis", seen.where or "", seen.bytes, seen.entries, seen.limit, seen.trouble))
        redis.close()
    return found


def _read_folder(settings: Settings) -> PlaceUsage:
    folder = CacheFolder(settings.cache)
    where, limit = str(settings.cache), settings.cache_disk
    try:
        folder.check()
    except FileNotFoundError:
        return PlaceUsage("disk", where, 0, 0, limit)
    except OSError as error:
        return PlaceUsage("disk", where, None, None, limit, f"cannot be used: {error.strerror or error}")
    files = folder.files()
    return PlaceUsage("disk", where, sum(file.bytes for file in files), len(files), limit)


def clear(settings: Settings) -> None:
    """Remove what is in the places that processes share, in Redis also what other machines put there.

    The folder is cleared even where the settings turn it off.

    Raises:
        ConfigurationError: see ``read_usage``.
    """
    redis = open_redis(settings)
    CacheFolder(settings.cache).clear()
    if redis is not None:
        redis.clear()
        redis.close()


def open_redis(settings: Settings) -> RedisCache | None:
    """Return Redis as the settings name it, or None where they name none.

    Raises:
        ConfigurationError: see ``read_usage``.
    """
    password = None if settings.redis_password is None else settings.redis_password.get_secret_value()
    if settings.redis_url is None:
        if password is not None:
            raise ConfigurationError(
                "CHANDLERY_REDIS_PASSWORD needs CHANDLERY_REDIS_URL, the address that it belongs to"
            )
        return None
    from chandlery.cache.redis import RedisCache  # noqa: PLC0415 - slow to import

    return RedisCache(settings.redis_url.get_secret_value(), password)
