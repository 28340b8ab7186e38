"""What Pro Santé Connect says of a professional once they signed in (userinfo), read into values.

Kept true: what is missing, of another type or too long is passed over, never guessed; the national identifier alone is
required, since the register is asked for the rest. `SubjectNameID` counts before `preferred_username`.

Spec clients §7; OpenID Connect Core §5.3.2 (the `sub` must be the one of the ID token: `oidc` checks it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vaguemestre.identity import model
from vaguemestre.identity.model import NationalIdError
from vaguemestre.identity.tokens import TokenError

_MOST_TEXT = 200
_MOST_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Workplace:
    """A place of practice. `mode` is TRE_R23, `sector` TRE_R02 (SA07)."""

    name: str
    finess: str
    siret: str
    technical_id: str
    mode: str
    sector: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """A profession as it is exercised: codes of TRE_G15 and TRE_R09, the names of practice, know-how as (type, code)."""

    profession: str
    category: str
    family: str
    given: str
    know_how: tuple[str, str]
    workplaces: tuple[Workplace, ...]


@dataclass(frozen=True, slots=True)
class Professional:
    """Who signed in. `rpps` is empty where the identifier is another register's; `level` says how they proved it."""

    national_id: str
    rpps: str
    family: str
    given: str
    level: str
    exercises: tuple[Exercise, ...]

    @property
    def name(self) -> str:
        """Given name and family name, as they are shown."""
        return f"{self.given} {self.family}".strip() or self.national_id


def read(claims: Mapping[str, Any]) -> Professional:
    """The professional of a userinfo answer. Raises TokenError (`token-person`) where it names nobody."""
    named = _text(claims, "SubjectNameID") or _text(claims, "preferred_username")
    try:
        national_id = model.national_id(named)
    except NationalIdError as error:
        raise TokenError("token-person") from error
    reference = claims.get("SubjectRefPro")
    exercises = tuple(_exercise(each) for each in _items(reference, "exercices"))
    practised = next((each for each in exercises if each.family), None)
    return Professional(
        national_id,
        _rpps(national_id),
        practised.family if practised else _text(claims, "family_name"),
        practised.given if practised else _text(claims, "given_name"),
        _text(claims, "Palier_Authentification").partition("^")[0],
        exercises,
    )


def _rpps(national_id: str) -> str:
    try:
        return model.rpps(national_id)[1:] if len(national_id) == 12 else ""
    except NationalIdError:
        return ""


def _exercise(of: Mapping[str, Any]) -> Exercise:
    return Exercise(
        _text(of, "codeProfession"),
        _text(of, "codeCategorieProfessionnelle"),
        _text(of, "nomDexercice"),
        _text(of, "prenomDexercice"),
        (_text(of, "codeTypeSavoirFaire"), _text(of, "codeSavoirFaire")),
        tuple(_workplace(each) for each in _items(of, "activities")),
    )


def _workplace(of: Mapping[str, Any]) -> Workplace:
    return Workplace(
        _text(of, "raisonSocialeSite"),
        _text(of, "numeroFinessSite"),
        _text(of, "numeroSiretSite"),
        _text(of, "identifiantTechniqueDeLaStructure"),
        _text(of, "codeModeExercice"),
        _text(of, "codeSecteurDactivite").partition("^")[0],
    )


def _items(of: Any, name: str) -> list[Mapping[str, Any]]:
    found = of.get(name) if isinstance(of, Mapping) else None
    return [each for each in found[:_MOST_ITEMS] if isinstance(each, Mapping)] if isinstance(found, list) else []


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value[:_MOST_TEXT]).split())
