"""Addresses as the extraction gives them, and their bearers found in the register.

Rules:
1. The bearer of an address is the person its line names, at the structure it names if any; or the structure alone. Who is
   not in the register yet is put there with what the line says.
2. A structure is named by its FINESS, SIRET, RPPS-rang or technical identifier, with or without the figure that
   announces which (IdNat_Struct, §5.3).
3. One row for each address and bearer: the same address may have several bearers (169 had, in August 2026).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory.dossiers import Named
from vaguemestre.documents.words import fold
from vaguemestre.storage.bulk import BulkSelect

# The fields wanted of each line, in the order that is counted on here.
WANTED = (
    "Adresse BAL",  # 0
    "Type de BAL",
    "Identification nationale PP",
    "Type identifiant structure",
    "Identification Structure",
    "Service de rattachement",  # 5
    "Dématérialisation",
    "Civilité d'exercice",
    "Nom d'exercice",
    "Prénom d'exercice",
    "Code Profession",  # 10
    "Catégorie profession",
    "Raison Sociale structure BAL",
    "Enseigne commerciale structure BAL",
    "L2COMPLEMENTLOCALISATION structure BAL",
    "L3COMPLEMENTDISTRIBUTION structure BAL",  # 15
    "L4NUMEROVOIE structure BAL",
    "L4COMPLEMENTNUMEROVOIE structure BAL",
    "L4TYPEVOIE structure BAL",
    "L4LIBELLEVOIE structure BAL",
    "L5LIEUDITMENTION structure BAL",  # 20
    "L6LIGNEACHEMINEMENT structure BAL",
    "Code postal structure BAL",
    "Département structure BAL",
    "Pays structure BAL",
)
Line = tuple[str, ...]
Bearers = tuple[int | None, int | None]

_PEOPLE = BulkSelect("SELECT national_id, id FROM practitioners WHERE national_id IN {keys}")
# First those by their own identifier: of two structures with one FINESS, the one named for it.
_PLACES = tuple(
    BulkSelect(f"SELECT {column}, id FROM organizations WHERE {column} IN {{keys}} ORDER BY id DESC")  # noqa: S608
    for column in ("siret", "finess", "technical_id")
)
_RANKS = BulkSelect("SELECT rpps_rank, id FROM organizations WHERE rpps_rank IN {keys} AND rpps_rank <> ''")


def find(connection: sa.Connection, lines: Iterable[Line]) -> tuple[dict[str, int], dict[str, int]]:
    """The people named by lines, by national identifier, and the structures, by each of their identifiers."""
    wanted = {line[2] for line in lines if line[2]}
    people = dict(_pairs(_PEOPLE.run(connection, sorted(wanted))))
    named = sorted({each for line in lines for each in identifiers(line)})
    places: dict[str, int] = dict(_pairs(_RANKS.run(connection, named)))
    for select in _PLACES:
        places.update(_pairs(select.run(connection, named)))
    return people, places


def identifiers(line: Line) -> tuple[str, ...]:
    """The texts that may stand in the register for the structure that a line names, the likeliest first."""
    text = line[4]
    if not text:
        return ()
    if text[0] in "0134" and len(text) in (10, 15):  # announced: 1 FINESS, 3 SIRET, 4 RPPS-rang
        return (text[1:], text)
    return (text,)


def place_of(line: Line, places: Mapping[str, int]) -> int | None:
    """The structure that a line names, where it is known."""
    return next((places[each] for each in identifiers(line) if each in places), None)


def named(line: Line) -> Named:
    """What a line says of its person."""
    return (line[2], "", line[7], line[8], line[9], line[10], line[11])


def structure(line: Line) -> tuple[str, ...]:
    """What a line says of its structure: the columns of an organization from `technical_id` to `registrar`."""
    bare = identifiers(line)[0]
    finess, siret = (bare, "") if len(bare) == 9 else ("", bare) if len(bare) == 14 and line[3] == "3" else ("", "")
    rank = bare if len(bare) == 14 and not siret else ""
    technical = "F" + finess if finess else "C" + siret if siret else bare
    city = line[21].removeprefix(line[22]).strip()
    return (
        technical,
        finess,
        "",
        siret,
        siret[:9],
        rank,
        line[12],
        line[13],
        fold(line[12]),
        fold(" ".join(filter(None, line[16:20]))),
        "",
        "",
        "",
        line[14],
        line[16],
        line[17],
        line[18],
        line[19],
        line[20] or line[15],
        "",
        line[22],
        "",
        city,
        fold(city),
        line[23],
        line[24],
        "",
        "",
        "",
        "",
        "",
    )


def content(line: Line, bearers: Bearers) -> tuple[Any, ...]:
    """The columns of an address from `address` to `organization_id`, and what its line says beside: service, digitization."""
    address = line[0].strip()
    key = address.lower()
    paper = line[6].strip().lower()
    digitization = True if paper in _YES else False if paper in _NO else None
    return (address, key, key.rpartition("@")[2], line[1].strip().upper(), *bearers, line[5], digitization)


def _pairs(rows: Sequence[Any]) -> list[tuple[str, int]]:
    return [(row[0], row[1]) for row in rows]


_YES = frozenset({"true", "o", "oui", "1", "vrai"})
_NO = frozenset({"false", "n", "non", "0", "faux"})
