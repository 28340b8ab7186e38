"""What a message says, for people and for search: its text, a preview, its attachments; and its whole structure.

What holds here: no bytes make these functions raise; the time is linear in what is read, which is bounded; what they
give is text without control characters other than line ends and tabs, never mark-up that something could run.

Rules: of alternatives the plain text is taken, where there is one with words in it; HTML is made text. A charset that is
unknown, or plainly not the one named, is read as UTF-8, else Windows-1252. A preview leaves out what its author quoted,
unless nothing else is there. What only serves to show the text, or to sign it, is no attachment.

RFC 2046 §5.1.4, RFC 8970 (PREVIEW), RFC 8621 §4.1.4.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from vaguemestre.documents import sections
from vaguemestre.documents.content_fields import decoded_parameter
from vaguemestre.documents.encoded_words import decode_bytes, decode_words, printable
from vaguemestre.documents.html_text import html_text
from vaguemestre.documents.structure import Message, Part, Structure
from vaguemestre.documents.transfer_encodings import UnknownEncodingError, decode

Read = Callable[[int, int], bytes]
"""Gives octets [start, end) of the content."""

TEXT_LIMIT = 1_048_576
PREVIEW_LIMIT = 200

_RAW_LIMIT = 4 * TEXT_LIMIT  # an octet or more each character, and mark-up, in base64
_PREVIEW_RAW_LIMIT = 262_144
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
_INVISIBLE = re.compile(r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f]+")
_SPACE = re.compile(r"\s+")
_QUOTED_LINE = re.compile(r"\s*+[>|]")
_FORWARD_LINE = re.compile(
    r"[ >]*+(?:-{2,}|_{5,})\s*+(?:(?:Original|Forwarded) message|Message (?:d.origine|original|transf[ée]r[ée]))?\s*+-*+\s*+\Z",
    re.IGNORECASE,
)
_READABLE = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext"})
_NOT_ATTACHED = frozenset(
    {
        "application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature",
        "message/delivery-status", "message/disposition-notification", "text/rfc822-headers",
    }
)  # fmt: skip


class Attachment(msgspec.Struct, frozen=True, gc=False):
    """A part that people would save. `number` is its IMAP part number; `name` is empty where it has none; `size` is that
    of the decoded octets, within some percents."""

    number: str
    name: str
    media_type: str
    size: int


def read_structure(message: Message, read: Read) -> Structure:
    """The structure with its preview."""
    root = message.part
    return Structure(message.envelope, root, preview(root, read), any(True for _ in _attached(root)))


def message_text(root: Part, read: Read, limit: int = TEXT_LIMIT) -> str:
    """All text of a message, attached texts and embedded messages too; an empty line between two."""
    texts: list[str] = []
    length = 0
    for part in _texts(root, read):
        if length >= limit:
            break
        text = part if isinstance(part, str) else part_text(part, read, limit - length)
        if text:
            texts.append(text[: limit - length])
            length += len(text) + 2
    return "\n\n".join(texts)


def part_text(part: Part, read: Read, limit: int = TEXT_LIMIT) -> str:
    """The text of one text part; about `limit` characters of it at most."""
    raw = read(part.body, min(part.end, part.body + min(_RAW_LIMIT, 8 * limit + _PREVIEW_RAW_LIMIT)))
    try:
        raw = decode(part.encoding, raw)
    except UnknownEncodingError:
        return ""
    text = decode_text(raw, decoded_parameter(part.parameters, b"charset"))
    text = html_text(text, limit) if part.subtype.lower() == b"html" else text
    return _CONTROL.sub(" ", text.replace("\r\n", "\n")[:limit]).strip()


def decode_text(raw: bytes, charset: str) -> str:
    """Octets said to be in `charset` as characters, or in what they rather are."""
    if raw.isascii() and not charset.lower().startswith(("utf-16", "utf-7", "iso-2022", "hz")):
        return raw.decode("ascii")
    name = charset.strip().lower()
    if name in ("us-ascii", "ascii", "ansi_x3.4-1968"):
        name = ""
    if name in ("utf-8", "utf8"):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            if raw.decode("utf-8", "ignore").isascii():  # not one character of UTF-8: it is in something else
                return raw.decode("cp1252", "replace")
    return decode_bytes(raw, name)


def preview(root: Part, read: Read) -> str:
    """The first words of a message, on one line, at most 200 characters; empty where it has no text."""
    for part in _texts(root, read, attached=False):
        if isinstance(part, str):
            continue
        text = _INVISIBLE.sub("", part_text(part, read, 16 * PREVIEW_LIMIT))
        words = " ".join(_said(text)) or text
        line = _SPACE.sub(" ", words).strip()
        if line:
            return line[:PREVIEW_LIMIT].strip()
    return ""


def attachments(root: Part) -> list[Attachment]:
    """What a person would say is attached, in the order of the content."""
    numbers = {id(part): number for number, part in sections.numbered(root)}
    return [
        Attachment(numbers.get(id(part), ""), attachment_name(part), part.media_type, _decoded_size(part))
        for part in _attached(root)
    ]


def attachment_name(part: Part) -> str:
    """The file name that a part bears, decoded and without folders; that of an embedded message is its subject."""
    name = decoded_parameter(part.disposition.parameters, b"filename") if part.disposition else ""
    name = name or decoded_parameter(part.parameters, b"name")
    if not name and part.message is not None and part.message.envelope.subject:
        name = _decoded(part.message.envelope.subject)[:200] + ".eml"
    return name.replace("\\", "/").rsplit("/", 1)[-1].strip()


def _said(text: str) -> Iterator[str]:
    """The lines that the author wrote, up to a signature or a message that follows."""
    lines = text.split("\n")
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.rstrip("\r") in ("-- ", "--") or _FORWARD_LINE.match(line):
            return
        introduces = line.rstrip().endswith(":") and _QUOTED_LINE.match(after)
        if not introduces and not _QUOTED_LINE.match(line):
            yield line


def _texts(root: Part, read: Read, *, attached: bool = True) -> Iterator[Part | str]:
    """Parts whose text is the message's, in order, and the subjects of embedded messages."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.message is not None:
            if attached or part is root:
                waiting.append(part.message.part)
                yield _decoded(part.message.envelope.subject or b"")
        elif part.media_type == "multipart/alternative":
            waiting.append(_best(part, read))
        elif part.parts:
            waiting += reversed(part.parts)
        elif part.type.lower() == b"text" and (attached or not _says_attached(part)):
            yield part


