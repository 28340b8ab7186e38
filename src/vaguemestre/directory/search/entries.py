"""What a record is found by: its words, its codes, its numbers, and whose namesake it is.

What it keeps true: every word of a person's or structure's name, town, profession, know-how, place, service and address
is among its words, as `documents.names` writes them; the same code makes the words of what is kept and of what is asked.

Marks: the first letter of a word in the index says what it is. N: of the name itself. W: of anything else. F: a code,
which only filters ask for.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final

from vaguemestre.directory.search.records import Person, Record
from vaguemestre.directory.search.spoken import DEPARTMENTS, PROFESSIONS, SECTORS, SPECIALITIES, Spoken
from vaguemestre.documents.names import name_words, plain_words, written_out
from vaguemestre.documents.words import words

OWN: Final = "n"
OTHER: Final = "w"
_BEFORE_OWN, _BEFORE_OTHER = f" {OWN}", f" {OTHER}"
_NUMBERED = re.compile(r"^([^\d]{2,})(\d{2,})$")
_COMMON = frozenset(("mssante", "fr"))  # in every address: it would tell nothing


def kind_filter(kind: str) -> str:
    """The word that filters a kind of address (PER, ORG, APP, CAB)."""
    return "fm" + kind.lower()


def own_words(record: Record) -> set[str]:
    """The words of the name of a person or structure."""
    if isinstance(record, Person):
        return {*name_words(record.family), *name_words(record.given)}
    place = record.places[0]
    return {*structure_words(place.name), *structure_words(place.sign)}


def other_words(record: Record, spoken: Spoken) -> set[str]:
    """The words of everything else that a record says."""
    found: set[str] = set()
    update = found.update
    if isinstance(record, Person):
        for code in record.professions:
            update(spoken.words(PROFESSIONS, code))
        for code in record.know_how:
            update(spoken.words(SPECIALITIES, code))
        for place in record.places:
            update(structure_words(place.name))
            if place.sign:
                update(structure_words(place.sign))
    elif record.places[0].sector:
        update(spoken.words(SECTORS, record.places[0].sector))
    for place in record.places:
        update(_where_words(place.city, place.postcode, place.department))
        if place.department:
            update(spoken.words(DEPARTMENTS, place.department))
    for mailbox in record.mailboxes:
        update(address_words(mailbox.address))
        if mailbox.service:
            update(plain_words(mailbox.service))
        if mailbox.description:
            update(plain_words(mailbox.description))
    return found


def filters(record: Record) -> set[str]:
    """The codes that a record is filtered by, marks included."""
    found = {kind_filter(mailbox.kind) for mailbox in record.mailboxes}
    if isinstance(record, Person):
        found.update([profession_filter(code) for code in record.professions])
        found.update([know_how_filter(code) for code in record.know_how])
    for place in record.places:
        found.update(_where_filters(place.city, place.department))
        if place.finess or place.siret:
            found.add(organization_filter(place.organization_id))
    return found


def word_sets(record: Record, spoken: Spoken) -> tuple[set[str], set[str], set[str]]:
    """All that the index says of a record: its own words, its other ones, its filters."""
    own = own_words(record)
    return own, other_words(record, spoken) - own, filters(record)


def indexed(record: Record, spoken: Spoken) -> tuple[set[str], set[str], str]:
    """A record's own words, its other ones, and the line of marked words that the index takes."""
    own, other, codes = word_sets(record, spoken)
    line = f"{' '.join(codes)}{_BEFORE_OWN if own else ''}{_BEFORE_OWN.join(own)}"
    return own, other, f"{line}{_BEFORE_OTHER if other else ''}{_BEFORE_OTHER.join(other)}"


def numbers(record: Record) -> list[int]:
    """The keys of the identifiers and addresses that lead to a record."""
    if isinstance(record, Person):
        found = [record.rpps, "" if record.rpps and record.national_id == f"8{record.rpps}" else record.national_id]
    else:
        found = [record.places[0].finess, record.places[0].siret, record.technical_id]
    found += [mailbox.address.lower() for mailbox in record.mailboxes]
    return [number(each) for each in found if each]


def number(identifier: str) -> int:
    """The key of an identifier: itself where it is a number, below zero a digest of any other."""
    if identifier.isdigit() and len(identifier) < 18:
        return int(identifier)
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "big") | -(1 << 63)


def namesake(person: Person) -> int:
    """A key that all of one family and given name share."""
    name = f"{' '.join(name_words(person.family))}|{' '.join(name_words(person.given))}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def profile(person: Person) -> tuple[str, str]:
    """What tells a person from others of the same name at a glance: profession and département; empty where unknown."""
    profession = person.professions[0] if person.professions else ""
    return profession, next((place.department for place in person.places if place.department), "")


@lru_cache(maxsize=4096)
def profession_filter(code: str) -> str:
    """The word that filters a profession (TRE_G15)."""
    return "fp" + _token(code)


@lru_cache(maxsize=4096)
def know_how_filter(code: str) -> str:
    """The word that filters know-how (TRE_R38 and others)."""
    return "fk" + _token(code)


@lru_cache(maxsize=4096)
def department_filter(code: str) -> str:
    """The word that filters a département (13, 2A, 971)."""
    return "fd" + _token(code)


@lru_cache(maxsize=65_536)
def town_filter(city: str) -> str:
    """The word that filters a town, whatever its hyphens, accents, and St for Saint; without arrondissement or cedex."""
    return "ft" + "".join(written_out(word) for word in _town(city))


def _town(city: str) -> list[str]:
    """The words of a town's name, without what follows it: its arrondissement, its cedex."""
    kept: list[str] = []
    for word in words(city):
        if kept and (word[:1].isdigit() or word == "cedex"):
            break
        kept.append(word)
    return kept


def organization_filter(id_: int) -> str:
    """The word that filters who practises in a structure that has a FINESS or a SIRET."""
    return f"fo{id_}"


@lru_cache(maxsize=65_536)
def structure_words(text: str) -> tuple[str, ...]:
    """The words of a structure's name; letters apart make an acronym: "C.H.U." is found by "chu"."""
    found = plain_words(text)
    if "." not in text:
        return found
    letters, made = "", []
    for word in (*words(text), "  "):
        if len(word) == 1:
            letters += word
            continue
        if len(letters) > 1:
            made.append(letters)
        letters = ""
    return (*found, *made)


@lru_cache(maxsize=65_536)
def _where_words(city: str, postcode: str, department: str) -> tuple[str, ...]:
    return (*name_words(" ".join(_town(city))), *words(city), *words(postcode), *words(department))


@lru_cache(maxsize=65_536)
def _where_filters(city: str, department: str) -> tuple[str, ...]:
    found = (town_filter(city),) if city else ()
    return (*found, department_filter(department)) if department else found


def address_words(address: str) -> list[str]:
    """The words of an address, but those that all have. Letters and the number after them are two: "martin12345"."""
    local, _, domain = address.rpartition("@")
    return [*numbers_apart(words(local)), *_domain_words(domain)]


def numbers_apart(found: list[str]) -> list[str]:
    """Words, those that end with a number of some digits made two: else each would be a word of nobody else's."""
    if not any(word[-1:].isdigit() for word in found):
        return found
    return [part for word in found for part in _NUMBERED.sub(r"\1 \2", word).split(" ")]


@lru_cache(maxsize=16_384)
def _domain_words(domain: str) -> tuple[str, ...]:
    return tuple(word for word in words(domain) if word not in _COMMON)


@lru_cache(maxsize=16_384)
def _token(code: str) -> str:
    return "".join(words(code))
