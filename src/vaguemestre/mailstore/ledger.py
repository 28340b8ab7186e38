"""The ledger: the numbers of one account and its mailboxes while a verb changes them. Private to the mailstore.

What it keeps true: the account is held from the reading to the end of the transaction, so that no UID and no modseq is
given twice; what was counted is written once, by `close`, and told to those who follow the mailboxes.

`messages.append`, which serves many accounts at once, counts for itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.mailstore import queries, readings
from vaguemestre.mailstore.changes import MailboxChange, Placed, Reading
from vaguemestre.mailstore.keywords import Vocabulary
from vaguemestre.mailstore.model import Flag, UnknownMailboxError
from vaguemestre.storage.bulk import Statement
from vaguemestre.storage.database import announce

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)

_OPEN = Statement(
    "SELECT mailboxes.id, mailboxes.uid_validity, mailboxes.uid_next, mailboxes.modseq, mailboxes.total, mailboxes.keywords,"
    " accounts.id, accounts.modseq, accounts.own_reading"
    " FROM mailboxes JOIN accounts ON mailboxes.account_id = accounts.id"
    " WHERE mailboxes.id {among} ORDER BY accounts.id, mailboxes.id"
)
_CLOSE_ACCOUNT = Statement(
    "UPDATE accounts SET modseq = {value}, messages = messages - {value}, used = used - {value} WHERE id = {value}"
)
_CLOSE_LINE = Statement(
    "UPDATE mailboxes SET uid_next = {value}, modseq = {value}, total = total + {value}, unseen = unseen + {value},"
    " deleted = deleted + {value}, octets = octets + {value} WHERE id = {value}"
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
    """An account; `open` it, and `close` it before the verb ends."""

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
        for line in self.lines.values():
            _CLOSE_LINE.run(
                self.connection,
                line.uid_next,
                line.modseq,
                line.more,
                line.unseen,
                line.deleted,
                line.octets,
                line.id,
            )
            if line.vocabulary.changed:
                _CLOSE_KEYWORDS.run(self.connection, line.vocabulary.text, line.id)
        _CLOSE_ACCOUNT.run(self.connection, self.modseq, self.gone, self.gone_octets, self.account_id)


def open_ledger(connection: sa.Connection, *mailbox_ids: int) -> Ledger:
    """The ledger of the account that has these mailboxes, all of them. Raises UnknownMailboxError."""
    queries.hold(connection, mailbox_ids)
    rows = _OPEN.run(connection, list(mailbox_ids))
    lines = {
        mailbox_id: Line(mailbox_id, validity, uid_next, modseq, total, Vocabulary(connection, mailbox_id, keywords))
        for mailbox_id, validity, uid_next, modseq, total, keywords, *_ in rows
    }
    for mailbox_id in mailbox_ids:
        if mailbox_id not in lines or rows[0][6] != rows[-1][6]:
            raise UnknownMailboxError(ids.to_text(mailbox_id))
    account_id, modseq, own_reading = rows[0][6:]
    return Ledger(connection, account_id, modseq, bool(own_reading), lines)
