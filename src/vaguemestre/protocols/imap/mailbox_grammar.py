"""Commands on mailboxes, quotas and notifications.

RFC 9051 §6.3; RFC 3501 §6.3.9 (LSUB); RFC 5258, 5819, 6154 (LIST and CREATE options); RFC 7162 §3.1.8 and §3.2.5 (SELECT
parameters); RFC 7889, 8438, 8474, 9208 (STATUS items); RFC 9208 (quotas); RFC 5465 §8 (NOTIFY).
"""

from collections.abc import Mapping

from vaguemestre.protocols.imap.commands import (
    Create,
    Delete,
    GetQuota,
    GetQuotaRoot,
    List,
    ListReturn,
    ListSelection,
    Lsub,
    Notify,
    Rename,
    Resynchronization,
    Select,
    SetQuota,
    Status,
    StatusItem,
    Subscribe,
    Unsubscribe,
)
from vaguemestre.protocols.imap.cursor import LARGEST_64, Cursor
from vaguemestre.protocols.imap.faults import ArgumentError, CombinationError, NotEnabledError, NotifyEventError
from vaguemestre.protocols.imap.fetch_grammar import read_items
from vaguemestre.protocols.imap.fetch_items import Item
from vaguemestre.protocols.imap.notifications import EventGroup, NotifyEvent, Watched
from vaguemestre.protocols.imap.sequence_sets import SequenceSet

DELIMITER = "/"
_USES = {name.lower(): name for name in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")}
_STATUS = {each.value: each for each in StatusItem}
_SELECTIONS = {each.value.encode(): each for each in ListSelection}
_LIST_RETURNS = {each.value.encode(): each for each in ListReturn}
_EVENTS = {each.value.upper().encode(): each for each in NotifyEvent}
_MESSAGE_EVENTS = frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE})
_WATCHED: Mapping[bytes, Watched] = {each.value.encode(): each for each in Watched}
_OPEN = frozenset({Watched.SELECTED, Watched.SELECTED_DELAYED})


# ---- SELECT


def read_select(cursor: Cursor, read_only: bool = False) -> Select:
    """SELECT or EXAMINE from behind its name."""
    mailbox = cursor.mailbox()
    condstore, resynchronization = False, None
    if cursor.passes(b" ("):
        while True:
            name = cursor.word()
            if name == b"CONDSTORE" and not condstore:
                condstore = True
            elif name == b"QRESYNC" and resynchronization is None:
                if not cursor.dialect.qresync:
                    raise NotEnabledError
                cursor.space()
                resynchronization = _read_resynchronization(cursor)
            else:
                raise ArgumentError("CONDSTORE or QRESYNC", "CONDSTORE ou QRESYNC")
            if cursor.passes(b")"):
                break
            cursor.space()
    return Select(mailbox, read_only, condstore, resynchronization)


def _read_resynchronization(cursor: Cursor) -> Resynchronization:
    cursor.opens()
    uid_validity = cursor.number(smallest=1)
    cursor.space()
    modseq = cursor.modseq(1)
    known, matched = None, None
    if cursor.passes(b" "):
        if not cursor.text.startswith(b"(", cursor.position):
            known = cursor.sequence_set(stars=False)
        if known is None or cursor.passes(b" "):
            cursor.opens()
            matched = cursor.sequence_set(stars=False), _read_after_space(cursor)
            cursor.closes()
            if _count(matched[0]) != _count(matched[1]):
                raise ArgumentError("as many message numbers as UIDs", "autant de numéros de messages que d'UID")
    cursor.closes()
    return Resynchronization(uid_validity, modseq, known, matched)


def _read_after_space(cursor: Cursor) -> SequenceSet:
    cursor.space()
    return cursor.sequence_set(stars=False)


def _count(numbers: SequenceSet) -> int:
    return sum(high - low + 1 for low, high in numbers.ranges)


# ---- names


