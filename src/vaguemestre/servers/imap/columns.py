r"""Columns: what the view at hand answers of messages without reading the store, item by item for many messages at once.

A loop over messages within each item costs a third of a loop over items within each message, and mail programs ask for the
flags of thousands.
Standards: RFC 9051 §7.5.2; RFC 7162; RFC 8474; RFC 8514.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vaguemestre import ids
from vaguemestre.protocols.imap import values
from vaguemestre.protocols.imap.fetch_items import Attribute
from vaguemestre.servers.imap import news

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

Column = Callable[["Session", "Selected", Sequence[int]], list[bytes]]
"""The texts of one item, label included, of the messages at some places of the view."""


def _flags(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    view = selected.picture.view
    marks, uids = view.marks, view.uids
    texts = {number: news.mark_text(selected, number) for number in {marks[place] for place in places}}
    if session.rev2 or view.uid_next <= selected.recent_from:
        return [texts[marks[place]] for place in places]
    first = selected.recent_from
    return [news.recent(texts[marks[place]]) if uids[place] >= first else texts[marks[place]] for place in places]


def _uid(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    uids = selected.picture.view.uids
    return [b"UID %d" % uids[place] for place in places]


def _size(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    sizes = selected.picture.view.sizes
    return [b"RFC822.SIZE %d" % sizes[place] for place in places]


def _internal_date(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    received = selected.picture.view.received
    return [b"INTERNALDATE " + values.internal_date(received[place]) for place in places]


def _save_date(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    saved = selected.picture.view.saved
    return [b"SAVEDATE " + values.internal_date(saved[place]) for place in places]


def _modseq(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    modseqs = selected.picture.view.modseqs
    return [b"MODSEQ (%d)" % modseqs[place] for place in places]


def _email_id(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    message_ids = selected.picture.view.message_ids
    return [b"EMAILID (M%b)" % ids.to_text(message_ids[place]).encode() for place in places]


def _thread_id(session: "Session", selected: "Selected", places: Sequence[int]) -> list[bytes]:
    thread_ids = selected.picture.view.thread_ids
    return [b"THREADID (T%b)" % ids.to_text(thread_ids[place]).encode() for place in places]


COLUMNS: dict[Attribute, Column] = {
    Attribute.FLAGS: _flags,
    Attribute.UID: _uid,
    Attribute.SIZE: _size,
    Attribute.INTERNALDATE: _internal_date,
    Attribute.SAVEDATE: _save_date,
    Attribute.MODSEQ: _modseq,
    Attribute.EMAILID: _email_id,
    Attribute.THREADID: _thread_id,
}
