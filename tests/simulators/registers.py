"""A small register with every quirk that searches meet, and whole ones made up; on either store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.directory import register, spellings, tables
from vaguemestre.directory.model import (
    Activity,
    Address,
    Card,
    Kind,
    Organization,
    Origin,
    Practitioner,
    Qualification,
    Qualified,
)
from vaguemestre.directory.register import Place
from vaguemestre.storage.database import Database

_BLANK = dict.fromkeys(Organization.__dataclass_fields__, "")


def practitioner(number: int, family: str, given: str, revision: int = 1, **others: Any) -> Practitioner:
    """A person with a made-up RPPS."""
    rpps = f"{99700000000 + number}"
    facts: dict[str, Any] = {
        "national_id": f"8{rpps}", "rpps": rpps, "civility": "MME", "title": "DR", "profession": "40", "category": "C",
        "active": True, "origin": Origin.EXTRACTION,
    }  # fmt: skip
    return Practitioner(id=number, family=family, given=given, revision=revision, **(facts | others))


def organization(place: int, name: str, revision: int = 1, **others: Any) -> Organization:
    """A place with what `others` says, nothing else."""
    facts: dict[str, Any] = _BLANK | {
        "technical_id": f"F{place:09d}", "parent_id": None, "active": True, "origin": Origin.EXTRACTION,
    }  # fmt: skip
    return Organization(**(facts | {"id": place, "name": name, "revision": revision} | others))


def activity(
    number: int, practitioner_id: int, organization_id: int | None, revision: int = 1, **others: Any
) -> Activity:
    """Somebody practising somewhere."""
    facts: dict[str, Any] = {
        "identifier": "", "profession": "40", "category": "C", "mode": "L", "function": "FON-AU", "genre": "GENR01",
        "section": "", "active": True, "origin": Origin.EXTRACTION,
    }  # fmt: skip
    return Activity(
        id=number,
        practitioner_id=practitioner_id,
        organization_id=organization_id,
        revision=revision,
        **(facts | others),
    )


def address(
    number: int, text: str, kind: Kind, practitioner_id: int | None, organization_id: int | None, **others: Any
) -> Address:
    """A mailbox."""
    facts: dict[str, Any] = {
        "service": "", "description": "", "responsible": "", "rank": None, "digitization": None, "red_list": False,
        "operator": "", "published_at": 0, "active": True, "origin": Origin.EXTRACTION, "revision": 1,
    }  # fmt: skip
    return Address(
        id=number, address=text, kind=kind, practitioner_id=practitioner_id, organization_id=organization_id,
        **(facts | others),
    )  # fmt: skip


QUIRKS: tuple[Any, ...] = (
    practitioner(1, "Lefèvre-Noël", "Zoé"),
    practitioner(2, "NOEL", "Jean-Luc", civility="M", title=""),
    practitioner(3, "de la Tour d'Auvergne", "Bénédicte", profession="10"),
    practitioner(4, "MARTIN", "Benedicte"),
    practitioner(5, "Martin Noël", "Luc", title="PR", civility="M"),
    practitioner(6, "Petit", "Ancien", active=False),
    practitioner(7, "Ô'Brien", "", civility="", title=""),
    practitioner(8, "Adèle", "Martin", rpps="", national_id="0591234567"),
    practitioner(9, "Œuvrard", "Mme", profession="93", category="M"),
    Qualification(1, Qualified.PROFESSION, "C", "40"),
    Qualification(1, Qualified.KNOW_HOW, "S", "SCD01"),
    Qualification(1, Qualified.DIPLOMA, "DE", "DE05"),
    Qualification(2, Qualified.PROFESSION, "C", "10"),
    Qualification(2, Qualified.KNOW_HOW, "C", "C76"),
    Qualification(3, Qualified.PROFESSION, "M", "10"),
    Qualification(3, Qualified.KNOW_HOW, "CAPA", "CAPA01"),
    Qualification(4, Qualified.PROFESSION, "C", "40"),
    Qualification(5, Qualified.AUTHORIZATION, "X", "40"),
    Qualification(6, Qualified.PROFESSION, "C", "40"),
    Qualification(9, Qualified.PROFESSION, "C", "PSY"),
    Card(1, "CPS", "2800112233", "2024-01-01", "2027-01-01", ""),
    Card(2, "CPS", "2800112299", "2024-01-01", "2027-01-01", "2025-02-01"),
    Card(3, "CPF", "28009", "", "", ""),
    organization(
        1, "Cabinet dentaire de l'Étoile", finess="990000010", legal_finess="990000028", siret="99000001000017",
        siren="990000010", sector="SA07", number="96", repetition="B", street_type="R", street="DIDOT", postcode="75014",
        commune="75114", city="Paris", cedex="75014 PARIS CEDEX 14", department="75", phone="0145000000",
        email="contact@etoile.example", registrar="CNOCD", sign="L'Étoile",
    ),
    organization(2, "Clinique de l'Étoile", legal_finess="990000028", sector="SA04", city="Saint-Étienne", postcode="42000"),
    organization(
        3, "CENTRE DE SANTE", siret="99000002000011", sector="SA05", category="124", parent_id=2, street="De la Paix",
        recipient="Bât. A", point="Esc. 2", mention="BP 12", phone2="0145000001", fax="0145000002", city="PARIS",
        postcode="75002", commune="75102",
    ),
    organization(4, "Fermé", finess="990000044", active=False, city="Paris"),
    organization(5, "DR PETIT", technical_id="R10100000001", rpps_rank="99700000005001", city="Le Bourg", sector="SA07"),
    organization(6, "", technical_id="R10100000002"),
    organization(7, "Société", siret="99000003000019", rpps_rank="99700000007001"),
    activity(1, 1, 1, identifier="1010399870"),
    activity(2, 1, 3, function="FON-01", mode="S"),
    activity(3, 2, 3, genre="GENR02", section="A"),
    activity(4, 3, None),
    activity(5, 4, 1, active=False),
    activity(6, 6, 4),
    activity(7, 5, 2, mode="", function="", genre=""),
    address(1, "zoe.lefevre@medecin.mssante.fr", Kind.PERSON, 1, None, rank=1),
    address(2, "zoe.noel@pro.mssante.fr", Kind.PERSON, 1, 1, digitization=True),
    address(3, "cachee@medecin.mssante.fr", Kind.PERSON, 2, None, red_list=True),
    address(4, "Secretariat@ch-etoile.mssante.fr", Kind.ORGANIZATION, None, 3, description="Secrétariat", responsible="M. X",
            service="Accueil"),
    address(5, "automate@ch-etoile.mssante.fr", Kind.APPLICATION, None, 3, rank=2),
    address(6, "b.martin@dentiste.mssante.fr", Kind.PERSON, 4, 1),  # where she practises no more
    address(7, "cabinet@dentiste.mssante.fr", Kind.PRACTICE, 5, None),
    address(8, "ancienne@medecin.mssante.fr", Kind.PERSON, 3, None, active=False),
    address(9, "medecin.mssante.fr@ailleurs.mssante.fr", Kind.PERSON, 3, None, digitization=False),
)  # fmt: skip

DEVICE = {
    "resourceType": "Device", "id": "002-1", "identifier": [{"system": "https://arhgos.ars.sante.fr", "value": "84-1"}],
    "status": "active", "manufacturer": "SIEMENS", "modelNumber": "Magnetom Aera",
    "type": {"coding": [{"system": "https://mos.esante.gouv.fr/NOS/TRE_R212-Equipement/FHIR/TRE-R212-Equipement",
                         "code": "05602"}]},
    "owner": {"reference": "Organization/001-3"},
}  # fmt: skip
SERVICE = {
    "resourceType": "HealthcareService", "id": "004-1", "active": True,
    "providedBy": {"reference": "Organization/001-2"},
    "category": [{"coding": [{"system": "urn:c", "code": "04"}]}],
    "type": [{"coding": [{"system": "urn:t", "code": "16"}]}],
    "characteristic": [{"coding": [{"system": "urn:f", "code": "01"}]}],
}  # fmt: skip


def fill(connection: sa.Connection, *things: Any) -> None:
    """Write things as one change, and resources that are kept whole."""
    revision = register.begin(connection, Origin.EXTRACTION, "202611250300")
    register.put(connection, *things)
    spellings.refresh(connection, revision - 1)
    for content in (DEVICE, SERVICE):
        values = {
            "type": content["resourceType"],
            "technical_id": content["id"],
            "content": msgspec.json.encode(content),
        }
        connection.execute(tables.resources.insert().values(values | {"origin": "national-api", "revision": revision}))


@contextmanager
def opened(place: Place, *things: Any) -> Iterator[Database]:
    """A register of these things, open."""
    built = place.next()
    built.write(fill, *things)
    place.replace(built)
    found = place.open()
    try:
        yield found
    finally:
        found.close()


@contextmanager
def placed(request: Any, folder: Path, store: str) -> Iterator[Place]:
    """Where a register may stand, on a store of a test."""
    if store == "sqlcipher":
        yield Place(folder / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(folder, b"", server.url(name))
    server.drop(name)
