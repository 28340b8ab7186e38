"""COMPRESS=DEFLATE: what stands between TLS and the machine once COMPRESS was answered.

What stays true: inflating gives a bounded piece at a time and keeps the rest compressed, so that a few octets which
stand for a gigabyte cost no more memory than what is asked for.

RFC 4978.
"""

import zlib

from vaguemestre.errors import VaguemestreError

_STEP = 65_536
_LEVEL = 6
# 2^13 octets of history: 64 kB of memory for each connection, not 256, and mail compresses nearly as well.
_HISTORY = -13
_MEMORY = 6


class CompressionError(VaguemestreError):
    """What the client sends is not one endless DEFLATE stream; nothing it says can be read any more."""

    def __init__(self) -> None:
        super().__init__(
            "What was sent after COMPRESS is not a DEFLATE stream; the connection is closed.",
            "Ce qui a été envoyé après COMPRESS n'est pas un flux DEFLATE ; la connexion est fermée.",
        )


class Inflate:
    """What the client compressed. `feed`, then `read` until it gives nothing."""

    __slots__ = ("_pending", "_stream", "_waiting")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""  # compressed octets not looked at
        self._pending = False  # whether the stream itself may hold more

    def feed(self, data: bytes) -> None:
        """Adds what came."""
        self._waiting += data

    def read(self, most: int = _STEP) -> bytes:
        """The next octets, `most` at most; empty when more must come first. Raises CompressionError."""
        if not self._waiting and not self._pending:
            return b""
        stream = self._stream
        try:
            piece = stream.decompress(self._waiting, most)
        except zlib.error:
            raise CompressionError from None
        if stream.eof:
            raise CompressionError
        self._waiting = stream.unconsumed_tail
        self._pending = len(piece) == most
        return piece


class Deflate:
    """What the client will inflate."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _HISTORY, _MEMORY)

    def compress(self, data: bytes) -> bytes:
        """`data` compressed, all of it readable by the client at once."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
