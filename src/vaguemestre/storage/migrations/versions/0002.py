"""The mailstore of mail programs: changes, marks, subscriptions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TOTALS = """
UPDATE mailboxes SET
    octets = (SELECT COALESCE(SUM(size), 0) FROM placements WHERE mailbox_id = mailboxes.id),
    deleted = (SELECT COUNT(*) FROM placements WHERE mailbox_id = mailboxes.id AND (flags & 8) <> 0)
"""
# No mail program has seen any yet: they may still be told apart.
_DISTINCT = """
UPDATE mailboxes SET uid_validity = uid_validity + (
    SELECT COUNT(*) FROM mailboxes AS earlier
    WHERE earlier.account_id = mailboxes.account_id AND earlier.id < mailboxes.id)
"""
_VALIDITY = """
UPDATE accounts SET uid_validity =
    (SELECT COALESCE(MAX(uid_validity), 0) FROM mailboxes WHERE account_id = accounts.id)
"""
_PLACES = """
UPDATE messages SET places = (SELECT COUNT(*) FROM placements WHERE message_id = messages.id)
WHERE id IN (SELECT message_id FROM placements GROUP BY message_id HAVING COUNT(*) > 1)
"""
_PLACEMENTS = """
INSERT INTO placements (mailbox_id, uid, message_id, modseq, flags, keywords,
    saved_at, blob_id, thread_id, size, received_at)
SELECT mailbox_id, uid, message_id, modseq, flags, keywords,
    0, blob_id, thread_id, size, received_at
FROM placements_0001 JOIN messages ON messages.id = placements_0001.message_id ORDER BY mailbox_id, uid
"""


def upgrade() -> None:
    """Add columns, and make placements anew: each row takes what a list shows of its message."""
    op.add_column("accounts", sa.Column("own_reading", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("uid_validity", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    for name in ("deleted", "octets", "forgotten"):
        op.add_column("mailboxes", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("mailboxes", sa.Column("subscribed", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("mailboxes", sa.Column("keywords", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("messages", sa.Column("places", sa.BigInteger(), nullable=False, server_default=sa.text("1")))
    _placements()
    op.create_table(
        "absent_subscriptions",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "name", name=op.f("pk_absent_subscriptions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "expunged",
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("modseq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox_id", "modseq", "uid", name=op.f("pk_expunged")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "readings",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seen", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "mailbox_id", "uid", name=op.f("pk_readings")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_readings_mailbox_id_uid", "readings", ["mailbox_id", "uid"])
    op.create_index("ix_queue_blob_id", "queue", ["blob_id"])
    for statement in (_TOTALS, _DISTINCT, _VALIDITY, _PLACES):
        op.execute(statement)


def _placements() -> None:
    op.rename_table("placements", "placements_0001")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE placements_0001 RENAME CONSTRAINT pk_placements TO pk_placements_0001")
    op.create_table(
        "placements",
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("modseq", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("keywords", sa.Text(), nullable=False),
        sa.Column("born", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("thread_id", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox_id", "uid", name=op.f("pk_placements")),
        sqlite_with_rowid=False,
    )
    op.execute(_PLACEMENTS)
    op.drop_table("placements_0001")
    op.create_index(
        "ix_placements_changed",
        "placements",
        ["mailbox_id", "modseq"],
        sqlite_where=sa.text("born > 0"),
        postgresql_where=sa.text("born > 0"),
    )
