"""What the directory is to be told of accounts, what it was told, and how each telling went."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_IDENTIFIER = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    """Create the tables. Accounts that are there wait for nothing: the first reconciliation finds them."""
    op.create_table(
        "listings",
        sa.Column("account_id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("structure", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("service", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("responsible", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("red_list", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_listings")),
    )
    op.create_table(
        "to_publish",
        sa.Column("account_id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_to_publish")),
    )
    op.create_index("ix_to_publish_due_at", "to_publish", ["due_at"], unique=False)
    op.create_table(
        "published",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_published")),
    )
    op.create_index("ix_published_account_id", "published", ["account_id"], unique=False)
    op.create_table(
        "publication_results",
        sa.Column("id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("en", sa.Text(), nullable=False),
        sa.Column("fr", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication_results")),
    )
    op.create_index("ix_publication_results_batch", "publication_results", ["batch"], unique=False)
