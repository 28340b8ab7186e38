"""The public extraction files of the national directory: which file a header announces, and a line into its fields.

What holds here: no input raises anything but ExtractionError (the file cannot be used) or LineError (this line cannot);
the time for a line is linear in it, and it is at most `LONGEST_LINE`.

Rules:
1. UTF-8, `|` between fields, LF, one header row, no quoting: a line is split at every `|`, whatever stands in it.
2. Columns are found by their names, case, accents and punctuation apart; their order is of no matter. Which file it is
   is told by the names too, never by the name of the file. A column that is missing is empty, unless nothing can be made
   without it; one that is unknown is passed over; both are reported.
3. A line has as many fields as the header has names, or one more that is empty (files have carried a trailing `|`).

Format and columns: the extractions of annuaire.sante.fr as published in 2026 (spec directory §2).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from vaguemestre.documents.words import fold
from vaguemestre.errors import VaguemestreError

LONGEST_LINE = 65_536  # octets; the longest of the real files have some 700
LONGEST_HEADER = 65_536
MOST_COLUMNS = 500
LONGEST_FIELD = 2000  # characters

_STAMP = re.compile(r"(?<!\d)(20\d{6}(?:\d{4})?)(?!\d)")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ExtractionError(VaguemestreError):
    """The file is none of the extraction files, or cannot be read as one."""

    rule = "extraction-unreadable"


class LineError(VaguemestreError):
    """One line cannot be read; the others can."""


class Kind(StrEnum):
    """Which of the published files it is."""

    ACTIVITIES = "PS_LibreAcces_Personne_activite"
    KNOW_HOW = "PS_LibreAcces_SavoirFaire"
    DIPLOMAS = "PS_LibreAcces_Dipl_AutExerc"
    CARDS = "Porteurs_CPS_CPF"
    ADDRESSES = "Extraction_Correspondance_MSSante"


_PERSON = ("Type d'identifiant PP", "Identifiant PP", "Identification nationale PP")
_PROFESSION = (
    "Code profession",
    "Libellé profession",
    "Code catégorie professionnelle",
    "Libellé catégorie professionnelle",
)
_KNOW_HOW = ("Code type savoir-faire", "Libellé type savoir-faire", "Code savoir-faire", "Libellé savoir-faire")
_PLACE = (
    "Complément destinataire",
    "Complément point géographique",
    "Numéro Voie",
    "Indice répétition voie",
    "Code type de voie",
    "Libellé type de voie",
    "Libellé Voie",
    "Mention distribution",
    "Bureau cedex",
    "Code postal",
    "Code commune",
    "Libellé commune",
    "Code pays",
    "Libellé pays",
    "Téléphone",
    "Téléphone 2",
    "Télécopie",
    "Adresse e-mail",
)
_BOX_PLACE = (
    "Raison Sociale",
    "Enseigne commerciale",
    "L2COMPLEMENTLOCALISATION",
    "L3COMPLEMENTDISTRIBUTION",
    "L4NUMEROVOIE",
    "L4COMPLEMENTNUMEROVOIE",
    "L4TYPEVOIE",
    "L4LIBELLEVOIE",
    "L5LIEUDITMENTION",
    "L6LIGNEACHEMINEMENT",
    "Code postal",
    "Département",
    "Pays",
)

# The names of every column, in the order they are published in.
COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTIVITIES: (
        *_PERSON,
        "Code civilité d'exercice",
        "Libellé civilité d'exercice",
        "Code civilité",
        "Libellé civilité",
        "Nom d'exercice",
        "Prénom d'exercice",
        *_PROFESSION,
        *_KNOW_HOW,
        "Code mode exercice",
        "Libellé mode exercice",
        "Numéro SIRET site",
        "Numéro SIREN site",
        "Numéro FINESS site",
        "Numéro FINESS établissement juridique",
        "Identifiant technique de la structure",
        "Raison sociale site",
        "Enseigne commerciale site",
        *(f"{name} (coord. structure)" for name in _PLACE),
        "Code Département (structure)",
        "Libellé Département (structure)",
        "Ancien identifiant de la structure",
        "Autorité d'enregistrement",
        "Code secteur d'activité",
        "Libellé secteur d'activité",
        "Code section tableau pharmaciens",
        "Libellé section tableau pharmaciens",
        "Code rôle",
        "Libellé rôle",
        "Code genre activité",
        "Libellé genre activité",
    ),
    Kind.KNOW_HOW: (*_PERSON, "Nom d'exercice", "Prénom d'exercice", *_PROFESSION, *_KNOW_HOW),
    Kind.DIPLOMAS: (
        *_PERSON,
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code type diplôme obtenu",
        "Libellé type diplôme obtenu",
        "Code diplôme obtenu",
        "Libellé diplôme obtenu",
        "Code type autorisation",
        "Libellé type autorisation",
        "Code discipline autorisation",
        "Libellé discipline autorisation",
    ),
    Kind.CARDS: (
        *_PERSON,
        "Nom d'exercice",
        "Prénom d'exercice",
        "Code type de carte",
        "Libellé type de carte",
        "Numéro carte",
        "Identifiant national contenu dans la carte",
        "Date début validité",
        "Date fin validité",
        "Date opposition",
        "Date de mise à jour",
    ),
    Kind.ADDRESSES: (
        "Type de BAL",
        "Adresse BAL",
        "Type Identifiant PP",
        "Identifiant PP",
        "Identification nationale PP",
        "Type identifiant structure",
        "Identification Structure",
        "Service de rattachement",
        "Civilité d'exercice",
        "Nom d'exercice",
        "Prénom d'exercice",
        "Catégorie profession",
        "Libellé de catégorie profession",
        "Code Profession",
        "Libellé Profession",
        "Code savoir-faire",
        "Libellé savoir-faire",
        "Dématérialisation",
        *(f"{name} structure BAL" for name in _BOX_PLACE),
    ),
}
# What nothing can be made without. These, and nothing else, tell which file it is.
_NEEDED: dict[Kind, tuple[str, ...]] = {
    Kind.ADDRESSES: ("Type de BAL", "Adresse BAL", "Identification nationale PP"),
    Kind.CARDS: ("Identification nationale PP", "Numéro carte", "Code type de carte"),
    Kind.DIPLOMAS: ("Identification nationale PP", "Code diplôme obtenu", "Code type diplôme obtenu"),
    Kind.ACTIVITIES: (
        "Identification nationale PP",
        "Nom d'exercice",
        "Code profession",
        "Identifiant technique de la structure",
    ),
    Kind.KNOW_HOW: ("Identification nationale PP", "Code savoir-faire", "Code type savoir-faire"),
}
# Names that a column has had elsewhere.
_ALSO = {
    "Libellé civilité d'exercice": ("Libellé civilité exercice",),
    "Code civilité d'exercice": ("Code civilité exercice",),
    "Code Département (structure)": ("Code département (coord. structure)",),
    "Libellé Département (structure)": ("Libellé département (coord. structure)",),
    "Identification nationale PP": ("Identifiant national contenu dans la carte", "Identification nationale PS"),
    "L4TYPEVOIE structure BAL": ("NL4TYPEVOIE structure BAL",),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of one file are laid out: what its header says.

    `missing` are published columns that it lacks, `unknown` those that it has beside them.
    """

    kind: Kind
    width: int
    places: dict[str, int]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def fields(self, names: Sequence[str]) -> "Fields":
        """What gives the fields of lines under these published names, in this order; at least two names."""
        places = [self.places.get(name, -1) for name in names]  # the last field is made empty, for those missing
        return Fields(itemgetter(*places), self.width, -1 in places)


