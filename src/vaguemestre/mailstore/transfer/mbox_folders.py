"""Folders as mbox files: one file, or a tree of them as Thunderbird, Apple Mail and our own export make.

Rules: in a tree, a file is a folder where it begins as an mbox does, or is empty and called so; `.sbd` and `.mbox` at the
end of a level are not part of its name. The manifest, where there is one, has the names and what the folders are for.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.model import Role
from vaguemestre.mailstore.transfer import files, folders, manifest, mbox
from vaguemestre.mailstore.transfer.files import Draft
from vaguemestre.mailstore.transfer.model import (
    Content,
    ExportedFolder,
    Folder,
    Kept,
    Marks,
    Offered,
    SetAside,
    SourceError,
    UnreadableError,
)

_SUFFIX = ".mbox"
_LEVEL_SUFFIXES = (_SUFFIX, ".sbd")
_APPLE = "mbox"  # the file's name within a folder `Name.mbox`


class MboxSource:
    """Reads one file, into the mailbox `into`, or a tree."""

    kind = "mbox"

    def __init__(self, path: Path, into: str = mailboxes.INBOX) -> None:
        self._path = path.resolve()
        self._into = into
        self._folders = self._found()
        self.total = sum(Path(folder.key).stat().st_size for folder in self._folders)

    def folders(self) -> list[Folder]:
        """One a file."""
        return self._folders

    def messages(self, folder: Folder) -> Iterator[Offered | SetAside]:
        """In the order of the file."""
        label = Path(folder.key).name
        try:
            file = files.opened(Path(folder.key))
        except UnreadableError as error:
            yield SetAside.of(folder.name, label, error)
            return
        with file:
            for number, each in enumerate(mbox.read(file), 1):
                if isinstance(each, UnreadableError):
                    yield SetAside.of(folder.name, label, each)
                else:
                    yield _offered(f"{label}, {number} (@ {each.offset})", each)

    def filed(self, folder: Folder, offered: Offered, digest: bytes, size: int) -> None:
        """Nothing to remember."""

    def close(self) -> None:
        """Nothing stays open."""

    def _found(self) -> list[Folder]:
        if self._path.is_file():
            return [Folder(self._into, None, str(self._path), exact=True)]
        known = manifest.listed(self._path)
        found = [
            self._folder(Path(place) / name, known)
            for place, _, names in sorted(os.walk(self._path))
            for name in sorted(names)
            if _is_mbox(Path(place) / name)
        ]
        if not found:
            raise SourceError(
                f"There is no mbox file in {self._path}.", f"Il n'y a pas de fichier mbox dans {self._path}."
            )
        return found

    def _folder(self, path: Path, known: dict[str, ExportedFolder]) -> Folder:
        relative = path.relative_to(self._path)
        listed = known.get(relative.as_posix())
        if listed is not None:
            return Folder(listed.name, listed.role, str(path), exact=True)
        levels = list(relative.parts)
        if levels[-1] == _APPLE and len(levels) > 1 and levels[-2].endswith(_SUFFIX):
            levels.pop()
        return Folder(folders.name_of("/".join(map(_level, levels))), None, str(path))


class MboxSink:
    """Writes a tree: each folder is rewritten whole, and bears its name once it is."""

    kind = "mbox"

    def __init__(self, target: Path, account: str) -> None:
        self._target = target
        self._listing = manifest.begin(target, account)
        self._account = account
        self._paths = folders.Paths(_SUFFIX)
        self._draft: Draft | None = None

    def begin(self, name: str, role: Role | None) -> str:
        """One file a folder."""
        self._finish()
        path = self._paths.take(name)
        files.made((self._target / path).parent)
        self._draft = Draft(self._target / path)
        return path

    def put(self, kept: Kept, content: Content) -> None:
        """Append a message, whole or not at all."""
        assert self._draft is not None  # noqa: S101 - a folder was begun
        file = self._draft.file
        start = file.tell()
        try:
            mbox.write(file, kept, content)
        except BaseException:
            file.seek(start)
            file.truncate()
            raise

    def finish(self, exported: Sequence[ExportedFolder]) -> None:
        """The manifest comes last."""
        self._finish()
        manifest.write(self._listing.file, self._account, self.kind, exported)
        self._listing.finish()

    def abandon(self) -> None:
        """Folders that are whole stay, and the next run goes on."""
        self._listing.leave()
        if self._draft is not None:
            self._draft.abandon()

    def _finish(self) -> None:
        if self._draft is not None:
            self._draft.finish()


def is_source(path: Path) -> bool:
    """Whether this looks like an mbox, or a tree of them."""
    if path.is_file():
        return _is_mbox(path)
    return any(_is_mbox(Path(place) / name) for place, _, names in os.walk(path) for name in names)


def _offered(place: str, found: mbox.Read) -> Offered:
    def marks(head: bytes) -> Marks:
        return found.stated if found.ours else mbox.marks(head, found.stated)

    return Offered(place, found.content, marks, exact=True)


def _is_mbox(path: Path) -> bool:
    try:
        with files.opened(path) as file:
            return _begins(file, path)
    except (UnreadableError, OSError):
        return False


def _begins(file: BinaryIO, path: Path) -> bool:
    line = file.readline(4096)
    return mbox.begins(line.removeprefix(b"\xef\xbb\xbf")) or (not line and path.suffix == _SUFFIX)


def _level(level: str) -> str:
    return next((level.removesuffix(each) for each in _LEVEL_SUFFIXES if level.endswith(each)), level) or level
