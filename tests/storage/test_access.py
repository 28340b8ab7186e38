"""Who may enter which account: those its kind and its grants let in, by their own means, and nobody else."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from simulators.people import MARIE, PAUL, ZOE, People, address
from vaguemestre import ids
from vaguemestre.identity.client_certificates import Presented
from vaguemestre.identity.model import ALL_RIGHTS, Means, Rights
from vaguemestre.identity.permissions import ADMINISTRATOR, Act, Part
from vaguemestre.mailstore import access, accounts, sharing
from vaguemestre.mailstore.access import Access, AccessRefusedError, Ending, SessionEndedError
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.storage import bulk
from vaguemestre.storage.database import Database
from vaguemestre.trust import names

ROBOT = Presented(names.parse("CN=labo,OU=318751275100020,O=LABO,C=FR"), "aa" * 32)
RENEWED = Presented(ROBOT.name, "bb" * 32)
OTHER = Presented(names.parse("CN=autre,OU=318751275100020,O=LABO,C=FR"), "cc" * 32)
MARIES = Presented(names.parse("CN=99700366240-01,O=CABINET,C=FR"), "dd" * 32)


@pytest.fixture
def people(database: Database) -> People:
    """The operator's people."""
    return People(database)


def by_secret(people: People, local_part: str, secret: str, presented: Presented | None = None) -> Access:
    return people.database.read(access.with_secret, address(local_part), secret, presented)


def by_token(people: People, local_part: str, national_id: str) -> Access:
    where = address(local_part) if local_part else ""
    return people.database.read(access.with_token, where, national_id)


def rule(people: People, local_part: str, secret: str, presented: Presented | None = None) -> str:
    with pytest.raises(AccessRefusedError) as refused:
        by_secret(people, local_part, secret, presented)
    return refused.value.rule


def token_rule(people: People, local_part: str, national_id: str) -> str:
    with pytest.raises(AccessRefusedError) as refused:
        by_token(people, local_part, national_id)
    return refused.value.rule


def robot(people: People, presented: Presented = ROBOT, *, exactly: bool = False) -> None:
    people.account("labo", AccountKind.APP)
    people.database.write(
        lambda connection: sharing.add_certificate(
            connection, address("labo"), presented, ADMINISTRATOR, exactly=exactly
        )
    )


def test_a_holder_enters_their_account_by_token_and_by_device(people: People) -> None:
    secret = people.doctor()
    for found, means in (
        (by_secret(people, "marie", secret), Means.APP_PASSWORD),
        (by_token(people, "marie", MARIE), Means.TOKEN),
    ):
        assert found.account.address == address("marie")
        assert found.person is not None
        assert (found.person.national_id, found.part, found.rights, found.means) == (
            MARIE,
            Part.HOLDER,
            ALL_RIGHTS,
            means,
        )
        assert found.addresses == (address("marie"),)
        assert found.may_send_as(address("marie").upper())
        assert found.reader == 0


def test_an_address_in_capitals_and_an_alias_lead_to_the_same_account(people: People) -> None:
    secret = people.doctor()
    people.database.write(accounts.add_address, address("marie"), address("aa.curie"))
    assert by_secret(people, "MARIE", secret).account.address == address("marie")
    assert by_secret(people, "aa.curie", secret).addresses == (address("marie"), address("aa.curie"))


def test_nobody_enters_anothers_account(people: People) -> None:
    secret, others = people.doctor(), people.doctor("paul", PAUL)
    assert rule(people, "marie", others) == "bad-secret"
    assert rule(people, "paul", secret) == "bad-secret"
    assert token_rule(people, "marie", PAUL) == "no-grant"
    assert token_rule(people, "marie", ZOE) == "no-grant"


@pytest.mark.parametrize("secret", ["", "0" * 28, "x", "\ud800", "é" * 28])
def test_a_secret_that_is_none_lets_nobody_in(people: People, secret: str) -> None:
    people.doctor()
    assert rule(people, "marie", secret) == "bad-secret"
    assert rule(people, "nobody", secret) == "unknown-account"


def test_an_account_without_a_holder_lets_nobody_in(people: People) -> None:
    people.account("marie")
    assert token_rule(people, "marie", MARIE) == "no-grant"
    assert rule(people, "marie", "") == "bad-secret"


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
def test_an_account_that_is_suspended_or_closed_lets_nobody_in(people: People, state: AccountState) -> None:
    secret = people.doctor()
    robot(people)
    for local_part in ("marie", "labo"):
        people.database.write(accounts.change_state, address(local_part), state)
    assert rule(people, "marie", secret) == f"account-{state}"
    assert token_rule(people, "marie", MARIE) == f"account-{state}"
    assert rule(people, "labo", "", ROBOT) == f"account-{state}"
    people.database.write(accounts.change_state, address("marie"), AccountState.ACTIVE)
    assert by_secret(people, "marie", secret).account.state is AccountState.ACTIVE


