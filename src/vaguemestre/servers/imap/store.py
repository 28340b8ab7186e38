r"""STORE, EXPUNGE, COPY, MOVE: messages changed, removed, filed elsewhere.

What it keeps true: answered is durable; a change refused by UNCHANGEDSINCE is named in MODIFIED and left alone; COPY is all
or nothing; MOVE never loses nor doubles a message.
Standards: RFC 9051 §6.4.3, §6.4.6 to §6.4.8; RFC 7162 §3.1.3; RFC 4315; RFC 6851.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import flags, mailboxes, placements
from vaguemestre.mailstore.flags import Change, Wanted
from vaguemestre.mailstore.model import NO_FLAGS, Flag, UnknownMailboxError
from vaguemestre.protocols.imap import commands, response_codes, responses
from vaguemestre.protocols.imap.commands import StoreHow
from vaguemestre.servers.imap import news
from vaguemestre.servers.imap.answers import Answer
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.servers.imap.messages import numbers, places

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_STEP = 1000  # messages changed in one transaction: others write between
_HOW = {StoreHow.ADD: Change.ADD, StoreHow.REMOVE: Change.REMOVE, StoreHow.REPLACE: Change.REPLACE}


async def store(session: "Session", tag: bytes, command: commands.Store) -> Answer:
    """STORE and UID STORE."""
    session.may(Rights.WRITE)
    selected = session.at_hand()
    if "\\Recent" in command.flags:
        raise AnswerError("BAD", b"", "Only the server sets \\Recent (RFC 3501 section 2.3.2).")
    wanted = numbers(session, selected, command.messages, uid=command.uid)
    if command.unchanged_since is not None:
        session.enable("CONDSTORE")
    found, issued = places(selected, wanted)
    view, picture = selected.picture.view, selected.picture
    uids = [view.uids[place] for _, place in found]
    system, keywords = split_flags(command.flags)
    modified: list[int] = []
    changed: set[int] = set()
    for start in range(0, len(uids), _STEP):
        part, how, since = uids[start : start + _STEP], _HOW[command.how], command.unchanged_since
        change = Wanted(selected.mailbox_id, part, how, system, keywords, since, session.reader)
        done = await session.service.database.write_together(flags.change_all, change)
        modified += done.modified
        changed.update(each.uid for each in done.changed)
        if command.silent and not session.condstore:
            for each in done.changed:
                picture.silence(each.uid, each.modseq)
    session.trace("store", selected.name, len(uids))
    _tell_stored(session, selected, command, [uid for uid in uids if uid not in set(modified)], changed)
    code = b""
    if modified:
        named = sorted(modified) if command.uid else sorted(picture.sequence(uid) for uid in modified)
        code = response_codes.modified(named)
    if issued and not command.uid:
        raise AnswerError(
            "NO", b"EXPUNGEISSUED", "Some of these messages are gone.", "Certains de ces messages n'existent plus."
        )
    return Answer("STORE", code)


def _tell_stored(
    session: "Session", selected: "Selected", command: commands.Store, uids: Sequence[int], changed: set[int]
) -> None:
    """FETCH with the new flags of each message; of a silent STORE, the mod-sequences at most."""
    picture = selected.picture
    view = picture.view
    if command.silent and not session.condstore:
        return
    for uid in uids:
        place, number = view.place(uid), picture.sequence(uid)
        if place < 0 or not number or (command.silent and uid not in changed):
            continue
        parts = [b"UID %d" % uid] if command.uid or "QRESYNC" in session.enabled else []
        if not command.silent:
            parts.append(news.flags_text(session, selected, place))
        if session.condstore:
            parts.append(b"MODSEQ (%d)" % view.modseqs[place])
        session.say(responses.fetch(number, *parts))
        picture.silence(uid, view.modseqs[place])


def split_flags(named: frozenset[str]) -> tuple[Flag, frozenset[str]]:
    """System flags and keywords of a command's flags."""
    system = NO_FLAGS
    for name in named:
        system |= news.FLAG_OF.get(name, NO_FLAGS)
    return system, frozenset(name for name in named if not name.startswith("\\"))


