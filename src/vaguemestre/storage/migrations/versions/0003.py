"""What is searched, and what waits to be read for it: every message that is here already does."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of search."""
    op.create_table(
        "to_index",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "message_id", name=op.f("pk_to_index")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "forgotten",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("forgotten_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "message_id", name=op.f("pk_forgotten")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "concordances",
        sa.Column("id", sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("key_number", sa.Integer(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concordances")),
    )
    op.create_index("ix_concordances_account_id", "concordances", ["account_id"], unique=False)
    unready = sa.text("state <> 'ready'")
    op.create_index(
        "ix_concordances_state",
        "concordances",
        ["state"],
        unique=False,
        sqlite_where=unready,
        postgresql_where=unready,
    )
    op.create_table(
        "sheets",
        sa.Column("volume_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("volume_id", "number", name=op.f("pk_sheets")),
    )
    op.execute(
        "INSERT INTO to_index (account_id, message_id, blob_id, attempts, due_at)"
        " SELECT account_id, id, blob_id, 0, 0 FROM messages"
    )
