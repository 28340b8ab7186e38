"""Sealed content: AES-256-GCM in chunks, under a key of its own, so that mail streams and never stands in clear.

What it keeps true: a sealed blob opens only with its own key, whole or by chunk; a chunk moved, altered, dropped or cut
off is refused, never returned. Format: chunks of 64 KiB of content, each followed by its 16-byte tag; the nonce is the
chunk's number and whether it is the last (the STREAM construction), which is safe since a key seals one blob only.
The key is wrapped with AES-256-GCM by an operator's content key, bound to the blob's identifier, digest and size.

Standards: NIST SP 800-38D; Hoang et al., "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (STREAM).
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaguemestre.errors import StorageFailure
from vaguemestre.storage.keys import Keyring

CHUNK = 65_536
TAG = 16
_NOTE = b"\xff"


class UnsealingFailure(StorageFailure):
    """Sealed content does not open: altered on disk, or its key was destroyed."""

    def __init__(self) -> None:
        super().__init__(
            "A stored message does not open: it was altered on disk, or its key was destroyed.",
            "Un message conservé ne s'ouvre pas : il a été altéré sur le disque, ou sa clé a été détruite.",
        )


class Sealer:
    """Seals one blob from start to end: `write` as content comes, `finish` once."""

    __slots__ = ("_aead", "_buffer", "_number", "key")

    def __init__(self) -> None:
        self.key = os.urandom(32)
        self._aead = AESGCM(self.key)
        self._buffer = bytearray()
        self._number = 0

    def write(self, content: bytes) -> bytes:
        """Take content of any length; returns the sealed chunks that are now full, often none."""
        self._buffer += content
        if len(self._buffer) <= CHUNK:  # the last chunk is known only at the end: one full chunk waits
            return b""
        sealed, start = [], 0
        with memoryview(self._buffer) as view:
            while len(view) - start > CHUNK:
                sealed.append(self._aead.encrypt(_nonce(self._number, False), view[start : start + CHUNK], None))
                self._number += 1
                start += CHUNK
        del self._buffer[:start]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """The last sealed chunk; there is always one, empty content included."""
        return self._aead.encrypt(_nonce(self._number, True), self._buffer, None)


def sealed_size(size: int) -> int:
    """Octets that `size` octets of content take once sealed."""
    return size + TAG * chunk_count(size)


def chunk_count(size: int) -> int:
    """Chunks of a blob of `size` octets of content."""
    return max(1, -(-size // CHUNK))


def open_chunk(aead: AESGCM, number: int, last: bool, sealed: bytes) -> bytes:
    """The content of one chunk. Raises UnsealingFailure."""
    try:
        return aead.decrypt(_nonce(number, last), sealed, None)
    except InvalidTag as error:
        raise UnsealingFailure from error


def seal_note(aead: AESGCM, note: bytes, purpose: bytes) -> bytes:
    """A small value kept beside a blob, sealed under its key: without that key it is noise too."""
    nonce = _NOTE + os.urandom(11)  # no chunk has such a number, and another note has another
    return nonce + aead.encrypt(nonce, note, purpose)


def open_note(aead: AESGCM, sealed: bytes, purpose: bytes) -> bytes:
    """What `seal_note` sealed for this purpose. Raises UnsealingFailure."""
    try:
        return aead.decrypt(sealed[:12], sealed[12:], purpose)
    except (InvalidTag, ValueError) as error:
        raise UnsealingFailure from error


def wrap(ring: Keyring, key: bytes, binding: bytes) -> tuple[int, bytes]:
    """The number of the wrapping key and the wrapped key, bound to `binding`."""
    number = ring.current
    nonce = os.urandom(12)
    return number, nonce + AESGCM(ring.content[number]).encrypt(nonce, key, binding)


def unwrap(ring: Keyring, number: int, wrapped: bytes, binding: bytes) -> AESGCM:
    """The cipher of a blob. Raises UnsealingFailure when the key is gone or the binding differs."""
    try:
        return AESGCM(AESGCM(ring.content[number]).decrypt(wrapped[:12], wrapped[12:], binding))
    except (KeyError, InvalidTag, ValueError) as error:
        raise UnsealingFailure from error


def _nonce(number: int, last: bool) -> bytes:
    return (number << 8 | last).to_bytes(12, "big")
