"""The words of codes, as the files give them. The last one read counts; none is ever taken away."""

from collections.abc import Mapping

import sqlalchemy as sa

from vaguemestre.directory import tables


def put(connection: sa.Connection, labels: Mapping[tuple[str, str], str]) -> None:
    """Write words by nomenclature and code, where the register has them otherwise."""
    for (system, code), label in sorted(labels.items()):
        place = (tables.labels.c.system == system, tables.labels.c.code == code)
        if connection.execute(sa.select(tables.labels.c.label).where(*place)).scalar() != label:
            connection.execute(tables.labels.delete().where(*place))
            connection.execute(tables.labels.insert().values(system=system, code=code, label=label))
