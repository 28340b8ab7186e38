"""IMAP URLs of CATENATE: a message, or a part of one, of the same account (RFC 5092, RFC 4469 §3).

Only relative URLs are taken: `/INBOX;UIDVALIDITY=38/;UID=5/;SECTION=1.2`, or `;UID=5` in the mailbox at hand.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

import sqlalchemy as sa

from vaguemestre.errors import VaguemestreError
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import changes, mailboxes, structures
from vaguemestre.mailstore.model import UnknownMailboxError
from vaguemestre.protocols.imap import response_codes
from vaguemestre.protocols.imap.fetch_items import Section, SectionText
from vaguemestre.servers.imap import contents
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.storage.blobs import BlobStore

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Session

_URL = re.compile(
    r"(?:/(?P<mailbox>[^;]*?)(?:;UIDVALIDITY=(?P<validity>\d{1,10}))?/)?;UID=(?P<uid>\d{1,10})"
    r"(?:/;SECTION=(?P<section>[^;/]+))?(?:/;PARTIAL=(?P<start>\d{1,10})(?:\.(?P<length>\d{1,10}))?)?",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"(?P<part>\d+(?:\.\d+)*)?\.?(?P<text>HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)?(?: \((?P<fields>[^)]*)\))?",
    re.IGNORECASE,
)
_CHUNK = 262_144


class Referred:
    """What a URL refers to."""

    def __init__(self, size: int, read: "Iterator[bytes]") -> None:
        self.size = size
        self._read = read

    def chunks(self) -> "Iterator[bytes]":
        """Its octets."""
        return self._read


async def find(session: "Session", url: str) -> Referred:
    """What a URL refers to. Raises AnswerError with BADURL."""
    session.may(Rights.READ)
    wanted = _URL.fullmatch(url)
    if wanted is None or (wanted["mailbox"] is None and session.selected is None):
        raise _bad(url)
    try:
        return await session.service.database.read_async(
            _find,
            session.service.blobs,
            session.account().account.id,
            session.selected.name if session.selected is not None else "",
            wanted,
        )
    except VaguemestreError as error:
        raise _bad(url) from error


def _find(connection: sa.Connection, store: BlobStore, account_id: int, here: str, wanted: "re.Match[str]") -> Referred:
    name = unquote(wanted["mailbox"]) if wanted["mailbox"] is not None else here
    mailbox = mailboxes.named(connection, account_id, name)
    if wanted["validity"] is not None and int(wanted["validity"]) != mailbox.uid_validity:
        raise UnknownMailboxError(name)
    found = changes.find(connection, mailbox.id, [int(wanted["uid"])])
    if not found:
        raise UnknownMailboxError(name)
    blob_id = found[0].blob_id
    reader = store.open(connection, blob_id)
    structure = structures.get(connection, store, [blob_id])[0].get(blob_id)
    section = _SECTION.fullmatch(unquote(wanted["section"] or ""))
    if section is None or structure is None:
        raise UnknownMailboxError(name)
    path = tuple(int(number) for number in section["part"].split(".")) if section["part"] else ()
    text = SectionText((section["text"] or "").upper().encode())
    item = Section(b"", path, text, tuple((section["fields"] or "").split()))
    place = contents.locate(structure, item)
    if place is None:
        raise UnknownMailboxError(name)
    if item.fields:
        data = contents.fields(item, reader.read_range(place[0], place[1] - place[0]))
        return Referred(len(data), iter([data]))
    start, end = place
    if wanted["start"] is not None:
        start = min(start + int(wanted["start"]), end)
        if wanted["length"] is not None:
            end = min(start + int(wanted["length"]), end)
    return Referred(
        end - start,
        (reader.read_range(at, min(_CHUNK, end - at)) for at in range(start, end, _CHUNK)),
    )


def _bad(url: str) -> AnswerError:
    code = response_codes.bad_url(url.encode("ascii", "replace").decode()[:200])
    return AnswerError("NO", code, "This URL names no message here.", "Cette URL ne désigne aucun message ici.")
