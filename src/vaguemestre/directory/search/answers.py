"""What a search says of each person or structure found: all that makes it certain who is behind an address.

Rules: an answer is made of records alone; codes come with their official words; who publishes an address is the operator
that says so, else the domain; what comes from extractions is confirmed by the last one, what an operator publishes by that.
"""

from typing import Any, Final

import msgspec

from vaguemestre import clock
from vaguemestre.directory.search import entries
from vaguemestre.directory.search.ranking import Match, Ranked
from vaguemestre.directory.search.records import Mailbox, Person, Place, Structure
from vaguemestre.directory.search.spoken import PROFESSIONS, SECTORS, SPECIALITIES, Spoken
from vaguemestre.documents.words import fold

MOST_NAMESAKES: Final = 200
_EXTRACTION = "extraction"


class Code(msgspec.Struct, frozen=True):
    """A code and its official words."""

    code: str
    label: str


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place of practice, or a structure's."""

    name: str
    line: str
    postcode: str
    city: str
    department: str
    sign: str = ""
    finess: str = ""
    siret: str = ""
    sector: Code | None = None


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """An address, where it is read, and who says so. `confirmed_on` and `since` are AAAA-MM-DD; `at` is its place's index."""

    address: str
    kind: str
    publisher: str
    source: str
    confirmed_on: str
    since: str
    preferred: bool = False
    rank: int | None = None
    service: str = ""
    description: str = ""
    at: int | None = None


class Namesakes(msgspec.Struct, frozen=True):
    """Others of the same family and given name in the register; `count` stops at MOST_NAMESAKES.

    `told_apart_by` is what this one alone has: of profession, department, both together; else identifier.
    """

    count: int
    told_apart_by: list[str]


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person or structure."""

    what: str  # person, structure
    match: str
    id: int
    name: str
    identifier: str  # IdNat_PS, or the technical identifier of a structure
    professions: list[Code] = []
    know_how: list[Code] = []
    places: list[Location] = []
    addresses: list[Address] = []
    family: str = ""
    given: str = ""
    civility: str = ""
    title: str = ""
    rpps: str = ""
    namesakes: Namesakes | None = None
    withdrawn: bool = False
    written_to: bool = False
    confirmed_on: str = ""
    source: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What was found, the best first. `more` says that there are others; `ignored` are words that nothing has.

    `as_of` is the date of the last extraction taken in, AAAA-MM-DD.
    """

    results: list[Found]
    more: bool
    ignored: list[str]
    as_of: str


class Dates:
    """When revisions were made, from the index's copy of them: rows of id, at (UTC milliseconds), origin, stamp."""

    def __init__(self, revisions: list[tuple[int, int, str, str]]) -> None:
        self._of = {id_: _day(at, stamp) for id_, at, _, stamp in revisions}
        self.extraction = max(
            (_day(at, stamp) for _, at, origin, stamp in revisions if origin == _EXTRACTION), default=""
        )

    def confirmed(self, origin: str, revision: int) -> str:
        """The day on which a row's source last said so."""
        return (self.extraction if origin == _EXTRACTION else "") or self._of.get(revision, "")


def _day(at: int, stamp: str) -> str:
    if len(stamp) >= 8 and stamp[:8].isdigit():
        return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    return f"{clock.from_ms(at):%Y-%m-%d}"


def found(ranked: Ranked, spoken: Spoken, dates: Dates, namesakes: "list[tuple[int, str, str]] | None" = None) -> Found:
    """What is said of a record; `namesakes` are things, professions and departments of all of that name."""
    record = ranked.record
    places = [_location(place, spoken) for place in record.places]
    addresses = [_address(mailbox, dates) for mailbox in record.mailboxes]
    confirmed = dates.confirmed(record.origin, record.revision)
    if isinstance(record, Structure):
        own = record.places[0]
        return Found(
            "structure", ranked.match, record.id, own.name or own.sign, record.technical_id, places=places,
            addresses=addresses, written_to=ranked.weight > 0, confirmed_on=confirmed, source=record.origin,
        )  # fmt: skip
    return Found(
        "person", ranked.match, record.id, shown_name(record), record.national_id,
        [Code(code, spoken.label(PROFESSIONS, code)) for code in record.professions],
        [Code(code, spoken.label(SPECIALITIES, code)) for code in record.know_how],
        places, addresses, record.family, record.given, record.civility, record.title, record.rpps,
        _namesakes(record, namesakes or []), not record.active, ranked.weight > 0, confirmed, record.origin,
    )  # fmt: skip


def by_identifier(record: Any) -> Ranked:
    """A record that was asked for by its number or address."""
    return Ranked((), Match.IDENTIFIER, 0.0, record)


def shown_name(person: Person) -> str:
    """How a person is named: title or civility, given name, family name in capitals."""
    honour = {"DR": "Dr", "PR": "Pr", "MME": "Mme", "M": "M."}
    first = honour.get(person.title.upper(), person.title) or honour.get(person.civility.upper(), person.civility)
    given = person.given.title() if person.given.isupper() else person.given
    return " ".join(filter(None, (first, given, person.family.upper())))


def _location(place: Place, spoken: Spoken) -> Location:
    sector = Code(place.sector, spoken.label(SECTORS, place.sector)) if place.sector else None
    sign = place.sign if fold(place.sign) != fold(place.name) else ""
    return Location(
        place.name, place.line, place.postcode, place.city, place.department, sign, place.finess, place.siret, sector
    )


def _address(mailbox: Mailbox, dates: Dates) -> Address:
    return Address(
        mailbox.address,
        mailbox.kind,
        mailbox.operator or mailbox.address.rpartition("@")[2].lower(),
        mailbox.origin,
        dates.confirmed(mailbox.origin, mailbox.revision),
        f"{clock.from_ms(mailbox.published_at):%Y-%m-%d}",
        mailbox.rank == 1,
        mailbox.rank,
        mailbox.service,
        mailbox.description,
        mailbox.place if mailbox.place >= 0 else None,
    )


def _namesakes(person: Person, known: list[tuple[int, str, str]]) -> Namesakes | None:
    others = [(profession, department) for thing, profession, department in known if thing != person.thing]
    if not others:
        return None
    profession, department = entries.profile(person)
    if profession and all(each[0] != profession for each in others):
        apart = ["profession"]
    elif department and all(each[1] != department for each in others):
        apart = ["department"]
    elif profession and department and (profession, department) not in others:
        apart = ["profession", "department"]
    else:
        apart = ["identifier"]
    return Namesakes(min(len(others), MOST_NAMESAKES), apart)


def as_json(answer: Answer) -> bytes:
    """An answer on the wire."""
    return _encode(answer)


_encode = msgspec.json.Encoder().encode
