"""Transfer encodings undone: base64 and quoted-printable, by the piece, whatever they are worth.

What holds here: what decodes is given, what cannot be is passed over, and only an encoding without meaning is an error.
The time is linear in the size, and no more than a line, or 64 kB of one, is kept between two pieces.

Rules: base64 passes over what is none, and goes on after padding, for some software joins two encodings; quoted-printable
gives what is no escape as it stands, and drops white space at the ends of lines, as RFC 2045 §6.7 asks.

RFC 2045 §6, RFC 3516 (BINARY).
"""

import binascii
import re
from typing import Protocol

from vaguemestre.errors import VaguemestreError

_IDENTITY = frozenset({b"", b"7bit", b"8bit", b"binary"})
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NO_DIGITS = bytes(octet for octet in range(256) if octet not in _DIGITS)
_SPACE_AT_END = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_LINE_LIMIT = 65_536


class UnknownEncodingError(VaguemestreError):
    """A part is encoded in a way that nobody knows: it can only be given as it is."""

    def __init__(self) -> None:
        super().__init__(
            "This part has an encoding that is not known: fetch it as it is.",
            "Cette partie a un codage inconnu : demandez-la telle quelle.",
        )


class Decoder(Protocol):
    """Undoes an encoding: `decode` each piece, then `finish`; each gives what is decoded so far."""

    def decode(self, data: bytes) -> bytes:
        """Take a piece."""

    def finish(self) -> bytes:
        """There is no more."""


def decoder(encoding: bytes) -> Decoder:
    """A decoder of what a Content-Transfer-Encoding names. Raises UnknownEncodingError."""
    name = encoding.lower()
    if name == b"base64":
        return _Base64()
    if name == b"quoted-printable":
        return _QuotedPrintable()
    if name in _IDENTITY:
        return _Identity()
    raise UnknownEncodingError


def decode(encoding: bytes, data: bytes) -> bytes:
    """A whole body decoded. Raises UnknownEncodingError."""
    undo = decoder(encoding)
    return undo.decode(data) + undo.finish()


class _Identity:
    def decode(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Base64:
    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> bytes:
        *padded, last = (self._rest + data.translate(None, _NO_DIGITS)).split(b"=")
        whole = len(last) - len(last) % 4
        self._rest = last[whole:]
        if not padded:
            return binascii.a2b_base64(last[:whole])
        return b"".join([_to_end(digits) for digits in padded if digits]) + binascii.a2b_base64(last[:whole])

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return _to_end(rest)


def _to_end(digits: bytes) -> bytes:
    """Digits that nothing follows; a single one is less than an octet."""
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"==")


class _QuotedPrintable:
    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> bytes:
        text = self._rest + data
        end = text.rfind(b"\n") + 1
        if not end and len(text) > _LINE_LIMIT:  # an escape is not to be cut, nor white space that may be at an end
            end = len(text.rstrip(b" \t\r=")) - 2
            end = max(end, 0) or len(text)
        self._rest = text[end:]
        return _unquoted(text[:end])

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return _unquoted(rest.rstrip(b" \t"))


def _unquoted(text: bytes) -> bytes:
    return binascii.a2b_qp(_SPACE_AT_END.sub(b"", text)) if text else b""
