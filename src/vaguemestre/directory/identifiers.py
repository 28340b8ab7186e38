"""What identifiers of the register look like, and what is wrong with one that does not.

Rules: nothing here decides: an import warns of a flaw and takes the row as it is, since what is published breaks these
rules too; what an operator writes is refused for it (`require`). An empty text is no identifier, which is for the caller to
allow. Keys are Luhn's on all the digits of RPPS, FINESS, SIREN and SIRET, the key included; La Poste's SIRETs have a rule of
their own. No key is enforced on what has none that holds in what is published: ADELI, ranks, FINESS with a letter.

Each check takes a text and gives a Flaw, or None where there is none to see.

MOS (IdNat_PS: TRE_G08; IdNat_Struct: TRE_G07); rules of INSEE for SIREN and SIRET; shared/spec/directory.md §5.3.
"""

import re
from dataclasses import dataclass
from typing import Final

from vaguemestre.errors import VaguemestreError

_WORDS: Final = {
    "rpps-shape": ("is no RPPS number, which has 11 digits", "n'est pas un numéro RPPS, qui a 11 chiffres"),
    "rpps-key": (
        "is no RPPS number: its last digit is not the key of the others",
        "n'est pas un numéro RPPS : son dernier chiffre n'est pas la clé des autres",
    ),
    "adeli-shape": (
        "is no ADELI number, which has 9 characters, the department first",
        "n'est pas un numéro ADELI, qui a 9 caractères, le département d'abord",
    ),
    "finess-shape": (
        "is no FINESS number, which has 9 digits (2A or 2B first in Corsica)",
        "n'est pas un numéro FINESS, qui a 9 chiffres (2A ou 2B d'abord en Corse)",
    ),
    "finess-key": (
        "is no FINESS number: its last digit is not the key of the others",
        "n'est pas un numéro FINESS : son dernier chiffre n'est pas la clé des autres",
    ),
    "siren-shape": ("is no SIREN number, which has 9 digits", "n'est pas un numéro SIREN, qui a 9 chiffres"),
    "siren-key": (
        "is no SIREN number: its last digit is not the key of the others",
        "n'est pas un numéro SIREN : son dernier chiffre n'est pas la clé des autres",
    ),
    "siret-shape": ("is no SIRET number, which has 14 digits", "n'est pas un numéro SIRET, qui a 14 chiffres"),
    "siret-key": (
        "is no SIRET number: its last digit is not the key of the others",
        "n'est pas un numéro SIRET : son dernier chiffre n'est pas la clé des autres",
    ),
    "rpps-rank-shape": (
        "is no RPPS number with a rank, which has 14 digits",
        "n'est pas un numéro RPPS-rang, qui a 14 chiffres",
    ),
    "adeli-rank-shape": (
        "is no ADELI number with a rank, which has 11 to 14 characters",
        "n'est pas un numéro ADELI-rang, qui a 11 à 14 caractères",
    ),
    "local-shape": (
        "is no local identifier: it is empty, or holds what none does",
        "n'est pas un identifiant local : il est vide, ou contient ce qu'aucun n'a",
    ),
    "person-type": (
        "is no national identifier of a person: it begins with 0, 1, 3, 4, 5, 6, 8 or 10",
        "n'est pas un identifiant national de personne : il commence par 0, 1, 3, 4, 5, 6, 8 ou 10",
    ),
    "structure-type": (
        "is no national identifier of a structure: it begins with 0, 1, 2, 3 or 4",
        "n'est pas un identifiant national de structure : il commence par 0, 1, 2, 3 ou 4",
    ),
    "technical-type": (
        "is no technical identifier of a structure: it begins with F, C or R",
        "n'est pas un identifiant technique de structure : il commence par F, C ou R",
    ),
    "technical-shape": (
        "is no technical identifier of a structure: what follows its letter is no number that one has",
        "n'est pas un identifiant technique de structure : ce qui suit sa lettre n'est pas un numéro qui convient",
    ),
    "address-shape": ("is no address", "n'est pas une adresse"),
    "department-code": (
        "is no department: 01 to 95, 2A, 2B or 971 to 988",
        "n'est pas un département : 01 à 95, 2A, 2B ou 971 à 988",
    ),
}
_LA_POSTE: Final = "356000000"
_ADELI: Final = re.compile(r"[0-9](?:[0-9]|[ABDab])[0-9A-Z]{7}")
_CORSICA: Final = re.compile(r"2[AB][0-9]{7}")
_LOCAL: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z ._/-]{0,61}[0-9A-Za-z])?")
_ADDRESS: Final = re.compile(r"[^@\s|]{1,64}@[^@\s|]{3,255}")
_DEPARTMENT: Final = re.compile(r"0[1-9]|(?!20)[1-8][0-9]|9[0-5]|2[AB]|97[1-8]|98[4-8]")
_DATED: Final = re.compile(r"(?:[0-9]{8}|[0-9]{12}|[0-9]{14})?")

