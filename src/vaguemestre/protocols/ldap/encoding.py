"""Messages from and to octets: BER as LDAP restricts it (RFC 4511 §5.1).

What it keeps true: whatever the octets, only DecodingError is raised, and the work is linear in them: before a message
is decoded, one pass sees to it that every length is definite and within what contains it, that nothing lies deeper than
`Bounds.depth`, and that there are no more than `Bounds.elements`. Lengths in long form pass: Windows sends no others.

Entries are written here rather than by `asn1tools`: they are the only thing there are many of. The tests hold the two
to the same octets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap.messages import (
    Abandon,
    And,
    Approximate,
    Bind,
    Compare,
    Control,
    Equality,
    Extended,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Operation,
    Or,
    Present,
    Request,
    Sasl,
    Scope,
    Search,
    Simple,
    Substrings,
    Unbind,
    UnknownFilter,
    Write,
)
from vaguemestre.protocols.ldap.notation import NOTATION
from vaguemestre.protocols.ldap.results import Result

_SEQUENCE = 0x30
_CONSTRUCTED = 0x20
_MANY_OCTETS_TAG = 0x1F
_WRITES = {0x66: Write.MODIFY, 0x68: Write.ADD, 0x4A: Write.DELETE, 0x6C: Write.MODIFY_DN}
_MOST_ID = 2**31 - 1
_SHORT = 60  # octets of a type, and of a value, that make an attribute whose lengths are of one octet
_BYTES = [bytes((number,)) for number in range(256)]
_SCOPES = {int(scope): scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one message may be: `octets` long, `depth` elements deep, `elements` in all."""

    octets: int = 262_144
    depth: int = 48
    elements: int = 8192


class DecodingError(VaguemestreError):
    """The octets are no message of LDAP."""

    def __init__(self, message_id: int = 0) -> None:
        super().__init__(
            "What was sent is not a message of LDAP; the programme is to be corrected.",
            "Ce qui a été envoyé n'est pas un message LDAP ; le programme est à corriger.",
        )
        self.message_id = message_id


