"""A population that does not exist: who its people are, what they practise and where, and how that changes by the day.

What it keeps true: the same numbers (people, seed, day) give the same register, octet for octet; a day differs from the day
before as real ones do; memory does not grow with the register; every identifier is beyond the real ones (RPPS and FINESS
begin with 99) and its key is right, but for the share that `Defects` says.

Rules:
1. Everything about a person is drawn from their number by a hash, never from a source of chance: any of them can be made
   without the others, and a day is no more than another argument.
2. Professions and addresses follow the golden ratio instead, so that shares are met by the smallest register too: 20.3 % of
   dentists have an address among a thousand of them as among fifty thousand.
3. A local part taken already is numbered; only a bitmap of fixed size remembers which are.
"""

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from struct import Struct
from typing import Final

from vaguemestre.directory.fictitious import names, places, professions
from vaguemestre.directory.fictitious.places import CHIEF_TOWNS, COMMUNES, DEPARTMENTS, Commune
from vaguemestre.directory.fictitious.professions import PROFESSIONS, STRUCTURES, KnowHow, Profession
from vaguemestre.directory.identifiers import key

FIRST_DAY: Final = date(2026, 1, 5)
NATION: Final = 1_950_000

# Of one person or address, a day: measured churn of the real register (spec §6).
_BIRTHS, _DEATHS = 1.4e-4, 0.8e-4
_OPENED, _CLOSED = 2.4e-4, 8.7e-4
_DAYS_BETWEEN_MOVES, _DAYS_BETWEEN_EDITS, _CARD_DAYS = 900, 90, 1095
_PRACTISING = 0.96
_GOLDEN = (math.sqrt(5) - 1) / 2
_SHORT = 1 << 16
_HASHED, _SHORTS = Struct("<QQQ"), Struct("<32H")
_PERSON, _ACTIVITY, _MOVE, _EDIT, _HOUSE = 0, 1000, 2000, 1 << 32, 1 << 40
_TAKEN_BITS = 1 << 26


@dataclass(frozen=True, slots=True)
class Defects:
    """Shares, of one, of what is wrong in real files."""

    key: float = 0.0005  # an RPPS or FINESS whose key is wrong
    blank_postal: float = 0.01  # a place without a postal address
    repeated: float = 0.0003  # an address with two bearers


