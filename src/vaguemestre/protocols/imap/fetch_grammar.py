r"""FETCH, STORE, COPY, MOVE, EXPUNGE: commands on the messages of the selected mailbox.

What stays true: what follows the message set of a FETCH without literals is read once and remembered while clients
repeat it, which they do for each message they show.

RFC 9051 §6.4.3, §6.4.5 to §6.4.8; RFC 3516 (BINARY); RFC 7162 §3.1 and §3.2.6; RFC 8970 (PREVIEW); RFC 9394 (PARTIAL).
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from vaguemestre.protocols.imap.commands import Copy, Expunge, Fetch, Move, Store, StoreHow
from vaguemestre.protocols.imap.cursor import Cursor
from vaguemestre.protocols.imap.faults import ArgumentError, CombinationError, NotEnabledError
from vaguemestre.protocols.imap.fetch_items import Attribute, Binary, BinarySize, Item, Preview, Section, SectionText
from vaguemestre.protocols.imap.sequence_sets import Partial

_SIMPLE: Mapping[bytes, Item] = {
    **{attribute.value: attribute for attribute in Attribute},
    b"RFC822": Section(b"RFC822"),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", text=SectionText.TEXT),
}
_FAST = (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)
_MACROS: dict[bytes, tuple[Item, ...]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Attribute.ENVELOPE),
    b"FULL": (*_FAST, Attribute.ENVELOPE, Attribute.BODY),
}
_ITEM = re.compile(rb"[A-Za-z0-9.]+")
_PART = rb"((?:[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8}){0,99})?)"
_SECTION = re.compile(
    rb"\[" + _PART + rb"(?:(\.?)(HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[ \]]))?", re.I
)
_BINARY_SECTION = re.compile(rb"\[" + _PART + rb"\]")
_OCTETS = re.compile(rb"<(0|[1-9][0-9]{0,18})\.([1-9][0-9]{0,18})>")
_FIELD = re.compile(rb"[\x20-\x39\x3b-\x7e]+")
_FIELD_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_WINDOW = re.compile(rb"(-?)([1-9][0-9]{0,9}):\1([1-9][0-9]{0,9})")
_STORE = re.compile(rb"([+-]?)FLAGS(\.SILENT)? ", re.I)
_HOW = {each.value.encode(): each for each in StoreHow}


class _Wanted(msgspec.Struct, frozen=True):
    """A FETCH without its messages."""

    items: tuple[Item, ...]
    changed_since: int | None
    vanished: bool
    partial: Partial | None


def read_fetch(cursor: Cursor, uid: bool = False) -> Fetch:
    """FETCH from behind its name."""
    messages = cursor.message_set()
    cursor.space()
    rest = cursor.text[cursor.position :]
    if cursor.literals or len(rest) > 400:
        wanted = _read_wanted(cursor, uid)
    else:
        wanted = _short_wanted(rest, uid)
        cursor.position = len(cursor.text)
    if wanted.vanished and not cursor.dialect.qresync:
        raise NotEnabledError
    return Fetch(messages, wanted.items, uid, wanted.changed_since, wanted.vanished, wanted.partial)


@lru_cache(maxsize=512)
def _short_wanted(text: bytes, uid: bool) -> _Wanted:
    cursor = Cursor(text)
    wanted = _read_wanted(cursor, uid)
    cursor.end()
    return wanted


def _read_wanted(cursor: Cursor, uid: bool) -> _Wanted:
    if cursor.passes(b"("):
        items = [_read_item(cursor)]
        while cursor.passes(b" "):
            items.append(_read_item(cursor))
        cursor.closes()
    elif macro := _MACROS.get(cursor.peek_word()):
        cursor.atom()
        items = list(macro)
    else:
        items = [_read_item(cursor)]
    changed_since, vanished, partial = _read_modifiers(cursor) if cursor.passes(b" (") else (None, False, None)
    if vanished and not (uid and changed_since is not None):
        raise CombinationError(
            "VANISHED stands only in UID FETCH and beside CHANGEDSINCE.",
            "VANISHED ne s'emploie que dans UID FETCH, avec CHANGEDSINCE.",
        )
    if uid:
        items.insert(0, Attribute.UID)
    if changed_since is not None:
        items.append(Attribute.MODSEQ)
    return _Wanted(tuple(dict.fromkeys(items)), changed_since, vanished, partial)


def read_items(cursor: Cursor) -> tuple[Item, ...]:
    """One or more items, a space apart."""
    items = [_read_item(cursor)]
    while cursor.passes(b" "):
        items.append(_read_item(cursor))
    return tuple(dict.fromkeys(items))


def _read_item(cursor: Cursor) -> Item:
    name = cursor.matched(_ITEM, "a FETCH item", "un élément de FETCH")[0].upper()
    bracketed = cursor.text.startswith(b"[", cursor.position)
    if not bracketed:
        found = _SIMPLE.get(name)
        if found is None and name == b"PREVIEW":
            found = Preview(cursor.text[cursor.position : cursor.position + 7].upper() == b" (LAZY)")
            cursor.position += 7 if found.lazy else 0
        if found is not None:
            return found
    elif name in (b"BODY", b"BODY.PEEK"):
        return _read_section(cursor, name == b"BODY.PEEK")
    elif name in (b"BINARY", b"BINARY.PEEK"):
        spelled, part = _read_binary_part(cursor)
        origin, partial = _read_octets(cursor)
        return Binary(b"BINARY[" + spelled + b"]" + origin, part, partial, name == b"BINARY.PEEK")
    elif name == b"BINARY.SIZE":
        spelled, part = _read_binary_part(cursor)
        return BinarySize(b"BINARY.SIZE[" + spelled + b"]", part)
    raise ArgumentError("a FETCH item", "un élément de FETCH")


def _read_section(cursor: Cursor, peek: bool) -> Section:
    spelled, dot, name = cursor.matched(_SECTION, "a section", "une section").groups()
    text = SectionText((name or b"").upper())
    if (name is not None and bool(spelled) != bool(dot)) or (text is SectionText.MIME and not spelled):
        raise ArgumentError("a section", "une section")
    label = b"BODY[" + spelled + (dot or b"") + text.value
    fields: tuple[str, ...] = ()
    if text is SectionText.FIELDS or text is SectionText.FIELDS_NOT:
        cursor.space()
        fields, names = _read_fields(cursor)
        label += b" (" + names + b")"
    if not cursor.passes(b"]"):
        raise ArgumentError("the ] of the section", "le ] de la section")
    origin, partial = _read_octets(cursor)
    return Section(label + b"]" + origin, _path(spelled), text, fields, partial, peek)


def _read_fields(cursor: Cursor) -> tuple[tuple[str, ...], bytes]:
    cursor.opens()
    found = [cursor.astring()]
    while cursor.passes(b" "):
        found.append(cursor.astring())
    cursor.closes()
    if not all(map(_FIELD.fullmatch, found)):
        raise ArgumentError("names of header fields", "des noms de champs d'en-tête")
    spelled = b" ".join(each if _FIELD_ATOM.fullmatch(each) else _quoted(each) for each in found)
    return tuple(each.decode("ascii") for each in found), spelled


def _quoted(octets: bytes) -> bytes:
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _read_binary_part(cursor: Cursor) -> tuple[bytes, tuple[int, ...]]:
    spelled = cursor.matched(_BINARY_SECTION, "a part number in brackets", "un numéro de partie entre crochets")[1]
    return spelled, _path(spelled)


def _path(spelled: bytes) -> tuple[int, ...]:
    return tuple(map(int, spelled.split(b"."))) if spelled else ()


def _read_octets(cursor: Cursor) -> tuple[bytes, tuple[int, int] | None]:
    """`<first.count>`, if it is here, and how the answer spells it."""
    match = _OCTETS.match(cursor.text, cursor.position)
    if match is None:
        return b"", None
    cursor.position = match.end()
    return b"<" + match[1] + b">", (int(match[1]), int(match[2]))


def _read_modifiers(cursor: Cursor) -> tuple[int | None, bool, Partial | None]:
    changed_since: int | None = None
    vanished = False
    partial: Partial | None = None
    while True:
        name = cursor.word()
        if name == b"CHANGEDSINCE" and changed_since is None:
            cursor.space()
            changed_since = cursor.modseq(1)
        elif name == b"VANISHED" and not vanished:
            vanished = True
        elif name == b"PARTIAL" and partial is None:
            cursor.space()
            partial = read_window(cursor)
        else:
            raise ArgumentError("CHANGEDSINCE, VANISHED or PARTIAL", "CHANGEDSINCE, VANISHED ou PARTIAL")
        if cursor.passes(b")"):
            return changed_since, vanished, partial
        cursor.space()


def read_window(cursor: Cursor) -> Partial:
    """A partial range: 1:100, or -1:-100."""
    match = cursor.matched(_WINDOW, "a range like 1:100 or -1:-100", "un intervalle comme 1:100 ou -1:-100")
    sign = -1 if match[1] else 1
    return Partial(sign * int(match[2]), sign * int(match[3]))


def read_store(cursor: Cursor, uid: bool = False) -> Store:
    """STORE from behind its name."""
    messages = cursor.message_set()
    cursor.space()
    unchanged_since = None
    if cursor.passes(b"("):
        if cursor.word() != b"UNCHANGEDSINCE":
            raise ArgumentError("UNCHANGEDSINCE", "UNCHANGEDSINCE")
        cursor.space()
        unchanged_since = cursor.modseq()
        cursor.closes()
        cursor.space()
    match = cursor.matched(_STORE, "FLAGS, +FLAGS or -FLAGS", "FLAGS, +FLAGS ou -FLAGS")
    if cursor.text.startswith(b"(", cursor.position):
        flags = cursor.flag_list()
    elif cursor.ended:
        raise ArgumentError("flags", "des drapeaux")
    else:
        flags = cursor.flags()
    return Store(messages, _HOW[match[1]], flags, uid, match[2] is not None, unchanged_since)


def read_copy(cursor: Cursor, uid: bool = False) -> Copy:
    """COPY from behind its name."""
    messages = cursor.message_set()
    cursor.space()
    return Copy(messages, cursor.mailbox(), uid)


def read_move(cursor: Cursor, uid: bool = False) -> Move:
    """MOVE from behind its name."""
    messages = cursor.message_set()
    cursor.space()
    return Move(messages, cursor.mailbox(), uid)


def read_uid_expunge(cursor: Cursor) -> Expunge:
    """UID EXPUNGE from behind its name."""
    return Expunge(cursor.message_set())
