"""Filing: messages of a source come to stand in an account's mailboxes, many in one transaction.

What it keeps true: a message is filed once its content is sealed and durable, with its flags, keywords and dates, and the
journal's entry, in one transaction; killed at any moment, a run leaves whole messages or none, and the next one knows
them by their content. What cannot be filed is named and passed over: too large, empty, unreadable, no room for it.

Rules: line ends become CRLF, unless the source knows them to be the original's. A source that states no date, or an
impossible one, leaves it to the header, else to the present. Keywords that IMAP cannot say, and those beyond what a
mailbox may know, are dropped and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.headers import HEAD_LIMIT, Summary, split_head, summary
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import keywords, messages
from vaguemestre.mailstore.model import (
    Mailbox,
    NewMessage,
    QuotaExceededError,
    TooManyKeywordsError,
)
from vaguemestre.mailstore.tables import accounts
from vaguemestre.mailstore.transfer.files import NotAFileError
from vaguemestre.mailstore.transfer.line_ends import canonical
from vaguemestre.mailstore.transfer.model import (
    LARGEST,
    Folder,
    FolderReport,
    Marks,
    Offered,
    Report,
    SetAside,
    Source,
    UnreadableError,
)
from vaguemestre.mailstore.transfer.tally import Identity, Tally
from vaguemestre.storage.blobs import BlobStore, Sealed
from vaguemestre.storage.database import Database

_MOST_TOGETHER = 200  # messages: a commit costs as much for one; more would keep the operator's own writes waiting
_OCTETS_TOGETHER = 8 * 1024 * 1024
_LATEST_MS = 4_102_444_800_000  # the year 2100: a later date is a mistake


class EmptyError(VaguemestreError):
    """No octet of content."""

    def __init__(self) -> None:
        super().__init__("This message is empty.", "Ce message est vide.")


class TooLargeError(VaguemestreError):
    """More than one message may have."""

    def __init__(self) -> None:
        super().__init__(
            f"This message is larger than {LARGEST >> 20} MiB, which mail programs do not take.",
            f"Ce message dépasse {LARGEST >> 20} Mio, que les logiciels de messagerie ne prennent pas.",
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message sealed and not yet filed."""

    folder: Folder
    offered: Offered
    report: FolderReport
    tally: Tally
    identity: Identity
    sealed: Sealed
    new: NewMessage


