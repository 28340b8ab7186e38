"""Accounts: an address has one owner, changes are journalled, a closed account keeps its mail and takes no more."""

from typing import Any

import pytest
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts, mailboxes
from vaguemestre.mailstore.model import (
    Account,
    AccountKind,
    AccountState,
    AddressTakenError,
    Role,
    UnknownAccountError,
    UnknownMailboxError,
)
from vaguemestre.storage.database import Database

ADDRESS = "marie.curie@a.mssante.fr"


@pytest.fixture
def account(database: Database) -> Account:
    """An open account."""
    return database.write(accounts.create, AccountKind.PER, ADDRESS, "Marie Curie")


@pytest.mark.parametrize("kind", list(AccountKind))
def test_an_account_reads_as_it_was_opened(database: Database, kind: AccountKind) -> None:
    made = database.write(lambda connection: accounts.create(connection, kind, ADDRESS, "Marie Curie", quota=5000))
    assert (made.kind, made.address, made.name, made.quota) == (kind, ADDRESS, "Marie Curie", 5000)
    assert (made.state, made.used, made.messages) == (AccountState.ACTIVE, 0, 0)
    assert database.read(accounts.get, ADDRESS) == made
    assert database.read(accounts.listing) == [made]


@pytest.mark.parametrize("written", ["Marie.Curie@A.MSSANTE.FR", "MARIE.CURIE@a.mssante.fr"])
def test_addresses_are_one_whatever_their_case(database: Database, account: Account, written: str) -> None:
    assert database.read(accounts.get, written) == account
    found = database.read(accounts.destination, written)
    assert found is not None
    assert found.account_id == account.id
    with pytest.raises(AddressTakenError):
        database.write(accounts.create, AccountKind.ORG, written, "Another")
    assert len(database.read(accounts.listing)) == 1


def test_an_address_opened_in_capitals_is_kept_in_lower_case(database: Database) -> None:
    made = database.write(accounts.create, AccountKind.PER, "DR@A.MSSANTE.FR", "Dr")
    assert made.address == "dr@a.mssante.fr"


def test_an_unknown_address_is_an_error_and_no_destination(database: Database, account: Account) -> None:
    for unknown in (
        "nobody@a.mssante.fr",
        "marie.curie@b.mssante.fr",
        "",
        "%@a.mssante.fr",
        "marie_curie@a.mssante.fr",
    ):
        assert database.read(accounts.destination, unknown) is None
        with pytest.raises(UnknownAccountError):
            database.read(accounts.get, unknown)


def test_another_address_leads_to_the_same_inbox(database: Database, account: Account) -> None:
    database.write(accounts.add_address, ADDRESS, "Cabinet@A.mssante.fr")
    assert database.read(accounts.get, "cabinet@a.mssante.fr") == account
    assert database.read(accounts.destination, "cabinet@a.mssante.fr") == database.read(accounts.destination, ADDRESS)
    with pytest.raises(AddressTakenError):
        database.write(accounts.add_address, ADDRESS, "cabinet@A.MSSANTE.FR")
    with pytest.raises(AddressTakenError):
        database.write(accounts.create, AccountKind.CAB, "cabinet@a.mssante.fr", "Cabinet")
    with pytest.raises(UnknownAccountError):
        database.write(accounts.add_address, "nobody@a.mssante.fr", "other@a.mssante.fr")


def test_a_closed_account_keeps_its_address(database: Database, account: Account) -> None:
    database.write(accounts.change_state, ADDRESS, AccountState.CLOSED)
    found = database.read(accounts.destination, ADDRESS)
    assert found is not None
    assert found.state is AccountState.CLOSED
    with pytest.raises(AddressTakenError):
        database.write(accounts.create, AccountKind.PER, ADDRESS, "A colleague")
    assert database.write(accounts.change_state, ADDRESS, AccountState.ACTIVE) == account


def test_room_is_what_the_quota_leaves(database: Database, account: Account) -> None:
    def room() -> int:
        found = database.read(accounts.destination, ADDRESS)
        assert found is not None
        return found.room

    assert room() == accounts.DEFAULT_QUOTA
    assert database.write(accounts.change_quota, ADDRESS, 1000).quota == 1000
    assert room() == 1000
    database.write(lambda c: c.execute(sa.text("UPDATE accounts SET used = 1200")))
    assert room() == -200


