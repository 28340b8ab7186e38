"""A register of a practice and its dentists, one unless told otherwise, for an operator where they may enrol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from simulators.pretend import CLAIRE
from vaguemestre import config, directory_parts
from vaguemestre.directory import register
from vaguemestre.directory.model import Activity, Organization, Origin, Practitioner

DENTIST = (CLAIRE, "LEFEVRE NOEL", "CLAIRE")


def fill(config_file: Path, people: Sequence[tuple[str, str, str]] = (DENTIST,)) -> None:
    """Build it where a configuration says, of these dentists: national identifier, family and given name."""
    place = directory_parts.place(config.load(config_file, {}))
    built = place.next()
    texts: dict[str, Any] = dict.fromkeys(Organization.__dataclass_fields__, "")
    practice = Organization(
        **{**texts, "id": 3, "technical_id": "R00000000000003", "name": "CABINET DES LILAS", "city": "PARIS"}
        | {"parent_id": None, "active": True, "origin": Origin.EXTRACTION, "revision": 1}
    )

    def write(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION)
        register.put(connection, practice)
        for number, (national_id, family, given) in enumerate(people):
            who, where = 10 + 2 * number, 11 + 2 * number
            register.put(
                connection,
                Practitioner(
                    who, national_id, national_id[1:], "MME", "DR", family, given, "40", "C", True, Origin.EXTRACTION, 1
                ),
                Activity(where, "", who, 3, "40", "C", "L", "", "GENR01", "", True, Origin.EXTRACTION, 1),
            )

    built.write(write)
    place.replace(built)