FLAWLESS: Final = Defects(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Fiction:
    """Which register: how many people it had on its first day, its seed, and how many days passed since.

    `lone` is the share of employed people whose place is theirs alone in the register: 0, and there is about one
    organization for three people; 1, and there is about one for each, as in the national register with all it holds.
    """

    people: int
    seed: int = 0
    day: int = 0
    defects: Defects = Defects()
    lone: float = 0.0


@dataclass(frozen=True, slots=True)
class _Place:
    """A place of practice, as both files write it."""

    kind: str  # of STRUCTURES, or "" for a practice of one's own
    identification: tuple[str, str]  # its type and value, for the file of addresses
    before: str  # from the SIRET to the country
    phones: str
    after: str  # from the department to the sector
    postal: str  # from the name to the country, for the file of addresses
    house: str  # its domain
    department: str


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody: who they are, and whether they still practise, and had an address on the first day."""

    number: int
    drawn: tuple[int, ...]
    profession: Profession
    kind: str  # 8 RPPS, 0 ADELI
    identifier: str
    national: str
    civility: str
    title: str
    family: str
    given: str
    category: str
    born: int
    gone: bool
    practising: bool
    addressed: bool

    @property
    def identity(self) -> str:
        return f"{self.kind}|{self.identifier}|{self.national}"

    @property
    def trade(self) -> str:
        return f"{self.profession.code}|{self.profession.label}|{self.category}|{professions.CATEGORIES[self.category]}"


# Of activities, know-how, diplomas, cards, addresses.
Rows = tuple[list[str], list[str], list[str], list[str], list[str]]
_NOBODY: Final[Rows] = ([], [], [], [], [])


def register(fiction: Fiction) -> Iterator[Rows]:
    """The rows of each person, then those of establishments; a person withdrawn has none."""
    made = _Maker(fiction)
    for number in range(fiction.people + int(fiction.people * _BIRTHS * fiction.day)):
        yield made.person(number)
    yield from made.organizational()


class _Maker:
    """Makes people, one after the other by number."""

    def __init__(self, fiction: Fiction) -> None:
        self._fiction, self._day = fiction, fiction.day
        self._seed = fiction.seed % (1 << 64)
        self._start = self._draw(0, _HOUSE)[0] / _SHORT
        self._stride = 10**8 // (2 * fiction.people + 1000)
        self._taken = bytearray(_TAKEN_BITS // 8)
        weights = list(accumulate(each.thousands for each in PROFESSIONS))
        self._bounds = [weight / weights[-1] for weight in weights]
        self._houses, self._base = self._settle()
        self._establishment = lru_cache(1 << 14)(self._make_establishment)
        self._repeat = _threshold(fiction.defects.repeated)
        self._wrong = _threshold(fiction.defects.key)
        self._blank = _threshold(fiction.defects.blank_postal)
        self._last = ""

    def person(self, number: int) -> Rows:
        """The rows of one person."""
        person = self._somebody(number)
        address = self._address(person) if person.practising else ""
        if person.gone:
            return _NOBODY
        skill = _skill(person.profession, person.drawn[13])
        activities, first = self._activities(person, skill)
        addresses: list[str] = []
        if first is not None and address:
            addresses.extend(self._address_rows(address, person, skill, first))
        cards = [self._card(person)] if person.practising and _has_card(person) else []
        return activities, _know_how(person, skill), _diplomas(person), cards, addresses

    def _somebody(self, number: int) -> _Person:
        fiction, drawn = self._fiction, self._draw(number, _PERSON)
        share = (number * _GOLDEN + self._start) % 1.0
        which = bisect_right(self._bounds, share)
        profession = PROFESSIONS[which]
        low = self._bounds[which - 1] if which else 0.0
        within = (share - low) / (self._bounds[which] - low)
        later = number - fiction.people
        born = 0 if later < 0 else int((later + 1) / (fiction.people * _BIRTHS)) + 1
        gone = born + _wait(drawn[0], drawn[1], _DEATHS) <= self._day
        woman = drawn[2] < profession.women * _SHORT
        title = "" if not profession.titled else "PR" if drawn[11] < 900 else "DR"
        category = "M" if drawn[12] < 300 else "E" if drawn[12] > 65_000 and profession.titled else "C"
        family, given = _names(woman, drawn)
        addressed = within < _PRACTISING * profession.addressed
        identified = self._identify(number, profession, drawn)
        return _Person(
            number, drawn, profession, *identified, "MME" if woman else "M", title, family, given, category,
            born, gone, within < _PRACTISING, addressed,
        )  # fmt: skip

    def _activities(self, person: _Person, skill: KnowHow) -> tuple[list[str], _Place | None]:
        prefix = (
            f"{person.identity}|{person.title}|{professions.TITLES.get(person.title, '')}|{person.civility}|"
            f"{professions.CIVILITIES[person.civility]}|{person.family}|{person.given}|{person.trade}|{_typed(skill)}|"
        )
        if not person.practising:
            return [prefix + "|" * 39], None
        first, rows = None, []
        for slot in range(_practices(person.drawn[14])):
            place, activity = self._activity(person, slot, self._day)
            first = first or place
            rows.append(prefix + activity)
        return rows, first

    def organizational(self) -> Iterator[Rows]:
        """The rows of the addresses of establishments."""
        for kind, structure in STRUCTURES.items():
            for commune in COMMUNES:
                for number in range(self._houses[kind][commune.rank]):
                    place = self._establishment(kind, commune.rank, number)
                    found = self._draw(self._base[kind][commune.rank] + number, _HOUSE + 1)
                    if found[2] >= self._expected(structure, commune) * _SHORT:
                        continue  # a small register has one of each in each commune, and no more addresses for that
                    boxes = int(structure.boxes * (0.5 + found[0] / _SHORT)) if structure.boxes >= 2 else int(
                        found[0] < structure.boxes * _SHORT
                    )  # fmt: skip
                    if boxes:
                        yield ([], [], [], [], list(self._box_rows(structure, place, found, boxes, number)))

    def _box_rows(
        self, structure: professions.Structure, place: _Place, found: tuple[int, ...], boxes: int, number: int
    ) -> Iterator[str]:
        for box in range(boxes):
            drawn = found[1 + box % 30]
            if _wait(drawn, found[31 - box % 30], _CLOSED) <= self._day:
                continue
            service = structure.services[(found[31] + box * 7) % len(structure.services)] if structure.services else ""
            local = _slug(service) if service else ("secretariat", "contact", "accueil", "messagerie")[drawn % 4]
            local += f"-{number + 1}" if number else ""
            local += f"-{box + 1}" if box >= len(structure.services) > 0 else ""
            kind, value = place.identification
            yield (
                f"ORG|{local}@{place.house}||||{kind}|{value}|{service}||||||||||"
                f"{('False', 'True', '')[drawn % 3]}|{place.postal}"
            )

    def _draw(self, number: int, what: int) -> tuple[int, ...]:
        """32 numbers below 65,536, always the same for the same arguments."""
        return _SHORTS.unpack(blake2b(_HASHED.pack(number, what, self._seed)).digest())

    def _expected(self, structure: professions.Structure, commune: Commune) -> float:
        return structure.count * self._fiction.people / NATION * commune.people / _INHABITANTS

    def _settle(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """How many establishments of each kind each commune has, and the number of the first of them."""
        houses: dict[str, list[int]] = {}
        base: dict[str, list[int]] = {}
        passed = 0
        for kind, structure in STRUCTURES.items():
            houses[kind] = [
                max(1, round(self._expected(structure, each))) if _has(each, structure.town) else 0 for each in COMMUNES
            ]
            base[kind] = [passed + each for each in accumulate([0, *houses[kind][:-1]])]
            passed = base[kind][-1] + houses[kind][-1]
        return houses, base

    def _identify(self, number: int, profession: Profession, drawn: tuple[int, ...]) -> tuple[str, str, str]:
        """Type of identifier, identifier, national identifier."""
        wrong = drawn[20] < self._wrong
        if profession.code == "93" and drawn[21] < 13_000:  # ADELI, until they have an RPPS
            payload = 99 * 10**6 + number // 4 % 10**6
            identifier = f"{payload}{(key(payload) + wrong) % 10}"
            return "0", identifier, f"0{identifier}"
        payload = 99 * 10**8 + number * self._stride + drawn[9] % self._stride
        identifier = f"{payload}{(key(payload) + wrong) % 10}"
        return "8", identifier, f"8{identifier}"

    def _activity(self, person: _Person, slot: int, day: int) -> tuple[_Place, str]:
        """Where a person practises on a day, and the columns that say so."""
        number, profession = person.number, person.profession
        drawn = self._draw(number, _ACTIVITY + slot)
        moves, edits = _times(day, drawn[0], _DAYS_BETWEEN_MOVES), _times(day, drawn[1], _DAYS_BETWEEN_EDITS)
        liberal = drawn[2] < profession.liberal * _SHORT
        home = places.BY_PEOPLE[person.drawn[10] & 4095]
        where = self._draw(number, _MOVE + slot + 16 * moves) if moves else drawn
        commune = _near(home, where) if slot or moves else home
        place = self._place(person, slot, moves, liberal, commune, where)
        changed = self._draw(number, _EDIT + slot + 16 * edits) if edits else drawn
        phones = place.phones if place.kind else _phones(changed, place.department)
        genre, function, section = _role(profession, liberal, place.kind, changed)
        mode = "L" if liberal else "B" if drawn[3] < 60 else "S"
        return place, (
            f"{mode}|{professions.MODES[mode]}|{place.before}|{phones}|{place.after}|"
            f"{section}|{professions.SECTIONS.get(section, '')}|{function}|{professions.FUNCTIONS[function]}|"
            f"{genre}|{professions.GENRES[genre]}|"
        )

    def _place(
        self, person: _Person, slot: int, moves: int, liberal: bool, commune: Commune, drawn: tuple[int, ...]
    ) -> _Place:
        profession = person.profession
        kind = _liberal_place(profession, drawn[4]) if liberal else _weighted(profession.employers, drawn[4])
        if not kind or (not liberal and drawn[5] < self._fiction.lone * _SHORT):
            return self._own_place(person, slot, moves, commune, drawn)
        if not _has(commune, STRUCTURES[kind].town):
            commune = CHIEF_TOWNS[commune.department]
        return self._establishment(kind, commune.rank, drawn[6] % self._houses[kind][commune.rank])

    def _own_place(self, person: _Person, slot: int, moves: int, commune: Commune, drawn: tuple[int, ...]) -> _Place:
        """A practice of somebody's own, a company of one person for some."""
        number, profession, family = person.number, person.profession, person.family
        called = professions.PRACTICES.get(profession.code, "CABINET")
        doctor = "DR " if profession.titled else ""
        name, sign = f"{called} {doctor}{family}", ""
        siret = siren = ""
        rank = 1 + slot + 4 * (moves % 24)
        technical = f"R99{number:09d}{slot:01d}{moves % 100:02d}"
        payload = f"{99 * 10**8 + number * self._stride}"[:10]
        body = int(f"{payload}{key(int(payload))}{rank:02d}")
        former = f"4{body}{key(body)}"
        sector = "SA07"
        identification = ("RPPS-rang", former[1:])
        if drawn[7] < 10_000 and (slot, moves) == (0, 0):
            siren, siret = _siret(9 * 10**7 + number % 10**7, 1)
            name, sign, sector = f"SELARL {doctor}{family}", name, "SA09"
            technical, former, identification = f"C{siret}", f"3{siret}", ("SIRET", siret)
        elif drawn[7] < 25_000:
            sign = f"{called} {_street(drawn)[2].upper()}"
        return self._build(
            "", (siret, siren, "", "", technical, name, sign), former, identification, commune, drawn,
            professions.REGISTRARS.get(profession.code, "ARS"), sector,
        )  # fmt: skip

    def _make_establishment(self, kind: str, rank: int, number: int) -> _Place:
        structure, commune = STRUCTURES[kind], COMMUNES[rank]
        index = self._base[kind][rank] + number
        drawn = self._draw(index, _HOUSE + 2)
        finess = legal = siret = siren = ""
        if structure.identified == "FINESS":
            finess, legal = (
                self._finess(index, commune, drawn[20]),
                self._finess(index // 3 * 3 + 500_000, commune, _SHORT),
            )
        if structure.identified == "SIRET" or drawn[8] < 20_000:
            siren, siret = _siret(29 * 10**6 + index, 1 + drawn[8] % 9)
        called = structure.names[drawn[9] % len(structure.names)]
        street = places.STREETS[drawn[10] % len(places.STREETS)]
        name = called.format(town=commune.name, street=street).upper()
        sign = "" if drawn[11] < 45_000 else name.removeprefix("CENTRE HOSPITALIER DE ").title()
        identified = (siret, siren, finess, legal, f"F{finess}" if finess else f"C{siret}", name, sign)
        former = f"1{finess}" if finess else f"3{siret}"
        identification = ("FINESS", finess) if finess else ("SIRET", siret)
        return self._build(
            kind, identified, former, identification, commune, drawn, "FINESS" if finess else "ARS", structure.sector
        )

    def _finess(self, index: int, commune: Commune, chance: int) -> str:
        if commune.department in ("2A", "2B"):  # no key is known where a letter stands
            return f"{commune.department}99{index % 10**5:05d}"
        payload = 99 * 10**6 + index % 10**6
        return f"{payload}{(key(payload) + (chance < self._wrong)) % 10}"

    def _build(
        self,
        kind: str,
        identified: tuple[str, ...],
        former: str,
        identification: tuple[str, str],
        commune: Commune,
        drawn: tuple[int, ...],
        registrar: str,
        sector: str,
    ) -> _Place:
        code, label, street = _street(drawn)
        department = DEPARTMENTS[commune.department]
        number = str(1 + drawn[12] % 180) if code else ""
        repetition = ("B", "T")[drawn[12] % 2] if number and drawn[13] < 3000 else ""
        recipient = places.COMPLEMENTS[drawn[14] % 7] if drawn[14] < 9000 else ""
        point = places.RESIDENCES[drawn[15] % 8] if drawn[15] < 12_000 else ""
        mention = f"BP {1 + drawn[16] % 900}" if kind and drawn[16] < 12_000 else ""
        town = commune.name.upper()
        cedex = f"{commune.postcode} {_PARIS.sub('', town)}{' CEDEX' if mention else ''}"
        if drawn[17] < self._blank:
            before, where, written = "|".join(identified) + "|" * 14, "|", f"{identified[5]}|{identified[6]}" + "|" * 11
        else:
            before = (
                f"{'|'.join(identified)}|{recipient}|{point}|{number}|{repetition}|{code}|{label}|{street}|{mention}|"
                f"{cedex}|{commune.postcode}|{commune.code}|{town}|99000|France"
            )
            where = f"{commune.department}|{department}"
            written = (
                f"{identified[5]}|{identified[6]}|{recipient}|{point}|{number}|{repetition}|{label}|{street}|{mention}|"
                f"{town}|{commune.postcode}|{department}|France"
            )
        house = f"{_HOUSES.get(kind, 'cabinet')}-{_slug(_PARIS.sub('', commune.name.upper()))}.demo.mssante.fr"
        after = f"{where}|{former}|{registrar}|{sector}|{professions.SECTORS[sector]}"
        phones = _phones(drawn, commune.department)
        return _Place(kind, identification, before, phones, after, written, house, commune.department)

    def _address(self, person: _Person) -> str:
        """The address of a person today, or an empty text: that of where they practised first, wherever they moved since.

        The local part of who had one on the first day is marked as taken, though they have gone.
        """
        drawn, born = person.drawn, person.born
        rate = _CLOSED if person.addressed else _OPENED * person.profession.addressed * 4
        passed = born + _wait(drawn[23], drawn[24], rate) <= self._day
        if not person.addressed and not passed:
            return ""
        place, _ = self._activity(person, 0, 0)
        plain = f"{_slug(person.given)}.{_slug(person.family)}"
        domain = _domain(person.profession, drawn[22], place)
        if not person.addressed:
            return f"{plain}{person.number}@{domain}"
        taken = self._take(f"{plain}@{domain}")
        if passed:
            return ""
        return f"{plain}{person.number}@{domain}" if taken else f"{plain}@{domain}"

    def _take(self, address: str) -> bool:
        """Whether an address may be taken already; it is from now on."""
        bit = int.from_bytes(blake2b(address.encode(), digest_size=8).digest(), "little") % _TAKEN_BITS
        place, mask = bit >> 3, 1 << (bit & 7)
        before = self._taken[place]
        self._taken[place] = before | mask
        return bool(before & mask)

    def _address_rows(self, address: str, person: _Person, skill: KnowHow, place: _Place) -> Iterator[str]:
        drawn = person.drawn
        structure = "|".join(place.identification) if drawn[25] < 40_000 else "|"
        postal = place.postal if drawn[26] >= self._blank else "|" * 12
        category = f"{person.category}|{professions.CATEGORIES[person.category]}"
        row = (
            f"|{person.identity}|{structure}||{person.title or person.civility}|{person.family}|{person.given}|{category}|"
            f"{person.profession.code}|{person.profession.label}|{skill.code}|{skill.label}|"
            f"{('False', 'False', 'True')[drawn[27] % 3]}|{postal}"
        )
        yield f"PER|{address}{row}"
        if drawn[28] < self._repeat and self._last:
            yield f"PER|{self._last}{row}"
        self._last = address

    def _card(self, person: _Person) -> str:
        number, drawn = person.number, person.drawn
        elapsed = self._day + drawn[29] % _CARD_DAYS
        turn, age = divmod(elapsed, _CARD_DAYS)
        start = FIRST_DAY + timedelta(self._day - age)
        end = start + timedelta(_CARD_DAYS)
        after = drawn[30] % 400
        opposed = f"{start + timedelta(after):%Y%m%d}" if drawn[30] < 1300 and age > after else ""
        student = person.category == "E"
        kind = "CPF|Carte de professionnel en formation" if student else "CPS|Carte de professionnel de santé"
        return (
            f"{_known(person)}|{kind}|{number * 64 + turn % 64:010d}|{person.national}|"
            f"{start:%Y%m%d}|{end:%Y%m%d}|{opposed}|{start:%Y%m%d}"
        )


_HOUSES: Final = {
    "university hospital": "chu",
    "hospital": "ch",
    "clinic": "clinique",
    "non-profit hospital": "fondation",
    "nursing home": "ehpad",
    "health centre": "cds",
    "health house": "msp",
    "laboratory": "labo",
    "pharmacy": "officine",
    "imaging centre": "imagerie",
    "group practice": "cabinets",
    "territorial community": "cpts",
}
_INHABITANTS: Final = sum(each.people for each in COMMUNES)
_PARIS: Final = re.compile(r" \d+E?R? ARRONDISSEMENT$")
_NOT_LOCAL: Final = re.compile(r"[^a-z0-9]+")
_NEIGHBOURS: Final[dict[str, list[Commune]]] = {
    department: [each for each in COMMUNES if each.department == department] for department in CHIEF_TOWNS
}


def _threshold(share: float) -> int:
    return round(share * _SHORT)


def _wait(high: int, low: int, rate: float) -> float:
    """Days until something that happens at `rate` a day, for a number drawn."""
    return -math.log(1 - (high * _SHORT + low) / _SHORT**2) / rate if rate else math.inf


def _has(commune: Commune, town: int) -> bool:
    return commune.people >= town or CHIEF_TOWNS[commune.department] is commune


def _near(home: Commune, drawn: tuple[int, ...]) -> Commune:
    if drawn[18] < 30_000:
        return home
    if drawn[18] < 58_000:
        neighbours = _NEIGHBOURS[home.department]
        return neighbours[drawn[19] % len(neighbours)]
    return places.BY_PEOPLE[drawn[19] & 4095]


def _times(day: int, drawn: int, apart: int) -> int:
    """How often what happens once in `apart` days happened by a day."""
    return (day * _SHORT + drawn * apart) // (_SHORT * apart)


def _known(person: _Person) -> str:
    return f"{person.identity}|{person.family}|{person.given}"


def _typed(skill: KnowHow) -> str:
    return f"{skill.type}|{professions.KNOW_HOW_TYPES.get(skill.type, '')}|{skill.code}|{skill.label}"


def _know_how(person: _Person, skill: KnowHow) -> list[str]:
    if not skill.code:
        return []
    rows = [f"{_known(person)}|{person.trade}|{_typed(skill)}"]
    other = _skill(person.profession, person.drawn[15])
    if person.drawn[16] < 4000 and other.code not in ("", skill.code):
        rows.append(f"{_known(person)}|{person.trade}|{_typed(other)}")
    return rows


def _diplomas(person: _Person) -> list[str]:
    drawn, (code, label) = person.drawn, person.profession.diploma
    obtained = "DE|Diplôme d'Etat français" if code.startswith("DE") else "DIV|Diplôme, certificat ou titre"
    foreign = drawn[17] < 1500
    authorized = "AUT01|Autorisation ministérielle d'exercice|DIS01|Exercice de la profession" if foreign else "|||"
    rows = [f"{_known(person)}|{obtained}|{code}|{label}|{authorized}"]
    if drawn[18] < 6000:
        university = f"DU|Diplôme universitaire ou interuniversitaire|DU{drawn[18] % 60:02d}|Diplôme d'université"
        rows.append(f"{_known(person)}|{university}||||")
    return rows


def _has_card(person: _Person) -> bool:
    return person.drawn[19] < (52_000 if person.profession.code in professions.REGISTRARS else 12_000)


def _practices(drawn: int) -> int:
    return 1 if drawn < 58_000 else 2 if drawn < 64_300 else 3 if drawn < 65_300 else 4


def _names(woman: bool, drawn: tuple[int, ...]) -> tuple[str, str]:
    """Family and given name as the files write them: in capitals, most without accents."""
    family, given = names.family(drawn[3], drawn[4], drawn[5]), names.given(woman, drawn[6], drawn[7])
    if drawn[8] < 45_000:
        return _plain(family.upper()), _plain(given.upper())
    return family.upper(), given if drawn[8] < 56_000 else given.upper()


@lru_cache(1 << 15)
def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name.replace("Ł", "L").replace("Đ", "D").replace("Œ", "OE"))
    return "".join(each for each in decomposed if not unicodedata.combining(each))


@lru_cache(1 << 15)
def _slug(name: str) -> str:
    return _NOT_LOCAL.sub("-", _plain(name.upper()).lower().replace("ı", "i")).strip("-")


@lru_cache(None)
def _ladder(code: str) -> tuple[tuple[float, ...], tuple[KnowHow, ...]]:
    profession = next(each for each in PROFESSIONS if each.code == code)
    weights = list(accumulate(each.weight for each in profession.know_how))
    return tuple(weight / weights[-1] * _SHORT for weight in weights), profession.know_how


_UNSKILLED: Final = KnowHow("", "", "", 1)


def _skill(profession: Profession, drawn: int) -> KnowHow:
    if not profession.know_how:
        return _UNSKILLED
    steps, skills = _ladder(profession.code)
    return skills[bisect_right(steps, drawn)]


def _liberal_place(profession: Profession, drawn: int) -> str:
    """The kind of place somebody self-employed practises at, or an empty text for one of their own."""
    if profession.code == "21":
        return "pharmacy" if drawn < 60_000 else "laboratory"
    if "fitter" in profession.employers:
        return "fitter"
    if drawn < 5000:
        return "group practice"
    if drawn < 9000:
        return "health house"
    return "clinic" if drawn < 13_000 and profession.titled else ""


def _weighted(choices: dict[str, float], drawn: int) -> str:
    point = drawn / _SHORT * sum(choices.values())
    for choice, weight in choices.items():
        point -= weight
        if point < 0:
            return choice
    return next(iter(choices))


def _role(profession: Profession, liberal: bool, kind: str, drawn: tuple[int, ...]) -> tuple[str, str, str]:
    """Genre, function and section of the pharmacists' table of an activity."""
    genre = "GENR01" if drawn[20] < 61_000 else "GENR02" if liberal else ("GENR04", "GENR08", "GENR99")[drawn[20] % 3]
    section = ""
    if profession.code == "21":
        section = "G" if kind == "laboratory" else "A" if liberal else "D" if kind == "pharmacy" else "H"
        function = "FON-41" if liberal else "FON-42" if kind == "pharmacy" else "FON-21"
    elif genre == "GENR02":
        function = "FON-08"
    elif liberal:
        function = "FON-01" if drawn[21] < 40_000 else "FON-02" if drawn[21] < 52_000 else "FON-03"
    elif kind in ("hospital", "university hospital") and profession.titled:
        function = "FON-21" if drawn[21] < 62_000 else "FON-24"
    else:
        function = "FON-AU" if drawn[21] < 63_000 else "FON-28"
    return genre, function, section


def _domain(profession: Profession, drawn: int, place: _Place) -> str:
    if place.kind in ("hospital", "university hospital", "clinic", "non-profit hospital", "laboratory") and drawn % 3:
        return place.house
    point = drawn / _SHORT
    for share, domain in professions.DOMAINS:
        point -= share
        if point < 0:
            return domain
    return professions.OWN_DOMAIN.get(profession.code, "pro.demo.mssante.fr")


def _street(drawn: tuple[int, ...]) -> tuple[str, str, str]:
    code, label = places.BY_USE[drawn[22] & 4095]
    return code, label, places.STREETS[drawn[23] % len(places.STREETS)]


def _phones(drawn: tuple[int, ...], department: str) -> str:
    """Telephone, a second one, fax, e-mail: a quarter of places have one."""
    area = {"97": "05", "98": "02"}.get(department[:2], f"0{1 + ord(department[-1]) % 5}")
    first = f"{area}99{drawn[24] % 1000:03d}{drawn[25] % 1000:03d}" if drawn[26] < 18_000 else ""
    second = f"0699{drawn[27] % 1000:03d}{drawn[28] % 1000:03d}" if drawn[29] < 1500 else ""
    fax = f"{area}98{drawn[27] % 1000:03d}{drawn[25] % 1000:03d}" if drawn[29] > 60_000 else ""
    email = f"contact{drawn[30]}@cabinet.example" if drawn[31] < 2500 else ""
    return f"{first}|{second}|{fax}|{email}"


def _siret(siren_payload: int, rank: int) -> tuple[str, str]:
    siren = siren_payload * 10 + key(siren_payload)
    payload = siren * 10_000 + rank
    return str(siren), f"{payload}{key(payload)}"
