"""Whether a resource meets a condition: what a search means, said on the resource itself.

What holds here: the same answer as the register's queries give, on resources that have no rows to ask: those kept as they
came, and those of a moment ago.

Rules: a text matches from its beginning, without case and accents; a person's names match from any of their words, with
or without hyphens, and together in either order. `:contains` anywhere, `:exact` to the letter. A condition on what a
resource does not have is not met, `:not` is.

R4 search §2.21.1.4; spec directory §1.4, where the national service falls short: docs/standards.md.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from vaguemestre.documents.fhir import dates, mailboxes, systems
from vaguemestre.documents.fhir.parameters import Kind
from vaguemestre.documents.fhir.search import Clause, Condition, Linked, plain, token
from vaguemestre.documents.fhir.systems import Json, canonical
from vaguemestre.documents.words import fold, words

Follow = Callable[[Linked, Json], bool]
_STREET = {systems.HOUSE_NUMBER, systems.NUMBER_SUFFIX, systems.STREET_TYPE, systems.STREET_NAME}
_ROOT_TOKENS = {
    "service-category": "category",
    "service-type": "type",
    "characteristic": "characteristic",
    "role": "code",
    "type": "type",
}
_REFERENCES = {
    ("Device", "organization"): "owner",
    ("HealthcareService", "organization"): "providedBy",
    ("Organization", "partof"): "partOf",
}


def matches(resource: Json, condition: Condition, follow: Follow, now: int) -> bool:
    """Whether a resource meets a condition. `follow` says whether a linked one is; `now` is Unix milliseconds."""
    if isinstance(condition, Linked):
        return follow(condition, resource)
    match condition.parameter.kind:
        case Kind.STRING:
            return any(_text(resource, condition, value) for value in condition.values)
        case Kind.TOKEN:
            met = any(_token(resource, condition, value) for value in condition.values)
            return met != (condition.modifier == "not")
        case Kind.REFERENCE:
            meant = {reference_id(condition, value) for value in condition.values}
            return referred(resource, condition.parameter.name) in meant - {""}
        case Kind.DATE:
            at = updated(resource)
            return any(low <= at < high for value in condition.values for low, high in dates.spans(value, now))
        case Kind.URI:
            return any(value in resource.get("meta", {}).get("profile", ()) for value in condition.values)


def updated(resource: Json) -> int:
    """When a resource last changed, Unix milliseconds."""
    return round(datetime.fromisoformat(resource["meta"]["lastUpdated"]).timestamp() * 1000)


def referred(resource: Json, parameter: str) -> str:
    """The technical id that a resource refers to; empty where there is none."""
    element = resource.get(_REFERENCES.get((resource["resourceType"], parameter), parameter))
    reference = element.get("reference", "") if isinstance(element, dict) else ""
    return str(reference).rpartition("/")[2]


def reference_id(clause: Clause, value: str) -> str:
    """The technical id that a value names: bare, after its type, or in a URL; empty where the type is another."""
    path, _, identifier = plain(value).strip().rpartition("/")
    return identifier if path.rpartition("/")[2] in ("", clause.parameter.target) else ""


def spelled(name: str) -> list[str]:
    """A folded name of several words from each of them on, a space apart; nothing for one word."""
    found = words(name)
    return [" ".join(found[start:]) for start in range(len(found))] if len(found) > 1 else []


def begins(name: str, sought: str) -> bool:
    """Whether a person's name begins, or one of its words does, by what is sought; both folded."""
    if name.startswith(sought):
        return bool(sought)
    spaced = " ".join(words(sought))
    return bool(spaced) and any(each.startswith(spaced) for each in spelled(name))


def equals(name: str, sought: str) -> bool:
    """Whether a folded name is what is sought, whatever its hyphens."""
    return name == sought or (len(words(name)) > 1 and " ".join(words(name)) == " ".join(words(sought)))


def halves(sought: str) -> list[tuple[str, str]]:
    """The ways to take several words as two names."""
    parts = sought.split()
    return [(" ".join(parts[:at]), " ".join(parts[at:])) for at in range(1, len(parts))]


def _text(resource: Json, clause: Clause, value: str) -> bool:
    name, modifier, value = clause.parameter.name, clause.modifier, plain(value)
    if name == "name" and clause.kind == "Practitioner":
        return _full_name(resource, modifier, value)
    sought = value.lower() if name == "mailbox-mss" else fold(value).strip()
    for each in _texts(resource, name):
        if modifier == "exact":
            met = each == value
        elif modifier == "contains":
            met = sought in fold(each)
        elif name in ("family", "given"):
            met = begins(fold(each), sought)
        else:
            met = bool(sought) and fold(each).startswith(sought)
        if met:
            return True
    return False


