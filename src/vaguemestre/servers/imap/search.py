"""SEARCH, SORT, THREAD: which messages, and in which order.

What it keeps true: the answer is complete, whatever the index has read so far; numbers are those the client knows; a saved
result holds UIDs, so that expunges never make it name another message (RFC 5182 §2.1).

Flow: what needs the store (texts, dates of sending) is answered by it first, as sets of messages; then the key is evaluated
over the view. A search of flags, sizes and dates never leaves memory.
Standards: RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, 5182, 5267, 5256, 5957, 9394, 5032, 7162 §3.1.5, 8474, 8514.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import ordering
from vaguemestre.mailstore import search as texts
from vaguemestre.mailstore.ordering import By, Order
from vaguemestre.protocols.imap import commands, response_codes, responses
from vaguemestre.protocols.imap import search_keys as keys
from vaguemestre.protocols.imap.responses import Branch, Found
from vaguemestre.protocols.imap.search_keys import Day, Key, Return, Returned, SortBy, Threading, When
from vaguemestre.servers.imap import news
from vaguemestre.servers.imap.answers import Answer
from vaguemestre.servers.imap.messages import numbers
from vaguemestre.storage.blobs import BlobStore

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_ADDRESSED = {
    "from": texts.Field.FROM,
    "to": texts.Field.TO,
    "cc": texts.Field.CC,
    "bcc": texts.Field.BCC,
    "subject": texts.Field.SUBJECT,
}
_BY = {
    SortBy.ARRIVAL: By.ARRIVAL,
    SortBy.CC: By.CC,
    SortBy.DATE: By.DATE,
    SortBy.DISPLAYFROM: By.DISPLAYED_FROM,
    SortBy.DISPLAYTO: By.DISPLAYED_TO,
    SortBy.FROM: By.FROM,
    SortBy.SIZE: By.SIZE,
    SortBy.SUBJECT: By.SUBJECT,
    SortBy.TO: By.TO,
}
_DAY_MS = 86_400_000
_MOST_CONTEXTS = 10


@dataclass(slots=True)
class Context:
    """A search whose changes are told (RFC 5267 §4.3): the key, and the UIDs of its result."""

    key: Key
    uid: bool
    result: set[int]


async def search(session: "Session", tag: bytes, command: commands.Search) -> Answer:
    """SEARCH and UID SEARCH."""
    selected, found = await _found(session, command.key)
    _say(session, selected, tag, command, _named(selected, found, uid=command.uid), found)
    _keep(session, selected, tag, command, found)
    session.trace("search", selected.name, len(found))
    return Answer("SEARCH")


async def sort(session: "Session", tag: bytes, command: commands.Sort) -> Answer:
    """SORT and UID SORT."""
    selected, found = await _found(session, command.key)
    view = selected.picture.view
    orders = [Order(_BY[key.by], key.reverse) for key in command.order]
    messages = [(view.message_ids[place], view.received[place], view.sizes[place]) for place in found]
    ranked = await session.service.database.read_async(ordering.sorted_places, messages, orders)
    ordered = [found[rank] for rank in ranked]
    _say(session, selected, tag, command, _named(selected, ordered, uid=command.uid), ordered)
    _keep(session, selected, tag, command, found)
    return Answer("SORT")


async def thread(session: "Session", tag: bytes, command: commands.Thread) -> Answer:
    """THREAD and UID THREAD."""
    selected, found = await _found(session, command.key)
    view = selected.picture.view
    named = _named(selected, found, uid=command.uid)
    messages = [(view.message_ids[place], view.received[place], name) for place, name in zip(found, named, strict=True)]
    by_subject = command.algorithm is Threading.ORDEREDSUBJECT
    how = ordering.by_subject if by_subject else ordering.by_references
    threads = await session.service.database.read_async(how, messages)
    session.say(responses.thread(cast(list[Branch], threads)))  # the same attributes; as deep as it may be
    return Answer("THREAD")


async def cancel_update(session: "Session", tag: bytes, command: commands.CancelUpdate) -> Answer:
    """CANCELUPDATE."""
    for each in command.tags:
        session.contexts.pop(each, None)
    return Answer("CANCELUPDATE")


async def _found(session: "Session", key: Key) -> "tuple[Selected, list[int]]":
    """Places of the messages that fit, ascending."""
    session.may(Rights.READ)
    selected = session.at_hand()
    wanted = _texts(key)
    known: dict[int, set[int]] = {}
    if wanted:
        view = selected.picture.view
        likely = _Evaluation(session, selected, None).run(key)
        messages = [view.message_ids[place] for place in likely]
        service, account_id = session.service, session.account().account.id
        found = await service.database.read_async(_at_hand, service.blobs, account_id, wanted, messages)
        if found is None:
            await service.catch_up(account_id)
            found = await service.database.read_async(_look_up, service.blobs, account_id, wanted, messages)
        known = found
    return selected, _Evaluation(session, selected, known).run(key)


def _texts(key: Key) -> list[Key]:
    """The parts of a key that only the store can answer."""
    match key:
        case keys.Header() | keys.Body() | keys.Text() | keys.Dated(which=Day.SENT):
            return [key]
        case keys.Not(inner):
            return _texts(inner)
        case keys.Or(left, right):
            return _texts(left) + _texts(right)
        case keys.And(parts):
            return [each for part in parts for each in _texts(part)]
    return []


def _at_hand(
    connection: sa.Connection, store: BlobStore, account_id: int, wanted: Sequence[Key], messages: Sequence[int]
) -> dict[int, set[int]] | None:
    """`_look_up`; None where much would have to be read that is not indexed yet, and a reader's thread be held for it."""
    of_words = [key for key in wanted if not isinstance(key, keys.Dated)]
    contents = any(not isinstance(key, keys.Header) for key in of_words)
    if of_words and texts.behind(connection, account_id, messages, contents=contents):
        return None
    return _look_up(connection, store, account_id, wanted, messages)


