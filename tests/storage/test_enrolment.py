"""Enrolment on both stores: a person of the register, their mailbox, their staff, their structure, and how it all ends."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from vaguemestre.directory import register, tables
from vaguemestre.directory.model import (
    Activity,
    Address,
    Kind,
    Organization,
    Origin,
    Practitioner,
    Qualification,
    Qualified,
)
from vaguemestre.directory.register import Place
from vaguemestre.enrolment import enrol, invitations, lifecycle, matching, requests
from vaguemestre.enrolment.enrol import AlreadyEnrolledError, ChoiceError, NotServedError, Rules
from vaguemestre.enrolment.invitations import InvitationError, InvitingError
from vaguemestre.enrolment.lifecycle import LifecycleError
from vaguemestre.enrolment.matching import Match, NamesDifferError, NotInRegisterError, WithdrawnError
from vaguemestre.enrolment.notices import Notices
from vaguemestre.enrolment.requests import RequestError
from vaguemestre.evidence import journal
from vaguemestre.identity import grants, persons
from vaguemestre.identity.model import NotPermittedError, Rights
from vaguemestre.identity.permissions import ADMINISTRATOR, Actor, Part
from vaguemestre.mailstore import accounts, mailboxes
from vaguemestre.mailstore.model import AccountKind, AccountState, AddressTakenError
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

DOMAIN = "dentistes.demo.mssante.fr"
RULES = Rules({"40": DOMAIN}, "2026-11")
CLAIRE, KARIM = "99700000013", "99700000021"
_numbers = itertools.count(1)


def _practitioner(number: int, rpps: str, family: str, given: str, profession: str = "40", active: bool = True) -> Any:
    return Practitioner(
        number, f"8{rpps}", rpps, "MME", "DR", family, given, profession, "C", active, Origin.EXTRACTION, 1
    )


def _organization(number: int, name: str, city: str) -> Organization:
    texts = dict.fromkeys(Organization.__dataclass_fields__, "")
    facts = {
        "id": number,
        "technical_id": f"R{number:014}",
        "name": name,
        "city": city,
        "parent_id": None,
        "active": True,
        "origin": Origin.EXTRACTION,
        "revision": 1,
    }
    return Organization(**{**texts, **facts})


@pytest.fixture
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A small register."""
    place = Place(tmp_path_factory.mktemp("register"), bytes(range(32)))
    built = place.next()

    def fill(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION)
        register.put(
            connection,
            _practitioner(1, CLAIRE, "LEFEVRE", "CLAIRE"),
            _practitioner(2, KARIM, "BENALI", "KARIM", "10"),
            _practitioner(3, "99700000039", "MARTIN", "PAUL", active=False),
            _practitioner(4, "99700000047", "LEFEVRE", "CLAIRE"),
            _organization(7, "CABINET DES LILAS", "PARIS"),
            Qualification(1, Qualified.PROFESSION, "C", "40"),
            Activity(5, "", 1, 7, "40", "C", "L", "", "GENR01", "", True, Origin.EXTRACTION, 1),
            Address(
                6, "claire.lefevre@ailleurs.mssante.fr", Kind.PERSON, 1, None, "", "", "", None, None, True, "", 0, True,
                Origin.EXTRACTION, 1,
            ),
        )  # fmt: skip
        connection.execute(
            sa.insert(tables.labels).values(system="TRE_G15-ProfessionSante", code="40", label="Chirurgien-Dentiste")
        )

    built.write(fill)
    place.replace(built)
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture
def notices(blob_store: BlobStore) -> Notices:
    return Notices(blob_store, "Ordre de démonstration")


def _match(people: Database, rpps: str = CLAIRE, name: str = "Claire LEFÈVRE") -> Match:
    return people.read(matching.match, f"8{rpps}", name)


def _enrol(database: Database, people: Database, notices: Notices, address: str = "", **choices: Any) -> Any:
    chosen = {"address": address or f"claire.lefevre@{DOMAIN}", "terms": "2026-11", **choices}
    match = choices.pop("match", None) or _match(people)
    chosen.pop("match", None)
    return database.write(lambda connection: enrol.enrol(connection, match, RULES, notices, **chosen))


