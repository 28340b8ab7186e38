"""What came from the client and was not read yet: lines, literals, and what is only passed over.

What stays true: looking for the end of a line never goes twice over the same octets; what is passed over is not kept.

RFC 9051 §2.2 and §4.3 (lines, literals); RFC 7888 (literals that do not wait); RFC 3516 §4.4 (literal8).
"""

import re

import msgspec

from vaguemestre.protocols.imap.faults import DrainedError, LineLengthError

_ANNOUNCED = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\r?\n\Z")
_LONGEST_ANNOUNCEMENT = 26


class Announcement(msgspec.Struct, frozen=True):
    """A literal said to come: `size` octets, `waiting` for a continuation or not; `binary`: may hold NUL."""

    size: int
    waiting: bool
    binary: bool


def announced(line: bytes) -> Announcement | None:
    """The literal that follows this line."""
    if not line.endswith((b"}\r\n", b"}\n")):
        return None
    match = _ANNOUNCED.search(line, max(0, len(line) - _LONGEST_ANNOUNCEMENT))
    return Announcement(int(match[2]), not match[3], bool(match[1])) if match is not None else None


class Incoming:
    """Octets fed and not consumed yet."""

    __slots__ = ("_buffer", "_position", "_scanned")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0  # of the first octet not consumed
        self._scanned = 0  # no line ends before this one

    def __len__(self) -> int:
        return len(self._buffer) - self._position

    def feed(self, data: bytes) -> None:
        """Adds what came."""
        position = self._position
        if position < len(self._buffer):
            self._buffer = self._buffer[position:] + data
            self._scanned -= position
        else:
            self._buffer = data
            self._scanned = 0
        self._position = 0

    def forget(self) -> None:
        """Consumes everything."""
        self._buffer, self._position, self._scanned = b"", 0, 0

    def line(self, longest: int) -> bytes | None:
        """The next line with its LF, or None if that has not come.

        Raises LineLengthError for more than `longest` octets, and consumes nothing then.
        """
        start = self._position
        end = self._buffer.find(b"\n", self._scanned) + 1
        if (end or len(self._buffer)) - start > longest:
            raise LineLengthError
        if not end:
            self._scanned = len(self._buffer)
            return None
        self._position = self._scanned = end
        return self._buffer[start:end]

    def head(self, octets: int) -> bytes:
        """The next octets, not consumed."""
        return self._buffer[self._position : self._position + octets]

    def take(self, most: int) -> bytes:
        """The next octets, as many as have come and `most` at most."""
        start = self._position
        self._position = self._scanned = min(start + most, len(self._buffer))
        return self._buffer[start : self._position]

    def pass_line(self) -> bytes | None:
        """Passes over a line: its last octets, or None if its end has not come."""
        start = self._position
        end = self._buffer.find(b"\n", self._scanned) + 1
        if not end:  # the last octets stay: they may begin an announcement
            self._scanned = len(self._buffer)
            self._position = max(start, len(self._buffer) - _LONGEST_ANNOUNCEMENT)
            return None
        self._position = self._scanned = end
        return self._buffer[max(start, end - _LONGEST_ANNOUNCEMENT) : end]


class Drain:
    """Passes over what is still on its way of a command that was refused.

    It ends with the command, or where the client waits for a continuation, since the refusal is what it gets instead.
    """

    __slots__ = ("_left", "_literal")

    def __init__(self, literal: int, most: int) -> None:
        """`literal` octets of one come first, then lines and their literals; `most` octets in all."""
        self._literal = literal
        self._left = most

    def ends(self, incoming: Incoming) -> bool:
        """Passes over what came; is it over? Raises DrainedError."""
        while True:
            if self._literal:
                passed = len(incoming.take(self._literal))
                self._literal -= passed
                self._count(passed)
                if self._literal:
                    return False
            before = len(incoming)
            tail = incoming.pass_line()
            self._count(before - len(incoming))
            if tail is None:
                return False
            follows = announced(tail)
            if follows is None or follows.waiting:
                return True
            self._literal = follows.size

    def _count(self, passed: int) -> None:
        self._left -= passed
        if self._left < self._literal:
            raise DrainedError