class Filing:
    """Files messages into an account; `flush` after the last."""

    def __init__(self, database: Database, store: BlobStore, account_id: int, source: Source, report: Report) -> None:
        self._database = database
        self._blobs = store
        self._account_id = account_id
        self._source = source
        self._report = report
        self._waiting: list[_Ready] = []
        self._octets = 0
        self._room = database.read(_room, account_id)

    def offer(self, folder: Folder, mailbox: Mailbox, report: FolderReport, tally: Tally, offered: Offered) -> int:
        """Take a message in, or find that it is there; returns its octets. Raises StorageFailure."""
        writer, head, identity = self._blobs.writer(), bytearray(), Identity()
        try:
            for chunk in offered.content if offered.exact else canonical(offered.content):
                if len(head) < HEAD_LIMIT:
                    head += chunk
                identity.add(chunk)
                if identity.size > LARGEST:
                    raise TooLargeError
                writer.write(chunk)
                if writer.spooled and identity.size > self._room:
                    raise QuotaExceededError
            if not identity.size:
                raise EmptyError
            header = bytes(head[: split_head(bytes(head[:HEAD_LIMIT]))])
            marks = offered.marks(header)
            known = tally.has(identity)
            if not known and identity.size > self._room:
                raise QuotaExceededError
        except OSError as error:
            writer.abandon()
            self._refuse(folder, offered, report, NotAFileError(error.strerror or ""))
            return identity.size
        except VaguemestreError as error:
            writer.abandon()
            if not _of_the_message(error):
                raise
            self._refuse(folder, offered, report, error)
            return identity.size
        except BaseException:
            writer.abandon()
            raise
        if known:
            writer.abandon()
            report.present += 1
            report.offered.add(identity.digest, identity.size)
            self._source.filed(folder, offered, identity.digest, identity.size)
            return identity.size
        sealed = writer.finish()
        new = self._new(mailbox, sealed, summary(header), marks, report)
        self._waiting.append(_Ready(folder, offered, report, tally, identity, sealed, new))
        self._octets += sealed.size
        self._room -= sealed.size
        if len(self._waiting) >= _MOST_TOGETHER or self._octets >= _OCTETS_TOGETHER:
            self.flush()
        return identity.size

    def flush(self) -> None:
        """File what waits, durably. Raises StorageFailure, AccountClosedError."""
        waiting, self._waiting, self._octets = self._waiting, [], 0
        if not waiting:
            return
        try:
            self._database.write(self._file, waiting)
        except (QuotaExceededError, TooManyKeywordsError):  # one of them, or all: find out which
            for each in waiting:
                self._file_alone(each)
        else:
            for each in waiting:
                self._done(each)
        self._room = self._database.read(_room, self._account_id)

    def _file_alone(self, ready: _Ready) -> None:
        try:
            try:
                self._database.write(self._file, [ready])
            except TooManyKeywordsError:
                ready.report.dropped_keywords += len(ready.new.keywords)
                self._database.write(self._file, [_without_keywords(ready)])
        except QuotaExceededError as error:
            if ready.sealed.content is None and ready.sealed.pack is None:
                self._blobs.discard([ids.to_text(ready.sealed.id)])
            self._refuse(ready.folder, ready.offered, ready.report, error)
        else:
            self._done(ready)

    def _file(self, connection: sa.Connection, ready: Sequence[_Ready]) -> None:
        """One transaction: content, messages, entry."""
        self._blobs.insert(connection, [each.sealed for each in ready])
        messages.append(connection, [each.new for each in ready], within_quota=True)
        by_mailbox: dict[int, list[int]] = {}
        for each in ready:
            by_mailbox.setdefault(each.new.mailbox_id, []).append(each.sealed.size)
        subject = ids.to_text(self._account_id)
        entries = [
            Entry(
                Event.IMPORT,
                subject,
                {
                    "from": self._source.kind,
                    "mailbox": ids.to_text(mailbox_id),
                    "messages": len(sizes),
                    "octets": sum(sizes),
                },
            )
            for mailbox_id, sizes in by_mailbox.items()
        ]
        journal.append(connection, entries)

    def _done(self, ready: _Ready) -> None:
        ready.tally.filed(ready.identity)
        ready.report.created += 1
        ready.report.offered.add(ready.identity.digest, ready.identity.size)
        self._source.filed(ready.folder, ready.offered, ready.identity.digest, ready.identity.size)

    def _refuse(self, folder: Folder, offered: Offered, report: FolderReport, error: VaguemestreError) -> None:
        report.refused += 1
        self._report.put_aside(SetAside.of(folder.name, offered.place, error))

    def _new(self, mailbox: Mailbox, sealed: Sealed, noted: Summary, marks: Marks, report: FolderReport) -> NewMessage:
        now = clock.now_ms()
        received_at = marks.received_at
        if received_at is None or not 0 <= received_at <= _LATEST_MS:
            received_at = clock.to_ms(noted.date) if noted.date else now
        if not 0 <= received_at <= _LATEST_MS:
            received_at = now
        speakable = frozenset(each for each in marks.keywords if keywords.valid(each))
        report.dropped_keywords += len(marks.keywords) - len(speakable)
        return NewMessage(
            self._account_id, mailbox.id, sealed.id, sealed.size, received_at, noted, marks.flags, speakable, now
        )


def _of_the_message(error: VaguemestreError) -> bool:
    """Whether an error is about one message of the source, not about our store or the whole source."""
    return isinstance(error, UnreadableError | EmptyError | TooLargeError | QuotaExceededError)


def _without_keywords(ready: _Ready) -> _Ready:
    return replace(ready, new=msgspec.structs.replace(ready.new, keywords=frozenset()))


def _room(connection: sa.Connection, account_id: int) -> int:
    """Octets that the quota leaves."""
    return int(
        connection.execute(
            sa.select(accounts.c.quota - accounts.c.used).where(accounts.c.id == account_id)
        ).scalar_one()
    )
