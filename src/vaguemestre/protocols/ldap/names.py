"""Distinguished names as LDAP writes them: read and written.

What it keeps true: two ways of writing one name give equal values: the case of types, spaces around separators, the way
of escaping and the order within a relative name of several attributes do not count. Values are as written: who compares
them folds them. Reading is linear.

RFC 4514 §2 and §3; RFC 4512 §2.5 (the root, the nearest entry above).
"""

import re

from vaguemestre.errors import VaguemestreError

_LONGEST = 2048
_TYPE = re.compile(r"[ ]*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)[ ]*=[ ]*")
_PLAIN = re.compile(r'[^\\,+"<>;\x00]+')
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_OIDS = {
    "2.5.4.3": "cn",
    "2.5.4.10": "o",
    "2.5.4.11": "ou",
    "0.9.2342.19200300.100.1.1": "uid",
    "0.9.2342.19200300.100.1.25": "dc",
}
_LONG_NAMES = {
    "commonname": "cn",
    "organizationname": "o",
    "organizationalunitname": "ou",
    "userid": "uid",
    "domaincomponent": "dc",
}

RelativeName = tuple[tuple[str, str], ...]
"""Its attributes: (type in lower case, value as it was meant), sorted."""
Name = tuple[RelativeName, ...]
"""Most specific first; the root is ()."""


class DnSyntaxError(VaguemestreError):
    """The text is no distinguished name."""

    def __init__(self) -> None:
        super().__init__(
            "A distinguished name is malformed: write it as uid=…,ou=people,….",
            "Un nom distinctif est mal formé : écrivez-le sous la forme uid=…,ou=people,….",
        )


def parse(text: str) -> Name:
    """The name a text stands for. Raises DnSyntaxError."""
    if len(text) > _LONGEST:
        raise DnSyntaxError
    if not text.strip(" "):
        return ()
    names: list[RelativeName] = []
    attributes: list[tuple[str, str]] = []
    at = 0
    while True:
        kind = _TYPE.match(text, at)
        if kind is None:
            raise DnSyntaxError
        value, at = _value(text, kind.end())
        lower = kind[1].lower()
        attributes.append((_OIDS.get(lower) or _LONG_NAMES.get(lower, lower), value))
        separator = text[at : at + 1]
        if separator != "+":
            names.append(tuple(sorted(attributes)))
            attributes = []
        if not separator:
            return tuple(names)
        at += 1


def escape(value: str) -> str:
    """A value as it stands in a name (RFC 4514 §2.4)."""
    escaped = re.sub(r'([\\,+"<>;])', r"\\\1", value).replace("\0", "\\00")
    if escaped[:1] in ("#", " "):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if escaped.endswith(" ") and len(escaped) > 2 else escaped


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where its separator stands."""
    if text.startswith("#", at):
        found = re.compile(r"#((?:[0-9A-Fa-f]{2})+)[ ]*(?=[,+;]|\Z)").match(text, at)
        if found is None:
            raise DnSyntaxError
        return _string(bytes.fromhex(found[1])), found.end()
    octets = bytearray()
    kept = 0  # how much is kept whatever spaces follow: an escaped space counts
    while at < len(text) and text[at] not in ",+;":
        if text[at] == "\\":
            pair = _HEX.match(text, at + 1)
            if pair is not None:
                octets += bytes.fromhex(pair[0])
                at += 3
            elif text[at + 1 : at + 2] and text[at + 1] in ' "#+,;<=>\\':
                octets += text[at + 1].encode()
                at += 2
            else:
                raise DnSyntaxError
            kept = len(octets)
            continue
        plain = _PLAIN.match(text, at)
        if plain is None:
            raise DnSyntaxError
        octets += plain[0].encode("utf-8", "replace")
        at = plain.end()
    trimmed = bytes(octets[:kept]) + bytes(octets[kept:]).rstrip(b" ")
    try:
        return trimmed.decode(), at
    except UnicodeDecodeError as error:
        raise DnSyntaxError from error


def _string(ber: bytes) -> str:
    """The text of a BER string (RFC 4514 §2.4: `#` and hexadecimal)."""
    if len(ber) < 2 or ber[1] >= 0x80 or len(ber) != 2 + ber[1]:
        raise DnSyntaxError
    try:
        return ber[2:].decode()
    except UnicodeDecodeError as error:
        raise DnSyntaxError from error