def read_create(cursor: Cursor) -> Create:
    """CREATE from behind its name."""
    mailbox = cursor.mailbox()
    if mailbox.endswith(DELIMITER):  # says that names will be made under it, which needs no saying here (§6.3.4)
        mailbox = mailbox[:-1]
    uses: tuple[str, ...] = ()
    if cursor.passes(b" ("):
        if cursor.word() != b"USE":
            raise ArgumentError("USE", "USE")
        cursor.space()
        cursor.opens()
        if not cursor.passes(b")"):
            found = [_read_use(cursor)]
            while cursor.passes(b" "):
                found.append(_read_use(cursor))
            cursor.closes()
            uses = tuple(dict.fromkeys(found))
        cursor.closes()
    return Create(mailbox, uses)


def _read_use(cursor: Cursor) -> str:
    if not cursor.passes(b"\\"):
        raise ArgumentError("a special use like \\Sent", "un usage comme \\Sent")
    name = "\\" + cursor.atom().decode("ascii")
    return _USES.get(name.lower(), name)


def read_delete(cursor: Cursor) -> Delete:
    """DELETE from behind its name."""
    return Delete(cursor.mailbox())


def read_rename(cursor: Cursor) -> Rename:
    """RENAME from behind its name."""
    source = cursor.mailbox()
    cursor.space()
    return Rename(source, cursor.mailbox())


def read_subscribe(cursor: Cursor) -> Subscribe:
    """SUBSCRIBE from behind its name."""
    return Subscribe(cursor.mailbox())


def read_unsubscribe(cursor: Cursor) -> Unsubscribe:
    """UNSUBSCRIBE from behind its name."""
    return Unsubscribe(cursor.mailbox())


# ---- LIST, LSUB, STATUS


def read_list(cursor: Cursor) -> List:
    """LIST from behind its name."""
    selection: frozenset[ListSelection] = frozenset()
    extended = cursor.passes(b"(")
    if extended:
        selection = _read_selection(cursor)
        cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    if cursor.passes(b"("):
        extended = True
        found = [cursor.pattern()]
        while cursor.passes(b" "):
            found.append(cursor.pattern())
        cursor.closes()
        patterns = tuple(found)
    else:
        patterns = (cursor.pattern(),)
    returns: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    if not cursor.ended:
        cursor.space()
        extended = True
        returns, status = _read_list_returns(cursor)
    return List(reference, patterns, selection, returns, status, extended)


def _read_selection(cursor: Cursor) -> frozenset[ListSelection]:
    found: set[ListSelection] = set()
    while not cursor.passes(b")"):
        if found:
            cursor.space()
        name = cursor.word()
        if name not in _SELECTIONS:
            raise ArgumentError("selection options", "des options de sélection")
        found.add(_SELECTIONS[name])
    if ListSelection.RECURSIVEMATCH in found and not found & {ListSelection.SUBSCRIBED, ListSelection.SPECIAL_USE}:
        raise CombinationError(
            "RECURSIVEMATCH needs another selection option beside it.",
            "RECURSIVEMATCH exige une autre option de sélection.",
        )
    return frozenset(found)


def _read_list_returns(cursor: Cursor) -> tuple[frozenset[ListReturn], tuple[StatusItem, ...]]:
    if cursor.word() != b"RETURN":
        raise ArgumentError("RETURN", "RETURN")
    cursor.space()
    cursor.opens()
    found: set[ListReturn] = set()
    status: tuple[StatusItem, ...] = ()
    while not cursor.passes(b")"):
        if found or status:
            cursor.space()
        name = cursor.word()
        if name == b"STATUS" and not status:
            cursor.space()
            status = _read_status_items(cursor)
        elif name in _LIST_RETURNS:
            found.add(_LIST_RETURNS[name])
        else:
            raise ArgumentError("return options", "des options de retour")
    return frozenset(found), status


def read_lsub(cursor: Cursor) -> Lsub:
    """LSUB from behind its name."""
    reference = cursor.mailbox()
    cursor.space()
    return Lsub(reference, cursor.pattern())


def read_status(cursor: Cursor) -> Status:
    """STATUS from behind its name."""
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, _read_status_items(cursor))


def _read_status_items(cursor: Cursor) -> tuple[StatusItem, ...]:
    cursor.opens()
    found = []
    while True:
        name = cursor.word()
        if name not in _STATUS:
            raise ArgumentError("STATUS items", "des éléments de STATUS")
        found.append(_STATUS[name])
        if cursor.passes(b")"):
            return tuple(dict.fromkeys(found))
        cursor.space()


