"""Chandlery keeps market candles: audited, versioned bars, and one way to read them.

``DataAPI`` reads bars, and ``AsyncDataAPI`` does so for servers; ``ChandleryError`` is the base of the errors that are
raised on purpose. They are loaded when they are first used, so that ``import chandlery`` itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chandlery.api.asynchronous import AsyncDataAPI
    from chandlery.api.data import DataAPI
    from chandlery.errors import ChandleryError

    __version__: str

__all__ = ["AsyncDataAPI", "ChandleryError", "DataAPI"]

_MODULES = {
    "AsyncDataAPI": "chandlery.api.asynchronous",
    "ChandleryError": "chandlery.errors",
    "DataAPI": "chandlery.api.data",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - slow to import, rarely needed

        value: object = version("chandlery")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
