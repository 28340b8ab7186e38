"""Reading of messages for search: what is taken of contents, and what stands in for one that cannot be read.

What it keeps true: a message that does not open, or whose reader fails, is searched by what lists show of it, and
stops nothing. What may pass, a store that does not answer for a while, is said: nobody is told less than there is.

Bounds: small contents are handed over together, up to TOGETHER octets; of one larger than SMALL, only the ranges that its
reader asks for, one at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from vaguemestre import ids, log
from vaguemestre.documents import compilation, passages
from vaguemestre.documents.headers import HEAD_LIMIT, Summary
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore.extraction import ExtractionFailure, Extractor, UnreadableMessageError
from vaguemestre.mailstore.tables import messages
from vaguemestre.storage.blobs import BlobReader, BlobStore
from vaguemestre.storage.sealing import UnsealingFailure

SMALL = 1_048_576
TOGETHER = 2 * SMALL

_STEP = 256  # contents opened at once

_decode = msgspec.json.Decoder(Summary).decode
_log = log.get("mailstore.reading")


class Read(NamedTuple):
    """The concordance of some messages; or why there is none of this one."""

    message_ids: list[int]
    content: bytes
    failure: StorageFailure | UnreadableMessageError | None = None


def read(extractor: Extractor, contents: Sequence[tuple[int, int]], opened: Mapping[int, BlobReader]) -> Iterator[Read]:
    """The concordances of messages, given each's identifier and content's; small ones share one. A content that is not
    `opened` does not open. Raises ExtractionFailure."""
    together: list[tuple[int, bytes]] = []
    octets = 0
    for message_id, blob_id in contents:
        blob = opened.get(blob_id)
        if blob is not None and blob.size > SMALL:
            yield _by_parts(extractor, message_id, blob)
            continue
        try:
            if blob is None:
                raise UnsealingFailure
            together.append((message_id, blob.read()))
            octets += blob.size
        except StorageFailure as error:
            yield Read([message_id], b"", error)
            continue
        if octets >= TOGETHER:
            yield from _together(extractor, together)
            together, octets = [], 0
    yield from _together(extractor, together)


def read_now(
    connection: sa.Connection, store: BlobStore, extractor: Extractor, contents: Sequence[tuple[int, int]]
) -> Iterator[bytes]:
    """`read` of whatever number of messages, each in one concordance. Raises StorageFailure for what may pass."""
    for start in range(0, len(contents), _STEP):
        some = contents[start : start + _STEP]
        for message_ids, content, failure in read(
            extractor, some, store.open_all(connection, [each for _, each in some])
        ):
            if isinstance(failure, UnsealingFailure | UnreadableMessageError):
                yield set_aside(connection, message_ids[0], type(failure).__name__)
            elif failure is not None:
                raise failure
            else:
                yield content


def heads(
    connection: sa.Connection, store: BlobStore, contents: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, bytes | None]]:
    """What is read of each message's header, and what may follow it; None where it does not open. Raises StorageFailure."""
    for start in range(0, len(contents), _STEP):
        some = contents[start : start + _STEP]
        opened = store.open_all(connection, [blob_id for _, blob_id in some])
        for message_id, blob_id in some:
            try:
                yield message_id, opened[blob_id].read_range(0, HEAD_LIMIT) if blob_id in opened else None
            except UnsealingFailure:
                yield message_id, None


def shown(connection: sa.Connection, message_id: int) -> Summary:
    """What lists show of a message; nothing where it is no more."""
    return _summary(connection, message_id) or Summary()


def set_aside(connection: sa.Connection, message_id: int, why: str) -> bytes:
    """The concordance of a message by its summary alone; empty where it is no more."""
    found = _summary(connection, message_id)
    if found is not None:
        _log.warning("message set aside", message=ids.to_text(message_id), why=why)
    return compilation.build([(message_id, passages.of_summary(found or Summary()))])


def _together(extractor: Extractor, contents: Sequence[tuple[int, bytes]]) -> Iterator[Read]:
    if len(contents) > 1:
        try:
            yield Read([message_id for message_id, _ in contents], extractor.read_together(contents))
        except UnreadableMessageError:  # one of them; which, is seen when each is read alone
            pass
        else:
            return
    for message_id, content in contents:
        try:
            yield Read([message_id], extractor.read(message_id, content))
        except UnreadableMessageError as error:
            yield Read([message_id], b"", error)


def _by_parts(extractor: Extractor, message_id: int, blob: BlobReader) -> Read:
    try:
        found = extractor.read_by_parts(message_id, blob.size, lambda start, end: blob.read_range(start, end - start))
        return Read([message_id], found)
    except ExtractionFailure:
        raise
    except (StorageFailure, UnreadableMessageError) as error:
        return Read([message_id], b"", error)


def _summary(connection: sa.Connection, message_id: int) -> Summary | None:
    row = connection.execute(sa.select(messages.c.summary).where(messages.c.id == message_id)).one_or_none()
    return _decode(row.summary) if row is not None else None
