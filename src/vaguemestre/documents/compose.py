"""A message made from what a person or a program says: who, to whom, about what, with which files.

What holds here: the result is a whole RFC 5322 message, 7-bit (UTF-8 in its header only where an address is not ASCII),
lines of at most 998 bytes that end with CRLF, with Date, Message-ID and MIME-Version.

RFC 5322 §3.6, RFC 2045, RFC 2046 §5.1.3.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vaguemestre.documents import fields, parts
from vaguemestre.documents.addresses import Mailbox


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file: its name, its bytes, and its media type, guessed by the name when empty."""

    name: str
    content: bytes
    media_type: str = ""


def compose(
    *,
    author: Mailbox,
    to: Sequence[Mailbox],
    subject: str,
    text: str,
    at: datetime,
    cc: Sequence[Mailbox] = (),
    attachments: Sequence[Attachment] = (),
    message_id: str = "",
    in_reply_to: Sequence[str] = (),
    references: Sequence[str] = (),
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The message, dated `at` (aware). Message-IDs are without angle brackets; one is made when none is given.

    `extra` are more fields of text, for example `("X-MSS-NIL", "…")`. Raises CompositionError.
    """
    head = [
        fields.date_field("Date", at),
        fields.address_field("From", [author]),
        fields.address_field("To", to) if to else b"",
        fields.address_field("Cc", cc) if cc else b"",
        fields.text_field("Subject", subject),
        fields.identifiers_field("Message-ID", [message_id or new_message_id(author[1].rpartition("@")[2])]),
        fields.identifiers_field("In-Reply-To", in_reply_to) if in_reply_to else b"",
        fields.identifiers_field("References", references) if references else b"",
        *(fields.text_field(name, value) for name, value in extra),
        b"MIME-Version: 1.0\r\n",
    ]
    body = parts.text_part(text)
    if attachments:
        files = [parts.attachment_part(file.name, file.content, file.media_type) for file in attachments]
        body = parts.multipart("multipart/mixed", [body, *files])
    return b"".join([*head, body])


def new_message_id(domain: str) -> str:
    """A Message-ID that nobody else makes, without angle brackets; `domain` is ours."""
    return f"{secrets.token_hex(16)}@{domain.encode('idna').decode('ascii') if not domain.isascii() else domain}"
