"""The migrations give exactly the schema that the code describes, on both stores; other versions are left alone."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import vaguemestre.enrolment.tables
import vaguemestre.evidence.tables
import vaguemestre.identity.tables
import vaguemestre.mailstore.tables
import vaguemestre.storage.blobs
import vaguemestre.transport.tables  # noqa: F401 - each adds its tables to the metadata
from vaguemestre.errors import ConfigurationError
from vaguemestre.storage import schema
from vaguemestre.storage.database import Database, metadata


def _differences(connection: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return compare_metadata(context, metadata)


def _constraints(connection: sa.Connection) -> dict[str, tuple[Any, ...]]:
    """What compare_metadata does not look at: primary keys, unique constraints and foreign keys, by name."""
    inspector = sa.inspect(connection)
    return {
        table: (
            inspector.get_pk_constraint(table)["constrained_columns"],
            inspector.get_pk_constraint(table)["name"],
            sorted((each["name"], tuple(each["column_names"])) for each in inspector.get_unique_constraints(table)),
            sorted((each["name"], tuple(each["constrained_columns"])) for each in inspector.get_foreign_keys(table)),
            [(column["name"], column["nullable"]) for column in inspector.get_columns(table)],
        )
        for table in metadata.tables
    }


def _set_version(connection: sa.Connection, version: str) -> None:
    connection.execute(sa.text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def test_migrations_give_the_schema_of_the_code(database: Database) -> None:
    assert database.read(_differences) == []


def test_migrations_give_the_same_constraints_as_the_code(new_place: Any) -> None:
    found = new_place.open()
    found.write(metadata.create_all)
    described = found.read(_constraints)
    found.write(metadata.drop_all)
    schema.migrate(found)
    assert found.read(_constraints) == described


def test_a_new_store_is_at_no_version_and_asks_for_migration(new_place: Any) -> None:
    found = new_place.open()
    assert found.read(schema.current) == ""
    with pytest.raises(ConfigurationError, match="vaguemestre db migrate"):
        schema.check(found)


def test_migrating_brings_the_latest_version_and_again_changes_nothing(new_place: Any) -> None:
    found = new_place.open()
    for _ in range(2):
        assert schema.migrate(found) == schema.latest() == found.read(schema.current)
    schema.check(found)


def test_an_older_store_asks_for_migration(database: Database) -> None:
    database.write(_set_version, "0000")
    with pytest.raises(ConfigurationError, match="vaguemestre db migrate") as refused:
        schema.check(database)
    assert "0000" in refused.value.fr


def test_a_newer_store_is_left_alone(database: Database) -> None:
    database.write(_set_version, "9999")
    with pytest.raises(ConfigurationError, match="newer"):
        schema.check(database)
    with pytest.raises(ConfigurationError, match="newer"):
        schema.migrate(database)
    assert database.read(schema.current) == "9999"


def test_a_migration_that_fails_leaves_the_store_as_it_was(new_place: Any) -> None:
    found = new_place.open()
    found.write(lambda connection: connection.execute(sa.text("CREATE TABLE queue (other INTEGER)")))
    with pytest.raises(Exception, match="queue"):
        schema.migrate(found)
    assert found.read(schema.current) == ""
    assert found.read(lambda connection: sa.inspect(connection).get_table_names()) == ["queue"]
