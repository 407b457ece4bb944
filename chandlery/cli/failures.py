"""Says in one message what went wrong outside of our code: a database, or a file. Not here: errors of our own."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from chandlery.errors import ChandleryError

#: What to do about an error of the file system.
_ADVICE = {
    errno.ENOSPC: "make room on that disk, then run the same again, which completes it",
    errno.EDQUOT: "make room within your quota, then run the same again, which completes it",
    errno.EROFS: "it is mounted read-only; CHANDLERY_HOME names the folder that is written to",
    errno.EACCES: "see who owns it; CHANDLERY_HOME names the folder that is written to",
    errno.EPERM: "see who owns it; CHANDLERY_HOME names the folder that is written to",
    errno.EIO: "the disk or its file system is damaged",
}


def explain_failure(error: BaseException) -> str | None:
    """Return what to say of ``error``, or of what it was raised from; None where it is a fault in our code.

    An orchestrator wraps what the database or our own code raised.
    """
    return next((text for link in _chain(error) if (text := _explain(link)) is not None), None)


def _explain(error: BaseException) -> str | None:
    from chandlery.database.dsn import market_dsn  # noqa: PLC0415 - slow to import
    from chandlery.database.errors import explain, is_driver_error  # noqa: PLC0415 - slow to import
    from chandlery.settings import Settings  # noqa: PLC0415 - slow to import

    if isinstance(error, ChandleryError):
        return str(error)
    if is_driver_error(error):
        settings = Settings()
        return str(explain(error, market_dsn(settings) if settings.database_url else ""))
    if isinstance(error, OSError) and error.errno in _ADVICE:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; {_ADVICE[error.errno]}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from, or while handling, one after another."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
