"""People, their rights on accounts, and the secrets of their devices."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_IDENTIFIER = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    """Create the tables of identity."""
    op.create_table(
        "persons",
        sa.Column("id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("national_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("national_id", name=op.f("uq_persons_national_id")),
    )
    op.create_table(
        "grants",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person_id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("rights", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_grants_person_id")),
        sa.PrimaryKeyConstraint("account_id", "person_id", name=op.f("pk_grants")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_grants_person_id", "grants", ["person_id"], unique=False)
    op.create_table(
        "app_passwords",
        sa.Column("id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", _IDENTIFIER, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_app_passwords_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_passwords")),
        sa.UniqueConstraint("account_id", "digest", name=op.f("uq_app_passwords_account_id_digest")),
        sa.UniqueConstraint(
            "account_id", "person_id", "label", name=op.f("uq_app_passwords_account_id_person_id_label")
        ),
    )
    op.create_table(
        "client_certificates",
        sa.Column("id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_certificates")),
        sa.UniqueConstraint("account_id", "name", "sha256", name=op.f("uq_client_certificates_account_id_name_sha256")),
    )
    op.create_table(
        "sign_outs",
        sa.Column("account_id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_sign_outs")),
    )
    op.create_table(
        "traces",
        sa.Column("id", _IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traces")),
    )
    op.create_index("ix_traces_account_id_at", "traces", ["account_id", "at"], unique=False)
    op.create_index("ix_traces_at", "traces", ["at"], unique=False)
