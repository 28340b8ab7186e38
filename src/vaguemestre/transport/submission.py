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
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.transport import queue
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.outgoing import Author, Outgoing, SenderRefusedError, Written
from vaguemestre.transport.retry import RetryPolicy
from vaguemestre.transport.routing import Router
from vaguemestre.trust.judge import Judge


class OutsideSpaceError(VaguemestreError):
    """The recipient's domain is not in the trust space."""


class SpaceUnknownFailure(VaguemestreError):
    """Nobody can say now what is in the trust space."""


class RecipientRefusedError(VaguemestreError):
    """A recipient cannot be written to; `address` says which and `why` the reason. Nothing was sent to anybody."""

    def __init__(self, address: str, why: VaguemestreError) -> None:
        super().__init__(f"Not sent. {address}: {why.en}", f"Message non envoyé. {address} : {why.fr}")
        self.address = address
        self.why = why


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message on its way: its identifier, the recipients it already reached, and those it travels to."""

    id: str
    delivered: tuple[str, ...]
    queued: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Addressed:
    """Recipients that may be written to: those here, and those of other operators."""

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
        """Send `content` (lines ended by CRLF) from the account of the reverse-path to the envelope's recipients.

        Raises SenderRefusedError, RecipientRefusedError, HeaderError, TooLargeError, StorageFailure; then nothing was sent.
        """
        try:
            author = self._database.read(_author, envelope.reverse_path)
            addressed = self._database.read(self._address, envelope.recipients)
            outgoing = self.begin(author, keep_copy=keep_copy)
            try:
                for chunk in content:
                    outgoing.write(chunk)
            except BaseException:
                outgoing.abandon()
                raise
            written = outgoing.finish()
        except VaguemestreError as error:
            self._database.write(journal.append, [refusal_entry(envelope, error)])
            raise
        return self._database.write(self._accept, author, addressed, envelope, written)

    async def destination(self, recipient: Recipient) -> Destination | None:
        """The destination of a local recipient, None for a remote one that may be written to.

        Raises RecipientRefusedError, which says why not, StorageFailure.
        """
        if not self._router.is_local(recipient.domain):
            return self._destination(None, recipient)
        return await self._database.read_at_once(self._destination, recipient)

    async def account(self, address: str) -> Account:
        """The account that an address is of, as it stands now. Raises SenderRefusedError, StorageFailure."""
        return await self._database.read_at_once(_active, address)

    def begin(self, author: Author, *, keep_copy: bool, protocol: str = "") -> Outgoing:
        """Start taking content; a copy is filed in the author's Sent mailbox or not. `protocol`: see Outgoing."""
        return Outgoing(self._blobs, author, self._hostname, self._size_limit, keep_copy=keep_copy, protocol=protocol)

    async def accept(self, author: Author, addressed: Addressed, envelope: Envelope, written: Written) -> Submitted:
        """Send what was taken; durable once it returns.

        Raises SenderRefusedError, AccountClosedError where an account has changed meanwhile, StorageFailure.
        """
        return await self._database.write_async(self._accept, author, addressed, envelope, written)

    def _address(self, connection: sa.Connection, recipients: Sequence[Recipient]) -> Addressed:
        local, remote = [], []
        for recipient in dict.fromkeys(recipients):
            destination = self._destination(connection, recipient)
            if destination is None:
                remote.append(recipient)
            else:
                local.append((recipient, destination))
        return Addressed(tuple(local), tuple(remote))

    def _destination(self, connection: sa.Connection | None, recipient: Recipient) -> Destination | None:
        domain = Address.parse(recipient.address).domain
        if connection is None or not self._router.is_local(domain):
            listed = self._judge.domain_listed(domain)
            if not listed.allowed:
                kind = SpaceUnknownFailure if listed.temporary else OutsideSpaceError
                raise RecipientRefusedError(recipient.address, kind(listed.en, listed.fr))
            return None
        destination = accounts.destination(connection, recipient.address)
        if destination is None:
            raise RecipientRefusedError(recipient.address, UnknownAccountError(recipient.address))
        if destination.state is AccountState.CLOSED:
            raise RecipientRefusedError(recipient.address, AccountClosedError())
        return destination

    def _accept(
        self,
        connection: sa.Connection,
        author: Author,
        checked: Addressed,
        envelope: Envelope,
        written: Written,
    ) -> Submitted:
        _active(connection, author.account.address)  # suspended while the content came, perhaps
        sealed, copy, noted, owner = written.sealed, written.copy, written.summary, author.account
        now, subject = clock.now_ms(), ids.to_text(sealed.id)
        way = Envelope(
            envelope.reverse_path,
            checked.remote,
            envelope.returned,
            envelope.envelope_id,
            envelope.utf8,
            written.eight_bit,
        )
        self._blobs.insert(connection, [sealed] if copy is None or copy is sealed else [sealed, copy])
        new = [
            NewMessage(to.account_id, to.inbox_id, sealed.id, sealed.size, now, noted)
            for to in {destination.account_id: destination for _, destination in checked.local}.values()
        ]
        if copy is not None:
            sent = mailboxes.with_role(connection, owner.id, Role.SENT)
            new.append(NewMessage(owner.id, sent.id, copy.id, copy.size, now, noted, Flag.SEEN))
        if new:
            messages.append(connection, new)
        if checked.remote:
            queue.enqueue(connection, sealed.id, sealed.size, way, now, int(self._policy.give_up_after * 1000))
        account, delivered = ids.to_text(owner.id), tuple(recipient.address for recipient, _ in checked.local)
        queued = tuple(recipient.address for recipient in checked.remote)
        facts = {"account": account, "size": sealed.size, "recipients": len(delivered) + len(queued)}
        personal = {"from": way.reverse_path, "to": [*delivered, *queued], "digest": sealed.digest.hex()}
        if author.person_id:
            personal["person"] = author.person_id
        entries = [Entry(Event.SUBMISSION, subject, facts, personal)]
        entries += [
            Entry(Event.DELIVERY, subject, {"account": ids.to_text(to.account_id)}, {"to": recipient.address})
            for recipient, to in checked.local
        ]
        journal.append(connection, entries)
        asked = [recipient for recipient, _ in checked.local if "SUCCESS" in recipient.notify]
        self._notifier.delivered(connection, sealed.id, way, asked, now)
        return Submitted(subject, delivered, queued)


