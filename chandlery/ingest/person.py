"""Who decides, where a person says no name. Not here: what is decided (``release``)."""

from __future__ import annotations

import getpass
import os


def system_user() -> str:
    """Return the name of the operating system's user; a number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no variable tells it, and no password file knows the number
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
