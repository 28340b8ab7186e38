"""Passages: what is searched of a message, as words, by chapter: its addresses, its subject, other fields, its text.

What holds here: no bytes make these functions raise, but for what a PDF does to the library that reads it; their time
grows as the size of what they are given, and what they give is bounded.

Rules: of a field that comes several times, each counts. Addresses are searched as people see them, decoded, a name
before its address; and, where that differs, as the field has them, so that groups and comments are found too. Names of
fields are kept apart, each whole: otherwise whoever looks for "message" or "date" would find every message. What
machines sign, in fields of their own, is not searched: it is noise, and would be most of the words.

The body is all its texts, attached ones and embedded messages too, the names of what is attached, and the text of PDFs.
Of alternatives, one that has no word which those before it lack is passed over.

RFC 9051 §6.4.4.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum
from io import BytesIO

from vaguemestre.documents.addresses import Mailbox, read_addresses
from vaguemestre.documents.compilation import Passages
from vaguemestre.documents.concordance import CHAPTERS
from vaguemestre.documents.encoded_words import decode_bytes, decode_words, printable
from vaguemestre.documents.headers import HEAD_LIMIT, Summary, split_head
from vaguemestre.documents.mime import Scanner, read_message
from vaguemestre.documents.structure import Part
from vaguemestre.documents.text import Read, attachment_name, part_text
from vaguemestre.documents.transfer_encodings import UnknownEncodingError, decoder
from vaguemestre.documents.words import LONGEST, words

TEXT_LIMIT = 1_048_576
"""Of one text, attached or not, as many characters are searched."""

PDF_LIMIT = 64 * 1024 * 1024
"""A PDF that takes more octets in the message is not read. It is of no use by parts: what is needed first stands at its end."""

WINDOW = 262_144
"""A content that comes as a stream is asked for by so many octets."""

_MOST_TEXT = 8 * TEXT_LIMIT  # of one message


class Chapter(IntEnum):
    """The parts of a message that are searched apart."""

    SUBJECT = 0
    FROM = 1
    TO = 2
    CC = 3
    BCC = 4
    OTHER_FIELDS = 5
    FIELD_NAMES = 6
    BODY = 7


ADDRESSES = {"from": Chapter.FROM, "to": Chapter.TO, "cc": Chapter.CC, "bcc": Chapter.BCC}

_PDF = frozenset({"application/pdf", "application/x-pdf"})
_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"[^"]*"|[^\s;"]+)""", re.IGNORECASE)
_SIGNATURES = (
    *("arc-", "autocrypt", "dkim-", "domainkey-", "face", "openpgp", "x-face", "x-gm-", "x-google-"),
    *("x-microsoft-antispam", "x-ms-exchange-", "x-ms-publictraffictype"),
)


def fields(head: bytes) -> list[tuple[str, str]]:
    """Every field of a header block: its name in lower case, its value unfolded and printable, in characters.

    Encoded words stay: addresses are read before they are decoded.
    """
    text = head[:HEAD_LIMIT].decode("latin-1").replace("\r\n", "\n")
    found: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith((" ", "\t")):
            if found:
                found[-1][1].append(line)
        elif not line:
            break
        else:
            name, colon, value = line.partition(":")
            found.append((name.rstrip().lower() if colon else "", [value]))
    return [(name, _unfolded(parts)) for name, parts in found if name]


def of_head(head: bytes, wanted: Collection[Chapter] = frozenset(Chapter)) -> list[Passages]:
    """The passages of a message's header block, by chapter; its body's, and those not wanted, are empty."""
    passages: list[list[Sequence[str]]] = [[] for _ in range(CHAPTERS)]
    names: dict[str, None] = {}
    for name, value in fields(head):
        names[name[:LONGEST]] = None
        if name == "subject":
            if Chapter.SUBJECT in wanted:
                passages[Chapter.SUBJECT].append(words(decode_words(value)))
        elif name in ADDRESSES:
            if ADDRESSES[name] in wanted:
                passages[ADDRESSES[name]] += _of_addresses(read_addresses(value), value)
        elif Chapter.OTHER_FIELDS in wanted and searched(name):
            passages[Chapter.OTHER_FIELDS].append(words(decode_words(_BOUNDARY.sub("", value))))
    passages[Chapter.FIELD_NAMES] = [[name] for name in names]
    return [*passages]


def of_summary(summary: Summary) -> list[Passages]:
    """The passages that a summary alone gives, for a message that cannot be read."""
    passages: list[Passages] = [[] for _ in range(CHAPTERS)]
    passages[Chapter.SUBJECT] = [words(summary.subject)]
    for name, chapter in ADDRESSES.items():
        passages[chapter] = _of_addresses(getattr(summary, "from_" if name == "from" else name))
    others = [summary.message_id, *summary.in_reply_to, *summary.references]
    others += [" ".join(mailbox) for mailbox in (*summary.reply_to, *summary.sender)]
    passages[Chapter.OTHER_FIELDS] = [words(text) for text in others]
    return passages


