"""Packages that only some installations need, and the extras of this package that bring them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from chandlery.errors import ConfigurationError


def import_optional(module: str, *, extra: str, needed_by: str, package: str | None = None) -> ModuleType:
    """Import a module that is not among the required dependencies.

    Args:
        module: its full name, such as ``yfinance``.
        extra: the extra of ``chandlery`` that installs it.
        needed_by: what cannot work without it, for the error: ``provider 'yahoo'``.
        package: the name under which it is installed, where that is not the module's.

    Returns:
        The module.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] != module.partition(".")[0]:
            raise  # it is installed, and lacks something itself
        name = package or missing.partition(".")[0]
        raise ConfigurationError(
            f"{needed_by} needs {name}; install it with pip install 'chandlery[{extra}]'"
        ) from None
