"""Resources read: what our own face writes comes back as it was; anything else is refused with words, or passed over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.directory.model import (
    Activity,
    Address,
    Card,
    Kind,
    Organization,
    Origin,
    Qualification,
    Qualified,
)
from vaguemestre.documents.fhir import reading, resources
from vaguemestre.documents.fhir.reading import ResourceError
from vaguemestre.documents.fhir.resources import Shape

WORDS = st.text("ABCDÉÇ -'", max_size=12).map(str.strip)
NAMES = WORDS.filter(bool)
OWN = Shape(own_domains=frozenset({"pro.mssante.fr"}), digitization=True)
STANDING: tuple[bool, Origin, int] = (True, Origin.EXTRACTION, 3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("id", "identifier", "code", "coding", "system", "value", "name", "url")), inner
        )
    ),
    max_leaves=12,
)
ELEMENTS = (
    "identifier", "active", "name", "telecom", "qualification", "extension", "practitioner", "organization", "code", "type",
    "address", "alias", "partOf", "meta", "status",
)  # fmt: skip


@dataclass
class Row:
    """A person's row, as the face reads it."""

    id: int
    national_id: str
    rpps: str
    civility: str
    title: str
    family: str
    given: str
    revision: int = 3
    active: bool = True


def box(address: str, kind: Kind = Kind.PERSON, **said: Any) -> Address:
    facts = {
        "service": "",
        "description": "",
        "responsible": "",
        "rank": None,
        "digitization": None,
        "red_list": False,
    } | said
    return Address(
        1, address, kind, 1, None, **facts, operator="", published_at=1, active=True, origin=Origin.OPERATOR, revision=3
    )


@given(
    NAMES,
    NAMES,
    st.sampled_from(["", "MME", "M"]),
    st.sampled_from(["", "DR"]),
    st.booleans(),
    st.integers(1, 9) | st.none(),
)
def test_a_person_comes_back(family: str, given: str, civility: str, title: str, red: bool, rank: int | None) -> None:
    row = Row(7, "899700000013", "99700000013", civility, title, family, given)
    held = [
        Qualification(7, Qualified.PROFESSION, "C", "40"),
        Qualification(7, Qualified.KNOW_HOW, "S", "SCD01"),
        Qualification(7, Qualified.KNOW_HOW, "CAPA", "CAPA07"),
        Qualification(7, Qualified.DIPLOMA, "DE", "DE07"),
    ]
    card = Card(7, "CPS", "2800000001", "2024-01-02", "2027-01-02", "")
    mine = box("a@pro.mssante.fr", red_list=red, rank=rank, digitization=True, description="d")
    read = reading.practitioner(resources.practitioner(row, held, [card], [mine], 5, OWN))
    assert (read.technical_id, read.active, read.national_id, read.rpps) == ("003-7", True, row.national_id, row.rpps)
    assert (read.civility, read.title, read.family, read.given) == (civility, title, family, given)
    assert set(read.qualifications) == {(each.what.value, each.type, each.code) for each in held}
    assert read.cards == (("2800000001", "CPS", "2024-01-02", "2027-01-02"),)
    (back,) = read.mailboxes
    assert (back.address, back.kind, back.red_list, back.rank, back.digitization) == (
        mine.address,
        "PER",
        red,
        rank,
        True,
    )
    assert (back.description, back.service) == ("d", None)


def test_a_person_withdrawn_comes_back_as_such() -> None:
    row = Row(7, "899700000013", "", "MME", "DR", "X", "Y", active=False)
    read = reading.practitioner(resources.practitioner(row, [], [], [], 5))
    assert (read.active, read.national_id, read.family, read.qualifications) == (False, "899700000013", "", ())
    assert read.rpps == "99700000013"  # said by the national identifier


@given(
    st.integers(1, 2**40),
    st.sampled_from(["", "L", "S"]),
    st.sampled_from(["", "A", "D"]),
    st.none() | st.integers(1, 9),
)
def test_an_activity_comes_back(number: int, mode: str, section: str, place: int | None) -> None:
    row = Activity(number, "1010399870", 7, place, "40", "C", mode, "FON-01", "GENR01", section, *STANDING)
    read = reading.practitioner_role(resources.practitioner_role(row, [], 5))
    assert (read.technical_id, read.identifier, read.practitioner) == (f"005-{number}", "1010399870", "003-7")
    assert read.organization == ("" if place is None else f"001-{place}")
    assert (read.mode, read.function, read.genre, read.section) == (mode, "FON-01", "GENR01", section)


