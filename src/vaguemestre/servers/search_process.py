"""The process that searches, from the event loop that asks: started when it is asked for the first time, or told to begin, and
again where it ended.

What it keeps true: one question at a time, in the order in which they came; one that nobody wants any more when its turn
comes is not asked; a process that died costs the question it died of a second try, and no other.
"""

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec

from vaguemestre import log
from vaguemestre.directory.register import Place, Registers
from vaguemestre.directory.search import building, process
from vaguemestre.directory.search.finder import Criteria
from vaguemestre.directory.search.index import Shelf
from vaguemestre.directory.search.process import ANSWER, LENGTH, Asked
from vaguemestre.errors import StorageFailure, VaguemestreError

_PATIENCE_S = 20.0
_LARGEST = 64 * 1024 * 1024
_log = log.get("servers.search_process")


class SearchProcess:
    """Searches an index in a process of its own. Use from one event loop; `close` it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._closed = False
        self._beginning: asyncio.Task[bytes | None] | None = None

    def begin(self) -> None:
        """Start the process now, so that the first who types need not wait for it."""
        self._beginning = asyncio.create_task(self._begin())

    async def _begin(self) -> bytes | None:
        with contextlib.suppress(VaguemestreError):  # no index yet, perhaps; who searches is told
            return await self.search(Asked("", Criteria(), "", 1))
        return None

    async def search(self, asked: Asked, wanted: Callable[[], bool] = lambda: True) -> bytes | None:
        """The answer as JSON; None where it is not wanted any more when its turn comes.

        Raises VaguemestreError where there is no index, StorageFailure where the process does not work.
        """
        async with self._turn:
            if not wanted():
                return None
            # Whoever asked may go away meanwhile; the answer would then stand before that of the next question.
            exchange = asyncio.create_task(self._exchange(msgspec.msgpack.encode(asked)))
            try:
                return _answer(await asyncio.shield(exchange))
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await exchange
                raise

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._beginning is not None:
            self._beginning.cancel()
        await self._end()

    async def _exchange(self, question: bytes) -> bytes:
        for _ in range(2):
            if self._closed:
                break
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    running = self._process or await self._start()
                    assert running.stdin is not None  # noqa: S101 - pipes, both of them
                    assert running.stdout is not None  # noqa: S101
                    running.stdin.write(process.framed(question))
                    await running.stdin.drain()
                    return await _received(running.stdout)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                _log.error("search process ended", error=type(error).__name__)
                await self._end()
        raise _failure()

    async def _start(self) -> Process:
        found = self._process = await _run(process.Serve(str(self._shelf.folder), self._shelf.key))
        return found

    async def _end(self) -> None:
        ended, self._process = self._process, None
        if ended is not None:
            with contextlib.suppress(ProcessLookupError):
                ended.kill()
            await ended.wait()


async def refresh(place: Place, shelf: Shelf) -> str:
    """Bring the index to the register's last revision, in a process that gives way; the outcome's name.

    Raises VaguemestreError. Cancelled, it ends the process: the former index stays.
    """
    task = process.Refresh(str(shelf.folder), shelf.key, str(place.folder), place.key, place.url)
    running = await _run(task)
    assert running.stdout is not None  # noqa: S101 - a pipe
    try:
        outcome = _answer(await _received(running.stdout))
    except (OSError, asyncio.IncompleteReadError) as error:
        raise _failure() from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()
    return outcome.decode()


class Follower:
    """Brings the index to each new revision of a register, whoever made it."""

    def __init__(self, place: Place, shelf: Shelf) -> None:
        self._place = place
        self._shelf = shelf
        self._registers: Registers | None = None
        self._done: object = None  # the state of the register, and the index made from it

    async def turn(self) -> None:
        """Look whether there is something to do, and do it. Raises VaguemestreError."""
        state = await asyncio.to_thread(self._state)
        if state is None or self._done == (state, self._shelf.stamp()):
            return
        outcome = await refresh(self._place, self._shelf)
        if outcome != building.Outcome.BUSY:
            self._done = state, self._shelf.stamp()
        if outcome in (building.Outcome.BUILT, building.Outcome.FOLLOWED):
            _log.info("search index renewed", outcome=outcome)

    def _state(self) -> object:
        if self._registers is None:
            if not self._place.exists():
                return None
            self._registers = Registers(self._place)
        return self._registers.current().read(building.state)


async def _run(task: "process.Serve | process.Refresh") -> Process:
    started = await asyncio.create_subprocess_exec(
        *process.command(), stdin=PIPE, stdout=PIPE, env=process.environment(), limit=_LARGEST
    )
    assert started.stdin is not None  # noqa: S101 - a pipe
    started.stdin.write(process.framed(msgspec.msgpack.encode(task)))
    return started


async def _received(stream: asyncio.StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return await stream.readexactly(length)


def _answer(received: bytes) -> bytes:
    if received[:1] == ANSWER:
        return received[1:]
    en, fr = msgspec.msgpack.decode(received[1:])
    raise VaguemestreError(en, fr)


def _failure() -> StorageFailure:
    return StorageFailure(
        "The process that searches the directory does not work. See the system's log.",
        "Le processus qui cherche dans l'annuaire ne fonctionne pas. Voyez le journal du système.",
    )