async def expunge(session: "Session", tag: bytes, command: commands.Expunge) -> Answer:
    """EXPUNGE and UID EXPUNGE."""
    session.may(Rights.WRITE)
    selected = session.at_hand()
    uids = None
    if command.uids is not None:
        found, _ = places(selected, numbers(session, selected, command.uids, uid=True))
        uids = [selected.picture.view.uids[place] for _, place in found]
    modseq = await expunge_deleted(session, selected, uids)
    session.tell_news()
    code = response_codes.highest_modseq(modseq) if modseq and "QRESYNC" in session.enabled else b""
    return Answer("EXPUNGE", code)


async def expunge_deleted(session: "Session", selected: "Selected", uids: Sequence[int] | None) -> int:
    r"""Remove what is marked \Deleted, among some UIDs or all that the client knows; the modseq of it, or 0."""
    view = selected.picture.view
    if uids is None:
        deleted = {number for number, mark in enumerate(view.mark_table) if mark[0] & Flag.DELETED}
        uids = [view.uids[place] for place, number in enumerate(view.marks) if number in deleted] if deleted else []
    modseq = 0
    for start in range(0, len(uids), _STEP):
        part = uids[start : start + _STEP]
        gone = await session.service.database.write_together(placements.expunge_deleted, (selected.mailbox_id, part))
        await session.discard(gone.objects)
        modseq = max(modseq, gone.modseq if gone.uids else 0)
    if uids:
        session.trace("expunge", selected.name, len(uids))
    return modseq


async def copy(session: "Session", tag: bytes, command: commands.Copy) -> Answer:
    """COPY and UID COPY."""
    session.may(Rights.READ | Rights.WRITE)
    selected = session.at_hand()
    target, uids, issued = await _filing(session, selected, command)
    if issued:
        raise AnswerError(
            "NO", b"EXPUNGEISSUED", "Some of these messages are gone.", "Certains de ces messages n'existent plus."
        )
    if not uids:
        return Answer("COPY: no message named")
    copied = await session.service.database.write_async(placements.copy, selected.mailbox_id, uids, target)
    session.trace("copy", selected.name, len(uids))
    if not copied.source:
        return Answer("COPY: no message left")
    return Answer("COPY", response_codes.copy_uid(copied.uid_validity, copied.source, copied.target))


async def move(session: "Session", tag: bytes, command: commands.Move) -> Answer:
    """MOVE and UID MOVE: COPYUID comes before the expunges (RFC 6851 §4.3)."""
    session.may(Rights.READ | Rights.WRITE)
    selected = session.at_hand()
    target, uids, _ = await _filing(session, selected, command)
    code = b""
    if uids:
        moved = await session.service.database.write_async(placements.move, selected.mailbox_id, uids, target)
        session.trace("move", selected.name, len(uids))
        if moved.source:
            copied = response_codes.copy_uid(moved.uid_validity, moved.source, moved.target)
            session.say(responses.untagged_ok("Moved", copied))
        session.tell_news()
        if "QRESYNC" in session.enabled:
            code = response_codes.highest_modseq(selected.picture.view.modseq)
    return Answer("MOVE", code)


async def _filing(
    session: "Session", selected: "Selected", command: commands.Copy | commands.Move
) -> tuple[int, list[int], bool]:
    """The target's identifier, the UIDs that are there, and whether some named are not."""
    wanted = numbers(session, selected, command.messages, uid=command.uid)
    try:
        mailbox = await session.service.database.read_at_once(
            mailboxes.named, session.account().account.id, command.mailbox
        )
    except UnknownMailboxError as error:
        raise AnswerError("NO", b"TRYCREATE", error.en, error.fr) from error
    found, issued = places(selected, wanted)
    view = selected.picture.view
    return mailbox.id, [view.uids[place] for _, place in found], issued
