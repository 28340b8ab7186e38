"""SEARCH, SORT and THREAD.

What stays true: no key is nested deeper than the dialect's limit, and a search has a bounded number of keys; every text
is decoded from the charset that the command names, UTF-8 where it names none.

RFC 9051 §6.4.4; RFC 3501 §6.4.4; RFC 4731 and 5182 (RETURN, SAVE); RFC 5267 (UPDATE, CONTEXT, PARTIAL); RFC 9394;
RFC 5256 and 5957 (SORT, THREAD); RFC 5032; RFC 7162 §3.1.5; RFC 8474; RFC 8514.
"""

import re
from collections.abc import Callable, Mapping

from vaguemestre.protocols.imap import search_keys as keys
from vaguemestre.protocols.imap.commands import Search, Sort, Thread
from vaguemestre.protocols.imap.cursor import LARGEST_64, Cursor, decoded
from vaguemestre.protocols.imap.faults import ArgumentError, CharsetError, CombinationError, NestingError
from vaguemestre.protocols.imap.fetch_grammar import read_window
from vaguemestre.protocols.imap.search_keys import Day, Key, Return, Returned, When

MOST_KEYS = 1000
# US-ASCII is read as UTF-8, which holds it. The others are what French programs of another age still send.
_CHARSETS = {
    b"UTF-8": "utf-8",
    b"US-ASCII": "utf-8",
    b"ASCII": "utf-8",
    b"ISO-8859-1": "iso-8859-1",
    b"ISO-8859-15": "iso-8859-15",
    b"WINDOWS-1252": "cp1252",
}

_UNSEEN = keys.Not(keys.HasFlag("\\Seen"))
_RECENT = keys.HasFlag("\\Recent")
_FIXED: Mapping[bytes, Key] = {
    b"ALL": keys.All(),
    b"NEW": keys.And((_RECENT, _UNSEEN)),
    b"OLD": keys.Not(_RECENT),
    b"RECENT": _RECENT,
    b"SAVEDATESUPPORTED": keys.SaveDateSupported(),
    **{
        name.upper().encode(): keys.HasFlag(f"\\{name}") for name in ("Answered", "Deleted", "Draft", "Flagged", "Seen")
    },
    **{
        b"UN" + name.upper().encode(): keys.Not(keys.HasFlag(f"\\{name}"))
        for name in ("Answered", "Deleted", "Draft", "Flagged", "Seen")
    },
}
_DATED: Mapping[bytes, tuple[Day, When]] = {
    prefix + when.value.encode(): (day, when)
    for prefix, day in ((b"", Day.RECEIVED), (b"SENT", Day.SENT), (b"SAVED", Day.SAVED))
    for when in When
}
_FIELDS = {name.upper().encode(): name for name in ("bcc", "cc", "from", "subject", "to")}
_SET_STARTS = frozenset(b"%c" % octet for octet in b"0123456789*$")
_OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")
_ENTRY = re.compile(rb'"(/flags/(?:[^"\\\x00-\x1f\x7f-\xff]|\\["\\])+)" (priv|shared|all) ', re.I)
_RETURN = re.compile(rb" ?(RETURN) \(", re.I)
_CHARSET = re.compile(rb"CHARSET ", re.I)
_SORT_BY = {each.value.encode(): each for each in keys.SortBy}
_RETURNS = {each.name.encode(): each for each in Return if each.name}


class _Reader:
    """Reads the keys of one search."""

    __slots__ = ("_charset", "_count", "_cursor")

    def __init__(self, cursor: Cursor, charset: str) -> None:
        self._cursor = cursor
        self._charset = charset
        self._count = 0

    def all(self) -> Key:
        """All keys there are, which must all match."""
        found = [self.key(1)]
        while self._cursor.passes(b" "):
            found.append(self.key(1))
        return found[0] if len(found) == 1 else keys.And(tuple(found))

    def key(self, depth: int) -> Key:
        """One key. `depth` counts the keys that this one stands in."""
        cursor = self._cursor
        self._count += 1
        if depth > cursor.dialect.nesting or self._count > MOST_KEYS:
            raise NestingError
        name = cursor.peek_word()
        if name in _FIXED:
            cursor.position += len(name)
            return _FIXED[name]
        if name in _KEYS:
            cursor.position += len(name)
            cursor.space()
            return _KEYS[name](self, depth)
        if name in _FIELDS:
            cursor.position += len(name)
            cursor.space()
            return keys.Header(_FIELDS[name], self._text())
        if name in _DATED:
            cursor.position += len(name)
            cursor.space()
            return keys.Dated(*_DATED[name], cursor.date())
        if cursor.passes(b"("):
            return self._list(depth)
        if cursor.text[cursor.position : cursor.position + 1] in _SET_STARTS:
            return keys.Numbers(cursor.message_set())
        raise ArgumentError("a search key", "un critère de recherche")

    def _list(self, depth: int) -> Key:
        found = [self.key(depth + 1)]
        while self._cursor.passes(b" "):
            found.append(self.key(depth + 1))
        self._cursor.closes()
        return found[0] if len(found) == 1 else keys.And(tuple(found))

    def _text(self) -> str:
        return decoded(self._cursor.astring(), self._charset)

    def _not(self, depth: int) -> Key:
        return keys.Not(self.key(depth + 1))

    def _or(self, depth: int) -> Key:
        left = self.key(depth + 1)
        self._cursor.space()
        return keys.Or(left, self.key(depth + 1))

    def _keyword(self, _: int) -> Key:
        return keys.HasFlag(self._cursor.atom().decode("ascii"))

    def _unkeyword(self, _: int) -> Key:
        return keys.Not(keys.HasFlag(self._cursor.atom().decode("ascii")))

    def _header(self, _: int) -> Key:
        name = self._cursor.astring()
        self._cursor.space()
        return keys.Header(name.decode("utf-8", "replace").lower(), self._text())

    def _body(self, _: int) -> Key:
        return keys.Body(self._text())

    def _whole(self, _: int) -> Key:
        return keys.Text(self._text())

    def _larger(self, _: int) -> Key:
        return keys.Larger(self._cursor.number(LARGEST_64))

    def _smaller(self, _: int) -> Key:
        return keys.Smaller(self._cursor.number(LARGEST_64))

    def _older(self, _: int) -> Key:
        return keys.Older(self._cursor.number(smallest=1))

    def _younger(self, _: int) -> Key:
        return keys.Younger(self._cursor.number(smallest=1))

    def _uid(self, _: int) -> Key:
        return keys.Uids(self._cursor.message_set())

    def _modseq(self, _: int) -> Key:
        match = _ENTRY.match(self._cursor.text, self._cursor.position)
        if match is None:
            return keys.ModSeq(self._cursor.modseq())
        self._cursor.position = match.end()
        return keys.ModSeq(self._cursor.modseq(), match[1].decode("ascii"), match[2].lower().decode("ascii"))

    def _email_id(self, _: int) -> Key:
        return keys.EmailId(self._object_id())

    def _thread_id(self, _: int) -> Key:
        return keys.ThreadId(self._object_id())

    def _object_id(self) -> str:
        return self._cursor.matched(_OBJECT_ID, "an identifier", "un identifiant")[0].decode("ascii")


