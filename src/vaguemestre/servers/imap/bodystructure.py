"""ENVELOPE, BODY and BODYSTRUCTURE, written for the wire from the structure of a message.

What holds here: whatever the message, what is written is well formed: a string is quoted only where all its octets may
stand between quotes, else it is a literal, and no NUL is in either. 8-bit octets stay as they came.

RFC 9051 §7.5.2 and §9, RFC 3501 §7.4.2.
"""

import re
from collections.abc import Sequence

from vaguemestre.documents.content_fields import Disposition, Parameter
from vaguemestre.documents.envelope import Address, Envelope
from vaguemestre.documents.structure import Message, Part

_QUOTABLE = re.compile(rb"[ !#-\[\]-~]{0,1000}")
_QUOTABLE_WITH_PAIRS = re.compile(rb"[ -~]{0,1000}")
_PAIR = re.compile(rb'(["\\])')
_US_ASCII = b'"charset" "us-ascii"'


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if value is None else string(value)


def string(value: bytes) -> bytes:
    """A quoted string, or a literal where it cannot be one."""
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % value
    if _QUOTABLE_WITH_PAIRS.fullmatch(value):
        return b'"%b"' % _PAIR.sub(rb"\\\1", value)
    value = value.replace(b"\0", b"\x80")
    return b"{%d}\r\n%b" % (len(value), value)


def envelope(message: Message) -> bytes:
    """ENVELOPE, with its parentheses."""
    return _envelope(message.envelope)


def body(part: Part) -> bytes:
    """BODY, without extension data; the part is the root's, or any other."""
    return _part(part, False)


def bodystructure(part: Part) -> bytes:
    """BODYSTRUCTURE."""
    return _part(part, True)


def _envelope(each: Envelope) -> bytes:
    from_ = _addresses(each.from_)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(each.date),
        nstring(each.subject),
        from_,
        _addresses(each.sender) if each.sender else from_,
        _addresses(each.reply_to) if each.reply_to else from_,
        _addresses(each.to),
        _addresses(each.cc),
        _addresses(each.bcc),
        nstring(each.in_reply_to),
        nstring(each.message_id),
    )


def _addresses(addresses: Sequence[Address]) -> bytes:
    if not addresses:
        return b"NIL"
    return b"(%b)" % b"".join(
        [
            b"(%b %b %b %b)" % (nstring(each.name), nstring(each.route), nstring(each.mailbox), nstring(each.host))
            for each in addresses
        ]
    )


def _part(part: Part, extended: bool) -> bytes:
    if part.parts:  # parts nest no deeper than the scanner lets them
        parts = b"".join([_part(each, extended) for each in part.parts])
        rest = b" %b%b" % (_parameters(part.parameters), _common_extension(part)) if extended else b""
        return b"(%b %b%b)" % (parts, string(part.subtype), rest)
    kind = part.type.lower()
    specific = b""
    if part.message is not None:
        inner = _part(part.message.part, extended)
        specific = b" %b %b %d" % (_envelope(part.message.envelope), inner, part.lines)
    elif kind == b"text":
        specific = b" %d" % part.lines
    extension = b" %b%b" % (nstring(part.md5), _common_extension(part)) if extended else b""
    return b"(%b %b %b %b %b %b %d%b%b)" % (
        string(part.type),
        string(part.subtype),
        _parameters(part.parameters, text=kind == b"text"),
        nstring(part.id),
        nstring(part.description),
        string(part.encoding) if part.encoding else b'"7bit"',
        part.octets,
        specific,
        extension,
    )


def _common_extension(part: Part) -> bytes:
    return b" %b %b %b" % (_disposition(part.disposition), _languages(part.languages), nstring(part.location))


def _parameters(parameters: Sequence[Parameter], *, text: bool = False) -> bytes:
    """A list of names and values; that of a text has a charset, the one that it has when it names none."""
    written = [b"%b %b" % (string(name), string(value)) for name, value in parameters]
    if text and not any(name.lower() == b"charset" for name, _ in parameters):
        written.append(_US_ASCII)
    return b"(%b)" % b" ".join(written) if written else b"NIL"


def _disposition(disposition: Disposition | None) -> bytes:
    if disposition is None:
        return b"NIL"
    return b"(%b %b)" % (string(disposition.kind), _parameters(disposition.parameters))


def _languages(languages: Sequence[bytes]) -> bytes:
    return b"(%b)" % b" ".join([string(each) for each in languages]) if languages else b"NIL"
