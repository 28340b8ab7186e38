"""The rows of identity. Private to it.

Accounts stand in the room above and are never deleted: rows here name them by number.
"""

import sqlalchemy as sa

from vaguemestre.storage.database import Identifier, metadata


def _id(name: str = "id") -> "sa.Column[int]":
    return sa.Column(name, Identifier, primary_key=True, autoincrement=False)


persons = sa.Table(
    "persons",
    metadata,
    _id(),
    sa.Column("national_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("national_id"),
)

# Who may enter which account: its holders too.
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("person_id", sa.ForeignKey("persons.id"), primary_key=True, autoincrement=False),
    sa.Column("part", sa.Text, nullable=False),
    sa.Column("rights", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("granted_at", sa.BigInteger, nullable=False),
    sa.Index("ix_grants_person_id", "person_id"),
    sqlite_with_rowid=False,
)

# The digest only: the secret was shown once.
app_passwords = sa.Table(
    "app_passwords",
    metadata,
    _id(),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("person_id", sa.ForeignKey("persons.id"), nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("account_id", "digest"),
    sa.UniqueConstraint("account_id", "person_id", "label"),
)

# `name` is the canonical distinguished name; `sha256` is empty where any certificate of that name will do.
client_certificates = sa.Table(
    "client_certificates",
    metadata,
    _id(),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("added_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("account_id", "name", "sha256"),
)

# Sessions of an account with a lower number than this are to end; numbers grow with time (`ids`).
sign_outs = sa.Table(
    "sign_outs",
    metadata,
    _id("account_id"),
    sa.Column("before", sa.BigInteger, nullable=False),
)

# What was done in accounts: only ever added to, and forgotten by age.
traces = sa.Table(
    "traces",
    metadata,
    _id(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("person_id", sa.BigInteger, nullable=False),
    sa.Column("session", sa.BigInteger, nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Index("ix_traces_account_id_at", "account_id", "at"),
    sa.Index("ix_traces_at", "at"),
)

# What a person signs in with every day. `sign_count` as the authenticator last told; `cloned` once it went back.
passkeys = sa.Table(
    "passkeys",
    metadata,
    _id(),
    sa.Column("person_id", sa.ForeignKey("persons.id"), nullable=False),
    sa.Column("credential", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("synced", sa.Boolean, nullable=False),
    sa.Column("cloned", sa.Boolean, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("credential"),
    sa.Index("ix_passkeys_person_id", "person_id"),
)

# The secret of one-time codes, sealed under an operator's key; no code of a step up to `last_step` serves again.
one_time_secrets = sa.Table(
    "one_time_secrets",
    metadata,
    sa.Column("person_id", sa.ForeignKey("persons.id"), primary_key=True, autoincrement=False),
    sa.Column("key_number", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("last_step", sa.BigInteger, nullable=False),
    sa.Column("confirmed_at", sa.BigInteger, nullable=True),
)

recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("person_id", sa.ForeignKey("persons.id"), primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# `digest` of the secret in the browser, `former` of the one before; times in Unix milliseconds.
web_sessions = sa.Table(
    "web_sessions",
    metadata,
    _id(),
    sa.Column("person_id", sa.ForeignKey("persons.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("former", sa.LargeBinary(32), nullable=False),
    sa.Column("means", sa.Text, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("network", sa.Text, nullable=False),
    sa.Column("began_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger, nullable=False),
    sa.Column("rotated_at", sa.BigInteger, nullable=False),
    sa.Column("proved_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("digest"),
    sa.Index("ix_web_sessions_former", "former"),
    sa.Index("ix_web_sessions_person_id", "person_id"),
)

# What waits for an answer, by digest of the secret that the browser holds; and where people signed in from, by digest
# (`known_places`): both are forgotten by age.
sign_in_flows = sa.Table(
    "sign_in_flows",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Index("ix_sign_in_flows_until", "until"),
    sqlite_with_rowid=False,
)