def _look_up(
    connection: sa.Connection, store: BlobStore, account_id: int, wanted: Sequence[Key], messages: Sequence[int]
) -> dict[int, set[int]]:
    """Which messages fit each text, by the identity of its key; of `messages` at least."""
    among = set(messages)
    return {id(key): _fitting(connection, store, account_id, key, messages, among) for key in wanted}


def _fitting(
    connection: sa.Connection, store: BlobStore, account_id: int, key: Key, messages: Sequence[int], among: set[int]
) -> set[int]:
    match key:
        case keys.Text(text):
            return texts.matching(connection, store, account_id, texts.Field.TEXT, text, among)
        case keys.Body(text):
            return texts.matching(connection, store, account_id, texts.Field.BODY, text, among)
        case keys.Header(name, text):
            if text and name in _ADDRESSED:
                return texts.matching(connection, store, account_id, _ADDRESSED[name], text, among)
            return texts.header_matching(connection, store, account_id, name, text, among)
        case keys.Dated(_, when, day):
            return {
                message
                for message, sent in ordering.sent_days(connection, store, messages, day).items()
                if _on(when, sent, day)
            }
    return set()


def _on(when: When, day: date, wanted: date) -> bool:
    return day < wanted if when is When.BEFORE else day == wanted if when is When.ON else day >= wanted


