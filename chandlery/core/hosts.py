"""Whether a name by which a server was called is its own. Not here: who may ask (``serve``, the web UI's guard)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def is_called(host: str, names: Collection[str], port: int, *, any_address: bool) -> bool:
    """Return whether ``host``, as in a header ``Host`` or an origin, names a server.

    Args:
        host: name or address, with a port or without.
        names: the server's, in lower case.
        port: on which it listens.
        any_address: whether it is reached from elsewhere too: then any port and any address will do.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, given = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return False
    if name in names:
        return any_address or (80 if given is None else given) == port
    return any_address and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
