"""Submission: a message leaves its author, for colleagues here and at other operators.

What it keeps true: nothing is accepted that could not be sent: every recipient is checked before anything is kept, and
one that is refused refuses the whole, in words that say what to do; what is accepted is sealed, filed in the author's
Sent mailbox, delivered to local inboxes, queued for the others and journalled, in one transaction.

Rules: an author writes as an address of their own account; a recipient's domain is local or in the allow-list in force.
Standards: RFC 5321 §3.6.2, RFC 6409 §3.3, RFC 3461 §5.2.2; spec trust-space §1 (mail stays within the trust space).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.headers import Summary, split_head, summary
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, mailboxes, messages
from vaguemestre.mailstore.model import (
    Account,
    AccountClosedError,
    AccountState,
    Destination,
    Flag,
    NewMessage,
    Role,
    UnknownAccountError,
)
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.storage.blobs import BlobStore, Sealed
from vaguemestre.storage.database import Database
from vaguemestre.transport import queue
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.retry import RetryPolicy
from vaguemestre.transport.routing import Router
from vaguemestre.trust.judge import Judge

_HEAD_LIMIT = 262_144


class RecipientRefusedError(VaguemestreError):
    """A recipient cannot be written to; `address` says which. Nothing was sent to anybody."""

    def __init__(self, address: str, why: VaguemestreError) -> None:
        super().__init__(f"Not sent. {address}: {why.en}", f"Message non envoyé. {address} : {why.fr}")
        self.address = address


class SenderRefusedError(VaguemestreError):
    """The author may not send as this address, or at all."""


class TooLargeError(VaguemestreError):
    """The message is larger than this operator carries."""

    def __init__(self, limit: int) -> None:
        megabytes = limit // (1024 * 1024)
        super().__init__(
            f"Not sent. The message exceeds {megabytes} MB: send fewer or smaller attachments.",
            f"Message non envoyé. Il dépasse {megabytes} Mo : envoyez moins de pièces jointes, ou de plus petites.",
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message on its way: its identifier, the recipients it already reached, and those it travels to."""

    id: str
    delivered: tuple[str, ...]
    queued: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Checked:
    author: Account
    local: tuple[tuple[Recipient, Destination], ...]
    remote: tuple[Recipient, ...]


