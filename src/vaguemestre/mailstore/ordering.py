"""Orders and threads of messages, as mail programs ask for them (RFC 5256, RFC 5957).

What it keeps true: the same messages in the same order each time (ties go by the order given); no message is left out, whatever
its header says; no cycle of references makes a loop.

Rules: reads only summaries. A message without a date of its own counts as sent when it was received (RFC 5256 §2.2).
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate
from enum import Enum, auto
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.documents.addresses import Mailbox
from vaguemestre.documents.headers import base_subject
from vaguemestre.mailstore import structures
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.bulk import BulkSelect

_SUMMARIES = BulkSelect("SELECT id, summary FROM messages WHERE id IN {keys}")
_BLOBS = BulkSelect("SELECT id, blob_id FROM messages WHERE id IN {keys}")


class Thread(msgspec.Struct):
    """A message and those that answer it; `number` is the name it was given with, 0 for one that is only referred to."""

    number: int
    answers: "list[Thread]"


class By(Enum):
    """What to sort by."""

    ARRIVAL = auto()
    CC = auto()
    DATE = auto()
    DISPLAYED_FROM = auto()
    DISPLAYED_TO = auto()
    FROM = auto()
    SIZE = auto()
    SUBJECT = auto()
    TO = auto()


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key."""

    by: By
    reverse: bool = False


class _Noted(msgspec.Struct, gc=False):
    """What ordering needs of a summary."""

    subject: str = ""
    from_: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    date: datetime | None = None
    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Noted).decode


def sorted_places(
    connection: sa.Connection, messages: Sequence[tuple[int, int, int]], orders: Sequence[Order]
) -> list[int]:
    """The order of messages, each (id, received in ms, size): indexes into `messages`."""
    needs = any(order.by not in (By.ARRIVAL, By.SIZE) for order in orders)
    noted = _read(connection, [message for message, _, _ in messages]) if needs else {}
    ranked = list(range(len(messages)))
    for order in reversed(orders):  # each sort keeps the order of equals, reversed too: the last key first
        ranked.sort(key=_key(order.by, messages, noted), reverse=order.reverse)
    return ranked


def _key(by: By, messages: Sequence[tuple[int, int, int]], noted: dict[int, _Noted]) -> Callable[[int], Any]:
    match by:
        case By.ARRIVAL:
            return lambda place: messages[place][1]
        case By.SIZE:
            return lambda place: messages[place][2]
        case By.DATE:
            return lambda place: _sent_ms(noted[messages[place][0]], messages[place][1])
        case By.SUBJECT:
            return lambda place: base_subject(noted[messages[place][0]].subject)[0]
        case By.FROM:
            return lambda place: _local_part(noted[messages[place][0]].from_)
        case By.TO:
            return lambda place: _local_part(noted[messages[place][0]].to)
        case By.CC:
            return lambda place: _local_part(noted[messages[place][0]].cc)
        case By.DISPLAYED_FROM:
            return lambda place: _displayed(noted[messages[place][0]].from_)
        case By.DISPLAYED_TO:
            return lambda place: _displayed(noted[messages[place][0]].to)


def _local_part(mailboxes: Sequence[Mailbox]) -> str:
    return mailboxes[0][1].rpartition("@")[0].casefold() if mailboxes else ""


def _displayed(mailboxes: Sequence[Mailbox]) -> str:
    """The name shown, or the address (RFC 5957 §3); accents do not count, as in a French list of names."""
    shown = (mailboxes[0][0] or mailboxes[0][1]) if mailboxes else ""
    return "".join(c for c in unicodedata.normalize("NFKD", shown.casefold()) if not unicodedata.combining(c))


def _sent_ms(noted: _Noted, received_ms: int) -> int:
    return received_ms if noted.date is None else int(noted.date.timestamp() * 1000)


def _read(connection: sa.Connection, messages: Sequence[int]) -> dict[int, _Noted]:
    return {row[0]: _decode(row[1]) for row in _SUMMARIES.run(connection, messages)}


def sent_days(connection: sa.Connection, store: BlobStore, messages: Sequence[int], near: date) -> dict[int, date]:
    """The day of each message's Date field, in the zone it was written in; left out where it has none.

    Exact within a day of `near`; further away, where no zone makes a difference, the day in UTC.
    """
    days, close = {}, []
    for message, noted in _read(connection, messages).items():
        if noted.date is None:
            continue
        days[message] = noted.date.astimezone(UTC).date()
        if abs(days[message] - near) <= timedelta(days=1):
            close.append(message)
    blobs = dict(tuple(row) for row in _BLOBS.run(connection, close))
    if blobs:
        found, _ = structures.get(connection, store, list(set(blobs.values())))
        for message, blob in blobs.items():
            field = found[blob].envelope.date if blob in found else None
            written = parsedate(field.decode("latin-1")) if field else None
            if written is not None:
                days[message] = date(*written[:3])
    return days


# --- threads


def by_subject(connection: sa.Connection, messages: Sequence[tuple[int, int, int]]) -> list[Thread]:
    """ORDEREDSUBJECT (RFC 5256 §3) of messages, each (id, received in ms, name): the first, then all its answers as branches."""
    noted = _read(connection, [message for message, _, _ in messages])
    threads: dict[str, list[tuple[int, int]]] = {}
    for message, received, name in sorted(messages, key=lambda each: _sent_ms(noted[each[0]], each[1])):
        subject = base_subject(noted[message].subject)[0]
        threads.setdefault(subject, []).append((_sent_ms(noted[message], received), name))
    ordered = sorted(threads.values(), key=lambda thread: thread[0][0])
    return [Thread(first[1], [Thread(name, []) for _, name in rest]) for first, *rest in ordered]


