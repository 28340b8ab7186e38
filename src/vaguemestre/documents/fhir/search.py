"""A search as asked in a URL or a form: read into conditions, or refused with the words of the national service.

What holds here: what is not understood is refused, never passed over in silence; whatever is asked is bounded in size.

Rules: repeated parameters all hold (AND), values between commas are alternatives (OR), `\\,` is a comma of a value.
`name:family` and `name:given`, which the national documentation shows and its server takes for `name`, mean what they
say. A parameter of another resource is reached by a chain (`practitioner.name`, `practitioner:Practitioner.name`), or
from the other side by `_has:PractitionerRole:practitioner:role`.

R4 search §2.21.1; spec directory §1.4.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vaguemestre.documents.fhir import dates
from vaguemestre.documents.fhir.parameters import MODIFIERS, PARAMETERS, REFERENCES, SORTS, Kind, Parameter, Reference
from vaguemestre.errors import VaguemestreError

COUNT, MOST = 50, 1000
_MOST_PARAMETERS, _MOST_VALUES, _LONGEST, _DEEPEST = 50, 500, 500, 4
_COMMA = re.compile(r"(?<!\\)(?:\\\\)*,")
_ESCAPED = re.compile(r"\\([\\,|$])")
_JSON_FORMATS = {"json", "application/json", "application/fhir+json", "text/json", "application/json+fhir"}


class SearchError(VaguemestreError):
    """A search that is not understood, or asks for more than there is. `code` is a FHIR issue type (R4)."""

    def __init__(self, en: str, fr: str, code: str = "processing") -> None:
        super().__init__(en, fr)
        self.code = code


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition on a resource itself: any of `values`, as `modifier` says."""

    kind: str
    parameter: Parameter
    modifier: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """A condition on a resource at the other end of `reference`; `backwards`: on one that refers to it (`_has`)."""

    reference: Reference
    backwards: bool
    inner: "Condition"

    @property
    def kind(self) -> str:
        """The type of resource that the condition is about."""
        return self.reference.target if self.backwards else self.reference.source


Condition = Clause | Linked


@dataclass(frozen=True, slots=True)
class Search:
    """What was asked. `sort` is (parameter, descending); `total` is empty where nothing was said."""

    kind: str
    conditions: tuple[Condition, ...] = ()
    includes: tuple[Reference, ...] = ()
    revincludes: tuple[Reference, ...] = ()
    iterated: tuple[Reference, ...] = ()  # includes of what was included
    count: int = COUNT
    total: str = ""
    elements: frozenset[str] = frozenset()
    only_count: bool = False
    sort: tuple[str, bool] = ("_id", False)
    pretty: bool = False


def read(kind: str, pairs: Iterable[tuple[str, str]], most: int = MOST) -> Search:
    """Read a search for resources of a type. `pairs` are names and values, decoded. Raises SearchError."""
    search = Search(kind)
    conditions: list[Condition] = []
    for place, (name, value) in enumerate(pairs):
        if place >= _MOST_PARAMETERS:
            raise SearchError(
                f"A search has {_MOST_PARAMETERS} parameters at most.",
                f"Une recherche a {_MOST_PARAMETERS} paramètres au plus.",
                "too-costly",
            )
        taken = _control(search, name, value, most)
        if taken is not None:
            search = taken
        elif found := _condition(kind, name, value):
            conditions.append(found)
    return replace(search, conditions=tuple(conditions))


def split(text: str) -> tuple[str, ...]:
    """The values between commas, as written: `\\,` stays escaped."""
    values, start = [], 0
    for found in _COMMA.finditer(text):
        values.append(text[start : found.end() - 1])
        start = found.end()
    return tuple(value for value in (*values, text[start:]) if value)


def plain(value: str) -> str:
    """A value without its escapes."""
    return _ESCAPED.sub(r"\1", value) if "\\" in value else value


def token(value: str) -> tuple[str | None, str]:
    """System and code of a token: None for any system, an empty code for any code."""
    at = re.search(r"(?<!\\)\|", value)
    if at is None:
        return None, plain(value).strip()
    return plain(value[: at.start()]).strip(), plain(value[at.end() :]).strip()


def unknown(name: str, kind: str) -> SearchError:
    """A parameter that there is not, in the words of the national service."""
    return SearchError(
        f"Parameter {name[:100]} not found for resource {kind}",
        f"Le paramètre {name[:100]} n'existe pas pour la ressource {kind}.",
    )


def _control(search: Search, name: str, value: str, most: int) -> Search | None:
    """The search with what a parameter of the result changes; None where it is a condition."""
    match name:
        case "_count":
            return replace(search, count=_count(value, most))
        case "_total":
            if value not in ("none", "estimate", "accurate"):
                raise _bad(name, value, "none, estimate, accurate")
            return replace(search, total=value)
        case "_summary":
            if value not in ("count", "false", "data"):
                raise _bad(name, value, "count, false, data")
            return replace(search, only_count=value == "count")
        case "_elements":
            return replace(search, elements=search.elements | {each.strip() for each in split(value)})
        case "_format":
            if value.split(";", maxsplit=1)[0].strip().replace(" ", "+").lower() not in _JSON_FORMATS:
                raise _bad(name, value, "json, application/fhir+json")
            return search
        case "_pretty":
            return replace(search, pretty=value == "true")
        case "_sort":
            return replace(search, sort=_sort(search.kind, value))
        case "_include":
            return replace(search, includes=_merge(search.includes, _includes(search.kind, value)))
        case "_include:iterate" | "_include:recurse":
            return replace(search, iterated=_merge(search.iterated, _includes("", value)))
        case "_revinclude":
            return replace(search, revincludes=_merge(search.revincludes, _revincludes(search.kind, value)))
    return None


