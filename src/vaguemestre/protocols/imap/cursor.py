"""A place in the text of a command, and what can be read from there.

What stays true: each method reads one production of the grammar whole and moves behind it, or raises a ClientError;
nothing is guessed or passed over. A literal stands in the text as its announcement (`{5}` and CRLF) and its octets apart,
so no pattern ever runs over them.

RFC 9051 §9; RFC 3501 §9; RFC 6855 §3 (UTF-8 in quoted strings).
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import msgspec

from vaguemestre.protocols.imap import modified_utf7
from vaguemestre.protocols.imap.faults import (
    ArgumentError,
    MailboxEncodingError,
    RangesError,
    TextEncodingError,
    UnknownFlagError,
)
from vaguemestre.protocols.imap.sequence_sets import SAVED, STAR, MessageSet, Range, SequenceSet

LARGEST = (1 << 32) - 1
"""The largest number, UID or UIDVALIDITY."""
LARGEST_64 = (1 << 63) - 1
"""The largest mod-sequence, quota or size."""
SYSTEM_FLAGS = {
    name.lower().encode(): name for name in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "\\Recent")
}

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
_QUOTED = re.compile(rb'"((?:[^"\\\x00\r\n\x80-\xff]++|\\["\\])*+)"')
_QUOTED_UTF8 = re.compile(rb'"((?:[^"\\\x00\r\n]++|\\["\\])*+)"')
_ESCAPE = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"\{[0-9]{1,20}\+?\}\r\n")
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}(?![0-9])")
_SET = re.compile(rb"[0-9:*,]+")
_NUMBERS = re.compile(rb"[1-9][0-9]{0,8}(?:,[1-9][0-9]{0,8})*+")
_RANGE = re.compile(rb"([1-9][0-9]{0,9}|\*)(?::([1-9][0-9]{0,9}|\*))?")
_FLAGS = re.compile(rb"FLAG(?: FLAG)*".replace(b"FLAG", rb"\\?" + _ATOM.pattern))
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}


class Dialect(msgspec.Struct, frozen=True):
    """What the client enabled, and what one command may cost: both change what can be read."""

    utf8: bool = False
    """Names and quoted strings are UTF-8."""
    utf8_accept: bool = False
    """UTF8=ACCEPT itself is enabled, so that searches may not name a charset (RFC 6855 §3)."""
    qresync: bool = False
    nesting: int = 50
    ranges: int = 10_000


PLAIN = Dialect()


class LiteralAwaited(Exception):
    """The production goes on in a literal whose octets have not come yet."""


class Cursor:
    """A command's text from some position on."""

    __slots__ = ("_taken", "dialect", "literals", "position", "text")

    def __init__(
        self, text: bytes, position: int = 0, literals: Sequence[bytes] = (), dialect: Dialect = PLAIN
    ) -> None:
        self.text = text
        self.position = position
        self.literals = literals
        self.dialect = dialect
        self._taken = 0  # literals read

    # ---- marks

    def space(self) -> None:
        """One space."""
        if self.text[self.position : self.position + 1] != b" ":
            raise ArgumentError("a space and another argument", "un espace puis un autre argument")
        self.position += 1

    def passes(self, mark: bytes) -> bool:
        """Is `mark` here? If so, moves behind it."""
        if self.text.startswith(mark, self.position):
            self.position += len(mark)
            return True
        return False

    def opens(self) -> None:
        """An opening parenthesis."""
        if not self.passes(b"("):
            raise ArgumentError("an opening parenthesis", "une parenthèse ouvrante")

    def closes(self) -> None:
        """A closing parenthesis."""
        if not self.passes(b")"):
            raise ArgumentError("a closing parenthesis", "une parenthèse fermante")

    def end(self) -> None:
        """Nothing more, and no literal that was not read."""
        if self.position != len(self.text) or self._taken != len(self.literals):
            raise ArgumentError("the end of the command", "la fin de la commande")

    @property
    def ended(self) -> bool:
        """Is nothing left?"""
        return self.position == len(self.text)

    # ---- words

    def matched(self, pattern: re.Pattern[bytes], expected: str, attendu: str) -> re.Match[bytes]:
        """What `pattern` finds here; the words say what was expected."""
        match = pattern.match(self.text, self.position)
        if match is None:
            raise ArgumentError(expected, attendu)
        self.position = match.end()
        return match

    def atom(self) -> bytes:
        """An atom."""
        return self.matched(_ATOM, "a word", "un mot")[0]

    def word(self) -> bytes:
        """An atom that is a name of the protocol, in capitals."""
        return self.matched(_ATOM, "a word", "un mot")[0].upper()

    def peek_word(self) -> bytes:
        """The same, without moving; empty if there is none."""
        match = _ATOM.match(self.text, self.position)
        return match[0].upper() if match else b""

    def number(self, largest: int = LARGEST, smallest: int = 0) -> int:
        """A number in these bounds, without leading zeros."""
        value = int(self.matched(_NUMBER, "a number", "un nombre")[0])
        if not smallest <= value <= largest:
            raise ArgumentError("a number in its bounds", "un nombre dans ses limites")
        return value

    def modseq(self, smallest: int = 0) -> int:
        """A mod-sequence."""
        return self.number(LARGEST_64, smallest)

    # ---- strings

    def astring(self) -> bytes:
        """An atom, quoted string or literal."""
        match = _ASTRING_ATOM.match(self.text, self.position)
        if match is None:
            return self.string()
        self.position = match.end()
        return match[0]

    def string(self) -> bytes:
        """A quoted string or literal."""
        text, position = self.text, self.position
        match = (_QUOTED_UTF8 if self.dialect.utf8 else _QUOTED).match(text, position)
        if match is not None:
            self.position = match.end()
            found = match[1]
            return _ESCAPE.sub(rb"\1", found) if b"\\" in found else found
        match = _LITERAL.match(text, position)
        if match is None:
            raise ArgumentError("a string", "une chaîne")
        if self._taken == len(self.literals):
            raise LiteralAwaited
        found = self.literals[self._taken]
        if b"\0" in found:
            raise ArgumentError("a string without NUL", "une chaîne sans octet nul")
        self._taken += 1
        self.position = match.end()
        return found

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.text[self.position : self.position + 3].upper() == b"NIL":
            self.position += 3
            return None
        return self.string()

    def utf8_text(self) -> str:
        """An astring that holds UTF-8."""
        return decoded(self.astring(), "utf-8")

    def quoted_text(self) -> str:
        """A quoted string or literal that holds UTF-8."""
        return decoded(self.string(), "utf-8")

    def mailbox(self) -> str:
        """A mailbox name."""
        return mailbox_name(self.astring(), self.dialect.utf8)

    def pattern(self) -> str:
        """A mailbox name that may hold `*` and `%`. One that cannot be decoded stands for itself, and matches nothing."""
        match = _LIST_ATOM.match(self.text, self.position)
        if match is None:
            octets = self.string()
        else:
            self.position = match.end()
            octets = match[0]
        try:
            return mailbox_name(octets, self.dialect.utf8)
        except MailboxEncodingError:
            return octets.decode("utf-8", "replace")

    # ---- messages, flags, dates

    def message_set(self) -> MessageSet:
        """A sequence set or `$`."""
        if self.passes(b"$"):
            return SAVED
        return self.sequence_set()

    def sequence_set(self, *, stars: bool = True) -> SequenceSet:
        """A sequence set; without `stars`, one of known numbers only."""
        match = _SET.match(self.text, self.position)
        if match is None:
            raise ArgumentError("a set of messages", "un ensemble de messages")
        self.position = match.end()
        text = match[0]
        if not stars and b"*" in text:
            raise ArgumentError("a set without *", "un ensemble sans *")
        if len(text) <= 32:
            return _short_set(text)
        if text.count(b",") >= self.dialect.ranges:
            raise RangesError
        return _read_set(text)

    def flags(self) -> frozenset[str]:
        r"""Flags, a space apart, maybe none; \Recent, which no client can set, is among them where it was named."""
        match = _FLAGS.match(self.text, self.position)
        if match is None:
            return frozenset()
        self.position = match.end()
        text = match[0]
        return _short_flags(text) if len(text) <= 128 else _read_flags(text)

    def flag_list(self) -> frozenset[str]:
        """The same in parentheses."""
        self.opens()
        found = self.flags()
        self.closes()
        return found

    def date(self) -> date:
        """A day, quoted or not."""
        match = self.matched(_DATE, "a date like 1-Feb-2027", "une date comme 1-Feb-2027")
        try:
            return date(int(match[4]), MONTHS[match[3].lower()], int(match[2]))
        except (KeyError, ValueError):
            raise ArgumentError("a date like 1-Feb-2027", "une date comme 1-Feb-2027") from None


