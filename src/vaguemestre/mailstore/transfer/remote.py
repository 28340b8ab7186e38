"""Another operator's IMAP server as a source: pulled by UID, in bounded pieces, and taken up where it stopped.

What it keeps true: what an earlier run filed is not fetched again, as long as the server's UIDVALIDITY says that UIDs mean
the same; where it does not, or the notes are gone, contents are recognised by `tally`. A line that breaks is made anew;
a message that breaks it again and again is set aside.

The notes: a file of JSON lines, one a message filed: mailbox, UIDVALIDITY, UID, digest, size. They hold names of mailboxes
and no content.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from vaguemestre.mailstore.transfer import files
from vaguemestre.mailstore.transfer.imap_answers import Described
from vaguemestre.mailstore.transfer.imap_line import ImapLine, LineLostError, RefusedError, Server
from vaguemestre.mailstore.transfer.model import (
    Folder,
    Marks,
    Offered,
    Remembered,
    SetAside,
    SourceError,
    UnreadableError,
)

Result = TypeVar("Result")

_DESCRIBED_TOGETHER = 500
_FETCHED_TOGETHER = 100
_OCTETS_TOGETHER = 4 * 1024 * 1024
_LARGE = 1024 * 1024  # a larger message is fetched in pieces of this size
_TRIES = 5
_PAUSE_S = 1.0
_VERSION = 1


class WithheldError(UnreadableError):
    """The server lists a message and does not give it."""

    def __init__(self) -> None:
        super().__init__(
            "The other operator's server did not give this message: it may have been deleted meanwhile, or be damaged.",
            "Le serveur de l'autre opérateur n'a pas donné ce message : supprimé entre-temps, peut-être, ou abîmé.",
        )


class _Note(msgspec.Struct, frozen=True, array_like=True):
    mailbox: str
    validity: int
    uid: int
    digest: str
    size: int


class Notes:
    """What runs of one migration filed. `close` them."""

    def __init__(self, path: Path, account: str) -> None:
        """Read the notes of an account's migration, or begin some."""
        files.made(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._known: dict[tuple[str, int], dict[int, tuple[bytes, int]]] = {}
        self._begin(account)

    def of(self, mailbox: str, validity: int) -> dict[int, tuple[bytes, int]]:
        """Digest and size of what was filed from a mailbox, by UID."""
        return self._known.setdefault((mailbox, validity), {})

    def add(self, mailbox: str, validity: int, uid: int, digest: bytes, size: int) -> None:
        """A message is filed, durably."""
        self.of(mailbox, validity)[uid] = digest, size
        self._file.write(msgspec.json.encode(_Note(mailbox, validity, uid, digest.hex(), size)) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self, account: str) -> None:
        head = msgspec.json.encode({"version": _VERSION, "account": account}) + b"\n"
        with os.fdopen(os.dup(self._file.fileno()), "rb") as reading:
            reading.seek(0)
            if reading.readline() == head:
                last = b"\n"
                for last in reading:
                    self._recall(last)
                if not last.endswith(b"\n"):  # the run was killed while it wrote
                    self._file.write(b"\n")
                return
        self._file.truncate(0)  # another account's, which once had the address
        self._file.write(head)

    def _recall(self, line: bytes) -> None:
        try:
            note = msgspec.json.decode(line, type=_Note)
            self.of(note.mailbox, note.validity)[note.uid] = bytes.fromhex(note.digest), note.size
        except (msgspec.MsgspecError, ValueError):
            return  # cut short: its message will be recognised by its content


class RemoteSource:
    """The account of another operator. `close` it. Every method raises RemoteError."""

    kind = "imap"

    def __init__(self, server: Server, notes: Notes, connect: Callable[[Server], ImapLine] = ImapLine) -> None:
        self._server = server
        self._notes = notes
        self._connect = connect
        self._line: ImapLine | None = None
        self._reached = False  # once: a server that was never there is not waited for
        self._open: tuple[bytes, int] | None = None  # the mailbox that is open on the line, and its UIDVALIDITY
        self.total = 0

    def folders(self) -> list[Folder]:
        """The mailboxes of the account; their messages are counted into `total`."""
        found = self._asked(lambda line: line.listing())
        self.total = 0
        for each in found:
            self.total += self._asked(lambda line, wire=each.wire: _count(line, wire))  # type: ignore[misc]
        shown = self._asked(_subscribed)
        return [
            Folder(each.name, each.role, each.wire.decode("latin-1"), subscribed=not shown or each.wire in shown)
            for each in found
        ]

    def messages(self, folder: Folder) -> Iterator[Offered | Remembered | SetAside]:
        """In order of UID."""
        wire = folder.key.encode("latin-1")
        self._open = None
        try:
            validity, count = self._asked(lambda line: line.examine(wire))
        except RefusedError as error:  # listed, and not to be opened
            yield SetAside.of(folder.name, folder.name, error)
            return
        self._open = wire, validity
        known = self._notes.of(folder.key, validity)
        uids = self._asked(lambda line: line.uids()) if count else []
        for start in range(0, len(uids), _DESCRIBED_TOGETHER):
            page = uids[start : start + _DESCRIBED_TOGETHER]
            yield from (Remembered(*known[uid], weight=1) for uid in page if uid in known)
            yield from self._fresh(folder, [uid for uid in page if uid not in known])

    def filed(self, folder: Folder, offered: Offered, digest: bytes, size: int) -> None:
        """Note it."""
        validity, uid = offered.key
        self._notes.add(folder.key, validity, uid, digest, size)

    def close(self) -> None:
        """Say goodbye."""
        if self._line is not None:
            self._line.close()
        self._notes.close()

    def _fresh(self, folder: Folder, uids: list[int]) -> Iterator[Offered | SetAside]:
        """Messages not filed yet: described, then fetched in groups; large ones as they are read."""
        if not uids:
            return
        told: dict[int, Described] = {}
        for each in self._asked(lambda line: line.describe(uids)):
            if each.size or each.uid not in told:  # a change told meanwhile has flags alone
                told[each.uid] = each
        for group in _groups([told.get(uid, Described(uid)) for uid in uids]):
            if len(group) == 1 and not 0 < group[0].size <= _LARGE:
                yield self._offered(folder, group[0], self._pieces(group[0].uid))
                continue
            bodies = self._bodies([each.uid for each in group])
            for each in group:
                body = bodies.pop(each.uid, None)
                if body is None:
                    yield SetAside.of(folder.name, f"UID {each.uid}", WithheldError())
                else:
                    yield self._offered(folder, each, iter([body]))

    def _offered(self, folder: Folder, told: Described, content: Iterator[bytes]) -> Offered:
        assert self._open is not None  # noqa: S101 - messages come from an open mailbox
        stated = Marks(told.flags, told.keywords, told.received_at)
        return Offered(f"UID {told.uid}", content, lambda _: stated, 1, key=(self._open[1], told.uid))

    def _bodies(self, uids: list[int]) -> dict[int, bytes]:
        """Contents by UID; those that the server does not give, even asked alone, are missing."""
        try:
            found = self._asked(lambda line: line.bodies(uids), tries=1 if len(uids) > 1 else _TRIES)
        except (RefusedError, LineLostError):
            self._asked(lambda _: None)  # is it these messages, or is the server gone?
            found = []
        bodies = {each.uid: each.body for each in found if each.body is not None}
        if len(uids) > 1:
            for uid in uids:
                if uid not in bodies:
                    bodies.update(self._bodies([uid]))
        return bodies

    def _pieces(self, uid: int) -> Iterator[bytes]:
        """A large message, a piece at a time. Raises WithheldError."""
        start = 0
        while True:
            try:
                piece = self._asked(lambda line, at=start: line.body(uid, at, _LARGE))  # type: ignore[misc]
            except (RefusedError, LineLostError) as error:
                self._asked(lambda _: None)
                raise WithheldError from error
            if piece is None:
                raise WithheldError
            if piece:
                yield piece
            start += len(piece)
            if len(piece) < _LARGE:
                return

    def _asked(self, ask: Callable[[ImapLine], Result], tries: int = _TRIES) -> Result:
        """Ask, on a new line where the one before broke, up to some times."""
        for attempt in range(1, tries + 1):
            try:
                if self._line is None:
                    self._line = self._connect(self._server)
                    self._reached = True
                    self._reopen(self._line)
                return ask(self._line)
            except LineLostError:
                self._drop()
                if attempt == tries or not self._reached:
                    raise
                time.sleep(_PAUSE_S * attempt)
        raise AssertionError  # the last try answered, or raised

    def _reopen(self, line: ImapLine) -> None:
        if self._open is None:
            return
        wire, validity = self._open
        if line.examine(wire)[0] != validity:
            raise SourceError(
                "The other operator's server renumbered a mailbox meanwhile. Run the command again.",
                "Le serveur de l'autre opérateur a renuméroté un dossier entre-temps. Relancez la commande.",
            )

    def _drop(self) -> None:
        if self._line is not None:
            self._line.cut()
            self._line = None


def _groups(told: Sequence[Described]) -> Iterator[list[Described]]:
    """Messages to be fetched by one command: many small ones, or one that is large or of unknown size."""
    group: list[Described] = []
    octets = 0
    for each in told:
        alone = not 0 < each.size <= _LARGE
        if group and (alone or len(group) >= _FETCHED_TOGETHER or octets + each.size > _OCTETS_TOGETHER):
            yield group
            group, octets = [], 0
        group.append(each)
        octets += each.size
        if alone:
            yield group
            group, octets = [], 0
    if group:
        yield group


def _subscribed(line: ImapLine) -> frozenset[bytes]:
    """None at all where the server does not say: then, as where nobody ever subscribed to anything, all are shown."""
    try:
        return line.subscribed()
    except RefusedError:
        return frozenset()


def _count(line: ImapLine, wire: bytes) -> int:
    try:
        return line.count(wire)
    except RefusedError:
        return 0