_KEYS: Mapping[bytes, Callable[[_Reader, int], Key]] = {
    b"NOT": _Reader._not,
    b"OR": _Reader._or,
    b"KEYWORD": _Reader._keyword,
    b"UNKEYWORD": _Reader._unkeyword,
    b"HEADER": _Reader._header,
    b"BODY": _Reader._body,
    b"TEXT": _Reader._whole,
    b"LARGER": _Reader._larger,
    b"SMALLER": _Reader._smaller,
    b"OLDER": _Reader._older,
    b"YOUNGER": _Reader._younger,
    b"UID": _Reader._uid,
    b"MODSEQ": _Reader._modseq,
    b"EMAILID": _Reader._email_id,
    b"THREADID": _Reader._thread_id,
}


def read_search(cursor: Cursor, uid: bool = False) -> Search:
    """SEARCH from behind its name."""
    returns = _read_returned(cursor)
    charset = "utf-8"
    match = _CHARSET.match(cursor.text, cursor.position)
    if match is not None:
        cursor.position = match.end()
        if cursor.dialect.utf8_accept:
            raise CombinationError(
                "After ENABLE UTF8=ACCEPT a search is in UTF-8, and may not name a charset.",
                "Après ENABLE UTF8=ACCEPT une recherche est en UTF-8 et ne nomme pas de jeu de caractères.",
            )
        charset = _read_charset(cursor)
        cursor.space()
    return Search(_Reader(cursor, charset).all(), uid, returns)


def read_sort(cursor: Cursor, uid: bool = False) -> Sort:
    """SORT from behind its name."""
    returns = _read_returned(cursor)
    order = _read_order(cursor)
    cursor.space()
    charset = _read_charset(cursor)
    cursor.space()
    return Sort(order, _Reader(cursor, charset).all(), uid, returns)


def read_thread(cursor: Cursor, uid: bool = False) -> Thread:
    """THREAD from behind its name."""
    try:
        algorithm = keys.Threading(cursor.word().decode("ascii"))
    except ValueError:
        raise ArgumentError("ORDEREDSUBJECT or REFERENCES", "ORDEREDSUBJECT ou REFERENCES") from None
    cursor.space()
    charset = _read_charset(cursor)
    cursor.space()
    return Thread(algorithm, _Reader(cursor, charset).all(), uid)


def _read_order(cursor: Cursor) -> tuple[keys.SortKey, ...]:
    cursor.opens()
    order: list[keys.SortKey] = []
    while True:
        name = cursor.word()
        reverse = name == b"REVERSE"
        if reverse:
            cursor.space()
            name = cursor.word()
        if name not in _SORT_BY or len(order) == len(_SORT_BY):
            raise ArgumentError("sort criteria", "des critères de tri")
        order.append(keys.SortKey(_SORT_BY[name], reverse))
        if cursor.passes(b")"):
            return tuple(order)
        cursor.space()


def _read_charset(cursor: Cursor) -> str:
    try:
        return _CHARSETS[cursor.astring().upper()]
    except KeyError:
        raise CharsetError from None


def _read_returned(cursor: Cursor) -> Returned | None:
    match = _RETURN.match(cursor.text, cursor.position)
    if match is None:
        return None
    cursor.position = match.end()
    options, partial = Return(0), None
    while not cursor.passes(b")"):
        if options or partial:
            cursor.space()
        name = cursor.word()
        if name == b"PARTIAL" and partial is None:
            cursor.space()
            partial = read_window(cursor)
        elif name in _RETURNS:
            options |= _RETURNS[name]
        else:
            raise ArgumentError("RETURN options", "des options de RETURN")
    cursor.space()
    if partial is not None and Return.ALL in options:
        raise CombinationError(
            "A search returns ALL or PARTIAL, not both.", "Une recherche demande ALL ou PARTIAL, pas les deux."
        )
    return Returned(options if options or partial else Return.ALL, partial)
