"""Notifications of what became of a message: failed, late, relayed or delivered (RFC 3464, asked by RFC 3461).

What it keeps true: a notification is made in the transaction that makes its fact true, so none is lost or doubled; none
is ever sent about a notification (null reverse-path), so two servers never bounce at each other.

Rules (RFC 3461 §4.1, §5.2): NEVER silences all; without NOTIFY, failures and delays are told; success and relay only
when asked. It goes to the author's inbox here, or by the queue to the operator that wrote.
"""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.documents.notifications import Action, Notification, RecipientStatus, render
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, messages
from vaguemestre.mailstore.model import AccountState, NewMessage
from vaguemestre.protocols.smtp.commands import encode_xtext
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient, domain_of
from vaguemestre.transport.queue import Queued
from vaguemestre.transport.retry import RetryPolicy
from vaguemestre.transport.routing import Router

_ORIGINAL_LIMIT = 65_536  # a notification returns this much of a message at most: its header always fits
_ZONE = ZoneInfo("Europe/Paris")


class Notifier:
    """Tells authors, for one operator. Its verbs are part of the caller's transaction."""

    def __init__(self, store: BlobStore, router: Router, hostname: str, policy: RetryPolicy) -> None:
        self._blobs = store
        self._router = router
        self._hostname = hostname
        self._policy = policy

    def failed(self, connection: sa.Connection, row: Queued, status: str, diagnostic: str, fr: str, en: str) -> None:
        """The recipient will not get it."""
        if _wants(row.recipient, "FAILURE", by_default=True):
            self._about(connection, row, Action.FAILED, status, diagnostic, fr, en)

    def delayed(self, connection: sa.Connection, row: Queued, status: str, diagnostic: str, fr: str, en: str) -> None:
        """It takes long; trying goes on."""
        if _wants(row.recipient, "DELAY", by_default=True):
            self._about(connection, row, Action.DELAYED, status, diagnostic, fr, en)

    def relayed(self, connection: sa.Connection, row: Queued, diagnostic: str) -> None:
        """A server that tells nothing more took it."""
        if _wants(row.recipient, "SUCCESS", by_default=False):
            self._about(connection, row, Action.RELAYED, "2.0.0", diagnostic, "", "")

    def delivered(
        self, connection: sa.Connection, blob_id: int, envelope: Envelope, recipients: Sequence[Recipient], arrival: int
    ) -> None:
        """Recipients who asked have it in their inbox."""
        statuses = tuple(
            _status(recipient, Action.DELIVERED, "2.1.5", None, None, "", "")
            for recipient in recipients
            if _wants(recipient, "SUCCESS", by_default=False)
        )
        if statuses and envelope.reverse_path:
            self._send(connection, blob_id, envelope, statuses, arrival)

    def cancel(self, connection: sa.Connection, row_id: int) -> bool:
        """An administrator gives up a queued row; false where it was gone."""
        row = queue.get(connection, row_id)
        if row is None or not queue.settle(connection, row_id):
            return False
        facts = {"domain": row.domain, "status": "5.7.0", "rule": "cancelled"}
        journal.append(
            connection, [Entry(Event.BOUNCE, ids.to_text(row.blob_id), facts, {"to": row.recipient.address})]
        )
        en, fr = "An administrator cancelled it.", "Un administrateur l'a annulé."
        self.failed(connection, row, "5.7.0", "", fr, en)
        queue.release(connection, self._blobs, row.blob_id)
        return True

    def _about(
        self, connection: sa.Connection, row: Queued, action: Action, status: str, diagnostic: str, fr: str, en: str
    ) -> None:
        if not row.envelope.reverse_path:
            return
        until = clock.from_ms(row.expires_at)
        told = _status(row.recipient, action, status, diagnostic or None, until, fr, en)
        self._send(connection, row.blob_id, row.envelope, (told,), row.created_at)

    def _send(
        self,
        connection: sa.Connection,
        blob_id: int,
        about: Envelope,
        statuses: tuple[RecipientStatus, ...],
        arrival: int,
    ) -> None:
        now, author = clock.now(), about.reverse_path
        try:
            reader = self._blobs.open(connection, blob_id)
            whole = about.returned == "FULL" and reader.size <= _ORIGINAL_LIMIT
            original = reader.read_range(0, _ORIGINAL_LIMIT)
        except StorageFailure:  # the author must be told all the same, without the message
            whole, original = False, b""
        notification = render(
            Notification(
                author,
                f"postmaster@{min(self._router.local_domains)}",
                self._hostname,
                clock.from_ms(arrival),
                now,
                statuses,
                original,
                full=whole,
                envelope_id=encode_xtext(about.envelope_id) if about.envelope_id else None,
                zone=_ZONE,
            )
        )
        sealed = self._blobs.seal(notification)
        facts = {"about": ids.to_text(blob_id), "action": str(statuses[0].action)}
        if self._router.is_local(domain_of(author)):
            destination = accounts.destination(connection, author)
            if destination is None or destination.state is AccountState.CLOSED:
                return  # the author is gone: what happened stands in the journal
            noted = summary(notification[: split_head(notification)])
            self._blobs.insert(connection, [sealed])
            place = NewMessage(
                destination.account_id, destination.inbox_id, sealed.id, sealed.size, clock.to_ms(now), noted
            )
            messages.append(connection, [place])
        else:
            way = Envelope("", (Recipient(author),), utf8=not author.isascii(), eight_bit=not notification.isascii())
            self._blobs.insert(connection, [sealed])
            give_up = int(self._policy.give_up_after * 1000)
            queue.enqueue(connection, sealed.id, sealed.size, way, clock.to_ms(now), give_up)
        journal.append(connection, [Entry(Event.NOTIFICATION, ids.to_text(sealed.id), facts, {"to": author})])


def _wants(recipient: Recipient, event: str, *, by_default: bool) -> bool:
    return event in recipient.notify if recipient.notify else by_default


def _status(
    recipient: Recipient,
    action: Action,
    status: str,
    diagnostic: str | None,
    until: datetime | None,
    fr: str,
    en: str,
) -> RecipientStatus:
    return RecipientStatus(
        recipient.address,
        action,
        status,
        original=encode_xtext(recipient.original) if recipient.original else None,
        diagnostic=diagnostic,
        last_attempt=clock.now(),
        will_retry_until=until,
        reason_fr=fr,
        reason_en=en,
    )
