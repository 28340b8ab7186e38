"""The envelope of a message, as IMAP means it: ten fields of its header, unfolded and undecoded.

What holds here: no bytes make these functions raise; the time is linear in the size; values have no CR, LF or NUL, and
keep every other octet as it came, 8-bit ones and encoded words included. What RFC 5322 allows, obsolete forms too, is
read as it says; what it does not is read so that a person still sees names and addresses.

Rules: of several like fields the first wins, but addresses of them all are listed, for a reply to all must lose nobody.
An address without a host has the host `MISSING_DOMAIN`, one without a mailbox `MISSING_MAILBOX`, as other servers
write: NIL there would mean a group.

RFC 9051 §7.5.2 (ENVELOPE), RFC 5322 §3.4 and §4.4, RFC 6532.
"""

import re
from collections.abc import Sequence

import msgspec

from vaguemestre.documents.header_fields import read_fields

MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_HOST = b"MISSING_DOMAIN"
ADDRESS_LIMIT = 20_000
"""The most addresses read of the fields of one name."""
_TOKEN_LIMIT = 200_000  # in each of them: more are no addresses, and reading them takes a second

NAMES = frozenset(
    {b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id"}
)

_SPECIAL = re.compile(rb'[("\\:;\[]|=\?')
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SPACE = re.compile(rb"[ \t]+")
_IN_COMMENT = re.compile(rb"\\.|[()]", re.DOTALL)
_AROUND_DOTS = re.compile(rb"[ \t]*+([.@])[ \t]*+")
# Each alternative stops at its first wrong octet and none is tried twice, so reading is linear.
_TOKEN = re.compile(
    rb"""
      (?P<quoted>"(?:[^"\\]|\\.)*+"?)
    | (?P<special>[<>,;:(])
    | =\?[^? \t]++\?[bBqQ]\?[^?]*+\?=
    | \[[^\[\]]*+\]?
    | (?P<space>[ \t]++)
    | [^ \t<>,;:("\[=]++
    | =
    """,
    re.VERBOSE | re.DOTALL,
)
_TOKEN_WITHOUT_QUOTES = re.compile(_TOKEN.pattern.replace(b'"(?:', b"(?!)(?:").replace(b'("\\[', b"(\\["), _TOKEN.flags)


class Address(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of an address list. A group is an entry whose host is None and whose mailbox is its name, its members,
    and an entry of None alone. `name` is unquoted, and not decoded; `route` is that of an obsolete address."""

    name: bytes | None = None
    mailbox: bytes | None = None
    host: bytes | None = None
    route: bytes | None = None


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields as they stand; None, or no address, where there is none. Whoever writes it for IMAP gives `sender` and
    `reply_to` the value of `from_` where they are empty."""

    date: bytes | None = None
    subject: bytes | None = None
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


def read_envelope(head: bytes) -> Envelope:
    """The envelope of a header block."""
    return from_fields(read_fields(head, NAMES))


def from_fields(fields: dict[bytes, list[bytes]]) -> Envelope:
    """The envelope of fields already read, by lower-case name."""

    def text(name: bytes) -> bytes | None:
        values = fields.get(name)
        return values[0] if values else None

    def addresses(name: bytes) -> tuple[Address, ...]:
        values = fields.get(name)
        return tuple(read_list(values)) if values else ()

    return Envelope(
        text(b"date"),
        text(b"subject"),
        addresses(b"from"),
        addresses(b"sender"),
        addresses(b"reply-to"),
        addresses(b"to"),
        addresses(b"cc"),
        addresses(b"bcc"),
        text(b"in-reply-to"),
        text(b"message-id"),
    )


def read_list(values: Sequence[bytes]) -> list[Address]:
    """The addresses of unfolded values of one field, in order, at most `ADDRESS_LIMIT`."""
    found: list[Address] = []
    for value in values:
        if not _SPECIAL.search(value):
            _read_plain(value, found)
        else:
            _Reader(found).read(value)
        if len(found) >= ADDRESS_LIMIT:
            return found[:ADDRESS_LIMIT]
    return found


def _read_plain(value: bytes, found: list[Address]) -> None:
    """The ordinary case: nothing quoted, commented or grouped."""
    for part in value.split(b",", ADDRESS_LIMIT):
        name, bracket, rest = part.partition(b"<")
        if bracket:
            found.append(_bracketed(_collapse(name) or None, rest.lstrip(b"<").partition(b">")[0]))
        elif part := _collapse(part).rstrip(b">"):
            found.append(_bare(part, None))


class _Reader:
    """One pass over the tokens of a value."""

    def __init__(self, found: list[Address]) -> None:
        self._found = found
        self._in_group = False
        self._clear()

    def _clear(self) -> None:
        self._outside = _Words()  # what stands outside angle brackets: a name, or a bare address
        self._inside: _Words | None = None  # what stands inside them
        self._in_brackets = False
        self._route: bytes | None = None
        self._comment: bytes | None = None

    def read(self, value: bytes) -> None:
        position, next_token, room = 0, _TOKEN.match, _TOKEN_LIMIT
        while room and (token := next_token(value, position)):
            room -= 1
            text, kind, position = token[0], token.lastgroup, token.end()
            if kind == "quoted" and (len(text) == 1 or not _closed(text)):
                # A quote that nobody closes is dropped, and no later one is believed: looking for its end again and
                # again would take a time that grows as the square of the size.
                next_token, position = _TOKEN_WITHOUT_QUOTES.match, token.start() + 1
            elif text == b"(":
                position = self._read_comment(value, position)
            elif kind == "special":
                self._special(text)
            elif self._in_brackets and self._inside is not None:
                self._inside.add(text, kind)
            elif self._inside is None:  # what follows an address, up to the comma, says nothing
                self._outside.add(text, kind)
            if len(self._found) >= ADDRESS_LIMIT:
                return
        self._end_of_mailbox()
        self._end_of_group()

    def _read_comment(self, value: bytes, start: int) -> int:
        """Comments nest; one that nobody closes runs to the end."""
        depth, end = 1, len(value)
        for mark in _IN_COMMENT.finditer(value, start):
            depth += {b"(": 1, b")": -1}.get(mark[0], 0)
            if not depth:
                end = mark.start()
                break
        self._comment = _PAIR.sub(rb"\1", value[start:end]).strip(b" \t") or self._comment
        return end + 1

    def _special(self, text: bytes) -> None:
        if text == b"<":
            if self._inside is None:
                self._in_brackets, self._inside = True, _Words()
        elif text == b">":
            self._in_brackets = False
        elif self._in_brackets and self._inside is not None:
            self._special_inside(text, self._inside)
        elif text == b":":
            self._start_of_group()
        else:
            self._end_of_mailbox()
            if text == b";":
                self._end_of_group()

    def _special_inside(self, text: bytes, inside: "_Words") -> None:
        routed = inside.starts_with_at()
        if text == b":" and routed:
            self._route, self._inside = inside.text().replace(b" ", b""), _Words()
        elif text == b"," and not routed:  # nobody closed the bracket
            self._end_of_mailbox()
        else:
            inside.add(text, None)

    def _start_of_group(self) -> None:
        if not self._in_group:  # a name within a group is none of a group, for groups do not nest: it is dropped
            self._found.append(Address(None, self._outside.text()))
            self._in_group = True
        self._clear()

    def _end_of_group(self) -> None:
        if self._in_group:
            self._found.append(Address())
            self._in_group = False

    def _end_of_mailbox(self) -> None:
        outside = self._outside.text()
        if self._inside is not None:
            address = self._inside.text()
            self._found.append(_bracketed(outside or None, address, self._inside.quoted, self._route))
        elif outside:
            self._found.append(_bare(outside, self._comment, self._outside.quoted))
        self._clear()


class _Words:
    """Words with one space for each run of white space between them; what was quoted stands as it is. `quoted` is the
    first word where that was quoted: a local part may be."""

    def __init__(self) -> None:
        self.quoted: bytes | None = None
        self._parts: list[bytes] = []

    def add(self, text: bytes, kind: str | None) -> None:
        if kind == "space":
            if self._parts and self._parts[-1] != b" ":
                self._parts.append(b" ")
            return
        if kind == "quoted":
            text = _unquoted(text)
            if not self._parts:
                self.quoted = text
        self._parts.append(text)

    def starts_with_at(self) -> bool:
        return bool(self._parts) and self._parts[0].startswith(b"@")

    def text(self) -> bytes:
        if self._parts and self._parts[-1] == b" ":
            self._parts.pop()
        return b"".join(self._parts)


def _bracketed(name: bytes | None, address: bytes, quoted: bytes | None = None, route: bytes | None = None) -> Address:
    """What stands in angle brackets; `quoted` is its local part where that was a quoted string."""
    mailbox, _, host = _split(address, quoted)
    return Address(name, mailbox or MISSING_MAILBOX, host or MISSING_HOST, route)


def _bare(text: bytes, comment: bytes | None, quoted: bytes | None = None) -> Address:
    """An address without brackets, its comment then being its name; or words, of which one may be an address."""
    if b"@" not in text:
        if b" " in text or quoted is not None:
            return Address(text, MISSING_MAILBOX, MISSING_HOST)
        return Address(comment, text, MISSING_HOST)
    mailbox, _, host = _split(text, quoted)
    if quoted is None and (b" " in mailbox or b" " in host):
        words = _AROUND_DOTS.sub(rb"\1", text).split(b" ")
        place = max(at for at, word in enumerate(words) if b"@" in word)
        mailbox, _, host = words.pop(place).rpartition(b"@")
        comment = b" ".join(words)
    return Address(comment, mailbox or MISSING_MAILBOX, host or MISSING_HOST)


def _split(address: bytes, quoted: bytes | None) -> tuple[bytes, bytes, bytes]:
    start = len(quoted) if quoted and address.startswith(quoted) else 0
    mailbox, at, host = address[start:].rpartition(b"@")
    if not at:
        mailbox, host = host, b""
    return address[:start] + _tight(mailbox), at, _tight(host)


def _tight(text: bytes) -> bytes:
    """Without the white space that the obsolete syntax allows around dots."""
    return _AROUND_DOTS.sub(rb"\1", _collapse(text)) if b" " in text or b"\t" in text else text


def _collapse(text: bytes) -> bytes:
    text = text.strip(b" \t")
    return _SPACE.sub(b" ", text) if b"  " in text or b"\t" in text else text


def _unquoted(text: bytes) -> bytes:
    text = text[1:-1]
    return _PAIR.sub(rb"\1", text) if b"\\" in text else text


def _closed(text: bytes) -> bool:
    """Whether a token that starts with a quote ends with one that no backslash escapes."""
    if not text.endswith(b'"'):
        return False
    escapes = len(text) - 1 - len(text[:-1].rstrip(b"\\"))
    return escapes % 2 == 0