class Submission:
    """Accepts messages from the accounts of one operator. Synchronous: call it from a thread."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        router: Router,
        judge: Judge,
        notifier: Notifier,
        hostname: str,
        policy: RetryPolicy,
        size_limit: int,
    ) -> None:
        self._database = database
        self._blobs = store
        self._router = router
        self._judge = judge
        self._notifier = notifier
        self._hostname = hostname
        self._policy = policy
        self._size_limit = size_limit

    def submit(self, envelope: Envelope, content: Iterable[bytes], *, keep_copy: bool = True) -> Submitted:
        """Send `content` (lines ended by CRLF) to the envelope's recipients.

        Raises SenderRefusedError, RecipientRefusedError, TooLargeError, StorageFailure; then nothing was sent.
        """
        try:
            checked = self._database.read(self._check, envelope)
        except VaguemestreError as error:
            self._journal_refusal(envelope, error)
            raise
        sealed, noted, eight_bit = self._seal(content)
        way = Envelope(
            envelope.reverse_path, checked.remote, envelope.returned, envelope.envelope_id, envelope.utf8, eight_bit
        )
        return self._database.write(self._accept, checked, way, sealed, noted, keep_copy)

    def _check(self, connection: sa.Connection, envelope: Envelope) -> _Checked:
        try:
            author = accounts.get(connection, envelope.reverse_path)
        except UnknownAccountError as error:
            raise SenderRefusedError(
                f"{envelope.reverse_path} is no address of this operator, so nobody can write as it here.",
                f"{envelope.reverse_path} n'est pas une adresse de cet opérateur : personne ne peut écrire en son nom ici.",
            ) from error
        if author.state is not AccountState.ACTIVE:
            raise SenderRefusedError(
                "This account is suspended or closed. Ask your operator's administrator.",
                "Ce compte est suspendu ou fermé. Adressez-vous à l'administrateur de votre opérateur.",
            )
        local, remote = [], []
        for recipient in dict.fromkeys(envelope.recipients):
            try:
                destination = self._check_recipient(connection, recipient)
            except VaguemestreError as error:
                raise RecipientRefusedError(recipient.address, error) from error
            if destination is None:
                remote.append(recipient)
            else:
                local.append((recipient, destination))
        return _Checked(author, tuple(local), tuple(remote))

    def _check_recipient(self, connection: sa.Connection, recipient: Recipient) -> Destination | None:
        """The destination of a local recipient, None for a remote one that may be written to."""
        domain = Address.parse(recipient.address).domain
        if not self._router.is_local(domain):
            listed = self._judge.domain_listed(domain)
            if not listed.allowed:
                raise VaguemestreError(listed.en, listed.fr)
            return None
        destination = accounts.destination(connection, recipient.address)
        if destination is None:
            raise UnknownAccountError(recipient.address)
        if destination.state is AccountState.CLOSED:
            raise AccountClosedError
        return destination

    def _seal(self, content: Iterable[bytes]) -> tuple[Sealed, Summary, bool]:
        writer, head, eight_bit = self._blobs.writer(), bytearray(), False
        writer.write(self._trace(ids.to_text(writer.id)), digested=False)
        try:
            for chunk in content:
                if len(head) < _HEAD_LIMIT:
                    head += chunk
                eight_bit = eight_bit or not chunk.isascii()
                writer.write(chunk)
                if writer.size > self._size_limit:
                    raise TooLargeError(self._size_limit)
            sealed = writer.finish()
        except BaseException:
            writer.abandon()
            raise
        return sealed, summary(bytes(head)[: split_head(bytes(head))]), eight_bit

    def _accept(
        self,
        connection: sa.Connection,
        checked: _Checked,
        way: Envelope,
        sealed: Sealed,
        noted: Summary,
        keep_copy: bool,
    ) -> Submitted:
        now, subject, author = clock.now_ms(), ids.to_text(sealed.id), checked.author
        self._blobs.insert(connection, [sealed])
        new = [
            NewMessage(to.account_id, to.inbox_id, sealed.id, sealed.size, now, noted)
            for to in {destination.account_id: destination for _, destination in checked.local}.values()
        ]
        if keep_copy:
            sent = mailboxes.with_role(connection, author.id, Role.SENT)
            new.append(NewMessage(author.id, sent.id, sealed.id, sealed.size, now, noted, Flag.SEEN))
        if new:
            messages.append(connection, new)
        if checked.remote:
            queue.enqueue(connection, sealed.id, sealed.size, way, now, int(self._policy.give_up_after * 1000))
        account, delivered = ids.to_text(author.id), tuple(recipient.address for recipient, _ in checked.local)
        queued = tuple(recipient.address for recipient in checked.remote)
        facts = {"account": account, "size": sealed.size, "recipients": len(delivered) + len(queued)}
        personal = {"from": way.reverse_path, "to": [*delivered, *queued], "digest": sealed.digest.hex()}
        entries = [Entry(Event.SUBMISSION, subject, facts, personal)]
        entries += [
            Entry(Event.DELIVERY, subject, {"account": ids.to_text(to.account_id)}, {"to": recipient.address})
            for recipient, to in checked.local
        ]
        journal.append(connection, entries)
        asked = [recipient for recipient, _ in checked.local if "SUCCESS" in recipient.notify]
        self._notifier.delivered(connection, sealed.id, way, asked, now)
        return Submitted(subject, delivered, queued)

    def _journal_refusal(self, envelope: Envelope, error: VaguemestreError) -> None:
        addresses: Sequence[str] = [recipient.address for recipient in envelope.recipients]
        entry = Entry(
            Event.SUBMISSION_REFUSAL,
            "",
            {"rule": type(error).__name__},
            {"from": envelope.reverse_path, "to": addresses},
        )
        self._database.write(journal.append, [entry])

    def _trace(self, identifier: str) -> bytes:
        """A Received line (RFC 5321 §4.4): no address of the author's machine, which is nobody's business."""
        date = clock.rfc5322(clock.now())
        return f"Received: by {self._hostname} (Vaguemestre) id {identifier};\r\n\t{date}\r\n".encode()
