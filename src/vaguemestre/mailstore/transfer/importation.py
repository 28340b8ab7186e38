"""Importation: a whole source into an account, checked at the end; run again, it goes on.

What it keeps true: see `filing`. A folder goes to the mailbox with its special use, declared or known by its name, else
to the one of its name, made where it is missing, empty folders too, and then subscribed to as it was there; those that
lead to one mailbox are counted together. At the end of each, what was taken from the source is opened again in the store
and measured: same count, octets, digests.
"""

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, mailboxes
from vaguemestre.mailstore.model import (
    Account,
    AccountClosedError,
    AccountState,
    Mailbox,
    MailboxExistsError,
    MailboxNameError,
    TooManyMailboxesError,
    UnknownMailboxError,
)
from vaguemestre.mailstore.transfer import folders
from vaguemestre.mailstore.transfer.filing import Filing
from vaguemestre.mailstore.transfer.model import (
    Folder,
    FolderReport,
    Remembered,
    Report,
    SetAside,
    Source,
    Unwatched,
    Watch,
)
from vaguemestre.mailstore.transfer.tally import Tally
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database


def run(database: Database, store: BlobStore, address: str, source: Source, watch: Watch | None = None) -> Report:
    """File a source's messages into the account that bears `address`.

    Raises UnknownAccountError, AccountClosedError, SourceError, StorageFailure; what was filed before stays.
    """
    account = database.read(accounts.get, address)
    if account.state is AccountState.CLOSED:
        raise AccountClosedError
    report, watch = Report(source.kind), watch or Unwatched()
    filing = Filing(database, store, account.id, source, report)
    targets: dict[int, tuple[Mailbox, list[Folder]]] = {}
    for folder in source.folders():
        try:
            mailbox = database.write(_target, account, folder)
        except TooManyMailboxesError as error:
            report.put_aside(SetAside.of(folder.name, folder.name, error))
        else:
            targets.setdefault(mailbox.id, (mailbox, []))[1].append(folder)
    watch.begin("import", source.total)
    for mailbox, found in targets.values():
        report.folders.append(_file(database, store, filing, source, mailbox, found, report, watch))
    database.write(journal.append, [_entry(account, report)])
    return report


def _file(
    database: Database,
    store: BlobStore,
    filing: Filing,
    source: Source,
    mailbox: Mailbox,
    found: list[Folder],
    report: Report,
    watch: Watch,
) -> FolderReport:
    done = FolderReport(mailbox.name, [folder.name for folder in found])
    tally = Tally(database, store, mailbox.id)
    for folder in found:
        for each in source.messages(folder):
            if isinstance(each, SetAside):
                done.refused += 1
                report.put_aside(each)
            elif isinstance(each, Remembered):
                _remember(done, tally, each)
                watch.advance(each.weight)
            else:
                octets = filing.offer(folder, mailbox, done, tally, each)
                watch.advance(each.weight or octets)
    filing.flush()
    done.found = tally.check()
    return done


def _remember(done: FolderReport, tally: Tally, known: Remembered) -> None:
    if tally.still_has(known.digest, known.size):
        done.present += 1
        done.offered.add(known.digest, known.size)
    else:
        done.moved += 1


def _target(connection: sa.Connection, account: Account, folder: Folder) -> Mailbox:
    """The mailbox a folder goes to, made where it is missing. Raises TooManyMailboxesError."""
    role = folder.role or (None if folder.exact else folders.guessed_role(folder.name))
    if role is not None:
        return mailboxes.with_role(connection, account.id, role)
    name = _name(folder)
    try:
        return mailboxes.named(connection, account.id, name)
    except UnknownMailboxError:
        try:
            mailboxes.create(connection, account.id, name)
        except MailboxExistsError:  # made by another process meanwhile
            return mailboxes.named(connection, account.id, name)
        if folder.subscribed:  # later it is for the person to say
            mailboxes.subscribe(connection, account.id, name)
        return mailboxes.named(connection, account.id, name)


def _name(folder: Folder) -> str:
    if folder.exact:
        try:
            return mailboxes.checked(folder.name)
        except MailboxNameError:
            pass
    return folders.writable(folder.name)


def _entry(account: Account, report: Report) -> Entry:
    facts = {
        "from": report.kind,
        "created": sum(folder.created for folder in report.folders),
        "present": sum(folder.present for folder in report.folders),
        "refused": report.refused,
        "whole": all(folder.whole for folder in report.folders),
    }
    return Entry(Event.IMPORT, ids.to_text(account.id), facts)
