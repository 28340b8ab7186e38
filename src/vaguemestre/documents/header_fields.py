"""Fields of a header block as bytes: found by name, unfolded, or kept exactly as they came.

What holds here: nothing raises and the time is linear in the size. An unfolded value has no CR, LF or NUL, so that it
can be written to a line of any protocol; other octets stand as they came, 8-bit ones too.

Rules: a fold is one space, whatever white space stood around it; a line without a colon is no field; a name may have
spaces before its colon, as some software writes it.

RFC 5322 §2.2, RFC 9051 §6.4.5.
"""

import re
from collections.abc import Iterable

FIELD_LIMIT = 1_048_576
"""The longest value given, in octets; what goes beyond is cut off. No person writes to 20,000 others in one field."""

_LINE = re.compile(rb"[^\n]*+\n|[^\n]++")
_NUL = "\N{REPLACEMENT CHARACTER}".encode()


def read_fields(head: bytes, wanted: frozenset[bytes], prefix: bytes = b"") -> dict[bytes, list[bytes]]:
    """Unfolded values of the fields with a `wanted` name (lower case) or `prefix`, by name, in order. Never raises."""
    found: dict[bytes, list[list[bytes]]] = {}
    lines: list[bytes] | None = None
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if lines is not None:
                lines.append(line)
            continue
        name, colon, value = line.partition(b":")
        lines = None
        if colon:
            name = name.rstrip(b" \t").lower()
            if name in wanted or (prefix and name.startswith(prefix)):
                lines = [value]
                found.setdefault(name, []).append(lines)
    return {name: [_unfold(lines) for lines in each] for name, each in found.items()}


def _unfold(lines: list[bytes]) -> bytes:
    texts = [line.strip(b" \t\r") for line in lines]
    value = (texts[0] if len(texts) == 1 else b" ".join(filter(None, texts)))[:FIELD_LIMIT]
    if b"\r" in value:
        value = value.replace(b"\r", b" ")
    return value.replace(b"\0", _NUL) if b"\0" in value else value


def select_fields(head: bytes, names: Iterable[bytes], *, others: bool = False) -> bytes:
    """The fields of a header block with these names, or all but them, as they stand there; then its empty line."""
    wanted = {name.lower() for name in names}
    kept: list[bytes] = []
    keep = others
    for line in _LINE.findall(head):
        if line in (b"\r\n", b"\n"):
            kept.append(line)
            return b"".join(kept)
        if line[:1] not in (b" ", b"\t"):
            name, colon, _ = line.partition(b":")
            keep = (bool(colon) and name.rstrip(b" \t").lower() in wanted) != others
        if keep:
            kept.append(line)
    # No empty line: the message has no body. Other servers add one to chosen fields, and none to the others.
    if others:
        return b"".join(kept)
    return b"".join(kept).removesuffix(b"\n").removesuffix(b"\r") + (b"\r\n\r\n" if kept else b"\r\n")
