"""Front processes: TLS, SMTP and sealing on cores of their own, beside the one process that writes.

Why: Python runs one thread at a time, and a handshake, a protocol and a transaction are each enough for one. The writer
stays alone, so that all that wait share each commit; a front needs no database, only a Desk, which this room stretches
across a socket pair between the two.

What it keeps true: a front answers `250` only once the writer said so; it ends when the writer does, at once, however
that ended, and the writer stops when a front ends unasked (what starts it again starts both). Fronts share one listening
socket and ignore the terminal's signals: the writer tells them when to stop.

Frames are a length of four octets, then MessagePack. Both ends are this code, started together: there is no version.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from vaguemestre import log
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence.entries import Entry
from vaguemestre.identity.standings import AccessChange
from vaguemestre.mailstore.changes import MailboxChange, MailboxesChange
from vaguemestre.mailstore.model import Destination
from vaguemestre.servers.verbs import CATCH_UP, Errand, Verb
from vaguemestre.servers.verbs import name as verb_name
from vaguemestre.storage.database import Database, Write
from vaguemestre.transport.intake import Accepted, Arrival, Desk

_PR_SET_PDEATHSIG = 1
_log = log.get("servers.workers")


class Locate(msgspec.Struct, tag=True):
    """Front: where does mail for this address go?"""

    id: int
    address: str


class Deliver(msgspec.Struct, tag=True):
    """Front: deliver this."""

    id: int
    arrival: Arrival


class Record(msgspec.Struct, tag=True):
    """Front: journal this refusal. No answer."""

    cause: str
    entry: Entry


class Ask(msgspec.Struct, tag=True):
    """Front: have this written, by a verb that both know."""

    id: int
    verb: str
    argument: msgspec.Raw


class Written(msgspec.Struct, tag=True):
    """Writer: it is durable; what the verb gave."""

    id: int
    result: msgspec.Raw


class Told(msgspec.Struct, tag=True):
    """Writer: this was announced, and is durable; said before the answers to those who wrote it."""

    facts: list[MailboxChange | MailboxesChange | AccessChange]


class Located(msgspec.Struct, tag=True):
    """Writer: it goes there, or nowhere."""

    id: int
    destination: Destination | None


class Delivered(msgspec.Struct, tag=True):
    """Writer: it is durable and visible."""

    id: int
    accepted: Accepted


class Failed(msgspec.Struct, tag=True):
    """Writer: it could not be done, for this fact."""

    id: int
    kind: str
    en: str
    fr: str


class Begin(msgspec.Struct, tag=True):
    """Writer: all stands, take connections."""


class TrustChanged(msgspec.Struct, tag=True):
    """Writer: the list or a CRL on disk is new."""


class Stop(msgspec.Struct, tag=True):
    """Writer: end what is under way, then end."""


_encode = msgspec.msgpack.Encoder().encode
_from_front = msgspec.msgpack.Decoder(Locate | Deliver | Record | Ask).decode
_from_writer = msgspec.msgpack.Decoder(
    Located | Delivered | Written | Told | Failed | Begin | TrustChanged | Stop
).decode
_TOLD = MailboxChange | MailboxesChange | AccessChange


class _Frames(asyncio.Protocol):
    """Cuts a stream into frames and hands each, decoded, to `take`; `ended` is set with the stream's end.

    What is sent in one turn of the loop goes as one: each time a peer is woken costs both more than the frames.
    """

    def __init__(self, decode: Callable[[bytes], Any], take: Callable[[Any], None]) -> None:
        self._decode = decode
        self._take = take
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._transport: asyncio.WriteTransport
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if len(buffer) < end:
                break
            self._take(self._decode(bytes(buffer[start + 4 : end])))
            start = end
        del buffer[:start]

    def send(self, message: Any) -> None:
        """Queue a frame; a peer that ended hears nothing."""
        self.send_frame(_frame(message))

    def send_frame(self, frame: bytes) -> None:
        """`send` of what is a frame already."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        frames, self._out = self._out, []
        if not self._transport.is_closing():
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))


def _frame(message: Any) -> bytes:
    data = _encode(message)
    return len(data).to_bytes(4, "big") + data


