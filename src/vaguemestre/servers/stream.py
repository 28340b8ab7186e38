"""A stream: one client's connection below its protocol. Octets, TLS, whose turn it is, and the end.

What it keeps true: a client that waits for us is not read from, so that a fast one fills no memory; one that does not read
our words gets no more of them; once TLS has begun nothing goes in clear; the last words reach the client before the close,
or the sweep cuts the line.

A protocol's session is a Stream: it is fed plaintext (`_feed`), works until it waits (`_advance`), and calls `_wait` or
`_rest` to suspend itself. Nothing here blocks.
Standards: RFC 8446 §6.1 (close_notify).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from OpenSSL import SSL

from vaguemestre import log
from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.tls import TlsConnection, TlsError
from vaguemestre.servers.limits import Admittance, ServerLimits

READ_STEP = 131_072  # so that 50 peers at full speed hold the loop for 30 ms, not 70, before it comes round again
_log = log.get("servers.stream")


@dataclass(frozen=True, slots=True)
class Floor:
    """What the streams of one listener share."""

    limits: ServerLimits
    admittance: Admittance
    spool: ThreadPoolExecutor
    buffer: bytearray = field(default_factory=lambda: bytearray(READ_STEP))
    """Where octets come in: one for all, since each stream takes them out at once."""
    streams: "set[Stream]" = field(default_factory=set)


class Stream(asyncio.BufferedProtocol, ABC):
    """One connection. Methods a session gives are named under *session*."""

    def __init__(self, floor: Floor, tls: SSL.Context, *, tls_first: bool = False) -> None:
        """`tls_first`: the client begins with the handshake, without STARTTLS (RFC 8314 §3)."""
        self._floor = floor
        self._tls_context = tls
        self._tls_first = tls_first
        self._tls: TlsConnection | None = TlsConnection(tls, server=True) if tls_first else None
        self._tls_text = ""
        self._chain: tuple[bytes, ...] = ()
        self._ip = ""
        self._out: list[bytes] = []
        self._busy = False  # an answer is awaited: nothing more is read or handled
        self._paused = False
        self._choked = False  # the client does not read our words
        self._stopping = False
        self._transport: asyncio.Transport
        self._last_heard = self._opened = self._ended = time.monotonic()
        self._entered = False

    # --- session

    @abstractmethod
    def _greeting(self) -> bytes:
        """The first words."""

    @abstractmethod
    def _turning_away(self) -> bytes:
        """The only words to a client there is no place for."""

    @abstractmethod
    def _secured(self) -> None:
        """The handshake is over."""

    @abstractmethod
    def _insecure(self, error: TlsError) -> None:
        """The handshake failed."""

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """Take plaintext."""

    @abstractmethod
    def _advance(self) -> None:
        """Work until the session waits for its client or for us; then call `_flush`."""

    @abstractmethod
    def _abandon(self) -> None:
        """The client is gone: forget what was under way."""

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or turn away."""
        self._transport = cast(asyncio.Transport, transport)
        self._ip = str((transport.get_extra_info("peername") or ("unknown",))[0])
        self._entered = self._floor.admittance.enter(self._ip)
        if not self._entered:
            if self._tls is None:
                self._transport.write(self._turning_away())
            self._transport.close()
            return
        self._floor.streams.add(self)
        if self._tls is None:
            self._transport.write(self._greeting())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was under way; a commit that was is finished, and recognised when the client sends again."""
        if self._entered:
            self._floor.admittance.leave(self._ip)
        self._floor.streams.discard(self)
        self._stopping = True
        if not self._busy:
            self._abandon()

    def eof_received(self) -> bool:
        """The client closes its side: nothing it could still ask for is worth an answer."""
        return False

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next octets go."""
        return self._floor.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came; a client that fills the buffer waits while the others have their turn."""
        buffer = self._floor.buffer
        try:
            self._received(bytes(memoryview(buffer)[:nbytes]))
        except Exception as error:
            self._fail(error)
        if nbytes == len(buffer) and not self._transport.is_closing():
            self._pause()
            asyncio.get_running_loop().call_soon(self._rested)

    def pause_writing(self) -> None:
        """The client does not read: make no more words."""
        self._choked = True
        self._pause()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._choked = False
        if not self._busy and not self._transport.is_closing():
            self._proceed()

    def _received(self, data: bytes) -> None:
        self._last_heard = time.monotonic()
        if self._tls is not None:
            try:
                data = self._tls.receive(data)
            except TlsError as error:
                self._tls_failed(error)
                return
            if not self._tls_text:
                self._shake_hands()
        if data:
            self._feed(data)
        if self._busy:
            self._pause()
            return
        self._advance()
        if self._tls is not None and self._tls.closed:
            self._close()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _rested(self) -> None:
        if not self._busy and not self._choked and not self._transport.is_closing():
            self._read_on()

    # --- TLS

    def _start_tls(self) -> None:
        """Everything from now on is ciphertext."""
        self._tls = TlsConnection(self._tls_context, server=True)

    def _shake_hands(self) -> None:
        assert self._tls is not None  # noqa: S101 - its caller checked
        if pending := self._tls.pending():
            self._transport.write(pending)
        if self._tls.handshaken:
            self._tls_text = f"{self._tls.version} {self._tls.cipher}"
            self._chain = self._tls.peer_chain()
            self._secured()

    def _tls_failed(self, error: TlsError) -> None:
        if self._tls is not None and (alert := self._tls.pending()):
            self._transport.write(alert)
        if not self._tls_text:
            self._insecure(error)
        self._close()

    # --- answers

    def _flush(self) -> None:
        """Send what was said."""
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            # Once the handshake has begun nothing goes in clear any more: `send` refuses before its end.
            self._transport.write(data if self._tls is None else self._tls.send(data))

    def _wait(
        self, future: "asyncio.Future[Any]", then: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Suspend the session until a future is done."""
        self._busy = True
        future.add_done_callback(lambda done: self._resume(done, then, failed))

    def _resume(
        self, done: "asyncio.Future[Any]", then: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        self._busy = False
        if done.cancelled():  # who was to answer is gone: so are we, soon
            self._close()
        if self._transport.is_closing():
            self._abandon()
            return
        error = done.exception()
        try:
            if error is None:
                then(done.result())
            elif isinstance(error, Exception):
                if not isinstance(error, VaguemestreError):
                    _log.error("wait failed", error=type(error).__name__, exc_info=error)
                failed(error)
        except Exception as defect:
            self._fail(defect)
            return
        self._proceed()

    def _rest(self) -> None:
        """Let the others have their turn."""
        self._busy = True
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._busy = False
        if self._transport.is_closing():
            self._abandon()
            return
        self._proceed()

    def _proceed(self) -> None:
        try:
            self._advance()
        except Exception as error:
            self._fail(error)

    # --- the end

    def _fail(self, error: Exception) -> None:
        """A defect must not hang the client: nothing was acknowledged, and the line is closed."""
        _log.error("session failed", error=type(error).__name__, exc_info=error)
        try:
            self._abandon()
            self._flush()
            self._close()
        except Exception as another:
            _log.error("session cut", error=type(another).__name__)
            self._transport.abort()

    def _close(self) -> None:
        """Close once the client has read our last words; `sweep` cuts it if it never does."""
        self._ended = time.monotonic()
        if self._tls is not None and (last := self._tls.close()):
            # close_notify: without it the client cannot tell an end from a cut
            self._transport.write(last)
        self._transport.close()

    def sweep(self, now: float) -> None:
        """Close the session if it has been silent or slow too long; cut it if it does not let us close."""
        if self._transport.is_closing() and now - self._ended > self._floor.limits.farewell:
            self._transport.abort()

    @abstractmethod
    def stop(self) -> None:
        """End what is under way, then say good-bye."""

    def abort(self) -> None:
        """Cut the line."""
        self._transport.abort()
