"""Accounts whose sent mail is filed for them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("accounts", sa.Column("keeps_sent", sa.Boolean(), nullable=False, server_default=sa.false()))