@pytest.mark.parametrize("kind", [AccountKind.ORG, AccountKind.CAB, AccountKind.PER])
@pytest.mark.parametrize("rights", [Rights.READ, Rights.READ | Rights.WRITE, Rights.SEND, ALL_RIGHTS])
def test_a_delegate_has_the_rights_granted(people: People, kind: AccountKind, rights: Rights) -> None:
    people.account("cabinet", kind)
    people.delegate("cabinet", PAUL, rights)
    secret = people.device("cabinet", PAUL)
    for found in (by_secret(people, "cabinet", secret), by_token(people, "cabinet", PAUL)):
        assert (found.rights, found.part) == (rights, Part.DELEGATE)
        assert found.may(Act.READ) == (Rights.READ in rights)
        assert found.may(Act.WRITE) == (Rights.WRITE in rights)
        assert found.may_send_as(address("cabinet")) == (Rights.SEND in rights)


def test_a_shared_account_has_several_holders_each_with_their_own_devices(people: People) -> None:
    people.account("cabinet", AccountKind.CAB)
    people.holder("cabinet", MARIE)
    people.holder("cabinet", PAUL)
    secrets = {who: people.device("cabinet", who) for who in (MARIE, PAUL)}
    for who, secret in secrets.items():
        person = by_secret(people, "cabinet", secret).person
        assert person is not None
        assert person.national_id == who


def test_a_holder_in_their_own_account_sends_as_those_who_let_them(people: People) -> None:
    secret = people.doctor()
    for local_part, rights in (("urgences", ALL_RIGHTS), ("accueil", Rights.READ), ("ferme", Rights.SEND)):
        people.account(local_part, AccountKind.ORG)
        people.delegate(local_part, MARIE, rights)
    people.database.write(accounts.change_state, address("ferme"), AccountState.SUSPENDED)
    found = by_secret(people, "marie", secret)
    assert found.addresses == (address("marie"), address("urgences"))
    assert not found.may_send_as(address("accueil"))
    assert not found.may_send_as("")


def test_a_shared_account_never_opens_the_address_of_a_person(people: People) -> None:
    people.doctor()
    people.account("urgences", AccountKind.ORG)
    people.delegate("urgences", MARIE, ALL_RIGHTS)
    assert by_token(people, "urgences", MARIE).addresses == (address("urgences"),)
    people.doctor("paul", PAUL)
    people.delegate("paul", MARIE, ALL_RIGHTS)
    assert by_token(people, "paul", MARIE).addresses == (address("paul"),)


def test_without_an_address_a_token_opens_the_one_account_its_person_holds(people: People) -> None:
    people.doctor()
    people.account("urgences", AccountKind.ORG)
    people.holder("urgences", MARIE)
    assert by_token(people, "", MARIE).account.address == address("marie")
    assert token_rule(people, "", PAUL) == "unknown-account"
    people.account("marie.bis")
    people.holder("marie.bis", MARIE)
    assert token_rule(people, "", MARIE) == "unknown-account"


def test_software_enters_its_account_by_its_certificate_whatever_the_password(people: People) -> None:
    robot(people)
    for presented, password in ((ROBOT, ""), (RENEWED, "ignored")):
        found = by_secret(people, "labo", password, presented)
        assert (found.person, found.means, found.part, found.rights) == (
            None,
            Means.CERTIFICATE,
            Part.SOFTWARE,
            ALL_RIGHTS,
        )
        assert found.addresses == (address("labo"),)


def test_a_binding_to_exactly_one_certificate_ends_with_it(people: People) -> None:
    robot(people, exactly=True)
    assert by_secret(people, "labo", "", ROBOT).secret_id
    assert rule(people, "labo", "", RENEWED) == "certificate-not-bound"


def test_an_application_account_opens_to_nothing_else(people: People) -> None:
    secret = people.doctor()
    robot(people)
    assert rule(people, "labo", secret) == "certificate-needed"
    assert rule(people, "labo", "", OTHER) == "certificate-not-bound"
    assert token_rule(people, "labo", MARIE) == "no-grant"
    assert rule(people, "marie", "", ROBOT) == "bad-secret"
    assert rule(people, "nobody", "", ROBOT) == "unknown-account"


def test_a_certificate_beside_a_device_harms_nobody(people: People) -> None:
    secret = people.doctor()
    assert by_secret(people, "marie", secret, OTHER).means is Means.APP_PASSWORD


