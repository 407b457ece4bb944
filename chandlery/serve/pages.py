"""Pages of an answer that has more rows than one may have, and the cursor that goes on with it.

A cursor says from where, of which request, and as of which moment, so that all pages are of one state.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

import pyarrow as pa

from chandlery.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where an answer goes on.

    Attributes:
        row: the first one of the page.
        as_of: the moment of which the answer is, ISO 8601; None for an answer without history.
        request: digest of all other parameters.
    """

    row: int
    as_of: str | None
    request: str

    def __str__(self) -> str:
        """Return it as it stands in an address."""
        content = json.dumps([self.row, self.as_of, self.request]).encode()
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str | None, request: str) -> Cursor:
        """Return the cursor that ``text`` is, or the first page's.

        Raises:
            UsageError: it is none, or one of another request.
        """
        if text is None:
            return cls(0, None, request)
        try:
            row, as_of, of = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError, TypeError):
            row, as_of, of = None, None, None
        if not isinstance(row, int) or isinstance(row, bool) or row < 0 or not isinstance(as_of, str | None):
            raise UsageError("cursor is none of ours; take it from the answer before, or leave it out")
        if of != request:
            raise UsageError("cursor is of another request; repeat all parameters of the first one beside it")
        return cls(row, as_of, request)


def digest_of(path: str, parameters: dict[str, object]) -> str:
    """Return what tells one request from another."""
    return hashlib.sha256(json.dumps([path, parameters], sort_keys=True).encode()).hexdigest()[:16]


def cut(table: pa.Table, cursor: Cursor, rows: int, as_of: str | None) -> tuple[pa.Table, Cursor | None]:
    """Return the page at ``cursor``, of at most ``rows``, and the cursor of the next one, if there is any."""
    end = cursor.row + rows
    after = Cursor(end, as_of, cursor.request) if end < table.num_rows else None
    return table.slice(cursor.row, rows), after
