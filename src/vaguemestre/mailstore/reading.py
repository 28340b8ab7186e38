"""Reading of messages for search: what is taken of a content, and what stands in for one that cannot be read.

What it keeps true: a message that does not open, or whose reader fails, is searched by what lists show of it, and
stops nothing. What may pass, a store that does not answer for a while, raises instead: nobody is told less than there is.

Bound: the first 16 MB of a content; an answer says nothing of what comes after, which is files, encoded.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from vaguemestre import ids, log
from vaguemestre.documents import compilation, passages
from vaguemestre.documents.compilation import Passages
from vaguemestre.documents.headers import HEAD_LIMIT, Summary, split_head
from vaguemestre.mailstore.extraction import Extractor, UnreadableMessageError
from vaguemestre.mailstore.tables import messages
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.sealing import UnsealingFailure

CONTENT_LIMIT = 16 * 1024 * 1024  # read whole, here and in the process that extracts, in a few copies

_decode = msgspec.json.Decoder(Summary).decode
_log = log.get("mailstore.reading")


def concordance(
    connection: sa.Connection, store: BlobStore, extractor: Extractor, message_id: int, blob_id: int
) -> bytes:
    """The concordance of one message. Raises StorageFailure for what may pass."""
    try:
        return extractor.read(message_id, content(connection, store, blob_id))
    except (UnsealingFailure, UnreadableMessageError) as error:
        return set_aside(connection, message_id, type(error).__name__)


def content(connection: sa.Connection, store: BlobStore, blob_id: int) -> bytes:
    """What is read of a content. Raises UnsealingFailure where it does not open, StorageFailure for what may pass."""
    return store.open(connection, blob_id).read_range(0, CONTENT_LIMIT)


def head(connection: sa.Connection, store: BlobStore, blob_id: int) -> bytes:
    """What is read of a header, and what may follow it. Raises as `content`."""
    return store.open(connection, blob_id).read_range(0, HEAD_LIMIT)


def header(connection: sa.Connection, store: BlobStore, message_id: int, blob_id: int) -> Sequence[Passages]:
    """The passages of a message's header. Raises StorageFailure for what may pass."""
    try:
        read = head(connection, store, blob_id)
    except UnsealingFailure:
        return passages.of_summary(_summary(connection, message_id) or Summary())
    return passages.of_head(read[: split_head(read)])


def set_aside(connection: sa.Connection, message_id: int, why: str) -> bytes:
    """The concordance of a message by its summary alone; empty where it is no more."""
    found = _summary(connection, message_id)
    if found is not None:
        _log.warning("message set aside", message=ids.to_text(message_id), why=why)
    return compilation.build([(message_id, passages.of_summary(found or Summary()))])


def _summary(connection: sa.Connection, message_id: int) -> Summary | None:
    row = connection.execute(sa.select(messages.c.summary).where(messages.c.id == message_id)).one_or_none()
    return _decode(row.summary) if row is not None else None
