"""Integrity: what is kept is whole. Reads everything, changes nothing.

Looks at: every page of the encrypted file, every content (each chunk's seal), every message's content being there, the
counters against what they count, the journal's chain. Each finding is a sentence that names rows by identifier.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.mailstore.tables import accounts, mailboxes, messages, placements
from vaguemestre.storage.blobs import BlobStore, blobs

_PAGE = 500


def content_count(connection: sa.Connection) -> int:
    """How many contents `check` will open."""
    return connection.execute(sa.select(sa.func.count()).select_from(blobs)).scalar_one()


def check(connection: sa.Connection, store: BlobStore, progress: Callable[[int], Any]) -> dict[str, list[str]]:
    """What is wrong, by kind; all lists empty when nothing is. `progress` hears how many contents were opened since."""
    return {
        "pages": _pages(connection),
        "contents": _contents(connection, store, progress),
        "messages": _messages(connection),
        "counters": _counters(connection),
        "journal": _journal(connection),
    }


def _pages(connection: sa.Connection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []
    broken = connection.exec_driver_sql("PRAGMA cipher_integrity_check").scalars().all()
    return [str(finding) for finding in broken]


def _contents(connection: sa.Connection, store: BlobStore, progress: Callable[[int], Any]) -> list[str]:
    found, after = [], 0
    while True:
        wanted = sa.select(blobs.c.id).where(blobs.c.id > after).order_by(blobs.c.id).limit(_PAGE)
        page = connection.execute(wanted).scalars().all()
        for blob_id in page:
            try:
                for _ in store.open(connection, blob_id).chunks():
                    pass
            except StorageFailure as error:
                found.append(f"{ids.to_text(blob_id)}: {error.en}")
        progress(len(page))
        if len(page) < _PAGE:
            return found
        after = page[-1]


def _messages(connection: sa.Connection) -> list[str]:
    lost = sa.select(messages.c.id).outerjoin(blobs, messages.c.blob_id == blobs.c.id).where(blobs.c.id.is_(None))
    astray = (
        sa.select(placements.c.message_id)
        .outerjoin(messages, placements.c.message_id == messages.c.id)
        .where(messages.c.id.is_(None))
    )
    found = [f"{ids.to_text(row)}: its content is missing" for row in connection.execute(lost).scalars()]
    return found + [f"{ids.to_text(row)}: listed, but not there" for row in connection.execute(astray).scalars()]


def _counters(connection: sa.Connection) -> list[str]:
    unseen = sa.func.coalesce(sa.func.sum(sa.case((placements.c.flags % 2 == 0, 1), else_=0)), 0)
    counted = (
        sa.select(mailboxes.c.id, mailboxes.c.total, mailboxes.c.unseen, sa.func.count(placements.c.uid), unseen)
        .outerjoin(placements, placements.c.mailbox_id == mailboxes.c.id)
        .group_by(mailboxes.c.id)
    )
    found = [
        f"mailbox {ids.to_text(row[0])}: says {row[1]} messages, {row[2]} unseen; has {row[3]}, {row[4]}"
        for row in connection.execute(counted)
        if (row[1], row[2]) != (row[3], row[4])
    ]
    used = (
        sa.select(
            accounts.c.id,
            accounts.c.messages,
            accounts.c.used,
            sa.func.count(messages.c.id),
            sa.func.coalesce(sa.func.sum(messages.c.size), 0),
        )
        .outerjoin(messages, messages.c.account_id == accounts.c.id)
        .group_by(accounts.c.id)
    )
    found += [
        f"account {ids.to_text(row[0])}: says {row[1]} messages, {row[2]} octets; has {row[3]}, {row[4]}"
        for row in connection.execute(used)
        if (row[1], row[2]) != (row[3], row[4])
    ]
    return found + _sequences(connection)


def _sequences(connection: sa.Connection) -> list[str]:
    """What would be given twice: a UID, or a change's number."""
    given = (
        sa.select(mailboxes.c.id, mailboxes.c.uid_next, sa.func.max(placements.c.uid))
        .join(placements, placements.c.mailbox_id == mailboxes.c.id)
        .group_by(mailboxes.c.id)
        .having(sa.func.max(placements.c.uid) >= mailboxes.c.uid_next)
    )
    changed = (
        sa.select(mailboxes.c.id, mailboxes.c.modseq, sa.func.max(placements.c.modseq))
        .join(placements, placements.c.mailbox_id == mailboxes.c.id)
        .group_by(mailboxes.c.id)
        .having(sa.func.max(placements.c.modseq) > mailboxes.c.modseq)
    )
    owned = (
        sa.select(accounts.c.id, accounts.c.modseq, sa.func.max(mailboxes.c.modseq))
        .join(mailboxes, mailboxes.c.account_id == accounts.c.id)
        .group_by(accounts.c.id)
        .having(sa.func.max(mailboxes.c.modseq) > accounts.c.modseq)
    )
    texts = {
        "mailbox {}: its next UID is {}, yet {} was given": given,
        "mailbox {}: its last change is {}, yet a message has {}": changed,
        "account {}: its last change is {}, yet a mailbox has {}": owned,
    }
    return [
        text.format(ids.to_text(row[0]), row[1], row[2])
        for text, wanted in texts.items()
        for row in connection.execute(wanted)
    ]


def _journal(connection: sa.Connection) -> list[str]:
    verdict = journal.verify(connection)
    return [] if verdict.broken_at is None else [f"entry {verdict.broken_at}: does not continue the chain"]
