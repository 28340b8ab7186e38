"""SMTP from mail programs: they sign in over TLS, then hand over what their people send.

What it keeps true: nothing is accepted from whom we do not know, nor under an address that is not theirs, in the envelope or
in the header; a recipient who cannot be written to is refused at once, in words a dentist understands; `250` to content is
sent only once the message is durable: delivered here, queued for elsewhere, filed. A session ends when its account is
suspended, or what it signed in with is revoked: what was being handed over is then not sent.

Flow: `stream` → `conversation` → machine → one method an event → `transport.submission` → reply.
Standards: RFC 6409, RFC 4954, RFC 3207, RFC 8314; spec clients §1 (ECO.1.0.1, ECO.1.2.1, ECO.1.3.1, CONF.17, CONF.18).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from OpenSSL import SSL

from vaguemestre import ids, log
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.mailstore.access import Access, SessionEndedError
from vaguemestre.mailstore.model import Account, Destination
from vaguemestre.protocols import sasl
from vaguemestre.protocols.smtp import events
from vaguemestre.protocols.smtp.commands import Mail
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits
from vaguemestre.protocols.smtp.submission import LINE, SubmissionConnection
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.author_replies import SIGNED_IN, TOO_MANY_SIGN_INS, ended, refusal, sign_in_refusal
from vaguemestre.servers.conversation import HANDLERS, Conversation, Handler, envelope_of, recipient_of
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.servers.replies import OK, RECIPIENT_OK, TOO_MANY_REFUSED, MailboxFullError
from vaguemestre.servers.sign_in import Origin, SignIn, SignInRefusedError
from vaguemestre.servers.stream import Floor
from vaguemestre.transport.envelope import Envelope, Recipient, domain_of
from vaguemestre.transport.outgoing import Author, Outgoing, SenderRefusedError, Written, may_not_send_as
from vaguemestre.transport.submission import (
    Addressed,
    RecipientRefusedError,
    Submission,
    Submitted,
    refusal_entry,
)

_MOST_REFUSED_SIGN_INS = 5  # a connection; the throttle of `sign_in` spans connections
_log = log.get("servers.submission")


@dataclass(frozen=True, slots=True)
class MailSending:
    """What every session of the operator's listeners shares; `queued` is called when mail waits for other operators."""

    hostname: str
    tls: SSL.Context
    sign_in: SignIn
    submission: Submission
    recorder: Recorder
    limits: ServerLimits
    queued: Callable[[], None]


