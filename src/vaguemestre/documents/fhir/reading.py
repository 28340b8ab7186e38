"""What a resource of the national directory says, as values: the way back from `resources`.

What holds here: nothing is taken on trust: what is not of the shape it must have raises ResourceError, which names the
element; what is there beside is passed over. An element that is absent is None where that means "unsaid", else empty.

Rules:
1. Who or what it is stands in `identifier`; the resource's `id` only serves references, and changed from v1 to v2.
2. A withdrawn resource has its identifiers and `active: false`, and tells nothing else.
3. Both shapes of a mailbox are read (`mailboxes`); a contact that is none is an ordinary telephone, fax or e-mail.
4. A coding counts by its system, in any spelling that is about (`systems.canonical`); `display` is of no matter.

IG as-dp-practitioner, as-dp-practitionerrole, as-dp-organization; spec directory §1.2, §1.3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vaguemestre.documents.fhir import mailboxes, systems
from vaguemestre.documents.fhir.mailboxes import Mailbox, MailboxError
from vaguemestre.documents.fhir.systems import Json, canonical
from vaguemestre.errors import VaguemestreError

_LONGEST = 1000
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_REFERENCE = re.compile(
    r"(?:^|/)(Practitioner|Organization|PractitionerRole)/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?$"
)
_NOMENCLATURE = re.compile(r"/NOS/(TRE_[A-Z]\d+)-")
# Activities have been identified under both.
_ACTIVITY_SYSTEMS = (systems.RPPS, "https://annuaire.sante.fr", systems.OWN_ACTIVITY)


class ResourceError(VaguemestreError):
    """A resource that cannot be what it says it is."""


@dataclass(frozen=True, slots=True)
class PractitionerRead:
    """A Practitioner. `qualifications` are (what, type, code), `cards` (number, type, start, end)."""

    technical_id: str
    active: bool
    national_id: str
    rpps: str
    civility: str = ""
    title: str = ""
    family: str = ""
    given: str = ""
    qualifications: tuple[tuple[str, str, str], ...] = ()
    cards: tuple[tuple[str, str, str, str], ...] = ()
    mailboxes: tuple[Mailbox, ...] = ()


@dataclass(frozen=True, slots=True)
class PractitionerRoleRead:
    """A PractitionerRole; `practitioner` and `organization` are the technical ids of what it refers to."""

    technical_id: str
    active: bool
    identifier: str
    practitioner: str = ""
    organization: str = ""
    mode: str = ""
    function: str = ""
    genre: str = ""
    section: str = ""
    mailboxes: tuple[Mailbox, ...] = ()


@dataclass(frozen=True, slots=True)
class OrganizationRead:
    """An Organization; `parent` is the technical id of the one it is part of. `facts` are columns of the register."""

    technical_id: str
    active: bool
    national_id: str  # IdNat_Struct
    identifier: str  # the register's technical identifier of a structure (F…, C…, R…)
    finess: str
    legal_finess: str
    siret: str
    siren: str
    facts: dict[str, str]
    parent: str = ""
    mailboxes: tuple[Mailbox, ...] = ()


def practitioner(resource: Any) -> PractitionerRead:
    """Read a Practitioner. Raises ResourceError."""
    technical_id, active = _head(resource, "Practitioner")
    rpps = _identified(resource, "RPPS", (systems.RPPS,))
    national_id = _identified(resource, "IDNPS", (systems.IDNPS,)) or (f"8{rpps}" if rpps else "")
    if not national_id:
        raise _wrong("Practitioner.identifier has neither IDNPS nor RPPS")
    if not rpps and re.fullmatch("8[0-9]{11}", national_id):
        rpps = national_id[1:]
    if not active:
        return PractitionerRead(technical_id, False, national_id, rpps)
    name = next(_objects(resource, "name"), {})
    return PractitionerRead(
        technical_id,
        True,
        national_id,
        rpps,
        _joined(name, "prefix"),
        _joined(name, "suffix"),
        _text(name, "family"),
        _joined(name, "given"),
        tuple(dict.fromkeys(filter(None, map(_qualification, _objects(resource, "qualification"))))),
        tuple(dict.fromkeys(filter(None, map(_card, _objects(resource, "extension"))))),
        _mailboxes(resource),
    )


def practitioner_role(resource: Any) -> PractitionerRoleRead:
    """Read a PractitionerRole. Raises ResourceError."""
    technical_id, active = _head(resource, "PractitionerRole")
    identifier = _identified(resource, "", _ACTIVITY_SYSTEMS)
    if not active:
        return PractitionerRoleRead(technical_id, False, identifier)
    person = _reference(resource, "practitioner", "Practitioner")
    if not person:
        raise _wrong("PractitionerRole.practitioner refers to nobody")
    found = {}
    for concept in _objects(resource, "code"):
        for coding in _objects(concept, "coding"):
            found[_nomenclature(coding)] = _text(coding, "code")
    return PractitionerRoleRead(
        technical_id,
        True,
        identifier,
        person,
        _reference(resource, "organization", "Organization"),
        found.get("TRE_R23", ""),
        found.get("TRE_R21", ""),
        found.get("TRE_R22", ""),
        found.get("TRE_G05", ""),
        _mailboxes(resource),
    )


def organization(resource: Any) -> OrganizationRead:
    """Read an Organization. Raises ResourceError."""
    technical_id, active = _head(resource, "Organization")
    national_id = _identified(resource, "IDNST", (systems.IDNST,))
    finess, legal = _identified(resource, "FINEG", ()), _identified(resource, "FINEJ", ())
    siren, siret = _identified(resource, "SIREN", ()), _identified(resource, "SIRET", ())
    kind, rest = national_id[:1], national_id[1:]
    if kind == "1" and not finess and not legal:
        finess = rest
    if kind == "3" and not siret:
        siret = rest
    identifier = _identified(resource, "RPPSRG", ())
    if not identifier or "/" in identifier:  # seen published: an address in its place
        number = finess or legal
        identifier = f"F{number}" if number else f"C{siret}" if siret else rest or f"C{siren}" if siren or rest else ""
    if not identifier:
        raise _wrong("Organization.identifier has none of RPPSRG, FINEG, FINEJ, SIRET, IDNST")
    facts = {"name": _text(resource, "name")}
    if not active:
        return OrganizationRead(technical_id, False, national_id, identifier, finess, legal, siret, siren, facts)
    facts |= {
        "sign": next((str(each) for each in _list(resource, "alias") if isinstance(each, str)), ""),
        "rpps_rank": rest if kind == "4" else "",
        "registrar": _registrar(resource),
    }
    for concept in _objects(resource, "type"):
        for coding in _objects(concept, "coding"):
            if column := {"TRE_R02": "sector", "TRE_R66": "category"}.get(_nomenclature(coding)):
                facts[column] = _text(coding, "code")
    facts |= _contacts(resource) | _postal(next(_objects(resource, "address"), {}))
    parent = _reference(resource, "partOf", "Organization")
    return OrganizationRead(
        technical_id, True, national_id, identifier, finess, legal, siret, siren, facts, parent, _mailboxes(resource)
    )


def is_active(resource: Json) -> bool:
    """Whether a resource of any kind is in force: `active`, or the `status` of a Device."""
    return resource.get("active", True) is not False and resource.get("status", "active") == "active"


def technical_id(resource: Any, kind: str) -> str:
    """The id of a resource of a kind. Raises ResourceError."""
    return _head(resource, kind)[0]


def _head(resource: Any, kind: str) -> tuple[str, bool]:
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise _wrong(f"this is no {kind}")
    found = resource.get("id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise _wrong(f"{kind}.id is no FHIR id")
    return found, is_active(resource)


def _identified(resource: Json, kind: str, known: tuple[str, ...]) -> str:
    """The value of the identifier of a type, or else of one of these systems."""
    by_system = ""
    for each in _objects(resource, "identifier"):
        value = _text(each, "value")
        kinds = {_text(coding, "code") for coding in _objects(_object(each, "type"), "coding")}
        if kind and kind in kinds:
            return value
        if not kinds and not by_system and canonical(_text(each, "system")) in known:
            by_system = value
    return by_system


def _qualification(qualification: Json) -> tuple[str, str, str] | None:
    codes = {
        _nomenclature(coding): _text(coding, "code") for coding in _objects(_object(qualification, "code"), "coding")
    }
    for what, kind in (("K", "TRE_R04"), ("D", "TRE_R14"), ("P", "TRE_R09")):
        if kind in codes:
            code = next((code for system, code in codes.items() if system != kind), "")
            return (what, codes[kind], code) if code else None
    profession = codes.get("TRE_G15") or codes.get("TRE_R95")
    return ("P", "", profession) if profession else None


def _card(extension: Json) -> tuple[str, str, str, str] | None:
    if extension.get("url") != systems.SMARTCARD:
        return None
    told = {_text(each, "url"): each for each in _objects(extension, "extension")}
    number = _text(told.get("number", {}), "valueString")
    kind = next(_objects(_object(told.get("type", {}), "valueCodeableConcept"), "coding"), {})
    period = _object(told.get("period", {}), "valuePeriod")
    return (number, _text(kind, "code"), _text(period, "start")[:10], _text(period, "end")[:10]) if number else None


def _mailboxes(resource: Json) -> tuple[Mailbox, ...]:
    try:
        return tuple(mailboxes.read(each) for each in _objects(resource, "telecom") if mailboxes.is_mailbox(each))
    except MailboxError as error:
        raise ResourceError(error.en, error.fr) from error


def _contacts(resource: Json) -> dict[str, str]:
    found = {"phone": "", "phone2": "", "fax": "", "email": ""}
    for each in _objects(resource, "telecom"):
        kind, value = each.get("system"), _text(each, "value")
        if kind == "phone":
            first, second = ("phone2", "phone") if each.get("rank") == 2 else ("phone", "phone2")
            name = first if not found[first] else second
            found[name] = found[name] or value
        elif kind in ("fax", "email") and not found[kind] and not mailboxes.is_mailbox(each):
            found[kind] = value
    return found


_PARTS = {
    systems.CARE_OF: "recipient",
    systems.LOCATOR: "point",
    systems.HOUSE_NUMBER: "number",
    systems.NUMBER_SUFFIX: "repetition",
    systems.STREET_TYPE: "street_type",
    systems.STREET_NAME: "street",
    systems.POST_BOX: "mention",
}


def _postal(address: Json) -> dict[str, str]:
    found = dict.fromkeys(_PARTS.values(), "")
    lines = [each for each in _list(address, "line") if isinstance(each, str)]
    parts = _list(address, "_line")
    for number, line in enumerate(lines):
        told = parts[number] if number < len(parts) else None
        named = {
            column: _text(each, "valueString")
            for each in (_objects(told, "extension") if isinstance(told, dict) else ())
            if (column := _PARTS.get(_text(each, "url")))
        }
        if named:
            found |= named
        elif not found["street"]:
            found["street"] = line[:_LONGEST]
    commune = next(
        (_text(_object(each, "valueCoding"), "code") for each in _objects(address, "extension")
         if each.get("url") == systems.INSEE_CODE), "",
    )  # fmt: skip
    return found | {
        "commune": commune,
        "city": _text(address, "city"),
        "department": _text(address, "district"),
        "postcode": _text(address, "postalCode"),
        "country": _text(address, "country"),
    }


def _registrar(resource: Json) -> str:
    for each in _objects(_object(resource, "meta"), "extension"):
        if each.get("url") == systems.DATA_TRACE:
            for told in _objects(each, "extension"):
                if told.get("url") == "autorite-enregistrement":
                    concept = _object(told, "valueCodeableConcept")
                    coding = next(_objects(concept, "coding"), {})
                    return _text(concept, "text") or _text(coding, "code")
    return ""


def _nomenclature(coding: Json) -> str:
    """The short name of a coding's nomenclature, such as TRE_G15; else its system as it stands."""
    system = canonical(_text(coding, "system"))
    found = _NOMENCLATURE.search(system + "-")
    return found[1] if found else system


def _reference(resource: Json, name: str, kind: str) -> str:
    """The technical id of what an element refers to; a full address is one too."""
    found = _REFERENCE.search(_text(_object(resource, name), "reference"))
    return found[2] if found and found[1] == kind else ""


def _object(element: Json, name: str) -> Json:
    found = element.get(name)
    return found if isinstance(found, dict) else {}


def _list(element: Json, name: str) -> list[Any]:
    found = element.get(name)
    return found if isinstance(found, list) else []


def _objects(element: Json, name: str) -> Iterator[Json]:
    for each in _list(element, name):
        if isinstance(each, dict):
            yield each


def _text(element: Json, name: str) -> str:
    value = element.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _wrong(f"its element {name} is not a text, or is too long")
    return value.strip()


def _joined(element: Json, name: str) -> str:
    found = _list(element, name)
    if not all(isinstance(each, str) for each in found) or sum(map(len, found)) > _LONGEST:
        raise _wrong(f"its element {name} is not texts")
    return " ".join(each.strip() for each in found)


def _wrong(what: str) -> ResourceError:
    return ResourceError(f"A resource cannot be read: {what}.", f"Une ressource est illisible : {what}.")