class _Evaluation:
    """A key over a view. Without `known` texts fit every message: what is found is then a superset, but under NOT."""

    def __init__(self, session: "Session", selected: "Selected", known: dict[int, set[int]] | None) -> None:
        self._session = session
        self._selected = selected
        self._view = selected.picture.view
        self._known = known
        self._now = clock.now_ms()

    def run(self, key: Key) -> list[int]:
        """Places that fit, ascending, among the messages that the client knows."""
        picture = self._selected.picture
        if picture.uids is self._view.uids:
            known: list[int] = list(range(picture.count))
        else:
            known = [place for number in range(1, picture.count + 1) if (place := picture.place(number)) >= 0]
        return self._fit(key, known)

    def _fit(self, key: Key, places: list[int]) -> list[int]:
        match key:
            case keys.All():
                return places
            case keys.And(parts):
                for part in sorted(parts, key=lambda part: bool(_texts(part))):
                    places = self._fit(part, places)
                return places
            case keys.Or(left, right):
                first = self._fit(left, places)
                taken = set(first)
                return sorted(first + self._fit(right, [place for place in places if place not in taken]))
            case keys.Not(inner):
                if self._known is None and _texts(inner):
                    return places
                fitting = set(self._fit(inner, places))
                return [place for place in places if place not in fitting]
            case keys.HasFlag(flag):
                return self._flagged(flag, places)
            case keys.Uids(named) | keys.Numbers(named):
                wanted = set(
                    numbers(self._session, self._selected, named, uid=isinstance(key, keys.Uids), searched=True)
                )
                return [place for place in places if self.number(place) in wanted]
            case keys.Header() | keys.Body() | keys.Text() | keys.Dated(which=Day.SENT):
                if self._known is None:
                    return places
                messages, fit = self._view.message_ids, self._known[id(key)]
                return [place for place in places if messages[place] in fit]
        test = self._test(key)
        return [place for place in places if test(place)]

    def _test(self, key: Key) -> Callable[[int], bool]:
        view, now = self._view, self._now
        match key:
            case keys.Larger(octets):
                return lambda place: view.sizes[place] > octets
            case keys.Smaller(octets):
                return lambda place: view.sizes[place] < octets
            case keys.Older(seconds):
                return lambda place: view.received[place] <= now - seconds * 1000
            case keys.Younger(seconds):
                return lambda place: view.received[place] >= now - seconds * 1000
            case keys.ModSeq(value):
                return lambda place: view.modseqs[place] >= value
            case keys.EmailId(text):
                message = _identifier(text, "M")
                return lambda place: view.message_ids[place] == message
            case keys.ThreadId(text):
                thread_id = _identifier(text, "T")
                return lambda place: view.thread_ids[place] == thread_id
            case keys.Dated(which, when, day):
                column = view.received if which is Day.RECEIVED else view.saved
                start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
                if when is When.BEFORE:
                    return lambda place: column[place] < start
                if when is When.SINCE:
                    return lambda place: column[place] >= start
                return lambda place: start <= column[place] < start + _DAY_MS
        return lambda place: True  # SAVEDATESUPPORTED: every mailbox keeps save dates

    def _flagged(self, name: str, places: list[int]) -> list[int]:
        view = self._view
        if name == "\\Recent":
            first = self._selected.recent_from
            return [place for place in places if view.uids[place] >= first]
        flag = news.FLAG_OF.get(name)
        if flag is not None:
            fit = [bool(mark[0] & flag) for mark in view.mark_table]
        else:
            word = name.lower()
            fit = [word in mark[1].lower().split(" ") for mark in view.mark_table]
        marks = view.marks
        return [place for place in places if fit[marks[place]]]

    def number(self, place: int) -> int:
        """The client's number of a message."""
        return number_of(self._selected, place)


def number_of(selected: "Selected", place: int) -> int:
    """The client's number of a message, by its place in the view."""
    picture = selected.picture
    return place + 1 if picture.uids is picture.view.uids else picture.sequence(picture.view.uids[place])


def _identifier(text: str, kind: str) -> int:
    try:
        return ids.from_text(text.removeprefix(kind)) if text.startswith(kind) else -1
    except ValueError:
        return -1


def _named(selected: "Selected", places: Sequence[int], *, uid: bool) -> list[int]:
    """What the client calls messages."""
    uids = selected.picture.view.uids
    return [uids[place] for place in places] if uid else [number_of(selected, place) for place in places]