class Fields:
    """Reads chosen fields of lines, each without its end."""

    def __init__(self, choose: "Callable[[list[str]], tuple[str, ...]]", width: int, needs_empty: bool) -> None:
        self._choose, self._width, self._needs_empty = choose, width, needs_empty

    def of(self, line: str) -> tuple[str, ...]:
        """The fields of one line. Raises LineError."""
        parts = line.split("|")
        if len(parts) == self._width:
            parts.append("")
        elif len(parts) != self._width + 1 or parts[-1]:
            raise LineError(
                f"{len(parts)} fields instead of {self._width}", f"{len(parts)} champs au lieu de {self._width}"
            )
        if len(line) > LONGEST_FIELD and max(map(len, parts)) > LONGEST_FIELD:
            raise LineError(
                f"a field is longer than {LONGEST_FIELD} characters", f"un champ dépasse {LONGEST_FIELD} caractères"
            )
        return self._choose(parts)

    def of_all(self, lines: Sequence[str]) -> list[tuple[str, ...]]:
        """The fields of many lines, several times as fast. Raises LineError where one cannot be read: look for it."""
        parts = [line.split("|") for line in lines]
        widths = set(map(len, parts))
        if widths == {self._width} and self._needs_empty:
            for each in parts:
                each.append("")
        elif widths != {self._width} and (widths != {self._width + 1} or any(map(itemgetter(-1), parts))):
            return [self.of(line) for line in lines]
        if max(map(len, lines), default=0) > LONGEST_FIELD:
            return [self.of(line) for line in lines]
        return list(map(self._choose, parts))