def _full_name(resource: Json, modifier: str, value: str) -> bool:
    for name in resource.get("name", ()):
        family, given = name.get("family", ""), " ".join(name.get("given", ()))
        titles = (*name.get("prefix", ()), *name.get("suffix", ()))
        if modifier == "exact":
            if value and value in (family, given, f"{family} {given}", *titles):
                return True
            continue
        family, given, sought = fold(family), fold(given), fold(value).strip()
        if modifier == "contains":
            if sought in f"{family} {given}":
                return True
            continue
        if begins(family, sought) or begins(given, sought) or (sought and sought in map(fold, titles)):
            return True
        for one, other in halves(sought):
            if (equals(family, one) and begins(given, other)) or (equals(given, one) and begins(family, other)):
                return True
    return False


def _texts(resource: Json, name: str) -> Iterator[str]:
    match name:
        case "family":
            yield from (each["family"] for each in resource.get("name", ()) if "family" in each)
        case "given":
            yield from (given for each in resource.get("name", ()) for given in each.get("given", ()))
        case "name":
            yield from [resource["name"]] if resource.get("name") else []
        case "mailbox-mss":
            yield from (each["value"] for each in resource.get("telecom", ()) if mailboxes.is_mailbox(each))
        case "number-smartcard":
            yield from (value["valueString"] for value in _cards(resource, "number"))
        case "address":
            for part in ("address-city", "address-line", "address-postalcode"):
                yield from _texts(resource, part)
        case "address-city" | "address-postalcode":
            element = "city" if name == "address-city" else "postalCode"
            yield from (each[element] for each in resource.get("address", ()) if element in each)
        case "address-line":
            for each in resource.get("address", ()):
                for text, parts in zip(each.get("line", ()), each.get("_line", ()), strict=False):
                    if parts and any(part["url"] in _STREET for part in parts["extension"]):
                        yield text
        case "manufacturer":
            yield from [resource["manufacturer"]] if "manufacturer" in resource else []
        case "model":
            yield from [resource["modelNumber"]] if "modelNumber" in resource else []


def _cards(resource: Json, part: str) -> Iterator[Json]:
    for extension in resource.get("extension", ()):
        if extension.get("url") == systems.SMARTCARD:
            yield from (each for each in extension.get("extension", ()) if each.get("url") == part)


def _token(resource: Json, clause: Clause, value: str) -> bool:
    name = clause.parameter.name
    if clause.modifier == "of-type":
        type_, _, sought = value.rpartition("|")
        return any(
            _is(coding, *token(type_)) and each.get("value") == plain(sought)
            for each in resource.get("identifier", ())
            for coding in each.get("type", {}).get("coding", ())
        )
    system, code = token(value)
    return any(_is(coding, system, code) for coding in codings(resource, name))


def _is(coding: Json, system: str | None, code: str) -> bool:
    if system is not None and canonical(coding.get("system", "")) != canonical(system):
        return False
    return coding.get("code") == code if code else bool(system)


def codings(resource: Json, name: str) -> Iterator[Json]:
    """What a token parameter looks at, as Codings."""
    match name:
        case "_id":
            yield {"code": resource["id"]}
        case "identifier":
            yield from ({"system": each.get("system", ""), "code": each["value"]} for each in _identifiers(resource))
        case "identifier-type":
            for each in _identifiers(resource):
                yield from each.get("type", {}).get("coding", ())
        case "active":
            yield {"code": "true" if resource.get("active", True) else "false"}
        case "status":
            yield {"code": resource.get("status")}
        case "data-information-system" | "data-registration-authority":
            yield from _traces(resource, name)
        case "qualification-code":
            for each in resource.get("qualification", ()):
                yield from each["code"]["coding"]
        case "type-smartcard":
            for each in _cards(resource, "type"):
                yield from each["valueCodeableConcept"]["coding"]
        case "mailbox-mss-type":
            for contact in resource.get("telecom", ()):
                if mailboxes.is_mailbox(contact):
                    yield {"system": systems.MAILBOX_KIND, "code": mailboxes.read(contact).kind}
        case "address-insee":
            for each in resource.get("address", ()):
                yield from (part["valueCoding"] for part in each.get("extension", ()) if "valueCoding" in part)
        case _:
            found = resource.get(_ROOT_TOKENS.get(name, name), ())
            for concept in found if isinstance(found, list) else [found]:
                yield from concept.get("coding", ()) if isinstance(concept, dict) else ()


def _identifiers(resource: Json) -> list[Json]:
    return [each for each in resource.get("identifier", ()) if "value" in each]


def _traces(resource: Json, name: str) -> Iterator[Json]:
    part = "systeme-information" if name == "data-information-system" else "autorite-enregistrement"
    for extension in resource.get("meta", {}).get("extension", ()):
        if extension.get("url") == systems.DATA_TRACE:
            for each in extension.get("extension", ()):
                if each.get("url") == part:
                    concept: Any = each.get("valueCodeableConcept", {})
                    yield from concept.get("coding", ())
                    yield {"code": each.get("valueCode", concept.get("text"))}
