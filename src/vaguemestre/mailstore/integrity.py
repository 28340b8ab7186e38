"""Integrity: what is kept is whole. Reads everything, changes nothing.

Looks at: every page of the encrypted file, every content (each chunk's seal), every message's content being there, the
counters against what they count, what rows say of one another, what is searched, the journal's chain. Each finding is a
sentence that names rows by identifier.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.mailstore import concordances
from vaguemestre.mailstore.keywords import joined
from vaguemestre.mailstore.model import Flag
from vaguemestre.mailstore.tables import accounts, mailboxes, messages, placements
from vaguemestre.storage.blobs import BlobStore, blobs

_PAGE = 500


# Each finds what must not be: what would be given twice (a UID, a change's number, a UIDVALIDITY), what is said of
# messages that are not there, and what is repeated otherwise than it stands.
_SEQUENCES = {
    "mailbox {}: its next UID is {}, yet {} was given": """
        SELECT id, uid_next, MAX(uid) FROM mailboxes JOIN placements ON mailbox_id = id
        GROUP BY id, uid_next HAVING MAX(uid) >= uid_next""",
    "mailbox {}: its next UID is {}, yet {} was expunged": """
        SELECT id, uid_next, MAX(uid) FROM mailboxes JOIN expunged ON mailbox_id = id
        GROUP BY id, uid_next HAVING MAX(uid) >= uid_next""",
    "mailbox {}: its last change is {}, yet a message has {}": """
        SELECT id, mailboxes.modseq, MAX(placements.modseq) FROM mailboxes JOIN placements ON mailbox_id = id
        GROUP BY id, mailboxes.modseq HAVING MAX(placements.modseq) > mailboxes.modseq""",
    "mailbox {}: its last change is {}, yet a message was expunged at {}": """
        SELECT id, mailboxes.modseq, MAX(expunged.modseq) FROM mailboxes JOIN expunged ON mailbox_id = id
        GROUP BY id, mailboxes.modseq HAVING MAX(expunged.modseq) > mailboxes.modseq""",
    "account {}: its last change is {}, yet a mailbox has {}": """
        SELECT accounts.id, accounts.modseq, MAX(mailboxes.modseq) FROM accounts JOIN mailboxes ON account_id = accounts.id
        GROUP BY accounts.id, accounts.modseq HAVING MAX(mailboxes.modseq) > accounts.modseq""",
    "account {}: its last UIDVALIDITY is {}, yet a mailbox has {}": """
        SELECT accounts.id, accounts.uid_validity, MAX(mailboxes.uid_validity)
        FROM accounts JOIN mailboxes ON account_id = accounts.id
        GROUP BY accounts.id, accounts.uid_validity HAVING MAX(mailboxes.uid_validity) > accounts.uid_validity""",
    "account {}: {} mailboxes have the UIDVALIDITY {}": """
        SELECT account_id, COUNT(*), uid_validity FROM mailboxes GROUP BY account_id, uid_validity HAVING COUNT(*) > 1""",
    "mailbox {}: message {} changed before it came": """
        SELECT mailbox_id, uid FROM placements WHERE born >= modseq""",
    "mailbox {}: message {} is there, and expunged": """
        SELECT placements.mailbox_id, placements.uid FROM placements
        JOIN expunged ON expunged.mailbox_id = placements.mailbox_id AND expunged.uid = placements.uid""",
    "mailbox {}: message {} was expunged before what is forgotten": """
        SELECT mailbox_id, uid FROM expunged JOIN mailboxes ON id = mailbox_id WHERE expunged.modseq <= forgotten""",
}
_RELATIONS = {
    "{}: kept {} times, yet {} mailboxes show it": """
        SELECT id, places, COUNT(uid) FROM messages LEFT JOIN placements ON message_id = id
        GROUP BY id, places HAVING COUNT(uid) <> places""",
    "{}: message {} of a mailbox repeats it otherwise than it is": """
        SELECT message_id, uid FROM placements JOIN messages ON id = message_id
        WHERE placements.blob_id <> messages.blob_id OR placements.size <> messages.size
        OR placements.received_at <> messages.received_at
        OR COALESCE(NULLIF(placements.thread_id, 0), message_id) <> messages.thread_id""",
    "mailbox {}: gone, yet it has message {}": """
        SELECT mailbox_id, MIN(uid) FROM placements WHERE mailbox_id NOT IN (SELECT id FROM mailboxes) GROUP BY mailbox_id""",
    "mailbox {}: gone, yet it remembers message {}": """
        SELECT mailbox_id, MIN(uid) FROM expunged WHERE mailbox_id NOT IN (SELECT id FROM mailboxes) GROUP BY mailbox_id""",
    "mailbox {}: message {} is read by somebody, and not there": """
        SELECT readings.mailbox_id, readings.uid FROM readings LEFT JOIN placements
        ON placements.mailbox_id = readings.mailbox_id AND placements.uid = readings.uid WHERE placements.uid IS NULL""",
    "mailbox {}: somebody's reading of message {} says what the message says": """
        SELECT readings.mailbox_id, readings.uid FROM readings
        JOIN placements ON placements.mailbox_id = readings.mailbox_id AND placements.uid = readings.uid
        WHERE seen = ((flags & 1) <> 0)""",
    "mailbox {}: somebody's reading is their own, though the account shares it": """
        SELECT DISTINCT mailbox_id FROM readings JOIN mailboxes ON mailboxes.id = mailbox_id
        JOIN accounts ON accounts.id = account_id WHERE NOT own_reading""",
}


def content_count(connection: sa.Connection) -> int:
    """How many contents `check` will open."""
    return connection.execute(sa.select(sa.func.count()).select_from(blobs)).scalar_one()


def check(connection: sa.Connection, store: BlobStore, progress: Callable[[int], Any]) -> dict[str, list[str]]:
    """What is wrong, by kind; all lists empty when nothing is. `progress` hears how many contents were opened since."""
    return {
        "pages": _pages(connection),
        "contents": _contents(connection, store, progress),
        "messages": _messages(connection),
        "counters": [*_counters(connection), *_told(connection, _SEQUENCES)],
        "relations": [*_told(connection, _RELATIONS), *_keywords(connection)],
        "search": concordances.check(connection, store.ring),
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
    flag = placements.c.flags
    counted = (
        sa.select(
            mailboxes.c.id,
            *(mailboxes.c[name] for name in ("total", "unseen", "deleted", "octets")),
            sa.func.count(placements.c.uid),
            *(
                sa.func.coalesce(sa.func.sum(value), 0)
                for value in (
                    sa.case((flag.bitwise_and(Flag.SEEN) == 0, 1), else_=0),
                    sa.case((flag.bitwise_and(Flag.DELETED) != 0, 1), else_=0),
                    placements.c.size,
                )
            ),
        )
        .outerjoin(placements, placements.c.mailbox_id == mailboxes.c.id)
        .group_by(mailboxes.c.id)
    )
    found = [
        f"mailbox {ids.to_text(row[0])}: says {_counts(row[1:5])}; has {_counts(row[5:])}"
        for row in connection.execute(counted)
        if tuple(row[1:5]) != tuple(row[5:])
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
    return found


def _counts(values: Sequence[int]) -> str:
    return "{} messages, {} unseen, {} deleted, {} octets".format(*values)


def _told(connection: sa.Connection, texts: dict[str, str]) -> list[str]:
    """A sentence for each row that a statement finds; its first column is an identifier, and is shown as one."""
    return [
        text.format(ids.to_text(row[0]), *row[1:])
        for text, wanted in texts.items()
        for row in connection.execute(sa.text(wanted))
    ]


def _keywords(connection: sa.Connection) -> list[str]:
    """Keywords that their mailbox does not know, or that are not written as they should be."""
    wanted = (
        sa.select(placements.c.mailbox_id, placements.c.uid, placements.c.keywords, mailboxes.c.keywords)
        .join(mailboxes, placements.c.mailbox_id == mailboxes.c.id)
        .where(placements.c.keywords != "")
    )
    return [
        f"mailbox {ids.to_text(row[0])}: message {row[1]} bears keywords that the mailbox does not know"
        for row in connection.execute(wanted)
        if not set(row[2].split()) <= set(row[3].split()) or row[2] != joined(row[2].split())
    ]


def _journal(connection: sa.Connection) -> list[str]:
    verdict = journal.verify(connection)
    return [] if verdict.broken_at is None else [f"entry {verdict.broken_at}: does not continue the chain"]