def test_changing_an_unknown_account_changes_nothing(database: Database, account: Account) -> None:
    before = database.read(journal.verify)
    for change in (
        lambda c: accounts.change_state(c, "nobody@a.mssante.fr", AccountState.CLOSED),
        lambda c: accounts.change_quota(c, "nobody@a.mssante.fr", 1),
    ):
        with pytest.raises(UnknownAccountError):
            database.write(change)
    assert database.read(accounts.listing) == [account]
    assert database.read(journal.verify) == before


def test_every_change_is_journalled_with_it_and_addresses_only_as_personal(
    database: Database, account: Account
) -> None:
    database.write(accounts.change_state, ADDRESS, AccountState.SUSPENDED)
    database.write(accounts.change_quota, ADDRESS, 5)
    database.write(accounts.add_address, ADDRESS, "cabinet@a.mssante.fr")
    with pytest.raises(AddressTakenError):
        database.write(accounts.create, AccountKind.PER, ADDRESS, "Another")
    entries = database.read(journal.log)
    assert [(each.event, each.facts, each.personal) for each in entries] == [
        ("account-creation", {"kind": "PER"}, {"address": ADDRESS}),
        ("account-change", {"state": "suspended"}, {}),
        ("account-change", {"quota": 5}, {}),
        ("account-change", {"change": "address"}, {"address": "cabinet@a.mssante.fr"}),
    ]
    assert {each.subject for each in entries} == {ids.to_text(account.id)}


def test_two_processes_cannot_both_give_an_address(place: Any) -> None:
    """The check may pass in both; the key of the table lets one through."""
    one, other = place.open(), place.open()
    one.write(accounts.create, AccountKind.PER, ADDRESS, "One")

    def unchecked(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO addresses SELECT address, id FROM accounts"))

    with pytest.raises(StorageFailure):
        other.write(unchecked)
    with pytest.raises(AddressTakenError):
        other.write(accounts.create, AccountKind.PER, ADDRESS, "Other")


def test_an_account_has_each_special_use_once_in_order(database: Database, account: Account) -> None:
    found = database.read(mailboxes.listing, account.id)
    assert [each.role for each in found] == list(Role)
    assert [each.name for each in found] == ["INBOX", "Brouillons", "Envoyés", "Archives", "Indésirables", "Corbeille"]
    assert all((each.uid_next, each.total, each.unseen) == (1, 0, 0) for each in found)
    assert all(0 < each.uid_validity < 2**32 for each in found)


def test_mailboxes_are_found_by_use_and_by_name(database: Database, account: Account) -> None:
    by_role = {each.role: each for each in database.read(mailboxes.listing, account.id)}
    for role, mailbox in by_role.items():
        assert role is not None
        assert database.read(mailboxes.with_role, account.id, role) == mailbox
        assert database.read(mailboxes.named, account.id, mailbox.name) == mailbox
    for inbox in ("inbox", "Inbox", "INBOX"):
        assert database.read(mailboxes.named, account.id, inbox) == by_role[Role.INBOX]
    for unknown in ("brouillons", "", "Nowhere"):
        with pytest.raises(UnknownMailboxError):
            database.read(mailboxes.named, account.id, unknown)


def test_mailboxes_are_those_of_one_account(database: Database, account: Account) -> None:
    other = database.write(accounts.create, AccountKind.ORG, "ch@a.mssante.fr", "CH")
    mine, others = (
        {each.id for each in database.read(mailboxes.listing, each_id)} for each_id in (account.id, other.id)
    )
    assert mine.isdisjoint(others)
    with pytest.raises(UnknownMailboxError):
        database.read(mailboxes.named, 42, "INBOX")


def test_whether_sent_mail_is_filed_is_the_account_s_wish_and_journalled(database: Database, account: Account) -> None:
    assert not account.keeps_sent
    for keep in (True, True, False):
        assert database.write(accounts.change_keeps_sent, ADDRESS, keep).keeps_sent is keep
    changes = [each.facts for each in database.read(journal.log) if each.event == "account-change"]
    assert changes == [{"change": "keeps_sent", "keep": True}, {"change": "keeps_sent", "keep": False}]
    with pytest.raises(UnknownAccountError):
        database.write(accounts.change_keeps_sent, "nobody@a.mssante.fr", True)
