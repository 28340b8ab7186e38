"""What a message must have to leave its author's program (RFC 6409 §8), and what must not leave with it.

What holds here: blind copies are named nowhere in what is returned; a message has a date and an identifier; what the author
wrote stays as it was written, octet for octet.

Standards: RFC 6409 §8.2, §8.3; RFC 5322 §3.6.3 (Bcc); RFC 5321 §4.4 (Return-Path is the last server's to write).
"""

from datetime import datetime

from vaguemestre.documents import fields
from vaguemestre.documents.addresses import Mailbox, read_addresses
from vaguemestre.documents.encoded_words import decode_bytes
from vaguemestre.documents.header_fields import read_fields, select_fields

_REMOVED = (b"bcc", b"resent-bcc", b"return-path")
_AUTHORS = frozenset({b"from", b"sender", b"resent-from", b"resent-sender"})
_EXPECTED = frozenset({b"from", b"date", b"message-id"})


def completed(head: bytes, author: Mailbox, date: datetime, message_id: str) -> bytes:
    """A header block, its empty line included, without blind copies, with an author, a date, and a Message-ID (given
    without brackets) where it had none."""
    present = read_fields(head, _EXPECTED)
    added = b"" if any(present.get(b"from", ())) else fields.address_field("From", [author])
    if not any(present.get(b"date", ())):
        added += fields.date_field("Date", date)
    if not any(present.get(b"message-id", ())):
        added += fields.identifiers_field("Message-ID", [message_id])
    return added + select_fields(head, _REMOVED, others=True)


def authors(head: bytes) -> tuple[str, ...]:
    """Every address that a header says the message is from, lower case."""
    found = read_fields(head, _AUTHORS)
    return tuple(
        dict.fromkeys(
            address.lower()
            for name in sorted(found)
            for value in found[name]
            for _, address in read_addresses(decode_bytes(value))
        )
    )
