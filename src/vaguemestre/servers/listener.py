"""Listening for clients: an open socket, its streams, the sweep that closes those that take too long."""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller

from vaguemestre import log
from vaguemestre.servers.limits import Admittance, ServerLimits
from vaguemestre.servers.stream import Floor, Stream

_SWEEP_S = 5.0
_log = log.get("servers.listener")


class Listener:
    """Listens until stopped; `session` makes the stream of one connection.

    `admittance`: what counts connections, where other processes take some too.
    """

    def __init__(
        self,
        listening: socket.socket,
        limits: ServerLimits,
        session: Callable[[Floor], Stream],
        admittance: Admittance | None = None,
    ) -> None:
        self._listening = listening
        self._session = session
        self._spool = ThreadPoolExecutor(4, thread_name_prefix="spool")
        self._floor = Floor(limits, admittance or Admittance(limits), self._spool)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take connections."""
        loop, floor = asyncio.get_running_loop(), self._floor
        self._server = await loop.create_server(lambda: self._session(floor), sock=self._listening)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Take no more connections, let what is under way end within the grace, then cut."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        streams = self._floor.streams
        self._tell(methodcaller("stop"))
        deadline = time.monotonic() + self._floor.limits.stop_grace
        while streams and time.monotonic() < deadline:  # noqa: ASYNC110 - once, while stopping
            await asyncio.sleep(0.05)
        for stream in list(streams):
            stream.abort()
        await asyncio.sleep(0)
        self._spool.shutdown()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._tell(methodcaller("sweep", time.monotonic()))

    def _tell(self, say: Callable[[Stream], None]) -> None:
        """Say something to every stream; one that fails at it is cut, and keeps it from no other."""
        for stream in list(self._floor.streams):
            try:
                say(stream)
            except Exception as error:
                _log.error("stream failed", error=type(error).__name__, exc_info=True)
                stream.abort()