def _count(value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise SearchError(
            'The _count parameter must be in the FHIR format with an integer value : "_count=30"',
            "Le paramètre _count doit être un nombre entier : « _count=30 ».",
        )
    if int(value) > most:
        raise SearchError(
            f"The _count parameter is {most} at most: ask for the pages that follow by the link `next`.",
            f"Le paramètre _count vaut {most} au plus : demandez les pages suivantes par le lien « next ».",
            "too-costly",
        )
    return int(value)


def _sort(kind: str, value: str) -> tuple[str, bool]:
    name = value.removeprefix("-").strip()
    if name not in SORTS[kind]:
        raise _bad("_sort", value, ", ".join(sorted(SORTS[kind])))
    return ("family" if name == "name" and kind == "Practitioner" else name), value.startswith("-")


def _includes(kind: str, value: str) -> tuple[Reference, ...]:
    """What `_include` names; of any type where `kind` is empty."""
    found: list[Reference] = []
    for each in split(value):
        if each == "*":
            found += [reference for reference in REFERENCES.values() if reference.source == kind or not kind]
            continue
        reference = REFERENCES.get(":".join(each.split(":")[:2]))
        if reference is None or (kind and reference.source != kind) or not _leads(each, reference):
            raise unknown(each, kind or "*")
        found.append(reference)
    return tuple(found)


def _revincludes(kind: str, value: str) -> tuple[Reference, ...]:
    found: list[Reference] = []
    for each in split(value):
        if each == "*":
            found += [reference for reference in REFERENCES.values() if reference.target == kind]
            continue
        reference = REFERENCES.get(":".join(each.split(":")[:2]))
        if reference is None or reference.target != kind or not _leads(each, reference):
            raise unknown(each, kind)
        found.append(reference)
    return tuple(found)


def _leads(text: str, reference: Reference) -> bool:
    """Whether the third part, which may name the target's type, does."""
    parts = text.split(":")
    return len(parts) == 2 or (len(parts) == 3 and parts[2] == reference.target)


def _merge(known: tuple[Reference, ...], more: tuple[Reference, ...]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys((*known, *more)))


def _condition(kind: str, name: str, value: str, depth: int = 0) -> Condition | None:
    """The condition of a parameter; None where it has no value (R4: it is passed over)."""
    if "\x00" in value:
        raise _bad(name, "U+0000", "a text")
    if len(value) > _LONGEST * 20 or len(name) > _LONGEST or depth > _DEEPEST:
        raise SearchError("The search is too long.", "La recherche est trop longue.", "too-costly")
    if name.startswith("_has:"):
        return _has(kind, name, value, depth)
    first, dot, rest = name.partition(".")
    if dot:
        return _chain(kind, name, first, rest, value, depth)
    bare, _, modifier = first.partition(":")
    if bare == "name" and modifier.partition(":")[0] in ("family", "given") and kind == "Practitioner":
        bare, _, modifier = modifier.partition(":")
    parameter = PARAMETERS[kind].get(bare)
    if parameter is None:
        raise unknown(bare, kind)
    known = MODIFIERS[parameter.kind] | ({"of-type"} if bare == "identifier" else set())
    if parameter.kind is Kind.REFERENCE and modifier == parameter.target:
        modifier = ""
    if modifier not in known:
        raise SearchError(
            f"Modifier {modifier[:50]} is not supported for parameter {bare} of resource {kind}: "
            f"{', '.join(sorted(known - {''})) or 'none is'}.",
            f"Le modificateur {modifier[:50]} n'est pas pris en charge pour le paramètre {bare} de la ressource {kind} : "
            f"{', '.join(sorted(known - {''})) or 'aucun ne l’est'}.",
            "not-supported",
        )
    values = split(value)
    if len(values) > _MOST_VALUES or any(len(each) > _LONGEST for each in values):
        raise SearchError(
            f"A parameter has {_MOST_VALUES} values at most, of {_LONGEST} characters each.",
            f"Un paramètre a {_MOST_VALUES} valeurs au plus, de {_LONGEST} caractères chacune.",
            "too-costly",
        )
    if parameter.kind is Kind.DATE:
        for each in values:
            _date(name, each)
    return Clause(kind, parameter, modifier, values) if values else None


def _date(name: str, value: str) -> None:
    try:
        dates.spans(value, 0)
    except (ValueError, OverflowError):
        raise _bad(name, value, "2026, 2026-11, 2026-11-25, 2026-11-25T14:00:00Z, ge2026-11-25") from None


def _chain(kind: str, name: str, first: str, rest: str, value: str, depth: int) -> Condition | None:
    bare, _, target = first.partition(":")
    reference = REFERENCES.get(f"{kind}:{bare}")
    if reference is None or target not in ("", reference.target):
        raise unknown(name, kind)
    inner = _condition(reference.target, rest, value, depth + 1)
    return inner and Linked(reference, False, inner)


def _has(kind: str, name: str, value: str, depth: int) -> Condition | None:
    parts = name.split(":", 3)
    reference = REFERENCES.get(":".join(parts[1:3])) if len(parts) == 4 else None
    if reference is None or reference.target != kind:
        raise unknown(name, kind)
    inner = _condition(reference.source, parts[3], value, depth + 1)
    return inner and Linked(reference, True, inner)


def _bad(name: str, value: str, known: str) -> SearchError:
    return SearchError(
        f"Parameter {name} has no value {value[:50]}: {known}.",
        f"Le paramètre {name} n'a pas de valeur {value[:50]} : {known}.",
        "not-supported" if name == "_format" else "processing",
    )
