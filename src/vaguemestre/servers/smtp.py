"""SMTP from other operators: socket, TLS, protocol machine, trust, reception.

What it keeps true: no recipient is accepted before the certificate is admitted for the domain of the reverse-path; every
refusal carries a code, a sentence in French and in English, and stands in the journal; `250` to content is sent only
once the message is durable and visible. Nothing here blocks: what touches the disk runs in threads or in the writer.

Flow: `stream` → `conversation` → machine → one method an event → reply. A session handles one event at a time; while it
waits (a look-up, the spool, the commit) its peer is not read from, so that a fast peer fills no memory.
Standards: RFC 5321, RFC 3207, RFC 3461 (what is recorded), spec trust-space §2.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from OpenSSL import SSL

from vaguemestre import log
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore.model import AccountClosedError, AccountState, Destination, UnknownAccountError
from vaguemestre.protocols.smtp import events, faults
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.commands import Mail
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.conversation import HANDLERS, Conversation, Handler, envelope_of, recipient_of
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.servers.replies import (
    OK,
    RECIPIENT_OK,
    TOO_MANY_REFUSED,
    MailboxFullError,
    NotServedError,
    refusal,
)
from vaguemestre.servers.stream import Floor
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.intake import Accepted, Arrival, Incoming, Intake, Peer
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.judge import Judge

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


class Session(Conversation):
    """One connection of a peer."""

    def __init__(self, operator: Operator, floor: Floor) -> None:
        super().__init__(floor, operator.tls, ServerConnection(operator.hostname, _machine_limits(operator.limits)))
        self._operator = operator
        self._helo = ""
        self._mails_left = operator.limits.refused_mails
        self._recipients_left = operator.limits.refused_recipients
        self._peer: Peer | None = None

    # --- events

    def _insecure(self, error: TlsError) -> None:
        self._journal_refusal(Event.PEER_REFUSAL, "tls-failure", {"reason": error.en}, {})

    def _hello(self, event: events.Hello) -> None:
        self._helo = event.name
        super()._hello(event)

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
        self._envelope = envelope_of(command)
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
        recipient = recipient_of(event.command, min(self._operator.local_domains))
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

    def _begin(self) -> Incoming:
        assert self._envelope is not None and self._peer is not None  # noqa: S101, PT018 - the machine saw MAIL accepted
        recipients, destinations = zip(*_once(self._recipients), strict=True)
        envelope = Envelope(
            self._envelope.reverse_path,
            recipients,
            self._envelope.returned,
            self._envelope.envelope_id,
            self._envelope.utf8,
        )
        return self._operator.intake.begin(self._peer, envelope, destinations)

    def _whole(self, arrival: Arrival) -> None:
        self._wait(self._operator.intake.desk.accept(arrival), self._accepted, self._not_kept)

    def _accepted(self, accepted: Accepted) -> None:
        self._incoming = None
        self._forget_transaction()
        self._reply(
            Reply(250, "2.0.0", (f"{'Already delivered' if accepted.repeated else 'Delivered'} as {accepted.id}",))
        )

    # --- refusals

    def _refusal(self, error: Exception) -> Reply:
        return refusal(error)

    def _note_refusal(self, error: Exception, reply: Reply) -> None:
        self._journal_message_refusal(type(error).__name__, reply, {})

    def _rejected(self, event: events.Rejected | events.Violation) -> None:
        if isinstance(event.fact, faults.TlsRequiredError):
            self._journal_refusal(Event.PEER_REFUSAL, "no-tls", {}, {})
        elif isinstance(event, events.Violation):
            self._journal_refusal(Event.PEER_REFUSAL, type(event.fact).__name__, {}, {})
        self._reply(event.reply)

    def _forget_transaction(self) -> None:
        self._peer = None
        super()._forget_transaction()

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

    _on: ClassVar[dict[type, Handler]] = {
        **HANDLERS,
        events.Hello: _hello,
        events.MailFrom: _mail_from,
        events.RcptTo: _rcpt_to,
        events.Rejected: _rejected,
        events.Violation: _rejected,
    }


def _once(recipients: list[tuple[Recipient, Destination | None]]) -> list[tuple[Recipient, Destination]]:
    """An account named twice, by two of its addresses too, gets the message once."""
    return list({to.account_id: (recipient, to) for recipient, to in recipients if to is not None}.values())


def _machine_limits(limits: ServerLimits) -> Limits:
    return Limits(message_size=limits.message_size, recipients=limits.recipients)
