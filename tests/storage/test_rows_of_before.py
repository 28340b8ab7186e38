"""A store with rows made by an earlier version is migrated to what this one would have written."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from tests.simulators.mailbox import rows

from vaguemestre.mailstore import accounts, changes, integrity, mailboxes, messages, placements
from vaguemestre.mailstore.changes import Placed
from vaguemestre.mailstore.model import Flag
from vaguemestre.storage import blobs, schema
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

ACCOUNT, INBOX, SENT = 1_000, 2_000, 2_001
BOTH = 3_001  # a message that stands in both mailboxes

_ROWS = [
    "INSERT INTO accounts (id, kind, address, name, state, quota, used, messages, modseq, created_at)"
    f" VALUES ({ACCOUNT}, 'PER', 'marie@a.fr', 'Marie', 'active', 1000000, 60, 3, 9, 1700000000000)",
    f"INSERT INTO addresses (address, account_id) VALUES ('marie@a.fr', {ACCOUNT})",
    "INSERT INTO mailboxes (id, account_id, name, role, uid_validity, uid_next, modseq, total, unseen) VALUES"
    f" ({INBOX}, {ACCOUNT}, 'INBOX', 'inbox', 1700000000, 8, 7, 3, 1),"
    f" ({SENT}, {ACCOUNT}, 'Envoyés', 'sent', 1700000000, 2, 9, 1, 0)",
    "INSERT INTO messages (id, account_id, blob_id, thread_id, size, received_at, summary) VALUES"
    f" (3000, {ACCOUNT}, :blob, 4000, 10, 100, '{{}}'), ({BOTH}, {ACCOUNT}, :blob, 4001, 20, 200, '{{}}'),"
    f" (3002, {ACCOUNT}, :blob, 4000, 30, 300, '{{}}')",
    "INSERT INTO placements (mailbox_id, uid, message_id, modseq, flags, keywords) VALUES"
    f" ({INBOX}, 3, 3000, 2, 0, ''), ({INBOX}, 5, {BOTH}, 5, 1, ''), ({INBOX}, 7, 3002, 7, 9, ''),"
    f" ({SENT}, 1, {BOTH}, 9, 1, '')",
]


def _upgrade(connection: sa.Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


@pytest.fixture
def migrated(new_place: Any, blob_store: BlobStore) -> Database:
    """A store that was at the first version, with rows, and is at the latest."""
    found = new_place.open()
    found.write(_upgrade, "0001")
    sealed = blob_store.seal(b"x" * 20)
    found.write(blobs.insert, [sealed])
    for row in _ROWS:
        statement = sa.text(row).bindparams(**({"blob": sealed.id} if ":blob" in row else {}))
        found.write(lambda connection, statement=statement: connection.execute(statement))
    schema.migrate(found)
    return found


def test_placements_have_what_their_messages_say(migrated: Database) -> None:
    blob = migrated.read(lambda connection: connection.execute(sa.select(blobs.blobs.c.id)).scalar_one())
    assert rows(migrated.read(changes.load, INBOX)) == [
        Placed(3, 3000, blob, 4000, 2, 0, "", 10, 100, 100),
        Placed(5, BOTH, blob, 4001, 5, 1, "", 20, 200, 200),
        Placed(7, 3002, blob, 4000, 7, 9, "", 30, 300, 300),
    ]
    assert [each.uid for each in migrated.read(changes.since, INBOX, 2)[0]] == [5, 7]
    assert [each.thread_id for each in migrated.read(messages.listing, INBOX)] == [4000, 4001, 4000]


def test_mailboxes_have_their_counts_and_uidvalidities_of_their_own(migrated: Database) -> None:
    inbox, sent = migrated.read(mailboxes.listing, ACCOUNT)
    assert (inbox.total, inbox.unseen, inbox.deleted, inbox.octets) == (3, 1, 1, 60)
    assert (sent.total, sent.unseen, sent.deleted, sent.octets) == (1, 0, 0, 20)
    assert (inbox.uid_validity, sent.uid_validity) == (1_700_000_000, 1_700_000_001)
    assert inbox.subscribed
    assert inbox.keywords == ()
    assert migrated.write(mailboxes.create, ACCOUNT, "a").uid_validity > sent.uid_validity
    assert not migrated.read(accounts.get, "marie@a.fr").own_reading


def test_verbs_work_on_what_was_there(migrated: Database, blob_store: BlobStore) -> None:
    def expunge(mailbox_id: int) -> None:
        migrated.write(lambda connection: placements.expunge(connection, mailbox_id, None, only_deleted=False))

    def anomalies() -> list[str]:
        found = migrated.read(integrity.check, blob_store, lambda opened: None)
        return [sentence for sentences in found.values() for sentence in sentences]

    assert anomalies() == []
    assert migrated.write(placements.copy, INBOX, [7], SENT).target == [2]
    expunge(INBOX)
    assert anomalies() == []
    assert migrated.read(accounts.get, "marie@a.fr").messages == 2
    assert [Flag(each.flags) for each in rows(migrated.read(changes.load, SENT))] == [
        Flag.SEEN,
        Flag.SEEN | Flag.DELETED,
    ]
    expunge(SENT)
    assert migrated.read(accounts.get, "marie@a.fr").used == 0
    assert anomalies() == []
