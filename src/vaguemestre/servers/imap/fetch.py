r"""FETCH: what is asked of messages, from memory where it is there, else from the store, in steps.

What it keeps true: one message that cannot be read hides no other: its content is NIL, and the rest goes on; a large content
is streamed and never held whole; a client that reads slowly is waited for, and holds nothing but its own connection.

Flow: numbers → places in the view → \Seen where asked without PEEK, in one write → messages by steps, each step one read →
answers. Answers of flags, sizes, dates and identifiers need no read at all.
Standards: RFC 9051 §6.4.5, §7.5.2; RFC 3501; RFC 3516; RFC 7162 §3.1.4; RFC 8474; RFC 8514; RFC 8970; RFC 9394.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import changes, flags
from vaguemestre.mailstore.flags import Change, Wanted
from vaguemestre.mailstore.model import Flag
from vaguemestre.mailstore.views import View
from vaguemestre.protocols.imap import commands, responses, values
from vaguemestre.protocols.imap.fetch_items import Attribute, Binary, Item, Section
from vaguemestre.protocols.imap.sequence_sets import SequenceSet
from vaguemestre.servers.imap import contents
from vaguemestre.servers.imap.answers import TURN, Answer
from vaguemestre.servers.imap.columns import COLUMNS
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.servers.imap.messages import numbers, places

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_QUICK_STEP = 2000  # messages answered from memory before the others have their turn
_STEP = 100  # messages read in one go
_STEP_OCTETS = 1_048_576
_STREAMED = 524_288  # a content larger than this goes out as it is read
_CHUNK = 262_144


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a FETCH needs. `keys` name the stored items among kept texts."""

    items: tuple[Item, ...]
    stored: tuple[Item, ...]
    keys: tuple[bytes, ...]
    content: bool
    sees: bool


@lru_cache(maxsize=512)
def _plan(items: tuple[Item, ...]) -> _Plan:
    stored = tuple(item for item in items if item not in COLUMNS)
    content = any(isinstance(item, Section | Binary) for item in items)
    sees = any(isinstance(item, Section | Binary) and not item.peek for item in items)
    return _Plan(items, stored, tuple(map(contents.key, stored)), content, sees)


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
    wanted = Wanted(selected.mailbox_id, unseen, Change.ADD, Flag.SEEN, reader=session.reader)
    done = await session.service.database.write_together(flags.change_all, wanted)
    for each in done.changed:
        selected.picture.silence(each.uid, each.modseq)
    if Attribute.FLAGS in plan.items:
        return plan
    more = (Attribute.FLAGS, *((Attribute.MODSEQ,) if session.condstore and Attribute.MODSEQ not in plan.items else ()))
    return _plan((*plan.items, *more))


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


async def _tell_from_memory(
    session: "Session", selected: "Selected", found: Sequence[tuple[int, int]], plan: _Plan
) -> None:
    view = selected.picture.view
    uids = view.uids
    for start in range(0, len(found), _QUICK_STEP):
        _say(session, selected, found[start : start + _QUICK_STEP], plan)
        if len(found) > _QUICK_STEP:
            await session.drain()
            await TURN
            if view.uids is not uids:  # others expunged meanwhile: the rest by UID
                rest = [(number, uids[place]) for number, place in found[start + _QUICK_STEP :]]
                again = [(number, place) for number, uid in rest if (place := view.place(uid)) >= 0]
                await _tell_from_memory(session, selected, again, plan)
                return


async def _tell_from_store(
    session: "Session", selected: "Selected", found: Sequence[tuple[int, int]], plan: _Plan
) -> bool:
    """Answer by steps; whether some messages went meanwhile."""
    service, view, gone = session.service, selected.picture.view, False
    for step in _steps(view, found, plan):
        uids = view.uids
        present = [(number, place) for number, uid in step if (place := view.place(uid)) >= 0]
        gone = gone or len(present) != len(step)
        if not present:
            continue
        if plan.content and len(present) == 1 and view.sizes[present[0][1]] > _STREAMED:
            gone = await _stream(session, selected, present[0][0], uids[present[0][1]], plan) or gone
            await session.drain()
            continue
        blob_ids = [view.blob_ids[place] for _, place in present]
        texts = service.texts.find(blob_ids, plan.keys)
        missing = list(dict.fromkeys(blob_id for blob_id in blob_ids if blob_id not in texts))
        if missing:
            read, computed = await service.database.read_at_once(contents.read, service.blobs, missing, plan.stored)
            service.structures.add(computed)
            texts |= read
            known = [(number, view.place(uids[place])) for number, place in present]
            present = [(number, place) for number, place in known if place >= 0 and view.blob_ids[place] in texts]
            gone = gone or len(present) != len(known)
            for blob_id in {view.blob_ids[place] for _, place in present}.intersection(read):
                service.texts.keep(blob_id, plan.keys, read[blob_id])
        _say(session, selected, present, plan, texts)
        await session.drain()
    return gone


def _say(
    session: "Session",
    selected: "Selected",
    found: Sequence[tuple[int, int]],
    plan: _Plan,
    texts: dict[int, list[bytes]] | None = None,
) -> None:
    """Answer for messages, by number and place, of which `texts` are those of the stored items, by content."""
    if not found:
        return
    wanted, blob_ids = [place for _, place in found], selected.picture.view.blob_ids
    stored = iter(zip(*[texts[blob_ids[place]] for place in wanted], strict=True) if texts else ())
    lines = [COLUMNS[item](session, selected, wanted) if item in COLUMNS else next(stored) for item in plan.items]
    for (number, _), *parts in zip(found, *lines, strict=True):
        session.say(responses.fetch(number, *parts))


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


async def _stream(session: "Session", selected: "Selected", number: int, uid: int, plan: _Plan) -> bool:
    """Answer for one large message, its sections as they are read; whether it went meanwhile."""
    view = selected.picture.view
    blob_id = view.blob_ids[view.place(uid)]
    opened, computed = await session.service.database.read_at_once(contents.open_one, session.service.blobs, blob_id)
    session.service.structures.add(computed)
    structure, reader = opened
    if view.place(uid) < 0 or (
        structure is None and not await session.service.database.read_at_once(session.service.blobs.known, [blob_id])
    ):
        return True
    before = b"* %d FETCH (" % number
    for item in plan.items:
        session.say(before)
        before = b" "
        if item in COLUMNS:
            place = view.place(uid)
            session.say(COLUMNS[item](session, selected, [place])[0] if place >= 0 else b"UID %d" % uid)
            continue
        found = contents.locate(structure, item) if isinstance(item, Section) and structure is not None else None
        if not isinstance(item, Section) or item.fields or found is None or reader is None:
            session.say(await session.aside(contents.text, item, structure, reader))
            continue
        start, end = contents.window(found, item.partial)
        session.say(item.label + b" {%d}\r\n" % (end - start))
        while start < end:
            length = min(_CHUNK, end - start)
            session.say(values.without_nul(await session.aside(reader.read_range, start, length)))
            start += length
            await session.drain()
    session.say(b")\r\n")
    return False
