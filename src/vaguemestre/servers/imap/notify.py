"""NOTIFY: what a client wants to be told of mailboxes, the one at hand and others (RFC 5465).

What it keeps true: a client hears of what it asked for and of nothing else unsolicited; the first group that a mailbox fits
decides; expunges of the mailbox at hand are told at once only where the client said so (SELECTED), else at its next command.
Standards: RFC 5465 §3 to §6.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.changes import MailboxChange, MailboxesChange
from vaguemestre.mailstore.model import Mailbox, Role, UnknownMailboxError
from vaguemestre.protocols.imap import commands, responses
from vaguemestre.protocols.imap.commands import StatusItem
from vaguemestre.protocols.imap.notifications import EventGroup, NotifyEvent, Watched
from vaguemestre.servers.imap import fetch
from vaguemestre.servers.imap.answers import Answer

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session

_ITEMS = (StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY, StatusItem.UNSEEN, StatusItem.HIGHESTMODSEQ)
_MESSAGES = frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE})
_AT_HAND = (Watched.SELECTED, Watched.SELECTED_DELAYED)


async def notify(session: "Session", tag: bytes, command: commands.Notify) -> Answer:
    """NOTIFY SET and NONE."""
    session.may(Rights.READ)
    if session.notified is not None:
        session.notified.end()
        session.notified = None
    if command.groups:
        account_id = session.account().account.id
        found = await session.service.database.read_at_once(mailboxes.listing, account_id)
        session.notified = Notified(session, command.groups, found)
        if command.status:
            for mailbox in found:
                if session.notified.wants(mailbox, _MESSAGES):
                    await session.notified.say_status(mailbox.id)
    return Answer("NOTIFY")


class Notified:
    """What one client is told of."""

    def __init__(self, session: "Session", groups: tuple[EventGroup, ...], found: list[Mailbox]) -> None:
        self._session = session
        self._groups = groups
        self._known = {mailbox.id: mailbox for mailbox in found}
        self._changed: set[int] = set()
        self._renewing = False
        self.at_hand = next((group for group in groups if group.watched in _AT_HAND), None)
        self.end: Callable[[], None] = session.service.views.watch_account(session.account().account.id, self._hear)

    async def tell_at_hand(self, selected: "Selected") -> None:
        """Say what changed in the mailbox at hand, and fetch of new messages what the client wants (RFC 5465 §5.2)."""
        session, group = self._session, self.at_hand
        if group is None or not group.events:
            return
        before = selected.picture.count
        session.tell_news(expunges=group.watched is Watched.SELECTED, flags=NotifyEvent.FLAG_CHANGE in group.events)
        new = range(before + 1, selected.picture.count + 1)
        if new and group.items:
            await fetch.tell(session, selected, list(new), group.items)

    def wants(self, mailbox: Mailbox, events: frozenset[NotifyEvent]) -> bool:
        """Whether the client wants to hear some of these of a mailbox that is not at hand."""
        for group in self._groups:
            if group.watched not in _AT_HAND and _fits(group, mailbox):
                return bool(group.events & events)
        return False

    def _hear(self, fact: object) -> None:
        if isinstance(fact, MailboxChange):
            selected = self._session.selected
            if selected is not None and selected.mailbox_id == fact.mailbox_id:
                return
            mailbox = self._known.get(fact.mailbox_id)
            if mailbox is not None and self.wants(mailbox, _MESSAGES):
                self._changed.add(fact.mailbox_id)
                self._session.tell_soon()
        elif isinstance(fact, MailboxesChange):
            self._renewing = True
            self._session.tell_soon()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._changed) or self._renewing

    async def tell(self) -> None:
        """Say what changed elsewhere."""
        if self._renewing:
            self._renewing = False
            await self._tell_names()
        changed, self._changed = self._changed, set()
        for mailbox_id in sorted(changed):
            if mailbox_id in self._known:
                await self.say_status(mailbox_id)

    async def _tell_names(self) -> None:
        session = self._session
        found = await session.service.database.read_at_once(mailboxes.listing, session.account().account.id)
        before, now = self._known, {mailbox.id: mailbox for mailbox in found}
        self._known = now
        names, subscriptions = frozenset({NotifyEvent.MAILBOX_NAME}), frozenset({NotifyEvent.SUBSCRIPTION_CHANGE})
        utf8 = session.machine.utf8
        for mailbox_id, mailbox in now.items():
            old = before.get(mailbox_id)
            attributes = ["\\Subscribed"] if mailbox.subscribed else []
            if (old is None or old.name != mailbox.name) and self.wants(mailbox, names):
                old_name = old.name if old is not None else None
                session.say(responses.mailbox_list(mailbox.name, attributes, utf8, old_name=old_name))
            elif old is not None and old.subscribed != mailbox.subscribed and self.wants(mailbox, subscriptions):
                session.say(responses.mailbox_list(mailbox.name, attributes, utf8))
        for mailbox_id, mailbox in before.items():
            if mailbox_id not in now and self.wants(mailbox, names):
                session.say(responses.mailbox_list(mailbox.name, ["\\NonExistent"], utf8))

    async def say_status(self, mailbox_id: int) -> None:
        """STATUS of a mailbox that is not at hand."""
        session = self._session
        mailbox = await session.service.database.read_at_once(_one, mailbox_id, session.reader)
        if mailbox is not None:
            values = (mailbox.total, mailbox.uid_next, mailbox.uid_validity, mailbox.unseen, mailbox.modseq)
            pairs = [(item, value) for item, value in zip(_ITEMS, values, strict=True)]
            if not session.condstore:
                pairs.pop()
            session.say(responses.status(mailbox.name, pairs, session.machine.utf8))


def _one(connection: sa.Connection, mailbox_id: int, reader: int) -> Mailbox | None:
    try:
        return mailboxes.get(connection, mailbox_id, reader)
    except UnknownMailboxError:  # deleted meanwhile, which is told too
        return None


def _fits(group: EventGroup, mailbox: Mailbox) -> bool:
    match group.watched:
        case Watched.PERSONAL:
            return True
        case Watched.INBOXES:
            return mailbox.role is Role.INBOX
        case Watched.SUBSCRIBED:
            return mailbox.subscribed
        case Watched.SUBTREE:
            return any(mailbox.name == name or mailbox.name.startswith(name + "/") for name in group.mailboxes)
        case Watched.MAILBOXES:
            return mailbox.name in group.mailboxes
    return False
