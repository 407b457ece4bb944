"""What stands for a key where the key itself cannot: in the name of a file, in a header."""

from __future__ import annotations

import hashlib

#: The version of how tables are kept. It changes with the format, so that nobody reads what another version wrote.
FORMAT = 1


def key_digest(key: str) -> bytes:
    """Return the 32 bytes that stand for a key."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).digest()
