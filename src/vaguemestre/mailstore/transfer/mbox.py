"""mbox: the messages of a folder one after the other in a file, each after a line `From …`.

What holds here: memory is that of a line's piece, whatever the file; every octet before, between and after what can be
read is accounted for; what one reads of a file that `write` made is what was written. Nothing in a file makes reading
raise but what the disk says.

Rules: written as mboxrd: LF, and `>` before any line that is `From ` after any number of `>`. A line begins a message where
it is `From `, something, a date with a time and a year; nothing else does, since old programs left `From here on` as it
was. The marks stand in the header fields that Dovecot and mutt know (Status, X-Status, X-Keywords); our own field after
them, X-Vaguemestre, says that the four are none of the message's, what its date was to the millisecond, and its size where
LF for CRLF loses nothing. Of other programs' fields the flags are read, and the content stays as it is.

Standards: RFC 4155 (mbox), qmail's mbox(5) (mboxrd). Thunderbird: X-Mozilla-Status, X-Mozilla-Keys.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from vaguemestre import clock
from vaguemestre.mailstore.model import NO_FLAGS, Flag
from vaguemestre.mailstore.transfer.line_ends import Unix, canonical
from vaguemestre.mailstore.transfer.model import Kept, Marks, UnreadableError

_BLOCK = 262_144
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 4096  # of a separator, or of a field of ours; other lines may have any length
# Of a block, what is kept until the next one came: it may hold the start of a separator, and the empty line before.
_KEPT = _LONGEST_LINE + 4
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_SEPARATOR = re.compile(
    rb"From (?:.{0,1000}? )?(?:mon|tue|wed|thu|fri|sat|sun),? +"
    rb"(?:(?P<month>[a-z]{3}) +(?P<day>\d{1,2})|(?P<day2>\d{1,2}) +(?P<month2>[a-z]{3})(?: +(?P<year2>\d{4}))?)"
    rb" +(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    rb"(?: +(?P<zone>[+-]\d{4}|[a-z]{1,5}))?(?: +(?P<year>\d{4}))?(?: +(?P<zone2>[+-]\d{4}|[a-z]{1,5}))?"
    rb"(?: remote from .{1,200}?)? *\r?\n?",
    re.IGNORECASE,
)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*)From ", re.MULTILINE)
_OUR_FIELD = re.compile(rb"(Status|X-Status|X-Keywords): ?([^\r\n]*)\r?\n")
_OUR_LAST_FIELD = re.compile(rb"X-Vaguemestre: received=(-?\d{1,15})(?:; size=(\d{1,15}))? *\r?\n")
_SIZE_WIDTH = len("; size=") + 15
_FIELD = re.compile(
    rb"^(Status|X-Status|X-Keywords|X-Mozilla-Status|X-Mozilla-Keys):[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE
)
_STATUS = {b"R": Flag.SEEN}
_X_STATUS = {b"A": Flag.ANSWERED, b"F": Flag.FLAGGED, b"D": Flag.DELETED, b"T": Flag.DRAFT}
_MOZILLA = {0x0001: Flag.SEEN, 0x0002: Flag.ANSWERED, 0x0004: Flag.FLAGGED}
_MOZILLA_EXPUNGED, _MOZILLA_FORWARDED = 0x0008, 0x1000


class ExpungedError(UnreadableError):
    """The message was deleted in Thunderbird, which had not compacted the folder."""

    def __init__(self) -> None:
        super().__init__(
            "The message had been deleted in the program this file comes from: it was left out.",
            "Le message avait été supprimé dans le logiciel dont vient ce fichier : il a été laissé de côté.",
        )


class CutShortError(UnreadableError):
    """The file ends within the message."""

    def __init__(self) -> None:
        super().__init__(
            "The file ends in the middle of this message: it was cut short.",
            "Le fichier s'arrête au milieu de ce message : il a été tronqué.",
        )


class StrayError(UnreadableError):
    """Octets that belong to no message."""

    def __init__(self) -> None:
        super().__init__(
            "What stands here is no message: no line “From …” with a date begins it.",
            "Ce qui se trouve ici n'est pas un message : aucune ligne « From … » datée ne le commence.",
        )


@dataclass(frozen=True, slots=True)
class Read:
    """A message of a file, at an offset of it. `content` is to be read before the next message is asked for.

    `ours`: an export wrote it, and the marks are all in `stated`; else they are in the header, too: see `marks`.
    """

    offset: int
    content: Iterator[bytes]
    stated: Marks
    ours: bool


def begins(line: bytes) -> bool:
    """Whether a message begins after this line."""
    found = _SEPARATOR.fullmatch(line)
    return found is not None and bool(found["year"] or found["year2"])


def read(file: BinaryIO) -> Iterator[Read | StrayError]:
    """The messages of a file, from its start. Their content has CRLF."""
    return _Reader(file).messages()


class _Reader:
    """Reads by blocks: `_buffer` from `_start` on was read and not yet given, `_offset` is where it starts in the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._start = 0
        self._offset = 0
        self._ended = False  # whether the file has no more

    def messages(self) -> Iterator[Read | StrayError]:
        if self._line(0).startswith(_BYTE_ORDER_MARK):
            self._pass(len(_BYTE_ORDER_MARK))
        if not begins(self._line(0)) and sum(bool(piece.strip()) for piece in self._body()):
            yield StrayError()
        while self._left:
            offset, separator = self._offset, self._line(0)
            self._pass(len(separator))
            stated, size = self._our_fields()
            content = canonical(self._body())
            if stated is None:
                yield Read(offset, content, Marks(received_at=_date(separator)), ours=False)
            else:
                whole = content if size is None else self._sized(content, size)
                yield Read(offset, whole, stated, ours=True)
            for _ in content:  # what was not read is passed over
                pass

    @property
    def _left(self) -> int:
        """How much of the buffer was not yet given."""
        return len(self._buffer) - self._start

    def _fill(self) -> None:
        block = self._file.read(_BLOCK)
        self._ended = not block
        self._buffer = self._buffer[self._start :] + block
        self._start = 0

    def _pass(self, length: int) -> None:
        self._start += length
        self._offset += length

    def _take(self, length: int) -> bytes:
        part = self._buffer[self._start : self._start + length]
        self._pass(length)
        return part

    def _line(self, ahead: int) -> bytes:
        """The line that begins so many octets ahead, or as much of it as may matter."""
        while True:
            begin = self._start + ahead
            end = self._buffer.find(b"\n", begin, begin + _LONGEST_LINE) + 1
            if end or self._ended or len(self._buffer) - begin >= _LONGEST_LINE:
                return self._buffer[begin : end or begin + _LONGEST_LINE]
            self._fill()

    def _our_fields(self) -> tuple[Marks | None, int | None]:
        """What an export put before the content, which is passed over: marks and size. None where none did."""
        fields: list[tuple[bytes, bytes]] = []
        ahead = 0
        while len(fields) < 3 and (found := _OUR_FIELD.fullmatch(line := self._line(ahead))):
            fields.append((found[1], found[2]))
            ahead += len(line)
        last = _OUR_LAST_FIELD.fullmatch(self._line(ahead))
        if last is None:
            return None, None
        self._pass(ahead + len(last[0]))
        flags, keywords = _flags(fields)
        return Marks(flags, keywords, int(last[1])), int(last[2]) if last[2] else None

    def _body(self) -> Iterator[bytes]:
        """What comes before the next separator, unquoted; the empty line before that one is the file's, not the body's."""
        within = False  # whether what is left starts within a line
        while True:
            if self._left <= _KEPT and not self._ended:
                self._fill()
            length = self._separator(within)
            if length is None and self._ended:
                length = self._left
            if length is not None:
                yield _unquoted(_without_empty_line(self._take(length), within), within)
                return
            limit = self._left - _KEPT
            if limit <= 0:
                continue
            end = self._start + limit
            cut = self._buffer.rfind(b"\n", self._start, end) + 1
            if self._buffer.endswith((b"\n\n", b"\n\r\n"), self._start, cut):  # a separator may follow
                cut = self._buffer.rfind(b"\n", self._start, cut - 1) + 1
            if not cut and self._left < _BLOCK + _KEPT:  # a long line is cut where it cannot be a quoted one
                self._fill()
                continue
            part = self._take(cut - self._start if cut else limit)
            yield _unquoted(part, within)
            within = not cut

    def _separator(self, within: bool) -> int | None:
        """How many octets ahead the next separator begins, if what is left holds one."""
        ahead = 0
        if within or not self._buffer.startswith(b"From ", self._start):
            ahead = self._next_line_from(0)
        while ahead >= 0:
            if begins(self._line(ahead)):
                return ahead
            ahead = self._next_line_from(ahead)
        return None

    def _next_line_from(self, ahead: int) -> int:
        """How many octets ahead a later line begins with `From `; negative where none does."""
        found = self._buffer.find(b"\nFrom ", self._start + ahead)
        return found + 1 - self._start if found >= 0 else -1

    def _sized(self, content: Iterator[bytes], size: int) -> Iterator[bytes]:
        """Content whose size is known: without the line end that the file had to add. Raises CutShortError."""
        total, kept = 0, b""
        for piece in content:
            total += len(piece)
            kept += piece
            yield kept[:-2]
            kept = kept[-2:]
        if total == size + 2 and kept == b"\r\n":
            return
        yield kept
        if total < size and not self._left:
            raise CutShortError


