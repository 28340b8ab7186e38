"""App passwords: made by chance, shown once, kept as a digest, good for one account, gone once revoked."""

import re

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from simulators.people import MARIE, PAUL, People, address
from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.evidence import journal
from vaguemestre.identity import app_passwords
from vaguemestre.identity.app_passwords import AppPassword, TooManyAppPasswordsError, UnknownAppPasswordError
from vaguemestre.identity.grants import NoGrantError
from vaguemestre.identity.model import LabelError, NotPermittedError, Rights, UnknownPersonError
from vaguemestre.identity.permissions import ADMINISTRATOR, Actor, Part
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.mailstore.sharing import HolderError, SharingKindError
from vaguemestre.storage.database import Database


@pytest.fixture
def people(database: Database) -> People:
    """The operator's people."""
    return People(database)


def found(people: People, local_part: str, secret: str) -> AppPassword | None:
    account = people.database.read(accounts.get, address(local_part))
    return people.database.read(app_passwords.find, account.id, secret)


def devices(people: People, local_part: str = "marie") -> list[str]:
    return [each.label for each in people.database.read(sharing.devices, address(local_part))]


def test_a_secret_has_140_bits_and_is_easy_to_copy(people: People) -> None:
    secret = people.doctor()
    assert re.fullmatch(r"([0-9a-hjkmnp-tv-z]{4}-){6}[0-9a-hjkmnp-tv-z]{4}", secret)


def test_secrets_are_all_different(people: People) -> None:
    people.doctor()
    assert len({people.device("marie", label=f"device {n}") for n in range(40)}) == 40


@pytest.mark.parametrize(
    "typed", [str.upper, lambda s: s.replace("-", ""), lambda s: s.replace("-", " "), lambda s: f" {s}"]
)
def test_how_it_is_typed_does_not_matter(people: People, typed: object) -> None:
    secret = people.doctor()
    assert callable(typed)
    assert found(people, "marie", typed(secret)) is not None
    assert found(people, "marie", secret.replace("0", "O").replace("1", "l")) is not None


def test_the_secret_is_nowhere_in_the_store(people: People) -> None:
    secret = people.doctor()

    def everything(connection: sa.Connection) -> str:
        tables = ("app_passwords", "journal", "grants", "persons")
        return repr([connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in tables])

    kept = people.database.read(everything)
    assert secret not in kept
    assert secret.replace("-", "") not in kept
    made = people.database.write(sharing.add_app_password, address("marie"), "", "Autre", ADMINISTRATOR)
    assert made.secret not in repr(made)


def test_a_digest_of_one_account_opens_no_other(people: People) -> None:
    secret = people.doctor()
    people.doctor("paul", PAUL)

    def steal(connection: sa.Connection) -> None:
        row = connection.execute(sa.text("SELECT digest FROM app_passwords ORDER BY id LIMIT 1")).scalar_one()
        other = connection.execute(sa.text("SELECT id FROM app_passwords ORDER BY id DESC LIMIT 1")).scalar_one()
        connection.execute(sa.text("UPDATE app_passwords SET digest = :d WHERE id = :i"), {"d": row, "i": other})

    people.database.write(steal)
    assert found(people, "paul", secret) is None
    assert found(people, "marie", secret) is not None


def test_a_revoked_device_is_gone_and_may_be_made_again(people: People) -> None:
    secret = people.doctor()
    people.database.write(sharing.revoke_app_password, address("marie"), "", "Phone", ADMINISTRATOR)
    assert found(people, "marie", secret) is None
    assert devices(people) == []
    with pytest.raises(UnknownAppPasswordError):
        people.database.write(sharing.revoke_app_password, address("marie"), "", "Phone", ADMINISTRATOR)
    assert people.device("marie") != secret


def test_a_label_names_one_device_of_a_person(people: People) -> None:
    people.doctor()
    with pytest.raises(LabelError):
        people.device("marie", label=" Phone ")
    people.account("cabinet", AccountKind.CAB)
    for who in (MARIE, PAUL):
        people.holder("cabinet", who)
        people.device("cabinet", who)
    assert devices(people, "cabinet") == ["Phone", "Phone"]
    people.database.write(sharing.revoke_app_password, address("cabinet"), PAUL, "Phone", ADMINISTRATOR)
    (left,) = people.database.read(sharing.devices, address("cabinet"))
    assert left.person.national_id == MARIE


def test_a_person_has_only_so_many(people: People) -> None:
    people.doctor()
    for number in range(49):
        people.device("marie", label=f"{number}")
    with pytest.raises(TooManyAppPasswordsError):
        people.device("marie", label="one more")


def test_a_device_belongs_to_somebody_with_access(people: People) -> None:
    people.account("marie")
    with pytest.raises(HolderError):
        people.device("marie")
    people.holder("marie")
    with pytest.raises(UnknownPersonError):
        people.device("marie", PAUL)
    people.doctor("paul", PAUL)
    with pytest.raises(NoGrantError):
        people.device("marie", PAUL)
    people.account("cabinet", AccountKind.CAB)
    people.holder("cabinet")
    with pytest.raises(HolderError, match="--rpps"):
        people.device("cabinet")
    people.account("labo", AccountKind.APP)
    with pytest.raises(SharingKindError):
        people.device("labo", MARIE)


def test_ending_a_grant_ends_the_devices_that_came_with_it(people: People) -> None:
    people.doctor()
    people.delegate("marie", PAUL, Rights.READ)
    secret = people.device("marie", PAUL, "Poste")
    people.database.write(sharing.end_grant, address("marie"), PAUL, ADMINISTRATOR)
    assert found(people, "marie", secret) is None
    assert devices(people) == ["Phone"]


def test_a_delegate_makes_their_own_devices_only(people: People) -> None:
    people.doctor()
    paul = people.delegate("marie", PAUL, Rights.READ).person
    delegate = Actor(Part.DELEGATE, paul.id)
    people.database.write(sharing.add_app_password, address("marie"), PAUL, "Poste", delegate)
    for verb in (sharing.add_app_password, sharing.revoke_app_password):
        with pytest.raises(NotPermittedError):
            people.database.write(verb, address("marie"), MARIE, "Phone", delegate)
    assert devices(people) == ["Phone", "Poste"]


def test_when_it_was_last_used_is_remembered(people: People) -> None:
    people.doctor()
    (device,) = people.database.read(sharing.devices, address("marie"))
    assert device.used_at is None
    at = now_ms()
    people.database.write(app_passwords.note_use, [(device.id, at), (ids.next_id(), at)])
    (device,) = people.database.read(sharing.devices, address("marie"))
    assert device.used_at == at


def test_each_is_journalled_with_its_person_apart(people: People) -> None:
    people.doctor()
    people.database.write(sharing.revoke_app_password, address("marie"), "", "Phone", ADMINISTRATOR)
    made, ended = people.database.read(journal.log)[-2:]
    assert (made.event, ended.event) == ("app-password", "app-password-end")
    for entry in (made, ended):
        assert entry.personal == {"person": MARIE, "label": "Phone"}
        assert set(entry.facts) == {"app_password", "by"}


@given(st.text(max_size=60))
def test_any_text_has_a_digest(typed: str) -> None:
    assert len(app_passwords._digest(0, typed)) == 32
