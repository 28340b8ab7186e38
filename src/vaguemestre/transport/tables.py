"""The rows of transport. Private to it."""

import sqlalchemy as sa

from vaguemestre.storage.blobs import HOLDS
from vaguemestre.storage.database import Identifier, metadata

# One row a recipient: each has its own fate. Times in Unix milliseconds.
queue = sa.Table(
    "queue",
    metadata,
    sa.Column("id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("blob_id", sa.BigInteger, nullable=False, info=HOLDS),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("reverse_path", sa.Text, nullable=False),
    sa.Column("forward_path", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("notify", sa.Text, nullable=False),
    sa.Column("original_recipient", sa.Text, nullable=False),
    sa.Column("returned", sa.Text, nullable=False),
    sa.Column("envelope_id", sa.Text, nullable=False),
    sa.Column("utf8", sa.Boolean, nullable=False),
    sa.Column("eight_bit", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("delay_told", sa.Boolean, nullable=False),
    sa.Column("last_reply", sa.Text, nullable=False),
    sa.Column("held", sa.Boolean, nullable=False),
    sa.Index("ix_queue_due_at", "due_at"),
    sa.Index("ix_queue_blob_id", "blob_id"),
)

# What was received, so that what a peer sends again is recognised; kept as long as a peer may go on trying.
receptions = sa.Table(
    "receptions",
    metadata,
    sa.Column("fingerprint", sa.LargeBinary, primary_key=True),
    sa.Column("blob_id", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Index("ix_receptions_received_at", "received_at"),
    sqlite_with_rowid=False,
)
