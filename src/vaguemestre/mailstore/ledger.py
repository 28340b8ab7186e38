"""The ledger: the numbers of one account and its mailboxes while verbs change them. Private to the mailstore.

What it keeps true: the account is held from the reading to the end of the transaction, so that no UID and no modseq is
given twice; what was counted is written once, by `close`, and told to those who follow the mailboxes.

`messages.append`, which serves many accounts at once, counts for itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.mailstore import queries, readings
from vaguemestre.mailstore.changes import MailboxChange, Placed, Reading
from vaguemestre.mailstore.keywords import Vocabulary
from vaguemestre.mailstore.model import Flag, UnknownMailboxError
from vaguemestre.mailstore.tables import accounts, mailboxes
from vaguemestre.storage.bulk import BulkUpdate, Statement
from vaguemestre.storage.database import announce

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)

_OPEN = Statement(
    "SELECT mailboxes.id, mailboxes.uid_validity, mailboxes.uid_next, mailboxes.modseq, mailboxes.total, mailboxes.keywords,"
    " accounts.id, accounts.modseq, accounts.own_reading"
    " FROM mailboxes JOIN accounts ON mailboxes.account_id = accounts.id"
    " WHERE mailboxes.id {among} ORDER BY accounts.id, mailboxes.id"
)
_CLOSE_ACCOUNTS = BulkUpdate(
    accounts,
    "id",
    ["at", "fewer", "lighter"],
    {"modseq": "new.at", "messages": "messages - new.fewer", "used": "used - new.lighter"},
)
_CLOSE_LINES = BulkUpdate(
    mailboxes,
    "id",
    ["uid", "at", "more", "fresh", "marked", "weight"],
    {
        "uid_next": "new.uid",
        "modseq": "new.at",
        "total": "total + new.more",
        "unseen": "unseen + new.fresh",
        "deleted": "deleted + new.marked",
        "octets": "octets + new.weight",
    },
)
_CLOSE_KEYWORDS = Statement("UPDATE mailboxes SET keywords = {value} WHERE id = {value}")


@dataclass(slots=True)
class Line:
    """A mailbox: what it has, and what a verb has counted so far."""

    id: int
    uid_validity: int
    uid_next: int
    modseq: int
    total: int
    vocabulary: Vocabulary
    more: int = 0
    unseen: int = 0
    deleted: int = 0
    octets: int = 0

    def count(self, flags: int, octets: int, sign: int = 1) -> None:
        """Count a message that comes, or goes."""
        self.more += sign
        self.octets += sign * octets
        self.unseen += 0 if flags & _SEEN else sign
        self.deleted += sign if flags & _DELETED else 0

    def recount(self, before: int, after: int) -> None:
        """Count a change of flags."""
        self.unseen += (before & _SEEN) - (after & _SEEN)
        self.deleted += (after & _DELETED) // _DELETED - (before & _DELETED) // _DELETED


@dataclass(slots=True)
class Ledger:
    """An account; `open` it, and `close` it before the verb ends. Several verbs, one after the other, may share one."""

    connection: sa.Connection
    account_id: int
    modseq: int
    own_reading: bool
    lines: dict[int, Line]
    gone: int = 0
    gone_octets: int = 0

    def raise_modseq(self) -> int:
        """The next number of a change."""
        self.modseq += 1
        return self.modseq

    def tell(
        self,
        line: Line,
        modseq: int,
        placed: Sequence[Placed] = (),
        expunged: Iterable[int] = (),
        reader: int = 0,
    ) -> None:
        """The mailbox changed, and is at `modseq` now."""
        own: Sequence[tuple[int, int, bool]] = ()
        if self.own_reading and placed:
            own = readings.of_messages(self.connection, line.id, [each.uid for each in placed])
        before, line.modseq = line.modseq, modseq
        told = tuple(Reading(*each) for each in own)
        announce(
            self.connection,
            MailboxChange(self.account_id, line.id, before, modseq, tuple(placed), tuple(expunged), reader, told),
        )

    def close(self) -> None:
        """Write down what was counted."""
        close_all([self])


def close_all(ledgers: Sequence[Ledger]) -> None:
    """Write down what was counted, of different accounts, in one statement for all."""
    if not ledgers:
        return
    connection, lines = ledgers[0].connection, [line for ledger in ledgers for line in ledger.lines.values()]
    _CLOSE_LINES.run(
        connection,
        [(each.id, each.uid_next, each.modseq, each.more, each.unseen, each.deleted, each.octets) for each in lines],
    )
    for line in lines:
        if line.vocabulary.changed:
            _CLOSE_KEYWORDS.run(connection, line.vocabulary.text, line.id)
    _CLOSE_ACCOUNTS.run(connection, [(each.account_id, each.modseq, each.gone, each.gone_octets) for each in ledgers])


def open_ledger(connection: sa.Connection, *mailbox_ids: int) -> Ledger:
    """The ledger of the account that has these mailboxes, all of them. Raises UnknownMailboxError."""
    found = {ledger.account_id: ledger for ledger in open_ledgers(connection, mailbox_ids).values()}
    if len(found) > 1:
        raise UnknownMailboxError(ids.to_text(mailbox_ids[-1]))
    return next(iter(found.values()))


def open_ledgers(connection: sa.Connection, mailbox_ids: Collection[int]) -> dict[int, Ledger]:
    """The ledgers of the accounts that have these mailboxes, by mailbox. Raises UnknownMailboxError."""
    wanted = list(dict.fromkeys(mailbox_ids))
    queries.hold(connection, wanted)
    found: dict[int, Ledger] = {}
    ledger: Ledger | None = None
    for mailbox_id, validity, uid_next, at, total, keywords, account_id, modseq, own_reading in _OPEN.run(
        connection, wanted
    ):
        if ledger is None or ledger.account_id != account_id:
            ledger = Ledger(connection, account_id, modseq, bool(own_reading), {})
        vocabulary = Vocabulary(connection, mailbox_id, keywords)
        ledger.lines[mailbox_id] = Line(mailbox_id, validity, uid_next, at, total, vocabulary)
        found[mailbox_id] = ledger
    for mailbox_id in wanted:
        if mailbox_id not in found:
            raise UnknownMailboxError(ids.to_text(mailbox_id))
    return found