def _unquoted(part: bytes, within: bool) -> bytes:
    if b">From " not in part:
        return part
    first = part.find(b"\n") + 1 if within else 0
    return part if within and not first else part[:first] + _QUOTED.sub(rb"\1", part[first:])


def _without_empty_line(part: bytes, within: bool) -> bytes:
    """Without its last line where that is empty."""
    if part.endswith(b"\n\r\n") or (part == b"\r\n" and not within):
        return part[:-2]
    return part[:-1] if part.endswith(b"\n\n") or (part == b"\n" and not within) else part


def marks(head: bytes, stated: Marks) -> Marks:
    """What other programs' header fields say, beside the date of the separator. Raises ExpungedError."""
    found = [(name.title(), value) for name, value in _FIELD.findall(head)]
    flags, keywords = _flags(found)
    for name, value in found:
        if name == b"X-Mozilla-Status" and re.fullmatch(rb"[0-9A-Fa-f]{1,4} *", value):
            bits = int(value, 16)
            if bits & _MOZILLA_EXPUNGED:
                raise ExpungedError
            for bit, flag in _MOZILLA.items():
                flags |= flag if bits & bit else NO_FLAGS
            keywords |= {"$Forwarded"} if bits & _MOZILLA_FORWARDED else set()
    return Marks(flags, keywords, stated.received_at)


