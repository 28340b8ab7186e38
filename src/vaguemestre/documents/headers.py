"""What a mailbox list shows of a message, read from its header, and nothing more.

What holds here: no bytes make these functions raise, stall or return a control character; their time is linear in the
header's size and bounded, for no more than 64 kB of it is read. They run for every message delivered.

Rules: the first of several like fields wins; what cannot be parsed is shown as it came, or left out. Fields may be in
UTF-8 (RFC 6532) or, wrongly, in Windows-1252.

RFC 5322 §3.6, RFC 2045 §5, RFC 2047, RFC 2183, RFC 5256 §2.1.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import msgspec

from vaguemestre.documents.addresses import Mailbox, read_addresses
from vaguemestre.documents.encoded_words import decode_bytes, decode_words, printable

HEAD_LIMIT = 65_536
_WANTED = frozenset(
    {"subject", "from", "to", "cc", "bcc", "reply-to", "sender", "date", "message-id", "in-reply-to", "references"}
    | {"content-type", "content-disposition"}
)
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_DATE = re.compile(
    r"(?:[A-Za-z]{3},\s*)?(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})\s+(\d{2}):(\d{2})(?::(\d{2}))?\s+"
    r"(?:([+-])(\d{2})(\d{2})|GMT|UTC?|Z)(?:\s*\([^()]*\))?",
    re.ASCII,
)
_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * n : 3 * n + 3]: n + 1 for n in range(12)}
_DATE_LIMIT = 128

_BLOBS = re.compile(r"(?:\[[^\[\]]*+\]\s*+)++")
_PREFIX = re.compile(r"(?:re|r[ée]f|r[ée]p|fwd?|tr)\s*+(?:\[[^\[\]]*+\]\s*+)?+:\s*+", re.IGNORECASE)
_TRAILER = re.compile(r"(?:\s|\(fwd\))\Z", re.IGNORECASE)


class Summary(msgspec.Struct, frozen=True, gc=False):
    """A message as lists show it. Message-IDs are without angle brackets; texts are decoded and printable."""

    subject: str = ""
    from_: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    sender: tuple[Mailbox, ...] = ()
    date: datetime | None = None
    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    content_type: str = "text/plain"
    has_attachment: bool = False


def split_head(content: bytes) -> int:
    """Where the header block ends: the index after its empty line, or the whole length when there is none."""
    if content.startswith((b"\r\n", b"\n")):
        return content.index(b"\n") + 1
    crlf = content.find(b"\n\r\n")
    lf = content.find(b"\n\n", 0, crlf + 1 if crlf >= 0 else len(content))
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else len(content)


def count_received(head: bytes) -> int:
    """How many servers say that they handled the message (RFC 5321 §6.3), to stop loops."""
    lowered = head.lower()
    return lowered.count(b"\nreceived:") + lowered.startswith(b"received:")


def summary(head: bytes) -> Summary:
    """The summary of a message, from its header block (what follows is not looked at). Never raises."""
    field = _fields(head).get
    content_type = _media_type(field("content-type", ""))
    return Summary(
        decode_words(field("subject", "")),
        read_addresses(field("from", "")),
        _addresses(field("to")),
        _addresses(field("cc")),
        _addresses(field("bcc")),
        _addresses(field("reply-to")),
        _addresses(field("sender")),
        _date(field("date", "")),
        "".join(_message_ids(field("message-id"))[:1]),
        _message_ids(field("in-reply-to")),
        _message_ids(field("references")),
        content_type,
        content_type == "multipart/mixed"
        or not content_type.startswith(("text/", "multipart/"))
        or field("content-disposition", "")[:10].lower() == "attachment",
    )


def base_subject(subject: str) -> tuple[str, bool]:
    """What a subject is about, case-folded for comparison, and whether it said to be a reply or a forward.

    RFC 5256 §2.1, with the prefixes that French software writes (RE :, TR:, Réf :).
    """
    text = " ".join(unicodedata.normalize("NFC", subject).split())
    start, end, answered = 0, len(text), False
    while True:
        while trailer := _TRAILER.search(text, max(start, end - 5), end):
            answered = answered or end - trailer.start() > 1
            end = trailer.start()
        start, prefixed = _after_leaders(text, start, end)
        answered = answered or prefixed
        if not (text[start : start + 5].lower() == "[fwd:" and text[end - 1 : end] == "]" and end - start > 5):
            return text[start:end].casefold(), answered
        start, end, answered = start + 5, end - 1, True


def _after_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the subject starts after its prefixes and bracketed labels, of which the last stays when all would go."""
    answered = False
    while True:
        while text[start : start + 1] == " " and start < end:
            start += 1
        labels = _BLOBS.match(text, start, end)
        after = labels.end() if labels else start
        prefix = _PREFIX.match(text, after, end)
        if prefix:
            start, answered = prefix.end(), True
        elif after < end:
            return after, answered
        else:
            last = text.rfind("[", start, end)
            return max(start, last), answered


def _fields(head: bytes) -> dict[str, str]:
    """The first field of each wanted name, unfolded, printable and trimmed; not decoded."""
    text = head[:HEAD_LIMIT].decode("latin-1").replace("\r\n", "\n")
    lines: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.split("\n"):
        if line.startswith((" ", "\t")):
            if current is not None:
                current.append(line)
            continue
        if not line:
            break
        name, _, value = line.partition(":")
        name = name.lower().rstrip()
        current = None
        if name in _WANTED and name not in lines:
            current = lines[name] = [value]
    return {name: _field(parts) for name, parts in lines.items()}


def _field(parts: list[str]) -> str:
    value = parts[0] if len(parts) == 1 else "".join(parts)
    if not value.isascii():
        value = decode_bytes(value.encode("latin-1"))
    return printable(value).strip()


def _addresses(value: str | None) -> tuple[Mailbox, ...]:
    return read_addresses(value) if value else ()


def _message_ids(value: str | None) -> tuple[str, ...]:
    if not value:
        return ()
    return tuple(_MESSAGE_ID.findall(value)) or tuple(value.replace("<", " ").replace(">", " ").split()[:1])


def _media_type(value: str) -> str:
    found = _MEDIA_TYPE.match(value)
    return found[0].lower() if found else "text/plain"


def _date(value: str) -> datetime | None:
    if not value or len(value) > _DATE_LIMIT:
        return None
    found = _DATE.fullmatch(value)
    try:
        if not found:
            moment = parsedate_to_datetime(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) if sign else timedelta()
        return datetime(
            int(year),
            _MONTHS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),  # a leap second
            tzinfo=timezone(-offset if sign == "-" else offset),
        ).astimezone(UTC)
    except Exception:  # what the standard library raises on bad dates is not documented
        return None
