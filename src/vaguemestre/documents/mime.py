"""The tree of parts of a message, read in one pass over its octets.

What holds here: no bytes make it raise; its time is linear in the size; it copies no body and keeps no text but that of
headers, so a message of any size may be fed to it as it comes, in any cutting, with the same result. A part lies within
the body of the part around it, and parts side by side follow one another.

Rules, which are those of the servers that clients are used to:
1. A line that starts with `--` and the boundary of a part still open ends what is open within that part, whatever
   follows on that line; of several the longest boundary decides, then the innermost. The line end before it is no
   longer the body's, but where it is that of another delimiter. It ends a header too; an empty line just before it is
   no header's, and its part has no body.
2. What comes before the first boundary, and after the last, belongs to no part. A multipart that ends without its last
   boundary ends with what is around it, or with the content.
3. A multipart without boundary, or without part, has one part: empty, `text/plain`.
4. Content-* fields of a message without MIME-Version and without Content-Type say nothing.
5. Parts nest at most `DEPTH_LIMIT` deep: one that would hold deeper ones is `application/octet-stream`. There are at
   most `PARTS_LIMIT`: the last has the rest of the content. Of all headers no more than `HEADS_LIMIT` octets are read.

RFC 2045, RFC 2046 §5.1, RFC 9051 §7.5.2.
"""

import re

from vaguemestre.documents import content_fields, envelope
from vaguemestre.documents.content_fields import Disposition, Parameter
from vaguemestre.documents.envelope import Envelope
from vaguemestre.documents.header_fields import read_fields
from vaguemestre.documents.structure import Message, Part

DEPTH_LIMIT = 100
PARTS_LIMIT = 10_000
HEADS_LIMIT = 4_194_304
BOUNDARY_LIMIT = 200
"""How much of a boundary tells it from others, in octets; RFC 2046 allows 70."""

_WINDOW = 1_048_576
_HELD = BOUNDARY_LIMIT + 8  # of the end of what was fed, a line that may yet become a delimiter
_CR, _LF = b"\r\n"
_LINE_THAT_STOPS = re.compile(rb"\r?\n|--")
_NEXT_THAT_STOPS = re.compile(rb"\n(?:\r?\n|--)")
_PART_NAMES = content_fields.NAMES
_MESSAGE_NAMES = envelope.NAMES | _PART_NAMES


def read_message(content: bytes | bytearray | memoryview) -> Message:
    """The structure of a whole content. Never raises."""
    scanner = Scanner()
    if isinstance(content, bytes):
        scanner.feed(content)
    else:
        for start in range(0, len(content), _WINDOW):
            scanner.feed(bytes(content[start : start + _WINDOW]))
    return scanner.finish()


class _Open:
    """A part that has not ended."""

    __slots__ = (
        "at_delimiter", "body", "boundary", "envelope", "fields", "head", "in_head", "is_message", "lines", "media",
        "message", "opens", "parameters", "parts", "start",
    )  # fmt: skip

    def __init__(self, start: int, *, is_message: bool, starts_as: tuple[bytes, bytes]) -> None:
        self.start = self.body = start
        self.is_message = is_message  # whether the content, or what a message/rfc822 holds; else it is of a multipart
        self.media = starts_as
        self.parameters: tuple[Parameter, ...] = ()
        self.in_head = True
        self.head: list[bytes] = []
        self.fields: dict[bytes, list[bytes]] = {}
        self.envelope = Envelope()
        self.boundary = b""
        self.at_delimiter = False  # whether the rest of a delimiter's line is yet to be passed over
        self.opens = False  # whether that delimiter starts a part
        self.lines = -1  # how many line ends had been read where its body starts, where they are counted
        self.parts: list[Part] = []
        self.message: Message | None = None

    def built(self, end: int, lines: int) -> Part:
        """The part, whose body ends there."""

        def text(name: bytes) -> bytes | None:
            values = self.fields.get(name)
            return values[0] if values else None

        start, body = min(self.start, end), min(self.body, end)
        parts = tuple(self.parts)
        if not parts and self.media[0].lower() == b"multipart":
            parts = (Part(end, end, end),)
        if not self.fields:
            return Part(start, body, end, lines, *self.media, self.parameters, parts=parts, message=self.message)
        disposition: Disposition | None = None
        if (value := text(b"content-disposition")) is not None:
            disposition = content_fields.read_disposition(value)
        return Part(
            start,
            body,
            end,
            lines,
            *self.media,
            self.parameters,
            content_fields.read_encoding(text(b"content-transfer-encoding") or b""),
            text(b"content-id"),
            text(b"content-description"),
            disposition,
            content_fields.read_languages(text(b"content-language") or b""),
            text(b"content-location"),
            text(b"content-md5"),
            parts,
            self.message,
        )


