r"""FETCH: what is asked of messages, from memory where it is there, else from the store, in steps.

What it keeps true: one message that cannot be read hides no other: its content is NIL, and the rest goes on; a large content
is streamed and never held whole; a client that reads slowly is waited for, and holds nothing but its own connection.

Flow: numbers → places in the view → \Seen where asked without PEEK, in one write → messages by steps, each step one read →
answers. Answers of flags, sizes, dates and identifiers need no read at all.
Standards: RFC 9051 §6.4.5, §7.5.2; RFC 3501; RFC 3516; RFC 7162 §3.1.4; RFC 8474; RFC 8514; RFC 8970; RFC 9394.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from vaguemestre import ids, log
from vaguemestre.documents import sections, transfer_encodings
from vaguemestre.documents.header_fields import select_fields
from vaguemestre.documents.structure import Message, Structure
from vaguemestre.errors import StorageFailure
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import changes, flags, structures
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import Flag
from vaguemestre.mailstore.views import View
from vaguemestre.protocols.imap import commands, responses, values
from vaguemestre.protocols.imap.fetch_items import Attribute, Binary, BinarySize, Item, Preview, Section, SectionText
from vaguemestre.protocols.imap.sequence_sets import SequenceSet
from vaguemestre.servers.imap import bodystructure, news
from vaguemestre.servers.imap.answers import TURN, Answer
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.servers.imap.messages import numbers, places
from vaguemestre.storage.blobs import BlobReader, BlobStore

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_QUICK_STEP = 2000  # messages answered from memory before the others have their turn
_STEP = 100  # messages read in one go
_STEP_OCTETS = 1_048_576
_STREAMED = 524_288  # a content larger than this goes out as it is read
_CHUNK = 262_144
_log = log.get("servers.imap.fetch")

_STRUCTURAL = (Attribute.ENVELOPE, Attribute.BODY, Attribute.BODYSTRUCTURE)
_TEXTS = {
    SectionText.ALL: sections.Text.BODY,
    SectionText.HEADER: sections.Text.HEADER,
    SectionText.FIELDS: sections.Text.HEADER,
    SectionText.FIELDS_NOT: sections.Text.HEADER,
    SectionText.TEXT: sections.Text.TEXT,
    SectionText.MIME: sections.Text.MIME,
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a FETCH needs."""

    items: tuple[Item, ...]
    stored: tuple[Item, ...]
    content: bool
    sees: bool


def _plan(items: tuple[Item, ...]) -> _Plan:
    stored = tuple(item for item in items if not isinstance(item, Attribute) or item in _STRUCTURAL)
    content = any(isinstance(item, Section | Binary) for item in items)
    sees = any(isinstance(item, Section | Binary) and not item.peek for item in items)
    return _Plan(items, stored, content, sees)


async def fetch(session: "Session", tag: bytes, command: commands.Fetch) -> Answer:
    """FETCH and UID FETCH."""
    session.may(Rights.READ)
    selected = session.at_hand()
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.enable("CONDSTORE")
    wanted = numbers(session, selected, command.messages, uid=command.uid)
    found, issued = places(selected, wanted)
    view = selected.picture.view
    if command.changed_since is not None:
        found = [each for each in found if view.modseqs[each[1]] > command.changed_since]
        if command.vanished:
            await _tell_vanished(session, selected, command)
    if command.partial is not None:
        found = found[command.partial.window(len(found))]
    plan = _plan(command.items)
    if plan.sees and not selected.read_only and Rights.WRITE in session.account().rights:
        plan = await _see(session, selected, [place for _, place in found], plan)
    if plan.content:
        session.trace("read", selected.name, len(found))
    issued = await _tell(session, selected, found, plan) or issued
    if issued and not command.uid:
        raise AnswerError(
            "NO", b"EXPUNGEISSUED", "Some of these messages are gone.", "Certains de ces messages n'existent plus."
        )
    return Answer("FETCH")


async def tell(session: "Session", selected: "Selected", wanted: list[int], items: tuple[Item, ...]) -> None:
    """Answer for some of the client's numbers, unasked."""
    found, _ = places(selected, wanted)
    await _tell(session, selected, found, _plan(items))


