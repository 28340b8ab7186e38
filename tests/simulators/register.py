"""A register of one dentist and her practice, for an operator where she may enrol."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from simulators.pretend import CLAIRE
from vaguemestre import config, directory_parts
from vaguemestre.directory import register
from vaguemestre.directory.model import Activity, Organization, Origin, Practitioner


def fill(config_file: Path) -> None:
    """Build it where a configuration says."""
    place = directory_parts.place(config.load(config_file, {}))
    built = place.next()
    texts: dict[str, Any] = dict.fromkeys(Organization.__dataclass_fields__, "")
    practice = Organization(
        **{**texts, "id": 3, "technical_id": "R00000000000003", "name": "CABINET DES LILAS", "city": "PARIS"}
        | {"parent_id": None, "active": True, "origin": Origin.EXTRACTION, "revision": 1}
    )

    def write(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION)
        register.put(
            connection,
            Practitioner(
                1, CLAIRE, CLAIRE[1:], "MME", "DR", "LEFEVRE NOEL", "CLAIRE", "40", "C", True, Origin.EXTRACTION, 1
            ),
            practice,
            Activity(2, "", 1, 3, "40", "C", "L", "", "GENR01", "", True, Origin.EXTRACTION, 1),
        )

    built.write(write)
    place.replace(built)
