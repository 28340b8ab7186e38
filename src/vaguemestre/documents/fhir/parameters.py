"""What may be searched by, and what may be included: the search parameters of the national service, and ours besides.

Rules: names and types are those of AsServerDPCapabilityStatement (IG 1.1.0); what the national service has not yet or
will not do (`mailbox-mss-type`, `address-insee` of IG 1.2.0) is here too, marked as ours in docs/standards.md.

Source: spec directory §1.4.
"""

from dataclasses import dataclass
from enum import StrEnum

from vaguemestre.documents.fhir.systems import SEARCH_PARAMETERS


class Kind(StrEnum):
    """How values of a parameter are compared (R4, search §2.21.1.4)."""

    TOKEN = "token"  # noqa: S105 - a word, no secret
    STRING = "string"
    REFERENCE = "reference"
    DATE = "date"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one type of resource; `target` is what a reference leads to."""

    name: str
    kind: Kind
    definition: str
    target: str = ""


MODIFIERS: dict[Kind, frozenset[str]] = {
    Kind.STRING: frozenset({"", "contains", "exact", "text"}),
    Kind.TOKEN: frozenset({"", "not"}),
    Kind.REFERENCE: frozenset({""}),
    Kind.DATE: frozenset({""}),
    Kind.URI: frozenset({""}),
}

_R4 = "http://hl7.org/fhir/SearchParameter/"
_COMMON = {
    "_id": (Kind.TOKEN, f"{_R4}Resource-id", ""),
    "_lastUpdated": (Kind.DATE, f"{_R4}Resource-lastUpdated", ""),
    "identifier": (Kind.TOKEN, "", ""),
    "data-information-system": (Kind.TOKEN, f"{SEARCH_PARAMETERS}data-information-system", ""),
    "data-registration-authority": (Kind.TOKEN, f"{SEARCH_PARAMETERS}data-registration-authority", ""),
}
_OWN: dict[str, dict[str, tuple[Kind, str, str]]] = {
    "Practitioner": {
        "active": (Kind.TOKEN, f"{_R4}Practitioner-active", ""),
        "family": (Kind.STRING, f"{_R4}individual-family", ""),
        "given": (Kind.STRING, f"{_R4}individual-given", ""),
        "identifier-type": (Kind.TOKEN, "", ""),
        "mailbox-mss": (Kind.STRING, f"{SEARCH_PARAMETERS}mailbox-mss", ""),
        "mailbox-mss-type": (Kind.TOKEN, f"{SEARCH_PARAMETERS}mailbox-mss-type", ""),
        "name": (Kind.STRING, f"{_R4}Practitioner-name", ""),
        "number-smartcard": (Kind.STRING, f"{SEARCH_PARAMETERS}number-smartcard", ""),
        "qualification-code": (Kind.TOKEN, f"{SEARCH_PARAMETERS}qualification-code", ""),
        "type-smartcard": (Kind.TOKEN, f"{SEARCH_PARAMETERS}type-smartcard", ""),
    },
    "PractitionerRole": {
        "active": (Kind.TOKEN, f"{_R4}PractitionerRole-active", ""),
        "mailbox-mss": (Kind.STRING, f"{SEARCH_PARAMETERS}mailbox-mss", ""),
        "mailbox-mss-type": (Kind.TOKEN, f"{SEARCH_PARAMETERS}mailbox-mss-type", ""),
        "organization": (Kind.REFERENCE, f"{_R4}PractitionerRole-organization", "Organization"),
        "practitioner": (Kind.REFERENCE, f"{_R4}PractitionerRole-practitioner", "Practitioner"),
        "role": (Kind.TOKEN, f"{_R4}PractitionerRole-role", ""),
    },
    "Organization": {
        "active": (Kind.TOKEN, f"{_R4}Organization-active", ""),
        "address": (Kind.STRING, f"{_R4}Organization-address", ""),
        "address-city": (Kind.STRING, f"{_R4}Organization-address-city", ""),
        "address-insee": (Kind.TOKEN, f"{SEARCH_PARAMETERS}address-insee", ""),
        "address-line": (Kind.STRING, f"{SEARCH_PARAMETERS}address-line", ""),
        "address-postalcode": (Kind.STRING, f"{_R4}Organization-address-postalcode", ""),
        "identifier-type": (Kind.TOKEN, "", ""),
        "mailbox-mss": (Kind.STRING, f"{SEARCH_PARAMETERS}mailbox-mss", ""),
        "mailbox-mss-type": (Kind.TOKEN, f"{SEARCH_PARAMETERS}mailbox-mss-type", ""),
        "name": (Kind.STRING, f"{_R4}Organization-name", ""),
        "partof": (Kind.REFERENCE, f"{_R4}Organization-partof", "Organization"),
        "pharmacy-licence": (Kind.STRING, f"{SEARCH_PARAMETERS}pharmacy-licence", ""),
        "type": (Kind.TOKEN, f"{_R4}Organization-type", ""),
    },
    "Device": {
        "manufacturer": (Kind.STRING, f"{_R4}Device-manufacturer", ""),
        "model": (Kind.STRING, f"{_R4}Device-model", ""),
        "organization": (Kind.REFERENCE, f"{_R4}Device-organization", "Organization"),
        "status": (Kind.TOKEN, f"{_R4}Device-status", ""),
        "type": (Kind.TOKEN, f"{_R4}Device-type", ""),
    },
    "HealthcareService": {
        "_profile": (Kind.URI, f"{_R4}Resource-profile", ""),
        "active": (Kind.TOKEN, f"{_R4}HealthcareService-active", ""),
        "characteristic": (Kind.TOKEN, f"{_R4}HealthcareService-characteristic", ""),
        "organization": (Kind.REFERENCE, f"{_R4}HealthcareService-organization", "Organization"),
        "service-category": (Kind.TOKEN, f"{_R4}HealthcareService-service-category", ""),
        "service-type": (Kind.TOKEN, f"{_R4}HealthcareService-service-type", ""),
    },
}
PARAMETERS: dict[str, dict[str, Parameter]] = {
    kind: {
        name: Parameter(name, how, definition or (f"{_R4}{kind}-identifier" if name == "identifier" else ""), target)
        for name, (how, definition, target) in sorted((_COMMON | own).items())
    }
    for kind, own in _OWN.items()
}
TYPES = tuple(PARAMETERS)

SORTS: dict[str, frozenset[str]] = {
    "Practitioner": frozenset({"_id", "_lastUpdated", "name", "family", "given"}),
    "PractitionerRole": frozenset({"_id", "_lastUpdated"}),
    "Organization": frozenset({"_id", "_lastUpdated", "name"}),
    "Device": frozenset({"_id"}),
    "HealthcareService": frozenset({"_id"}),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A parameter that leads from resources of type `source` to those of type `target`."""

    source: str
    parameter: str
    target: str

    def __str__(self) -> str:
        """As in `_include`: `PractitionerRole:practitioner`."""
        return f"{self.source}:{self.parameter}"


REFERENCES: dict[str, Reference] = {
    f"{kind}:{name}": Reference(kind, name, parameter.target)
    for kind, known in PARAMETERS.items()
    for name, parameter in known.items()
    if parameter.target
}
