"""What a FHIR server answers besides a resource: pages of a search, errors, and what it can do.

Rules: a page says which of its entries matched and which came with them; its links are absolute, or relative to the
service's base, so that a client which follows them stays where it was sent when one machine stands in for another. What
only part of a resource is shown of is tagged SUBSETTED.

R4 Bundle, OperationOutcome, CapabilityStatement; spec directory §1.5; IG AsServerDPCapabilityStatement.
"""

import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any

from vaguemestre.documents.fhir import systems
from vaguemestre.documents.fhir.parameters import PARAMETERS, REFERENCES, TYPES
from vaguemestre.documents.fhir.systems import Json

WRITABLE = ("Practitioner", "PractitionerRole", "Organization")
_SUBSETTED = {"system": systems.SUBSETTED, "code": "SUBSETTED"}
_MANDATORY = {"resourceType", "id", "meta"}
_DOCUMENTATION = {
    "name": "By the beginning of any word of a name, accents and case ignored; name:family and name:given as they say.",
    "mailbox-mss": "By the beginning of an address; :contains anywhere, a whole domain included.",
    "qualification-code": "Diploma, profession, category, know-how and its type.",
    "_lastUpdated": "With eq, ne, gt, lt, ge, le, sa, eb, ap; to the year, the month, the day or the second.",
}


def searchset(
    base: str, matches: Iterable[Json], included: Iterable[Json], total: int | None, following: str, own: str
) -> Json:
    """A page. `following` and `own` are the links to the next page, empty for none, and to this one."""
    links = [{"relation": "next", "url": following}] if following else []
    entries = [_entry(base, each, "match") for each in matches] + [_entry(base, each, "include") for each in included]
    made: Json = {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "searchset",
        "link": [*links, {"relation": "self", "url": own}],
    }
    if total is not None:
        made["total"] = total
    if entries:
        made["entry"] = entries
    return made


def outcome(code: str, en: str, fr: str = "") -> Json:
    """An error, in the words of both languages."""
    issue: Json = {"severity": "error", "code": code, "diagnostics": en}
    if fr and fr != en:
        issue["details"] = {"text": fr}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def part(resource: Json, elements: Collection[str]) -> Json:
    """A resource with these elements alone, and those that none goes without. `Practitioner.name` counts for its type."""
    kind = resource["resourceType"]
    wanted = {each.removeprefix(f"{kind}.") for each in elements} | _MANDATORY
    kept = {key: value for key, value in resource.items() if key.removeprefix("_") in wanted}
    kept["meta"] = resource["meta"] | {"tag": [*resource["meta"].get("tag", ()), _SUBSETTED]}
    return kept


def capabilities(url: str, version: str, started: str, *, writes: bool, secured: bool) -> Json:
    """What the service can do. `started`: a FHIR dateTime."""
    made: Json = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started,
        "kind": "instance",
        "software": {"name": "Vaguemestre"} | ({"version": version} if version else {}),
        "implementation": {
            "description": "Annuaire certifié, compatible avec l'API FHIR Annuaire Santé v2",
            "url": url,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
    }
    rest: Json = {"mode": "server", "resource": [_resource(kind, writes=writes) for kind in TYPES]}
    if secured:
        rest["security"] = {"description": "Clé d'API dans l'en-tête ESANTE-API-KEY"}
    if writes:
        made["patchFormat"] = ["application/fhir+json"]
    return made | {"rest": [rest]}


def _entry(base: str, resource: Json, mode: str) -> Json:
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def _resource(kind: str, *, writes: bool) -> Json:
    interactions = ["read", "search-type", *(["patch"] if writes and kind in WRITABLE else [])]
    found: Json = {
        "type": kind,
        "profile": systems.PROFILES[kind][-1],
        "supportedProfile": list(systems.PROFILES[kind]),
        "interaction": [{"code": code} for code in interactions],
        "versioning": "versioned",
        "conditionalRead": "full-support",
        "searchInclude": _named(lambda each: each.source == kind),
        "searchRevInclude": _named(lambda each: each.target == kind),
        "searchParam": [_parameter(each) for each in PARAMETERS[kind].values()],
    }
    for key in ("searchInclude", "searchRevInclude"):
        if not found[key]:
            del found[key]
    return found


def _named(chosen: Callable[[Any], bool]) -> list[str]:
    names = [name for name, each in REFERENCES.items() if chosen(each)]
    return ["*", *names] if names else []


def _parameter(parameter: Any) -> Json:
    made = {"name": parameter.name, "type": parameter.kind.value}
    if parameter.definition:
        made["definition"] = parameter.definition
    if parameter.name in _DOCUMENTATION:
        made["documentation"] = _DOCUMENTATION[parameter.name]
    return made
