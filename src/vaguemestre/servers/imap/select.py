r"""SELECT, EXAMINE, CLOSE, UNSELECT: which mailbox is at hand.

What it keeps true: what SELECT says of a mailbox (how many, next UID, highest mod-sequence) is one moment's; a client that
knew it before is told exactly what became of it since (QRESYNC), or everything where that is no longer known.
Standards: RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2; RFC 3501 (RECENT, UNSEEN); RFC 7162 §3.1.2, §3.2.5; RFC 8474 §4.
"""

from typing import TYPE_CHECKING

from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import changes, mailboxes
from vaguemestre.mailstore.model import Flag
from vaguemestre.mailstore.views import Picture, View
from vaguemestre.protocols.imap import commands, response_codes, responses
from vaguemestre.protocols.imap.commands import Resynchronization
from vaguemestre.servers.imap import news, store
from vaguemestre.servers.imap.answers import Answer
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.servers.imap.mailboxes import mailbox_id
from vaguemestre.servers.imap.session import Selected

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Session


async def select(session: "Session", tag: bytes, command: commands.Select) -> Answer:
    """SELECT and EXAMINE."""
    had_one = session.selected is not None
    session.unselect()
    if had_one:
        session.say(responses.untagged_ok("The mailbox before is closed", b"CLOSED"))
    account = session.account().account
    if command.resynchronization is not None and "QRESYNC" not in session.enabled:
        raise AnswerError("BAD", b"", "QRESYNC must be enabled first (RFC 7162 section 3.2.5).")
    if command.condstore or command.resynchronization is not None:
        session.enable("CONDSTORE")
    session.may(Rights.READ)
    mailbox = await session.service.database.read_at_once(mailboxes.named, account.id, command.mailbox)
    view = await session.service.views.open(account.id, mailbox.id, session.reader)
    read_only = command.read_only or Rights.WRITE not in session.account().rights
    recent_from = session.service.views.recent_from(view, take=not read_only)
    session.selected = selected = Selected(mailbox.id, mailbox.name, Picture(view), read_only, recent_from, {})
    view.watchers.add(session.watch)
    session.machine.selected(read_only)
    _describe(session, selected, view, mailbox.keywords)
    if command.resynchronization is not None:
        await _resynchronize(session, selected, view, command.resynchronization)
    return Answer("EXAMINE" if command.read_only else "SELECT", b"READ-ONLY" if read_only else b"READ-WRITE")


def _describe(session: "Session", selected: Selected, view: View, known: tuple[str, ...]) -> None:
    flags = [*news.SYSTEM_FLAGS, *sorted({*known, *view.keywords()})]
    session.say(responses.flags(flags))
    permanent = response_codes.permanent_flags([] if selected.read_only else [*flags, "\\*"])
    session.say(responses.untagged_ok("Flags that are kept", permanent))
    session.say(responses.exists(selected.picture.count))
    if not session.rev2:
        session.say(responses.recent(news.recent_count(selected)))
        first = _first_unseen(view)
        if first:
            session.say(responses.untagged_ok("The first unseen message", response_codes.unseen(first)))
    session.say(responses.untagged_ok("UIDs are valid", response_codes.uid_validity(view.uid_validity)))
    session.say(responses.untagged_ok("The next UID", response_codes.uid_next(view.uid_next)))
    session.say(responses.untagged_ok("The highest mod-sequence", response_codes.highest_modseq(view.modseq)))
    session.say(responses.untagged_ok("The mailbox", response_codes.mailbox_id(mailbox_id(view.mailbox_id))))
    if session.rev2:
        session.say(responses.mailbox_list(selected.name, [], session.machine.utf8))


def _first_unseen(view: View) -> int:
    """The number of the first message that was not read, or 0."""
    unseen = {number for number, mark in enumerate(view.mark_table) if not mark[0] & Flag.SEEN}
    if not unseen:
        return 0
    return next((place + 1 for place, number in enumerate(view.marks) if number in unseen), 0)


async def _resynchronize(session: "Session", selected: Selected, view: View, known: Resynchronization) -> None:
    """Tell a client that knew the mailbox what became of it (RFC 7162 §3.2.5.1)."""
    if known.uid_validity != view.uid_validity or known.modseq >= view.modseq:
        return
    _, expunged, complete = await session.service.database.read_async(
        changes.since, view.mailbox_id, known.modseq, session.reader
    )
    picture = selected.picture
    gone = [uid for uid in expunged if picture.sequence(uid) == 0] if complete else _gone(picture, known)
    if known.known_uids is not None:
        ranges = known.known_uids.resolve(max(view.uid_next - 1, 1))
        gone = [uid for uid in gone if any(low <= uid <= high for low, high in ranges)]
    if gone:
        session.say(responses.vanished(sorted(gone), earlier=True))
    modseqs, uids = view.modseqs, view.uids
    wanted = known.known_uids.resolve(max(view.uid_next - 1, 1)) if known.known_uids is not None else None
    for place in range(min(picture.count, len(modseqs))):
        if modseqs[place] > known.modseq:
            if wanted is not None and not any(low <= uids[place] <= high for low, high in wanted):
                continue
            session.say(news.changed(session, selected, view, place + 1, place))


def _gone(picture: Picture, known: Resynchronization) -> list[int]:
    """What the client may have known and is no longer there, where the log of expunges was shortened since."""
    limit = picture.view.uid_next - 1
    start = 1
    if known.matched is not None:
        numbers = [n for low, high in known.matched[0].resolve(limit) for n in range(low, high + 1)]
        uids = [n for low, high in known.matched[1].resolve(limit) for n in range(low, high + 1)]
        for number, uid in zip(numbers, uids, strict=False):
            if picture.sequence(uid) != number:
                break
            start = uid + 1
    present = set(picture.uids[: picture.count])
    ranges = known.known_uids.resolve(limit) if known.known_uids is not None else [(start, limit)]
    return [uid for low, high in ranges for uid in range(max(low, start), min(high, limit) + 1) if uid not in present]


async def close(session: "Session", tag: bytes, command: commands.Close) -> Answer:
    """CLOSE: what is marked deleted goes, without a word for each (RFC 9051 §6.4.1)."""
    selected = session.at_hand()
    code = b""
    if not selected.read_only:
        modseq = await store.expunge_deleted(session, selected, None)
        if modseq and "QRESYNC" in session.enabled:
            code = response_codes.highest_modseq(modseq)
    session.unselect()
    return Answer("CLOSE", code)


async def unselect(session: "Session", tag: bytes, command: commands.Unselect) -> Answer:
    """UNSELECT."""
    session.unselect()
    return Answer("UNSELECT")


async def check(session: "Session", tag: bytes, command: commands.Check) -> Answer:
    """CHECK: everything is on disk already."""
    return Answer("CHECK")
