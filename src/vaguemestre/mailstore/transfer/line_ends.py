"""Line ends of messages on their way: CRLF here and on the wire (RFC 5322 §2.1), LF alone in Unix files.

What holds here: memory is that of a chunk, whatever the length of lines; a CR that no LF follows is content, and stays.
"""

import re
from collections.abc import Iterable, Iterator

_BARE = re.compile(rb"(?<!\r)\n")


def canonical(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same content with CRLF where there was LF alone."""
    carriage = False
    for chunk in chunks:
        if not chunk:
            continue
        start = 1 if carriage and chunk[:1] == b"\n" else 0
        carriage = chunk.endswith(b"\r")
        pairs = chunk.count(b"\r\n", start)
        if chunk.count(b"\n", start) == pairs:
            yield chunk
        elif pairs:
            yield chunk[:start] + _BARE.sub(b"\r\n", chunk[start:])
        else:
            yield chunk[:start] + chunk[start:].replace(b"\n", b"\r\n")


class Unix:
    """Content as Unix files have it: LF for CRLF. `exact` tells, once it was all read, whether `canonical` surely undoes it."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.exact = True

    def __iter__(self) -> Iterator[bytes]:
        carried = b""
        for each in self._chunks:
            chunk = carried + each
            if b"\r\r" in chunk:
                self.exact = False
            carried = b"\r" if chunk.endswith(b"\r") else b""
            chunk = chunk[: len(chunk) - len(carried)]
            pairs = chunk.count(b"\r\n")
            if chunk.count(b"\n") != pairs:
                self.exact = False
            if chunk:
                yield chunk.replace(b"\r\n", b"\n") if pairs else chunk
        if carried:
            yield carried
