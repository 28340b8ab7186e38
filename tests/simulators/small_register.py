"""A small register, written by hand: whom the tests look for, and whom nobody may find."""

from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre.directory import register, tables
from vaguemestre.directory.model import Address, Kind, Organization, Origin, Practitioner, Qualification, Qualified
from vaguemestre.directory.register import Place, Thing

MAIL = "annuaire.mssante.fr"
_LABELS = (
    ("TRE_G15-ProfessionSante", "10", "Médecin"),
    ("TRE_G15-ProfessionSante", "40", "Chirurgien-Dentiste"),
    ("TRE_R38-SpecialiteOrdinale", "SCD01", "Orthopédie dento-faciale"),
    ("TRE_R09-CategorieProfessionnelle", "C", "Civil"),
    ("TRE_G09-DepartementOM", "69", "Rhône"),
)


def practitioner(number: int, given: str, family: str, *, profession: str = "40", active: bool = True) -> Practitioner:
    """Somebody of that number."""
    rpps = f"{99700000000 + number}"
    return Practitioner(
        number, f"8{rpps}", rpps, "MME", "DR", family, given, profession, "C", active, Origin.EXTRACTION, revision=1
    )


def organization(number: int, name: str, city: str, *, finess: str = "", active: bool = True) -> Organization:
    """A place of that number."""
    empty = dict.fromkeys(
        (
            *("legal_finess", "siret", "siren", "rpps_rank", "sign", "sector", "category", "recipient", "point"),
            *("repetition", "mention", "phone2", "fax", "email", "registrar"),
        ),
        "",
    )
    return Organization(
        id=number,
        technical_id=f"F{finess or number}",
        finess=finess,
        name=name,
        number="12",
        street_type="RUE",
        street="DES LILAS",
        cedex=f"69003 {city}",
        postcode="69003",
        commune="69383",
        city=city,
        department="69",
        country="99000",
        phone="0400000000",
        parent_id=None,
        active=active,
        origin=Origin.EXTRACTION,
        revision=1,
        **empty,
    )


def address(
    number: int,
    local: str,
    *,
    of: int | None = None,
    at: int | None = None,
    kind: Kind = Kind.PERSON,
    service: str = "",
    red_list: bool = False,
    active: bool = True,
    revision: int = 1,
) -> Address:
    """An address of that number, of a person, a place or both."""
    return Address(
        id=number,
        address=local if "@" in local else f"{local}@{MAIL}",
        kind=kind,
        practitioner_id=of,
        organization_id=at,
        service=service,
        description="",
        responsible="",
        rank=None,
        digitization=True,
        red_list=red_list,
        operator="",
        published_at=1,
        active=active,
        origin=Origin.EXTRACTION,
        revision=revision,
    )


PEOPLE: Sequence[Thing] = (
    organization(1, "CABINET DES LILAS", "LYON", finess="690000001"),
    organization(2, "CENTRE HOSPITALIER DUPUYTREN", "BORDEAUX", finess="330000002"),
    practitioner(1, "Zoé", "LEFÈVRE-NOËL"),
    practitioner(2, "Jean", "DUPONT"),
    practitioner(3, "Jeanne", "DUPOND", profession="10"),
    practitioner(4, "Marc", "LEDUPLEIX"),
    practitioner(5, "Rosa", "DUPRECIEUX"),
    practitioner(6, "Alain", "DUPARTI", active=False),
    Qualification(1, Qualified.KNOW_HOW, "S", "SCD01"),
    address(1, "zoe.lefevre-noel", of=1, at=1),
    address(2, "jean.dupont", of=2, at=1),
    address(3, "jeanne.dupond", of=3),
    address(4, "marc.ledupleix", of=4, at=2),
    address(5, "rosa.duprecieux", of=5, at=1, red_list=True),
    address(6, "alain.duparti", of=6, at=1),
    address(7, "jean.ancien", of=2, at=1, active=False),
    address(8, "cardiologie", at=2, kind=Kind.ORGANIZATION, service="Cardiologie"),
    address(9, "automate", at=2, kind=Kind.APPLICATION),
)
SHOWN = {1, 2, 3, 4, 8, 9}


def build(where: Place, things: Sequence[Thing] = PEOPLE) -> None:
    """Make this the register in use."""
    built = where.next()

    def fill(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION, "202611250300")
        register.put(connection, *things)
        rows = [{"system": system, "code": code, "label": label} for system, code, label in _LABELS]
        connection.execute(tables.labels.insert(), rows)

    built.write(fill)
    where.replace(built)
