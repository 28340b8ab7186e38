"""The values of identity: persons by their national identifier, the rights they have on accounts, and what is refused.

Terms: a *person* is a human whom the national register knows. The *national identifier* is the one Pro Santé Connect gives
as SubjectNameID (spec clients §7): a digit for the register, then the number there; `8` is the RPPS, whose numbers have
eleven digits, the last a key (Luhn).
"""

import re
from dataclasses import dataclass
from enum import IntFlag, StrEnum

from vaguemestre.directory import identifiers
from vaguemestre.errors import VaguemestreError

_RPPS_PREFIX = "8"
_NATIONAL_ID = re.compile(r"[0-9][0-9A-Za-z/.-]{4,62}")
_MOST_LABEL = 80


class Rights(IntFlag):
    """What a person may do in an account's mail: read it, change it (marks, folders, deletion), send as it."""

    READ = 1
    WRITE = 2
    SEND = 4


NO_RIGHTS = Rights(0)
ALL_RIGHTS = Rights.READ | Rights.WRITE | Rights.SEND


class Means(StrEnum):
    """How somebody proved who they are."""

    TOKEN = "token"  # noqa: S105 - a word, no secret
    APP_PASSWORD = "app-password"  # noqa: S105 - a word, no secret
    CERTIFICATE = "certificate"
    PRO_SANTE_CONNECT = "pro-sante-connect"
    PASSKEY = "passkey"
    INVITATION = "invitation"


@dataclass(frozen=True, slots=True)
class Person:
    """A person; `national_id` as in SubjectNameID, for example `810003456789`."""

    id: int
    national_id: str
    name: str


class RefusedIdentityError(VaguemestreError):
    """Nobody is let in so. All have the same words; `rule` says why, to the journal."""

    def __init__(self, rule: str) -> None:
        super().__init__(
            "Sign-in refused. Check the address and this device's app password, or sign in with Pro Santé Connect again.",
            "Connexion refusée. Vérifiez l'adresse et le mot de passe d'application de cet appareil, ou "
            "reconnectez-vous avec Pro Santé Connect.",
        )
        self.rule = rule


class NationalIdError(VaguemestreError):
    """A text that is no identifier of a national register."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text} is not a national identifier: an RPPS number has 11 digits, the last a check digit.",
            f"{text} n'est pas un identifiant national : un numéro RPPS a 11 chiffres, dont une clé.",
        )


class RightsError(VaguemestreError):
    """A text that names no rights."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"“{text}” names no rights: give some of read, write, send, with commas between.",
            f"« {text} » ne désigne pas de droits : donnez-en parmi read, write, send, séparés par des virgules.",
        )


class LabelError(VaguemestreError):
    """A label that cannot be shown, or is another's."""


class UnknownPersonError(VaguemestreError):
    """Nobody of this national identifier is known here."""

    def __init__(self, national_id: str) -> None:
        super().__init__(
            f"Nobody with the identifier {national_id} is known here.",
            f"Personne n'est connu ici sous l'identifiant {national_id}.",
        )


class NotPermittedError(VaguemestreError):
    """Somebody asked for what their part does not allow."""

    def __init__(self) -> None:
        super().__init__(
            "You may not do this. Ask the mailbox's holder or your administrator.",
            "Vous n'avez pas ce droit. Demandez au titulaire de la boîte ou à votre administrateur.",
        )


def rpps(text: str) -> str:
    """The national identifier of an RPPS number, given with or without its prefix. Raises NationalIdError."""
    number = text.replace(" ", "")
    if len(number) == 12 and number.startswith(_RPPS_PREFIX):
        number = number[1:]
    if identifiers.rpps(number):
        raise NationalIdError(text)
    return _RPPS_PREFIX + number


def national_id(text: str) -> str:
    """The identifier as it is kept, once seen to have the shape of one. Raises NationalIdError."""
    written = text.strip()
    if not _NATIONAL_ID.fullmatch(written):
        raise NationalIdError(text[:64])
    return written


def parse_rights(text: str) -> Rights:
    """Rights from their names, such as `read,write`. Raises RightsError."""
    found = NO_RIGHTS
    for name in text.split(","):
        try:
            found |= Rights[name.strip().upper()]
        except KeyError as error:
            raise RightsError(text) from error
    return found


def rights_text(rights: Rights) -> str:
    """The names of rights, such as `read,write`; what `parse_rights` reads."""
    return ",".join(str(each.name).lower() for each in Rights if each in rights)


def label(text: str) -> str:
    """A label as it is kept: one line, not empty, 80 characters at most. Raises LabelError."""
    written = " ".join(text.split())
    if not written or len(written) > _MOST_LABEL or not written.isprintable():
        raise LabelError(
            "A label is one line of 1 to 80 characters, such as “Phone”.",
            "Un libellé tient en une ligne de 1 à 80 caractères, par exemple « Téléphone ».",
        )
    return written