class SubmissionSession(Conversation):
    """One connection of a mail program."""

    _machine: SubmissionConnection

    def __init__(self, service: MailSending, floor: Floor, *, tls_first: bool = False) -> None:
        machine = SubmissionConnection(
            service.hostname, service.sign_in.mechanisms(), _machine_limits(service.limits), tls_active=tls_first
        )
        super().__init__(floor, service.tls, machine, tls_first=tls_first)
        self._service = service
        self._access: Access | None = None
        self._exchange: sasl.Exchange | None = None
        self._refused: Reply | None = None  # what is told once the client has read why its token was
        self._leave: Callable[[], None] | None = None
        self._over = False
        self._author: Author | None = None
        self._sign_ins_left = _MOST_REFUSED_SIGN_INS
        self._mails_left = service.limits.refused_mails
        self._recipients_left = service.limits.refused_recipients

    # --- connection

    def _secured(self) -> None:
        if self._tls_first:
            self._out.append(self._greeting())
        else:
            super()._secured()

    def _insecure(self, error: TlsError) -> None:
        _log.info("no TLS", ip=self._ip, reason=error.en)

    def connection_lost(self, exc: Exception | None) -> None:
        """Follow the account no more."""
        super().connection_lost(exc)
        if self._leave is not None:
            self._leave()

    def _advance(self) -> None:
        if self._over and not self._busy:
            self._end()
        else:
            super()._advance()

    # --- signing in

    def _authenticate(self, event: events.Authenticate) -> None:
        self._refused = None
        self._exchange = sasl.Exchange(event.mechanism)
        try:
            self._exchanged(self._exchange.start(event.initial_response))
        except sasl.SaslError as error:
            self._not_signed_in(error)

    def _sasl_response(self, event: events.SaslResponse) -> None:
        assert self._exchange is not None  # noqa: S101 - the machine saw AUTH
        if self._refused is not None:  # an answer to the challenge that says why a token was refused says nothing
            self._reply(self._refused)
            return
        try:
            self._exchanged(self._exchange.receive(event.data))
        except sasl.SaslError as error:
            self._not_signed_in(error)

    def _exchanged(self, step: bytes | sasl.Credentials) -> None:
        if isinstance(step, bytes):
            self._out.append(self._machine.challenge(step))
            return
        origin = Origin(self._ip, self._tls_text, self._chain, "submission")
        signing_in = asyncio.ensure_future(self._service.sign_in.authenticate(step, origin))
        self._wait(signing_in, self._signed_in, self._not_signed_in)

    def _signed_in(self, access: Access) -> None:
        self._access, self._admitted = access, True
        self._leave = self._service.sign_in.follow(access, self._expelled)
        self._reply(SIGNED_IN)

    def _not_signed_in(self, error: Exception) -> None:
        assert self._exchange is not None  # noqa: S101 - who called had one
        if isinstance(error, SignInRefusedError | sasl.SaslError):  # what we cannot tell for now counts against nobody
            self._sign_ins_left -= 1
        reply = sign_in_refusal(error) if self._sign_ins_left >= 0 else TOO_MANY_SIGN_INS
        why = self._exchange.refusal() if isinstance(error, SignInRefusedError) else None
        if why is None or reply is TOO_MANY_SIGN_INS:
            self._reply(reply)
        else:
            self._refused = reply
            self._out.append(self._machine.challenge(why))

    # --- envelope

    def _mail_from(self, event: events.MailFrom) -> None:
        access, command = self._entrance(), event.command
        sender = command.reverse_path.text if command.reverse_path is not None else ""
        if not access.addresses:
            self._refuse_mail(command, _may_not_send())
        elif sender and not access.may_send_as(sender):
            self._refuse_mail(command, may_not_send_as(sender))
        else:
            # Mail from an address of another account is that account's: colleagues there see who wrote.
            account = asyncio.ensure_future(self._service.submission.account(sender or access.account.address))
            self._wait(
                account, lambda found: self._authored(command, found), lambda error: self._refuse_mail(command, error)
            )

    def _authored(self, command: Mail, account: Account) -> None:
        access = self._entrance()
        who = access.person
        name, identifier = (who.name or who.national_id, who.national_id) if who is not None else ("", "")
        self._author = Author(account, access.addresses, name, identifier)
        self._envelope = envelope_of(command)
        self._announced = command.size or 0
        self._reply(OK)

    def _refuse_mail(self, command: Mail, error: Exception) -> None:
        reply = refusal(error)
        self._record_refusal("MAIL", envelope_of(command), error, reply)
        self._mails_left -= 1
        self._reply(reply if self._mails_left >= 0 else TOO_MANY_REFUSED)

    def _rcpt_to(self, event: events.RcptTo) -> None:
        recipient = recipient_of(event.command, domain_of(self._writing().account.address))
        looking = asyncio.ensure_future(self._service.submission.destination(recipient))
        self._wait(
            looking,
            lambda found: self._destined(recipient, found),
            lambda error: self._refuse_recipient(recipient, error),
        )

    def _destined(self, recipient: Recipient, destination: Destination | None) -> None:
        if destination is not None and destination.room < max(self._announced, 1):
            self._refuse_recipient(recipient, RecipientRefusedError(recipient.address, MailboxFullError()))
            return
        if all(recipient.address != known.address for known, _ in self._recipients):
            self._recipients.append((recipient, destination))
        self._reply(RECIPIENT_OK)

    def _refuse_recipient(self, recipient: Recipient, error: Exception) -> None:
        reply = refusal(error)
        self._record_refusal("RCPT", self._addressed_to([recipient]), error, reply)
        self._recipients_left -= 1
        self._reply(reply if self._recipients_left >= 0 else TOO_MANY_REFUSED)

    # --- content

    def _begin(self) -> Outgoing:
        author = self._writing()
        envelope = self._addressed_to([])
        # A receipt, sent from nobody, is no letter to be filed.
        keep_copy = author.account.keeps_sent and bool(envelope.reverse_path)
        protocol = "UTF8SMTPSA" if envelope.utf8 else "ESMTPSA"  # nobody sends without TLS, nor without signing in
        return self._service.submission.begin(author, keep_copy=keep_copy, protocol=protocol)

    def _whole(self, written: Written) -> None:
        if self._over:  # `_advance` says so
            return
        local = tuple((recipient, to) for recipient, to in self._recipients if to is not None)
        remote = tuple(recipient for recipient, to in self._recipients if to is None)
        envelope = self._addressed_to([recipient for recipient, _ in self._recipients])
        accepting = self._service.submission.accept(self._writing(), Addressed(local, remote), envelope, written)
        self._wait(asyncio.ensure_future(accepting), self._sent, self._not_kept)

    def _sent(self, submitted: Submitted) -> None:
        self._incoming = None
        self._forget_transaction()
        self._service.sign_in.trace(self._entrance(), "send", "ok", "DATA", submitted.id)
        if submitted.queued:
            self._service.queued()
        self._reply(Reply(250, "2.0.0", (f"Envoye / Sent as {submitted.id}",)))

    def _forget_transaction(self) -> None:
        self._author = None
        super()._forget_transaction()

    # --- refusals

    def _refusal(self, error: Exception) -> Reply:
        return refusal(error)

    def _note_refusal(self, error: Exception, reply: Reply) -> None:
        recipients = [recipient for recipient, _ in self._recipients]
        self._record_refusal("DATA", self._addressed_to(recipients), error, reply)

    def _record_refusal(self, request: str, envelope: Envelope, error: Exception, reply: Reply) -> None:
        access, status = self._entrance(), f"{reply.code} {reply.enhanced}"
        account = self._author.account if self._author is not None else access.account
        facts = {"account": ids.to_text(account.id), "code": status, "session": ids.to_text(access.session)}
        entry = refusal_entry(envelope, error, facts, access.person.national_id if access.person else "")
        self._service.recorder.record(f"submission-refusal {account.id} {entry.facts['rule']}", entry)
        self._service.sign_in.trace(access, "send", status, request)

    def _rejected(self, event: events.Rejected | events.Violation) -> None:
        if isinstance(event, events.Violation):
            _log.info("refused", rule=type(event.fact).__name__, ip=self._ip)
        self._reply(event.reply)

    # --- who, and the end

    def _entrance(self) -> Access:
        assert self._access is not None  # noqa: S101 - the machine lets nobody send who has not signed in
        return self._access

    def _writing(self) -> Author:
        assert self._author is not None  # noqa: S101 - the machine saw MAIL accepted
        return self._author

    def _addressed_to(self, recipients: list[Recipient]) -> Envelope:
        mail = self._envelope
        assert mail is not None  # noqa: S101 - the machine saw MAIL accepted
        return Envelope(mail.reverse_path, tuple(recipients), mail.returned, mail.envelope_id, mail.utf8)

    def _expelled(self, reason: str) -> None:
        """The account, or what signed in to it, is no more."""
        self._over = self._stopping = True
        self._farewell = ended(SessionEndedError(reason))
        if not self._busy:
            self._end()

    def _end(self) -> None:
        if not self._transport.is_closing():
            self._abandon()
            self._say_and_close(self._farewell)

    _on: ClassVar[dict[type, Handler]] = {
        **HANDLERS,
        events.Authenticate: _authenticate,
        events.SaslResponse: _sasl_response,
        events.MailFrom: _mail_from,
        events.RcptTo: _rcpt_to,
        events.Rejected: _rejected,
        events.Violation: _rejected,
    }


def _may_not_send() -> SenderRefusedError:
    return SenderRefusedError(
        "Not sent. You may read this mailbox but not write from it. Ask the person answerable for it.",
        "Message non envoyé. Vous pouvez lire cette boîte mais pas écrire en son nom. Adressez-vous à son responsable.",
    )


def _machine_limits(limits: ServerLimits) -> Limits:
    return Limits(message_size=limits.message_size, recipients=limits.recipients, command_line=LINE)
