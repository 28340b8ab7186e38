"""Addresses for somebody: what they are proposed, most obvious first, from their names and their profession's domain.

Kept true: an address is in ASCII, lower case, and valid everywhere (RFC 5321 §4.5.3.1.1: 64 octets before the @); it is made of
the person's own names; particles, hyphens and apostrophes are written as people write them in addresses
(`jean-baptiste.delatour`); who shares a name with a colleague gets another form of their own name before any number.

Pure: who is taken is asked of the caller.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from vaguemestre.documents.words import fold

_MOST_LOCAL = 64
_PARTICLES = {
    "de",
    "d",
    "du",
    "des",
    "la",
    "le",
    "les",
    "l",
    "von",
    "van",
    "der",
    "den",
    "el",
    "al",
    "ben",
    "bint",
    "da",
    "dos",
}
_NOT_KEPT = re.compile(r"[^a-z0-9]+")
_LETTERS = re.compile(r"[a-z]")
_ANY = "*"


def local_parts(given: str, family: str) -> Iterator[str]:
    """What may stand before the @, best first, without end; nothing where the names hold no letter."""
    first, last = _given(given), _family(family)
    if not _LETTERS.search(first + last):
        return
    seen: set[str] = set()
    for each in _forms(first, last, family):
        kept = each.strip(".-")[:_MOST_LOCAL].strip(".-")
        if kept and kept not in seen:
            seen.add(kept)
            yield kept
    base = ".".join(part for part in (first, last) if part)
    number = 2
    while True:
        yield f"{base[: _MOST_LOCAL - 6].strip('.-')}{number}"
        number += 1


def propose(given: str, family: str, domain: str, taken: Callable[[str], bool], count: int = 4) -> list[str]:
    """Free addresses at a domain, best first; an empty list where the names make none."""
    found: list[str] = []
    for tried, local in enumerate(local_parts(given, family)):
        if len(found) == count or tried == 1000:
            break
        address = f"{local}@{domain}"
        if not taken(address):
            found.append(address)
    return found


def belongs(address: str, given: str, family: str, domain: str) -> bool:
    """Whether an address is one that this person may choose: of the domain, and made of their names."""
    local, at, where = address.lower().rpartition("@")
    if not at or where != domain:
        return False
    for tried, form in enumerate(local_parts(given, family)):
        if form == local:
            return True
        if tried == 1000:
            break
    return False


def domain_for(professions: tuple[str, ...], domains: Mapping[str, str]) -> str:
    """The domain for somebody of these professions (TRE_G15), by code, `*` for any other; empty where there is none."""
    return next((domains[code] for code in professions if code in domains), domains.get(_ANY, ""))


def _forms(first: str, last: str, family: str) -> Iterator[str]:
    yield ".".join(part for part in (first, last) if part)
    halves = [part for part in re.split(r"[-\s]+", family) if part]
    if len(halves) > 1 and first:
        for half in (halves[0], halves[-1]):
            if len(_squeezed(half)) > 2 and fold(half) not in _PARTICLES:
                yield f"{first}.{_squeezed(half)}"
    if first and last:
        yield f"{last}.{first}"
        if "-" in first:
            yield f"{''.join(part[:1] for part in first.split('-'))}.{last}"
        yield f"{first[:1]}.{last}"
        yield f"{first}-{last}"


def _given(text: str) -> str:
    """Given names as they stand in an address: a compound one keeps its hyphen; of several, the first."""
    words = [word for word in re.split(r"[\s,]+", fold(text)) if word]
    return "-".join(part for part in (_NOT_KEPT.sub("", each) for each in words[0].split("-")) if part) if words else ""


def _family(text: str) -> str:
    """A family name as it stands in an address: hyphens kept, particles joined to what they belong to."""
    written, pending = [], ""
    for word in fold(text).replace("'", " ").split():
        part = "-".join(each for each in (_NOT_KEPT.sub("", half) for half in word.split("-")) if each)
        if part in _PARTICLES:
            pending += part
        elif part:
            written.append(pending + part)
            pending = ""
    return "-".join([*written, pending] if pending else written)


def _squeezed(text: str) -> str:
    return _NOT_KEPT.sub("", fold(text))
