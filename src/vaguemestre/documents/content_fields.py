"""What the Content-* fields of a part say: its media type, how it is encoded, its name, its use.

What holds here: nothing raises, the time is linear in the size, at most 64 kB of a structured field are read, and no
value has a CR, LF or NUL.

Rules: of several like fields the first wins. A type that is none is `text/plain` (RFC 2045 §5.2). Parameters in several
sections become one; where their octets are percent-encoded they stay so and the name keeps its asterisk, for IMAP gives
them undecoded (`decoded_parameter` decodes). The name of a file without its quotes goes up to the next semicolon.

RFC 2045 §5, RFC 2183, RFC 2231, RFC 3282, RFC 1864, RFC 2557.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from vaguemestre.documents.encoded_words import decode_bytes, decode_words, printable

Parameter = tuple[bytes, bytes]
"""A name as written, and a value without its quotes."""

NAMES = frozenset({b"mime-version"})
PREFIX = b"content-"

_STRUCTURED_LIMIT = 65_536
_PARAMETERS = 1000
_SKIP = rb"(?:[ \t]++|\((?:[^()\\]|\\.)*+\))*+"
_TOKEN = rb'[^\x00- \x7f()<>@,;:\\"/\[\]?=]++'
_LEADING_TOKEN = re.compile(_SKIP + rb'"?(' + _TOKEN + rb')"?', re.DOTALL)
_TYPE = re.compile(_SKIP + rb"(" + _TOKEN + rb")(?:" + _SKIP + rb"/" + _SKIP + rb"(" + _TOKEN + rb"))?", re.DOTALL)
_VALUE = rb'(?:"((?:[^"\\]|\\.)*+)"?|([^;]*+))'
_PARAMETER = re.compile(rb";" + _SKIP + rb'([^=;"\s()]*+)' + _SKIP + rb"(?:=" + _SKIP + _VALUE + rb")?", re.DOTALL)
_NOTHING_MORE = re.compile(_SKIP, re.DOTALL)
_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64"})
_LANGUAGE = re.compile(rb"[A-Za-z0-9*-]++")
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]++)\*(0|[1-9]\d{0,2})(\*)?")
_TO_PERCENT = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")
_PLAIN: Parameter = (b"text", b"plain")


class Disposition(NamedTuple):
    """How a part wants to be shown, `inline` or `attachment` as written, and its parameters."""

    kind: bytes
    parameters: tuple[Parameter, ...]


def read_type(value: bytes) -> tuple[bytes, bytes, tuple[Parameter, ...]]:
    """Type, subtype and parameters of a Content-Type, in the letters it has."""
    value = value[:_STRUCTURED_LIMIT]
    found = _TYPE.match(value)
    if not found:
        return *_PLAIN, ()
    media, subtype = found.groups()
    if subtype is None:
        if media.lower() == b"multipart":
            subtype = b"mixed"
        else:
            media, subtype = (media, b"plain") if media.lower() == b"text" else _PLAIN
    return media, subtype, _read_parameters(value, found.end())


def read_disposition(value: bytes) -> Disposition | None:
    """A Content-Disposition, or None where it says none."""
    value = value[:_STRUCTURED_LIMIT]
    found = _LEADING_TOKEN.match(value)
    return Disposition(found[1], _read_parameters(value, found.end())) if found else None


def read_encoding(value: bytes) -> bytes:
    """The name in a Content-Transfer-Encoding, as written; empty where there is none."""
    value = value[:_STRUCTURED_LIMIT]
    found = _LEADING_TOKEN.match(value)
    if not found or not (found[1].lower() in _ENCODINGS or _NOTHING_MORE.fullmatch(value, found.end())):
        return b""
    return found[1]


def read_languages(value: bytes) -> tuple[bytes, ...]:
    """The tags of a Content-Language."""
    tags = (_LANGUAGE.match(tag.strip(b" \t")) for tag in value[:_STRUCTURED_LIMIT].split(b",")[:_PARAMETERS])
    return tuple(tag[0] for tag in tags if tag)


def parameter(parameters: tuple[Parameter, ...], name: bytes) -> bytes | None:
    """The first value of a name (lower case, with its asterisk where it has one)."""
    return next((value for each, value in parameters if each.lower() == name), None)


def decoded_parameter(parameters: tuple[Parameter, ...], name: bytes) -> str:
    """A value for people: decoded as RFC 2231 says, or from encoded words, which many write there; printable."""
    extended = parameter(parameters, name + b"*")
    if extended is not None:
        charset, quote, rest = extended.partition(b"'")
        _, other, encoded = rest.partition(b"'")
        if quote and other:
            return printable(decode_bytes(unquote_to_bytes(encoded), charset.decode("ascii", "replace"))).strip()
        return printable(decode_bytes(unquote_to_bytes(extended))).strip()
    plain = parameter(parameters, name)
    return printable(decode_words(decode_bytes(plain))).strip() if plain else ""


def _read_parameters(value: bytes, start: int) -> tuple[Parameter, ...]:
    if start == len(value):
        return ()
    if not value[start:].lstrip(b" \t").startswith(b";"):
        value, start = b";" + value[start:], 0  # the semicolon that some software forgets
    found: list[Parameter] = []
    sectioned = False
    while len(found) < _PARAMETERS and (each := _PARAMETER.search(value, start)):
        name, quoted, plain = each.groups()
        start = each.end()
        if not name or (quoted is None and plain is None):
            continue
        sectioned = sectioned or b"*" in name
        found.append((name, _PAIR.sub(rb"\1", quoted) if quoted is not None else _bare_value(name, plain)))
    return tuple(_joined(found)) if sectioned else tuple(found)


def _bare_value(name: bytes, value: bytes) -> bytes:
    """A value without quotes: up to its first space, as it should be, but for names of files, which have some."""
    value = value.strip(b" \t")
    if not name.lower().startswith((b"name", b"filename")):
        return value.partition(b" ")[0].partition(b"\t")[0]
    if value.endswith(b")") and (comment := value.rfind(b"(")) > 0:
        value = value[:comment].rstrip(b" \t")
    return value


def _joined(parameters: list[Parameter]) -> list[Parameter]:
    """Parameters in sections (RFC 2231 §3) made one each, after the others; those in octets come last."""
    others: list[Parameter] = []
    in_octets: list[Parameter] = []
    sections: dict[bytes, tuple[bytes, dict[int, Parameter]]] = {}
    for name, value in parameters:
        if section := _SECTION.fullmatch(name):
            _, values = sections.setdefault(section[1].lower(), (section[1], {}))
            values.setdefault(int(section[2]), (section[3] or b"", value))
        else:
            (in_octets if name.endswith(b"*") else others).append((name, value))
    for name, values in sections.values():
        row: list[Parameter] = []
        while (next_one := values.get(len(row))) is not None:
            row.append(next_one)
        if any(mark for mark, _ in row):
            text = b"".join(value if mark else _TO_PERCENT.sub(_percent, value) for mark, value in row)
            in_octets.append((name + b"*", text))
        elif row:
            others.append((name, b"".join(value for _, value in row)))
    return others + in_octets


def _percent(octet: "re.Match[bytes]") -> bytes:
    return b"%%%02X" % octet[0][0]
