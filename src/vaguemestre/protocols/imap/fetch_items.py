"""What FETCH can be asked for, as values.

What stays true: an item knows the label that its answer carries (`BODY[HEADER.FIELDS (DATE)]<0>`), so that a session
never spells one; macros are spelled out; items appear in the order they were asked, each once.

RFC 9051 §6.4.5 and §7.5.2; RFC 3501 §6.4.5 (RFC822…); RFC 3516 (BINARY); RFC 7162 (MODSEQ); RFC 8474 (EMAILID,
THREADID); RFC 8514 (SAVEDATE); RFC 8970 (PREVIEW).
"""

from enum import Enum

import msgspec


class Attribute(Enum):
    """An item without arguments; the value is its label."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    """BODYSTRUCTURE without extension data."""
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"
    EMAILID = b"EMAILID"
    THREADID = b"THREADID"
    SAVEDATE = b"SAVEDATE"


class SectionText(Enum):
    """What is wanted of a part."""

    ALL = b""
    """The whole message, or the part's content without its MIME header."""
    HEADER = b"HEADER"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


class Section(msgspec.Struct, frozen=True):
    """BODY[…], BODY.PEEK[…], and RFC822, RFC822.HEADER, RFC822.TEXT, which ask for the same under another label.

    `part` is the path of part numbers, empty for the message; `fields` are the names of FIELDS and FIELDS_NOT as sent;
    `partial` is (first octet, octets at most); `peek`: does not set \\Seen. FIELDS and FIELDS_NOT with a part, HEADER and
    TEXT with a part are of the message/rfc822 that the part is.
    """

    label: bytes
    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[str, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False


class Binary(msgspec.Struct, frozen=True):
    """BINARY[part] and BINARY.PEEK[part]: the part's content with its transfer encoding undone."""

    label: bytes
    part: tuple[int, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False


class BinarySize(msgspec.Struct, frozen=True):
    """BINARY.SIZE[part]: how many octets Binary would give."""

    label: bytes
    part: tuple[int, ...] = ()


class Preview(msgspec.Struct, frozen=True):
    """PREVIEW; `lazy`: only if it costs nothing."""

    lazy: bool = False

    @property
    def label(self) -> bytes:
        """What the answer carries, lazy or not."""
        return b"PREVIEW"


Item = Attribute | Section | Binary | BinarySize | Preview