def _flags(fields: Iterable[tuple[bytes, bytes]]) -> tuple[Flag, frozenset[str]]:
    flags, keywords = NO_FLAGS, frozenset[str]()
    for name, value in fields:
        letters = {b"Status": _STATUS, b"X-Status": _X_STATUS}.get(name, {})
        for letter, flag in letters.items():
            flags |= flag if letter in value else NO_FLAGS
        if name in (b"X-Keywords", b"X-Mozilla-Keys"):
            keywords |= frozenset(value.decode("ascii", "replace").replace(",", " ").split())
    return flags, keywords


def _date(separator: bytes) -> int | None:
    """The date of a separator, in Unix milliseconds; UTC unless it says otherwise (RFC 4155)."""
    found = _SEPARATOR.fullmatch(separator)
    if not found:
        return None
    month = (found["month"] or found["month2"]).decode().title()
    day, year = found["day"] or found["day2"], found["year"] or found["year2"]
    try:
        clock_time = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), *clock_time, tzinfo=UTC)
    except ValueError:
        return None
    zone = found["zone"] or found["zone2"] or b""
    if zone[:1] in (b"+", b"-"):
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        return clock.to_ms(moment) + (1 if zone[:1] == b"-" else -1) * int(ahead.total_seconds()) * 1000
    return clock.to_ms(moment)


def write(file: BinaryIO, kept: Kept, content: Iterable[bytes]) -> None:
    """Append a message. The file can be sought in: whether LF loses something is known at the end only."""
    moment = clock.from_ms(kept.received_at)
    date = f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S} {moment.year:04d}"
    status = "RO" if Flag.SEEN in kept.flags else "O"
    more = "".join(letter.decode() for letter, flag in _X_STATUS.items() if flag in kept.flags)
    file.write(
        f"From MAILER-DAEMON {date}\n"
        f"Status: {status}\nX-Status: {more}\nX-Keywords: {' '.join(kept.keywords)}\n"
        f"X-Vaguemestre: received={kept.received_at}".encode()
    )
    place = file.tell()
    file.write(b" " * _SIZE_WIDTH + b"\n")
    unix = Unix(content)
    last = b""
    for piece in _quoted(unix):
        file.write(piece)
        last = piece[-1:] or last
    file.write(b"\n" if last == b"\n" else b"\n\n")
    if unix.exact:
        end = file.tell()
        file.seek(place)
        file.write(f"; size={kept.size}".ljust(_SIZE_WIDTH).encode())
        file.seek(end)


def _quoted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines, with one more `>` in those that a reader could take for separators, or for quoted ones."""
    leading = True  # whether the line so far is only `>`, maybe none: then `From ` is to be quoted
    carried = b""  # what may be the start of `From `
    for each in chunks:
        chunk = carried + each
        carried = b""
        tail = chunk[chunk.rfind(b"\n") + 1 :]
        bare = tail.lstrip(b">")
        if len(bare) < 5 and b"From ".startswith(bare) and (leading or len(tail) < len(chunk)):
            carried = bare
            chunk = chunk[: len(chunk) - len(bare)]
        if b"From " in chunk:
            first = 0 if leading else chunk.find(b"\n") + 1 or len(chunk)
            yield chunk[:first] + _TO_QUOTE.sub(rb"\1>From ", chunk[first:])
        else:
            yield chunk
        last = chunk[chunk.rfind(b"\n") + 1 :]
        leading = not last.strip(b">") and (leading or len(last) < len(chunk))
    yield carried