class SizeError(DecodingError):
    """A message beyond the bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.en = "This message is larger, deeper or has more parts than this server reads."
        self.fr = "Ce message est plus grand, plus profond ou plus fourni que ce serveur n'en lit."


@cache
def _notation() -> Any:
    import asn1tools  # type: ignore[import-untyped] # noqa: PLC0415 - 0.1 s, and only where LDAP is spoken

    return asn1tools.compile_string(NOTATION, "ber")


# ---- octets in


def measure(data: "bytes | bytearray", bounds: Bounds) -> int:
    """How many octets the message at the start of `data` has, 0 where too few have come to tell.

    Raises DecodingError, SizeError.
    """
    if not data:
        return 0
    if data[0] != _SEQUENCE:
        raise DecodingError
    if len(data) < 2:
        return 0
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 1 <= count <= 4:  # indefinite, or a length of lengths that no message needs
        raise DecodingError
    if len(data) < 2 + count:
        return 0
    whole = 2 + count + int.from_bytes(data[2 : 2 + count], "big")
    if whole > bounds.octets:
        raise SizeError
    return whole


def decode(message: bytes, bounds: Bounds) -> Request:
    """The request in one whole message, as `measure` found it. Raises DecodingError, SizeError."""
    _inspect(message, bounds)
    try:
        decoded = _notation().decode("LDAPMessage", message)
        return _request(message, decoded)
    except DecodingError:
        raise
    except Exception as error:  # the library's own, of many kinds; the fuzzer looks for others
        raise DecodingError from error


def _inspect(message: bytes, bounds: Bounds) -> None:
    """One pass over all elements: their lengths, their depth, their number."""
    at, end = 0, len(message)
    ends = [end]
    left = bounds.elements
    while at < end:
        while at == ends[-1]:
            ends.pop()
        limit = ends[-1]
        left -= 1
        if left < 0:
            raise SizeError
        if limit - at < 2 or message[at] & _MANY_OCTETS_TAG == _MANY_OCTETS_TAG:
            raise DecodingError
        tag, length = message[at], message[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or limit - at < count:
                raise DecodingError
            length = int.from_bytes(message[at : at + count], "big")
            at += count
        if length > limit - at:
            raise DecodingError
        if not tag & _CONSTRUCTED:
            at += length
        elif length:
            if tag == 0x24 or len(ends) > bounds.depth:  # strings in pieces are not LDAP's (§5.1)
                raise DecodingError if tag == 0x24 else SizeError
            ends.append(at + length)


def _request(message: bytes, decoded: Mapping[str, Any]) -> Request:
    number = decoded["messageID"]
    if not 0 <= number <= _MOST_ID:
        raise DecodingError
    kind, value = decoded["protocolOp"]
    operation = _WRITES.get(_operation_tag(message)) if kind is None else _OPERATIONS[kind](value)
    if operation is None:
        raise DecodingError(number)
    controls = tuple(
        Control(_text(each["controlType"]), each["criticality"], each.get("controlValue"))
        for each in decoded.get("controls", ())
    )
    return Request(number, operation, controls)


def _operation_tag(message: bytes) -> int:
    """The tag of the operation, after the head of the message and its number, both of which were inspected."""
    at = 2 + (message[1] & 0x7F if message[1] & 0x80 else 0)
    return message[at + 2 + message[at + 1]]


def _bind(value: Mapping[str, Any]) -> Bind:
    kind, given = value["authentication"]
    credentials: Simple | Sasl | None = None
    if kind == "simple":
        credentials = Simple(given)
    elif kind == "sasl":
        credentials = Sasl(_text(given["mechanism"]), given.get("credentials"))
    return Bind(value["version"], _text(value["name"]), credentials)


def _search(value: Mapping[str, Any]) -> Search:
    size, seconds = value["sizeLimit"], value["timeLimit"]
    if not 0 <= size <= _MOST_ID or not 0 <= seconds <= _MOST_ID:
        raise DecodingError
    return Search(
        _text(value["baseObject"]),
        _SCOPES.get(value["scope"]),
        size,
        seconds,
        value["typesOnly"],
        _filter(value["filter"]),
        tuple(map(_text, value["attributes"])),
    )


def _compare(value: Mapping[str, Any]) -> Compare:
    return Compare(_text(value["entry"]), *_assertion(value["ava"]))


def _extended(value: Mapping[str, Any]) -> Extended:
    return Extended(_text(value["requestName"]), value.get("requestValue"))


_OPERATIONS: Mapping[str, Any] = {
    "bindRequest": _bind,
    "unbindRequest": lambda _: Unbind(),
    "searchRequest": _search,
    "compareRequest": _compare,
    "abandonRequest": Abandon,
    "extendedReq": _extended,
    **dict.fromkeys(
        (
            "bindResponse",
            "searchResEntry",
            "searchResDone",
            "modifyResponse",
            "addResponse",
            "delResponse",
            "modDNResponse",
            "compareResponse",
            "extendedResp",
        ),
        lambda _: None,
    ),
}


def _filter(choice: tuple[str | None, Any]) -> Filter:
    kind, value = choice
    match kind:
        case "and":
            return And(tuple(map(_filter, value)))
        case "or":
            return Or(tuple(map(_filter, value)))
        case "not":
            return Not(_filter(value))
        case "present":
            return Present(_text(value))
        case "substrings":
            return _substrings(value)
        case "extensibleMatch":
            rule, attribute = _text(value.get("matchingRule", b"")), _text(value.get("type", b""))
            return Extensible(rule, attribute, _text(value["matchValue"]), value["dnAttributes"])
        case None:
            return UnknownFilter()
    comparisons: dict[str, type[Equality | GreaterOrEqual | LessOrEqual | Approximate]] = {
        "equalityMatch": Equality,
        "greaterOrEqual": GreaterOrEqual,
        "lessOrEqual": LessOrEqual,
        "approxMatch": Approximate,
    }
    return comparisons[kind](*_assertion(value))


def _substrings(value: Mapping[str, Any]) -> Substrings:
    """Initial first, final last, each at most once, and at least one piece (§4.5.1.7.2)."""
    pieces = value["substrings"]
    kinds = [kind for kind, _ in pieces]
    if not kinds or "initial" in kinds[1:] or "final" in kinds[:-1]:
        raise DecodingError
    texts = [_text(piece) for _, piece in pieces]
    initial = texts[0] if kinds[0] == "initial" else ""
    final = texts[-1] if kinds[-1] == "final" else ""
    inner = tuple(text for kind, text in zip(kinds, texts, strict=True) if kind == "any")
    return Substrings(_text(value["type"]), initial, inner, final)


def _assertion(value: Mapping[str, Any]) -> tuple[str, str]:
    return _text(value["attributeDesc"]), _text(value["assertionValue"])


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


# ---- octets out


def result(message_id: int, kind: str, outcome: Result, controls: Sequence[Control] = (), **more: bytes) -> bytes:
    """The response that ends an operation; `kind` is its name in the notation, `more` what only it has."""
    value = {
        "resultCode": int(outcome.code),
        "matchedDN": outcome.matched.encode(),
        "diagnosticMessage": outcome.text.encode(),
        **more,
    }
    message: dict[str, Any] = {"messageID": message_id, "protocolOp": (kind, value)}
    if controls:
        message["controls"] = [
            {"controlType": each.type.encode(), "criticality": each.critical, "controlValue": each.value or b""}
            for each in controls
        ]
    encoded: bytes = _notation().encode("LDAPMessage", message)
    return encoded


_RESPONSES = {Write.MODIFY: "modify", Write.ADD: "add", Write.DELETE: "del", Write.MODIFY_DN: "modDN"}


def response_to(operation: Operation) -> str:
    """The name, in the notation, of the response to an operation; empty where there is none."""
    match operation:
        case Bind():
            return "bindResponse"
        case Search():
            return "searchResDone"
        case Compare():
            return "compareResponse"
        case Extended():
            return "extendedResp"
        case Write():
            return f"{_RESPONSES[operation]}Response"
    return ""


@lru_cache(1024)
def _type(name: str) -> bytes:
    return _element(4, name.encode())


def attribute(name: str, values: Sequence[str]) -> bytes:
    """One attribute of an entry (PartialAttribute), with its values or none."""
    head = _type(name)
    if len(values) == 1:  # nearly all
        value = values[0].encode()
        size = len(value)
        if size < _SHORT and len(head) < _SHORT:
            return b"0%b%b1%b\x04%b%b" % (_BYTES[len(head) + size + 4], head, _BYTES[size + 2], _BYTES[size], value)
    return _element(_SEQUENCE, head + _element(0x31, b"".join([_element(4, each.encode()) for each in values])))


def entry(dn: str, attributes: Iterable[bytes]) -> bytes:
    """An entry (SearchResultEntry), with attributes as `attribute` writes them; `found` makes a message of it."""
    return _element(0x64, _element(4, dn.encode()) + _element(_SEQUENCE, b"".join(attributes)))


def found(message_id: int, entries: Iterable[bytes]) -> list[bytes]:
    """The messages that tell entries found by a search."""
    number = _element(2, message_id.to_bytes(message_id.bit_length() // 8 + 1, "big"))
    return [_element(_SEQUENCE, number + each) for each in entries]


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return _BYTES[tag] + _BYTES[length] + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


# ---- values of controls and of extended operations


def read_paged_results(value: bytes | None) -> tuple[int, bytes]:
    """The size of a page and the cookie (RFC 2696). Raises DecodingError."""
    size, cookie = _value("PagedResults", value, "size", "cookie")
    return size, cookie


def write_paged_results(size: int, cookie: bytes) -> bytes:
    """The control's value in an answer: an estimate of how many there are in all, 0 unknown, and where the next begins."""
    encoded: bytes = _notation().encode("PagedResults", {"size": size, "cookie": cookie})
    return encoded


def read_cancel(value: bytes | None) -> int:
    """The number of the operation to cancel (RFC 3909 §2.1). Raises DecodingError."""
    number: int = _value("CancelValue", value, "cancelID")[0]
    return number


def _value(kind: str, value: bytes | None, *names: str) -> Any:
    if value is None:
        raise DecodingError
    bounds = Bounds()
    if not value or measure(value, bounds) != len(value):
        raise DecodingError
    _inspect(value, bounds)
    try:
        decoded = _notation().decode(kind, value)
        return tuple(decoded[name] for name in names)
    except Exception as error:
        raise DecodingError from error
