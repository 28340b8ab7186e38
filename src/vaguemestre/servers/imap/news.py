"""What changed in the mailbox at hand, told to its client.

Rules: expunges first, then how many there are, then flags (RFC 9051 §7.5). A client that enabled QRESYNC hears VANISHED with
UIDs instead of EXPUNGE, and UIDs beside flags (RFC 7162 §3.2.10); one that enabled CONDSTORE hears mod-sequences.
"""

from typing import TYPE_CHECKING

from vaguemestre.mailstore.model import Flag
from vaguemestre.mailstore.views import View
from vaguemestre.protocols.imap import responses, values

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_NAMES = (
    (Flag.ANSWERED, "\\Answered"),
    (Flag.FLAGGED, "\\Flagged"),
    (Flag.DELETED, "\\Deleted"),
    (Flag.SEEN, "\\Seen"),
    (Flag.DRAFT, "\\Draft"),
)
SYSTEM_FLAGS = tuple(name for _, name in _NAMES)
FLAG_OF = {name: flag for flag, name in _NAMES}


def tell(session: "Session", selected: "Selected", *, expunges: bool = True, flags: bool = True) -> None:
    """Say what the client does not know yet."""
    news = selected.picture.news(expunges=expunges, flags=flags)
    if news is None:
        return
    if news.vanished:
        if "QRESYNC" in session.enabled:
            session.say(responses.vanished(news.vanished))
        else:
            for number in news.expunged:
                session.say(responses.expunged(number))
    if news.exists is not None:
        session.say(responses.exists(news.exists))
        if not session.rev2:
            session.say(responses.recent(recent_count(selected)))
    view = selected.picture.view
    for number, place in news.changed:
        session.say(changed(session, selected, view, number, place))


def changed(session: "Session", selected: "Selected", view: View, number: int, place: int) -> bytes:
    """FETCH of a message whose flags changed."""
    parts = []
    if "QRESYNC" in session.enabled:
        parts.append(b"UID %d" % view.uids[place])
    parts.append(flags_text(session, selected, place))
    if session.condstore:
        parts.append(b"MODSEQ (%d)" % view.modseqs[place])
    return responses.fetch(number, *parts)


def flags_text(session: "Session", selected: "Selected", place: int) -> bytes:
    r"""FLAGS (…) of a message, \Recent included for clients of the older revision."""
    view = selected.picture.view
    text = mark_text(selected, view.marks[place])
    return recent(text) if view.uids[place] >= selected.recent_from and not session.rev2 else text


def mark_text(selected: "Selected", number: int) -> bytes:
    """FLAGS (…) of a mark of the view at hand."""
    text = selected.mark_texts.get(number)
    if text is None:
        flags, keywords = selected.picture.view.mark_table[number]
        text = selected.mark_texts[number] = b"FLAGS " + values.flag_list(names(flags, keywords))
    return text


def recent(text: bytes) -> bytes:
    r"""The same with \Recent."""
    return text[:-1] + (b" \\Recent)" if text != b"FLAGS ()" else b"\\Recent)")


def names(flags: int, keywords: str) -> list[str]:
    """Flags and keywords as IMAP spells them."""
    return [name for flag, name in _NAMES if flags & flag] + (keywords.split(" ") if keywords else [])


def recent_count(selected: "Selected") -> int:
    """How many messages this client is the first to be told of (RFC 3501 §2.3.2)."""
    uids, count = selected.picture.uids, selected.picture.count
    number = 0
    while number < count and uids[count - 1 - number] >= selected.recent_from:
        number += 1
    return number
