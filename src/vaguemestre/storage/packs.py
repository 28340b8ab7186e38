"""Packs: sealed contents one after the other in large append-only files, made durable by one flush for all that wait.

Why not rows: content is sealed already, and the encrypted database would encrypt it again, page by page, into its log and
then into its file. Why not a file each: a flush each. Measured: docs/adr/0007-packs.md.

What it keeps true: bytes once appended never change or move; they are on disk, and the name of their pack, before the row
that points to them is written, in the transaction that makes its message true. A crash, or a transaction that fails,
leaves bytes nobody points to; deleting a row destroys its content's key, and leaves bytes nobody can read. `drop_dead`
removes packs in which nothing lives any more.

One process at a time appends to a pack, under a lock on the file that ends with the process; another may flush it.
A pack that could not be flushed is marked as broken beside it, for every process: the system may since take as written
what is not, so nothing more is appended to it, nor acknowledged from it. What was flushed before is still read.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.storage import holds
from vaguemestre.storage.durability import force, make_folder

_FULL = 256 * 1024 * 1024
_SUFFIX = ".pack"
_BROKEN = ".broken"
_MOST_OPEN = 16
_QUIET_S = 86_400  # a pack written to more lately may hold content whose row was not seen yet


class PackStore:
    """The packs of one folder."""

    def __init__(self, folder: Path, full: int = _FULL, quiet_s: float = _QUIET_S) -> None:
        self._folder = folder
        self._full = full
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._pack = 0
        self._mark_now = ""  # of the pack at hand: looked for before each append
        self._file: int | None = None
        self._end = 0
        self._flushed: dict[int, int] = {}  # open files by pack, for `flush`; one thread writes, and flushes
        self._broken: set[int] = set()
        make_folder(folder)

    def append(self, content: bytes) -> tuple[int, int]:
        """Write content at the end of a pack; returns the pack and the place. Durable after `flush`.

        Raises StorageFailure.
        """
        with self._lock:
            try:
                file = self._open()
                place, view = self._end, memoryview(content)
                while view:  # a write may be partial when the disk fills up
                    written = os.pwrite(file, view, self._end)
                    view, self._end = view[written:], self._end + written
            except OSError as error:
                self._let_go()  # what its end holds is unknown: go on in another
                raise _failure(error) from error
            return self._pack, place

    def flush(self, packs: Collection[int]) -> None:
        """Force to disk what was appended to packs, by this process or another. Raises StorageFailure."""
        try:
            for pack in packs:
                if pack not in self._flushed and len(self._flushed) >= _MOST_OPEN:
                    os.close(self._flushed.pop(next(iter(self._flushed))))
                if pack not in self._flushed:
                    self._flushed[pack] = os.open(self._path(pack), os.O_RDONLY)
                if pack in self._broken or self._mark(pack).exists():
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                try:
                    os.fdatasync(self._flushed[pack])
                except OSError:
                    self._broken.add(pack)  # the mark itself may be refused by the same disk
                    self._mark(pack).touch(0o600)
                    raise
        except OSError as error:
            raise _failure(error) from error

    def read(self, pack: int, start: int, length: int) -> bytes:
        """Bytes of a pack. Raises StorageFailure."""
        try:
            file = os.open(f"{self._folder}/{ids.to_text(pack)}{_SUFFIX}", os.O_RDONLY)
            try:
                return os.pread(file, length, start)
            finally:
                os.close(file)
        except OSError as error:
            raise _failure(error) from error

    def drop_dead(self, living: Collection[int]) -> int:
        """Delete the packs that no row points to, but the ones in use lately; returns how many. None during a back-up."""
        with holds.deletion(self._folder) as allowed:
            return self._drop(living) if allowed else 0

    def _drop(self, living: Collection[int]) -> int:
        dropped = 0
        for pack in self._packs():
            path = self._path(pack)
            if pack in living:
                continue
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Asked under the lock: another process may have appended since the living were counted.
                if time.time() - os.fstat(file.fileno()).st_mtime < self._quiet_s:
                    continue
                path.unlink()
                self._mark(pack).unlink(missing_ok=True)
                dropped += 1
        return dropped

    def close(self) -> None:
        """Let another process append to the pack."""
        with self._lock:
            self._let_go()
            while self._flushed:
                os.close(self._flushed.popitem()[1])

    def _open(self) -> int:
        """The file to append to: the one at hand, one that nobody holds and is not full, or a new one."""
        if self._file is not None and self._end < self._full and not os.path.exists(self._mark_now):  # noqa: PTH110
            return self._file
        self._let_go()
        for pack in sorted(self._packs(), reverse=True):
            if self._take(pack):
                break
        while self._file is None:  # another process may take the new one first
            pack = ids.next_id()
            self._path(pack).touch(0o600)
            self._take(pack)
        if not self._end:  # who made it may have been cut before its name was on disk
            force(self._folder)
        return self._file

    def _take(self, pack: int) -> bool:
        if self._mark(pack).exists():
            return False
        try:
            file = os.open(self._path(pack), os.O_RDWR)
        except OSError:  # dropped since it was listed, or another user's: there are others
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(file)
        except OSError:
            os.close(file)
            return False
        if found.st_size >= self._full or not found.st_nlink:
            os.close(file)
            return False
        self._pack, self._file, self._end = pack, file, found.st_size
        self._mark_now = str(self._mark(pack))
        return True

    def _packs(self) -> Iterator[int]:
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(ValueError):  # somebody else's file
                yield ids.from_text(path.stem)

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, pack: int) -> Path:
        return self._folder / f"{ids.to_text(pack)}{_SUFFIX}"

    def _mark(self, pack: int) -> Path:
        return self._folder / f"{ids.to_text(pack)}{_BROKEN}"


def _failure(error: OSError) -> StorageFailure:
    return StorageFailure(
        f"The packs of messages failed: {error.strerror}.", f"Les fichiers de messages ont échoué : {error.strerror}."
    )