def _best(alternative: Part, read: Read) -> Part:
    """Of alternatives the plain text, if it says anything; else the last that is, or has, a text."""
    for part in alternative.parts:
        if part.media_type == "text/plain" and part_text(part, read, PREVIEW_LIMIT):
            return part
    for part in reversed(alternative.parts):
        if any(each.type.lower() == b"text" for each in part.walk()):
            return part
    return alternative.parts[-1]


def _says_attached(part: Part) -> bool:
    return part.disposition is not None and part.disposition.kind.lower() == b"attachment"


def _attached(root: Part) -> Iterator[Part]:
    waiting: list[tuple[Part, bool]] = [(root, False)]  # a part, and whether it serves to show the text beside it
    read = False  # whether a text was met that is the message's own
    while waiting:
        part, related = waiting.pop()
        if part.parts:
            is_related = part.media_type == "multipart/related"
            waiting += [(each, is_related) for each in reversed(part.parts)]
        elif _says_attached(part):
            yield part
        elif part.media_type in _NOT_ATTACHED or (related and part.type.lower() in (b"image", b"audio", b"video")):
            continue
        elif part.media_type not in _READABLE or (read and attachment_name(part)):
            yield part
        else:
            read = True


def _decoded_size(part: Part) -> int:
    encoding = part.encoding.lower()
    return part.octets * 57 // 78 if encoding == b"base64" else part.octets  # lines of 76 digits and CRLF


def _decoded(field: bytes) -> str:
    return printable(decode_words(decode_bytes(field))).strip()
