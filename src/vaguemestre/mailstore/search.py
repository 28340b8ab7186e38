"""Search: which messages of an account hold a text, whole, at this very moment.

What it keeps true: the answer is exactly what reading every message of the account would give. What waits to be indexed
is read on the spot; what is no more is left out; nothing of another account is read. Where much waits, `behind` says so:
whoever can has the account caught up with first (`indexer`), so that what is read for one search is read for all.

What matches. Texts are compared as words (`documents.words`): case, accents and typography do not count, nor does which
punctuation or space stands between two words. A text that is sought matches where its words stand side by side in one
field, one address, or one text of the body, the first of them as the end of a word, the last as the start of one, those
between as they are: "ompte ren" finds "Compte-rendu". One word alone matches wherever it is a part of a word: "anoram"
finds "panoramique". A text without any letter or digit matches every message. Of a word of more than 100 characters only
the first 100 count, or the last 100 where other words follow it; of a text, the first 100 words.

`header_matching` looks at any field by name. In those that hold identifiers or anything else of programs, characters
are compared, punctuation included.

Bounds: 64 kB of a header; of a message, what `passages` takes of it. Time of a processor, in 100,000 messages: some twenty
milliseconds for a word, up to a hundred for a phrase, a quarter of a second for a part of thousands of words, one second
for the worst phrase of two letters; for a message that is not indexed yet, a third of a millisecond, its header a twentieth.
Memory: some tens of megabytes at most, whatever the account holds.

RFC 9051 §6.4.4 (which allows flexible matching), RFC 8621 §4.4.1.
"""

import atexit
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from enum import StrEnum

import sqlalchemy as sa

from vaguemestre.documents import passages
from vaguemestre.documents.concordance import Concordance
from vaguemestre.documents.encoded_words import decode_words
from vaguemestre.documents.headers import split_head
from vaguemestre.documents.passages import Chapter
from vaguemestre.documents.words import LONGEST, literal, sought
from vaguemestre.mailstore import concordances, messages, reading
from vaguemestre.mailstore.extraction import Extractor
from vaguemestre.mailstore.model import Listed
from vaguemestre.mailstore.tables import mailboxes
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.bulk import Statement


class Field(StrEnum):
    """Where a text is sought. TEXT is all that is searched of a message, BODY all but its header."""

    TEXT = "text"
    BODY = "body"
    SUBJECT = "subject"
    FROM = "from"
    TO = "to"
    CC = "cc"
    BCC = "bcc"


_CHAPTERS: dict[Field, tuple[Chapter, ...]] = {
    Field.TEXT: tuple(chapter for chapter in Chapter if chapter != Chapter.FIELD_NAMES),
    Field.BODY: (Chapter.BODY,),
    **{Field(chapter.name.lower()): (chapter,) for chapter in (Chapter.SUBJECT, *passages.ADDRESSES.values())},
}
_FEW, _FEW_OCTETS = 16, 1_048_576  # contents that are read on the spot without a thought
_FEW_HEADS = 10_000
_FORGOTTEN = Statement("SELECT message_id FROM forgotten WHERE account_id = {value}")
_WAITING = Statement("SELECT message_id, blob_id FROM to_index WHERE account_id = {value} ORDER BY message_id")
_OCTETS = Statement("SELECT coalesce(sum(size), 0) FROM messages WHERE id {among}")
_CONTENTS = Statement("SELECT id, blob_id FROM messages WHERE id {among}")
_PLACES = Statement("SELECT mailbox_id, uid FROM placements WHERE mailbox_id {among} AND message_id {among}")

_ours = Extractor(niceness=5, patience_s=30.0)  # of this process's searches; somebody waits for them
atexit.register(_ours.close)


def matching(
    connection: sa.Connection,
    store: BlobStore,
    account_id: int,
    field: Field,
    text: str,
    message_ids: Container[int] | None = None,
    *,
    extractor: Extractor | None = None,
) -> set[int]:
    """The messages of an account, among `message_ids` where given, that hold a text. Raises StorageFailure."""
    words = [word.encode() for word in sought(text)]
    wanted = _CHAPTERS[field]
    found: set[int] = set()
    for opened, fetch in concordances.opened(connection, store.ring, account_id):
        if words:
            found |= opened.having(fetch, wanted, words)
        else:
            found.update(opened.owners)
    found = _kept(connection, account_id, found, message_ids)
    waiting = _waiting(connection, account_id, message_ids)
    if not words:
        found.update(message_id for message_id, _ in waiting)
    elif Chapter.BODY in wanted:
        for content in reading.read_now(connection, store, extractor or _ours, waiting):
            found |= _having(content, wanted, words)
    else:
        needle = " ".join(sought(text))
        for message_id, head in reading.heads(connection, store, waiting):
            if any(needle in " ".join(each) for each in _passages(connection, message_id, head, wanted)):
                found.add(message_id)
    return found


