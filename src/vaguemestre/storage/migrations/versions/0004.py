"""People, their rights on accounts, and the secrets of their devices."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing yet."""
