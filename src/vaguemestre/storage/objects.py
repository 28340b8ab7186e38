"""Where large sealed blobs stand: a folder, or any store of obstore (S3 and its like).

Contract of both: `put` returns once the object is durable; an object never changes; `get_range` of what was put gives the
same bytes; deleting what is not there is no error. Objects are sealed before they come here: this store is not trusted
with content, only with keeping it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from vaguemestre.errors import StorageFailure
from vaguemestre.storage import holds
from vaguemestre.storage.durability import force, make_folder


class ObjectStore(Protocol):
    """The four verbs a store of large blobs needs."""

    def put(self, name: str, file: Path) -> None:
        """Make the object durable from a local file, which is gone or may be deleted after."""

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Octets [start, end) of an object. Raises StorageFailure where there is none."""

    def delete(self, name: str) -> None:
        """Forget an object."""

    def names(self) -> Iterator[str]:
        """Every object's name, in no order."""


class FolderStore:
    """Objects as files under a folder, spread over 256 sub-folders; the spool must be on the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._named: set[Path] = set()  # sub-folders whose own names this process knows to be on disk
        make_folder(folder)

    def put(self, name: str, file: Path) -> None:
        """Rename a file into place: its bytes first, then its name, are forced to disk."""
        target = self._path(name)
        try:
            force(file)
            if target.parent not in self._named:
                target.parent.mkdir(mode=0o700, exist_ok=True)
                force(self._folder)
                self._named.add(target.parent)
            file.rename(target)
            force(target.parent)
        except OSError as error:
            raise _failure(error) from error

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Read part of the file."""
        try:
            with self._path(name).open("rb") as file:
                return os.pread(file.fileno(), end - start, start)
        except OSError as error:
            raise _failure(error) from error

    def delete(self, name: str) -> None:
        """Unlink the file; not while a back-up copies it: then it stays, for the sweep."""
        try:
            with holds.deletion(self._folder) as allowed:
                if allowed:
                    self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise _failure(error) from error

    def names(self) -> Iterator[str]:
        """Walk the sub-folders."""
        for path in self._folder.glob("??/*"):
            yield path.name

    def _path(self, name: str) -> Path:
        return self._folder / name[-2:] / name


class RemoteStore:
    """Objects in a store opened with obstore, for example `obstore.store.S3Store`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def put(self, name: str, file: Path) -> None:
        """Upload in parts; the store answers once it keeps the object."""
        try:
            with file.open("rb") as content:
                self._store.put(name, content)
        except Exception as error:  # obstore's errors share no base but Exception
            raise _failure(error) from error

    def get_range(self, name: str, start: int, end: int) -> bytes:
        """Fetch part of the object."""
        try:
            return bytes(self._store.get_range(name, start=start, end=end))
        except Exception as error:
            raise _failure(error) from error

    def delete(self, name: str) -> None:
        """Delete the object."""
        try:
            self._store.delete(name)
        except FileNotFoundError:
            return
        except Exception as error:
            raise _failure(error) from error

    def names(self) -> Iterator[str]:
        """List the store page by page."""
        for page in self._store.list():
            for entry in page:
                yield entry["path"]


def _failure(error: Exception) -> StorageFailure:
    what = getattr(error, "strerror", None) or type(error).__name__
    return StorageFailure(f"The object store failed: {what}.", f"Le magasin d'objets a échoué : {what}.")