def behind(
    connection: sa.Connection, account_id: int, message_ids: Iterable[int] | None = None, *, contents: bool = True
) -> bool:
    """Whether a search, of `contents` or of headers only, would have to read much that is not indexed yet."""
    waiting = {message_id for message_id, _ in _WAITING.run(connection, account_id)}
    if message_ids is not None and waiting:
        waiting.intersection_update(message_ids)
    if not contents or len(waiting) > _FEW_HEADS:
        return len(waiting) > _FEW_HEADS
    return len(waiting) > _FEW or (bool(waiting) and _OCTETS.run(connection, [*waiting])[0][0] > _FEW_OCTETS)


def header_matching(
    connection: sa.Connection,
    store: BlobStore,
    account_id: int,
    name: str,
    text: str,
    message_ids: Container[int] | None = None,
) -> set[int]:
    """The messages, among `message_ids` where given, with a field of this name that holds a text; or, for an empty one,
    with such a field at all. Raises StorageFailure."""
    name = name.strip().lower()
    words = [word.encode() for word in sought(text)]
    if words and (name == "subject" or name in passages.ADDRESSES):
        return matching(connection, store, account_id, Field(name), text, message_ids)
    found: set[int] = set()
    for opened, fetch in concordances.opened(connection, store.ring, account_id):
        bearing = opened.bearing(fetch, Chapter.FIELD_NAMES, name[:LONGEST].encode())
        if bearing and words and passages.searched(name):
            bearing &= opened.having(fetch, [Chapter.OTHER_FIELDS], words)
        found |= bearing
    found = _kept(connection, account_id, found, message_ids)
    waiting = _waiting(connection, account_id, message_ids)
    if not text:
        return found | _with_field(connection, store, waiting, name, "")
    return _with_field(connection, store, [*_CONTENTS.run(connection, list(found)), *waiting], name, text)


def listing(
    connection: sa.Connection, account_id: int, message_ids: Collection[int], *, limit: int = 50
) -> list[tuple[str, Listed]]:
    """The newest of these messages, newest first, with the name of the mailbox each stands in; once for each place."""
    newest = sorted(message_ids, reverse=True)[:limit]
    wanted = sa.select(mailboxes.c.id, mailboxes.c.name).where(mailboxes.c.account_id == account_id)
    names = {row.id: row.name for row in connection.execute(wanted)}
    found = [
        (names[mailbox_id], listed)
        for mailbox_id, uid in _PLACES.run(connection, list(names), newest)
        if (listed := messages.find(connection, mailbox_id, uid)) is not None
    ]
    return sorted(found, key=lambda each: each[1].message_id, reverse=True)[:limit]


def _kept(connection: sa.Connection, account_id: int, found: set[int], message_ids: Container[int] | None) -> set[int]:
    """Those of the messages found that still are, and are asked for."""
    if not found:
        return found
    found.difference_update(row[0] for row in _FORGOTTEN.run(connection, account_id))
    if message_ids is None:
        return found
    if isinstance(message_ids, set | frozenset):
        return found & message_ids
    return {message_id for message_id in found if message_id in message_ids}


def _waiting(connection: sa.Connection, account_id: int, message_ids: Container[int] | None) -> list[tuple[int, int]]:
    """The messages, each with its content, that are not indexed yet and are asked for."""
    waiting = _WAITING.run(connection, account_id)
    return waiting if message_ids is None else [each for each in waiting if each[0] in message_ids]


def _having(content: bytes, wanted: Sequence[Chapter], words: Sequence[bytes]) -> set[int]:
    """The messages of a concordance in memory that hold what is sought."""

    def fetch(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [content[start:end] for start, end in ranges]

    return Concordance(fetch).having(fetch, wanted, words)


def _passages(
    connection: sa.Connection, message_id: int, head: bytes | None, wanted: Sequence[Chapter]
) -> Iterator[Sequence[str]]:
    """The passages of some chapters of a message's header; of what is shown of it, where it does not open."""
    if head is None:
        every = passages.of_summary(reading.shown(connection, message_id))
    else:
        every = passages.of_head(head[: split_head(head)], wanted)
    for chapter in wanted:
        yield from every[chapter]


def _with_field(
    connection: sa.Connection, store: BlobStore, contents: Sequence[tuple[int, int]], name: str, text: str
) -> set[int]:
    """The messages, each with its content, whose header has such a field that holds a text; one that does not open has none."""
    needle = literal(text)
    found: set[int] = set()
    for message_id, head in reading.heads(connection, store, contents):
        values = (value for each, value in passages.fields(head[: split_head(head)]) if each == name) if head else ()
        if any(needle in literal(decode_words(value)) for value in values):
            found.add(message_id)
    return found
