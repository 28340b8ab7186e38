"""Listening for peers: an open socket, its sessions, the sweep that closes those that take too long."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from vaguemestre.servers.limits import Admittance
from vaguemestre.servers.smtp import READ_STEP, Operator, Session

_SWEEP_S = 5.0


class Listener:
    """Listens for peers until stopped."""

    def __init__(self, operator: Operator, listening: socket.socket) -> None:
        self._operator = operator
        self._listening = listening
        self._sessions: set[Session] = set()
        self._admittance = Admittance(operator.limits)
        self._spool = ThreadPoolExecutor(4, thread_name_prefix="spool")
        self._buffer = bytearray(READ_STEP)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take connections."""
        self._server = await asyncio.get_running_loop().create_server(self._session, sock=self._listening)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Take no more connections, let messages under way end within the grace, then cut."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        for session in list(self._sessions):
            session.stop()
        deadline = time.monotonic() + self._operator.limits.stop_grace
        while self._sessions and time.monotonic() < deadline:  # noqa: ASYNC110 - once, while stopping
            await asyncio.sleep(0.05)
        for session in list(self._sessions):
            session.abort()
        await asyncio.sleep(0)
        self._spool.shutdown()

    def _session(self) -> Session:
        return Session(self._operator, self._admittance, self._sessions, self._spool, self._buffer)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for session in list(self._sessions):
                session.sweep(now)