class Scanner:
    """Reads a content that comes in pieces: `feed` each, then `finish`."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # up to where the buffer was read
        self._base = 0  # where the buffer starts in the content
        self._at_line = True  # whether a line starts at `_at`; else what is there was seen to stop nothing
        self._blank = 0  # how long the empty line is that ends a header just before `_at`
        self._lines = 0  # line ends read while some open part counts them
        self._counting = 0  # how many do
        self._room = HEADS_LIMIT
        self._count = 0
        self._stack: list[_Open] = []
        self._bounded: list[_Open] = []  # those of the stack that have a boundary
        self._delimiters: tuple[bytes, ...] = ()  # what their lines start with
        self._needle = b""  # what all those lines start with, after a line end
        self._root = Message(Envelope(), Part(0, 0, 0))
        self._open(is_message=True)

    def feed(self, data: bytes) -> None:
        """Take more of the content."""
        rest = self._buffer[self._at :]
        self._base += self._at
        self._buffer = rest + data if rest else data
        self._at = 0
        self._read(final=False)

    def finish(self) -> Message:
        """Say that there is no more; the structure."""
        self._read(final=True)
        while (top := self._stack[-1]).in_head:
            self._end_head(top)
        self._close(None)
        return self._root

    def _read(self, *, final: bool) -> None:
        going = True
        while going and self._at < len(self._buffer):
            top = self._stack[-1]
            if top.in_head:
                going = self._read_head(top, final)
            elif top.at_delimiter:
                going = self._skip_delimiter(top)
            else:
                going = self._read_body(final)

    # Each of these three reads on from `_at`, and says whether there is more to do with what is in the buffer.

    def _read_head(self, top: _Open, final: bool) -> bool:
        at = stop = self._at
        found = _LINE_THAT_STOPS.match(self._buffer, at) if self._at_line else None
        while True:
            if found is None:
                found = _NEXT_THAT_STOPS.search(self._buffer, at)
                if found is None:
                    break
                stop = found.start() + 1
            if self._buffer[found.end() - 1] == _LF:  # the empty line
                self._pass_head(top, found.end())
                self._blank = found.end() - stop
                self._end_head(top)
                return True
            bounded = self._delimiter_of(stop, final)
            if bounded is _UNKNOWN:
                self._pass_head(top, self._line_end_before(stop))
                return False
            if bounded is not None:
                self._pass_head(top, self._line_end_before(stop))
                self._end_head(top)
                self._start_delimiter(bounded, stop)
                return True
            at, found = stop, None
        self._pass_head(top, self._certain(final))
        return False

    def _read_body(self, final: bool) -> bool:
        if not self._needle:
            self._pass_to(len(self._buffer))
            return False
        at = self._at
        stop = at if self._at_line and self._buffer.startswith(b"--", at) else self._next_line(at)
        while stop >= 0:
            bounded = self._delimiter_of(stop, final)
            if bounded is _UNKNOWN:
                self._pass_to(self._line_end_before(stop))
                return False
            if bounded is not None:
                self._pass_to(self._line_end_before(stop))
                self._start_delimiter(bounded, stop)
                return True
            stop = self._next_line(stop)
        self._pass_to(self._certain(final))
        return False

    def _skip_delimiter(self, top: _Open) -> bool:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            self._pass_to(len(self._buffer))
            return False
        self._pass_to(end + 1)
        self._at_line = True
        top.at_delimiter = False
        if top.opens:
            digest = top.media[1].lower() == b"digest"
            self._open(is_message=False, starts_as=(b"message", b"rfc822") if digest else (b"text", b"plain"))
        return True

    def _next_line(self, at: int) -> int:
        """Where the next line starts that may be a delimiter, or a negative number."""
        found = self._buffer.find(self._needle, at)
        return found + 1 if found >= 0 else -1

    def _delimiter_of(self, stop: int, final: bool) -> _Open | None:
        """Which part the line at `stop`, which starts with two hyphens, is a delimiter of; _UNKNOWN where that depends on
        what is yet to come."""
        if not self._bounded:
            return None
        buffer = self._buffer
        if not final and len(buffer) - stop < _HELD and buffer.find(b"\n", stop) < 0:
            return _UNKNOWN
        if not buffer.startswith(self._delimiters, stop):
            return None
        best: _Open | None = None
        for each in self._bounded:  # outermost first
            if buffer.startswith(each.boundary, stop + 2) and (
                best is None or len(each.boundary) >= len(best.boundary)
            ):
                best = each
        return best

    def _line_end_before(self, stop: int) -> int:
        """Where the line end starts that is before the line at `stop`; that line, where it is the first."""
        if stop == self._at:
            return stop
        end = stop - 1
        return end - 1 if end > self._at and self._buffer[end - 1] == _CR else end

    def _certain(self, final: bool) -> int:
        """Up to where the buffer holds no delimiter, nor an empty line, whatever comes: what it was seen not to hold whole
        may only start in its last line."""
        size = len(self._buffer)
        if final:
            return size
        last = self._buffer.rfind(b"\n", max(self._at, size - _HELD))
        if last >= 0:
            return self._line_end_before(last + 1)
        if self._at_line and size - self._at < _HELD:
            return self._at
        return size - 1 if self._buffer[-1] == _CR else size

    def _pass_to(self, end: int) -> None:
        if end == self._at:
            return
        if self._counting:
            self._lines += self._buffer.count(b"\n", self._at, end)
        self._at, self._at_line, self._blank = end, False, 0

    def _pass_head(self, top: _Open, end: int) -> None:
        if self._room:
            text = self._buffer[self._at : min(end, self._at + self._room)]
            self._room -= len(text)
            top.head.append(text)
        self._pass_to(end)

    def _open(self, *, is_message: bool, starts_as: tuple[bytes, bytes] = (b"text", b"plain")) -> None:
        self._stack.append(_Open(self._base + self._at, is_message=is_message, starts_as=starts_as))
        self._at_line = True
        self._count += 1

    def _end_head(self, top: _Open) -> None:
        """The part's header ends here: know from its fields what its body is."""
        top.in_head, top.body, self._at_line = False, self._base + self._at, True
        fields = read_fields(
            b"".join(top.head), _MESSAGE_NAMES if top.is_message else _PART_NAMES, content_fields.PREFIX
        )
        top.head.clear()
        if top.is_message:
            top.envelope = envelope.from_fields(fields)
        if not top.is_message or b"content-type" in fields or b"mime-version" in fields:
            top.fields = fields
        if b"content-type" in top.fields:
            media, subtype, top.parameters = content_fields.read_type(fields[b"content-type"][0])
            top.media = (media, subtype)
        kind = top.media[0].lower(), top.media[1].lower()
        holds_message = kind == (b"message", b"rfc822")
        if kind[0] == b"multipart" or holds_message:
            if len(self._stack) >= DEPTH_LIMIT or self._count >= PARTS_LIMIT:
                top.media, holds_message = (b"application", b"octet-stream"), False
            elif not holds_message:
                top.boundary = (content_fields.parameter(top.parameters, b"boundary") or b"").rstrip(b" \t")
                top.boundary = top.boundary[:BOUNDARY_LIMIT]
                if top.boundary:
                    self._bound()
        if self._count >= PARTS_LIMIT:
            self._bounded, self._delimiters, self._needle = [], (), b""
        if holds_message or kind[0] == b"text":
            top.lines = self._lines
            self._counting += 1
        if holds_message:
            self._open(is_message=True)

    def _bound(self) -> None:
        """Know the boundaries of the stack."""
        self._bounded = [each for each in self._stack if each.boundary]
        self._delimiters = tuple(b"--" + each.boundary for each in self._bounded)
        self._needle = b"\n" + _common_start(self._delimiters) if self._delimiters else b""

    def _start_delimiter(self, bounded: _Open, stop: int) -> None:
        """A line at `stop` is a delimiter of `bounded`, whose parts end before it."""
        last = self._buffer.startswith(b"--", stop + 2 + len(bounded.boundary))
        if stop != self._at:
            self._blank = 0  # between an empty line and this one stands the line end that is the delimiter's
        self._close(bounded)
        if last:
            bounded.boundary = b""
        if last or self._bounded[-1] is not bounded:
            self._bound()
        bounded.at_delimiter, bounded.opens = True, not last
        self._pass_to(stop)

    def _close(self, below: _Open | None) -> None:
        """End here what is open within `below`; everything where that is None."""
        blank = self._blank if below is not None else 0
        end, lines = self._base + self._at - blank, self._lines - (blank > 0)
        while self._stack and self._stack[-1] is not below:
            if self._stack[-1].in_head:
                self._end_head(self._stack[-1])
                continue
            done = self._stack.pop()
            counted = 0
            if done.lines >= 0:
                counted = max(0, lines - done.lines)
                self._counting -= 1
            part = done.built(end, counted)
            if not self._stack:
                self._root = Message(done.envelope, part)
            elif done.is_message:
                self._stack[-1].message = Message(done.envelope, part)
            else:
                self._stack[-1].parts.append(part)


def _common_start(texts: tuple[bytes, ...]) -> bytes:
    first, last = min(texts), max(texts)
    for at, octet in enumerate(first):
        if octet != last[at]:
            return first[:at]
    return first


_UNKNOWN = _Open(0, is_message=False, starts_as=(b"", b""))
