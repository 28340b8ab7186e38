"""Who a proven identity is in the certified register: the same person, or why not, in words they can act on.

Kept true: the national identifier alone decides who somebody is; names are compared to find mistakes, never to find people.
Nobody who is withdrawn from the register, or stands there under names that have nothing in common with those they proved, goes
further.
"""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre.directory import practitioners
from vaguemestre.directory.practitioners import Known
from vaguemestre.documents.words import fold
from vaguemestre.errors import VaguemestreError

_PROFESSIONS = "TRE_G15-ProfessionSante"


class NotInRegisterError(VaguemestreError):
    """The register knows nobody of this identifier."""

    def __init__(self, national_id: str) -> None:
        number = national_id.removeprefix("8") if len(national_id) == 12 else national_id
        super().__init__(
            f"The directory does not know the number {number} yet. A new registration takes some days to appear; "
            "if yours is older, ask your Order.",
            f"L'annuaire ne connaît pas encore le numéro {number}. Une nouvelle inscription met quelques jours à "
            "paraître ; si la vôtre est plus ancienne, adressez-vous à votre Ordre.",
        )


class WithdrawnError(VaguemestreError):
    """The person no longer practises, by the register."""

    def __init__(self) -> None:
        super().__init__(
            "The directory says that you no longer practise. If this is wrong, ask your Order to correct it.",
            "L'annuaire indique que vous n'exercez plus. Si c'est une erreur, demandez à votre Ordre de la corriger.",
        )


class NamesDifferError(VaguemestreError):
    """The names that were proved and those of the register have nothing in common."""

    def __init__(self, proved: str, registered: str) -> None:
        super().__init__(
            f"Pro Santé Connect says that you are {proved}, the directory knows this number as {registered}. "
            "Ask your Order which is right; nothing was created.",
            f"Pro Santé Connect vous nomme {proved}, l'annuaire connaît ce numéro au nom de {registered}. "
            "Demandez à votre Ordre lequel est juste ; rien n'a été créé.",
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A person, as the register knows them; `profession` in words."""

    known: Known
    profession: str

    @property
    def name(self) -> str:
        """Given name and family name, as colleagues see them."""
        return shown(self.known.practitioner.given, self.known.practitioner.family)

    @property
    def places(self) -> tuple[str, ...]:
        """Where they practise: name and town."""
        found = (
            ", ".join(part for part in (place.sign or place.name, place.city) if part)
            for _, place in self.known.activities
            if place is not None
        )
        return tuple(dict.fromkeys(each for each in found if each))


def shown(given: str, family: str) -> str:
    """A name as it is written among professionals: Claire LEFÈVRE-NOËL."""
    return f"{given.title()} {family.upper()}".strip()


def match(connection: sa.Connection, national_id: str, name: str) -> Match:
    """The person in the register (`connection` reads it), who proved this identifier and this name.

    Raises NotInRegisterError, WithdrawnError, NamesDifferError.
    """
    known = practitioners.find(connection, national_id, red_listed=True)
    if known is None:
        raise NotInRegisterError(national_id)
    if not known.practitioner.active:
        raise WithdrawnError
    found = Match(known, practitioners.label(connection, _PROFESSIONS, known.practitioner.profession))
    if not _words(name) & _words(found.name):
        raise NamesDifferError(name, found.name)
    return found


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_]+", fold(name)) if len(word) > 1}
