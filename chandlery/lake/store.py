"""The lake's file system: a local folder or a bucket, in which a file is there whole or not at all.

A file is first written under a name that nobody reads. In a folder it is then renamed; in a bucket, which cannot, it is
copied by the server, which shows the copy when it is complete. Not here: how a bucket is reached (``s3``), what is in a
file (``parquet``), which files there should be (``manifest``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chandlery.errors import ConfigurationError, LakeError
from chandlery.lake.local_files import flush, link
from chandlery.lake.s3 import Bucket, describe_error
from chandlery.lake.staged_file import StagedFile

if TYPE_CHECKING:
    import pyarrow as pa

#: The folder of files under temporary names, which nobody reads but their writer.
_STAGING = "_staging"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the lake.

    Attributes:
        path: below the lake's root.
        bytes: its size.
        written_at: when it was last written, UTC.
    """

    path: str
    bytes: int
    written_at: datetime | None


class Lake:
    """Files of archived bars.

    Safe to share between threads. Requests to a bucket are repeated where that may help; one that does not answer is
    given up after less than a minute.

    Args:
        root: a local folder (made when it is first written to), or ``s3://bucket/prefix``; the bucket has to be there.
            Credentials, region and endpoint come from the environment (``s3``).
        variable: the environment variable that holds ``root``, for an error.

    Attributes:
        root: as given.
        is_local: whether it is a folder.

    Raises:
        ConfigurationError: ``root`` is neither, or the environment is wrong.
    """

    def __init__(self, root: str | Path, variable: str = "CHANDLERY_LAKE") -> None:
        text = str(root)
        self.is_local = "://" not in text and not text.startswith("s3:/")  # as a path, "s3://" loses a slash
        if not self.is_local and text.partition(":")[0] != "s3":
            raise ConfigurationError(
                f"{variable} is neither a folder nor s3://bucket/prefix; it begins with {text.partition(':')[0]}:"
            )
        self._bucket = None if self.is_local else Bucket.parse(text, variable)
        self._base = self._bucket.base if self._bucket else str(Path(text).expanduser().absolute())
        self.root = f"s3://{self._base}" if self._bucket else text

    @contextmanager
    def open(self, path: str) -> Iterator[pa.NativeFile]:
        """Lend the file at ``path`` below the root, open for reading anywhere in it.

        Raises:
            LakeError: it is not there or cannot be read, now or in the block; names it.
        """
        import pyarrow as pa  # noqa: PLC0415 - slow to import, and opening a warehouse reads no file

        place = self.describe(path)
        try:
            with self._files.open_input_file(self._full(path)) as source:
                yield source
        except FileNotFoundError:
            self.require_root(path)
            raise LakeError(f"{place} is missing") from None
        except LakeError as error:
            text = describe_error(str(error))
            raise LakeError(text if text.startswith(place) else f"{place}: {text}") from error
        except (OSError, pa.ArrowException) as error:
            raise LakeError(f"{place} cannot be read: {describe_error(error)}") from error

    def exists(self, path: str) -> bool:
        """Return whether there is a file at ``path`` below the root.

        Raises:
            LakeError: the lake cannot be read.
        """
        with self._errors_name(path, "read"):
            found: bool = self._files.get_file_info(self._full(path)).is_file
        return found

    @contextmanager
    def staged(self, path: str) -> Iterator[StagedFile]:
        """Lend a file under a name that nobody reads; ``commit`` gives it ``path``. Otherwise it is deleted.

        Where ``commit`` kept the temporary name too, that is deleted when the block ends. It stays where the block
        raises: the file may not be wanted then, and ``list_abandoned`` finds it.

        Raises:
            LakeError: the lake cannot be written to, for example because it is full or read-only.
        """
        staged = StagedFile(f"{_temporary_stem(path)}.{uuid4().hex}", path, self._write, self._rename)
        is_over = False
        try:
            with self._errors_name(path, "written"):
                self._make_folder(_STAGING)
            yield staged
            is_over = True
        finally:
            # A failed upload leaves nothing to delete, as a rule, and its server may be gone; `sweep` does the rest.
            has_temporary = staged.is_kept if staged.committed else self.is_local or staged.size is not None
            if has_temporary and (is_over or not staged.committed):
                self.delete(staged.temporary, quietly=True)

    def delete(self, path: str, *, quietly: bool = False) -> None:
        """Delete the file at ``path``; nothing where it is gone. ``quietly``: nor where it cannot be.

        Raises:
            LakeError: it cannot be deleted, or the whole lake is not there; names it.
        """
        try:
            with self._errors_name(path, "deleted"):
                try:
                    if self.is_local:
                        Path(self._full(path)).unlink()
                    else:
                        self._files.delete_file(self._full(path))
                except FileNotFoundError:
                    self.require_root(path)
                except OSError:
                    # A bucket's file system also wants to leave a sign of the folder, after the file is gone.
                    if not _is_absent(self._files.get_file_info(self._full(path))):
                        raise
        except LakeError:
            if not quietly:
                raise

    def list(self, folder: str = "") -> Iterator[StoredFile]:
        """Yield every file in ``folder``, at any depth, sorted by path; not those under temporary names.

        Raises:
            LakeError: the lake cannot be read.
        """
        yield from (file for file in self._list(folder) if not file.path.startswith(f"{_STAGING}/"))

    def sweep(self, before: datetime) -> int:
        """Delete files under temporary names that nobody wrote to since ``before`` (UTC); return how many.

        Their writers died.

        Raises:
            LakeError: the lake cannot be read, or one of them cannot be deleted.
        """
        abandoned = self._list_temporary(before)
        for file in abandoned:
            self.delete(file.path)
        return len(abandoned)

    def list_abandoned(self, before: datetime) -> Sequence[str]:
        """Return files that were named before ``before`` (UTC), and whose writers died or failed before they were done.

        Only of those that keep a temporary name so long; ``sweep`` lets them be forgotten.

        Raises:
            LakeError: the lake cannot be read.
        """
        stems = {file.path.rpartition(".")[0] for file in self._list_temporary(before)}
        return [file.path for file in self.list() if _temporary_stem(file.path) in stems] if stems else []

    def describe(self, path: str) -> str:
        """Return where ``path`` is, for a person."""
        return f"{self.root.rstrip('/')}/{path}"

    @cached_property
    def _files(self) -> Any:  # noqa: ANN401 - pyarrow is not typed
        from pyarrow import fs  # noqa: PLC0415 - see ``open``

        return self._bucket.connect() if self._bucket else fs.LocalFileSystem()

    def _write(self, staged: StagedFile, content: bytes | pa.Buffer) -> None:
        target = self._full(staged.temporary)
        with self._errors_name(staged.path, "written"):
            if self.is_local:
                with Path(target).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return
            with self._files.open_output_stream(target) as stream:
                stream.write(content)

    def _rename(self, staged: StagedFile) -> None:
        source, target = self._full(staged.temporary), self._full(staged.path)
        with self._errors_name(staged.path, "written"):
            if self.is_local:
                folder = staged.path.rpartition("/")[0]
                self._make_folder(folder)
                Path(link(source) if staged.is_kept else source).replace(target)
                flush(self._full(folder))
                return
            self._files.copy_file(source, target)
            info = self._files.get_file_info(target)
        # A server may report success before it finds that it failed.
        if not info.is_file or info.size != staged.size:
            raise LakeError(f"{self.describe(staged.path)} cannot be written: the server did not copy it")
        if not staged.is_kept:
            self.delete(staged.temporary, quietly=True)

    def _list_temporary(self, before: datetime) -> Sequence[StoredFile]:
        return [file for file in self._list(_STAGING) if file.written_at and file.written_at < before]

    def _list(self, folder: str = "") -> Iterator[StoredFile]:
        from pyarrow import fs  # noqa: PLC0415 - see ``open``

        with self._errors_name(folder, "listed"):
            selector = fs.FileSelector(self._full(folder), recursive=True, allow_not_found=True)
            infos = self._files.get_file_info(selector)
            if not infos and self._bucket:
                self.require_root(folder)
        for info in sorted(infos, key=lambda info: info.path):
            if info.is_file:
                yield StoredFile(info.path[len(self._base) + 1 :], info.size, info.mtime)

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def _make_folder(self, path: str) -> None:
        if not self.is_local:
            return
        folder = Path(self._full(path))
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for place in missing:
            flush(str(place.parent))

    def require_root(self, path: str) -> None:
        """Raise ``LakeError`` if not even the lake itself is there, so that nobody takes its files for deleted."""
        place = self._bucket.name if self._bucket else self._base
        with self._errors_name(path, "reached"):
            if _is_absent(self._files.get_file_info(place)):
                kind = (
                    f"there is no bucket {place!r}" if self._bucket else f"there is no folder {place}; is it mounted?"
                )
                raise LakeError(f"{self.describe(path)} is out of reach: {kind}")

    @contextmanager
    def _errors_name(self, path: str, done: str) -> Iterator[None]:
        """Turn errors of the file system into ``LakeError``: the file at ``path`` cannot be ``done``."""
        import pyarrow as pa  # noqa: PLC0415 - see ``open``

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise LakeError(
                f"{self.describe(path)} cannot be {done}: {describe_error(error)}{_advice(error)}"
            ) from error


def _is_absent(info: Any) -> bool:  # noqa: ANN401 - pyarrow is not typed
    return bool(info.type.name == "NotFound")


def _advice(error: Exception) -> str:
    """Return what to do about an error, where it is that there is no room; it begins with a semicolon."""
    if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return "; make room there, then run the same again, which completes it"
    return ""


def _temporary_stem(path: str) -> str:
    """Return how the temporary names of ``path`` begin."""
    return f"{_STAGING}/{path.replace('/', '_')}"