def test_the_register_says_who_somebody_is(people: Database) -> None:
    found = _match(people)
    assert (found.name, found.profession, found.places) == (
        "Claire LEFEVRE",
        "Chirurgien-Dentiste",
        ("CABINET DES LILAS, PARIS",),
    )


@pytest.mark.parametrize(
    ("proved", "error"),
    [
        (("99700000054", "Claire LEFÈVRE"), NotInRegisterError),
        (("99700000039", "Paul MARTIN"), WithdrawnError),
        ((CLAIRE, "Jean DUPONT"), NamesDifferError),
    ],
)
def test_who_is_not_there_or_is_another_goes_no_further(
    people: Database, proved: tuple[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        _match(people, *proved)
    assert "Ordre" in refused.value.fr  # type: ignore[attr-defined]


def test_a_changed_family_name_is_still_the_same_person(people: Database) -> None:
    assert _match(people, CLAIRE, "Claire LEFÈVRE-NOËL").name == "Claire LEFEVRE"


def test_addresses_are_offered_and_those_elsewhere_are_said(database: Database, people: Database) -> None:
    offered = database.read(enrol.offer, _match(people), RULES)
    assert offered.addresses[0] == f"claire.lefevre@{DOMAIN}"
    assert offered.elsewhere == ("claire.lefevre@ailleurs.mssante.fr",)


def test_a_mailbox_is_opened_with_its_holder_its_folders_and_a_welcome(
    database: Database, people: Database, notices: Notices
) -> None:
    account = _enrol(database, people, notices)
    (grant,) = database.read(grants.of_account, account.id)
    assert (grant.person.national_id, grant.part) == (f"8{CLAIRE}", Part.HOLDER)
    found = {each.name: each.total for each in database.read(mailboxes.listing, account.id)}
    assert found["INBOX"] == 1
    assert len(found) >= 6
    assert "enrolment" in [str(each.event) for each in database.read(journal.log)]


def test_a_second_mailbox_is_refused_and_the_first_is_said(
    database: Database, people: Database, notices: Notices
) -> None:
    _enrol(database, people, notices)
    with pytest.raises(AlreadyEnrolledError, match=f"claire.lefevre@{DOMAIN}"):
        _enrol(database, people, notices, f"c.lefevre@{DOMAIN}")
    with pytest.raises(AlreadyEnrolledError):
        database.read(enrol.offer, _match(people), RULES)


def test_a_homonym_is_offered_another_address(database: Database, people: Database, notices: Notices) -> None:
    _enrol(database, people, notices)
    other = _match(people, "99700000047")
    offered = database.read(enrol.offer, other, RULES).addresses
    assert f"claire.lefevre@{DOMAIN}" not in offered
    with pytest.raises(AddressTakenError):
        _enrol(database, people, notices, match=other)
    _enrol(database, people, notices, offered[0], match=other)


@pytest.mark.parametrize(
    "choices",
    [
        {"address": f"admin@{DOMAIN}"},
        {"address": "claire.lefevre@hopital.demo.mssante.fr"},
        {"terms": "2025-01"},
        {"terms": ""},
    ],
)
def test_what_is_not_ones_own_to_choose_is_refused_and_leaves_nothing(
    database: Database, people: Database, notices: Notices, choices: dict[str, str]
) -> None:
    with pytest.raises(ChoiceError):
        _enrol(database, people, notices, **choices)
    assert database.read(accounts.listing) == []


def test_a_profession_that_is_not_served_is_told(database: Database, people: Database) -> None:
    with pytest.raises(NotServedError):
        database.read(enrol.offer, _match(people, KARIM, "Karim BENALI"), RULES)


def _practice(database: Database, people: Database, notices: Notices) -> Any:
    """A dentist with her practice's mailbox."""
    _enrol(database, people, notices)
    address = f"cabinet.lilas@{DOMAIN}"
    asked = database.write(
        requests.ask, _match(people), AccountKind.CAB, address, "Cabinet des Lilas", "R00000000000007", {DOMAIN}
    )
    return database.write(requests.grant, asked.id)


def test_a_structures_mailbox_is_asked_for_then_decided(database: Database, people: Database, notices: Notices) -> None:
    account = _practice(database, people, notices)
    assert (account.kind, account.address) == (AccountKind.CAB, f"cabinet.lilas@{DOMAIN}")
    assert database.read(requests.waiting) == []
    person = database.read(persons.get, f"8{CLAIRE}")
    (asked,) = database.read(requests.of_person, person.id)
    assert asked.decision == "granted"
    with pytest.raises(RequestError):
        database.write(requests.refuse, asked.id, "Trop tard")


@pytest.mark.parametrize(
    ("kind", "address", "structure"),
    [
        (AccountKind.CAB, f"cabinet@{DOMAIN}", "R99999999999999"),
        (AccountKind.ORG, "cabinet@elsewhere.mssante.fr", "R00000000000007"),
        (AccountKind.ORG, f"Cabinet des Lilas@{DOMAIN}", "R00000000000007"),
        (AccountKind.PER, f"cabinet@{DOMAIN}", "R00000000000007"),
    ],
)
def test_nobody_asks_for_a_structure_that_is_not_theirs(
    database: Database, people: Database, kind: AccountKind, address: str, structure: str
) -> None:
    with pytest.raises(RequestError):
        database.write(requests.ask, _match(people), kind, address, "Cabinet", structure, {DOMAIN})


def _holder(database: Database, account: Any) -> Actor:
    (grant,) = database.read(grants.of_account, account.id)
    return Actor(grant.part, grant.person.id)


def test_a_secretary_is_invited_and_enters_by_herself(database: Database, people: Database, notices: Notices) -> None:
    account = _practice(database, people, notices)
    made = database.write(
        invitations.invite, account, "Sophie, secrétariat", Rights.READ | Rights.WRITE, _holder(database, account)
    )
    sophie = database.write(invitations.take_up, made.secret, "Sophie Petit")
    assert sophie.national_id.startswith("local/")
    grant = database.read(grants.find, account.id, sophie.id)
    assert grant is not None
    assert (grant.part, grant.rights, grant.label) == (
        Part.DELEGATE,
        Rights.READ | Rights.WRITE,
        "Sophie, secrétariat",
    )
    with pytest.raises(InvitationError):  # it serves once, whoever it was forwarded to
        database.write(invitations.take_up, made.secret, "Un Autre")


def test_an_invitation_dies_with_its_withdrawal_its_age_or_its_authors_right(
    database: Database, people: Database, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = _practice(database, people, notices)
    holder = _holder(database, account)
    withdrawn, old, orphan = (
        database.write(invitations.invite, account, f"Assistante {n}", Rights.READ, holder) for n in range(3)
    )
    database.write(invitations.withdraw, account.id, withdrawn.invitation.id, holder)
    later = invitations.now_ms() + invitations.LASTS_MS + 1
    with monkeypatch.context() as patch:
        patch.setattr(invitations, "now_ms", lambda: later)
        with pytest.raises(InvitationError):
            database.write(invitations.take_up, old.secret, "Sophie")
    database.write(lifecycle.hand_on, account.address, f"8{KARIM}", "Karim Benali", ADMINISTRATOR)
    for each in (withdrawn, orphan):
        with pytest.raises(InvitationError):
            database.write(invitations.take_up, each.secret, "Sophie")


def test_a_delegate_invites_nobody_and_a_personal_mailbox_takes_no_staff(
    database: Database, people: Database, notices: Notices
) -> None:
    account = _practice(database, people, notices)
    with pytest.raises(NotPermittedError):
        database.write(invitations.invite, account, "Sophie", Rights.READ, Actor(Part.DELEGATE, 1))
    own = database.read(accounts.get, f"claire.lefevre@{DOMAIN}")
    with pytest.raises(InvitingError):
        database.write(invitations.invite, own, "Sophie", Rights.READ, _holder(database, own))


def test_a_mailbox_is_closed_kept_then_overdue(
    database: Database, people: Database, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = _enrol(database, people, notices)
    closed = database.write(
        lambda connection: lifecycle.close(connection, account.address, "retirement", ADMINISTRATOR, notices)
    )
    assert database.read(accounts.get, account.address).state is AccountState.CLOSED
    assert database.read(lifecycle.overdue) == []
    monkeypatch.setattr(lifecycle, "now_ms", lambda: closed.kept_until + 1)
    assert database.read(lifecycle.overdue) == [closed]
    with pytest.raises(LifecycleError):
        database.write(lambda connection: lifecycle.close(connection, account.address, "again", ADMINISTRATOR, notices))
    database.write(lifecycle.reopen, account.address, ADMINISTRATOR)
    assert database.read(lifecycle.overdue) == []


def test_only_who_runs_the_operator_suspends(database: Database, people: Database, notices: Notices) -> None:
    account = _enrol(database, people, notices)
    with pytest.raises(NotPermittedError):
        database.write(lifecycle.suspend, account.address, _holder(database, account))
    assert database.write(lifecycle.suspend, account.address, ADMINISTRATOR).state is AccountState.SUSPENDED


def _compare(database: Database, people: Database) -> Any:
    return database.read(lambda ours: people.read(lambda theirs: lifecycle.compare(ours, theirs)))


def _follow(database: Database, people: Database, notices: Notices) -> None:
    changed = _compare(database, people)
    database.write(lambda connection: lifecycle.follow(connection, changed, notices, ADMINISTRATOR))


def test_who_is_withdrawn_is_told_once_then_suspended(
    database: Database, people: Database, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = _enrol(database, people, notices)
    assert _compare(database, people).withdrawn == ()
    people.write(register.put, _practitioner(1, CLAIRE, "LEFEVRE", "CLAIRE", active=False))
    for _ in range(2):
        _follow(database, people, notices)
    assert database.read(accounts.get, account.address).state is AccountState.ACTIVE
    assert database.read(mailboxes.with_role, account.id, mailboxes.Role.INBOX).total == 2  # the welcome, one warning
    later = lifecycle.now_ms() + lifecycle.GRACE_MS + 1
    monkeypatch.setattr(lifecycle, "now_ms", lambda: later)
    _follow(database, people, notices)
    assert database.read(accounts.get, account.address).state is AccountState.SUSPENDED
    _follow(database, people, notices)


def test_who_is_in_the_register_again_stays(database: Database, people: Database, notices: Notices) -> None:
    account = _enrol(database, people, notices)
    people.write(register.put, _practitioner(1, CLAIRE, "LEFEVRE", "CLAIRE", active=False))
    _follow(database, people, notices)
    people.write(register.put, _practitioner(1, CLAIRE, "LEFEVRE", "CLAIRE"))
    _follow(database, people, notices)
    assert database.read(accounts.get, account.address).state is AccountState.ACTIVE


def test_a_new_name_in_the_register_is_taken_up(database: Database, people: Database, notices: Notices) -> None:
    account = _enrol(database, people, notices)
    people.write(register.put, _practitioner(1, CLAIRE, "LEFEVRE-NOEL", "CLAIRE"))
    _follow(database, people, notices)
    assert database.read(accounts.get, account.address).name == "Claire LEFEVRE-NOEL"
    assert _compare(database, people).renamed == {}


def test_death_closes_what_was_held_alone_and_leaves_the_practice(
    database: Database, people: Database, notices: Notices
) -> None:
    practice = _practice(database, people, notices)
    closed = database.write(lifecycle.died, f"8{CLAIRE}", ADMINISTRATOR, notices)
    own = database.read(accounts.get, f"claire.lefevre@{DOMAIN}")
    assert [each.account_id for each in closed] == [own.id]
    assert database.read(mailboxes.with_role, own.id, mailboxes.Role.INBOX).total == 1  # nobody writes to the dead
    assert database.read(accounts.get, practice.address).state is AccountState.ACTIVE
    assert database.read(grants.of_account, practice.id) == []