async def _tell(session: "Session", selected: "Selected", found: Sequence[tuple[int, int]], plan: _Plan) -> bool:
    """Answer; whether some messages went meanwhile."""
    if not plan.stored:
        await _tell_from_memory(session, selected, found, plan)
        return False
    # Places move where others expunge meanwhile; UIDs stay.
    uids = [(number, selected.picture.view.uids[place]) for number, place in found]
    return await _tell_from_store(session, selected, uids, plan)


async def _see(session: "Session", selected: "Selected", found: Sequence[int], plan: _Plan) -> _Plan:
    r"""Set \Seen; flags that so change belong to the answer (RFC 9051 §6.4.5)."""
    view = selected.picture.view
    unseen = [view.uids[place] for place in found if not view.mark(place)[0] & Flag.SEEN]
    if not unseen:
        return plan
    done = await session.service.database.write_async(
        lambda connection: flags.change(
            connection, selected.mailbox_id, unseen, Change.ADD, Flag.SEEN, frozenset(), reader=session.reader
        )
    )
    for each in done.changed:
        selected.picture.silence(each.uid, each.modseq)
    if Attribute.FLAGS in plan.items:
        return plan
    more = (Attribute.FLAGS, *((Attribute.MODSEQ,) if session.condstore and Attribute.MODSEQ not in plan.items else ()))
    return _Plan((*plan.items, *more), plan.stored, plan.content, plan.sees)


async def _tell_vanished(session: "Session", selected: "Selected", command: commands.Fetch) -> None:
    """VANISHED (EARLIER) of the UIDs asked for (RFC 7162 §3.2.6)."""
    assert command.changed_since is not None  # noqa: S101 - the grammar says so
    view = selected.picture.view
    _, expunged, complete = await session.service.database.read_async(
        changes.since, view.mailbox_id, command.changed_since, session.reader
    )
    limit = max(view.uid_next - 1, 1)
    ranges = command.messages.resolve(limit) if isinstance(command.messages, SequenceSet) else [(1, limit)]
    if not complete:
        present = set(selected.picture.uids[: selected.picture.count])
        expunged = [uid for low, high in ranges for uid in range(low, min(high, limit) + 1) if uid not in present]
    gone = sorted(
        uid
        for uid in expunged
        if not selected.picture.sequence(uid) and any(low <= uid <= high for low, high in ranges)
    )
    if gone:
        session.say(responses.vanished(gone, earlier=True))


# --- from memory


async def _tell_from_memory(
    session: "Session", selected: "Selected", found: Sequence[tuple[int, int]], plan: _Plan
) -> None:
    view, writers = selected.picture.view, [_WRITERS[item] for item in plan.items if isinstance(item, Attribute)]
    uids = view.uids
    for start in range(0, len(found), _QUICK_STEP):
        for number, place in found[start : start + _QUICK_STEP]:
            session.say(
                b"* %d FETCH (%b)\r\n"
                % (number, b" ".join([write(session, selected, view, place) for write in writers]))
            )
        if len(found) > _QUICK_STEP:
            await session.drain()
            await TURN
            if view.uids is not uids:  # others expunged meanwhile: the rest by UID
                rest = [(number, uids[place]) for number, place in found[start + _QUICK_STEP :]]
                again = [(number, place) for number, uid in rest if (place := view.place(uid)) >= 0]
                await _tell_from_memory(session, selected, again, plan)
                return