def refusal_entry(envelope: Envelope, error: Exception, facts: dict[str, str] | None = None, person: str = "") -> Entry:
    """For the journal: that nothing was sent, and by which rule; `facts` besides, and who asked, by their identifier."""
    rule = type(error.why if isinstance(error, RecipientRefusedError) else error).__name__
    personal: dict[str, object] = {
        "from": envelope.reverse_path,
        "to": [recipient.address for recipient in envelope.recipients],
    }
    if person:
        personal["person"] = person
    return Entry(Event.SUBMISSION_REFUSAL, "", {"rule": rule, **(facts or {})}, personal)


def _author(connection: sa.Connection, reverse_path: str) -> Author:
    """The account of an address, for who runs the operator. Raises SenderRefusedError."""
    account = _active(connection, reverse_path)
    return Author(account, accounts.addresses_of(connection, account.id))


def _active(connection: sa.Connection, address: str) -> Account:
    try:
        account = accounts.get(connection, address)
    except UnknownAccountError as error:
        raise SenderRefusedError(
            f"{address} is no address of this operator, so nobody can write as it here.",
            f"{address} n'est pas une adresse de cet opérateur : personne ne peut écrire en son nom ici.",
        ) from error
    if account.state is not AccountState.ACTIVE:
        raise SenderRefusedError(
            "This account is suspended or closed. Ask your operator's administrator.",
            "Ce compte est suspendu ou fermé. Adressez-vous à l'administrateur de votre opérateur.",
        )
    return account
