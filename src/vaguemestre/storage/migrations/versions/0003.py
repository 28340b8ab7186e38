"""What is searched, and what waits to be read for it."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing yet."""
