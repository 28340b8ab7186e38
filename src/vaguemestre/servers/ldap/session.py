"""An LDAP session: a program's connection to the directory, from its first octet to its last.

What it keeps true: nothing is read from the directory by whom it does not know; nothing is ever written; what is asked
is answered once, unless it was abandoned; a program that does not read our answers gets no more of them, and one that
asks too much at once waits; a search ends within its limits, and says which one ended it.

Flow: `stream` → machine → one method an operation; searches are tasks, so that another can be abandoned or made
meanwhile, as programs do at each key that is typed.
Standards: RFC 4511, RFC 4513; RFC 2696 (pages), RFC 3909 (Cancel), RFC 4532 (Who am I?).
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL

from vaguemestre import log
from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap import encoding, messages, names
from vaguemestre.protocols.ldap.messages import Control, Request
from vaguemestre.protocols.ldap.results import SUCCESS, Result, ResultCode
from vaguemestre.protocols.ldap.server import (
    CANCEL,
    PAGED_RESULTS,
    WHO_AM_I,
    ServerConnection,
    StartTls,
    Wait,
    unavailable,
)
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.ldap import matching
from vaguemestre.servers.ldap.errors import RefusedError, refusal
from vaguemestre.servers.ldap.readers import Caller, Reader, Readers
from vaguemestre.servers.ldap.tree import Position, Query, Stage, Tree, folded_name
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.servers.stream import Floor, Stream

_MOST_AT_ONCE = 16  # operations of one connection under way; beyond, nothing more is read
_MOST_WRITES = 20
_COOKIE = struct.Struct(">8sBq")
_log = log.get("servers.ldap")


@dataclass(frozen=True, slots=True)
class DirectoryReading:
    """What every session of the directory's listeners shares. `most` entries a search, `seconds` of work for each."""

    tls: SSL.Context
    tree: Tree
    readers: Readers
    limits: ServerLimits
    most: int = 500
    seconds: float = 10


@dataclass(frozen=True, slots=True)
class _Page:
    size: int
    position: Position


