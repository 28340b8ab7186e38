"""What the register speaks of: people, what they may practise, where they do, and the addresses they are written to at.

Rules: a value here is what the register holds, dated by the revision that wrote it; codes are those of the national
nomenclatures (TRE_…), kept as published; an empty text is what a source left empty. Identifiers of rows are the
register's own, given once and never to another.

Facts and names: the national directory's extraction files and its FHIR profiles (as-dp-*); MOS BoiteLettreMSS.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whose address it is (TRE_R257, JDV_J139)."""

    PERSON = "PER"
    ORGANIZATION = "ORG"
    APPLICATION = "APP"
    PRACTICE = "CAB"


class Origin(StrEnum):
    """Who says so: the source of a row."""

    EXTRACTION = "extraction"  # the public files
    NATIONAL_API = "national-api"
    OPERATOR = "operator"  # published by the operator whose domain it is


@dataclass(frozen=True, slots=True)
class Practitioner:
    """A person of the register. `national_id` is the IdNat_PS (8 + RPPS, 0 + ADELI); `rpps` is empty for others.

    `profession` and `category` are those shown first; all are among the qualifications. `civility` is MME or M, `title`
    the one of practice (DR, PR). A person withdrawn from the register stays, not `active`.
    """

    id: int
    national_id: str
    rpps: str
    civility: str
    title: str
    family: str
    given: str
    profession: str
    category: str
    active: bool
    origin: Origin
    revision: int


class Qualified(StrEnum):
    """What a qualification is."""

    PROFESSION = "P"  # a category (TRE_R09) is its type; its code is of TRE_G15
    KNOW_HOW = "K"  # typed by TRE_R04; its code is of TRE_R38 or others
    DIPLOMA = "D"  # typed by TRE_R14; its code is of TRE_R48 or others
    AUTHORIZATION = "A"  # a type of authorization; its code is the discipline


@dataclass(frozen=True, slots=True)
class Qualification:
    """What a person is entitled to: a profession, know-how, a diploma, an authorization to practise."""

    practitioner_id: int
    what: Qualified
    type: str
    code: str


@dataclass(frozen=True, slots=True)
class Card:
    """A professional card. Dates are AAAA-MM-DD, empty where unknown; `opposed_on` says that it was revoked."""

    practitioner_id: int
    type: str
    number: str
    starts_on: str
    ends_on: str
    opposed_on: str


@dataclass(frozen=True, slots=True)
class Activity:
    """A person practising somewhere, or nowhere known (`organization_id` None).

    `identifier` is the national number of the activity, which extraction files do not carry. `mode` is TRE_R23, `function`
    TRE_R21 ("Code rôle" of the files), `genre` TRE_R22, `section` the pharmacists' table.
    """

    id: int
    identifier: str
    practitioner_id: int
    organization_id: int | None
    profession: str
    category: str
    mode: str
    function: str
    genre: str
    section: str
    active: bool
    origin: Origin
    revision: int


@dataclass(frozen=True, slots=True)
class Organization:
    """A place of practice or the legal entity above it (`parent_id`).

    `technical_id` is the register's own for a structure (F…, C…, R…). `legal_finess` is the FINESS of the legal entity as
    the files give it. `department` is a code (13, 2A, 971).
    """

    id: int
    technical_id: str
    finess: str
    legal_finess: str
    siret: str
    siren: str
    rpps_rank: str
    name: str
    sign: str
    sector: str
    category: str
    recipient: str  # "complément destinataire"
    point: str  # "complément point géographique"
    number: str
    repetition: str
    street_type: str
    street: str
    mention: str
    cedex: str
    postcode: str
    commune: str  # INSEE code
    city: str
    department: str
    country: str
    phone: str
    phone2: str
    fax: str
    email: str
    registrar: str  # "autorité d'enregistrement"
    parent_id: int | None
    active: bool
    origin: Origin
    revision: int


@dataclass(frozen=True, slots=True)
class Address:
    """An MSSanté address and its bearer: a person, a person at a place (both), or an organization.

    `rank` orders the addresses of one bearer, 1 first, None unsaid. `red_list`: to be shown to nobody but those who
    administer it. `digitization`: the holder wants no paper copy any more; None unsaid. `operator` is the name of who
    publishes it, empty where only the domain says. `published_at` is UTC milliseconds, when the register first held it.
    """

    id: int
    address: str
    kind: Kind
    practitioner_id: int | None
    organization_id: int | None
    service: str
    description: str
    responsible: str
    rank: int | None
    digitization: bool | None
    red_list: bool
    operator: str
    published_at: int
    active: bool
    origin: Origin
    revision: int