def recognise(header: bytes) -> Layout:
    """Which file this header opens (its first line, without its end). Raises ExtractionError."""
    if len(header) > LONGEST_HEADER:
        raise ExtractionError(
            f"The first line is longer than {LONGEST_HEADER} octets: this is no extraction file.",
            f"La première ligne dépasse {LONGEST_HEADER} octets : ce n'est pas un fichier d'extraction.",
        )
    try:
        text = header.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise ExtractionError(
            f"The header is not UTF-8 (octet {error.start}): the file was saved in another encoding.",
            f"L'en-tête n'est pas en UTF-8 (octet {error.start}) : le fichier a été enregistré dans un autre encodage.",
        ) from error
    names = text.split("|")
    if names[-1].strip() == "":
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise ExtractionError(
            f"The header has {len(names)} columns, {MOST_COLUMNS} are the most.",
            f"L'en-tête a {len(names)} colonnes, {MOST_COLUMNS} au plus.",
        )
    at: dict[str, int] = {}
    for place, name in enumerate(names):
        at.setdefault(_key(name), place)
    kind = next(
        (each for each, needed in _NEEDED.items() if all(_found(at, name) is not None for name in needed)), None
    )
    if kind is None:
        raise ExtractionError(
            f"The header is of none of the extraction files ({', '.join(Kind)}). It begins: {_shown(text)}",
            "L'en-tête n'est celui d'aucun des fichiers d'extraction "
            f"({', '.join(Kind)}). Il commence par : {_shown(text)}",
        )
    places = {name: found for name in COLUMNS[kind] if (found := _found(at, name)) is not None}
    used = set(places.values())
    return Layout(
        kind,
        len(names),
        places,
        tuple(name for name in COLUMNS[kind] if name not in places),
        tuple(_shown(name) for place, name in enumerate(names) if place not in used),
    )


def text_of(line: bytes) -> str:
    """A line without its end, as text. Raises LineError."""
    if len(line) > LONGEST_LINE:
        raise LineError(f"longer than {LONGEST_LINE} octets", f"plus de {LONGEST_LINE} octets")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 at octet {error.start}", f"n'est pas en UTF-8 à l'octet {error.start}") from error
    text = text.rstrip("\r")
    if not text.isprintable() and _CONTROL.search(text):
        raise LineError("holds a control character", "contient un caractère de contrôle")
    return text


def stamp(name: str) -> str:
    """When a file was extracted, from its name: AAAAMMJJhhmm, AAAAMMJJ, or empty."""
    found = _STAMP.search(name)
    return found[1] if found else ""


def _found(at: dict[str, int], name: str) -> int | None:
    for each in (name, *_ALSO.get(name, ())):
        place = at.get(_key(each))
        if place is not None:
            return place
    return None


def _key(name: str) -> str:
    return _NOT_IN_NAMES.sub("", fold(name))


def _shown(text: str) -> str:
    cut = text if len(text) <= 60 else text[:60] + "…"
    return "".join(each if each.isprintable() else "·" for each in cut)
