"""The server's side of one LDAP connection, as a machine: octets in, requests out.

What stays true:
- before TLS nothing is answered but StartTLS, the root DSE and good-bye: no password is asked for in clear, and one that
  is sent all the same opens nothing; nothing sent in clear survives StartTLS;
- no more is held than one message within its bounds;
- a request reaches the caller once, with a number that no other unanswered one has, and only with controls it may have;
- whatever the octets, nothing is raised: what is no message ends the connection with a notice (RFC 4511 §4.4.1).

Rules: the caller loops `receive_data` → `next_event` until NEED_DATA, sends `data_to_send()` after each event and before
its own answers, says `answered(message_id)` with each final one, and closes once `closed`. Requests may be answered in
any order; a Bind is answered before the next event is taken.

RFC 4511, RFC 4513 §3 (StartTLS); RFC 3909 (Cancel), RFC 4532 (Who am I?).
"""

from enum import Enum

import msgspec

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap import encoding, faults
from vaguemestre.protocols.ldap.encoding import Bounds, DecodingError
from vaguemestre.protocols.ldap.messages import Abandon, Extended, Operation, Request, Scope, Search, Unbind
from vaguemestre.protocols.ldap.refusals import refusal
from vaguemestre.protocols.ldap.results import SUCCESS, Result, ResultCode

START_TLS = "1.3.6.1.4.1.1466.20037"
CANCEL = "1.3.6.1.1.8"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
EXTENSIONS = (START_TLS, CANCEL, WHO_AM_I)
PAGED_RESULTS = "1.2.840.113556.1.4.319"
_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"


class Wait(Enum):
    """Why there is no event."""

    NEED_DATA = "need data"


NEED_DATA = Wait.NEED_DATA


class StartTls(msgspec.Struct, frozen=True):
    """The handshake follows what is to send; `tls_started` once it is over."""


class Rejected(msgspec.Struct, frozen=True):
    """A request was refused here; the connection goes on unless `closed`."""

    fact: VaguemestreError


Event = Request | StartTls | Rejected


class ServerConnection:
    """One connection. Not for use by two threads."""

    __slots__ = ("_bounds", "_incoming", "_injected", "_outstanding", "_to_send", "closed", "tls_active")

    def __init__(self, bounds: Bounds | None = None, *, tls_active: bool = False) -> None:
        self._bounds = bounds or Bounds()
        self.tls_active = tls_active
        self.closed = False
        """True once the connection is over: send `data_to_send()`, then close."""
        self._incoming = bytearray()
        self._to_send: list[bytes] = []
        self._outstanding: set[int] = set()
        self._injected = False

    @property
    def buffered(self) -> int:
        """Octets fed and not consumed yet."""
        return len(self._incoming)

    def receive_data(self, data: bytes) -> None:
        """Adds what the socket gave (after TLS)."""
        if not self.closed:
            self._incoming += data

    def data_to_send(self) -> bytes:
        """What the machine itself has to say since the last call."""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    def next_event(self) -> Event | Wait:
        """The next thing that happened. Never raises because of what the client sent."""
        if self._injected:
            self._injected = False
            return self._disconnect(faults.PlaintextAfterStartTlsError())
        if self.closed:
            return NEED_DATA
        try:
            length = encoding.measure(self._incoming, self._bounds)
            if not length or len(self._incoming) < length:
                return NEED_DATA
            message = bytes(self._incoming[:length])
            del self._incoming[:length]
            request = encoding.decode(message, self._bounds)
        except DecodingError as error:
            return self._disconnect(error)
        return self._admit(request)

    def answered(self, message_id: int) -> None:
        """A request has its final answer, or was abandoned: its number may come again."""
        self._outstanding.discard(message_id)

    def tls_started(self) -> None:
        """The handshake is done: what was said in clear is forgotten; what followed StartTLS in clear ends all."""
        self._injected = bool(self._incoming)
        self._incoming.clear()
        self.tls_active = True

    def disconnect(self, outcome: Result) -> bytes:
        """The notice of disconnection with this result; the connection is over."""
        self.closed = True
        self._incoming.clear()
        return encoding.result(0, "extendedResp", outcome, responseName=_DISCONNECTION)

    def _admit(self, request: Request) -> Event:
        number, operation = request.message_id, request.operation
        if isinstance(operation, Unbind):
            self.closed = True
            return request
        if not number or number in self._outstanding:
            return self._disconnect(faults.MessageIdError())
        if isinstance(operation, Extended) and operation.name == START_TLS:
            return self._start_tls(number)
        if not self.tls_active and not _of_everybody(operation):
            return self._refuse(request, faults.PrivacyError())
        if any(each.critical and not _known(operation, each.type) for each in request.controls):
            return self._refuse(request, faults.CriticalControlError())
        if not isinstance(operation, Abandon):
            self._outstanding.add(number)
        return request

    def _start_tls(self, number: int) -> Event:
        fact: VaguemestreError | None = None
        if self.tls_active:
            fact = faults.TlsActiveError()
        elif self._outstanding:
            fact = faults.OutstandingError()
        outcome = SUCCESS if fact is None else refusal(fact)
        self._to_send.append(encoding.result(number, "extendedResp", outcome, responseName=START_TLS.encode()))
        return StartTls() if fact is None else Rejected(fact)

    def _refuse(self, request: Request, fact: VaguemestreError) -> Rejected:
        if kind := encoding.response_to(request.operation):
            self._to_send.append(encoding.result(request.message_id, kind, refusal(fact)))
        return Rejected(fact)

    def _disconnect(self, fact: VaguemestreError) -> Rejected:
        self._to_send.append(self.disconnect(refusal(fact)))
        return Rejected(fact)


def _of_everybody(operation: Operation) -> bool:
    """What may be asked in clear: what a client must know to begin (RFC 4513 §3.1.5), and to give up."""
    return isinstance(operation, Abandon) or (
        isinstance(operation, Search) and operation.scope is Scope.BASE and not operation.base
    )


def _known(operation: Operation, control: str) -> bool:
    return control == PAGED_RESULTS and isinstance(operation, Search)


def unavailable(text: str) -> bytes:
    """The notice of disconnection to a client there is no place for."""
    return ServerConnection().disconnect(Result(ResultCode.BUSY, text))
