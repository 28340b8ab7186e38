"""Modified UTF-7: how IMAP4rev1 spells mailbox names beyond ASCII.

What stays true: each text has exactly one spelling, and only that one is read: what could have been spelled as itself,
is not ended, has spare bits set or is half a surrogate pair is refused. So two spellings never name one mailbox.

RFC 3501 §5.1.3.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

_BEYOND = re.compile(r"[^\x20-\x7e]+|&")
_SHIFTED = re.compile(rb"&([^-]*)-")
_PLAIN = re.compile(rb"[\x20-\x25\x27-\x7e]*")


def encode(text: str) -> bytes:
    """`text` in modified UTF-7. It holds no lone surrogates."""
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.encode("ascii")
    return _BEYOND.sub(_shift, text).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    base64 = b2a_base64(match[0].encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return f"&{base64.decode('ascii')}-"


def decode(octets: bytes) -> str:
    """The text so spelled. Raises ValueError for anything that `encode` would not have written."""
    if b"&" not in octets:
        if _PLAIN.fullmatch(octets) is None:
            raise ValueError("not printable ASCII")
        return octets.decode("ascii")
    pieces, position = [], 0
    while (shift := octets.find(b"&", position)) >= 0:
        match = _SHIFTED.match(octets, shift)
        if match is None:
            raise ValueError("a shift that does not end")
        pieces += [octets[position:shift].decode("ascii"), _unshifted(match[1])]
        position = match.end()
    text = "".join(pieces) + octets[position:].decode("ascii")
    if encode(text) != octets:
        raise ValueError("not the one spelling of this text")
    return text


def _unshifted(base64: bytes) -> str:
    if not base64:
        return "&"
    if b"/" in base64 or b"=" in base64:
        raise ValueError("not modified base64")
    try:
        return a2b_base64(base64.replace(b",", b"/") + b"=" * (-len(base64) % 4), strict_mode=True).decode("utf-16-be")
    except Base64Error as error:
        raise ValueError("not base64") from error
