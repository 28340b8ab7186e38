"""Resources from what the register holds: Practitioner, PractitionerRole, Organization; and those kept as they came.

What holds here: a resource that is emitted fits its public profile (as-dp-*): a practitioner's and an activity's telecom
hold secure mailboxes only; no `responsible`, no red list; what was withdrawn shows its id, its identifiers and
`active: false` alone (an organization keeps its name). An element without a value is left out.

Rules: parts that many resources share are made once: who gets a resource must not change its parts.

IG as-dp-practitioner, as-dp-practitionerrole, as-dp-organization; spec directory §1.2, §1.3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from vaguemestre.documents.fhir import mailboxes, systems
from vaguemestre.documents.fhir.systems import Json

PREFIXES = {
    "Organization": "001-",
    "Device": "002-",
    "Practitioner": "003-",
    "HealthcareService": "004-",
    "PractitionerRole": "005-",
}
_MOST_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """How resources are written: the switch of the profile, and domains whose mailboxes are shown whole."""

    digitization: bool = False  # as IG 1.1.0; 1.2.0 has none
    own_domains: frozenset[str] = frozenset()

    def restricted(self, address: str) -> bool:
        """Whether a mailbox is shown to whoever administers it."""
        return bool(self.own_domains) and address.rpartition("@")[2].lower() in self.own_domains


PUBLIC = Shape()


def technical_id(kind: str, number: int) -> str:
    """The id of a resource: `003-12`."""
    return f"{PREFIXES[kind]}{number}"


def number_of(kind: str, identifier: str) -> int | None:
    """The register's number in a technical id of that kind of resource; None in what is none."""
    prefix, digits = PREFIXES[kind], identifier[4:]
    if not identifier.startswith(prefix) or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    return int(digits) if digits == "0" or not digits.startswith("0") else None


