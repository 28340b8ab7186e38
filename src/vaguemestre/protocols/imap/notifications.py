"""What NOTIFY asks to be told, as values (RFC 5465)."""

from enum import Enum

import msgspec

from vaguemestre.protocols.imap.fetch_items import Item


class NotifyEvent(Enum):
    """Events this server tells of; another one gets NO [BADEVENT] from the machine."""

    MESSAGE_NEW = "MessageNew"
    MESSAGE_EXPUNGE = "MessageExpunge"
    FLAG_CHANGE = "FlagChange"
    MAILBOX_NAME = "MailboxName"
    SUBSCRIPTION_CHANGE = "SubscriptionChange"


class Watched(Enum):
    """Which mailboxes a group is about (RFC 5465 §6)."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    """`mailboxes` and all under them."""
    MAILBOXES = "MAILBOXES"


class EventGroup(msgspec.Struct, frozen=True):
    """`events` empty is NONE: nothing about these; the first group that a mailbox matches is the one that counts.

    `items` are what MessageNew wants fetched, for SELECTED and SELECTED_DELAYED.
    """

    watched: Watched
    events: frozenset[NotifyEvent]
    mailboxes: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