def decoded(octets: bytes, charset: str) -> str:
    """The text in this charset. Raises TextEncodingError."""
    try:
        return octets.decode(charset)
    except UnicodeDecodeError:
        raise TextEncodingError from None


def mailbox_name(octets: bytes, utf8: bool) -> str:
    """The name so spelled; INBOX in capitals. Raises MailboxEncodingError."""
    return _short_name(octets, utf8) if len(octets) <= 256 else _read_name(octets, utf8)


def _read_name(octets: bytes, utf8: bool) -> str:
    try:
        name = octets.decode("utf-8") if utf8 else modified_utf7.decode(octets)
    except ValueError:
        raise MailboxEncodingError from None
    return "INBOX" if name.upper() == "INBOX" else name


@lru_cache(maxsize=256)
def _short_name(octets: bytes, utf8: bool) -> str:
    return _read_name(octets, utf8)


def _read_set(text: bytes) -> SequenceSet:
    if _NUMBERS.fullmatch(text) is not None:  # as most long sets are
        numbers = list(map(int, text.split(b",")))
        return SequenceSet(tuple(zip(numbers, numbers, strict=True)))
    return SequenceSet(tuple([_read_range(piece) for piece in text.split(b",")]))


def _read_range(text: bytes) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ArgumentError("a set of messages", "un ensemble de messages")
    first = _read_end(match[1])
    last = first if match[2] is None else _read_end(match[2])
    return (first, last) if first <= last else (last, first)


def _read_end(text: bytes) -> int:
    if text == b"*":
        return STAR
    value = int(text)
    if value > LARGEST:
        raise ArgumentError("numbers below 4294967296", "des nombres inférieurs à 4294967296")
    return value


@lru_cache(maxsize=1024)
def _short_set(text: bytes) -> SequenceSet:
    return _read_set(text)


def _read_flags(text: bytes) -> frozenset[str]:
    found = set()
    for flag in text.split(b" "):
        if flag[0] == 92:  # backslash
            system = SYSTEM_FLAGS.get(flag.lower())
            if system is None:
                raise UnknownFlagError
            found.add(system)
        else:
            found.add(flag.decode("ascii"))
    return frozenset(found)


@lru_cache(maxsize=512)
def _short_flags(text: bytes) -> frozenset[str]:
    return _read_flags(text)
