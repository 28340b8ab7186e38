"""The server's side of a connection of a mail program, which signs in and then sends: the machine of `server`, and AUTH.

What stays true, besides:
- nobody signs in before TLS, and nothing is sent before somebody signed in;
- a response to a challenge is never read as a command, nor a command as a response;
- one sign-in a connection: who sends cannot change halfway.

A conversation: Hello · Authenticate · `challenge` · SaslResponse … · reply 235 · MailFrom, as for peers. A refusal, a
cancel (`*`) or what is not base64 ends the exchange, and another may begin.

RFC 6409 §4.3, §6; RFC 4954 §4 to §6; RFC 8314 §3.3 (TLS from the start).
"""

from binascii import b2a_base64

from vaguemestre.protocols import sasl
from vaguemestre.protocols.smtp import commands, events, faults
from vaguemestre.protocols.smtp.commands import parse_submission_command
from vaguemestre.protocols.smtp.events import NEED_DATA, Wait
from vaguemestre.protocols.smtp.refusals import refusal
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits, ServerConnection

LINE = 12_288  # octets of a command or response, CRLF included (RFC 4954 §4)
_EXCHANGE = (events.Authenticate, events.SaslResponse)
_HELP = Reply.explained(
    214,
    "2.0.0",
    "Ce serveur envoie le courrier de vos comptes MSSanté : EHLO, STARTTLS, AUTH, puis MAIL, RCPT, DATA.",
    "This server sends the mail of your MSSanté accounts: EHLO, STARTTLS, AUTH, then MAIL, RCPT, DATA.",
)


class SubmissionConnection(ServerConnection):
    """One connection of a mail program. Not for use by two threads."""

    __slots__ = ("_exchanging", "_mechanisms", "authenticated")

    _parse = staticmethod(parse_submission_command)

    def __init__(
        self,
        hostname: str,
        mechanisms: tuple[str, ...],
        limits: Limits | None = None,
        *,
        tls_active: bool = False,
        extensions: tuple[str, ...] = (),
    ) -> None:
        """`mechanisms`: names of SASL mechanisms in upper case, offered under TLS, the preferred one first."""
        limits = limits or Limits(command_line=LINE)
        super().__init__(hostname, limits, tls_required=False, tls_active=tls_active, extensions=extensions)
        self._mechanisms = mechanisms
        self._exchanging = False
        self.authenticated = False

    def challenge(self, data: bytes) -> bytes:
        """Answers Authenticate or SaslResponse: the exchange goes on with these octets, maybe none."""
        if not isinstance(self._outstanding, _EXCHANGE):
            raise RuntimeError("a challenge answers an Authenticate or SaslResponse event")
        self._outstanding = None
        self._exchanging = True
        return b"334 %b\r\n" % b2a_base64(data, newline=False)

    def _accepted(self, event: events.Event) -> None:
        if isinstance(event, _EXCHANGE):
            self.authenticated, self._exchanging = True, False
        else:
            super()._accepted(event)

    def _refused(self, event: events.Event) -> None:
        if isinstance(event, _EXCHANGE):
            self._exchanging = False
            self._excused = True  # mail pipelined behind it
        else:
            super()._refused(event)

    def _offered(self) -> tuple[str, ...]:
        offered = super()._offered()
        return (*offered, f"AUTH {' '.join(self._mechanisms)}") if self.tls_active and self._mechanisms else offered

    def _advance(self) -> events.Event | Wait:
        return self._read_response() if self._exchanging else super()._advance()

    def _read_response(self) -> events.Event | Wait:
        start = self._position
        end = self._buffer.find(b"\n", start) + 1
        if (end or len(self._buffer)) - start > self._limits.command_line:
            return _violation(faults.SaslLineError())
        if not end:
            return NEED_DATA
        line = self._buffer[start:end]
        self._position = end
        if not line.endswith(b"\r\n"):
            return _violation(faults.BareCommandLineEndError())
        line = line[:-2]
        if line == b"*":
            return self._give_up(faults.SaslCancelledError())
        try:
            return events.SaslResponse(sasl.decode(line))
        except sasl.SaslError:
            return self._give_up(faults.SaslResponseError())

    def _give_up(self, fact: faults.PeerError) -> events.Event:
        self._exchanging = False
        return self._reject(fact)

    def _judged(self, command: commands.Command, ascii_only: bool) -> events.Event | Wait:
        match command:
            case commands.Auth():
                return self._auth(command)
            case commands.Help():
                return events.Answered(_HELP)
            case commands.Mail() if not self.authenticated:
                event = self._reject(faults.SignInNeededError() if self.tls_active else faults.TlsFirstError())
                self._excused = True  # RCPT and DATA pipelined behind it
                return event
        return super()._judged(command, ascii_only)

    def _auth(self, command: commands.Auth) -> events.Event:
        if not self.tls_active:
            return self._reject(faults.EncryptionNeededError())
        if self.authenticated:
            return self._reject(faults.SignedInError())
        if not self._greeted:
            return self._reject(faults.SequenceError("EHLO"))
        if command.mechanism not in self._mechanisms:
            return self._reject(faults.MechanismError())
        if command.initial_response is None:
            return events.Authenticate(command.mechanism)
        try:
            return events.Authenticate(command.mechanism, sasl.decode(command.initial_response.encode()))
        except sasl.SaslError:
            return self._reject(faults.SaslResponseError())


def _violation(fact: faults.PeerError) -> events.Violation:
    return events.Violation(fact, refusal(fact))
