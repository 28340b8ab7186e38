"""Exportation: an account's mail out to files that others read, every octet, and read back to be sure.

What it keeps true: an export is journalled before its first message leaves, whatever becomes of it; a message that does not
open is named, and those after it go on. At the end the export is read as an importation would read it, and compared folder
by folder with what left the store. It stands in clear where it was asked to be: who asked must keep it safe.
"""

from collections.abc import Callable, Iterator
from contextlib import closing

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, changes, mailboxes
from vaguemestre.mailstore.changes import Loaded
from vaguemestre.mailstore.model import Account, Flag, Mailbox
from vaguemestre.mailstore.transfer.model import (
    Content,
    ExportedFolder,
    FolderReport,
    Kept,
    Offered,
    Report,
    SetAside,
    Sink,
    Source,
    UnreadableError,
    Unwatched,
    Watch,
)
from vaguemestre.storage.blobs import BlobReader, BlobStore
from vaguemestre.storage.database import Database

_PAGE = 50


def run(
    database: Database,
    store: BlobStore,
    address: str,
    sink: Sink,
    reading: Callable[[], Source],
    watch: Watch | None = None,
) -> Report:
    """Write the mail of the account that bears `address` to a sink; `reading` gives the source that reads it back.

    Raises UnknownAccountError, TargetError, OSError.
    """
    account, found = database.read(_account, address)
    report, watch = Report(sink.kind), watch or Unwatched()
    database.write(journal.append, [_entry(account, {"to": sink.kind, "mailboxes": len(found)})])
    exported = []
    try:
        watch.begin("export", sum(mailbox.octets for mailbox in found))
        for mailbox in found:
            path = sink.begin(mailbox.name, mailbox.role)
            done = _write(database, store, sink, mailbox, report, watch)
            report.folders.append(done)
            left = done.offered
            exported.append(ExportedFolder(mailbox.name, path, mailbox.role, left.count, left.octets, left.digest))
        sink.finish(exported)
    finally:
        sink.abandon()
    watch.begin("check", sum(folder.offered.octets for folder in report.folders))
    with closing(reading()) as source:
        _check(source, report, watch)
    facts = {
        "to": sink.kind,
        "messages": sum(folder.created for folder in report.folders),
        "octets": sum(folder.offered.octets for folder in report.folders),
        "refused": report.refused,
        "whole": all(folder.whole for folder in report.folders),
    }
    database.write(journal.append, [_entry(account, facts)])
    return report


def _account(connection: sa.Connection, address: str) -> tuple[Account, list[Mailbox]]:
    account = accounts.get(connection, address)
    return account, mailboxes.listing(connection, account.id)


def _write(
    database: Database, store: BlobStore, sink: Sink, mailbox: Mailbox, report: Report, watch: Watch
) -> FolderReport:
    done = FolderReport(mailbox.name)
    loaded: Loaded = database.read(changes.load, mailbox.id)
    for place, opened in _opened(database, store, loaded):
        kept = Kept(
            loaded.uids[place],
            mailbox.uid_validity,
            Flag(loaded.flags[place]),
            tuple(loaded.keywords[place].split()),
            loaded.sizes[place],
            loaded.received_at[place],
        )
        try:
            if isinstance(opened, StorageFailure):
                raise opened
            content = Content(opened.chunks())
            sink.put(kept, content)
            for _ in content:  # what the sink had already is measured all the same
                pass
        except StorageFailure as error:
            done.refused += 1
            report.put_aside(SetAside.of(mailbox.name, str(kept.uid), error))
            continue
        done.created += 1
        done.offered.add(content.digest, content.size)
        watch.advance(content.size)
    return done


def _opened(database: Database, store: BlobStore, loaded: Loaded) -> Iterator[tuple[int, BlobReader | StorageFailure]]:
    """Each message's content, open, or why it does not open."""
    for start in range(0, len(loaded.uids), _PAGE):
        page = loaded.blob_ids[start : start + _PAGE]
        yield from enumerate(database.read(store.open_each, page), start)


def _check(source: Source, report: Report, watch: Watch) -> None:
    by_name = {folder.name: folder for folder in report.folders}
    for folder in source.folders():
        done = by_name.get(folder.name)
        if done is None:
            continue
        for each in source.messages(folder):
            if isinstance(each, Offered):
                content = Content(each.content)
                try:
                    for _ in content:
                        pass
                except (UnreadableError, OSError):  # counted by its absence
                    continue
                done.found.add(content.digest, content.size)
                watch.advance(content.size)


def _entry(account: Account, facts: dict[str, object]) -> Entry:
    return Entry(Event.EXPORT, ids.to_text(account.id), facts)