@given(
    NAMES, WORDS, WORDS, st.sampled_from(["", "BATIMENT A"]), st.sampled_from(["", "B"]), st.sampled_from(["", "BP 12"])
)
def test_a_structure_comes_back(
    name: str, sign: str, street: str, recipient: str, repetition: str, mention: str
) -> None:
    row = Organization(
        5, "F997800008", "997800008", "", "73282932000074", "732829320", "", name, sign, "SA01", "355", recipient, "",
        "12", repetition, "R", street, mention, "", "75014", "75114", "PARIS", "75", "99000", "0199000001", "0199000002",
        "0199000003", "contact@hopital.example", "ARS", 9, *STANDING,
    )  # fmt: skip
    read = reading.organization(
        resources.organization(row, [box("ward@pro.mssante.fr", Kind.ORGANIZATION, service="Urgences")], 5)
    )
    assert (read.technical_id, read.identifier, read.national_id) == ("001-5", "F997800008", "1997800008")
    assert (read.finess, read.legal_finess, read.siret, read.siren) == ("997800008", "", row.siret, row.siren)
    assert read.parent == "001-9"
    for column, value in read.facts.items():
        assert value == getattr(row, column), column
    assert set(read.facts) >= {
        "name",
        "sign",
        "sector",
        "category",
        "street",
        "city",
        "postcode",
        "phone2",
        "email",
        "registrar",
    }
    assert [(each.address, each.kind, each.service) for each in read.mailboxes] == [
        ("ward@pro.mssante.fr", "ORG", "Urgences")
    ]


def test_identifiers_are_taken_from_the_forms_that_are_about() -> None:
    def structure(*identifiers: tuple[str, str, str]) -> reading.OrganizationRead:
        told = [
            {"system": system, "value": value, "type": {"coding": [{"code": kind}]}}
            for kind, system, value in identifiers
        ]
        return reading.organization({"resourceType": "Organization", "id": "001-1", "active": True, "identifier": told})

    assert structure(("FINEG", "http://finess.sante.gouv.fr", "997800008")).identifier == "F997800008"
    assert structure(("SIRET", "http://sirene.fr", "73282932000074")).identifier == "C73282932000074"
    assert structure(("IDNST", "urn:oid:1.2.250.1.71.4.2.2", "1997800008")).finess == "997800008"
    ranked = structure(("IDNST", "urn:oid:1.2.250.1.71.4.2.2", "499700000013010"))
    assert (ranked.identifier, ranked.facts["rpps_rank"]) == ("99700000013010", "99700000013010")
    url = structure(("RPPSRG", "https://rppsrang.esante.gouv.fr", "https://x/y"), ("FINEJ", "x", "997800008"))
    assert (url.identifier, url.legal_finess) == ("F997800008", "997800008")
    with pytest.raises(ResourceError, match="none of RPPSRG"):
        structure()
    old = {"system": "https://annuaire.sante.fr", "value": "1010399870"}
    who = {"reference": "https://gateway.example/fhir/v2/Practitioner/003-7-1/_history/4"}
    role = {"resourceType": "PractitionerRole", "id": "005-1", "identifier": [old], "practitioner": who}
    assert reading.practitioner_role(role).identifier == "1010399870"
    assert reading.practitioner_role(role).practitioner == "003-7-1"


READERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("Practitioner", reading.practitioner),
    ("PractitionerRole", reading.practitioner_role),
    ("Organization", reading.organization),
]


@pytest.mark.parametrize(("kind", "read"), READERS)
@given(data=st.data())
def test_whatever_is_sent_is_read_or_refused(kind: str, read: Callable[[Any], Any], data: st.DataObject) -> None:
    resource = data.draw(st.dictionaries(st.sampled_from(ELEMENTS), JSON | st.lists(JSON, max_size=2), max_size=6))
    resource |= {"resourceType": kind, "id": "003-1"}
    for each in (resource, data.draw(JSON)):
        try:
            read(each)
        except ResourceError as error:
            assert error.fr != error.en  # noqa: PT017 - where there is one, it has words
