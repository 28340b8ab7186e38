"""A FHIRPath Patch of mailboxes: read into what it asks, or refused with words.

What holds here: only what concerns the mailboxes of a resource's telecom is read; the address names which one. What is
asked is said in the order it was written.

Rules: a path is `Type.telecom`, then `.where(value = 'ADDRESS')`, then an element of it: `.rank`, or a part of the
mailbox's extension, `.extension('<url>').extension('listeRouge').value`. `replace` of a part that is not there makes it:
the published examples do. Positions (`index`, `[0]`) are taken where they change nothing, since addresses have a rank.

R4 FHIRPath Patch (http.html#fhirpath-patch); spec directory §4; IG MSSanté, flux d'alimentation.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from vaguemestre.documents.fhir import mailboxes, systems
from vaguemestre.documents.fhir.mailboxes import Mailbox
from vaguemestre.documents.fhir.systems import Json
from vaguemestre.errors import VaguemestreError

_MOST_OPERATIONS = 100
_TEXT = r"'((?:[^'\\]|\\.)*)'"
_WHERE = re.compile(
    rf"\.where\(\s*(?:system\s*=\s*'email'\s+and\s+)?value\s*=\s*{_TEXT}\s*\)(?:\.(?:first|single)\(\))?"
)
_EXTENSION = re.compile(rf"\.extension(?:\(\s*{_TEXT}\s*\)|\.where\(\s*url\s*=\s*{_TEXT}\s*\))")
_ESCAPE = re.compile(r"\\(.)")
# The parts of the extension, and what a mailbox calls them.
PARTS = {
    "type": "kind",
    "description": "description",
    "responsible": "responsible",
    "service": "service",
    "digitization": "digitization",
    "listeRouge": "red_list",
}
_FLAGS = {"digitization", "red_list"}


class PatchError(VaguemestreError):
    """What was sent is no patch of mailboxes."""


class Verb(StrEnum):
    """What an operation asks of a mailbox."""

    PUT = "put"  # the whole mailbox, new or in the place of the one of its address
    SET = "set"  # one fact
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `mailbox` to PUT; the fact called `name` to SET at `value`, None for no more; `address` otherwise.

    `replaced`: the address of the mailbox that a PUT replaces, empty where it adds one.
    """

    verb: Verb
    address: str
    mailbox: Mailbox | None = None
    name: str = ""
    value: Any = None
    replaced: str = ""


def read(kind: str, content: bytes) -> list[Operation]:
    """The operations of a patch of a resource of that type. Raises PatchError, MailboxError."""
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise _wrong("it is not JSON", "ce n'est pas du JSON") from error
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise _wrong("it is not a Parameters resource", "ce n'est pas une ressource Parameters")
    found = body.get("parameter")
    if not isinstance(found, list) or not found or len(found) > _MOST_OPERATIONS:
        raise _wrong(
            f"it has no operation, or more than {_MOST_OPERATIONS}",
            f"elle n'a aucune opération, ou plus de {_MOST_OPERATIONS}",
        )
    return [_operation(kind, each) for each in found]


def _operation(kind: str, parameter: Any) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise _wrong("a parameter is not called operation", "un paramètre ne s'appelle pas operation")
    parts = {str(each.get("name")): each for each in _objects(parameter.get("part"))}
    verb, path = _plain(parts, "type"), _plain(parts, "path")
    if verb not in ("add", "insert", "replace", "delete"):
        raise _wrong(
            f"type {str(verb)[:20]} is not add, insert, replace or delete",
            f"le type {str(verb)[:20]} n'est ni add, ni insert, ni replace, ni delete",
        )
    if not isinstance(path, str):
        raise _wrong("an operation has no path", "une opération n'a pas de chemin (path)")
    if verb == "add":  # `name` is the element that is added to what `path` finds
        path = f"{path}.{_plain(parts, 'name') or 'telecom'}"
    address, rest = _target(kind, path)
    if not address:
        if verb in ("replace", "delete"):
            raise _path(path)
        mailbox = mailboxes.read(_value(parts, "ContactPoint"))
        return Operation(Verb.PUT, mailbox.address, mailbox)
    if not rest:
        if verb == "delete":
            return Operation(Verb.REMOVE, address)
        if verb != "replace":
            raise _path(path)
        mailbox = mailboxes.read(_value(parts, "ContactPoint"))
        return Operation(Verb.PUT, mailbox.address, mailbox, replaced=address)
    return _fact(verb, path, address, rest, parts)


