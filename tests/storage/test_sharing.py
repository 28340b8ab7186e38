"""Who an account is for: one holder of a personal one, several of a shared one, certificates of software; journalled."""

import threading
from typing import Any

import pytest

from simulators.people import MARIE, PAUL, ZOE, People, address
from vaguemestre.evidence import journal
from vaguemestre.identity import grants, persons
from vaguemestre.identity.client_certificates import Presented, UnknownBindingError, bears
from vaguemestre.identity.grants import NoGrantError
from vaguemestre.identity.model import ALL_RIGHTS, NotPermittedError, Rights, UnknownPersonError
from vaguemestre.identity.permissions import ADMINISTRATOR, Actor, Part
from vaguemestre.mailstore import sharing
from vaguemestre.mailstore.model import AccountKind, UnknownAccountError
from vaguemestre.mailstore.sharing import HolderError, SharingKindError
from vaguemestre.storage.database import Database
from vaguemestre.trust import names

ROBOT = Presented(names.parse("CN=labo,OU=318751275100020,O=LABO,C=FR"), "aa" * 32)


@pytest.fixture
def people(database: Database) -> People:
    """The operator's people."""
    return People(database)


def parts(people: People, local_part: str) -> dict[str, tuple[Part, Rights]]:
    found = people.database.read(sharing.holders, address(local_part))
    return {each.person.national_id: (each.part, each.rights) for each in found}


def test_a_personal_account_has_one_holder(people: People) -> None:
    people.account("marie")
    people.holder("marie")
    people.holder("marie")
    with pytest.raises(HolderError):
        people.holder("marie", PAUL)
    assert parts(people, "marie") == {MARIE: (Part.HOLDER, ALL_RIGHTS)}
    people.database.write(sharing.end_grant, address("marie"), MARIE, ADMINISTRATOR)
    people.holder("marie", PAUL)
    assert list(parts(people, "marie")) == [PAUL]


def test_two_processes_cannot_both_become_the_holder(place: Any) -> None:
    here, there = People(place.open()), People(place.open())
    here.account("marie")
    outcomes: list[object] = []

    def bind(people: People, who: str) -> None:
        try:
            outcomes.append(people.holder("marie", who).person.national_id)
        except HolderError as error:
            outcomes.append(error)

    both = [threading.Thread(target=bind, args=each) for each in ((here, MARIE), (there, PAUL))]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len([each for each in outcomes if isinstance(each, HolderError)]) == 1
    assert len(parts(here, "marie")) == 1


def test_a_shared_account_has_several_holders_and_delegates(people: People) -> None:
    people.account("cabinet", AccountKind.CAB)
    people.holder("cabinet", MARIE)
    people.holder("cabinet", PAUL)
    people.delegate("cabinet", ZOE, Rights.READ)
    assert parts(people, "cabinet") == {
        MARIE: (Part.HOLDER, ALL_RIGHTS),
        PAUL: (Part.HOLDER, ALL_RIGHTS),
        ZOE: (Part.DELEGATE, Rights.READ),
    }
    people.delegate("cabinet", ZOE, ALL_RIGHTS)
    assert parts(people, "cabinet")[ZOE] == (Part.DELEGATE, ALL_RIGHTS)


def test_a_holder_is_not_made_a_delegate_by_mistake(people: People) -> None:
    people.account("marie")
    people.holder("marie")
    with pytest.raises(HolderError):
        people.delegate("marie", MARIE, Rights.READ)


def test_somebody_may_answer_for_a_shared_account_only(people: People) -> None:
    people.account("urgences", AccountKind.ORG)
    people.account("marie")
    for local_part in ("urgences", "marie"):

        def make(connection: object, local_part: str = local_part) -> object:
            return sharing.grant(
                connection,  # type: ignore[arg-type]
                address(local_part),
                ZOE,
                "Zoé",
                Rights.READ,
                ADMINISTRATOR,
                part=Part.RESPONSIBLE,
                label="Cadre",
            )

        if local_part == "marie":
            with pytest.raises(SharingKindError):
                people.database.write(make)
        else:
            people.database.write(make)
    (found,) = people.database.read(sharing.holders, address("urgences"))
    assert (found.part, found.rights, found.label, found.person.name) == (Part.RESPONSIBLE, Rights.READ, "Cadre", "Zoé")


def test_who_is_responsible_lets_others_in_and_a_delegate_does_not(people: People) -> None:
    people.account("urgences", AccountKind.ORG)
    for part, let_in in ((Part.RESPONSIBLE, True), (Part.DELEGATE, False), (Part.SOFTWARE, False)):
        actor = Actor(part, 7)
        if let_in:
            people.database.write(sharing.grant, address("urgences"), PAUL, "", Rights.READ, actor)
            continue
        for verb, args in (
            (sharing.grant, (PAUL, "", ALL_RIGHTS, actor)),
            (sharing.bind_holder, (PAUL, "", actor)),
            (sharing.end_grant, (PAUL, actor)),
            (sharing.sign_out, (actor,)),
        ):
            with pytest.raises(NotPermittedError):
                people.database.write(verb, address("urgences"), *args)
    assert parts(people, "urgences") == {PAUL: (Part.DELEGATE, Rights.READ)}


