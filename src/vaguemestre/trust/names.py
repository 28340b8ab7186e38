"""Distinguished names as people type them in the allow-list and as certificates hold them.

Kept true: two names are equal when they have the same attributes, relative name by relative name, whatever the case,
the width of white space (no-break spaces included), quoting, or the end from which they are written. Names are never
compared as strings, because the official list quotes some values, spaces some separators and doubles some spaces.

Rules of reading, wider than RFC 4514 because the list is typed by hand:
- a separator (`,` `;` `+`) only counts when an attribute type and `=` follow it; otherwise it belongs to the value;
- a quotation mark only opens a quoted value at the value's start, and only closes it before a separator or the end;
- an unknown attribute type is kept as written: it can then only equal itself.

RFC 4514 (strings), RFC 4518 §2 (NFKC and insignificant spaces), spec trust-space §1 "DN form".
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509

from vaguemestre.errors import VaguemestreError

_KEYWORDS = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "T",
    "2.5.4.42": "GN",
    "2.5.4.97": "ORGANIZATIONIDENTIFIER",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "E",
}
_SYNONYMS = {"S": "ST", "EMAILADDRESS": "E", "TITLE": "T", "GIVENNAME": "GN", "SURNAME": "SN"}
_OIDS = {keyword: x509.ObjectIdentifier(dotted) for dotted, keyword in _KEYWORDS.items()}

_TYPE = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*")
_SEPARATOR = re.compile(r"\s*([,;+])(?=\s*(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=)|\s*\Z")
_ESCAPE = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
_LONGEST = 4096

Attribute = tuple[str, str]
RelativeName = tuple[Attribute, ...]


class DistinguishedNameError(VaguemestreError):
    """A text that cannot be read as a distinguished name."""


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name, hashable: equality and hash use `canonical` only.

    `relative_names`: as written, most specific first, each a tuple of (type keyword, value).
    """

    relative_names: tuple[RelativeName, ...] = field(compare=False)
    canonical: str

    def __str__(self) -> str:
        """RFC 4514 text, most specific first."""
        return ",".join("+".join(f"{kind}={_escape(value)}" for kind, value in rdn) for rdn in self.relative_names)

    def value(self, kind: str) -> str:
        """The first value of an attribute type (`CN`, `O`…), or an empty string."""
        return next((value for rdn in self.relative_names for key, value in rdn if key == kind), "")


def parse(text: str) -> DistinguishedName:
    """The name a person typed, for example `CN=bus.mssante.fr,OU=3…,O="C.H. DE  X",ST=Isère (38),C=FR`.

    Raises DistinguishedNameError. Source: RFC 4514 §3, widened as the module's rules say.
    """
    if len(text) > _LONGEST:
        raise _unreadable(text[:80] + "…")
    rdns: list[list[Attribute]] = []
    position, joined = 0, False
    while True:
        kind = _TYPE.match(text, position)
        if kind is None:
            raise _unreadable(text)
        raw, end = _value(text, kind.end())
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            raise _unreadable(text)
        attribute = (_keyword(kind[1]), _unescape(raw, text))
        if joined:
            rdns[-1].append(attribute)
        else:
            rdns.append([attribute])
        if separator[1] is None:
            return _named(tuple(rdn) for rdn in rdns)
        joined = separator[1] == "+"
        position = separator.end()


def from_x509(name: x509.Name) -> DistinguishedName:
    """The name a certificate holds, written most specific first (RFC 4514 §2.1)."""
    return _named(
        tuple((_keyword(item.oid.dotted_string), _text(item.value)) for item in rdn) for rdn in reversed(name.rdns)
    )


def to_x509(name: DistinguishedName) -> x509.Name:
    """The name to write in a certificate, least specific first. Raises DistinguishedNameError (no OID)."""
    try:
        return x509.Name(
            [
                x509.RelativeDistinguishedName([x509.NameAttribute(_oid(kind), value) for kind, value in rdn])
                for rdn in reversed(name.relative_names)
            ]
        )
    except ValueError as error:
        raise _unreadable(str(name)) from error


def _value(text: str, start: int) -> tuple[str, int]:
    """The raw value that begins at `start`, escapes kept, and where it ends."""
    quoted = text.startswith('"', start)
    position = start + 1 if quoted else start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
        elif quoted and character == '"' and _SEPARATOR.match(text, position + 1):
            return text[start + 1 : position], position + 1
        elif not quoted and character in ",;+" and _SEPARATOR.match(text, position):
            return text[start:position], position
        else:
            position += 1
    if quoted:
        raise _unreadable(text)
    return text[start:], len(text)


def _named(rdns: Iterable[RelativeName]) -> DistinguishedName:
    written = tuple(rdns)
    folded = ["\x1e".join(sorted(f"{kind}={_fold(value)}" for kind, value in rdn)) for rdn in written]
    # One orientation for both ways of writing; the separators are white space, which folded values cannot hold.
    return DistinguishedName(written, min("\x1f".join(folded), "\x1f".join(reversed(folded))))


def _fold(value: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(unicodedata.normalize("NFKC", value).split()).casefold())


def _keyword(kind: str) -> str:
    upper = kind.upper()
    return _KEYWORDS.get(kind) or _SYNONYMS.get(upper, upper)


def _oid(kind: str) -> x509.ObjectIdentifier:
    return _OIDS.get(kind) or x509.ObjectIdentifier(kind)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else "#" + value.hex()


def _unescape(raw: str, whole: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return match[2] if match[2] is not None else bytes.fromhex(match[1].replace("\\", "")).decode()

    try:
        return _ESCAPE.sub(plain, raw)
    except UnicodeDecodeError as error:
        raise _unreadable(whole) from error


def _escape(value: str) -> str:
    escaped = re.sub(r'([,;+"\\<>])', r"\\\1", value)
    escaped = re.sub(r"^([ #])", r"\\\1", escaped)
    return re.sub(r"(?<!\\) $", r"\\ ", escaped)


def _unreadable(text: str) -> DistinguishedNameError:
    return DistinguishedNameError(
        f"“{text}” is not a certificate name: write it as CN=…,OU=…,O=…,ST=…,C=….",
        f"« {text} » n'est pas un nom de certificat : écrivez-le sous la forme CN=…,OU=…,O=…,ST=…,C=….",
    )
