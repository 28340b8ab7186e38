"""SMTP from other operators: socket, TLS, protocol machine, trust, reception.

What it keeps true: no recipient is accepted before the certificate is admitted for the domain of the reverse-path; every
refusal carries a code, a sentence in French and in English, and stands in the journal; `250` to content is sent only
once the message is durable and visible. Nothing here blocks: what touches the disk runs in threads or in the writer.

Flow: `stream` → machine → one method an event → reply. A session handles one event at a time; while it
waits (a look-up, the spool, the commit) its peer is not read from, so that a fast peer fills no memory.
Standards: RFC 5321, RFC 3207, RFC 3461 (what is recorded), spec trust-space §2.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL

from vaguemestre import log
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore.model import AccountClosedError, AccountState, Destination, UnknownAccountError
from vaguemestre.protocols.smtp import events, faults
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.commands import Mail
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.servers.replies import (
    BYE,
    OK,
    READY,
    RECIPIENT_OK,
    STOPPING,
    TOO_MANY,
    TOO_MANY_REFUSED,
    TOO_SLOW,
    TRY_LATER,
    MailboxFullError,
    NotServedError,
    refusal,
)
from vaguemestre.servers.stream import Floor, Stream
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.intake import Accepted, Arrival, Incoming, Intake, Peer
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.judge import Judge

_SPOOL_STEP = 262_144
_MOST_AT_ONCE = 128  # pipelined commands handled before the other sessions have their turn
_log = log.get("servers.smtp")


@dataclass(frozen=True, slots=True)
class Operator:
    """What every session of a listener shares."""

    hostname: str
    local_domains: frozenset[str]
    tls: SSL.Context
    judge: Judge
    intake: Intake
    limits: ServerLimits


class Session(Stream):
    """One connection of a peer."""

    def __init__(self, operator: Operator, floor: Floor) -> None:
        super().__init__(floor, operator.tls)
        self._operator = operator
        self._machine = ServerConnection(operator.hostname, _machine_limits(operator.limits))
        self._helo = ""
        self._since = self._opened
        self._content_octets = 0
        self._admitted = False
        self._mails_left = operator.limits.refused_mails
        self._recipients_left = operator.limits.refused_recipients
        self._peer: Peer | None = None
        self._envelope: Envelope | None = None
        self._announced = 0
        self._recipients: list[tuple[Recipient, Destination]] = []
        self._incoming: Incoming | None = None
        self._failure: Exception | None = None
        self._held = bytearray()

    # --- connection

    def _greeting(self) -> bytes:
        return self._machine.greeting()

    def _turning_away(self) -> bytes:
        return TOO_MANY.encode()

    def _secured(self) -> None:
        self._machine.tls_started()

    def _insecure(self, error: TlsError) -> None:
        self._journal_refusal(Event.PEER_REFUSAL, "tls-failure", {"reason": error.en}, {})

    def _feed(self, data: bytes) -> None:
        self._machine.receive_data(data)

    def _fail(self, error: Exception) -> None:
        """Tell the peer to try again."""
        self._out.append(TRY_LATER.encode())
        super()._fail(error)

    # --- events

    def _advance(self) -> None:
        """Handle events until the machine wants data or the session waits; then send all replies at once."""
        machine, handled = self._machine, 0
        while not self._busy and not self._choked:
            if handled == _MOST_AT_ONCE:
                self._rest()
                break
            handled += 1
            event = machine.next_event()
            if isinstance(event, events.Wait):
                break
            _ON[type(event)](self, event)
        self._flush()
        if machine.closed:
            self._abandon()
            self._close()
        elif self._stopping and not self._busy and self._envelope is None:
            self._say_and_close(STOPPING)
        elif not self._busy and not self._choked:
            # Only now, with nothing left to handle: else each wait would let in more than it handles.
            self._read_on()

    def _reply(self, reply: Reply) -> None:
        self._out.append(self._machine.reply(reply))

    def _hello(self, event: events.Hello) -> None:
        self._abandon()
        self._helo = event.name
        self._out.append(self._machine.accept_hello())

    def _starttls(self, event: events.StartTls) -> None:
        self._reply(READY)
        self._flush()
        self._start_tls()

    def _mail_from(self, event: events.MailFrom) -> None:
        command = event.command
        domain = command.reverse_path.domain if command.reverse_path is not None else None
        judge = self._operator.judge
        decided = judge.decide(self._chain, domain)
        if judge.may_learn(decided, self._chain):
            learning = asyncio.ensure_future(judge.learn(self._chain, domain))
            self._wait(
                learning, lambda learnt: self._admit(command, learnt), lambda error: self._refuse_mail(refusal(error))
            )
        else:
            self._admit(command, decided)

    def _refuse_mail(self, reply: Reply) -> None:
        self._mails_left -= 1
        self._reply(reply if self._mails_left >= 0 else TOO_MANY_REFUSED)

    def _admit(self, command: Mail, decided: Admission) -> None:
        if not decided.allowed:
            self._refuse_peer(decided, command.reverse_path)
            return
        self._admitted = True
        evidence = decided.evidence
        self._peer = Peer(
            evidence.subject, evidence.sha256, evidence.list_generated, self._tls_text, self._ip, self._helo
        )
        self._envelope = Envelope(
            command.reverse_path.text if command.reverse_path is not None else "",
            returned=str(command.ret.value) if command.ret else "",
            envelope_id=command.envid or "",
            utf8=command.smtputf8,
        )
        self._announced = command.size or 0
        self._reply(OK)

    def _refuse_peer(self, decided: Admission, reverse_path: Address | None) -> None:
        evidence = decided.evidence
        facts = {"peer": evidence.subject, "certificate": evidence.sha256, "list": evidence.list_generated}
        personal = {"from": reverse_path.text if reverse_path is not None else ""}
        self._journal_refusal(Event.PEER_REFUSAL, decided.rule, facts, personal)
        code, enhanced = (451, "4.7.1") if decided.temporary else (550, "5.7.1")
        self._refuse_mail(Reply.explained(code, enhanced, decided.fr, decided.en))

    def _rcpt_to(self, event: events.RcptTo) -> None:
        path = event.command.forward_path
        recipient = Recipient(
            path.text if path.domain else f"postmaster@{min(self._operator.local_domains)}",
            frozenset(str(each.value) for each in event.command.notify),
            event.command.orcpt or "",
        )
        if recipient.domain not in self._operator.local_domains:
            self._refuse_recipient(recipient, NotServedError(recipient.domain))
            return
        known = self._operator.intake.known_destination(recipient.address)
        if known is not None:
            self._destined(recipient, known[0])
            return
        look_up = asyncio.ensure_future(self._operator.intake.destination(recipient.address))
        self._wait(
            look_up,
            lambda found: self._destined(recipient, found),
            lambda error: self._refuse_recipient(recipient, error),
        )

    def _destined(self, recipient: Recipient, destination: Destination | None) -> None:
        if destination is None:
            self._refuse_recipient(recipient, UnknownAccountError(recipient.address))
        elif destination.state is AccountState.CLOSED:
            self._refuse_recipient(recipient, AccountClosedError())
        elif destination.room < max(self._announced, 1):
            self._refuse_recipient(recipient, MailboxFullError())
        else:
            self._recipients.append((recipient, destination))
            self._reply(RECIPIENT_OK)

    def _refuse_recipient(self, recipient: Recipient, error: Exception) -> None:
        reply = refusal(error)
        self._journal_message_refusal(type(error).__name__, reply, {"to": recipient.address})
        self._recipients_left -= 1
        self._reply(reply if self._recipients_left >= 0 else TOO_MANY_REFUSED)

    # --- content

    def _content_starts(self, event: events.ContentStarts) -> None:
        assert self._envelope is not None and self._peer is not None  # noqa: S101, PT018 - the machine saw MAIL accepted
        recipients, destinations = zip(*_once(self._recipients), strict=True)
        envelope = Envelope(
            self._envelope.reverse_path,
            recipients,
            self._envelope.returned,
            self._envelope.envelope_id,
            self._envelope.utf8,
        )
        try:
            self._incoming = self._operator.intake.begin(self._peer, envelope, destinations)
        except VaguemestreError as error:
            self._reply(refusal(error))
            return
        self._content_octets = 0
        self._since = time.monotonic()
        self._out.append(self._machine.accept_content())

    def _content(self, event: events.Content) -> None:
        self._content_octets += len(event.data)
        if self._failure is not None or self._incoming is None:
            return
        if self._incoming.spooled:
            self._held += event.data
            if len(self._held) >= _SPOOL_STEP:
                self._to_spool(self._incoming.write, lambda _: None)
            return
        try:
            self._incoming.write(event.data)
        except VaguemestreError as error:
            self._content_failed(error)

    def _content_ends(self, event: events.ContentEnds) -> None:
        incoming = self._incoming
        if event.fault is not None and event.refusal is not None:
            self._journal_message_refusal(type(event.fault).__name__, event.refusal, {})
            self._abandon()
            self._reply(event.refusal)
        elif self._failure is not None or incoming is None:
            self._not_kept(self._failure or StorageFailure("There is nothing to deliver.", "Il n'y a rien à remettre."))
        elif incoming.spooled:
            self._to_spool(lambda data: _finish(incoming, data), self._arrived)
        else:
            try:
                arrival = incoming.finish()
            except VaguemestreError as error:
                self._not_kept(error)
                return
            self._arrived(arrival)

    def _to_spool(self, work: Callable[[bytes], Any], then: Callable[[Any], None]) -> None:
        """Write what is held in a thread; a failure is remembered, or answered at once where the content has ended."""
        data, self._held = bytes(self._held), bytearray()
        ended = then == self._arrived
        future = asyncio.get_running_loop().run_in_executor(self._floor.spool, work, data)
        self._wait(future, then, self._not_kept if ended else self._content_failed)

    def _arrived(self, arrival: Arrival) -> None:
        self._wait(self._operator.intake.desk.accept(arrival), self._accepted, self._not_kept)

    def _accepted(self, accepted: Accepted) -> None:
        self._incoming = None
        self._forget_transaction()
        self._reply(
            Reply(250, "2.0.0", (f"{'Already delivered' if accepted.repeated else 'Delivered'} as {accepted.id}",))
        )

    def _content_failed(self, error: Exception) -> None:
        self._failure = error
        if self._incoming is not None:
            self._incoming.abandon()

    def _not_kept(self, error: Exception) -> None:
        reply = refusal(error)
        self._journal_message_refusal(type(error).__name__, reply, {})
        self._abandon()
        self._reply(reply)

    # --- the rest

    def _reset(self, event: events.Reset) -> None:
        self._abandon()
        self._reply(Reply(250, "2.0.0", ("OK",)))

    def _quit(self, event: events.Quit) -> None:
        self._abandon()
        self._reply(BYE)

    def _answered(self, event: events.Answered) -> None:
        self._reply(event.reply)

    def _rejected(self, event: events.Rejected | events.Violation) -> None:
        if isinstance(event.fact, faults.TlsRequiredError):
            self._journal_refusal(Event.PEER_REFUSAL, "no-tls", {}, {})
        elif isinstance(event, events.Violation):
            self._journal_refusal(Event.PEER_REFUSAL, type(event.fact).__name__, {}, {})
        self._reply(event.reply)

    def _forget_transaction(self) -> None:
        self._peer = self._envelope = self._incoming = self._failure = None
        self._announced = 0
        self._recipients = []
        self._held = bytearray()

    def _abandon(self) -> None:
        if self._incoming is not None:
            self._incoming.abandon()
        self._forget_transaction()

    def _journal_message_refusal(self, rule: str, reply: Reply, personal: dict[str, str]) -> None:
        peer, envelope = self._peer, self._envelope
        facts = {"peer": peer.name, "certificate": peer.fingerprint} if peer is not None else {}
        if envelope is not None:
            personal = {"from": envelope.reverse_path, **personal}
        self._journal_refusal(Event.REFUSAL, rule, {**facts, "code": f"{reply.code} {reply.enhanced}"}, personal)

    def _journal_refusal(self, event: Event, rule: str, facts: dict[str, str], personal: dict[str, str]) -> None:
        entry = Entry(event, "", {"rule": rule, "ip": self._ip, "tls": self._tls_text, **facts}, personal)
        self._operator.intake.desk.record(f"{self._ip} {rule}", entry)
        _log.info("refused", kind=str(event), rule=rule, ip=self._ip)

    def _say_and_close(self, reply: Reply) -> None:
        self._out.append(reply.encode())
        with contextlib.suppress(TlsError):
            self._flush()
        self._close()

    def sweep(self, now: float) -> None:
        """Close the session if it is silent, sends content slower than the limit, or is still not admitted at the end of
        its time."""
        super().sweep(now)
        if self._transport.is_closing():
            return
        limits, flowing = self._operator.limits, now - self._since
        if not self._admitted and flowing > limits.stranger:
            self._say_and_close(TOO_SLOW)
            return
        if self._busy:
            return
        handshaking = self._tls is not None and not self._tls_text
        silent = now - self._last_heard > (limits.handshake if handshaking else limits.idle)
        slow = (
            self._incoming is not None
            and flowing > limits.content_grace
            and self._content_octets < flowing * limits.slowest
        )
        if silent or slow:
            self._say_and_close(TOO_SLOW)

    def stop(self) -> None:
        """Finish the message under way, if any, then say good-bye."""
        self._stopping = True
        if not self._busy and self._envelope is None and not self._transport.is_closing():
            self._say_and_close(STOPPING)


_ON: dict[type, Callable[[Session, Any], None]] = {
    events.Hello: Session._hello,
    events.StartTls: Session._starttls,
    events.MailFrom: Session._mail_from,
    events.RcptTo: Session._rcpt_to,
    events.ContentStarts: Session._content_starts,
    events.Content: Session._content,
    events.ContentEnds: Session._content_ends,
    events.Reset: Session._reset,
    events.Quit: Session._quit,
    events.Answered: Session._answered,
    events.Rejected: Session._rejected,
    events.Violation: Session._rejected,
}


def _once(recipients: list[tuple[Recipient, Destination]]) -> list[tuple[Recipient, Destination]]:
    """An account named twice, by two of its addresses too, gets the message once."""
    return list({destination.account_id: (recipient, destination) for recipient, destination in recipients}.values())


def _finish(incoming: Incoming, data: bytes) -> Arrival:
    incoming.write(data)
    return incoming.finish()


def _machine_limits(limits: ServerLimits) -> Limits:
    return Limits(message_size=limits.message_size, recipients=limits.recipients)
