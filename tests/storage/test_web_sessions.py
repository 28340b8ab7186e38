"""Sessions in a browser, on both stores: begun, used, changed, stolen, ended; and flows, which serve once."""

from collections.abc import Iterator

import pytest

from simulators.people import MARIE, PAUL
from vaguemestre import clock
from vaguemestre.evidence import journal
from vaguemestre.identity import flows, persons, sessions
from vaguemestre.identity.flows import NoFlowError
from vaguemestre.identity.model import Means, Person
from vaguemestre.identity.sessions import Limits
from vaguemestre.storage.database import Database

LIMITS = Limits()
MINUTE = 60_000


class Watch:
    """The clock of the rooms under test."""

    def __init__(self) -> None:
        self.now = clock.now_ms()

    def pass_minutes(self, count: float) -> None:
        self.now += int(count * MINUTE)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    found = Watch()
    for room in (sessions, flows):
        monkeypatch.setattr(room, "now_ms", lambda: found.now)
    return found


@pytest.fixture
def marie(database: Database) -> Person:
    return database.write(persons.keep, MARIE, "Marie Curie")


def _begin(database: Database, person: Person) -> str:
    secret, _ = database.write(sessions.begin, person, Means.PASSKEY, "Firefox, Linux", "192.0.2.1")
    return secret


def _advance(database: Database, secret: str) -> str | None:
    found = database.write(sessions.advance, secret, "192.0.2.2", LIMITS)
    return None if found is None else found[1]


def _stands(database: Database, secret: str) -> bool:
    return database.read(sessions.look, secret, LIMITS) is not None


def test_a_session_is_found_by_its_secret_alone(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    found = database.read(sessions.look, secret, LIMITS)
    assert found is not None
    assert (found[0].person, found[0].device, found[1]) == (marie, "Firefox, Linux", False)
    assert not _stands(database, secret + "x")
    assert not _stands(database, "")


def test_reading_writes_nothing_until_a_minute_passed(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    watch.pass_minutes(1.1)
    found = database.read(sessions.look, secret, LIMITS)
    assert found is not None
    assert found[1]


def test_an_idle_session_ends(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    watch.pass_minutes(61)
    assert not _stands(database, secret)
    assert _advance(database, secret) is None
    assert database.read(sessions.of_person, marie.id, LIMITS) == []


def test_a_session_ends_however_much_it_is_used(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    for _ in range(24):
        watch.pass_minutes(29)
        secret = _advance(database, secret) or secret
        assert _stands(database, secret)
    watch.pass_minutes(29)
    assert not _stands(database, secret)


def test_its_secret_changes_and_the_former_serves_for_a_moment(database: Database, watch: Watch, marie: Person) -> None:
    first = _begin(database, marie)
    watch.pass_minutes(11)
    second = _advance(database, first)
    assert second
    assert _advance(database, first) == ""  # another request of the same page, at the same time
    assert _stands(database, second)
    watch.pass_minutes(0.5)
    assert _stands(database, first)


def test_a_former_secret_used_late_betrays_a_copy_and_ends_the_session(
    database: Database, watch: Watch, marie: Person
) -> None:
    stolen = _begin(database, marie)
    watch.pass_minutes(11)
    current = _advance(database, stolen)
    assert current
    watch.pass_minutes(2)
    assert not _stands(database, stolen)
    assert _advance(database, stolen) is None
    assert not _stands(database, current)
    last = database.read(journal.log)[-1]
    assert (last.event, last.facts["why"]) == ("sign-out", "former-secret")


def test_signing_out_makes_the_secret_worthless(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    (session,) = database.read(sessions.of_person, marie.id, LIMITS)
    database.write(sessions.end, marie.id, session.id)
    assert not _stands(database, secret)
    assert _advance(database, secret) is None


def test_nobody_ends_somebody_elses(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    (session,) = database.read(sessions.of_person, marie.id, LIMITS)
    paul = database.write(persons.keep, PAUL, "Paul")
    database.write(sessions.end, paul.id, session.id)
    assert _stands(database, secret)


def test_all_but_this_one_end(database: Database, watch: Watch, marie: Person) -> None:
    kept, others = _begin(database, marie), [_begin(database, marie) for _ in range(3)]
    found = database.read(sessions.look, kept, LIMITS)
    assert found is not None
    assert database.write(sessions.end_all, marie.id, found[0].id) == 3
    assert _stands(database, kept)
    assert not any(_stands(database, each) for each in others)


def test_what_no_longer_stands_is_forgotten(database: Database, watch: Watch, marie: Person) -> None:
    _begin(database, marie)
    watch.pass_minutes(90)
    _begin(database, marie)
    assert database.write(sessions.forget, LIMITS) == 1


def test_what_changes_how_one_signs_in_wants_a_fresh_proof(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    watch.pass_minutes(11)
    found = database.read(sessions.look, secret, LIMITS)
    assert found is not None
    assert not sessions.is_fresh(found[0], LIMITS)
    renewed = database.write(sessions.prove_again, found[0])
    assert not _stands(database, secret)  # not even for a moment
    found = database.read(sessions.look, renewed, LIMITS)
    assert found is not None
    assert sessions.is_fresh(found[0], LIMITS)


def test_the_store_holds_no_secret_of_a_browser(database: Database, watch: Watch, marie: Person) -> None:
    secret = _begin(database, marie)
    import sqlalchemy as sa

    from vaguemestre.identity import tables

    rows = database.read(lambda connection: connection.execute(sa.select(tables.web_sessions)).all())
    assert secret not in repr(rows)
    assert secret.encode() not in repr(rows).encode()


def test_a_flow_serves_once(database: Database, watch: Watch) -> None:
    secret = database.write(flows.keep, "psc", {"state": "s"})
    assert database.write(flows.take, "psc", secret) == {"state": "s"}
    with pytest.raises(NoFlowError):
        database.write(flows.take, "psc", secret)


def test_a_flow_serves_what_it_was_begun_for(database: Database, watch: Watch) -> None:
    secret = database.write(flows.keep, "psc", {})
    with pytest.raises(NoFlowError):
        database.write(flows.take, "passkey", secret)


def test_an_old_flow_is_gone(database: Database, watch: Watch) -> None:
    secret = database.write(flows.keep, "psc", {})
    watch.pass_minutes(11)
    with pytest.raises(NoFlowError):
        database.write(flows.take, "psc", secret)
    database.write(flows.keep, "psc", {})
    import sqlalchemy as sa

    from vaguemestre.identity import tables

    count = sa.select(sa.func.count()).select_from(tables.sign_in_flows)
    assert database.read(lambda connection: connection.execute(count).scalar_one()) == 1
