"""An ASGI application on a port, over HTTP or HTTPS.

What it keeps true: what strangers can take is bounded before anything is read from them: connections, in all and by
address; the time of a handshake, and of a connection's whole life. A client that sends nothing, or too slowly, costs a
place for seconds. The composition root keeps the signals.

Where operators are told apart by their certificates, TLS is the machine of `protocols.tls`: it asks for one and judges
nothing, so that the application may explain a refusal (ADR 3); it finds the chain in `request.state.client_chain`.

Flow: accept, and count in → TLS → uvicorn's protocol → the application.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from OpenSSL import SSL
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from vaguemestre.errors import ConfigurationError
from vaguemestre.protocols.tls import TlsConnection, TlsError
from vaguemestre.servers.limits import Admittance, ServerLimits, network

_LIMITS = ServerLimits(connections=500, connections_per_address=50, handshake=10)
_LIFE_S = 300.0
_ACCEPT_AGAIN_S = 0.1


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, under a certificate (PEM, leaf first, then its issuers). Raises ConfigurationError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # else a locked key would ask the terminal
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{certificate} and {key} cannot serve HTTPS: a readable certificate (PEM) and its own private key,"
            " not encrypted, are needed.",
            f"{certificate} et {key} ne permettent pas de servir en HTTPS : il faut un certificat (PEM) et sa propre clé"
            " privée, non chiffrée, lisibles.",
        ) from error
    return context


class HttpServer:
    """Started and stopped by the composition root."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, tls: ssl.SSLContext | SSL.Context | None = None, life: float = _LIFE_S
    ) -> None:
        """With `tls`, over HTTPS only; one of OpenSSL asks for certificates. A connection is cut after `life` seconds."""
        self._address = (host, port)
        config = uvicorn.Config(
            app, http=H11Protocol, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5,
            server_header=False, proxy_headers=False, ws="none",
        )  # fmt: skip
        self._server = _Uvicorn(config, tls, life)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open the port; returns it. Raises OSError."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=512, reuse_port=False)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Finish what is under way, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Uvicorn(uvicorn.Server):
    """Uvicorn behind a door of our own, which counts who comes in before anything is done for them."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | SSL.Context | None, life: float) -> None:
        super().__init__(config)
        self.life = life
        self._tls = tls
        self._admittance = Admittance(_LIMITS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections on sockets that listen already."""
        self.servers = []
        for listening in sockets or ():
            listening.setblocking(False)
            self._spawn(self._accept(listening))
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, let go of those who have not even shaken hands, then of the others in uvicorn's way."""
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, peer = await loop.sock_accept(listening)
            except OSError:  # the peer is gone already, or there are too many open files: others may end
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            where = network(str(peer[0]))
            if self._admittance.enter(where):
                self._spawn(self._open(line, where))
            else:
                line.close()

    async def _open(self, line: socket.socket, where: str) -> None:
        protocol = _Connection(self, lambda: self._admittance.leave(where))
        loop = asyncio.get_running_loop()
        try:
            # A head and its body are two writes: without this, the second waits 40 ms for the first to be acknowledged.
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if isinstance(self._tls, SSL.Context):
                secured = _Secured(TlsConnection(self._tls, server=True), protocol)
                await loop.connect_accepted_socket(lambda: secured, line)
            else:
                handshake = _LIMITS.handshake if self._tls else None
                await loop.connect_accepted_socket(
                    lambda: protocol, line, ssl=self._tls, ssl_handshake_timeout=handshake
                )
        except BaseException as error:
            line.close()
            protocol.left()
            if not isinstance(error, OSError):  # no TLS, too slow, or gone: nobody we can answer
                raise

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(H11Protocol):
    """Uvicorn's protocol, for a connection that lives a bounded time and is counted out at its end."""

    def __init__(self, server: _Uvicorn, leave: Callable[[], None]) -> None:
        super().__init__(server.config, server.server_state, {})
        self._life = server.life
        self._leave: Callable[[], None] | None = leave
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._end = self.loop.call_later(self._life, transport.abort)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
            super().connection_lost(exc)
        self.left()

    def left(self) -> None:
        """Count it out, once."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class _Secured(asyncio.Protocol):
    """TLS between a connection and the HTTP protocol, which begins with the end of the handshake."""

    def __init__(self, tls: TlsConnection, inner: _Connection) -> None:
        self._tls = tls
        self._inner = inner
        self._begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._slow = asyncio.get_running_loop().call_later(_LIMITS.handshake, transport.abort)

    def data_received(self, data: bytes) -> None:
        try:
            plaintext = self._tls.receive(data)
        except TlsError:  # not TLS, or none that we accept: the alert says which
            self._flush()
            self._transport.close()
            return
        self._flush()
        if self._tls.handshaken and not self._begun:
            self._begun = True
            self._slow.cancel()
            self._inner.app_state["client_chain"] = self._tls.peer_chain()
            self._inner.connection_made(_SecureTransport(self._tls, self._transport))
        if plaintext:
            self._inner.data_received(plaintext)
        if self._tls.closed:
            self._transport.close()

    def eof_received(self) -> None:
        """Nothing comes any more: the connection closes."""

    def pause_writing(self) -> None:
        if self._begun:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._begun:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._slow.cancel()
        if self._begun:
            self._inner.connection_lost(exc)
        else:
            self._inner.left()

    def _flush(self) -> None:
        if pending := self._tls.pending():
            self._transport.write(pending)


class _SecureTransport(asyncio.Transport):
    """What the HTTP protocol writes to: plaintext in, ciphertext on the connection."""

    def __init__(self, tls: TlsConnection, outer: asyncio.Transport) -> None:
        super().__init__({"sslcontext": tls})
        self._tls = tls
        self._outer = outer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return super().get_extra_info(name) or self._outer.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._outer.is_closing():
            return
        try:
            self._outer.write(self._tls.send(bytes(data)))
        except TlsError:
            self._outer.abort()

    def close(self) -> None:
        if not self._outer.is_closing():
            if last := self._tls.close():
                self._outer.write(last)
            self._outer.close()

    def abort(self) -> None:
        self._outer.abort()

    def is_closing(self) -> bool:
        return self._outer.is_closing()

    def pause_reading(self) -> None:
        self._outer.pause_reading()

    def resume_reading(self) -> None:
        self._outer.resume_reading()
