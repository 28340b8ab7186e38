"""Mailboxes of an account: the special-use ones every account has, and their counts.

Standards: RFC 6154 (special use); names are what a French reader expects, INBOX is the protocol's.
"""

from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.mailstore.model import Mailbox, Role, UnknownMailboxError
from vaguemestre.mailstore.tables import mailboxes

SPECIAL_USE: dict[Role, str] = {
    Role.INBOX: "INBOX",
    Role.DRAFTS: "Brouillons",
    Role.SENT: "Envoyés",
    Role.ARCHIVE: "Archives",
    Role.JUNK: "Indésirables",
    Role.TRASH: "Corbeille",
}


def create_special(connection: sa.Connection, account_id: int, at: int) -> None:
    """Make the special-use mailboxes of a new account; UIDVALIDITY is the creation time in seconds."""
    connection.execute(
        sa.insert(mailboxes),
        [
            {
                "id": ids.next_id(),
                "account_id": account_id,
                "name": name,
                "role": str(role),
                "uid_validity": at // 1000,
                "uid_next": 1,
                "modseq": 1,
                "total": 0,
                "unseen": 0,
            }
            for role, name in SPECIAL_USE.items()
        ],
    )


def listing(connection: sa.Connection, account_id: int) -> list[Mailbox]:
    """All mailboxes of an account, special-use first, in the order they were made."""
    wanted = sa.select(mailboxes).where(mailboxes.c.account_id == account_id).order_by(mailboxes.c.id)
    return [_mailbox(row) for row in connection.execute(wanted)]


def with_role(connection: sa.Connection, account_id: int, role: Role) -> Mailbox:
    """The mailbox with a special use. Raises UnknownMailboxError."""
    return _one(connection, mailboxes.c.role == str(role), account_id, role)


def named(connection: sa.Connection, account_id: int, name: str) -> Mailbox:
    """The mailbox of a name; INBOX in any case (RFC 9051 §5.1). Raises UnknownMailboxError."""
    name = "INBOX" if name.upper() == "INBOX" else name
    return _one(connection, mailboxes.c.name == name, account_id, name)


def _one(connection: sa.Connection, condition: "sa.ColumnElement[bool]", account_id: int, name: str) -> Mailbox:
    wanted = sa.select(mailboxes).where(mailboxes.c.account_id == account_id, condition)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise UnknownMailboxError(name)
    return _mailbox(row)


def _mailbox(row: Any) -> Mailbox:
    return Mailbox(
        row.id,
        row.name,
        Role(row.role) if row.role else None,
        row.uid_validity,
        row.uid_next,
        row.modseq,
        row.total,
        row.unseen,
    )
