"""The schema and its versions: Alembic moves both stores from one to the next.

What it keeps true: a store is used at exactly the version this code was written for; an older one asks for
`vaguemestre db migrate`, a newer one is left alone, since older code would harm it.
"""

from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa

from vaguemestre.errors import ConfigurationError
from vaguemestre.storage.database import Database

_MIGRATIONS = Path(str(files("vaguemestre.storage") / "migrations"))


def latest() -> str:
    """The version this code needs: the last migration's."""
    return max(path.stem for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(connection: sa.Connection) -> str:
    """The version the store is at; empty for a new one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or ""


def migrate(database: Database) -> str:
    """Bring the store to the latest version, in one transaction; returns that version. Raises ConfigurationError if newer."""
    database.write(_upgrade)
    return latest()


def check(database: Database) -> None:
    """Raise ConfigurationError unless the store is at the latest version."""
    found, needed = database.read(current), latest()
    if found == needed:
        return
    if found > needed:
        raise _newer(found, needed)
    raise ConfigurationError(
        f"The database is at version {found or 'none'}, this software needs {needed}. Run: vaguemestre db migrate",
        f"La base de données est en version {found or 'aucune'}, il faut {needed}. Lancez : vaguemestre db migrate",
    )


def _newer(found: str, needed: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database is at version {found}, made by newer software than this ({needed}). Upgrade the software.",
        f"La base de données est en version {found}, plus récente que ce logiciel ({needed}). Mettez-le à jour.",
    )


def _upgrade(connection: sa.Connection) -> None:
    found, needed = current(connection), latest()
    if found == needed:
        return
    if found > needed:
        raise _newer(found, needed)
    from alembic import command  # noqa: PLC0415 - slow to import, and needed once a version
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