def of_content(content: bytes, *, with_attachments: bool = True) -> list[Passages]:
    """The passages of a whole message; `with_attachments` the text of PDFs too."""
    return _of_parts(
        read_message(content).part, lambda start, end: content[start:end], with_attachments=with_attachments
    )


def of_stream(size: int, read: Read, *, with_attachments: bool = True) -> list[Passages]:
    """The passages of a message of any size, `of_content` without having it whole: `read` is asked for all of it once, by
    the window, then for what is searched of it."""
    scanner = Scanner()
    for start in range(0, size, WINDOW):
        scanner.feed(read(start, min(start + WINDOW, size)))
    return _of_parts(scanner.finish().part, read, with_attachments=with_attachments)


def _of_parts(root: Part, read: Read, *, with_attachments: bool) -> list[Passages]:
    head = read(0, min(root.end, HEAD_LIMIT))
    found = of_head(head[: split_head(head)])
    found[Chapter.BODY] = body = list[Sequence[str]]()
    found[Chapter.OTHER_FIELDS] = fields_of_parts = [*found[Chapter.OTHER_FIELDS]]
    left = _MOST_TEXT
    for part, said in _walk(root):
        if part is not root:
            fields_of_parts += _of_part_head(_head(part, read))
        if name := attachment_name(part):
            body.append(words(name))
        text = _text(read, part, min(left, TEXT_LIMIT), with_attachments)
        left -= len(text)
        each = words(text)
        if each and not said.issuperset(each):
            said.update(each)
            body.append(each)
        if part.message is not None:
            body += _of_embedded(_head(part.message.part, read))
    return found


def _head(part: Part, read: Read) -> bytes:
    return read(part.start, min(part.body, part.start + HEAD_LIMIT))


def searched(name: str) -> bool:
    """Whether the values of the fields with this name, in lower case, are searched with all others."""
    return not name.startswith(_SIGNATURES)


def _of_addresses(mailboxes: Sequence[Mailbox], written: str = "") -> list[Sequence[str]]:
    found: list[Sequence[str]] = [words(f"{name} {address}") for name, address in mailboxes]
    as_written = words(decode_words(written))
    if as_written and as_written != [word for each in found for word in each]:
        found.append(as_written)
    return found


def _unfolded(parts: Sequence[str]) -> str:
    value = parts[0] if len(parts) == 1 else "".join(parts)
    if not value.isascii():
        value = decode_bytes(value.encode("latin-1"))
    return printable(value).strip()


def _walk(root: Part) -> Iterator[tuple[Part, set[str]]]:
    """The parts of a message, each with the words that its alternatives before it have said, to be added to."""
    waiting: list[tuple[Part, set[str]]] = [(root, set())]
    while waiting:
        part, said = waiting.pop()
        yield part, said
        if part.message is not None:
            waiting.append((part.message.part, set()))
        shared = said if part.media_type == "multipart/related" else set[str]()
        alternative = part.media_type in ("multipart/alternative", "multipart/related")
        waiting += [(each, shared if alternative else set()) for each in reversed(part.parts)]


def _text(read: Read, part: Part, limit: int, with_attachments: bool) -> str:
    """The text of a part that has one; empty for others."""
    if part.type.lower() == b"text":
        return part_text(part, read, limit)
    if with_attachments and limit > 0 and part.octets <= PDF_LIMIT and _is_pdf(part):
        from vaguemestre.documents.pdf_text import pdf_text  # noqa: PLC0415 - a large library, only where it is used

        try:
            return pdf_text(_decoded(read, part), limit=limit)
        except UnknownEncodingError:
            return ""
    return ""


def _decoded(read: Read, part: Part) -> BytesIO:
    """The body of a part, decoded as it comes: it is held once."""
    undo = decoder(part.encoding)
    whole = BytesIO()
    for start in range(part.body, part.end, WINDOW):
        whole.write(undo.decode(read(start, min(start + WINDOW, part.end))))
    whole.write(undo.finish())
    return whole


def _is_pdf(part: Part) -> bool:
    """Whether a part says that it is a PDF, by its type or its name: much software knows no type but octets."""
    return part.media_type in _PDF or (not part.parts and attachment_name(part).lower().endswith(".pdf"))


def _of_part_head(head: bytes) -> list[Sequence[str]]:
    values = (_BOUNDARY.sub("", value) for name, value in fields(head) if searched(name))
    return [each for value in values if (each := words(decode_words(value)))]


def _of_embedded(head: bytes) -> list[Sequence[str]]:
    """What people read of the header of a message within the message."""
    shown = (value for name, value in fields(head) if name == "subject" or name in ADDRESSES)
    return [each for value in shown if (each := words(decode_words(value)))]