class Session(Stream):
    """One connection of a program."""

    def __init__(self, service: DirectoryReading, floor: Floor, *, tls_first: bool = False) -> None:
        super().__init__(floor, service.tls, tls_first=tls_first)
        self._service = service
        self._machine = ServerConnection(tls_active=tls_first)
        self._reader: Reader | None = service.readers.stranger
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self._writes = 0

    # --- stream

    def _greeting(self) -> bytes:
        return b""

    def _turning_away(self) -> bytes:
        return unavailable("Trop de connexions ; réessayez plus tard. / Too many connections; try again later.")

    def _secured(self) -> None:
        if not self._tls_first:
            self._machine.tls_started()

    def _insecure(self, error: TlsError) -> None:
        _log.info("no TLS", ip=self._ip, reason=error.en)

    def _feed(self, data: bytes) -> None:
        self._machine.receive_data(data)

    def _abandon(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was under way."""
        super().connection_lost(exc)
        self._writable.set()
        self._abandon()

    def pause_writing(self) -> None:
        """The client does not read: searches wait."""
        self._writable.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable.set()
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Close a connection whose client has long been silent, while nothing is under way for it."""
        super().sweep(now)
        limits = self._floor.limits
        longest = limits.idle if self._tls_text else limits.handshake
        if not self._transport.is_closing() and not self._tasks and now - self._last_heard > longest:
            self._hang_up(Result(ResultCode.OTHER, "Trop longtemps sans requête. / No request for too long."))

    def stop(self) -> None:
        """Say good-bye."""
        if not self._transport.is_closing():
            self._stopping = True
            self._hang_up(Result(ResultCode.UNAVAILABLE, "Arrêt du serveur. / The server stops."))

    def _hang_up(self, why: Result) -> None:
        self._abandon()
        if self._tls is None or self._tls_text:
            self._out.append(self._machine.disconnect(why))
            self._flush()
        self._close()

    # --- events

    def _advance(self) -> None:
        machine = self._machine
        while not self._busy and not self._choked:
            if len(self._tasks) >= _MOST_AT_ONCE:
                self._flush()
                self._pause()
                return
            event = machine.next_event()
            if own := machine.data_to_send():
                self._out.append(own)
            if isinstance(event, Wait):
                break
            if isinstance(event, StartTls):
                self._flush()
                self._start_tls()
                break
            if isinstance(event, Request):
                self._handle(event)
            if machine.closed:
                break
        self._flush()
        if machine.closed and not self._busy:
            self._abandon()
            self._close()
        elif not self._busy and not self._choked:
            self._read_on()

    def _handle(self, request: Request) -> None:
        match request.operation:
            case messages.Unbind():
                return
            case messages.Abandon(number):
                self._forget(number)
            case messages.Bind():
                self._begin_bind(request, request.operation)
            case messages.Write():
                self._refuse_write(request)
            case messages.Extended():
                self._extended(request, request.operation)
            case messages.Compare():
                self._start(request, self._compare, request.operation)
            case messages.Search():
                self._start(request, self._search, request.operation)

    def _start(self, request: Request, work: Callable[[Request, Any], Awaitable[None]], asked: Any) -> None:
        number = request.message_id
        task = asyncio.get_running_loop().create_task(self._run(request, work, asked))
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._over(number, done))

    async def _run(self, request: Request, work: Callable[[Request, Any], Awaitable[None]], asked: Any) -> None:
        try:
            await work(request, asked)
        except Exception as error:
            if not isinstance(error, VaguemestreError):
                _log.error("an operation failed", error=type(error).__name__, exc_info=True)
            self._answer(request, refusal(error))

    def _over(self, number: int, done: "asyncio.Task[None]") -> None:
        if self._tasks.get(number) is done:
            del self._tasks[number]
            self._machine.answered(number)
        if not self._transport.is_closing() and not self._busy:
            self._proceed()

    def _forget(self, number: int) -> bool:
        """Abandon an operation; whether there was one."""
        task = self._tasks.pop(number, None)
        if task is None:
            return False
        task.cancel()
        self._machine.answered(number)
        return True

    def _answer(self, request: Request, outcome: Result, *controls: Control, **more: bytes) -> None:
        if self._transport.is_closing():
            return
        kind = encoding.response_to(request.operation)
        self._out.append(encoding.result(request.message_id, kind, outcome, controls, **more))
        self._machine.answered(request.message_id)
        self._flush()

    # --- who

    def _begin_bind(self, request: Request, bind: messages.Bind) -> None:
        """Whatever was under way is abandoned (RFC 4511 §4.2.1), and nothing is read before the answer."""
        for number in list(self._tasks):
            self._forget(number)
        self._reader = self._service.readers.stranger
        binding = asyncio.ensure_future(self._bind(bind))
        self._wait(
            binding,
            lambda reader: self._bound(request, reader),
            lambda error: self._answer(request, refusal(error)),
        )

    async def _bind(self, bind: messages.Bind) -> Reader:
        if bind.version != 3:
            raise RefusedError(
                ResultCode.PROTOCOL_ERROR, "This server speaks LDAPv3 only.", "Ce serveur ne parle que LDAPv3."
            )
        caller = Caller(self._ip, self._tls_text, self._chain)
        match bind.credentials:
            case messages.Simple(password):
                return await self._service.readers.with_password(bind.name, password, caller)
            case messages.Sasl("EXTERNAL", wanted):
                return await self._service.readers.with_certificate((wanted or b"").decode("utf-8", "replace"), caller)
        raise RefusedError(
            ResultCode.AUTH_METHOD_NOT_SUPPORTED,
            "This server takes a name with its password, or a certificate (EXTERNAL).",
            "Ce serveur accepte un nom avec son mot de passe, ou un certificat (EXTERNAL).",
        )

    def _bound(self, request: Request, reader: Reader) -> None:
        self._reader = reader
        self._answer(request, SUCCESS)

    def _let_in(self) -> None:
        if self._reader is None:
            raise RefusedError(
                ResultCode.INSUFFICIENT_ACCESS_RIGHTS,
                "Sign in first: this directory is not read anonymously.",
                "Connectez-vous d'abord : cet annuaire ne se lit pas anonymement.",
            )

    # --- small operations

    def _refuse_write(self, request: Request) -> None:
        self._writes += 1
        if self._writes > _MOST_WRITES:
            self._hang_up(Result(ResultCode.UNWILLING_TO_PERFORM, "Trop d'écritures. / Too many writes."))
            return
        self._answer(
            request,
            Result(
                ResultCode.UNWILLING_TO_PERFORM,
                "Cet annuaire ne s'écrit pas par LDAP : les opérateurs publient par l'API FHIR."
                " / This directory is not written by LDAP: operators publish by the FHIR API.",
            ),
        )

    def _extended(self, request: Request, asked: messages.Extended) -> None:
        if asked.name == WHO_AM_I:
            identity = self._reader.identity if self._reader is not None else ""
            self._answer(request, SUCCESS, responseValue=identity.encode())
        elif asked.name == CANCEL:
            self._cancel(request, asked)
        else:
            words = "Opération inconnue de ce serveur. / This server knows no such operation."
            self._answer(request, Result(ResultCode.PROTOCOL_ERROR, words))

    def _cancel(self, request: Request, asked: messages.Extended) -> None:
        try:
            number = encoding.read_cancel(asked.value)
        except VaguemestreError as error:
            self._answer(request, refusal(error))
            return
        if not self._forget(number):
            words = "Il n'y a pas de telle opération en cours. / There is no such operation under way."
            self._answer(request, Result(ResultCode.NO_SUCH_OPERATION, words))
            return
        words = "Annulée. / Cancelled."
        self._out.append(encoding.result(number, "searchResDone", Result(ResultCode.CANCELED, words)))
        self._answer(request, SUCCESS)

    async def _compare(self, request: Request, asked: messages.Compare) -> None:
        self._let_in()
        tree = self._service.tree
        name = folded_name(names.parse(asked.entry))
        fixed = tree.entry_of(name)
        line = None if fixed is not None else await tree.line(name)
        if fixed is None and line is None:
            raise tree.missing(name)
        wanted = messages.Equality(asked.attribute, asked.value)
        entry: matching.Entry
        if fixed is not None:
            entry, known = fixed, fixed.find(asked.attribute)
        else:
            assert line is not None  # noqa: S101 - one of them is there
            entry, known = tree.leaf(line), tree.known(asked.attribute)
        if known is None:
            raise RefusedError(
                ResultCode.UNDEFINED_ATTRIBUTE_TYPE,
                "This directory has no such attribute; see its subschema.",
                "Cet annuaire n'a pas de tel attribut ; voyez son sous-schéma.",
            )
        if not any(True for _ in entry.folded(known)):
            raise RefusedError(
                ResultCode.NO_SUCH_ATTRIBUTE,
                "The entry does not have this attribute.",
                "L'entrée n'a pas cet attribut.",
            )
        equal = matching.compiled(wanted, lambda _: known)(entry)
        self._answer(request, Result(ResultCode.COMPARE_TRUE if equal else ResultCode.COMPARE_FALSE))

    # --- searches

    async def _search(self, request: Request, asked: messages.Search) -> None:
        tree, service = self._service.tree, self._service
        if asked.scope is None:
            raise RefusedError(ResultCode.PROTOCOL_ERROR, "Unknown scope.", "Portée inconnue.")
        query = tree.query(asked)
        if query.base or query.scope is not messages.Scope.BASE:
            self._let_in()
        page = self._page(request, query)
        seconds = min(asked.time_limit or service.seconds, service.seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._send_entries(request, asked, query, page)
        except TimeoutError:
            words = (
                f"Recherche arrêtée après {seconds:g} s : précisez-la, par le début d'un nom ou une adresse."
                f" / Search stopped after {seconds:g} s: narrow it, by the beginning of a name or an address."
            )
            self._answer(request, Result(ResultCode.TIME_LIMIT_EXCEEDED, words), *_last_page(page))

    async def _send_entries(self, request: Request, asked: messages.Search, query: Query, page: _Page | None) -> None:
        """Send what is found, within the smallest limit."""
        tree, number = self._service.tree, request.message_id
        most = min(asked.size_limit or self._service.most, self._service.most)
        wanted = most if page is None else min(page.size, self._service.most)
        position = page.position if page is not None else Position()
        sent = 0
        if position.stage is Stage.ABOVE:
            fixed = tree.fixed(query, asked.filter)
            self._out += encoding.found(number, fixed[:most])
            sent = len(fixed[:most])
            if len(fixed) > most:
                self._full(request, page)
                return
        async for some in tree.found(query, position):
            room = max(0, wanted - sent)
            self._out += encoding.found(number, some.entries[:room])
            sent += len(some.entries[:room])
            if some.positions[:room]:
                position = some.positions[:room][-1]
            if len(some.entries) > room:
                if page is None or (asked.size_limit and sent >= asked.size_limit):
                    self._full(request, page)
                else:
                    self._answer(request, SUCCESS, _continued(query, position))
                return
            self._flush()
            await self._writable.wait()
        self._answer(request, SUCCESS, *_last_page(page))

    def _full(self, request: Request, page: _Page | None) -> None:
        words = (
            "Il y en a davantage : précisez la recherche, ou demandez des pages."
            " / There are more: narrow the search, or ask for pages."
        )
        self._answer(request, Result(ResultCode.SIZE_LIMIT_EXCEEDED, words), *_last_page(page))

    def _page(self, request: Request, query: Query) -> _Page | None:
        """The page asked for. Raises DecodingError, RefusedError."""
        control = next((each for each in request.controls if each.type == PAGED_RESULTS), None)
        if control is None:
            return None
        size, cookie = encoding.read_paged_results(control.value)
        if size < 0:
            raise RefusedError(ResultCode.PROTOCOL_ERROR, "A page has a size.", "Une page a une taille.")
        if not cookie:
            return _Page(size or self._service.most, Position())
        try:
            digest, stage, last = _COOKIE.unpack(cookie)
            position = Position(Stage(stage), last)
        except (struct.error, ValueError):
            digest, position = b"", Position()
        if digest != query.digest:
            raise RefusedError(
                ResultCode.UNWILLING_TO_PERFORM,
                "This cookie is not of this search: begin it again.",
                "Ce témoin n'est pas celui de cette recherche : recommencez-la.",
            )
        return _Page(size or 0, position)


def _continued(query: Query, position: Position) -> Control:
    # A page may end before the first address: after the entries above them.
    stage = position.stage if position.stage is not Stage.ABOVE else Stage.KEYED
    cookie = _COOKIE.pack(query.digest, stage, position.last)
    return Control(PAGED_RESULTS, False, encoding.write_paged_results(0, cookie))


def _last_page(page: _Page | None) -> tuple[Control, ...]:
    return () if page is None else (Control(PAGED_RESULTS, False, encoding.write_paged_results(0, b"")),)
