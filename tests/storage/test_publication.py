"""Accounts told to the directory: each change once, whatever fails meanwhile, on both stores.

Spec directory §4.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from simulators.directory_peer import DirectoryPeer, Refused
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre.enrolment.directory_client import DirectoryClient, DirectoryFailure, tls_context
from vaguemestre.enrolment.publication import Publisher
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence import journal
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, publications, sharing
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.mailstore.publications import Outcome
from vaguemestre.storage.database import Database
from vaguemestre.trust import certificates, updater

Done = TypeVar("Done")
RPPS = "99700000013"
PERSON = f"https://rpps.esante.gouv.fr|{RPPS}"
HOSPITAL = "https://finess.esante.gouv.fr|690000001"
CLAIRE, HEART = SOUTH.address("claire"), SOUTH.address("cardiologie")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> TrustSpace:
    return TrustSpace(tmp_path_factory.mktemp("space"))


@pytest.fixture
def directory(space: TrustSpace) -> Iterator[DirectoryPeer]:
    """A directory that knows one person and one hospital."""
    peer = DirectoryPeer(space, space.identity(NORTH))
    peer.add("Practitioner", PERSON)
    peer.add("Organization", HOSPITAL)
    yield peer
    peer.stop()


class Desk:
    """An operator's store, and what tells the directory of it."""

    def __init__(self, database: Database, space: TrustSpace, directory: DirectoryPeer) -> None:
        self.database, self.directory, self._space = database, directory, space

    def run(self, work: Callable[[Publisher], Awaitable[Done]]) -> Done:
        """Do something as a process of its own would."""
        identity = self._space.identity(SOUTH)
        trusting = updater.tls_context(certificates.load_authorities(self._space.authorities.read_bytes()))
        tls: ssl.SSLContext = tls_context(trusting, str(identity.certificate), str(identity.key))

        async def done() -> Done:
            client = DirectoryClient(self.directory.url, tls, timeout=5)
            try:
                return await work(Publisher(self.database, client, [SOUTH.domain], pause_scale=0.00001))
            finally:
                await client.close()

        return asyncio.run(done())

    def publish(self) -> list[tuple[str, str, str]]:
        """Operation, outcome and rule of each telling."""
        return [(each.operation, each.outcome, each.rule) for each in self.run(lambda each: each.publish()).results]

    def open(self, address: str = CLAIRE, kind: AccountKind = AccountKind.PER) -> int:
        """Open an account with its bearer."""
        account = self.database.write(accounts.create, kind, address, "Nom")
        if kind is AccountKind.PER:
            self.database.write(sharing.bind_holder, address, f"8{RPPS}", "Claire", ADMINISTRATOR)
        else:
            self.say(account.id, structure="1690000001")
        return account.id

    def say(self, account_id: int, **changes: str | bool) -> None:
        self.database.write(lambda connection: publications.describe(connection, account_id, **changes))

    def waiting(self) -> list[str]:
        return [address for address, *_ in self.database.read(publications.waiting)]


@pytest.fixture
def desk(database: Database, space: TrustSpace, directory: DirectoryPeer) -> Desk:
    return Desk(database, space, directory)


CREATED = [("create", "accepted", "")]


def test_an_account_opened_changed_and_closed_is_told_each_time(desk: Desk) -> None:
    number = desk.open()
    assert desk.waiting() == [CLAIRE]
    assert desk.publish() == CREATED
    assert desk.directory.shown() == {CLAIRE: {"type": "PER", "listeRouge": False}}
    assert desk.directory.names == {SOUTH.host}
    assert desk.waiting() == []
    assert desk.publish() == []
    desk.say(number, red_list=True)
    assert desk.publish() == [("change", "accepted", "")]
    assert desk.directory.shown()[CLAIRE]["listeRouge"] is True
    desk.database.write(accounts.change_state, CLAIRE, AccountState.SUSPENDED)
    assert desk.publish() == []  # it takes mail, so it stays
    desk.database.write(accounts.change_state, CLAIRE, AccountState.CLOSED)
    assert desk.publish() == [("withdraw", "accepted", "")]
    assert desk.directory.shown() == {}
    desk.database.write(accounts.change_state, CLAIRE, AccountState.ACTIVE)
    assert desk.publish() == CREATED
    assert desk.directory.shown()[CLAIRE]["listeRouge"] is True


