"""The journal's rows. Private to `evidence`."""

import sqlalchemy as sa

from vaguemestre.storage.database import Identifier, metadata

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", Identifier, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("personal", sa.LargeBinary, nullable=True),
    sa.Column("salt", sa.LargeBinary, nullable=True),
    sa.Column("personal_digest", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_journal_subject", "subject"),
)

# One row: locking it orders the writers of several processes, since a chain has one end.
journal_head = sa.Table(
    "journal_head",
    metadata,
    sa.Column("id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
