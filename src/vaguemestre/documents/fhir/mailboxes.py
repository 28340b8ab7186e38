"""A mailbox as FHIR writes it: a ContactPoint with two extensions; and back from every form that is about.

What holds here: what is emitted is the profile's form; what is read may be either shape of the extension (with or without
`phone` and `digitization`), a type as `valueCode` or `valueCodeableConcept`, of TRE_R257 or TRE_R256. Nothing read is
trusted: what does not fit raises MailboxError with words.

Rules: `responsible` and `listeRouge` are for whoever administers the mailbox, never public. An element that is not there
is unsaid (None), not false.

IG as-mailbox-mss, as-ext-mailbox-mss-metadata; MOS BoiteLettreMSS; spec directory §1.3, §4.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from vaguemestre.documents.fhir import systems
from vaguemestre.documents.fhir.systems import Json
from vaguemestre.errors import VaguemestreError

KINDS = ("PER", "ORG", "APP", "CAB")
_LONGEST = 1000


class MailboxError(VaguemestreError):
    """What was read is no mailbox."""


class MailboxRow(Protocol):
    """What a register holds of a mailbox."""

    address: str
    kind: str
    service: str
    description: str
    responsible: str
    rank: int | None
    digitization: bool | None
    red_list: bool


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What was read; None where nothing was said. `kind` is of KINDS, or empty."""

    address: str
    kind: str = ""
    service: str | None = None
    description: str | None = None
    responsible: str | None = None
    rank: int | None = None
    digitization: bool | None = None
    red_list: bool | None = None


_SECURE = {"url": systems.EMAIL_TYPE, "valueCoding": {"system": systems.EMAIL_KIND, "code": "MSSANTE"}}
_TYPES = {
    kind: {"url": "type", "valueCodeableConcept": {"coding": [{"system": systems.MAILBOX_KIND, "code": kind}]}}
    for kind in KINDS
}


def write(row: MailboxRow, *, digitization: bool = False, restricted: bool = False) -> Json:
    """The ContactPoint of a mailbox. `restricted`: for whoever administers it, with what is not public."""
    told: list[Json] = [_TYPES[row.kind]] if row.kind in _TYPES else []
    if row.description:
        told.append({"url": "description", "valueString": row.description})
    if restricted and row.responsible:
        told.append({"url": "responsible", "valueString": row.responsible})
    if row.service:
        told.append({"url": "service", "valueString": row.service})
    if digitization and row.digitization is not None:
        told.append({"url": "digitization", "valueBoolean": bool(row.digitization)})
    if restricted:
        told.append({"url": "listeRouge", "valueBoolean": bool(row.red_list)})
    written: Json = {
        "extension": [_SECURE, {"url": systems.MAILBOX, "extension": told}],
        "system": "email",
        "value": row.address,
    }
    if row.rank is not None:
        written["rank"] = row.rank
    return written


def is_mailbox(contact: Json) -> bool:
    """Whether a ContactPoint says that it is a secure mailbox."""
    return any(each.get("url") == systems.MAILBOX for each in _extensions(contact))


def read(contact: Any) -> Mailbox:
    """The mailbox of a ContactPoint. Raises MailboxError."""
    if not isinstance(contact, dict):
        raise _wrong("a ContactPoint is an object", "un ContactPoint est un objet")
    address = contact.get("value")
    if not isinstance(address, str) or not address or len(address) > 320:
        raise _wrong("it has no address in `value`", "il n'a pas d'adresse dans « value »")
    if contact.get("system", "email") != "email":
        raise _wrong("its `system` is not email", "son « system » n'est pas email")
    rank = contact.get("rank")
    if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or not 0 < rank < 1_000_000):
        raise _wrong("its `rank` is not a number from 1", "son « rank » n'est pas un nombre à partir de 1")
    said: dict[str, Any] = {}
    for extension in _extensions(contact):
        if extension.get("url") == systems.MAILBOX:
            for each in _extensions(extension):
                said[str(each.get("url"))] = each
    return Mailbox(
        address,
        _kind(said.get("type")),
        _text(said, "service"),
        _text(said, "description"),
        _text(said, "responsible"),
        rank,
        _flag(said, "digitization"),
        _flag(said, "listeRouge"),
    )


def kind_of(value: Any) -> str:
    """The type of a mailbox from a code, a Coding or a CodeableConcept; empty where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for coding in value["coding"] if isinstance(value.get("coding"), list) else [value]:
            if isinstance(coding, dict) and coding.get("code") in KINDS:
                return str(coding["code"])
    return ""


def _kind(extension: Json | None) -> str:
    if extension is None:
        return ""
    value = extension.get("valueCodeableConcept", extension.get("valueCoding", extension.get("valueCode")))
    kind = kind_of(value)
    if kind not in KINDS:
        raise _wrong(f"its type is none of {', '.join(KINDS)}", f"son type n'est aucun de {', '.join(KINDS)}")
    return kind


def _text(said: dict[str, Any], name: str) -> str | None:
    if name not in said:
        return None
    value = said[name].get("valueString")
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _wrong(f"its {name} is not a text", f"son élément {name} n'est pas un texte")
    return value.strip()


def _flag(said: dict[str, Any], name: str) -> bool | None:
    if name not in said:
        return None
    value = said[name].get("valueBoolean")
    if not isinstance(value, bool):
        raise _wrong(f"its {name} is neither true nor false", f"son élément {name} n'est ni true ni false")
    return value


def _extensions(element: Json) -> list[Json]:
    found = element.get("extension")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _wrong(en: str, fr: str) -> MailboxError:
    return MailboxError(f"This is no mailbox: {en}.", f"Ce n'est pas une boîte aux lettres : {fr}.")