# ---- quotas


def read_get_quota(cursor: Cursor) -> GetQuota:
    """GETQUOTA from behind its name."""
    return GetQuota(cursor.utf8_text())


def read_get_quota_root(cursor: Cursor) -> GetQuotaRoot:
    """GETQUOTAROOT from behind its name."""
    return GetQuotaRoot(cursor.mailbox())


def read_set_quota(cursor: Cursor) -> SetQuota:
    """SETQUOTA from behind its name."""
    root = cursor.utf8_text()
    cursor.space()
    cursor.opens()
    limits: list[tuple[str, int]] = []
    while not cursor.passes(b")"):
        if limits:
            cursor.space()
        name = cursor.word().decode("ascii")
        cursor.space()
        limits.append((name, cursor.number(LARGEST_64)))
    return SetQuota(root, tuple(limits))


# ---- NOTIFY


def read_notify(cursor: Cursor) -> Notify:
    """NOTIFY from behind its name."""
    name = cursor.word()
    if name == b"NONE":
        return Notify()
    if name != b"SET":
        raise ArgumentError("SET or NONE", "SET ou NONE")
    cursor.space()
    status = cursor.peek_word() == b"STATUS"
    if status:
        cursor.atom()
        cursor.space()
    groups = [_read_group(cursor)]
    while cursor.passes(b" "):
        groups.append(_read_group(cursor))
    if sum(group.watched in _OPEN for group in groups) > 1:
        raise CombinationError(
            "NOTIFY names SELECTED or SELECTED-DELAYED once at most.",
            "NOTIFY nomme SELECTED ou SELECTED-DELAYED une fois au plus.",
        )
    return Notify(tuple(groups), status)


def _read_group(cursor: Cursor) -> EventGroup:
    cursor.opens()
    name = cursor.word()
    if name not in _WATCHED:
        raise ArgumentError("which mailboxes to watch", "les dossiers à surveiller")
    watched = _WATCHED[name]
    cursor.space()
    mailboxes: list[str] = []
    if watched is Watched.SUBTREE or watched is Watched.MAILBOXES:
        several = cursor.passes(b"(")
        mailboxes.append(cursor.mailbox())
        while several and cursor.passes(b" "):
            mailboxes.append(cursor.mailbox())
        if several:
            cursor.closes()
        cursor.space()
    events, items = _read_events(cursor, watched)
    cursor.closes()
    return EventGroup(watched, events, tuple(mailboxes), items)


def _read_events(cursor: Cursor, watched: Watched) -> tuple[frozenset[NotifyEvent], tuple[Item, ...]]:
    if not cursor.passes(b"("):
        if cursor.word() != b"NONE":
            raise ArgumentError("events or NONE", "des événements ou NONE")
        return frozenset(), ()
    found: set[NotifyEvent] = set()
    items: tuple[Item, ...] = ()
    while True:
        name = cursor.word()
        if name not in _EVENTS:
            raise NotifyEventError
        found.add(_EVENTS[name])
        if name == b"MESSAGENEW" and cursor.passes(b" ("):
            items = read_items(cursor)
            cursor.closes()
        if cursor.passes(b")"):
            break
        cursor.space()
    _judge_events(found, items, watched)
    return frozenset(found), items


def _judge_events(found: set[NotifyEvent], items: tuple[Item, ...], watched: Watched) -> None:
    """The rules that RFC 5465 §5 sets beside its grammar."""
    messages = found & _MESSAGE_EVENTS
    if messages and not {NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE} <= messages:
        raise CombinationError(
            "MessageNew and MessageExpunge come together, and FlagChange only with both.",
            "MessageNew et MessageExpunge vont ensemble, et FlagChange seulement avec les deux.",
        )
    if watched in _OPEN and messages != found:
        raise CombinationError(
            "SELECTED and SELECTED-DELAYED take message events only.",
            "SELECTED et SELECTED-DELAYED n'admettent que des événements de messages.",
        )
    if items and watched not in _OPEN:
        raise CombinationError(
            "FETCH items of MessageNew are for the selected mailbox only.",
            "Les éléments FETCH de MessageNew ne valent que pour le dossier sélectionné.",
        )