class RemoteDesk:
    """The desk as a front sees it. `open` it, wait for `begun`, and stop when `stopping` is set.

    `trust_changed` is set when the list or a CRL on disk is new; who sees to it clears it.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._awaited: dict[int, asyncio.Future[Any]] = {}
        self._asked: dict[int, tuple[Write, Verb | Errand]] = {}
        self._verbs: dict[str, Verb | Errand] = {}
        self._told: Callable[[Sequence[object]], None] = lambda _: None
        self._frames = _Frames(_from_writer, self._take)
        self.begun = asyncio.Event()
        self.trust_changed = asyncio.Event()
        self.stopping = asyncio.Event()

    async def open(self, line: socket.socket) -> None:
        """Connect to the writer. Its end, however it came, is a reason to stop."""
        self._loop = asyncio.get_running_loop()
        await self._loop.create_unix_connection(lambda: self._frames, sock=line)

    @property
    def ended(self) -> asyncio.Event:
        """Set when the writer is gone: what was not answered never will be."""
        return self._frames.ended

    async def destination(self, address: str) -> Destination | None:
        """See Desk."""
        number, answer = self._question()
        self._frames.send(Locate(number, address))
        found: Destination | None = await answer
        return found

    def accept(self, arrival: Arrival) -> "asyncio.Future[Accepted]":
        """See Desk."""
        number, answer = self._question()
        self._frames.send(Deliver(number, arrival))
        return answer

    def record(self, cause: str, entry: Entry) -> None:
        """See Desk."""
        self._frames.send(Record(cause, entry))

    def follow(self, verbs: dict[str, Verb | Errand], told: Callable[[Sequence[object]], None]) -> None:
        """Have `write` know these verbs, and `told` called with what is announced, before who wrote it is answered."""
        self._verbs, self._told = verbs, told

    def write(self, write: Write) -> None:
        """Have something written; see `storage.database.Elsewhere`."""
        verb, number = self._verbs[verb_name(write.fn)], next(self._numbers)
        self._asked[number] = write, verb
        self._frames.send(Ask(number, verb.name, msgspec.Raw(_encode(write.argument))))

    async def catch_up(self, account_id: int) -> None:
        """Have an account's words indexed, ahead of all else; see `mailstore.indexer`."""
        number, answer = self._question()
        self._frames.send(Ask(number, CATCH_UP, msgspec.Raw(_encode(account_id))))
        await answer

    def _question(self) -> tuple[int, "asyncio.Future[Any]"]:
        number, answer = next(self._numbers), self._loop.create_future()
        self._awaited[number] = answer
        return number, answer

    def _take(self, message: Any) -> None:
        match message:
            case Delivered(number, accepted):
                self._settle(number, accepted)
            case Located(number, destination):
                self._settle(number, destination)
            case Written(number, result) if number in self._asked:
                write, verb = self._asked.pop(number)
                write.finish(verb.read_result(result))
            case Written(number, _):
                self._settle(number, None)
            case Told(facts):
                self._told(facts)
            case Failed(number, kind, en, fr) if number in self._asked:
                self._asked.pop(number)[0].finish(None, _fact(kind, en, fr))
            case Failed(number, kind, en, fr):
                answer = self._awaited.pop(number)
                if not answer.cancelled():
                    answer.set_exception(_fact(kind, en, fr))
            case Begin():
                self.begun.set()
            case TrustChanged():
                self.trust_changed.set()
            case Stop():
                self.stopping.set()

    def _settle(self, number: int, result: Any) -> None:
        answer = self._awaited.pop(number)
        if not answer.cancelled():
            answer.set_result(result)


