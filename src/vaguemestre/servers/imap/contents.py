"""Contents as FETCH answers them: envelopes, structures, sections, read from the store and spelled.

What it keeps true: one content that cannot be read hides no other: its answer is NIL. Functions here run where the store is
read, a thread perhaps, and know no session.
Standards: RFC 9051 §6.4.5, §7.5.2; RFC 3501; RFC 3516; RFC 8970.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre import log
from vaguemestre.documents import sections, transfer_encodings
from vaguemestre.documents.header_fields import select_fields
from vaguemestre.documents.structure import Message, Structure
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore import structures
from vaguemestre.protocols.imap import values
from vaguemestre.protocols.imap.fetch_items import Attribute, Binary, BinarySize, Item, Preview, Section, SectionText
from vaguemestre.servers.imap import bodystructure
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.storage.blobs import BlobReader, BlobStore

_log = log.get("servers.imap.contents")
_TEXTS = {
    SectionText.ALL: sections.Text.BODY,
    SectionText.HEADER: sections.Text.HEADER,
    SectionText.FIELDS: sections.Text.HEADER,
    SectionText.FIELDS_NOT: sections.Text.HEADER,
    SectionText.TEXT: sections.Text.TEXT,
    SectionText.MIME: sections.Text.MIME,
}


def key(item: Item) -> bytes:
    """What tells an item from all others: the label says all but how many octets of a section are wanted."""
    if isinstance(item, Attribute):
        return item.value
    partial = item.partial if isinstance(item, Section | Binary) else None
    return item.label if partial is None else b"%b %d" % (item.label, partial[1])


def read(
    connection: sa.Connection, store: BlobStore, blob_ids: Sequence[int], items: Sequence[Item]
) -> tuple[dict[int, list[bytes]], dict[int, bytes]]:
    """What is stored of messages, as it is answered, by content, none for one expunged this moment; structures not kept yet."""
    found, computed = structures.get(connection, store, [] if all(map(_is_whole, items)) else blob_ids)
    needed = any(isinstance(item, Section | Binary | BinarySize) for item in items)
    readers = store.open_all(connection, blob_ids) if needed else {}
    missing = [blob_id for blob_id in blob_ids if blob_id not in found and blob_id not in readers]
    gone = set(missing) - store.known(connection, missing) if missing else set()
    return {
        blob_id: [text(item, found.get(blob_id), readers.get(blob_id)) for item in items]
        for blob_id in blob_ids
        if blob_id not in gone
    }, computed


def text(item: Item, structure: Structure | None, reader: BlobReader | None) -> bytes:
    """An item's answer, label included; NIL where the message is there and its content is not."""
    label = item.value if isinstance(item, Attribute) else item.label
    if structure is None and not _is_whole(item):
        return label + (b' ""' if label == b"PREVIEW" else b" NIL")
    match item:
        case Attribute.ENVELOPE if structure is not None:
            return b"ENVELOPE " + bodystructure.envelope(structure)
        case Attribute.BODY if structure is not None:
            return b"BODY " + bodystructure.body(structure.part)
        case Attribute.BODYSTRUCTURE if structure is not None:
            return b"BODYSTRUCTURE " + bodystructure.bodystructure(structure.part)
        case Preview() if structure is not None:
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


def open_one(
    connection: sa.Connection, store: BlobStore, blob_id: int
) -> tuple[tuple[Structure | None, BlobReader | None], dict[int, bytes]]:
    """The structure and the reader of a content, each None where it does not open; the structure if it is not kept yet."""
    found, computed = structures.get(connection, store, [blob_id])
    return (found.get(blob_id), store.open_all(connection, [blob_id]).get(blob_id)), computed


def locate(message: Message, item: Section) -> tuple[int, int] | None:
    """The octets of a section; of HEADER.FIELDS, those of the header."""
    return sections.locate(message.part, item.part, _TEXTS[item.text])


def fields(item: Section, head: bytes) -> bytes:
    """What HEADER.FIELDS and HEADER.FIELDS.NOT take of a header."""
    names = [name.encode() for name in item.fields]
    return select_fields(head, names, others=item.text is SectionText.FIELDS_NOT)


def window(place: tuple[int, int], partial: tuple[int, int] | None) -> tuple[int, int]:
    """The octets of a section that are wanted."""
    start, end = place
    return (start, end) if partial is None else (min(start + partial[0], end), min(start + sum(partial), end))


def _is_whole(item: Item) -> bool:
    """Whether the octets are those of the whole content, whatever its structure."""
    return isinstance(item, Section) and item.text is SectionText.ALL and not item.part


def _content(item: Item, message: Message | None, reader: BlobReader) -> bytes:
    """The octets of a section, as a literal; NIL where the message has no such section."""
    if message is None:
        assert isinstance(item, Section)  # noqa: S101 - it is whole
        start, end = window((0, reader.size), item.partial)
        return values.literal(reader.read_range(start, end - start))
    if isinstance(item, Section):
        place = locate(message, item)
        if place is None:
            return b"NIL"
        if item.fields:
            return values.literal(_cut(fields(item, reader.read_range(place[0], place[1] - place[0])), item.partial))
        start, end = window(place, item.partial)
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


def _cut(data: bytes, partial: tuple[int, int] | None) -> bytes:
    return data if partial is None else data[partial[0] : partial[0] + partial[1]]
