"""Maildir: a file a message, its flags in the file's name; Maildir++ for folders, as Dovecot and Courier have them.

What holds here: only regular files are read, and only those within; what is being delivered (`tmp`) is left alone. An
export can be taken up where it was killed: a message that stands there whole is not written again, its name is put right.

Rules: the date is the file's; letters of the name are flags, small ones keywords by `dovecot-keywords`, 26 at most; more
stand in a file of our own. Content is written as it is kept, with CRLF, which Dovecot, mutt and isync take. Folders that
are plain directories (isync's *Verbatim*) are read too.

Standards: D. J. Bernstein's maildir(5); Maildir++ (Courier); Dovecot's mailbox format of the same name.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.model import NO_FLAGS, Flag, Role
from vaguemestre.mailstore.transfer import files, folders, manifest
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
    TargetError,
)

_FLAGS = {"D": Flag.DRAFT, "F": Flag.FLAGGED, "R": Flag.ANSWERED, "S": Flag.SEEN, "T": Flag.DELETED}
_PASSED, _FORWARDED = "P", "$Forwarded"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_INFO = re.compile(r"[:;!]2,([A-Za-z]*)")
_NUMBER = re.compile(r"\d{1,18}")
_KEYWORDS = "dovecot-keywords"
_MORE_KEYWORDS = "vaguemestre-keywords"
_LARGEST_LIST = 64 * 1024 * 1024
_WHERE = ("cur", "new")


class MaildirSource:
    """Reads a Maildir and the folders in it."""

    kind = "maildir"

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._known = manifest.listed(self._path)
        self._folders = list(self._found(self._path, ()))
        if not self._folders:
            raise SourceError(f"There is no Maildir in {path}.", f"Il n'y a pas de Maildir dans {path}.")
        self.total = sum(
            entry.stat(follow_symlinks=False).st_size
            for folder in self._folders
            for entry in _entries(Path(folder.key))
        )

    def folders(self) -> list[Folder]:
        """INBOX first."""
        return self._folders

    def messages(self, folder: Folder) -> Iterator[Offered | SetAside]:
        """In the order of their names, which begin with the time of delivery."""
        place = Path(folder.key)
        keywords, more = _keywords(place / _KEYWORDS), _more_keywords(place / _MORE_KEYWORDS)
        found = sorted((_order(entry.name), entry.name, Path(entry.path).parent.name) for entry in _entries(place))
        for _, name, where in found:
            yield _offered(place / where / name, keywords, more)

    def filed(self, folder: Folder, offered: Offered, digest: bytes, size: int) -> None:
        """Nothing to remember."""

    def close(self) -> None:
        """Nothing stays open."""

    def _found(self, place: Path, levels: tuple[str, ...]) -> Iterator[Folder]:
        if (place / "cur").is_dir():
            yield self._folder(place, levels)
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False) and entry.name not in ("cur", "new", "tmp"):
                yield from self._found(Path(entry.path), (*levels, entry.name))

    def _folder(self, place: Path, levels: tuple[str, ...]) -> Folder:
        listed = self._known.get(place.relative_to(self._path).as_posix())
        if listed is not None:
            return Folder(listed.name, listed.role, str(place), exact=True)
        names = [
            folders.maildir_name(level) if level.startswith(".") else folders.decoded(os.fsencode(level))
            for level in levels
        ]
        return Folder("/".join(names) or mailboxes.INBOX, None, str(place))


class MaildirSink:
    """Writes a Maildir++, or goes on with one that it had begun."""

    kind = "maildir"

    def __init__(self, target: Path, account: str) -> None:
        self._target = target
        self._listing = manifest.begin(target, account)
        self._account = account
        self._taken: set[str] = set()
        self._place: Path | None = None
        self._there: dict[str, str] = {}
        self._letters: dict[str, str] = {}
        self._more: list[str] = []

    def begin(self, name: str, role: Role | None) -> str:
        """One directory a folder, all of them side by side."""
        self._finish_folder()
        directory = folders.maildir(name)
        while directory.casefold() in self._taken:  # where capitals are not told from small letters
            directory += "_"
        self._taken.add(directory.casefold())
        self._place = self._target / directory
        for each in ("cur", "new", "tmp"):
            files.made(self._place / each)
        if directory:
            (self._place / "maildirfolder").touch(0o600)
        self._there = {entry.name.partition(":")[0]: entry.name for entry in os.scandir(self._place / "cur")}
        return directory or "."

    def put(self, kept: Kept, content: Content) -> None:
        """Write a message under `tmp`, then give it its name."""
        assert self._place is not None  # noqa: S101 - a folder was begun
        unique = f"{kept.received_at // 1000}.V{kept.uid_validity}U{kept.uid}.vaguemestre,S={kept.size}"
        target = self._place / "cur" / f"{unique}:2,{self._info(unique, kept)}"
        there = self._there.get(unique)
        try:
            if there is not None and (self._place / "cur" / there).stat().st_size == kept.size:
                (self._place / "cur" / there).rename(target)
            else:
                self._write(self._place / "tmp" / unique, target, content)
            os.utime(target, ns=(kept.received_at * 1_000_000, kept.received_at * 1_000_000))
        except OSError as error:
            raise _unwritable(self._target, error) from error

    def finish(self, exported: Sequence[ExportedFolder]) -> None:
        """All that was written is forced to disk at once, then listed."""
        self._finish_folder()
        os.sync()
        manifest.write(self._listing.file, self._account, self.kind, exported)
        self._listing.finish()

    def abandon(self) -> None:
        """What stands there stays, and the next run goes on."""
        self._listing.leave()

    def _write(self, part: Path, target: Path, content: Content) -> None:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(content)
            part.rename(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _info(self, unique: str, kept: Kept) -> str:
        letters = {letter for letter, flag in _FLAGS.items() if flag in kept.flags}
        more = []
        for keyword in kept.keywords:
            if keyword == _FORWARDED:
                letters.add(_PASSED)  # which Dovecot does not take for it: a letter of its own follows
            if keyword in self._letters or len(self._letters) < len(_LETTERS):
                letters.add(self._letters.setdefault(keyword, _LETTERS[len(self._letters)]))
            else:
                more.append(keyword)
        if more:
            self._more.append(f"{unique} {' '.join(more)}\n")
        return "".join(sorted(letters))

    def _finish_folder(self) -> None:
        if self._place is None:
            return
        lists = {
            _KEYWORDS: [f"{number} {keyword}\n" for number, keyword in enumerate(self._letters)],
            _MORE_KEYWORDS: self._more,
        }
        for name, lines in lists.items():
            if lines:
                draft = Draft(self._place / name)
                draft.file.write("".join(lines).encode())
                draft.finish()
        self._place, self._letters, self._more = None, {}, []


def is_source(path: Path) -> bool:
    """Whether this is a Maildir, or has one right within."""
    if not path.is_dir():
        return False
    return (path / "cur").is_dir() or any(
        (Path(entry) / "cur").is_dir() for entry in os.scandir(path) if entry.is_dir()
    )


def _offered(path: Path, keywords: dict[str, str], more: dict[str, list[str]]) -> Offered:
    unique, info = path.name, _INFO.search(path.name)
    letters = info[1] if info and path.parent.name == "cur" else ""
    if info:
        unique = path.name[: info.start()]
    flags = NO_FLAGS
    for letter, flag in _FLAGS.items():
        flags |= flag if letter in letters else NO_FLAGS
    words = {keywords[letter] for letter in letters if letter in keywords} | set(more.get(unique, ()))
    words |= {_FORWARDED} if _PASSED in letters else set()
    try:
        received_at = path.stat(follow_symlinks=False).st_mtime_ns // 1_000_000
    except OSError:
        received_at = None
    stated = Marks(flags, frozenset(words), received_at)
    return Offered(f"{path.parent.parent.name}/{path.parent.name}/{path.name}", files.chunks(path), lambda _: stated)


def _entries(place: Path) -> Iterator["os.DirEntry[str]"]:
    for where in _WHERE:
        if (place / where).is_dir():
            with os.scandir(place / where) as entries:
                yield from (entry for entry in entries if not entry.name.startswith("."))


def _order(name: str) -> int:
    number = _NUMBER.match(name)
    return int(number[0]) if number else 0


def _keywords(path: Path) -> dict[str, str]:
    """Keywords by their letter."""
    found = {}
    for line in _lines(path):
        number, _, keyword = line.strip().partition(" ")
        if number.isascii() and number.isdigit() and int(number) < len(_LETTERS) and keyword:
            found[_LETTERS[int(number)]] = keyword
    return found


def _more_keywords(path: Path) -> dict[str, list[str]]:
    """Keywords beyond those that have letters, by the unique part of a name."""
    return {words[0]: words[1:] for line in _lines(path) if (words := line.split())}


def _lines(path: Path) -> list[str]:
    try:
        with files.opened(path) as file:
            return file.read(_LARGEST_LIST).decode("ascii", "replace").splitlines()
    except (files.NotAFileError, OSError):
        return []


def _unwritable(target: Path, error: OSError) -> TargetError:
    return TargetError(
        f"{target} cannot be written: {error.strerror}.", f"{target} ne peut pas être écrit : {error.strerror}."
    )
