"""Accounts: opened, found by address, suspended, closed.

What it keeps true: an address belongs to one account at most, in lower case; every change is journalled with it; a
closed account keeps its mail and its address (nobody else may receive a colleague's letters), and takes no more.

Quota: room is what `quota` leaves. It is checked before content is accepted, with the size the peer declares; the message
that crosses the limit is kept, since its size is only known once received.
"""

from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity.standings import AccessChange
from vaguemestre.mailstore import flags, publications
from vaguemestre.mailstore import mailboxes as account_mailboxes
from vaguemestre.mailstore.model import (
    Account,
    AccountKind,
    AccountState,
    AddressTakenError,
    Destination,
    Role,
    UnknownAccountError,
)
from vaguemestre.mailstore.tables import accounts, addresses, mailboxes
from vaguemestre.storage.bulk import Prepared
from vaguemestre.storage.database import announce

DEFAULT_QUOTA = 10 * 1024**3

_BY_ADDRESS = Prepared(
    sa.select(accounts)
    .join_from(addresses, accounts, addresses.c.account_id == accounts.c.id)
    .where(addresses.c.address == sa.bindparam("named"))
)
_ROOM = Prepared(
    sa.select((accounts.c.quota - accounts.c.used).label("room")).where(accounts.c.id == sa.bindparam("it"))
)
_DESTINATION = Prepared(
    sa.select(accounts.c.id, mailboxes.c.id.label("inbox_id"), accounts.c.state, accounts.c.quota, accounts.c.used)
    .join_from(addresses, accounts, addresses.c.account_id == accounts.c.id)
    .join(mailboxes, (mailboxes.c.account_id == accounts.c.id) & (mailboxes.c.role == str(Role.INBOX)))
    .where(addresses.c.address == sa.bindparam("named"))
)


def create(
    connection: sa.Connection, kind: AccountKind, address: str, name: str, *, quota: int = DEFAULT_QUOTA
) -> Account:
    """Open an account with its special-use mailboxes. Raises AddressTakenError."""
    address = address.lower()
    if connection.execute(sa.select(addresses.c.address).where(addresses.c.address == address)).one_or_none():
        raise AddressTakenError(address)
    account_id, at = ids.next_id(), now_ms()
    row = {
        "id": account_id,
        "kind": str(kind),
        "address": address,
        "name": name,
        "state": str(AccountState.ACTIVE),
        "quota": quota,
        "used": 0,
        "messages": 0,
        "modseq": 1,
        "created_at": at,
    }
    connection.execute(sa.insert(accounts), row)
    connection.execute(sa.insert(addresses), {"address": address, "account_id": account_id})
    account_mailboxes.create_special(connection, account_id, at)
    entry = Entry(Event.ACCOUNT_CREATION, ids.to_text(account_id), {"kind": str(kind)}, {"address": address})
    journal.append(connection, [entry])
    publications.owe(connection, [account_id])
    return get(connection, address)


def get(connection: sa.Connection, address: str) -> Account:
    """The account that bears an address. Raises UnknownAccountError."""
    row = _BY_ADDRESS.one(connection, named=address.lower())
    if row is None:
        raise UnknownAccountError(address)
    return _account(row)


def numbered(connection: sa.Connection, account_id: int) -> Account:
    """The account of a number that a row of ours holds: there is one, for none is ever deleted."""
    return _account(connection.execute(sa.select(accounts).where(accounts.c.id == account_id)).one())


def listing(connection: sa.Connection) -> list[Account]:
    """Every account, by address."""
    return [_account(row) for row in connection.execute(sa.select(accounts).order_by(accounts.c.address))]


def destination(connection: sa.Connection, address: str) -> Destination | None:
    """Where mail for an address goes, or None when nobody bears it; the one look-up made for each recipient."""
    row = _DESTINATION.one(connection, named=address.lower())
    if row is None:
        return None
    return Destination(row.id, row.inbox_id, AccountState(row.state), row.quota - row.used)


def addresses_of(connection: sa.Connection, account_id: int) -> tuple[str, ...]:
    """Every address of an account, lower case."""
    wanted = sa.select(addresses.c.address).where(addresses.c.account_id == account_id).order_by(addresses.c.address)
    return tuple(connection.execute(wanted).scalars())


def room(connection: sa.Connection, account_id: int) -> int:
    """How many octets an account may still take, perhaps fewer than none."""
    return int(_ROOM.run(connection, it=account_id)[0].room)


def change_state(connection: sa.Connection, address: str, state: AccountState) -> Account:
    """Suspend, close or reopen. Raises UnknownAccountError."""
    changed = _change(connection, address, {"state": str(state)})
    publications.owe(connection, [changed.id])
    return changed


def change_quota(connection: sa.Connection, address: str, quota: int) -> Account:
    """Set the quota, in octets. Raises UnknownAccountError."""
    return _change(connection, address, {"quota": quota})


def rename(connection: sa.Connection, address: str, name: str) -> Account:
    """Have correspondents see another name. Raises UnknownAccountError."""
    account = get(connection, address)
    connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(name=name))
    entry = Entry(Event.ACCOUNT_CHANGE, ids.to_text(account.id), {"change": "name"}, {"name": name})
    journal.append(connection, [entry])
    return get(connection, address)


def change_own_reading(connection: sa.Connection, address: str, own: bool) -> Account:
    """Say whether each person who reads the account has read or not by themselves. Raises UnknownAccountError.

    When it begins, everybody has seen what was seen; when it ends, what persons kept to themselves is dropped.
    """
    account = get(connection, address)
    if account.own_reading is own:
        return account
    connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(own_reading=own))
    if not own:
        for mailbox in account_mailboxes.listing(connection, account.id):
            flags.share_readings(connection, mailbox.id)
    facts = {"change": "own_reading", "own": own}
    announce(connection, AccessChange(account.id))
    journal.append(connection, [Entry(Event.ACCOUNT_CHANGE, ids.to_text(account.id), facts)])
    return get(connection, address)


def change_keeps_sent(connection: sa.Connection, address: str, keep: bool) -> Account:
    """Say whether what programs submit is filed in Sent. Raises UnknownAccountError."""
    account = get(connection, address)
    if account.keeps_sent is keep:
        return account
    connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(keeps_sent=keep))
    facts = {"change": "keeps_sent", "keep": keep}
    journal.append(connection, [Entry(Event.ACCOUNT_CHANGE, ids.to_text(account.id), facts)])
    return get(connection, address)


def add_address(connection: sa.Connection, address: str, alias: str) -> Account:
    """Give an account another address. Raises UnknownAccountError, AddressTakenError."""
    account, alias = get(connection, address), alias.lower()
    if connection.execute(sa.select(addresses.c.address).where(addresses.c.address == alias)).one_or_none():
        raise AddressTakenError(alias)
    connection.execute(sa.insert(addresses), {"address": alias, "account_id": account.id})
    entry = Entry(Event.ACCOUNT_CHANGE, ids.to_text(account.id), {"change": "address"}, {"address": alias})
    journal.append(connection, [entry])
    return account


def _change(connection: sa.Connection, address: str, change: dict[str, Any]) -> Account:
    account = get(connection, address)
    connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(change))
    announce(connection, AccessChange(account.id))
    journal.append(connection, [Entry(Event.ACCOUNT_CHANGE, ids.to_text(account.id), change)])
    return get(connection, address)


def _account(row: Any) -> Account:
    return Account(
        row.id,
        AccountKind(row.kind),
        row.address,
        row.name,
        AccountState(row.state),
        row.quota,
        row.used,
        row.messages,
        row.created_at,
        bool(row.own_reading),
        bool(row.keeps_sent),
    )