def instant(milliseconds: int) -> str:
    """A FHIR instant of Unix milliseconds, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}+00:00"


_instant = lru_cache(1024)(instant)


def practitioner(
    row: Any, qualifications: Iterable[Any], cards: Iterable[Any], boxes: Iterable[Any], updated: int,
    shape: Shape = PUBLIC,
) -> Json:  # fmt: skip
    """A Practitioner. `row` has the columns of the register; `updated` is Unix milliseconds."""
    identifiers = []
    if row.national_id:
        identifiers.append(_identifier("IDNPS", systems.IDNPS, row.national_id))
    if row.rpps:
        identifiers.append(_identifier("RPPS", systems.RPPS, row.rpps))
    made = _head("Practitioner", row, updated)
    if not row.active:
        return _withdrawn(made, identifiers)
    if shown := [_card(card) for card in cards if not card.opposed_on]:
        made["extension"] = shown
    made["identifier"] = identifiers
    made["active"] = True
    name: Json = {"use": "usual"}
    if text := f"{row.family} {row.given}".strip():
        name["text"] = text
    if row.family:
        name["family"] = row.family
    if row.given:
        name["given"] = [row.given]
    if row.civility:
        name["prefix"] = [row.civility]
    if row.title:
        name["suffix"] = [row.title]
    made["name"] = [name]
    _add_mailboxes(made, (), boxes, shape)
    if held := [code for each in qualifications if (code := _qualification(each.what, each.type, each.code))]:
        made["qualification"] = held
    return made


def practitioner_role(row: Any, boxes: Iterable[Any], updated: int, shape: Shape = PUBLIC) -> Json:
    """A PractitionerRole."""
    made = _head("PractitionerRole", row, updated)
    system, value = (systems.RPPS, row.identifier) if row.identifier else (systems.OWN_ACTIVITY, str(row.id))
    identifiers = [{"system": system, "value": value}]
    if not row.active:
        return _withdrawn(made, identifiers)
    made["identifier"] = identifiers
    made["active"] = True
    made["practitioner"] = {"reference": f"Practitioner/003-{row.practitioner_id}"}
    if row.organization_id is not None:
        made["organization"] = {"reference": f"Organization/001-{row.organization_id}"}
    codes = [
        _concept(system, code)
        for system, code in (
            (systems.GENRE, row.genre),
            (systems.MODE, row.mode),
            (systems.FUNCTION, row.function),
            (systems.SECTION, row.section),
        )
        if code
    ]
    if codes:
        made["code"] = codes
    _add_mailboxes(made, (), boxes, shape)
    return made


def organization(row: Any, boxes: Iterable[Any], updated: int, shape: Shape = PUBLIC) -> Json:
    """An Organization."""
    made = _head("Organization", row, updated)
    if trace := _trace("FINESS" if row.finess or row.legal_finess else "RPPS", row.registrar):
        made["meta"]["extension"] = trace
    identifiers = [_identifier(kind, system, value) for kind, system, value in organization_identifiers(row)]
    if not row.active:
        withdrawn = _withdrawn(made, identifiers)
        if row.name:
            withdrawn["name"] = row.name
        return withdrawn
    made["identifier"] = identifiers
    made["active"] = True
    if kinds := _organization_types(row):
        made["type"] = kinds
    if row.name:
        made["name"] = row.name
    if row.sign:
        made["alias"] = [row.sign]
    contacts: list[Json] = []
    if row.phone:
        contacts.append({"system": "phone", "value": row.phone, "rank": 1})
    if row.phone2:
        contacts.append({"system": "phone", "value": row.phone2, "rank": 2})
    if row.fax:
        contacts.append({"system": "fax", "value": row.fax})
    if row.email:
        contacts.append({"system": "email", "value": row.email})
    _add_mailboxes(made, contacts, boxes, shape)
    if where := _address(row):
        made["address"] = [where]
    if row.parent_id is not None:
        made["partOf"] = {"reference": f"Organization/001-{row.parent_id}"}
    return made


def kept(kind: str, identifier: str, content: Json, active: bool, version: int, updated: int) -> Json:
    """A resource that only the national service makes, as it came, under our version and date."""
    found = content.get("meta")
    meta: Json = found if isinstance(found, dict) else {}
    mine = {"versionId": str(version), "lastUpdated": _instant(updated), "source": systems.SOURCE}
    made = content | {
        "resourceType": kind,
        "id": identifier,
        "meta": {"profile": [*systems.PROFILES[kind]], **meta, **mine},
    }
    if active:
        return made
    mark = {"status": "inactive"} if kind == "Device" else {"active": False}
    return {key: made[key] for key in ("resourceType", "id", "meta", "identifier") if key in made} | mark


def is_legal_entity(row: Any) -> bool:
    """Whether an organization is the legal entity above places: its FINESS is that of a legal entity."""
    return bool(row.legal_finess) and (row.finess in ("", row.legal_finess)) and row.parent_id is None


def organization_identifiers(row: Any) -> list[tuple[str, str, str]]:
    """What identifies an organization: type, system, value of each."""
    legal = is_legal_entity(row)
    finess = row.legal_finess if legal else row.finess
    found = []
    if national := national_structure_id(row):
        found.append(("IDNST", systems.IDNST, national))
    if finess:
        found.append(("FINEJ" if legal else "FINEG", systems.FINESS, finess))
    if row.siret:
        found.append(("SIRET", systems.SIRENE, row.siret))
    if row.siren:
        found.append(("SIREN", systems.SIRENE, row.siren))
    if row.technical_id:
        found.append(("RPPSRG", systems.RPPS_RANK, row.technical_id))
    return found


def national_structure_id(row: Any) -> str:
    """IdNat_Struct: 1 and the FINESS, 3 and the SIRET, 4 and the RPPS-rang; empty where there is none of them."""
    if row.finess or (row.legal_finess and is_legal_entity(row)):
        return f"1{row.finess or row.legal_finess}"
    if row.siret:
        return f"3{row.siret}"
    return f"4{row.rpps_rank}" if row.rpps_rank else ""


def _head(kind: str, row: Any, updated: int) -> Json:
    return {
        "resourceType": kind,
        "id": f"{PREFIXES[kind]}{row.id}",
        "meta": {
            "versionId": str(row.revision),
            "lastUpdated": _instant(updated),
            "source": systems.SOURCE,
            "profile": systems.PROFILES[kind],
        }
        | ({} if kind == "Organization" else {"extension": _RPPS_TRACE}),
        "language": "fr",
    }


def _withdrawn(made: Json, identifiers: Sequence[Json]) -> Json:
    return {key: made[key] for key in ("resourceType", "id", "meta")} | {"identifier": identifiers, "active": False}


@lru_cache(256)
def _trace(system: str, registrar: str) -> list[Json]:
    told: list[Json] = []
    if registrar:
        told.append({"url": "autorite-enregistrement", "valueCodeableConcept": {"text": registrar}})
    told.append({"url": "systeme-information", "valueCode": system})
    return [{"url": systems.DATA_TRACE, "extension": told}]


_RPPS_TRACE = _trace("RPPS", "")


@lru_cache(32)
def _typed(kind: str) -> Json:
    return {"coding": [{"system": systems.IDENTIFIER_TYPES, "code": kind}]}


def _identifier(kind: str, system: str, value: str) -> Json:
    return {"use": "official", "type": _typed(kind), "system": system, "value": value}


@lru_cache(_MOST_KEPT)
def _concept(*codings: str) -> Json:
    pairs = zip(codings[::2], codings[1::2], strict=True)
    return {"coding": [{"system": system, "code": code} for system, code in pairs if code]}


@lru_cache(_MOST_KEPT)
def _qualification(what: str, kind: str, code: str) -> Json | None:
    """A profession, know-how or diploma; None for what the public profile does not show."""
    if what == "P":
        return {"code": _concept(systems.profession_system(code), code, systems.CATEGORY, kind)}
    if what == "K":
        system = systems.KNOW_HOW.get(kind, systems.SPECIALITY)
        return {"code": _concept(system, code, systems.KNOW_HOW_TYPE, kind)}
    if what == "D":
        return {"code": _concept(systems.DIPLOMA, code, systems.DIPLOMA_TYPE, kind)}
    return None


def _card(card: Any) -> Json:
    told: list[Json] = []
    if card.type:
        told.append({"url": "type", "valueCodeableConcept": _concept(systems.CARD_TYPE, card.type)})
    told.append({"url": "number", "valueString": card.number})
    period = {key: value for key, value in (("start", card.starts_on), ("end", card.ends_on)) if value}
    if period:
        told.append({"url": "period", "valuePeriod": period})
    return {"url": systems.SMARTCARD, "extension": told}


def _add_mailboxes(made: Json, others: Sequence[Json], boxes: Iterable[Any], shape: Shape) -> None:
    contacts = list(others)
    for box in boxes:
        restricted = shape.restricted(box.address)
        if not box.red_list or restricted:
            contacts.append(mailboxes.write(box, digitization=shape.digitization, restricted=restricted))
    if contacts:
        made["telecom"] = contacts


@lru_cache(_MOST_KEPT)
def _organization_type(meaning: str, system: str, code: str) -> Json:
    concept: Json = {"coding": [{"system": system, "code": code}]}
    if meaning:
        concept = {"extension": [{"url": systems.ORGANIZATION_TYPES, "valueCode": meaning}]} | concept
    return concept


def _organization_types(row: Any) -> list[Json]:
    kinds = []
    if kind := organization_kind(row):
        kinds.append(_organization_type("organizationType", systems.ORGANIZATION_KINDS, kind))
    if row.sector:
        kinds.append(_organization_type("secteurActiviteRASS", systems.SECTOR, row.sector))
    if row.category:
        kinds.append(_organization_type("", systems.ESTABLISHMENT, row.category))
    return kinds


def organization_kind(row: Any) -> str:
    """Legal or geographical entity."""
    return "LEGAL-ENTITY" if is_legal_entity(row) else "GEOGRAPHICAL-ENTITY"


def address_lines(row: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """The lines of a postal address, each with its parts: extension and value."""
    lines: list[tuple[str, list[tuple[str, str]]]] = []
    if row.recipient:
        lines.append((row.recipient, [(systems.CARE_OF, row.recipient)]))
    if row.point:
        lines.append((row.point, [(systems.LOCATOR, row.point)]))
    parts = [
        (url, value)
        for url, value in (
            (systems.HOUSE_NUMBER, row.number),
            (systems.NUMBER_SUFFIX, row.repetition),
            (systems.STREET_TYPE, row.street_type),
            (systems.STREET_NAME, row.street),
        )
        if value
    ]
    if parts:
        lines.append((" ".join(value for _, value in parts), parts))
    if row.mention:
        lines.append((row.mention, [(systems.POST_BOX, row.mention)]))
    if row.cedex and row.cedex != row.city:
        lines.append((row.cedex, []))
    return lines


def _address(row: Any) -> Json:
    made: Json = {}
    if row.commune:
        coding = {"system": systems.COMMUNE, "code": row.commune}
        made["extension"] = [{"url": systems.INSEE_CODE, "valueCoding": coding}]
    if lines := address_lines(row):
        made["line"] = [text for text, _ in lines]
        made["_line"] = [
            {"extension": [{"url": url, "valueString": value} for url, value in parts]} if parts else None
            for _, parts in lines
        ]
    for element, value in (
        ("city", row.city),
        ("district", row.department),
        ("postalCode", row.postcode),
        ("country", row.country),
    ):
        if value:
            made[element] = value
    return made