class Front:
    """A front process as the writer sees it."""

    def __init__(self, process: int, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._frames: _Frames
        self._desk: Desk
        self._database: Database
        self._verbs: dict[str, Verb | Errand]
        self._working: set[asyncio.Task[None]] = set()

    async def begin(self, desk: Desk, database: Database, verbs: dict[str, Verb | Errand]) -> None:
        """Answer it from now on, and let it take connections."""
        self._desk, self._database, self._verbs = desk, database, verbs
        self._frames = _Frames(_from_front, self._take)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._frames, sock=self._line)
        self._frames.send(Begin())

    def close(self) -> None:
        """Let go of the line, in a process that has nothing to say on it."""
        self._line.close()

    @property
    def ended(self) -> asyncio.Event:
        """Set when the process is gone."""
        return self._frames.ended

    def tell(self, frame: bytes) -> None:
        """Pass on what was announced."""
        self._frames.send_frame(frame)

    def trust_changed(self) -> None:
        """Tell it that the list or a CRL on disk is new."""
        self._frames.send(TrustChanged())

    async def stop(self) -> None:
        """Let it end what is under way, and wait for its end."""
        self._frames.send(Stop())
        await self.ended.wait()
        await asyncio.to_thread(os.waitpid, self._process, 0)

    def _take(self, message: Any) -> None:
        match message:
            case Deliver(number, arrival):
                self._desk.accept(arrival).add_done_callback(lambda done: self._delivered(number, done))
            case Locate(number, address):
                task = asyncio.create_task(self._locate(number, address))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            case Record(cause, entry):
                self._desk.record(cause, entry)
            case Ask(number, verb, argument):
                self._ask(number, verb, argument)

    def _ask(self, number: int, name: str, argument: msgspec.Raw) -> None:
        try:
            verb = self._verbs[name]
            written = verb.run(self._database, verb.read_argument(argument))
        except Exception as error:  # every question gets an answer
            self._frames.send(_failed(number, error))
            return
        written.add_done_callback(lambda done: self._written(number, done))

    def _written(self, number: int, done: "asyncio.Future[Any]") -> None:
        error = done.exception()
        answer = Written(number, msgspec.Raw(_encode(done.result()))) if error is None else _failed(number, error)
        self._frames.send(answer)

    def _delivered(self, number: int, done: "asyncio.Future[Accepted]") -> None:
        error = done.exception()
        self._frames.send(Delivered(number, done.result()) if error is None else _failed(number, error))

    async def _locate(self, number: int, address: str) -> None:
        try:
            self._frames.send(Located(number, await self._desk.destination(address)))
        except Exception as error:  # every question gets an answer, else its peer waits for ever
            self._frames.send(_failed(number, error))


def pass_on(database: Database, fronts: Sequence[Front]) -> None:
    """Tell fronts from now on of what is announced. Call on the event loop that answers them."""
    loop = asyncio.get_running_loop()

    def tell(frame: bytes) -> None:
        for front in fronts:
            front.tell(frame)

    def hear(facts: Sequence[object]) -> None:
        """In the writer's thread, before its callers are woken."""
        wanted = [fact for fact in facts if isinstance(fact, _TOLD)]
        if wanted:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the fronts are gone
                loop.call_soon_threadsafe(tell, _frame(Told(wanted)))

    database.listen(hear)


def fork(count: int, run: Callable[[socket.socket], None]) -> list[Front]:
    """Start front processes, each to call `run` with its line to this one. Before any thread or event loop."""
    fronts: list[Front] = []
    writer = os.getpid()
    for _ in range(count):
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            ours.close()
            for front in fronts:
                front.close()  # held here too, its line would not end with the writer
            _follow(writer)
            try:
                run(theirs)
            except BaseException as error:
                _log.error("a front failed", error=type(error).__name__, exc_info=True)
                os._exit(1)
            os._exit(0)
        theirs.close()
        fronts.append(Front(process, ours))
    return fronts


def _follow(writer: int) -> None:
    """End with the writer, even when it is killed; leave the terminal's signals to it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):  # Linux; elsewhere the end of the line says it a little later
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != writer:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _failed(number: int, error: BaseException) -> Failed:
    if isinstance(error, VaguemestreError):
        return Failed(number, type(error).__name__, error.en, error.fr)
    _log.error("the writer failed", error=type(error).__name__, exc_info=error)
    return Failed(number, "", "Trouble on our side.", "Incident de notre côté.")


def _fact(kind: str, en: str, fr: str) -> VaguemestreError:
    """The fact as the front's table of replies knows it."""
    known = next((each for each in _kinds(VaguemestreError) if each.__name__ == kind), StorageFailure)
    error = known.__new__(known)  # its words are made already
    VaguemestreError.__init__(error, en, fr)
    return error


def _kinds(kind: type[VaguemestreError]) -> Iterator[type[VaguemestreError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)