def test_a_structure_bears_what_is_its_own(desk: Desk) -> None:
    number = desk.open(HEART, AccountKind.ORG)
    desk.say(number, service="Cardiologie", responsible="Dr Martin")
    assert desk.publish() == CREATED
    told = {"type": "ORG", "service": "Cardiologie", "responsible": "Dr Martin", "listeRouge": False}
    assert desk.directory.shown() == {HEART: told}
    desk.say(number, service="", description="Urgences", responsible="Dr Petit")
    assert desk.publish() == [("change", "accepted", "")]
    told = {"type": "ORG", "description": "Urgences", "responsible": "Dr Petit", "listeRouge": False}
    assert desk.directory.shown() == {HEART: told}


def test_changes_between_two_turns_are_told_once(desk: Desk) -> None:
    number = desk.open()
    for red_list in (True, False, True):
        desk.say(number, red_list=red_list)
    assert desk.publish() == CREATED
    assert desk.directory.asked["PATCH"] == 1


def test_while_the_directory_is_down_nothing_is_lost(desk: Desk) -> None:
    desk.open()
    desk.open(HEART, AccountKind.ORG)
    desk.directory.stop()
    assert desk.publish() == [("create", "put-off", "unreachable")]  # the others would fare no better
    assert sorted(desk.waiting()) == sorted([CLAIRE, HEART])
    desk.directory.start()
    assert sorted(desk.publish()) == CREATED * 2
    assert set(desk.directory.shown()) == {CLAIRE, HEART}


def test_a_refusal_says_why_and_is_not_tried_again_at_once(desk: Desk) -> None:
    desk.directory.bearers.clear()
    number = desk.open()
    found = desk.run(lambda each: each.publish())
    (result,) = found.results
    assert (result.outcome, result.rule) == (Outcome.REFUSED, "unknown-bearer")
    assert "no Practitioner has this identifier" in result.fr
    assert desk.database.read(publications.results, found.batch)[0].fr == result.fr
    (_, owed, _, rule) = desk.database.read(publications.waiting)[0]
    assert (owed.attempts, rule) == (1, "unknown-bearer")
    desk.directory.add("Practitioner", PERSON)
    desk.say(number, red_list=True)  # a change is told at once
    assert desk.publish() == CREATED


@pytest.mark.parametrize(("status", "rule"), [(400, "malformed"), (403, "not-allowed"), (412, "several-bearers")])
def test_each_refusal_has_its_rule(desk: Desk, status: int, rule: str) -> None:
    desk.directory.refuses = Refused(status, "non")
    desk.open()
    assert desk.publish() == [("create", "refused", rule)]


def test_what_refuses_everything_is_asked_once(desk: Desk) -> None:
    desk.directory.refuses = Refused(401, "who are you")
    desk.open()
    desk.open(HEART, AccountKind.ORG)
    assert desk.publish() == [("create", "refused", "not-authenticated")]
    assert desk.directory.asked["PATCH"] == 1


def test_without_a_bearer_nothing_is_told_and_somebody_is(desk: Desk) -> None:
    desk.database.write(accounts.create, AccountKind.PER, CLAIRE, "Claire")
    assert desk.publish() == [("create", "refused", "no-bearer")]
    assert desk.directory.asked["PATCH"] == 0
    desk.database.write(sharing.bind_holder, CLAIRE, f"8{RPPS}", "Claire", ADMINISTRATOR)
    assert desk.publish() == CREATED


