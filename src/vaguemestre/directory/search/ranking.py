"""Which of the records found come first.

What it keeps true: the order is total and says nothing that depends on how records were found; the same question of the
same index has the same answer.

Rules, each deciding only between those that the ones above leave equal: an identifier asked for, exactly · what is near
after what is exact or begins so, the fewest mistakes first · all words in the name itself, before some, before none · what
finished words are before what they begin · an address before none · somebody already written to · whole words before
beginnings · most words in the name · whose name the words leave least of · close to the searcher · an address said to be
preferred · alphabetical. Somebody without an address whom the words name whole is shown nonetheless (`in_order`): to
believe that another one is meant would be worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from vaguemestre.directory.search import entries
from vaguemestre.directory.search.asking import Question, Word
from vaguemestre.directory.search.records import Person, Record
from vaguemestre.directory.search.spoken import Spoken
from vaguemestre.documents.names import PARTICLES
from vaguemestre.documents.words import words

_WHOLE, _BEGINNING, _SOUND = 0, 1, 2
_UNKNOWN: Final = 9

# The régions of today, by département: who is in the same one is closer than who is not.
_REGIONS = (
    "01 03 07 15 26 38 42 43 63 69 73 74", "21 25 39 58 70 71 89 90", "22 29 35 56", "18 28 36 37 41 45", "2A 2B 20",
    "08 10 51 52 54 55 57 67 68 88", "02 59 60 62 80", "75 77 78 91 92 93 94 95", "14 27 50 61 76",
    "16 17 19 23 24 33 40 47 64 79 86 87", "09 11 12 30 31 32 34 46 48 65 66 81 82", "44 49 53 72 85",
    "04 05 06 13 83 84",
)  # fmt: skip
_REGION_OF = {department: number for number, region in enumerate(_REGIONS) for department in region.split()}


class Match(StrEnum):
    """How a record answers what was asked."""

    IDENTIFIER = "identifier"
    EXACT = "exact"
    BEGINNING = "beginning"
    SOUND = "sound"
    MISTAKE = "mistake"


@dataclass(frozen=True, slots=True)
class Nearby:
    """Where the searcher is: any of a postcode, a town (its filter word), a département."""

    postcode: str = ""
    town: str = ""
    department: str = ""

    def filters(self) -> list[str]:
        """The words that records there have, the closest first."""
        found = [entries.OTHER + self.postcode.lower()] if self.postcode else []
        found += [self.town] if self.town else []
        return [*found, entries.department_filter(self.department)] if self.department else found

    def steps(self, record: Record) -> int:
        """How far a record's closest place is: 0 the same postcode, 1 town, 2 département, 3 région, 4 elsewhere."""
        return min((self._steps(*_where(place)) for place in record.places), default=4)

    def _steps(self, postcode: str, town: str, department: str) -> int:
        if self.postcode and postcode == self.postcode:
            return 0
        if self.town and town == self.town:
            return 1
        if not self.department:
            return 4
        if department == self.department:
            return 2
        return 3 if _REGION_OF.get(department, -1) == _REGION_OF.get(self.department, -2) else 4


def _where(place: Any) -> tuple[str, str, str]:
    return place.postcode, entries.town_filter(place.city) if place.city else "", place.department


@dataclass(frozen=True, slots=True)
class Ranked:
    """A record and why it stands where it does."""

    key: tuple[Any, ...]
    match: Match
    weight: float  # of what the searcher wrote to it before
    record: Record
    loose: bool = False  # no more than what words that were finished begin with, or are near


def rank(
    record: Record, asked: Question, spoken: Spoken, nearby: Nearby | None, written_to: Mapping[str, float]
) -> Ranked | None:
    """Where a record stands; None where it does not answer (the index says no more than that it has the words)."""
    costs, in_name = _costs(record, asked, spoken)
    worst = max(costs, default=_WHOLE)
    if worst == _UNKNOWN:
        return None
    weight = (
        max((written_to.get(box.address.lower(), 0.0) for box in record.mailboxes), default=0.0) if written_to else 0.0
    )
    near = worst >= _SOUND
    loose = sum(cost == _BEGINNING and word.finished for cost, word in zip(costs, asked.words, strict=True))
    key = (
        near,
        sum(costs) if near else 0,
        0 if in_name == len(asked.words) else 1 if in_name else 2,
        loose,
        not record.mailboxes,
        -weight,
        worst > _WHOLE,
        -in_name,
        _left_over(record, asked) if in_name else 0,
        nearby.steps(record) if nearby is not None else 0,
        not any(box.rank == 1 for box in record.mailboxes),
        sum(costs),
        _name(record),
        record.thing,
    )
    return Ranked(key, _match(worst), weight, record, near or loose > 0)


def _match(worst: int) -> Match:
    if worst <= _BEGINNING:
        return Match.EXACT if worst == _WHOLE else Match.BEGINNING
    return Match.SOUND if worst == _SOUND else Match.MISTAKE


def _costs(record: Record, asked: Question, spoken: Spoken) -> tuple[list[int], int]:
    """What each word asked costs, and how many of them stand in the name itself."""
    own = entries.own_words(record)
    other: set[str] | None = None
    costs: list[int] = []
    in_name = 0
    joined = False
    for word in asked.words:
        if joined:
            joined = False
            costs.append(_WHOLE)
            in_name += 1
            continue
        cost = _cost(word, own)
        if cost:
            if word.with_next and word.with_next in own:
                joined = True
                cost = _WHOLE
            else:
                other = entries.other_words(record, spoken) if other is None else other
                elsewhere = _cost(word, other)
                if elsewhere < cost:
                    costs.append(elsewhere)
                    continue
        costs.append(cost)
        in_name += cost < _UNKNOWN
    return costs, in_name


def _cost(word: Word, found: set[str]) -> int:
    if not word.begun:
        for form in word.forms:
            if form in found:
                return _WHOLE
    for form in word.forms:
        for each in found:
            if each.startswith(form):
                return _BEGINNING
    if word.costs:
        near = [word.costs[each] for each in found if each in word.costs]
        if near:
            return min(near)
    return _UNKNOWN


def _left_over(record: Record, asked: Question) -> int:
    """How many words of the family name, or of a structure's, were not asked for; and particles asked that it lacks."""
    name = words(record.family if isinstance(record, Person) else record.places[0].name)
    forms = [form for word in asked.words for form in (*word.forms, *word.costs, *filter(None, (word.with_next,)))]
    left = 0
    for each in name:
        if each not in PARTICLES and not any(each.startswith(form) for form in forms):
            left += 1 if any(form.endswith(each) for form in forms) else 2
    return left + sum(1 for particle in asked.set_aside if particle not in name)


def _name(record: Record) -> str:
    if isinstance(record, Person):
        return f"{record.family} {record.given}"
    return record.places[0].name or record.places[0].sign


def in_order(found: Sequence[Ranked], limit: int) -> list[Ranked]:
    """The first ones; a third of the places stay for whole words without an address, which come after beginnings with one."""
    ordered = sorted(found, key=lambda each: each.key)
    first, rest = ordered[:limit], ordered[limit:]
    named = [each for each in rest if each.match is Match.EXACT and not each.record.mailboxes and not each.key[1]]
    room = limit // 3 - sum(1 for each in first if not each.record.mailboxes)
    missing = named[: max(0, room)]
    if not missing or all(each.match is Match.EXACT for each in first):
        return first
    return [*first[: limit - len(missing)], *missing]
