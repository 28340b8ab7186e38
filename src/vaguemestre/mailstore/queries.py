"""How the mailstore reads its rows. Private to it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.mailstore.model import Mailbox, Role, UnknownMailboxError
from vaguemestre.mailstore.tables import accounts, mailboxes, readings
from vaguemestre.storage.bulk import Prepared, Statement

# As many more, or fewer, that a person has not seen than the mailbox says.
_MORE_UNSEEN = (
    sa.select(sa.func.coalesce(sa.func.sum(sa.case((readings.c.seen, -1), else_=1)), 0))
    .where(readings.c.mailbox_id == mailboxes.c.id, readings.c.person_id == sa.bindparam("reader"))
    .scalar_subquery()
)
_SHARED = sa.select(mailboxes)
_OWN = sa.select(
    *(column for column in mailboxes.c if column is not mailboxes.c.unseen),
    sa.case((accounts.c.own_reading, mailboxes.c.unseen + _MORE_UNSEEN), else_=mailboxes.c.unseen).label("unseen"),
).join_from(mailboxes, accounts, mailboxes.c.account_id == accounts.c.id)


class Mailboxes:
    """The mailboxes of an account or of a number, narrowed by what else is known; keys are the names of columns."""

    def __init__(self, *keys: str) -> None:
        condition = sa.and_(*(mailboxes.c[key] == sa.bindparam(f"the_{key}") for key in keys))
        self._shared, self._own = (
            Prepared(wanted.where(condition).order_by(mailboxes.c.id)) for wanted in (_SHARED, _OWN)
        )

    def find(self, connection: sa.Connection, reader: int = 0, **keys: Any) -> list[Mailbox]:
        """In the order they were made, with what `reader` has not seen."""
        values = {f"the_{key}": value for key, value in keys.items()}
        rows = self._own.run(connection, reader=reader, **values) if reader else self._shared.run(connection, **values)
        return [_mailbox(row) for row in rows]


_NUMBERED = Mailboxes("id")

_HOLD = Statement(
    "SELECT id FROM accounts WHERE id IN (SELECT account_id FROM mailboxes WHERE id {among}) ORDER BY id", lock=True
)

# What a placement says by 0, as it says what is usual.
BORN = "COALESCE(NULLIF(born, 0), modseq)"
THREAD_ID = "COALESCE(NULLIF(thread_id, 0), message_id)"
SAVED_AT = "COALESCE(NULLIF(saved_at, 0), received_at)"
# The columns of `changes.Placed`, in order.
PLACED_COLUMNS = f"uid, message_id, blob_id, {THREAD_ID}, modseq, flags, keywords, size, received_at, {SAVED_AT}"
_PLACED = f"SELECT {PLACED_COLUMNS} FROM placements WHERE mailbox_id = {{value}}"  # noqa: S608 - names of this code
PLACED = Statement(_PLACED + " AND uid {among} ORDER BY uid")
PLACED_AND_DELETED = Statement(_PLACED + " AND uid {among} AND (flags & 8) <> 0 ORDER BY uid")
# Of several mailboxes at once; `among` says which UIDs of which.
PLACED_AMONG = Statement(
    f"SELECT mailbox_id, {PLACED_COLUMNS} FROM json_each({{value}}) AS named"  # noqa: S608 - names of this code
    " CROSS JOIN json_each(named.value, '$[1]') AS each CROSS JOIN placements"
    " WHERE placements.mailbox_id = json_extract(named.value, '$[0]') AND placements.uid = each.value"
    " ORDER BY mailbox_id, uid",
    postgresql=f"SELECT mailbox_id, {PLACED_COLUMNS} FROM jsonb_array_elements({{value}}::jsonb) AS named"  # noqa: S608
    " CROSS JOIN jsonb_array_elements_text(named->1) AS each (value) JOIN placements"
    " ON placements.mailbox_id = (named->>0)::bigint AND placements.uid = each.value::bigint ORDER BY mailbox_id, uid",
)
ALL_PLACED = Statement(_PLACED + " ORDER BY uid")
ALL_DELETED = Statement(_PLACED + " AND (flags & 8) <> 0 ORDER BY uid")


def among(uids: Mapping[int, Iterable[int]]) -> str:
    """Some UIDs of each of some mailboxes, as PLACED_AMONG takes them."""
    return msgspec.json.encode([(mailbox_id, list(of_it)) for mailbox_id, of_it in uids.items()]).decode()


def hold(connection: sa.Connection, mailbox_ids: Sequence[int]) -> None:
    """Hold the accounts that have some mailboxes until the transaction ends, and thereby all that is theirs.

    Every verb begins so, in order of accounts, and none waits for another in a circle. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        _HOLD.run(connection, list(mailbox_ids))


def mailbox(connection: sa.Connection, mailbox_id: int, reader: int = 0) -> Mailbox:
    """One mailbox. Raises UnknownMailboxError."""
    found = _NUMBERED.find(connection, reader, id=mailbox_id)
    if not found:
        raise UnknownMailboxError(ids.to_text(mailbox_id))
    return found[0]


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
        row.account_id,
        row.deleted,
        row.octets,
        bool(row.subscribed),
        tuple(row.keywords.split()),
    )
