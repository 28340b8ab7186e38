"""What an IMAP server answers, as values: lists, texts, nothing; then mailboxes and messages.

What holds here: whatever the server says is read or passed over, in time and memory of its length. Pure functions over
what the standard library leaves of an answer: lines, and pairs of a line's start and the literal that follows it.

Standards: RFC 3501 §7, §9; RFC 6154; RFC 2342.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.model import NO_FLAGS, Flag, Role
from vaguemestre.mailstore.transfer import folders

_FLAGS = {f"\\{flag.name}".upper(): flag for flag in Flag}
_ROLES = {
    "\\DRAFTS": Role.DRAFTS,
    "\\SENT": Role.SENT,
    "\\ARCHIVE": Role.ARCHIVE,
    "\\JUNK": Role.JUNK,
    "\\TRASH": Role.TRASH,
}
_NO_PLACE = {"\\NOSELECT", "\\NONEXISTENT", "\\ALL", "\\FLAGGED", "\\IMPORTANT"}  # the last three show others' messages
_DATE = re.compile(r" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_TOKEN = re.compile(rb'[ \t\r\n]*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"]+))', re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"\{\d+\+?\}\r?\n?\Z")
_DEEPEST = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Listed(msgspec.Struct, frozen=True):
    """A mailbox of a server: its name as the wire spells it, and as people read it, levels parted by "/"."""

    wire: bytes
    name: str
    role: Role | None


class Described(msgspec.Struct, frozen=True):
    """What a FETCH told of a message; `received_at` in Unix milliseconds, `body` where it was asked for."""

    uid: int
    size: int = 0
    flags: Flag = NO_FLAGS
    keywords: frozenset[str] = frozenset()
    received_at: int | None = None
    body: bytes | None = None


class _Text(bytes):
    """A quoted string or a literal: never NIL, nor a name of an item."""

    __slots__ = ()


def values(answers: Iterable[Any]) -> list[Any]:
    """Each answer as a list of values: lists, octets, None for NIL. Raises ValueError."""
    found, pieces = [], []
    for each in answers:
        if isinstance(each, tuple):
            pieces += [_LITERAL.sub(b"", each[0]), _Text(each[1])]
        elif isinstance(each, bytes):
            found.append(_parsed([*pieces, each]))
            pieces = []
    return found


def _parsed(pieces: list[bytes]) -> list[Any]:
    stack: list[list[Any]] = [[]]
    for token in _tokens(pieces):
        if token == b"(" and not isinstance(token, _Text):
            if len(stack) > _DEEPEST:
                raise ValueError("too deep")
            stack.append([])
        elif token == b")" and not isinstance(token, _Text):
            if len(stack) == 1:
                raise ValueError("a parenthesis too many")
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token)
    if len(stack) != 1:
        raise ValueError("a parenthesis too few")
    return stack[0]


def _tokens(pieces: list[bytes]) -> Iterator[bytes | None]:
    for piece in pieces:
        if isinstance(piece, _Text):
            yield piece
            continue
        position = 0
        while found := _TOKEN.match(piece, position):
            position = found.end()
            parenthesis, quoted, atom = found.groups()
            if quoted is not None:
                yield _Text(_PAIR.sub(rb"\1", quoted))
            else:
                yield None if atom and atom.upper() == b"NIL" else parenthesis or atom
        if piece[position:].strip():
            raise ValueError("an unended string")


def listed(answers: list[Any], spaces: list[Any]) -> list[Listed]:
    """The mailboxes of LIST, in the account's own namespace, without the prefix that some servers put before each."""
    own, others = _prefixes(spaces)
    found: dict[bytes, Listed] = {}
    for each in answers:
        match each:
            case [list(attributes), bytes() | None as delimiter, bytes(wire), *_]:
                mailbox = _listed(_names(attributes), delimiter or b"", bytes(wire), own, others)
                if mailbox is not None:
                    found[mailbox.wire] = mailbox
    return list(found.values())


