"""One-time codes and recovery codes, on both stores: what applications show, once each, never again."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from simulators.people import MARIE, PAUL
from vaguemestre.identity import one_time_codes as codes
from vaguemestre.identity import persons, tables
from vaguemestre.identity.model import Person
from vaguemestre.storage.database import Database
from vaguemestre.storage.keys import Keyring

RING = Keyring(bytes(32), {1: bytes(range(32))})
AT = datetime(2026, 11, 25, 12, 0, 10, tzinfo=UTC)


def _code(secret: str, at: datetime) -> str:
    """RFC 6238 by hand."""
    import base64
    import hashlib
    import hmac
    import struct

    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(at.timestamp()) // 30), hashlib.sha1)
    place = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[place : place + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


@pytest.fixture
def marie(database: Database) -> Person:
    return database.write(persons.keep, MARIE, "Marie Curie")


@pytest.fixture
def secret(database: Database, marie: Person) -> str:
    made = database.write(codes.make, RING, marie, "Vaguemestre").text
    assert database.write(codes.confirm, RING, marie, _code(made, AT), AT)
    return made


def _check(database: Database, person: Person, code: str, at: datetime) -> bool:
    return database.write(codes.check, RING, person.id, code, at)


def test_the_right_code_at_the_right_time(database: Database, marie: Person, secret: str) -> None:
    later = AT + timedelta(minutes=5)
    assert not _check(database, marie, "000000", later)
    assert _check(database, marie, _code(secret, later), later)


def test_a_code_serves_once_and_no_older_one_after_it(database: Database, marie: Person, secret: str) -> None:
    later = AT + timedelta(minutes=5)
    assert _check(database, marie, _code(secret, later), later)
    assert not _check(database, marie, _code(secret, later), later)
    assert not _check(database, marie, _code(secret, later - timedelta(seconds=30)), later)


def test_clocks_may_differ_by_half_a_minute_but_no_more(database: Database, marie: Person, secret: str) -> None:
    later = AT + timedelta(minutes=5)
    assert not _check(database, marie, _code(secret, later + timedelta(seconds=60)), later)
    assert not _check(database, marie, _code(secret, later - timedelta(seconds=60)), later)
    assert _check(database, marie, _code(secret, later - timedelta(seconds=30)), later)
    assert _check(database, marie, f" {_code(secret, later + timedelta(seconds=30))} ", later)


def test_a_secret_that_was_not_confirmed_serves_for_nothing(database: Database, marie: Person) -> None:
    made = database.write(codes.make, RING, marie, "Vaguemestre")
    assert not database.read(codes.has_secret, marie.id)
    assert not _check(database, marie, _code(made.text, AT), AT)
    assert made.uri.startswith("otpauth://totp/Vaguemestre:Marie%20Curie?")


def test_a_code_is_of_one_person(database: Database, marie: Person, secret: str) -> None:
    paul = database.write(persons.keep, PAUL, "Paul")
    later = AT + timedelta(minutes=5)
    assert not _check(database, paul, _code(secret, later), later)


def test_the_secret_stands_sealed(database: Database, marie: Person, secret: str) -> None:
    import base64

    row = database.read(lambda connection: connection.execute(sa.select(tables.one_time_secrets)).one())
    assert base64.b32decode(secret) not in row.sealed
    other = Keyring(bytes(32), {1: bytes(32)})
    later = AT + timedelta(minutes=5)
    assert not database.write(codes.check, other, marie.id, _code(secret, later), later)


def test_a_removed_secret_serves_no_longer(database: Database, marie: Person, secret: str) -> None:
    database.write(codes.remove, marie)
    later = AT + timedelta(minutes=5)
    assert not _check(database, marie, _code(secret, later), later)


def test_recovery_codes_serve_once_each(database: Database, marie: Person) -> None:
    made = database.write(codes.make_recovery_codes, marie, AT)
    assert len(set(made)) == 10
    assert database.write(codes.use_recovery_code, marie.id, made[0].upper().replace("-", " "))
    assert not database.write(codes.use_recovery_code, marie.id, made[0])
    assert database.read(codes.recovery_codes_left, marie.id) == 9
    paul = database.write(persons.keep, PAUL, "Paul")
    assert not database.write(codes.use_recovery_code, paul.id, made[1])


def test_recovery_codes_are_too_many_to_be_tried(database: Database, marie: Person) -> None:
    made = database.write(codes.make_recovery_codes, marie, datetime.now(UTC))
    letters = {letter for code in made for letter in code.replace("-", "")}
    assert {len(code.replace("-", "")) for code in made} == {24}  # of five bits each
    assert len(letters) > 24
    assert letters <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_new_recovery_codes_replace_the_former(database: Database, marie: Person) -> None:
    former = database.write(codes.make_recovery_codes, marie, AT)
    database.write(codes.make_recovery_codes, marie, AT)
    assert not database.write(codes.use_recovery_code, marie.id, former[0])
