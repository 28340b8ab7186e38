"""APPEND, read piece by piece while its content passes: what stands between the literals.

What stays true: nothing of a message is ever here; a piece is read as soon as it has come, so that the caller can refuse
a message before it is sent.

RFC 9051 §6.3.12 and §9; RFC 3502 (several messages); RFC 4469 §5 (CATENATE); RFC 3516 (literal8); RFC 6855 §4 (UTF8).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from vaguemestre.protocols.imap import events
from vaguemestre.protocols.imap.cursor import MONTHS, Cursor, Dialect, LiteralAwaited, decoded
from vaguemestre.protocols.imap.faults import ArgumentError

_DATE_TIME = re.compile(
    rb'"([ 0-3][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-2][0-9]):([0-5][0-9]):([0-6][0-9]) ([+-])([0-9]{2})([0-5][0-9])" '
)
_LITERAL = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\r\n\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class AppendReader:
    """One APPEND, from behind its name."""

    __slots__ = ("_catenated", "_cursor", "_events", "_literals", "_step", "_tag", "_utf8", "awaits_literal")

    def __init__(self, tag: bytes, dialect: Dialect) -> None:
        self._tag = tag
        self._literals: list[bytes] = []
        self._cursor = Cursor(b"", 0, self._literals, dialect)
        self._step: Callable[[], bool] = self._mailbox
        self._events: list[events.Event] = []
        self._utf8 = self._catenated = False
        self.awaits_literal = False
        """Is the literal just announced a name or URL, to be given to `take`?"""

    def take(self, literal: bytes) -> None:
        """The literal that was awaited."""
        self._literals.append(literal)

    def read(self, piece: bytes) -> list[events.Event]:
        """What the next piece of the command's text says, a literal's announcement at its end included.

        Raises ClientError. The last event is AppendLiteral or AppendEnds, unless `awaits_literal`.
        """
        cursor = self._cursor
        cursor.text, cursor.position = cursor.text[cursor.position :] + piece, 0
        self._events = []
        self.awaits_literal = False
        while True:
            start = cursor.position
            try:
                if not self._step():
                    return self._events
            except LiteralAwaited:
                cursor.position = start
                self.awaits_literal = True
                return self._events

    # ---- steps: each reads one production whole, and says whether the next one can be read now

    def _mailbox(self) -> bool:
        self._events.append(events.AppendStarts(self._tag, self._cursor.mailbox()))
        self._step = self._message
        return True

    def _message(self) -> bool:
        cursor = self._cursor
        cursor.space()
        flags: frozenset[str] = frozenset()
        if cursor.text.startswith(b"(", cursor.position):
            flags = cursor.flag_list()
            cursor.space()
        date = None
        if cursor.text.startswith(b'"', cursor.position):
            date = _unix_milliseconds(
                cursor.matched(_DATE_TIME, "a date and time, in quotes", "une date et une heure, entre guillemets")
            )
        name = cursor.peek_word()
        self._catenated = name == b"CATENATE"
        self._events.append(events.AppendMessage(flags, date, self._catenated))
        if self._catenated:
            cursor.atom()
            cursor.space()
            cursor.opens()
            self._step = self._part
            return True
        return self._literal(utf8=name == b"UTF8")

    def _part(self) -> bool:
        cursor = self._cursor
        name = cursor.word()
        if name == b"URL":
            cursor.space()
            self._events.append(events.AppendUrl(decoded(cursor.astring(), "utf-8")))
            self._step = self._after
            self._utf8 = False
            return True
        if name == b"TEXT":
            cursor.space()
            return self._literal(utf8=False)
        if name == b"UTF8":
            cursor.position -= len(name)
            return self._literal(utf8=True)
        raise ArgumentError("TEXT or URL", "TEXT ou URL")

    def _literal(self, *, utf8: bool) -> bool:
        cursor = self._cursor
        if utf8:
            cursor.atom()
            cursor.space()
            cursor.opens()
        match = cursor.matched(_LITERAL, "a literal", "une chaîne littérale")
        if utf8 and not match[1]:
            raise ArgumentError("a literal8", "une chaîne littérale de type literal8")
        self._utf8 = utf8
        self._events.append(events.AppendLiteral(int(match[2]), not match[3], bool(match[1]), utf8))
        self._step = self._after
        return False

    def _after(self) -> bool:
        cursor = self._cursor
        if self._utf8:
            cursor.closes()
            self._utf8 = False
        if self._catenated and not cursor.passes(b")"):
            cursor.space()
            self._step = self._part
            return True
        self._events.append(events.AppendMessageEnds())
        if cursor.ended:
            self._events.append(events.AppendEnds(self._tag))
            return False
        self._step = self._message
        return True


def _unix_milliseconds(match: re.Match[bytes]) -> int:
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    try:
        zone = timezone(-offset if sign == b"-" else offset)
        # A leap second is the one before it: no clock here knows it.
        local = datetime(
            int(year), MONTHS[month.lower()], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone
        )
        moment = local.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        raise ArgumentError("a date and time that exist", "une date et une heure qui existent") from None
    return (moment - _EPOCH) // _MILLISECOND