def _listed(
    attributes: set[str], delimiter: bytes, wire: bytes, own: bytes, others: tuple[bytes, ...]
) -> Listed | None:
    if attributes & _NO_PLACE or wire.startswith(others) or set(wire) & set(b"\0\r\n") or not wire:
        return None
    role = next((_ROLES[each] for each in sorted(attributes) if each in _ROLES), None)
    name = wire[len(own) :] if own and wire.startswith(own) and wire != own else wire
    levels = name.split(delimiter) if delimiter else [name]
    text = mailboxes.SEPARATOR.join(folders.decoded(level).replace(mailboxes.SEPARATOR, "_") for level in levels)
    return Listed(wire, text, Role.INBOX if text.upper() == mailboxes.INBOX else role)


def _prefixes(spaces: list[Any]) -> tuple[bytes, tuple[bytes, ...]]:
    """The prefix of the account's own mailboxes, and those of others'."""
    if not spaces:
        return b"", ()
    parts = [
        [space[0] for space in part if isinstance(space, list) and space and isinstance(space[0], bytes)]
        if isinstance(part, list)
        else []
        for part in spaces[-1][:3]
    ]
    parts += [[]] * (3 - len(parts))
    return bytes(next(iter(parts[0]), b"")), tuple(bytes(each) for each in (*parts[1], *parts[2]) if each)


def count(answers: list[Any]) -> int:
    """The MESSAGES of STATUS."""
    for each in answers:
        match each:
            case [*_, list(items)]:
                return _number(_pairs(items).get("MESSAGES"))
    return 0


def described(answers: list[Any]) -> list[Described]:
    """The messages of FETCH; what tells no UID was said of another's change, and is passed over."""
    found = []
    for each in answers:
        match each:
            case [bytes(), list(items)]:
                message = _described(items)
                if message.uid:
                    found.append(message)
    return found


def _described(items: list[Any]) -> Described:
    told = _pairs(items)
    flags, keywords = NO_FLAGS, set()
    for each in _texts(told.get("FLAGS")):
        if each.upper() in _FLAGS:
            flags |= _FLAGS[each.upper()]
        elif not each.startswith("\\"):
            keywords.add(each)
    body = told.get("BODY[]")
    return Described(
        _number(told.get("UID")),
        _number(told.get("RFC822.SIZE")),
        flags,
        frozenset(keywords),
        _date(told.get("INTERNALDATE")),
        bytes(body) if isinstance(body, bytes) else b"" if "BODY[]" in told else None,
    )


def _pairs(items: list[Any]) -> dict[str, Any]:
    """Values by the name before each, without where a part of a body begins."""
    return {
        items[at].upper().partition(b"<")[0].decode("ascii", "replace"): items[at + 1]
        for at in range(0, len(items) - 1, 2)
        if isinstance(items[at], bytes)
    }


def _date(value: Any) -> int | None:
    found = _DATE.fullmatch(value.decode("ascii", "replace")) if isinstance(value, bytes) else None
    if not found or found[2].lower() not in _MONTHS:
        return None
    day, month, year = int(found[1]), _MONTHS.index(found[2].lower()) + 1, int(found[3])
    try:
        moment = datetime(year, month, day, int(found[4]), int(found[5]), min(int(found[6]), 59), tzinfo=UTC)
    except ValueError:
        return None
    ahead = timedelta(hours=int(found[8]), minutes=int(found[9]))
    return (moment - _EPOCH) // timedelta(milliseconds=1) - (1 if found[7] == "+" else -1) * (
        ahead // timedelta(milliseconds=1)
    )


def _texts(value: Any) -> list[str]:
    return (
        [each.decode("ascii", "replace") for each in value if isinstance(each, bytes)]
        if isinstance(value, list)
        else []
    )


def _names(attributes: list[Any]) -> set[str]:
    return {each.upper() for each in _texts(attributes)}


def _number(value: Any) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) < 20 else 0
