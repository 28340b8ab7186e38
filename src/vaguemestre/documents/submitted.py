"""What a message must have to leave its author's program (RFC 6409 §8), and what must not leave with it.

What holds here: blind copies are named nowhere in what is returned, however they were folded; a message has one author
field, a date and an identifier; nobody but us says who wrote for a shared mailbox; all else stays as it was written, octet
for octet, 8-bit or not. Nothing raises and the time is linear in the size.

Standards: RFC 6409 §8.2, §8.3; RFC 5322 §3.6.3 (Bcc), §3.6.6 (Resent-Bcc); RFC 5321 §4.4 (Return-Path is the last
server's to write).
"""

import re
from datetime import datetime

from vaguemestre.documents import fields
from vaguemestre.documents.addresses import Mailbox, read_addresses
from vaguemestre.documents.encoded_words import decode_bytes
from vaguemestre.documents.header_fields import read_fields, select_fields

SENT_BY = "X-Sent-By"
"""The field of a copy that says who wrote for a shared mailbox."""
_REMOVED = (b"bcc", b"resent-bcc", b"return-path", SENT_BY.lower().encode())
_AUTHORS = frozenset({b"from", b"sender", b"resent-from", b"resent-sender"})
_EXPECTED = frozenset({b"from", b"date", b"message-id"})
_FIELD = re.compile(
    rb"[!-9;-~]++[ \t]*+:"
)  # a name with spaces before its colon is obsolete, and a name (RFC 5322 §4.5)


def malformed(head: bytes) -> bool:
    """Whether some line of a header block is neither a field nor folded from one, so that readers would not agree on
    where the header ends, nor on what it says."""
    folding = False
    for line in head.split(b"\n"):
        if line in (b"", b"\r"):
            return False
        if line[:1] in (b" ", b"\t"):
            if not folding:
                return True
        elif _FIELD.match(line) is None:
            return True
        folding = True
    return False


def completed(head: bytes, author: Mailbox, date: datetime, message_id: str) -> bytes:
    """A header block, its empty line included, without blind copies, with an author, a date, and a Message-ID (given
    without brackets) where it had none, or an empty one."""
    present = read_fields(head, _EXPECTED)
    missing = [name for name in _EXPECTED if not any(present.get(name, ()))]
    added = b""
    if b"from" in missing:
        added += fields.address_field("From", [author])
    if b"date" in missing:
        added += fields.date_field("Date", date)
    if b"message-id" in missing:
        added += fields.identifiers_field("Message-ID", [message_id])
    return added + select_fields(head, (*_REMOVED, *missing), others=True)


def authors(head: bytes) -> tuple[str, ...]:
    """Every address that a header says the message is from, lower case; an empty one for a field that names none."""
    found = read_fields(head, _AUTHORS)
    return tuple(
        dict.fromkeys(
            address.lower() if "@" in address else ""
            for name in sorted(found)
            for value in found[name]
            if value
            for _, address in read_addresses(decode_bytes(value)) or (("", ""),)
        )
    )
