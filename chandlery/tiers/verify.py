"""Checking the whole lake against the manifest. Not here: the check of one file (``read.verify_part``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chandlery.errors import LakeError
from chandlery.lake.manifest import find_entries, note_verified
from chandlery.lake.read import verify_part
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of checking one file.

    Attributes:
        path: below the lake's root.
        bytes: its size, as it should be.
        rows: how many rows it should have.
        fault: what is wrong with it, or None.
    """

    path: str
    bytes: int
    rows: int
    fault: str | None


def verify(warehouse: Warehouse) -> Iterator[Checked]:
    """Read back every file that the manifest knows and compare each value; yield the outcome of each as it is known."""
    lake = warehouse.lake
    with warehouse.connection() as connection:
        entries = find_entries(connection)
    for entry in entries.values():
        faults = 0
        for part in entry.parts:
            fault = None
            try:
                verify_part(lake, part)
            except LakeError as error:
                fault, faults = str(error), faults + 1
            yield Checked(part.path, part.size, part.row_count, fault)
        if not faults:
            with warehouse.connection() as connection:
                note_verified(connection, [entry.manifest_id])


def find_strangers(warehouse: Warehouse) -> list[str]:
    """Return paths of files in the lake that the manifest does not know; nobody reads them."""
    with warehouse.connection() as connection:
        rows = connection.execute(
            "SELECT path FROM ops.manifest UNION ALL SELECT revisions->>'path' FROM ops.manifest"
        ).fetchall()
    known = {row[0] for row in rows}
    return [found.path for found in warehouse.lake.list() if found.path not in known]