class _Container:
    """A place in a thread, of a message or of one that is only referred to."""

    __slots__ = ("answer", "children", "name", "parent", "sent", "subject")

    def __init__(self) -> None:
        self.name = 0
        self.sent = 0
        self.subject = ""
        self.answer = False
        self.parent: _Container | None = None
        self.children: list[_Container] = []

    def above(self, other: "_Container") -> bool:
        """Whether this is the other, or one of its ancestors."""
        if not self.children:
            return self is other
        each: _Container | None = other
        while each is not None:
            if each is self:
                return True
            each = each.parent
        return False

    def adopt(self, child: "_Container") -> None:
        """Become a container's parent."""
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)


def by_references(connection: sa.Connection, messages: Sequence[tuple[int, int, int]]) -> list[Thread]:
    """REFERENCES (RFC 5256 §3) of messages, each (id, received in ms, name)."""
    noted = _read(connection, [message for message, _, _ in messages])
    roots = _linked(messages, noted)
    roots = [kept for root in roots for kept in _pruned(root, top=True)]
    _order(roots)
    roots = _gathered(roots)
    _order(roots)
    return [_written(root) for root in roots]


def _linked(messages: Sequence[tuple[int, int, int]], noted: dict[int, _Noted]) -> list[_Container]:
    """Step 1 and 2: containers linked by what messages refer to; returns those without a parent."""
    table: dict[str, _Container] = {}
    every: list[_Container] = []

    def container(identifier: str) -> _Container:
        found = table.get(identifier)
        if found is None:
            found = table[identifier] = _Container()
            every.append(found)
        return found

    for message, received, name in messages:
        facts = noted[message]
        mine = container(facts.message_id) if facts.message_id else _Container()
        if mine.name or not facts.message_id:  # a Message-ID seen before makes a message of its own (step 1)
            mine = _Container()
            every.append(mine)
        mine.name, mine.sent = name, _sent_ms(facts, received)
        mine.subject, mine.answer = base_subject(facts.subject)
        above: _Container | None = None
        for identifier in facts.references or facts.in_reply_to[:1]:
            each = container(identifier)
            if above is not None and each.parent is None and not each.above(above):
                above.adopt(each)
            above = each
        if above is not None and not mine.above(above):
            above.adopt(mine)
        elif above is None and mine.parent is not None:
            mine.parent.children.remove(mine)
            mine.parent = None
    return [each for each in every if each.parent is None]


def _pruned(root: _Container, *, top: bool) -> list[_Container]:
    """Step 3: containers of no message give way to their children, but a root that keeps several together. No recursion:
    a chain of references may be as long as the mailbox."""
    order, stack = [], [root]
    while stack:
        each = stack.pop()
        order.append(each)
        stack += each.children
    for each in reversed(order):
        kept: list[_Container] = []
        for child in each.children:
            kept += [child] if child.name else child.children
        each.children = kept
        for child in kept:
            child.parent = each
    if root.name:
        return [root]
    if len(root.children) <= 1:
        for child in root.children:
            child.parent = None
        return root.children
    return [root]


def _first(root: _Container) -> _Container:
    """The message that stands for a thread: its own, or its first child's."""
    return root if root.name else root.children[0]


def _order(roots: list[_Container]) -> None:
    """Step 4 and 6: siblings by the date of sending, then by name."""
    stack = [roots]
    while stack:
        siblings = stack.pop()
        for each in siblings:
            if each.children:
                stack.append(each.children)
    order, todo = [], list(roots)
    while todo:
        each = todo.pop()
        order.append(each)
        todo += each.children
    for each in reversed(order):
        each.children.sort(key=lambda child: (_first(child).sent, _first(child).name))
    roots.sort(key=lambda root: (_first(root).sent, _first(root).name))


def _gathered(roots: list[_Container]) -> list[_Container]:
    """Step 5: threads of one subject become one."""
    table: dict[str, _Container] = {}
    for root in roots:
        subject = _first(root).subject
        if not subject:
            continue
        found = table.get(subject)
        if (
            found is None
            or (not root.name and found.name)
            or (found.name and root.name and found.answer and not root.answer)
        ):
            table[subject] = root
    gone: set[int] = set()
    places = {id(root): place for place, root in enumerate(roots)}
    for root in list(roots):
        subject = _first(root).subject
        other = table.get(subject) if subject else None
        if other is None or other is root:
            continue
        gone.add(id(root))
        if not other.name and not root.name:
            for child in list(root.children):
                other.adopt(child)
        elif not other.name or (root.answer and not other.answer):
            other.adopt(root)
        else:
            both = _Container()
            both.adopt(other)
            both.adopt(root)
            places[id(both)] = places[id(other)]
            roots[places[id(other)]] = both
            table[subject] = both
    return [root for root in roots if id(root) not in gone]


def _written(root: _Container) -> Thread:
    """A thread as a value, however deep."""
    top = Thread(root.name, [])
    stack = [(root, top)]
    while stack:
        each, thread = stack.pop()
        thread.answers = [Thread(child.name, []) for child in each.children]
        stack += zip(each.children, thread.answers, strict=True)
    return top
