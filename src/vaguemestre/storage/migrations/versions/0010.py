"""Concordances of another format: those that are here are retired, and what was in them waits to be read anew."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Have all messages indexed anew; until they are, searches read them."""
    op.execute("DELETE FROM forgotten")
    op.execute("UPDATE concordances SET state = 'gone'")
    op.execute(
        "INSERT INTO to_index (account_id, message_id, blob_id, attempts, due_at)"
        " SELECT account_id, id, blob_id, 0, 0 FROM messages WHERE NOT EXISTS (SELECT 1 FROM to_index"
        " WHERE to_index.account_id = messages.account_id AND to_index.message_id = messages.id)"
    )