def test_a_certificate_that_bears_the_holders_number_opens_a_personal_account(people: People) -> None:
    people.doctor()
    people.database.write(sharing.add_certificate, address("marie"), MARIES, ADMINISTRATOR)
    found = by_secret(people, "marie", "", MARIES)
    assert (found.means, found.part) == (Means.CERTIFICATE, Part.HOLDER)
    assert found.person is not None
    people.database.write(sharing.end_grant, address("marie"), MARIE, ADMINISTRATOR)
    assert rule(people, "marie", "", MARIES) == "certificate-unsuitable"
    people.holder("marie", PAUL)
    assert rule(people, "marie", "", MARIES) == "certificate-of-another"


def test_the_same_look_ups_are_made_whatever_is_missing(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = people.doctor()
    people.account("sans")
    people.account("labo", AccountKind.APP)

    def statements(connection: sa.Connection, local_part: str, given: str) -> list[str]:
        seen: list[str] = []
        executed = bulk._execute

        def note(connection: sa.Connection, text: str, *rest: Any, **options: Any) -> Any:
            seen.append(text)
            return executed(connection, text, *rest, **options)

        with monkeypatch.context() as patched:
            patched.setattr(bulk, "_execute", note)
            with pytest.raises(AccessRefusedError):
                access.with_secret(connection, address(local_part), given)
        return seen

    tries = [("marie", "wrong"), ("nobody", "wrong"), ("nobody", secret), ("sans", ""), ("labo", secret)]
    seen = [people.database.read(statements, local_part, given) for local_part, given in tries]
    assert len(seen[0]) == 3
    assert all(each == seen[0] for each in seen)


def test_sessions_end_when_what_they_rest_on_does(people: People) -> None:
    secret = people.doctor()
    people.account("urgences", AccountKind.ORG)
    people.delegate("urgences", PAUL, ALL_RIGHTS)
    people.holder("urgences", ZOE)
    other = people.device("urgences", PAUL, "Poste")
    robot(people)
    sessions = {
        "device": by_secret(people, "marie", secret),
        "token": by_token(people, "marie", MARIE),
        "delegate": by_token(people, "urgences", PAUL),
        "desk": by_secret(people, "urgences", other),
        "holder": by_token(people, "urgences", ZOE),
        "robot": by_secret(people, "labo", "", ROBOT),
    }
    sessions = {name: replace(each, session=ids.next_id()) for name, each in sessions.items()}

    def ended() -> dict[str, str]:
        reasons = people.database.read(access.endings, list(sessions.values()))
        return {name: reason for name, reason in zip(sessions, reasons, strict=True) if reason}

    def do(fn: object, *args: object) -> None:
        people.database.write(fn, *args)  # type: ignore[arg-type]

    assert ended() == {}
    do(accounts.change_own_reading, address("urgences"), True)
    assert set(ended()) == {"delegate", "desk", "holder"}
    assert set(ended().values()) == {Ending.SETTINGS}
    do(accounts.change_own_reading, address("urgences"), False)
    do(sharing.revoke_app_password, address("marie"), "", "Phone", ADMINISTRATOR)
    assert ended() == {"device": Ending.APP_PASSWORD}
    people.delegate("urgences", PAUL, Rights.READ)
    assert ended() == {"device": Ending.APP_PASSWORD, "delegate": Ending.RIGHTS, "desk": Ending.RIGHTS}
    do(sharing.end_grant, address("urgences"), PAUL, ADMINISTRATOR)
    assert ended() == {"device": Ending.APP_PASSWORD, "delegate": Ending.GRANT, "desk": Ending.GRANT}
    do(sharing.remove_certificate, address("labo"), ROBOT, ADMINISTRATOR)
    assert ended()["robot"] == Ending.CERTIFICATE
    do(sharing.sign_out, address("urgences"), ADMINISTRATOR)
    assert ended()["holder"] == Ending.SIGN_OUT
    do(accounts.change_state, address("marie"), AccountState.SUSPENDED)
    assert (ended()["token"], ended()["device"]) == (Ending.SUSPENDED, Ending.SUSPENDED)
    do(accounts.change_state, address("marie"), AccountState.CLOSED)
    assert ended()["token"] == Ending.CLOSED


def test_after_a_sign_out_people_sign_in_again(people: People) -> None:
    people.doctor()
    for _ in range(2):
        before = replace(by_token(people, "marie", MARIE), session=ids.next_id())
        people.database.write(sharing.sign_out, address("marie"), ADMINISTRATOR)
        after = replace(by_token(people, "marie", MARIE), session=ids.next_id())
        assert people.database.read(access.endings, [before, after]) == [Ending.SIGN_OUT, ""]


@pytest.mark.parametrize("ending", list(Ending))
def test_each_ending_has_words(ending: Ending) -> None:
    told = SessionEndedError(ending)
    assert told.en
    assert told.fr != told.en
