"""What the extraction files say of some people: lines of four files brought together under each person.

Rules:
1. A person is named by the national identifier (IdNat_PS). Names, profession and civility are those of the first of the
   person's lines in the file of activities; the other files name only people whom that one does not know.
2. A line of the file of activities is a person practising at a place; lines that differ by know-how alone are one
   activity. A line without place, mode, function, genre or section says what the person is, and no activity.
3. A place is named by its technical identifier, else by its FINESS or SIRET; where lines disagree about one, the last
   one read counts.

Facts: spec directory §2; IdNat_PS and IdNat_Struct, §5.3.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from vaguemestre.directory import identifiers
from vaguemestre.directory.identifiers import Flaw
from vaguemestre.directory.model import Qualified
from vaguemestre.documents.extraction import Kind
from vaguemestre.documents.words import fold

_MOST_DOUBTS = 1000
MOST_LINES = 2000  # of one person in one file; the most seen is some dozens

# (national identifier, civility, title, family, given, profession, category)
Named = tuple[str, ...]
# (technical identifier, profession, category, mode, function, genre, section)
Exercise = tuple[str, ...]

# The fields wanted of each file, in the order that the readers below count on.
WANTED: dict[Kind, tuple[str, ...]] = {
    Kind.ACTIVITIES: (
        "Identification nationale PP",  # 0
        "Code civilité",
        "Code civilité d'exercice",
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code profession",  # 5
        "Code catégorie professionnelle",
        "Code mode exercice",
        "Code rôle",
        "Code genre activité",
        "Code section tableau pharmaciens",  # 10
        "Code type savoir-faire",
        "Code savoir-faire",
        "Identifiant technique de la structure",  # 13
        "Numéro FINESS site",
        "Numéro FINESS établissement juridique",
        "Numéro SIRET site",
        "Numéro SIREN site",
        "Ancien identifiant de la structure",
        "Raison sociale site",
        "Enseigne commerciale site",  # 20
        "Code secteur d'activité",
        "Complément destinataire (coord. structure)",
        "Complément point géographique (coord. structure)",
        "Numéro Voie (coord. structure)",
        "Indice répétition voie (coord. structure)",
        "Code type de voie (coord. structure)",
        "Libellé Voie (coord. structure)",
        "Mention distribution (coord. structure)",
        "Bureau cedex (coord. structure)",
        "Code postal (coord. structure)",  # 30
        "Code commune (coord. structure)",
        "Libellé commune (coord. structure)",
        "Code Département (structure)",
        "Code pays (coord. structure)",
        "Téléphone (coord. structure)",
        "Téléphone 2 (coord. structure)",
        "Télécopie (coord. structure)",
        "Adresse e-mail (coord. structure)",
        "Autorité d'enregistrement",
        # Words of codes: 40 and after.
        "Libellé civilité",
        "Libellé civilité d'exercice",
        "Libellé profession",
        "Libellé catégorie professionnelle",
        "Libellé mode exercice",
        "Libellé rôle",
        "Libellé genre activité",
        "Libellé section tableau pharmaciens",
        "Libellé type savoir-faire",
        "Libellé savoir-faire",
        "Libellé secteur d'activité",  # 50
        "Libellé type de voie (coord. structure)",
        "Libellé Département (structure)",
        "Libellé pays (coord. structure)",
    ),
    Kind.KNOW_HOW: (
        "Identification nationale PP",
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code profession",
        "Code catégorie professionnelle",
        "Code type savoir-faire",
        "Code savoir-faire",
        "Libellé profession",
        "Libellé catégorie professionnelle",
        "Libellé type savoir-faire",
        "Libellé savoir-faire",
    ),
    Kind.DIPLOMAS: (
        "Identification nationale PP",
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code type diplôme obtenu",
        "Code diplôme obtenu",
        "Code type autorisation",
        "Code discipline autorisation",
        "Libellé type diplôme obtenu",
        "Libellé diplôme obtenu",
        "Libellé type autorisation",
        "Libellé discipline autorisation",
    ),
    Kind.CARDS: (
        "Identification nationale PP",
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code type de carte",
        "Numéro carte",
        "Date début validité",
        "Date fin validité",
        "Date opposition",
        "Libellé type de carte",
    ),
}
# Of the fields above: the nomenclature of a code, where the code stands, and where its word does.
_LABELS: dict[Kind, tuple[tuple[str, int, int], ...]] = {
    Kind.ACTIVITIES: (
        ("TRE_R81-Civilite", 1, 40),
        ("TRE_R11-CiviliteExercice", 2, 41),
        ("TRE_G15-ProfessionSante", 5, 42),
        ("TRE_R09-CategorieProfessionnelle", 6, 43),
        ("TRE_R23-ModeExercice", 7, 44),
        ("TRE_R21-Fonction", 8, 45),
        ("TRE_R22-GenreActivite", 9, 46),
        ("TRE_G05-SectionTableauOrdreDesPharmaciens", 10, 47),
        ("TRE_R04-TypeSavoirFaire", 11, 48),
        ("TRE_R38-SpecialiteOrdinale", 12, 49),
        ("TRE_R02-SecteurActivite", 21, 50),
        ("TRE_R35-TypeVoie", 26, 51),
        ("TRE_G09-DepartementOM", 33, 52),
        ("TRE_R20-Pays", 34, 53),
    ),
    Kind.KNOW_HOW: (
        ("TRE_G15-ProfessionSante", 3, 7),
        ("TRE_R09-CategorieProfessionnelle", 4, 8),
        ("TRE_R04-TypeSavoirFaire", 5, 9),
        ("TRE_R38-SpecialiteOrdinale", 6, 10),
    ),
    Kind.DIPLOMAS: (
        ("TRE_R14-TypeDiplome", 3, 7),
        ("TRE_R48-DiplomeEtatFrancais", 4, 8),
        ("TRE_R17-TypeAutorisation", 5, 9),
        ("TRE_R18-DisciplineAutorisation", 6, 10),
    ),
    Kind.CARDS: (("TRE_R08-TypeCarte", 3, 8),),
}
# Where most codes stand: lines that have them alike teach no new word. The file of activities has others elsewhere.
_CODES = {
    Kind.ACTIVITIES: slice(5, 13),
    Kind.KNOW_HOW: slice(3, 7),
    Kind.DIPLOMAS: slice(3, 7),
    Kind.CARDS: slice(3, 4),
}
_OTHER_CODES = itemgetter(1, 2, 21, 26, 33, 34)
_MOST_SEEN = 50_000
# Their texts: an enumeration's members are slow to compare, and there are millions.
_PROFESSION, _KNOW_HOW = Qualified.PROFESSION.value, Qualified.KNOW_HOW.value
_DIPLOMA, _AUTHORIZATION = Qualified.DIPLOMA.value, Qualified.AUTHORIZATION.value

_FRENCH_DATE = re.compile(r"(\d\d)/(\d\d)/(\d{4})")
_COMPACT_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
_RANK = re.compile(r"4?(\d{14})")


@dataclass(slots=True)
class Dossiers:
    """What is said of some people, by national identifier; a kind that was not read says nothing.

    `told` are the people of whom a kind has a word to say, all of them without.

    `places` holds the line that describes a structure, by technical identifier: for `place_columns`.
    """

    kinds: frozenset[Kind]
    told: Mapping[Kind, Container[str]] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)
    also_named: dict[str, Named] = field(default_factory=dict)
    exercises: dict[str, dict[Exercise, None]] = field(default_factory=dict)
    qualifications: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    cards: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def tells(self, kind: Kind, key: str) -> bool:
        """Whether that file has a word to say of this person, if only that it names them no more."""
        return kind in self.kinds and (kind not in self.told or key in self.told[kind])


@dataclass(slots=True)
class Doubts:
    """Identifiers that break a rule (§5.3): taken all the same, since published ones do. How many by rule, and the first."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[tuple[str, Flaw]] = field(default_factory=list)

    def add(self, text: str, flaw: Flaw | None) -> None:
        """Note what is wrong with an identifier, if anything is."""
        if flaw is not None:
            self.counts[flaw.rule] += 1
            if len(self.first) < _MOST_DOUBTS:
                self.first.append((text, flaw))