def test_when_the_directory_dies_before_its_answer_nothing_is_shown_twice(desk: Desk) -> None:
    number = desk.open()
    desk.directory.dies_after_doing = True
    assert desk.publish() == [("create", "put-off", "unreachable")]
    desk.directory.dies_after_doing = False
    assert desk.publish() == CREATED
    assert desk.directory.asked["PATCH"] == 1, "it was there already"
    assert set(desk.directory.shown()) == {CLAIRE}
    desk.directory.dies_after_doing = True
    desk.say(number, red_list=True)
    desk.publish()
    desk.directory.dies_after_doing = False
    assert desk.publish() == [("change", "accepted", "")]
    assert desk.directory.asked["PATCH"] == 2


def test_when_we_die_after_the_directorys_answer_nothing_is_shown_twice(desk: Desk) -> None:
    desk.open()

    with pytest.raises(KeyboardInterrupt):
        desk.run(lambda each: _until_settled(each, desk))
    assert set(desk.directory.shown()) == {CLAIRE}
    assert desk.waiting() == [CLAIRE], "nothing was noted"
    desk.database.write(_make_due)
    assert desk.publish() == CREATED
    assert desk.directory.asked["PATCH"] == 1


async def _until_settled(publisher: Publisher, desk: Desk) -> None:
    """What a kill leaves: the directory said yes, and the transaction that notes it never began."""
    write = desk.database.write_async

    async def dying(fn: Callable[..., object], *arguments: object) -> object:
        if fn.__name__ == "_settled":
            raise KeyboardInterrupt
        return await write(fn, *arguments)

    desk.database.write_async = dying  # type: ignore[method-assign]
    try:
        await publisher.publish()
    finally:
        desk.database.write_async = write  # type: ignore[method-assign]


def _make_due(connection: publications.sa.Connection) -> None:
    """The lease of the process that died is over."""
    connection.execute(publications.sa.update(publications.to_publish).values(due_at=0))


def test_an_address_is_not_shown_under_who_holds_it_no_more(desk: Desk) -> None:
    desk.open()
    desk.publish()
    desk.database.write(sharing.end_grant, CLAIRE, f"8{RPPS}", ADMINISTRATOR)
    assert desk.publish() == [("create", "refused", "no-bearer")]
    assert desk.directory.shown() == {}
    other = "99700000021"
    desk.directory.add("Practitioner", f"https://rpps.esante.gouv.fr|{other}")
    desk.database.write(sharing.bind_holder, CLAIRE, f"8{other}", "Karim", ADMINISTRATOR)
    assert desk.publish() == CREATED
    assert set(desk.directory.shown()) == {CLAIRE}


def test_two_processes_tell_once(desk: Desk) -> None:
    desk.open()
    owed = desk.database.read(publications.due, 1 << 60, 10)[0]
    assert desk.database.write(publications.claim, owed, 1 << 60, 1 << 61)
    assert not desk.database.write(publications.claim, owed, 1 << 60, 1 << 61)


def test_a_change_while_it_is_told_is_told_too(desk: Desk) -> None:
    number = desk.open()
    (owed,) = desk.database.read(publications.due, 1 << 60, 10)
    desk.say(number, red_list=True)
    desk.database.write(publications.settle, owed)
    assert desk.waiting() == [CLAIRE]


def test_each_telling_is_journalled_without_the_address(desk: Desk) -> None:
    desk.open()
    desk.publish()
    entry = next(each for each in desk.database.read(journal.log) if each.event == "publication")
    assert entry.facts == {"operation": "create"}


# ---- reconciliation