def _flags(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return news.flags_text(session, selected, place)


def _uid(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"UID %d" % view.uids[place]


def _size(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"RFC822.SIZE %d" % view.sizes[place]


def _internal_date(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"INTERNALDATE " + values.internal_date(view.received[place])


def _save_date(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"SAVEDATE " + values.internal_date(view.saved[place])


def _modseq(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"MODSEQ (%d)" % view.modseqs[place]


def _email_id(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"EMAILID (M%b)" % ids.to_text(view.message_ids[place]).encode()


def _thread_id(session: "Session", selected: "Selected", view: View, place: int) -> bytes:
    return b"THREADID (T%b)" % ids.to_text(view.thread_ids[place]).encode()


_WRITERS: dict[Attribute, Callable[["Session", "Selected", View, int], bytes]] = {
    Attribute.FLAGS: _flags,
    Attribute.UID: _uid,
    Attribute.SIZE: _size,
    Attribute.INTERNALDATE: _internal_date,
    Attribute.SAVEDATE: _save_date,
    Attribute.MODSEQ: _modseq,
    Attribute.EMAILID: _email_id,
    Attribute.THREADID: _thread_id,
}


# --- from the store


async def _tell_from_store(
    session: "Session", selected: "Selected", found: Sequence[tuple[int, int]], plan: _Plan
) -> bool:
    """Answer by steps; whether some messages went meanwhile."""
    gone = False
    for step in _steps(selected.picture.view, found, plan):
        view = selected.picture.view
        present = [(number, uid, place) for number, uid in step if (place := view.place(uid)) >= 0]
        gone = gone or len(present) != len(step)
        if not present:
            continue
        if plan.content and len(present) == 1 and view.sizes[present[0][2]] > _STREAMED:
            gone = await _stream(session, selected, present[0][0], present[0][1], plan) or gone
            await session.drain()
            continue
        blobs = [view.blob_ids[place] for _, _, place in present]
        read, computed = await session.service.database.read_at_once(_read, session.service.blobs, blobs, plan.stored)
        if computed:
            session.keep_structures(computed)
        for (number, uid, _), texts in zip(present, read, strict=True):
            place = view.place(uid)
            if place < 0 or texts is None:
                gone = True
                continue
            stored = iter(texts)
            parts = [
                _WRITERS[item](session, selected, view, place)
                if isinstance(item, Attribute) and item in _WRITERS
                else next(stored)
                for item in plan.items
            ]
            session.say(responses.fetch(number, *parts))
        await session.drain()
    return gone


def _steps(view: View, found: Sequence[tuple[int, int]], plan: _Plan) -> Iterator[Sequence[tuple[int, int]]]:
    """Messages to read together: some hundred, or a megabyte."""
    step: list[tuple[int, int]] = []
    octets = 0
    for each in found:
        place = view.place(each[1])
        size = view.sizes[place] if plan.content and place >= 0 else 0
        if step and (len(step) >= _STEP or octets + size > _STEP_OCTETS or size > _STREAMED):
            yield step
            step, octets = [], 0
        step.append(each)
        octets += size
        if size > _STREAMED:
            yield step
            step, octets = [], 0
    if step:
        yield step


def _read(
    connection: sa.Connection, store: BlobStore, blob_ids: Sequence[int], items: Sequence[Item]
) -> tuple[list[list[bytes] | None], dict[int, bytes]]:
    """What is stored of messages, as it is answered, None for one expunged this moment; structures not kept yet."""
    found, computed = structures.get(connection, store, list(dict.fromkeys(blob_ids)))
    needed = any(isinstance(item, Section | Binary | BinarySize) for item in items)
    readers = store.open_all(connection, blob_ids) if needed else {}
    missing = [blob_id for blob_id in blob_ids if blob_id not in found]
    there = store.known(connection, missing) if missing else set()
    texts: list[list[bytes] | None] = []
    for blob_id in blob_ids:
        structure, reader = found.get(blob_id), readers.get(blob_id)
        if structure is None and blob_id not in there:
            texts.append(None)
        else:
            texts.append([_text(item, structure, reader) for item in items])
    return texts, computed


def _text(item: Item, structure: Structure | None, reader: BlobReader | None) -> bytes:
    label = item.value if isinstance(item, Attribute) else item.label
    if structure is None:  # unreadable: the message is there, its content is not
        return label + (b' ""' if label == b"PREVIEW" else b" NIL")
    match item:
        case Attribute.ENVELOPE:
            return b"ENVELOPE " + bodystructure.envelope(structure)
        case Attribute.BODY:
            return b"BODY " + bodystructure.body(structure.part)
        case Attribute.BODYSTRUCTURE:
            return b"BODYSTRUCTURE " + bodystructure.bodystructure(structure.part)
        case Preview():
            return b"PREVIEW " + values.nstring(structure.preview)
    if reader is None:
        return label + b" NIL"
    try:
        return label + b" " + _content(item, structure, reader)
    except transfer_encodings.UnknownEncodingError as error:
        raise AnswerError("NO", b"UNKNOWN-CTE", error.en, error.fr) from error
    except StorageFailure as error:
        _log.error("a content cannot be read", error=error.en)
        return label + b" NIL"


def _content(item: Item, message: Message, reader: BlobReader) -> bytes:
    """The octets of a section, as a literal; NIL where the message has no such section."""
    if isinstance(item, Section):
        place = locate(message, item)
        if place is None:
            return b"NIL"
        if item.fields:
            return values.literal(_cut(fields(item, reader.read_range(place[0], place[1] - place[0])), item.partial))
        start, end = _window(place, item.partial)
        return values.literal(reader.read_range(start, end - start))
    assert isinstance(item, Binary | BinarySize)  # noqa: S101 - the others were told before
    part = sections.find(message.part, item.part) if item.part else message.part
    if part is None:
        return b"NIL" if isinstance(item, Binary) else b"0"
    start, end = (part.body, part.end) if item.part else (part.start, part.end)
    data = reader.read_range(start, end - start)
    if item.part:
        data = transfer_encodings.decode(part.encoding, data)
    if isinstance(item, BinarySize):
        return b"%d" % len(data)
    return values.binary(_cut(data, item.partial))


def locate(message: Message, item: Section) -> tuple[int, int] | None:
    """The octets of a section; of HEADER.FIELDS, those of the header."""
    return sections.locate(message.part, item.part, _TEXTS[item.text])


def fields(item: Section, head: bytes) -> bytes:
    """What HEADER.FIELDS and HEADER.FIELDS.NOT take of a header."""
    names = [name.encode() for name in item.fields]
    return select_fields(head, names, others=item.text is SectionText.FIELDS_NOT)


def _window(place: tuple[int, int], partial: tuple[int, int] | None) -> tuple[int, int]:
    start, end = place
    return (start, end) if partial is None else (min(start + partial[0], end), min(start + sum(partial), end))


def _cut(data: bytes, partial: tuple[int, int] | None) -> bytes:
    return data if partial is None else data[partial[0] : partial[0] + partial[1]]


async def _stream(session: "Session", selected: "Selected", number: int, uid: int, plan: _Plan) -> bool:
    """Answer for one large message, its sections as they are read; whether it went meanwhile."""
    view = selected.picture.view
    blob_id = view.blob_ids[view.place(uid)]
    opened, computed = await session.service.database.read_at_once(_open, session.service.blobs, blob_id)
    if computed:
        session.keep_structures(computed)
    structure, reader = opened
    if view.place(uid) < 0 or (
        structure is None and not await session.service.database.read_at_once(session.service.blobs.known, [blob_id])
    ):
        return True
    before = b"* %d FETCH (" % number
    for item in plan.items:
        session.say(before)
        before = b" "
        if isinstance(item, Attribute) and item in _WRITERS:
            place = view.place(uid)
            session.say(_WRITERS[item](session, selected, view, place) if place >= 0 else b"UID %d" % uid)
            continue
        found = locate(structure, item) if isinstance(item, Section) and structure is not None else None
        if not isinstance(item, Section) or item.fields or found is None or reader is None:
            session.say(await session.aside(_text, item, structure, reader))
            continue
        start, end = _window(found, item.partial)
        session.say(item.label + b" {%d}\r\n" % (end - start))
        while start < end:
            length = min(_CHUNK, end - start)
            session.say(values.without_nul(await session.aside(reader.read_range, start, length)))
            start += length
            await session.drain()
    session.say(b")\r\n")
    return False


def _open(
    connection: sa.Connection, store: BlobStore, blob_id: int
) -> tuple[tuple[Structure | None, BlobReader | None], dict[int, bytes]]:
    found, computed = structures.get(connection, store, [blob_id])
    return (found.get(blob_id), store.open_all(connection, [blob_id]).get(blob_id)), computed
