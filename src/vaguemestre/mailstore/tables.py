"""The rows of the mailstore. Private to it.

Counters (`uid_next`, `modseq`, counts, used octets) are kept with the rows they describe and move in the transaction
that makes them true, so that listing and quota never count rows.
"""

import sqlalchemy as sa

from vaguemestre.storage.database import Identifier, metadata


def _id(name: str = "id") -> "sa.Column[int]":
    return sa.Column(name, Identifier, primary_key=True, autoincrement=False)


accounts = sa.Table(
    "accounts",
    metadata,
    _id(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("quota", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

# Every address of an account, its own included; lower case.
addresses = sa.Table(
    "addresses",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id"), nullable=False),
)

mailboxes = sa.Table(
    "mailboxes",
    metadata,
    _id(),
    sa.Column("account_id", sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=True),
    sa.Column("uid_validity", sa.BigInteger, nullable=False),
    sa.Column("uid_next", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("unseen", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("account_id", "name"),
    sa.UniqueConstraint("account_id", "role"),
)

messages = sa.Table(
    "messages",
    metadata,
    _id(),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("blob_id", sa.BigInteger, nullable=False),
    sa.Column("thread_id", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("summary", sa.LargeBinary, nullable=False),  # JSON of documents.headers.Summary
    sa.Index("ix_messages_blob_id", "blob_id"),
)

# A message's place in a mailbox; the same message may stand in several. Without a row id it lies in order of UID.
placements = sa.Table(
    "placements",
    metadata,
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("message_id", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
    sa.Column("flags", sa.Integer, nullable=False),
    sa.Column("keywords", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

# Which thread a Message-ID seen in an account belongs to; the key is a hash of account and Message-ID.
thread_references = sa.Table(
    "thread_references",
    metadata,
    _id("reference"),
    sa.Column("thread_id", sa.BigInteger, nullable=False),
)
