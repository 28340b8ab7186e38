"""The rows of enrolment. Private to it. Times in Unix milliseconds."""

import sqlalchemy as sa

from vaguemestre.storage.database import Identifier, metadata

# Who became the holder of which account, as whom the register knew them, under which terms. Never changed.
enrolments = sa.Table(
    "enrolments",
    metadata,
    sa.Column("account_id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("person_id", sa.BigInteger, nullable=False),
    sa.Column("profession", sa.Text, nullable=False),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("red_list", sa.Boolean, nullable=False),
    sa.Column("enrolled_at", sa.BigInteger, nullable=False),
    sa.Index("ix_enrolments_person_id", "person_id"),
)

# `digest` of the secret in the invitation's link.
invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("rights", sa.Integer, nullable=False),
    sa.Column("invited_by", sa.BigInteger, nullable=False),
    sa.Column("invited_at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("person_id", sa.BigInteger, nullable=True),  # who took it up
    sa.UniqueConstraint("digest"),
    sa.Index("ix_invitations_account_id", "account_id"),
)

# Mailboxes of structures and of software that a representative asks for; `decision` empty while nobody decided.
requests = sa.Table(
    "mailbox_requests",
    metadata,
    sa.Column("id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("person_id", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("structure", sa.Text, nullable=False),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_at", sa.BigInteger, nullable=True),
    sa.Index("ix_mailbox_requests_decision", "decision"),
)

# Accounts that were closed: their mail may be exported until then, and is erased afterwards.
closures = sa.Table(
    "closures",
    metadata,
    sa.Column("account_id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("closed_at", sa.BigInteger, nullable=False),
    sa.Column("kept_until", sa.BigInteger, nullable=False),
)
