"""Checking the whole lake against the manifest. Not here: the check of one file (``read.verify_file``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chandlery.errors import LakeError
from chandlery.lake.identity import FILE_NAME
from chandlery.lake.manifest import find_entries, list_paths, note_verified
from chandlery.lake.read import verify_file
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The outcome of checking one file.

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


def verify(warehouse: Warehouse) -> Iterator[FileCheck]:
    """Read back every file that the manifest knows and compare each value; yield the outcome of each as it is known."""
    lake = warehouse.lake
    with warehouse.connection() as connection:
        entries = find_entries(connection)
    for entry in entries.values():
        faults = 0
        for file in entry.files:
            fault = None
            try:
                verify_file(lake, file)
            except LakeError as error:
                fault, faults = str(error), faults + 1
            yield FileCheck(file.path, file.size, file.row_count, fault)
        if not faults:
            with warehouse.connection() as connection:
                note_verified(connection, [entry.manifest_id])


def find_unknown_files(warehouse: Warehouse) -> list[str]:
    """Return paths of files in the lake that the manifest does not know; nobody reads them."""
    paths = [file.path for file in warehouse.lake.list() if file.path != FILE_NAME]
    # Afterwards, so that a file that is being archived meanwhile is known, or not seen.
    with warehouse.connection() as connection:
        known = list_paths(connection)
    return [path for path in paths if path not in known]
