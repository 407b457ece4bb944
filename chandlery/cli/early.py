"""Starts the embedded server while the command is imported, because a person waits for both.

Not here: the server (``database.embedded``), and what is wrong with it, which the command finds out by itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress


def start_server() -> None:
    """Begin to start, or to join, the embedded server of an installation that was set up; return at once."""
    threading.Thread(target=_start, name="early-server", daemon=True).start()


def _start() -> None:
    from chandlery.settings import Settings  # noqa: PLC0415 - beside the import of the command

    with suppress(Exception):
        settings = Settings()
        if settings.database_url is None and settings.embedded_data.exists():
            from chandlery.database import embedded  # noqa: PLC0415 - likewise

            embedded.start(settings.embedded_data)
