"""The content of a message as it arrives: judged and unstuffed in whole chunks, never line by line.

What stays true: DATA content ends at CRLF.CRLF and at nothing else, whatever the peer's line ends, so one message can
never be read as two (SMTP smuggling). What is handed on consists of lines of at most 1000 octets, each ended by CRLF,
without a bare CR, a bare LF or a NUL. Content that breaks this is read to its true end and nothing more of it is
handed on. Nothing is kept between two chunks but two octets.

Rules: speed lives here. Each test is one pass in C over the chunk; Python looks once a chunk, and once every 1000
octets for the line length.

RFC 5321 §2.3.8, §4.1.1.4, §4.5.2, §4.5.3.1.6; RFC 3030 §2 for BDAT, whose lines obey the same rules because BINARYMIME
is not offered.
"""

import re
from io import IncrementalNewlineDecoder

from vaguemestre.protocols.smtp.faults import BareLineEndError, ContentError, LongLineError, MessageSizeError, NulError

LINE_LIMIT = 1000
END_OF_DATA = b"\r\n.\r\n"
_dotted = re.compile(rb"\r\n\.")  # as a pattern: twice as fast as bytes.find


class ContentJudge:
    """Admits content piece by piece, however it is cut; after the first fault everything is counted and dropped."""

    __slots__ = ("_limit", "_line", "_newlines", "drained", "fault", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Despite its module it does no I/O: it is the one pass in C that tells CRLF from bare CR and bare LF, three
        # times faster than counting them.
        self._newlines = IncrementalNewlineDecoder(None, translate=False)
        self._line = 0  # octets of the line not yet ended
        self.fault: ContentError | None = None
        self.size = 0  # octets admitted
        self.drained = 0  # octets dropped since the fault

    def admit(self, piece: bytes) -> bytes:
        """The piece itself, or nothing once there is a fault."""
        if not piece:
            return piece
        if self.fault is None:
            self.fault = self._fault_in(piece)
        if self.fault is not None:
            self.drained += len(piece)
            return b""
        self.size += len(piece)
        return piece

    def finish(self) -> bytes:
        """Ends the content; gives the CRLF that its last line lacks, which BDAT allows and no later hop could send."""
        self._newlines.decode("", final=True)
        if self.fault is None and self._newlines.newlines not in (None, "\r\n"):
            self.fault = BareLineEndError()
        return self.admit(b"\r\n") if self._line else b""

    def refuse(self, fault: ContentError) -> None:
        """Drops what is still to come, for a reason known before it came."""
        self.fault = self.fault or fault

    def _fault_in(self, piece: bytes) -> ContentError | None:
        if self.size + len(piece) > self._limit:
            return MessageSizeError(self._limit)
        # Latin-1 maps every octet to one character, so no octet is mistaken or refused.
        self._newlines.decode(piece.decode("latin-1"))
        if self._newlines.newlines not in (None, "\r\n"):
            return BareLineEndError()
        if b"\0" in piece:
            return NulError()
        return None if self._lines_fit(piece) else LongLineError()

    def _lines_fit(self, piece: bytes) -> bool:
        """Hops from the last LF within reach to the next: every line between two hops is short enough."""
        start, end, last_within = -self._line, len(piece), piece.rfind
        while end - start > LINE_LIMIT:
            newline = last_within(b"\n", max(start, 0), start + LINE_LIMIT)  # start is never under -LINE_LIMIT
            if newline < 0:
                return False
            start = newline + 1
        newline = last_within(b"\n", max(start, 0))
        self._line = end - (start if newline < 0 else newline + 1)
        return True


class DataReader:
    """Reads what follows DATA: removes the dots of transparency and finds the one true end (RFC 5321 §4.5.2)."""

    __slots__ = ("_at_line_start", "_judge")

    def __init__(self, judge: ContentJudge) -> None:
        self._judge = judge
        self._at_line_start = True  # the CRLF of the DATA command stands before the content

    def read(self, buffer: bytes, start: int) -> tuple[bytes, int, bool]:
        """From `buffer[start:]`: the content admitted, the index of the first octet not consumed, is this the end?

        At most two octets are left unconsumed without an end: those that the end of data may have begun with.
        """
        if start == len(buffer):
            return b"", start, False
        if self._at_line_start and buffer.startswith(b".", start):
            if buffer.startswith(b".\r\n", start):
                return b"", start + 3, True
            if len(buffer) - start == 1 or (len(buffer) - start == 2 and buffer.endswith(b"\r")):
                return b"", start, False
            start += 1
        dotted = end = -1
        # Most attachments hold no dot at all, and the search for one octet is far faster than that for three.
        dot = buffer.find(b".", start)
        if dot >= 0:
            found = _dotted.search(buffer, max(start, dot - 2))
            dotted = found.start() if found else -1
            end = buffer.find(END_OF_DATA, dotted) if dotted >= 0 else -1
        stop, following = (end + 2, end + 5) if end >= 0 else (_certain(buffer, start),) * 2
        piece = buffer[start:stop]
        if 0 <= dotted < stop - 2:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if piece:
            self._at_line_start = piece.endswith(b"\r\n")
        return self._judge.admit(piece), following, end >= 0


def _certain(buffer: bytes, start: int) -> int:
    """Up to where `buffer` is content for sure: short of a tail that may become CRLF, or a dot that may be the end."""
    if buffer.endswith(b"\r\n.\r", start):
        return len(buffer) - 2
    if buffer.endswith((b"\r\n.", b"\r"), start):
        return len(buffer) - 1
    return len(buffer)


class ChunkReader:
    """Reads what follows BDAT: so many octets, whatever they are (RFC 3030 §2). One reader serves all chunks."""

    __slots__ = ("_judge", "_remaining", "last", "size")

    def __init__(self, judge: ContentJudge) -> None:
        self._judge = judge
        self._remaining = 0
        self.last = False
        self.size = 0  # octets announced for the current chunk

    def expect(self, size: int, last: bool) -> None:
        """A BDAT command announced `size` octets."""
        self.size = self._remaining = size
        self.last = last

    @property
    def done(self) -> bool:
        """Has the current chunk come whole?"""
        return self._remaining == 0

    def read(self, buffer: bytes, start: int) -> tuple[bytes, int, bool]:
        """As `DataReader.read`; the end is the end of this chunk."""
        piece = buffer[start : start + self._remaining]
        self._remaining -= len(piece)
        content = self._judge.admit(piece)
        if self.done and self.last:
            content += self._judge.finish()
        return content, start + len(piece), self.done