# The digits of four, those in even places from the right doubled, summed as the key wants.
_SUMS: Final = tuple(
    sum(map(int, f"{number // 1000 * 2}{number // 100 % 10}{number // 10 % 10 * 2}{number % 10}"))
    for number in range(10_000)
)
_SUMS_BEFORE_KEY: Final = tuple(
    sum(map(int, f"{number // 1000}{number // 100 % 10 * 2}{number // 10 % 10}{number % 10 * 2}"))
    for number in range(10_000)
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with `value`: `rule` is a word for programs, `en` and `fr` are sentences for people."""

    rule: str
    value: str

    @property
    def en(self) -> str:
        """In English."""
        return f"{_shown(self.value)} {_WORDS[self.rule][0]}."

    @property
    def fr(self) -> str:
        """In French."""
        return f"{_shown(self.value)} {_WORDS[self.rule][1]}."


class IdentifierError(VaguemestreError):
    """What somebody gave as an identifier cannot be one; `rule` says why, for programs."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.en, flaw.fr)
        self.rule = flaw.rule


def require(flaw: Flaw | None) -> None:
    """Refuse what has a flaw. Raises IdentifierError."""
    if flaw is not None:
        raise IdentifierError(flaw)


def holds(digits: str) -> bool:
    """Whether Luhn's key holds on digits, the last being the key. They are digits of ASCII, not many more than 20."""
    number, total = int(digits), 0
    while number:
        number, last = divmod(number, 10_000)
        total += _SUMS[last]
    return total % 10 == 0


def key(number: int) -> int:
    """Luhn's key of a number: the digit that follows it."""
    total = 0
    while number:
        number, last = divmod(number, 10_000)
        total += _SUMS_BEFORE_KEY[last]
    return -total % 10


def rpps(text: str) -> Flaw | None:
    """An RPPS number: 10 digits and their key."""
    if len(text) != 11 or not _digits(text):
        return Flaw("rpps-shape", text)
    return None if holds(text) else Flaw("rpps-key", text)


def adeli(text: str) -> Flaw | None:
    """An ADELI number: 9 characters, the department first. No key is enforced."""
    return None if _ADELI.fullmatch(text) else Flaw("adeli-shape", text)


def finess(text: str) -> Flaw | None:
    """A FINESS number: 8 digits and their key; in Corsica 2A or 2B and 7 digits, whose key has no known rule."""
    if len(text) == 9 and _digits(text):
        return None if holds(text) else Flaw("finess-key", text)
    return None if _CORSICA.fullmatch(text) else Flaw("finess-shape", text)


def siren(text: str) -> Flaw | None:
    """A SIREN number: 8 digits and their key."""
    if len(text) != 9 or not _digits(text):
        return Flaw("siren-shape", text)
    return None if holds(text) else Flaw("siren-key", text)


def siret(text: str) -> Flaw | None:
    """A SIRET number: a SIREN and 5 digits, the last the key of all; those of La Poste have digits that sum to fives."""
    if len(text) != 14 or not _digits(text):
        return Flaw("siret-shape", text)
    if not holds(text[:9]):
        return Flaw("siren-key", text[:9])
    if holds(text) or (text.startswith(_LA_POSTE) and sum(map(int, text)) % 5 == 0):
        return None
    return Flaw("siret-key", text)


def rpps_rank(text: str) -> Flaw | None:
    """An RPPS number with the rank of a place: 14 digits. Most of those published break the key it should have."""
    return None if len(text) == 14 and _digits(text) else Flaw("rpps-rank-shape", text)


def national_person(text: str) -> Flaw | None:
    """An IdNat_PS: the type of the identifier (TRE_G08), then the identifier; an address where there is no other."""
    kind, rest = text[:1], text[1:]
    if kind == "8":
        return rpps(rest)
    if text.startswith("10") and "@" in text:
        return None if _ADDRESS.fullmatch(text[2:]) else Flaw("address-shape", text[2:])
    if kind == "0":
        return adeli(rest)
    if kind == "1":
        return _local(rest)
    if kind not in _REGISTERED:
        return Flaw("person-type", text)
    place, separator, local = rest.partition("/")
    flaw = _REGISTERED[kind](place)
    if flaw is None and separator:
        flaw = _local(local)
    return flaw


def national_structure(text: str) -> Flaw | None:
    """An IdNat_Struct: the type of the identifier, then the identifier."""
    rest = text[1:]
    match text[:1]:
        case "0":
            return None if 11 <= len(rest) <= 14 and _ADELI.match(rest) else Flaw("adeli-rank-shape", rest)
        case "1":
            return finess(rest)
        case "2":
            return siren(rest)
        case "3":
            return siret(rest)
        case "4":
            return rpps_rank(rest)
        case _:
            return Flaw("structure-type", text)


def technical_structure(text: str) -> Flaw | None:
    """The register's own identifier of a structure: F, a FINESS and sometimes a date; C, a SIRET or an ADELI rank; R, digits.

    The keys of the numbers inside are not enforced: this identifier was given, right or wrong.
    """
    kind, rest = text[:1], text[1:]
    match kind:
        case "F":
            numbered = len(rest) >= 9 and bool(_digits(rest[:9]) or _CORSICA.fullmatch(rest[:9]))
            shaped = numbered and bool(_DATED.fullmatch(rest[9:]))
        case "C":
            shaped = 9 <= len(rest) <= 14 and bool(_digits(rest) or _ADELI.match(rest))
        case "R":
            shaped = 1 <= len(rest) <= 20 and _digits(rest)
        case _:
            return Flaw("technical-type", text)
    return None if shaped else Flaw("technical-shape", text)


def department(text: str) -> Flaw | None:
    """The code of a department or overseas territory."""
    return None if _DEPARTMENT.fullmatch(text) else Flaw("department-code", text)


def _local(text: str) -> Flaw | None:
    return None if _LOCAL.fullmatch(text) else Flaw("local-shape", text)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _shown(value: str) -> str:
    return f"“{value[:80]}”" if value.isprintable() else repr(value[:80])


_REGISTERED: Final = {"3": finess, "4": siren, "5": siret, "6": rpps_rank}