def _fact(verb: str, path: str, address: str, rest: str, parts: dict[str, Json]) -> Operation:
    """An operation on one fact of a mailbox."""
    if rest == ".value":
        return Operation(Verb.SET, address, name="address", value=_value(parts) if verb != "delete" else "")
    if rest == ".rank":
        rank = None if verb == "delete" else _value(parts)
        if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or rank < 1):
            raise _wrong("a rank is a number from 1", "un rang est un nombre à partir de 1")
        return Operation(Verb.SET, address, name="rank", value=rank)
    outer = _EXTENSION.match(rest)
    if outer is None or _said(outer) != systems.MAILBOX:
        raise _path(path)
    inner, rest = _EXTENSION.match(rest, outer.end()), rest[outer.end() :]
    if inner is None:
        if rest != ".extension" or verb not in ("add", "insert"):
            raise _path(path)
        extension = _value(parts, "Extension")
        if not isinstance(extension, dict):
            raise _wrong("the value is not an Extension", "la valeur n'est pas une Extension")
        values = [value for key, value in extension.items() if key.startswith("value")]
        return _named(address, str(extension.get("url")), values[0] if values else None, path)
    name, rest = _said(inner), rest[inner.end() - outer.end() :]
    if verb == "delete":
        return _named(address, name, None, path)
    if not rest.startswith(".value") or (not rest.removeprefix(".value").isalpha() and rest != ".value"):
        raise _path(path)
    return _named(address, name, _value(parts), path)


def _named(address: str, part: str, value: Any, path: str) -> Operation:
    name = PARTS.get(part)
    if name is None:
        raise _path(path)
    if value is not None:
        if name == "kind":
            value = mailboxes.kind_of(value)
        elif name in _FLAGS and not isinstance(value, bool):
            raise _wrong(f"{part} is true or false", f"{part} vaut true ou false")
        elif name not in _FLAGS and not isinstance(value, str):
            raise _wrong(f"{part} is a text", f"{part} est un texte")
    return Operation(Verb.SET, address, name=name, value=value.strip() if isinstance(value, str) else value)


def _target(kind: str, path: str) -> tuple[str, str]:
    """The address that a path leads to, empty for the list itself, and what follows it."""
    head = f"{kind}.telecom"
    if not path.startswith(head):
        raise _path(path)
    rest = path[len(head) :]
    if not rest:
        return "", ""
    where = _WHERE.match(rest)
    if where is None or not where[1]:
        raise _path(path)
    return _ESCAPE.sub(r"\1", where[1]), rest[where.end() :]


def _said(found: "re.Match[str]") -> str:
    return _ESCAPE.sub(r"\1", found[1] if found[1] is not None else found[2])


def _value(parts: dict[str, Json], kind: str = "") -> Any:
    """The value of an operation, of that type where one is asked for."""
    given = [(key, value) for key, value in parts.get("value", {}).items() if key.startswith("value")]
    if len(given) != 1 or (kind and given[0][0] != f"value{kind}"):
        raise _wrong(f"an operation has no value{kind}", f"une opération n'a pas de value{kind}")
    return given[0][1]


def _plain(parts: dict[str, Json], name: str) -> Any:
    return next((value for key, value in parts.get(name, {}).items() if key.startswith("value")), None)


def _objects(found: Any) -> Iterator[Json]:
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


def _path(path: str) -> PatchError:
    return _wrong(
        f"the path {path[:200]} leads to no element of a mailbox that may be written",
        f"le chemin {path[:200]} ne mène à aucun élément d'une boîte aux lettres qui puisse être écrit",
    )


def _wrong(en: str, fr: str) -> PatchError:
    return PatchError(f"This is no patch of mailboxes: {en}.", f"Ce n'est pas une mise à jour de boîtes : {fr}.")