def _say(
    session: "Session",
    selected: "Selected",
    tag: bytes,
    command: commands.Search | commands.Sort,
    named: list[int],
    found: Sequence[int],
) -> None:
    """The untagged answer: * SEARCH, * SORT, or * ESEARCH as asked (RFC 4731 §3.1)."""
    sorting = isinstance(command, commands.Sort)
    returned = command.returns
    modseqs = selected.picture.view.modseqs
    by_modseq = _asks_modseq(command.key) and bool(found)
    if returned is None:
        if session.rev2 and not sorting:
            returned = Returned(Return.ALL)
        elif sorting:
            session.say(responses.sort(named))
            return
        else:
            highest = max(modseqs[place] for place in found) if by_modseq else None
            session.say(responses.search(named, highest))
            return
    options = returned.options
    if options in (Return.SAVE, Return.SAVE | Return.CONTEXT) and returned.partial is None:
        return
    wanted: dict[str, Any] = {}
    if named and options & Return.MIN:
        wanted["minimum"] = named[0] if sorting else min(named)
    if named and options & Return.MAX:
        wanted["maximum"] = named[-1] if sorting else max(named)
    if options & Return.COUNT:
        wanted["count"] = len(named)
    if named and options & Return.ALL:
        wanted["all"] = named
    if returned.partial is not None:
        wanted["partial"] = (returned.partial, named[returned.partial.window(len(named))])
    if by_modseq:
        wanted["modseq"] = _highest(options, modseqs, found)
    session.say(responses.esearch(tag, Found(**wanted), uid=command.uid))


def _highest(options: Return, modseqs: Sequence[int], found: Sequence[int]) -> int:
    """The MODSEQ of an extended answer: of MIN, of MAX, or of all that is told (RFC 7162 §3.1.10)."""
    if not options & (Return.ALL | Return.COUNT) and options & (Return.MIN | Return.MAX):
        chosen = [found[0]] if options & Return.MIN else []
        chosen += [found[-1]] if options & Return.MAX else []
        return max(modseqs[place] for place in chosen)
    return max(modseqs[place] for place in found)


def _asks_modseq(key: Key) -> bool:
    return any(isinstance(each, keys.ModSeq) for each in _walk(key))


def _walk(key: Key) -> Iterator[Key]:
    yield key
    match key:
        case keys.Not(inner):
            yield from _walk(inner)
        case keys.Or(left, right):
            yield from _walk(left)
            yield from _walk(right)
        case keys.And(parts):
            for part in parts:
                yield from _walk(part)


def _keep(
    session: "Session",
    selected: "Selected",
    tag: bytes,
    command: commands.Search | commands.Sort,
    found: Sequence[int],
) -> None:
    """Save the result (RFC 5182 §2.1), and go on telling of it (RFC 5267 §4.3), where asked."""
    if command.returns is None:
        return
    options, uids = command.returns.options, selected.picture.view.uids
    if options & Return.SAVE:
        kept = sorted(uids[place] for place in found)
        if kept and not options & (Return.ALL | Return.COUNT) and command.returns.partial is None:
            if options & Return.MIN and options & Return.MAX:
                kept = sorted({kept[0], kept[-1]})
            elif options & Return.MIN:
                kept = kept[:1]
            elif options & Return.MAX:
                kept = kept[-1:]
        elif command.returns.partial is not None and not options & (Return.ALL | Return.COUNT):
            kept = kept[command.returns.partial.window(len(kept))]
        session.saved = kept
    if options & Return.UPDATE:
        if isinstance(command, commands.Sort) or _texts(command.key) or len(session.contexts) >= _MOST_CONTEXTS:
            session.say(responses.untagged_no("This search is not kept up to date", response_codes.no_update(tag)))
        else:
            session.contexts[tag] = Context(command.key, command.uid, {uids[place] for place in found})


def tell_contexts(session: "Session", selected: "Selected") -> None:
    """What came into, or fell out of, the searches that are kept up to date."""
    uids = selected.picture.view.uids
    for tag, context in session.contexts.items():
        now = {uids[place] for place in _Evaluation(session, selected, {}).run(context.key)}
        gone, come = (
            sorted(number for uid in changed if (number := selected.picture.sequence(uid)))
            for changed in (context.result - now, now - context.result)
        )
        if context.uid:
            gone, come = ([selected.picture.uids[number - 1] for number in each] for each in (gone, come))
        if gone or come:
            found = Found(removed=[(0, gone)] if gone else [], added=[(0, come)] if come else [])
            session.say(responses.esearch(tag, found, uid=context.uid))
        context.result = now
