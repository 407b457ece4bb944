"""A file of the lake under a temporary name, on its way to its own. Not here: how it is written (``store``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class StagedFile:
    """A file under a temporary name, which becomes a file of the lake when it is committed; see ``Lake.staged``.

    Args:
        temporary: its path until it is committed.
        path: its path afterwards.
        write: writes its whole content.
        rename: gives it ``path``, and leaves ``temporary`` where it ``is_kept``.

    Attributes:
        temporary: as given.
        path: as given.
        size: in bytes, once it is written.
        committed: whether it has ``path``.
        is_kept: whether it has the temporary name beside it.
    """

    def __init__(
        self,
        temporary: str,
        path: str,
        write: Callable[[StagedFile, bytes | pa.Buffer], None],
        rename: Callable[[StagedFile], None],
    ) -> None:
        self.temporary = temporary
        self.path = path
        self.size: int | None = None
        self.committed = False
        self.is_kept = False
        self._write = write
        self._rename = rename

    def write(self, content: bytes | pa.Buffer) -> None:
        """Write the whole file, and see that it outlives a power cut.

        Raises:
            LakeError: it cannot be written.
        """
        self._write(self, content)
        self.size = len(content) if isinstance(content, bytes) else content.size

    def commit(self, *, keep_temporary: bool = False) -> None:
        """Give the file its name, in one step; a file that bears it already is replaced.

        Args:
            keep_temporary: keep the temporary name as well until the block of ``Lake.staged`` has ended: a sign that
                the writer, who may die, has not entered the file elsewhere yet.

        Raises:
            LakeError: that cannot be done; whether it was may be unknown.
        """
        self.is_kept = keep_temporary
        self._rename(self)
        self.committed = True
