"""Passkeys on both stores: made, used, refused where anything is not ours, remembered as copies where a counter goes back."""

from typing import Any

import pytest

from simulators.authenticator import Authenticator, b64
from simulators.people import MARIE, PAUL
from vaguemestre.evidence import journal
from vaguemestre.identity import passkeys, persons
from vaguemestre.identity.model import LabelError, Person
from vaguemestre.identity.passkeys import Passkey, PasskeyError, PasskeyRefusedError, Site
from vaguemestre.storage.database import Database

SITE = Site("mail.example", "Vaguemestre", ("https://mail.example",))


@pytest.fixture
def marie(database: Database) -> Person:
    return database.write(persons.keep, MARIE, "Marie Curie")


def _add(database: Database, person: Person, device: Authenticator, name: str = "Téléphone", **changes: Any) -> Passkey:
    options, challenge = database.read(passkeys.asked_to_make, SITE, person)
    return database.write(passkeys.add, SITE, person, challenge, device.make(options, **changes), name)


def _prove(database: Database, device: Authenticator, **changes: Any) -> Passkey | PasskeyRefusedError:
    options, challenge = passkeys.asked_to_prove(SITE)
    return database.write(passkeys.prove, SITE, challenge, device.prove(options, **changes))


def _rule(found: Passkey | PasskeyRefusedError) -> str:
    return found.rule if isinstance(found, PasskeyRefusedError) else ""


def test_a_passkey_signs_its_person_in(database: Database, marie: Person) -> None:
    device = Authenticator()
    made = _add(database, marie, device)
    found = _prove(database, device)
    assert isinstance(found, Passkey)
    assert (found.id, found.person, found.name) == (made.id, marie, "Téléphone")
    listed = database.read(passkeys.of_person, marie.id)
    assert [(each.name, each.used_at is not None) for each in listed] == [("Téléphone", True)]


def test_a_synced_one_that_counts_nothing_serves_again_and_again(database: Database, marie: Person) -> None:
    device = Authenticator(counts=False, synced=True)
    assert _add(database, marie, device).synced
    assert [_rule(_prove(database, device)) for _ in range(3)] == ["", "", ""]


def test_a_copy_is_found_out_and_serves_nobody_any_more(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    _prove(database, device)
    _prove(database, device)
    device.count = 0  # the copy was made before
    assert _rule(_prove(database, device)) == "passkey-cloned"
    device.count = 10
    assert _rule(_prove(database, device)) == "passkey-cloned"
    last = database.read(journal.log)[-1]
    assert (last.event, last.facts["why"]) == ("passkey-end", "cloned")


def test_an_answer_serves_for_its_own_challenge_only(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    options, _ = passkeys.asked_to_prove(SITE)
    _, another = passkeys.asked_to_prove(SITE)
    assert _rule(database.write(passkeys.prove, SITE, another, device.prove(options))) == "passkey-proof"


@pytest.mark.parametrize(
    "changes", [{"origin": "https://mail.example.evil"}, {"origin": "http://mail.example"}, {"type": "webauthn.other"}]
)
def test_an_answer_from_another_page_proves_nothing(database: Database, marie: Person, changes: dict[str, str]) -> None:
    device = Authenticator()
    _add(database, marie, device)
    assert _rule(_prove(database, device, **changes)) == "passkey-proof"
    with pytest.raises(PasskeyRefusedError):
        _add(database, marie, Authenticator(), **changes)


def test_a_passkey_for_another_site_proves_nothing(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    options, challenge = passkeys.asked_to_prove(SITE)
    answer = device.prove({**options, "rpId": "elsewhere.example"})
    assert _rule(database.write(passkeys.prove, SITE, challenge, answer)) == "passkey-proof"


def test_a_device_that_recognised_nobody_proves_nothing(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    device.verifies = False
    assert _rule(_prove(database, device)) == "passkey-proof"


def test_an_answer_signed_by_another_key_proves_nothing(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    thief = Authenticator(credential=device.credential, handle=device.handle, count=10)
    assert _rule(_prove(database, thief)) == "passkey-proof"


def test_one_that_names_somebody_else_proves_nothing(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    device.handle = database.write(persons.keep, PAUL, "Paul").id.to_bytes(8)
    assert _rule(_prove(database, device)) == "passkey-person"


def test_one_nobody_has_proves_nothing(database: Database) -> None:
    assert _rule(_prove(database, Authenticator(handle=b"12345678"))) == "passkey-unknown"


@pytest.mark.parametrize(
    "answer", [{}, {"rawId": 3}, {"rawId": "AAAA", "response": "x"}, {"rawId": b64(b"x" * 30_000)}]
)
def test_nonsense_proves_nothing(database: Database, answer: dict[str, Any]) -> None:
    assert _rule(database.write(passkeys.prove, SITE, b"challenge", answer)) == "passkey-malformed"


def test_nonsense_makes_no_passkey(database: Database, marie: Person) -> None:
    with pytest.raises(PasskeyRefusedError):
        database.write(passkeys.add, SITE, marie, b"challenge", {"id": "x", "response": {}}, "Téléphone")
    assert database.read(passkeys.of_person, marie.id) == []


def test_a_passkey_is_renamed_and_revoked_by_its_person_only(database: Database, marie: Person) -> None:
    paul = database.write(persons.keep, PAUL, "Paul")
    device = Authenticator()
    made = _add(database, marie, device)
    for act in (passkeys.revoke, lambda c, person, key: passkeys.rename(c, person, key, "Mien")):
        with pytest.raises(PasskeyError):
            database.write(act, paul.id, made.id)
    database.write(passkeys.rename, marie.id, made.id, "Ordinateur du cabinet")
    assert [each.name for each in database.read(passkeys.of_person, marie.id)] == ["Ordinateur du cabinet"]
    database.write(passkeys.revoke, marie.id, made.id)
    assert _rule(_prove(database, device)) == "passkey-unknown"


def test_one_is_not_registered_twice(database: Database, marie: Person) -> None:
    device = Authenticator()
    _add(database, marie, device)
    with pytest.raises(PasskeyError, match="already"):
        _add(database, marie, device, "Autre")
    options, _ = database.read(passkeys.asked_to_make, SITE, marie)
    assert [each["id"] for each in options["excludeCredentials"]] == [b64(device.credential)]


def test_a_name_is_one_line(database: Database, marie: Person) -> None:
    with pytest.raises(LabelError):
        _add(database, marie, Authenticator(), "")


def test_twenty_are_enough(database: Database, marie: Person) -> None:
    for number in range(20):
        _add(database, marie, Authenticator(), f"Clé {number}")
    with pytest.raises(PasskeyError, match="20"):
        database.read(passkeys.asked_to_make, SITE, marie)