def test_an_application_account_has_no_persons(people: People) -> None:
    people.account("labo", AccountKind.APP)
    with pytest.raises(SharingKindError):
        people.holder("labo")
    with pytest.raises(SharingKindError):
        people.delegate("labo", PAUL, ALL_RIGHTS)


def test_ending_what_is_not_there_says_so(people: People) -> None:
    people.account("marie")
    with pytest.raises(UnknownPersonError):
        people.database.write(sharing.end_grant, address("marie"), PAUL, ADMINISTRATOR)
    people.doctor("paul", PAUL)
    with pytest.raises(NoGrantError):
        people.database.write(sharing.end_grant, address("marie"), PAUL, ADMINISTRATOR)
    with pytest.raises(UnknownAccountError):
        people.database.write(sharing.end_grant, address("nobody"), PAUL, ADMINISTRATOR)


def test_a_person_is_one_for_all_accounts_and_may_be_renamed(people: People) -> None:
    for local_part in ("marie", "marie.bis"):
        people.account(local_part)
        people.holder(local_part)
    person = people.database.read(persons.get, MARIE)
    assert person.name == MARIE
    renamed = people.database.write(persons.keep, MARIE, "Marie Curie")
    assert (renamed.id, renamed.name) == (person.id, "Marie Curie")
    assert people.database.write(persons.keep, MARIE, "").name == "Marie Curie"
    held = people.database.read(grants.of_person, person.id)
    assert [each.person.name for each in held] == ["Marie Curie"] * 2


def test_a_certificate_opens_an_application_account_or_its_holders_own(people: People) -> None:
    people.account("labo", AccountKind.APP)
    for _ in range(2):
        bound = people.database.write(sharing.add_certificate, address("labo"), ROBOT, ADMINISTRATOR)
        assert people.database.read(sharing.certificates, address("labo")) == [bound]
    people.account("cabinet", AccountKind.CAB)
    people.doctor()
    for local_part in ("cabinet", "marie"):
        with pytest.raises(SharingKindError):
            people.database.write(sharing.add_certificate, address(local_part), ROBOT, ADMINISTRATOR)
    assert len(people.database.write(sharing.remove_certificate, address("labo"), ROBOT, ADMINISTRATOR)) == 1
    with pytest.raises(UnknownBindingError):
        people.database.write(sharing.remove_certificate, address("labo"), ROBOT, ADMINISTRATOR)


@pytest.mark.parametrize(
    ("dn", "does"),
    [
        ("CN=99700366240,O=CABINET,C=FR", True),
        ("CN=899700366240,O=CABINET,C=FR", True),
        ("CN=labo,OU=899700366240-02,C=FR", True),
        ("CN=labo,UID=99700366240/1,C=FR", True),
        ("CN=199700366240,C=FR", False),
        ("CN=997003662401,C=FR", False),
        ("CN=9970036624,C=FR", False),
        ("CN=MARIE CURIE,C=FR", False),
    ],
)
def test_a_certificate_bears_a_number_whole(dn: str, does: bool) -> None:
    assert bears(names.parse(dn), MARIE) == does


def test_each_change_is_journalled_with_its_person_apart(people: People) -> None:
    people.account("marie")
    people.holder("marie")
    people.delegate("marie", PAUL, Rights.READ | Rights.SEND)
    people.database.write(sharing.end_grant, address("marie"), PAUL, ADMINISTRATOR)
    people.database.write(sharing.sign_out, address("marie"), ADMINISTRATOR)
    people.account("labo", AccountKind.APP)
    people.database.write(sharing.add_certificate, address("labo"), ROBOT, ADMINISTRATOR)
    people.database.write(sharing.remove_certificate, address("labo"), ROBOT, ADMINISTRATOR)
    entries = [each for each in people.database.read(journal.log) if not each.event.startswith("account-")]
    assert [(each.event, each.facts, each.personal) for each in entries] == [
        ("grant", {"part": "holder", "rights": "read,write,send", "by": "administrator"}, {"person": MARIE}),
        ("grant", {"part": "delegate", "rights": "read,send", "by": "administrator"}, {"person": PAUL}),
        ("grant-end", {"app_passwords": 0, "by": "administrator"}, {"person": PAUL}),
        ("sign-out", {"by": "administrator"}, {}),
        ("client-certificate", {"sha256": "", "by": "administrator"}, {"certificate": str(ROBOT.name)}),
        ("client-certificate-end", {"sha256": "", "by": "administrator"}, {"certificate": str(ROBOT.name)}),
    ]
    assert people.database.read(journal.verify).broken_at is None
