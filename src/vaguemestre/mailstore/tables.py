"""The rows of the mailstore. Private to it.

Counters (`uid_next`, `modseq`, counts, used octets) are kept with the rows they describe and move in the transaction
that makes them true, so that listing and quota never count rows.
"""

import sqlalchemy as sa

from vaguemestre.storage.blobs import HOLDS
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
    # Whether each person who reads here has read or not by themselves; the others' reading is not seen then.
    sa.Column("own_reading", sa.Boolean, nullable=False, server_default=sa.false()),
    # The greatest UIDVALIDITY given to a mailbox of the account: none is ever given twice.
    sa.Column("uid_validity", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    # Whether what is submitted is filed in Sent; most programs file their own copy.
    sa.Column("keeps_sent", sa.Boolean, nullable=False, server_default=sa.false()),
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
    sa.Column("deleted", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("octets", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    # The modseq up to which it is no longer known which UIDs were expunged.
    sa.Column("forgotten", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("subscribed", sa.Boolean, nullable=False, server_default=sa.true()),
    # Keywords its messages bear or bore, as first spelled, one space apart.
    sa.Column("keywords", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.UniqueConstraint("account_id", "name"),
    sa.UniqueConstraint("account_id", "role"),
)

messages = sa.Table(
    "messages",
    metadata,
    _id(),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("blob_id", sa.BigInteger, nullable=False, info=HOLDS),
    sa.Column("thread_id", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("summary", sa.LargeBinary, nullable=False),  # JSON of documents.headers.Summary
    # How many placements show it; with the last one it goes.
    sa.Column("places", sa.BigInteger, nullable=False, server_default=sa.text("1")),
    sa.Index("ix_messages_blob_id", "blob_id"),
)

# A message's place in a mailbox; the same message may stand in several. Without a row id it lies in order of UID.
# The last columns repeat what never changes of the message, so that a hundred thousand rows are read without visiting as
# many messages. 0 says what is usual, and takes no room: delivery writes this row.
placements = sa.Table(
    "placements",
    metadata,
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("message_id", sa.BigInteger, nullable=False),
    sa.Column("modseq", sa.BigInteger, nullable=False),
    sa.Column("flags", sa.Integer, nullable=False),
    sa.Column("keywords", sa.Text, nullable=False),
    # The modseq with which it came, once another change has raised it; only such rows are in the index.
    sa.Column("born", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    # When it came into this mailbox, where that is not when the message was received.
    sa.Column("saved_at", sa.BigInteger, nullable=False),
    sa.Column("blob_id", sa.BigInteger, nullable=False),
    # The message's thread, where another message began it.
    sa.Column("thread_id", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Index(
        "ix_placements_changed",
        "mailbox_id",
        "modseq",
        sqlite_where=sa.text("born > 0"),
        postgresql_where=sa.text("born > 0"),
    ),
    sqlite_with_rowid=False,
)

# UIDs that are no more, so that a program which was away hears of them (RFC 7162); forgotten after some weeks.
expunged = sa.Table(
    "expunged",
    metadata,
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("modseq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Names that are subscribed to while no mailbox has them (RFC 9051 §6.3.7).
absent_subscriptions = sa.Table(
    "absent_subscriptions",
    metadata,
    sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)

# Where each person's reading is their own: what differs, for a person, from the flag of the placement. Only what differs.
readings = sa.Table(
    "readings",
    metadata,
    sa.Column("person_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seen", sa.Boolean, nullable=False),
    sa.Index("ix_readings_mailbox_id_uid", "mailbox_id", "uid"),
    sqlite_with_rowid=False,
)

# Which thread a Message-ID seen in an account belongs to; the key is a hash of account and Message-ID.
thread_references = sa.Table(
    "thread_references",
    metadata,
    _id("reference"),
    sa.Column("thread_id", sa.BigInteger, nullable=False),
)

# The structure of a content, once somebody asked for it, sealed under the content's key; it goes with the content.
structures = sa.Table(
    "structures",
    metadata,
    sa.Column(
        "blob_id", Identifier, sa.ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("structure", sa.LargeBinary, nullable=False),
)

# Messages whose words are not in a concordance yet; by account, so that a search reads only its own.
to_index = sa.Table(
    "to_index",
    metadata,
    sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("blob_id", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Messages that are no more, whose words may still be in a concordance.
forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("forgotten_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Which words stand in which messages of an account; their octets are in sheets.
concordances = sa.Table(
    "concordances",
    metadata,
    _id(),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("entries", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("key_number", sa.Integer, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Index("ix_concordances_account_id", "account_id"),
    sa.Index(
        "ix_concordances_state",
        "state",
        sqlite_where=sa.text("state <> 'ready'"),
        postgresql_where=sa.text("state <> 'ready'"),
    ),
)

# What the directory is to say of an account, where anything but its address and its holder.
listings = sa.Table(
    "listings",
    metadata,
    _id("account_id"),
    *(
        sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''"))
        for name in ("structure", "service", "description", "responsible")
    ),
    sa.Column("red_list", sa.Boolean, nullable=False, server_default=sa.false()),
)

# Accounts of which the directory is to be told something; `change` says which change of theirs it is.
to_publish = sa.Table(
    "to_publish",
    metadata,
    _id("account_id"),
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("rule", sa.Text, nullable=False, server_default=sa.text("''")),  # why it was refused, if it was
    sa.Index("ix_to_publish_due_at", "due_at"),
)

# What the directory said yes to: by address, JSON of mailstore.publications.Told.
published = sa.Table(
    "published",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("facts", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("ix_published_account_id", "account_id"),
)

# How each telling went; forgotten after some months.
publication_results = sa.Table(
    "publication_results",
    metadata,
    _id(),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("en", sa.Text, nullable=False),
    sa.Column("fr", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("ix_publication_results_batch", "batch"),
)