class Reader:
    """Reads the fields of lines into dossiers, and keeps the words of codes in `labels` by nomenclature and code."""

    def __init__(self, kinds: Iterable[Kind], told: Mapping[Kind, Container[str]] | None = None) -> None:
        self.kinds = frozenset(kinds)
        self.told = told or {}
        self.labels: dict[tuple[str, str], str] = {}
        self.doubts = Doubts()
        self._seen: dict[Kind, set[tuple[str, ...]]] = {kind: set() for kind in WANTED}

    def read(self, lines: Mapping[Kind, Iterable[tuple[str, ...]]]) -> Dossiers:
        """The dossiers of these lines, those of a file in its order; each is what `WANTED` asks for."""
        found = Dossiers(self.kinds, self.told)
        self._activities(found, lines.get(Kind.ACTIVITIES, ()))
        self._know_how(found, lines.get(Kind.KNOW_HOW, ()))
        self._diplomas(found, lines.get(Kind.DIPLOMAS, ()))
        self._cards(found, lines.get(Kind.CARDS, ()))
        self._doubt(found)
        return found

    def _doubt(self, found: Dossiers) -> None:
        add = self.doubts.add
        for person in found.named:
            add(person, identifiers.national_person(person))
        for line in found.places.values():
            if line[14]:
                add(line[14], identifiers.finess(line[14]))
            if line[16]:
                add(line[16], identifiers.siret(line[16]))

    def _activities(self, found: Dossiers, lines: Iterable[tuple[str, ...]]) -> None:
        named, exercises, qualifications, places = found.named, found.exercises, found.qualifications, found.places
        codes, seen = _CODES[Kind.ACTIVITIES], self._seen[Kind.ACTIVITIES]
        know_how = Kind.KNOW_HOW not in self.kinds
        for line in lines:
            person = line[0]
            if person not in named:
                named[person] = line[:7]
                exercises[person] = {}
                qualifications.setdefault(person, set())
            if line[5]:
                qualifications[person].add((_PROFESSION, line[6], line[5]))
            if know_how and line[12]:
                qualifications[person].add((_KNOW_HOW, line[11], line[12]))
            place = line[13] or ("F" + line[14] if line[14] else "C" + line[16] if line[16] else "")
            if place:
                places[place] = line
            exercise = (place, *line[5:11])
            if place or any(exercise[3:]):
                exercises[person][exercise] = None
            if line[codes] not in seen or _OTHER_CODES(line) not in seen:
                self._note(Kind.ACTIVITIES, line)
                seen.add(_OTHER_CODES(line))

    def _know_how(self, found: Dossiers, lines: Iterable[tuple[str, ...]]) -> None:
        qualifications, seen = found.qualifications, self._seen[Kind.KNOW_HOW]
        for line in lines:
            person = line[0]
            if person not in found.named and person not in found.also_named:
                found.also_named[person] = (person, "", "", line[1], line[2], line[3], line[4])
            if line[6]:
                qualifications.setdefault(person, set()).add((_KNOW_HOW, line[5], line[6]))
            if line[3:7] not in seen:
                self._note(Kind.KNOW_HOW, line)

    def _diplomas(self, found: Dossiers, lines: Iterable[tuple[str, ...]]) -> None:
        qualifications, seen = found.qualifications, self._seen[Kind.DIPLOMAS]
        for line in lines:
            person = line[0]
            if person not in found.named and person not in found.also_named:
                found.also_named[person] = (person, "", "", line[1], line[2], "", "")
            held = qualifications.setdefault(person, set())
            if line[4]:
                held.add((_DIPLOMA, line[3], line[4]))
            if line[5] or line[6]:
                held.add((_AUTHORIZATION, line[5], line[6]))
            if line[3:7] not in seen:
                self._note(Kind.DIPLOMAS, line)

    def _cards(self, found: Dossiers, lines: Iterable[tuple[str, ...]]) -> None:
        seen = self._seen[Kind.CARDS]
        for line in lines:
            person = line[0]
            if person not in found.named and person not in found.also_named:
                found.also_named[person] = (person, "", "", line[1], line[2], "", "")
            card = (line[3], day(line[5]), day(line[6]), day(line[7]))
            found.cards.setdefault(person, {})[line[4]] = card
            if line[3:4] not in seen:
                self._note(Kind.CARDS, line)

    def _note(self, kind: Kind, line: tuple[str, ...]) -> None:
        seen = self._seen[kind]
        if len(seen) > _MOST_SEEN:
            seen.clear()
        seen.add(line[_CODES[kind]])
        for system, code, label in _LABELS[kind]:
            if line[code] and line[label]:
                self.labels[system, line[code]] = line[label]


def place_columns(technical_id: str, line: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of an organization from `technical_id` to `registrar`, from a line of the file of activities."""
    former = _RANK.fullmatch(line[18])
    return (
        technical_id,
        *line[14:18],
        former[1] if former else "",
        line[19],
        line[20],
        fold(line[19]),
        fold(" ".join(filter(None, line[24:28]))),
        line[21],
        "",
        *line[22:33],
        fold(line[32]),
        *line[33:40],
    )


def rpps(national_id: str) -> str:
    """The RPPS number within a national identifier, or nothing: 8 and eleven digits (§5.3)."""
    return national_id[1:] if len(national_id) == 12 and national_id[0] == "8" and national_id.isdigit() else ""


def day(text: str) -> str:
    """A date as AAAA-MM-DD, whichever way it was written; empty where it is none."""
    if found := _FRENCH_DATE.match(text):
        return f"{found[3]}-{found[2]}-{found[1]}"
    if found := _COMPACT_DATE.match(text):
        return f"{found[1]}-{found[2]}-{found[3]}"
    return ""