def test_a_comparison_mends_what_differs(desk: Desk) -> None:
    desk.open()
    number = desk.open(HEART, AccountKind.ORG)
    desk.say(number, service="Cardiologie")
    desk.publish()
    hospital = desk.directory.bearers["Organization", HOSPITAL]
    desk.directory.bearers["Practitioner", PERSON]["telecom"].clear()
    for each in hospital["telecom"][0]["extension"][1]["extension"]:
        if each["url"] == "service":
            each["valueString"] = "Autre"
    stranger = dict(hospital["telecom"][0], value=SOUTH.address("personne"))
    hospital["telecom"].append(stranger)
    found = desk.run(lambda each: each.reconcile())
    assert (found.missing, found.different, found.unknown) == ([CLAIRE], [HEART], [SOUTH.address("personne")])
    assert {(each.address, each.operation, each.outcome) for each in found.report.results} == {
        (CLAIRE, "create", "accepted"),
        (HEART, "change", "accepted"),
        (SOUTH.address("personne"), "withdraw", "accepted"),
    }
    assert set(desk.directory.shown()) == {CLAIRE, HEART}
    assert desk.directory.shown()[HEART]["service"] == "Cardiologie"
    again = desk.run(lambda each: each.reconcile())
    assert (again.agreeing, again.report.results) == (2, [])


def test_accounts_that_were_there_before_are_found_by_the_first_comparison(desk: Desk) -> None:
    desk.open()
    desk.database.write(lambda connection: connection.execute(publications.sa.delete(publications.to_publish)))
    assert desk.publish() == []
    assert desk.run(lambda each: each.reconcile()).missing == [CLAIRE]
    assert set(desk.directory.shown()) == {CLAIRE}


def test_a_directory_that_hides_the_red_list_from_us_is_not_told_again(desk: Desk) -> None:
    desk.say(desk.open(), red_list=True)
    desk.publish()
    desk.directory.shows_red_list = False
    found = desk.run(lambda each: each.reconcile())
    assert (found.unseen, found.report.results) == (1, [])


def test_what_is_shown_of_other_domains_is_left_alone(desk: Desk) -> None:
    desk.open(HEART, AccountKind.ORG)
    desk.publish()
    hospital = desk.directory.bearers["Organization", HOSPITAL]
    for other in (NORTH.address("autre"), f"x@sous.{SOUTH.domain}"):
        hospital["telecom"].append(dict(hospital["telecom"][0], value=other))
    assert desk.run(lambda each: each.reconcile()).report.results == []
    assert len(desk.directory.shown()) == 3


def test_many_strangers_are_not_withdrawn_without_a_word(desk: Desk) -> None:
    desk.open(HEART, AccountKind.ORG)
    desk.publish()
    hospital = desk.directory.bearers["Organization", HOSPITAL]
    hospital["telecom"] += [dict(hospital["telecom"][0], value=SOUTH.address(f"p{number}")) for number in range(40)]
    found = desk.run(lambda each: each.reconcile())
    assert len(found.held) == 40
    assert len(desk.directory.shown()) == 41


def test_a_directory_that_cannot_be_read_whole_changes_nothing(desk: Desk) -> None:
    desk.open()
    desk.publish()
    desk.directory.stop()
    with pytest.raises(DirectoryFailure):
        desk.run(lambda each: each.reconcile())
    assert desk.waiting() == []


def test_closed_accounts_still_shown_are_withdrawn(desk: Desk) -> None:
    desk.open()
    desk.publish()
    telecom = list(desk.directory.bearers["Practitioner", PERSON]["telecom"])
    desk.database.write(accounts.change_state, CLAIRE, AccountState.CLOSED)
    desk.publish()
    desk.directory.bearers["Practitioner", PERSON]["telecom"] = telecom
    found = desk.run(lambda each: each.reconcile())
    assert found.unknown == [CLAIRE]
    assert desk.directory.shown() == {}


def test_what_others_publish_of_an_account_without_a_bearer_is_left_alone(desk: Desk) -> None:
    desk.open()
    desk.publish()
    desk.database.write(sharing.end_grant, CLAIRE, f"8{RPPS}", ADMINISTRATOR)
    desk.database.write(lambda connection: connection.execute(publications.sa.delete(publications.to_publish)))
    desk.run(lambda each: each.reconcile())
    assert set(desk.directory.shown()) == {CLAIRE}


def test_the_directory_must_be_reached_over_tls() -> None:
    with pytest.raises(ConfigurationError):
        DirectoryClient("http://annuaire.example/fhir/v2", None)
