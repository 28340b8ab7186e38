"""Following the national directory: everything, then changes, whatever its service does, on both stores."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from simulators.national_directory import (
    KEY,
    NationalDirectory,
    device,
    finess,
    mailbox,
    organization,
    practitioner,
    practitioner_role,
    rpps,
    serving,
)
from vaguemestre.directory import absorption, register, snapshots, sync, tables
from vaguemestre.directory.absorption import Pulled
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.harvest import Harvest
from vaguemestre.directory.model import Address, Kind, Origin
from vaguemestre.directory.national_api import NationalServiceError, Pace, Service
from vaguemestre.directory.register import Place
from vaguemestre.directory.withdrawals import WithdrawalsError
from vaguemestre.errors import ConfigurationError

CLAIRE = "claire.exemple@pro.mssante.fr"
AT_HOSPITAL = "claire.exemple@hopital.mssante.fr"
WARD = "stomatologie@hopital.mssante.fr"


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path / "directory", b"", server.url(name))
    server.drop(name)


@pytest.fixture
def nation() -> Iterator[NationalDirectory]:
    """A small country: a hospital and its legal entity, two dentists, one of whom practises at two places."""
    found = NationalDirectory()
    legal = organization(1, "CENTRE HOSPITALIER", legal=True)
    hospital = organization(
        2, "HOPITAL NORD", mailbox(WARD, "ORG", service="Stomatologie", code_alone=True), parent=legal
    )
    claire = practitioner(1, "EXEMPLE-NOËL", "CLAIRE", mailbox(CLAIRE, old=True), specialty="SCD01")
    karim = practitioner(2, "MODELE", "KARIM")
    found.put(
        hospital, legal, claire, karim,
        practitioner_role(1, claire, None), practitioner_role(2, claire, hospital, mailbox(AT_HOSPITAL), mode="S"),
        practitioner_role(3, karim, hospital, mode="S"), device(7, hospital), ago=timedelta(days=3),
    )  # fmt: skip
    with serving(found) as base:
        found.base = base
        yield found


def follow(where: Place, nation: NationalDirectory, **options: Any) -> Pulled:
    """Pull, without waiting between attempts."""

    async def run() -> Pulled:
        async with Service(nation.base, KEY, pace=Pace(1e6, sleep=_at_once), chance=random.Random(1)) as service:
            return await sync.pull(where, service, **{"withdrawal_limit": 1.0, **options})

    return asyncio.run(run())


async def _at_once(_: float) -> None:
    return


def rows(where: Place, table: sa.Table) -> list[Any]:
    opened = where.open()
    try:
        order = list(table.primary_key)
        return opened.read(lambda connection: list(connection.execute(sa.select(table).order_by(*order)).mappings()))
    finally:
        opened.close()


def addresses(where: Place) -> dict[str, Any]:
    return {row["address"]: row for row in rows(where, tables.addresses)}


def test_everything_is_pulled_into_a_register_that_was_not(where: Place, nation: NationalDirectory) -> None:
    done = follow(where, nation, count=2)
    assert (done.since, done.refused, done.revision) == (0, [], 1)
    assert done.resources == {
        "Organization": 2,
        "Practitioner": 2,
        "PractitionerRole": 3,
        "Device": 1,
        "HealthcareService": 0,
    }
    claire, karim = rows(where, tables.practitioners)
    assert (claire["national_id"], claire["rpps"], claire["family"], claire["given"]) == (
        f"8{rpps(1)}", rpps(1), "EXEMPLE-NOËL", "CLAIRE",
    )  # fmt: skip
    assert (claire["civility"], claire["title"], claire["profession"], claire["category"]) == ("MME", "DR", "40", "C")
    assert claire["family_key"] == "exemple-noel"
    held = {
        (row["what"], row["type"], row["code"])
        for row in rows(where, tables.qualifications)
        if row["practitioner_id"] == claire["id"]
    }
    assert held == {("P", "C", "40"), ("D", "DE", "DE07"), ("K", "S", "SCD01")}
    card = rows(where, tables.cards)[0]
    assert (card["number"], card["type"], card["starts_on"], card["ends_on"]) == (
        "2800000001",
        "CPS",
        "2024-03-01",
        "2027-03-01",
    )
    places = {row["name"]: row for row in rows(where, tables.organizations)}
    hospital, legal = places["HOPITAL NORD"], places["CENTRE HOSPITALIER"]
    assert (hospital["technical_id"], hospital["finess"], hospital["legal_finess"]) == (
        f"F{finess(2)}",
        finess(2),
        finess(1),
    )
    assert (hospital["parent_id"], legal["finess"], legal["legal_finess"]) == (legal["id"], "", finess(1))
    assert (hospital["number"], hospital["street_type"], hospital["street"], hospital["commune"]) == (
        "96",
        "R",
        "DIDOT",
        "75114",
    )
    assert (hospital["sector"], hospital["category"], hospital["phone"], hospital["fax"]) == (
        "SA01",
        "355",
        "0199000001",
        "0199000002",
    )
    roles = rows(where, tables.activities)
    assert [(row["identifier"], row["organization_id"], row["mode"], row["profession"]) for row in roles] == [
        ("1000000001", None, "L", "40"), ("1000000002", hospital["id"], "S", "40"), ("1000000003", hospital["id"], "S", "40"),
    ]  # fmt: skip
    found = addresses(where)
    assert {name: (row["kind"], row["practitioner_id"], row["organization_id"]) for name, row in found.items()} == {
        CLAIRE: ("PER", claire["id"], None),
        AT_HOSPITAL: ("PER", claire["id"], hospital["id"]),
        WARD: ("ORG", None, hospital["id"]),
    }
    assert found[CLAIRE]["digitization"] is True
    assert found[AT_HOSPITAL]["digitization"] is None
    assert found[WARD]["service"] == "Stomatologie"
    kept = rows(where, tables.resources)[0]
    assert (kept["type"], kept["technical_id"]) == ("Device", "002-7")
    assert f'"Organization/001-{hospital["id"]}"'.encode() in kept["content"]
    assert all(row["origin"] == "national-api" for row in (claire, karim, hospital, *roles))


def test_changes_alone_are_asked_for_the_next_time(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    before = {row["national_id"]: row for row in rows(where, tables.practitioners)}
    nation.now += timedelta(days=1)
    nation.put(practitioner(2, "MODELE", "KARIM", mailbox("karim.modele@pro.mssante.fr"), specialty="SCD02"))
    nation.put(practitioner(3, "NOUVELLE", "ANNE"))
    nation.withdraw("PractitionerRole", "005-6000002-88")
    nation.calls.clear()
    done = follow(where, nation)
    assert done.since > 0
    assert all("_lastUpdated=ge20" in path for _, path in nation.calls)
    assert (done.tally.practitioners.created, done.tally.activities.withdrawn, done.tally.addresses.created) == (
        1,
        1,
        1,
    )
    after = {row["national_id"]: row for row in rows(where, tables.practitioners)}
    assert after[f"8{rpps(1)}"]["family"] == before[f"8{rpps(1)}"]["family"]
    karim = after[f"8{rpps(2)}"]
    assert (karim["id"], karim["revision"]) == (before[f"8{rpps(2)}"]["id"], done.revision)  # a box more: shown anew
    assert addresses(where)[AT_HOSPITAL]["active"] is False
    assert [row["active"] for row in rows(where, tables.activities)] == [True, False, True]
    opened = where.open()
    past = opened.read(snapshots.past, done.revision - 1)
    opened.close()
    assert past.qualifications[karim["id"]]
    assert {row.code for row in past.qualifications[karim["id"]]} == {"40", "DE07"}
    assert past.changed("practitioners")[after[f"8{rpps(3)}"]["id"]] is None


def test_a_pull_that_brings_nothing_is_no_change(where: Place, nation: NationalDirectory) -> None:
    first = follow(where, nation)
    done = follow(where, nation, everything=True)
    assert (done.revision, done.since, first.revision) == (0, 0, 1)
    assert len(rows(where, tables.revisions)) == 1


def test_who_is_withdrawn_goes_with_addresses_and_activities(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    nation.now += timedelta(hours=1)
    nation.withdraw("Practitioner", "003-5000001-77")
    follow(where, nation)
    claire = rows(where, tables.practitioners)[0]
    assert (claire["active"], claire["family"]) == (False, "EXEMPLE-NOËL")
    found = addresses(where)
    assert (found[CLAIRE]["active"], found[AT_HOSPITAL]["active"], found[WARD]["active"]) == (False, False, True)
    assert [row["active"] for row in rows(where, tables.activities)] == [False, False, True]


def test_after_a_month_everything_is_pulled_and_what_is_gone_is_withdrawn(
    where: Place, nation: NationalDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(where, nation)
    nation.now += timedelta(days=40)
    monkeypatch.setattr(sync.clock, "now_ms", lambda: int(nation.now.timestamp() * 1000))
    nation.forget("PractitionerRole", "005-6000003-88")
    nation.forget("Practitioner", "003-5000002-77")
    with pytest.raises(WithdrawalsError) as refused:
        follow(where, nation, withdrawal_limit=0.05)
    assert "1 personnes sur 2 (50.0 %)" in refused.value.fr
    assert [row["active"] for row in rows(where, tables.practitioners)] == [True, True]
    done = follow(where, nation)
    assert (done.since, done.tally.practitioners.withdrawn) == (0, 1)
    assert [row["active"] for row in rows(where, tables.practitioners)] == [True, False]
    assert [row["active"] for row in rows(where, tables.activities)] == [True, True, False]
    assert addresses(where)[CLAIRE]["active"]


def test_changes_that_withdraw_too_much_are_refused_too(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    nation.now += timedelta(hours=1)
    nation.withdraw("Practitioner", "003-5000001-77")
    with pytest.raises(WithdrawalsError):
        follow(where, nation, withdrawal_limit=0.05)
    assert rows(where, tables.practitioners)[0]["active"]
    follow(where, nation)  # what was fetched is not lost: it only needs a word
    assert not rows(where, tables.practitioners)[0]["active"]


def test_one_at_a_time_takes_a_source_in(where: Place, nation: NationalDirectory) -> None:
    with where.alone(), pytest.raises(ConfigurationError, match="under way"):
        follow(where, nation)
    follow(where, nation)


def test_what_an_operator_published_is_its_own(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    opened = where.open()

    def publish(connection: sa.Connection) -> None:
        revision = register.begin(connection, Origin.OPERATOR)
        own = Address(
            90, CLAIRE, Kind.PERSON, 1, None, "", "", "", 1, None, True, "op", 5, True, Origin.OPERATOR, revision
        )
        connection.execute(tables.addresses.delete().where(tables.addresses.c.address == CLAIRE))
        register.put(connection, own, replace(own, id=91, address="nouvelle@pro.mssante.fr"))

    opened.write(publish)
    opened.close()
    follow(where, nation, everything=True)
    found = addresses(where)
    assert (found[CLAIRE]["id"], found[CLAIRE]["red_list"], found[CLAIRE]["active"]) == (90, True, True)
    assert (found[CLAIRE]["origin"], found[CLAIRE]["rank"], found[CLAIRE]["operator"]) == ("operator", 1, "op")
    assert sum(row["address"] == CLAIRE for row in rows(where, tables.addresses)) == 1
    assert found["nouvelle@pro.mssante.fr"]["active"]


def test_what_the_service_does_not_tell_stays(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    opened = where.open()

    def oppose(connection: sa.Connection) -> None:
        connection.execute(tables.cards.update().values(opposed_on="2025-02-03"))
        connection.execute(tables.qualifications.insert().values(practitioner_id=1, what="A", type="AUT", code="DIS"))

    opened.write(oppose)
    opened.close()
    nation.now += timedelta(hours=1)
    nation.put(practitioner(1, "EXEMPLE-NOËL", "CLAIRE MARIE", specialty="SCD03"))
    follow(where, nation)
    assert rows(where, tables.practitioners)[0]["given"] == "CLAIRE MARIE"
    held = {row["code"] for row in rows(where, tables.qualifications) if row["practitioner_id"] == 1}
    assert held == {"40", "DE07", "SCD03", "DIS"}
    assert rows(where, tables.cards)[0]["opposed_on"] == "2025-02-03"
    assert not addresses(where)[CLAIRE]["active"]


def test_an_activity_without_a_box_leaves_that_of_another_at_the_same_place(
    where: Place, nation: NationalDirectory
) -> None:
    claire, hospital = (
        nation.resources["Practitioner"]["003-5000001-77"][1],
        nation.resources["Organization"]["001-01-2"][1],
    )
    nation.put(practitioner_role(4, claire, hospital, mode="B"))
    follow(where, nation)
    nation.now += timedelta(hours=1)
    nation.put(practitioner_role(4, claire, hospital, mode="L"))
    done = follow(where, nation)
    assert done.tally.activities.changed == 1
    assert addresses(where)[AT_HOSPITAL]["active"]
    nation.now += timedelta(hours=1)
    nation.put(practitioner_role(2, claire, hospital), practitioner_role(4, claire, hospital))
    follow(where, nation)
    assert not addresses(where)[AT_HOSPITAL]["active"]


def test_what_bears_an_address_that_changes_is_shown_anew(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    hospital = nation.resources["Organization"]["001-01-2"][1]
    claire = nation.resources["Practitioner"]["003-5000001-77"][1]
    nation.now += timedelta(hours=1)
    hospital["telecom"] = [each for each in hospital["telecom"] if each["system"] != "email"]
    nation.put(hospital, practitioner_role(2, claire, hospital, mailbox(AT_HOSPITAL, description="autre"), mode="S"))
    done = follow(where, nation)
    at = {row["name"]: row["revision"] for row in rows(where, tables.organizations)}
    assert at == {"HOPITAL NORD": done.revision, "CENTRE HOSPITALIER": 1}
    assert [row["revision"] for row in rows(where, tables.activities)] == [1, done.revision, 1]
    assert [row["revision"] for row in rows(where, tables.practitioners)] == [1, 1]


def test_people_are_found_by_each_of_their_names(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    assert {row["key"] for row in rows(where, tables.spellings)} >= {"exemple noel", "noel"}


def test_bad_days_are_sat_out(where: Place, nation: NationalDirectory) -> None:
    nation.trouble.extend([(504, {}), (502, {}), (0, {}), (429, {"Retry-After": "2"}), (500, {})])
    assert follow(where, nation, count=1).resources["PractitionerRole"] == 3
    nation.trouble.extend([(504, {})] * 20)
    with pytest.raises(NationalServiceError, match="504 upstream request timeout"):
        follow(where, nation)


def test_a_pull_that_was_cut_goes_on_where_it_was(where: Place, nation: NationalDirectory) -> None:
    nation.trouble.clear()
    cut = asyncio.run(_pull_until(where, nation, calls=4))
    assert not where.exists()
    asked = [path for _, path in nation.calls]
    assert sum(path.startswith("/fhir/v2/Organization") for path in asked) == 1
    nation.calls.clear()
    done = follow(where, nation, count=1)
    again = [path for _, path in nation.calls]
    assert not any("/Organization?" in path for path in again)
    assert done.resources["Practitioner"] == 2
    assert len(rows(where, tables.practitioners)) == 2
    assert cut


async def _pull_until(where: Place, nation: NationalDirectory, calls: int) -> bool:
    """Pull page by page, and die in the middle of a page being written."""
    async with Service(nation.base, KEY, pace=Pace(1e6, sleep=_at_once), attempts=1) as service:
        original = service.page
        count = 0

        async def page(asked: str) -> Any:
            nonlocal count
            count += 1
            if count == calls:
                with (where.folder / "pull" / "Practitioner.ndjson").open("ab") as file:
                    file.write(b'{"half a line')
                raise NationalServiceError("cut")
            return await original(asked)

        service.page = page  # type: ignore[method-assign]
        try:
            await sync.pull(where, service, count=1)
        except NationalServiceError:
            return True
    return False


def test_pages_that_are_gone_are_fetched_anew(where: Place, nation: NationalDirectory) -> None:
    asyncio.run(_pull_until(where, nation, calls=4))
    nation.pages.clear()
    done = follow(where, nation, count=1)
    assert done.resources["Practitioner"] == 2
    assert len(rows(where, tables.practitioners)) == 2


def test_who_a_change_refers_to_is_asked_for(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    anne = practitioner(9, "ANCIENNE", "ANNE")
    nation.put(anne, ago=timedelta(days=300))  # old, and never seen here
    nation.now += timedelta(hours=2)
    nation.put(practitioner_role(9, anne, None))
    done = follow(where, nation)
    assert done.refused == []
    assert [row["family"] for row in rows(where, tables.practitioners)] == ["EXEMPLE-NOËL", "MODELE", "ANCIENNE"]


def test_what_cannot_be_read_is_refused_and_the_rest_taken(where: Place, nation: NationalDirectory) -> None:
    broken = practitioner(4, "SANS", "NUMERO")
    broken["identifier"] = []
    stray = practitioner_role(5, practitioner(99, "PERSONNE", "NULLE"), None)
    bad_box = practitioner(6, "MAUVAISE", "BOITE", mailbox("x@y.mssante.fr", "XYZ"))
    nation.put(broken, stray, bad_box)
    done = follow(where, nation)
    assert done.refused_count == 3
    assert [each.split(":")[0] for each in done.refused] == [
        "Practitioner/003-5000004-77", "Practitioner/003-5000006-77", "PractitionerRole/005-6000005-88",
    ]  # fmt: skip
    assert len(rows(where, tables.practitioners)) == 2


def test_activities_of_the_files_are_those_of_the_service(where: Place, nation: NationalDirectory) -> None:
    edition.make(where, Fiction(30))
    opened = where.open()
    read = sa.select(tables.activities, tables.practitioners.c.national_id, tables.organizations.c.technical_id)
    read = read.join(tables.practitioners, tables.practitioners.c.id == tables.activities.c.practitioner_id)
    read = read.join(tables.organizations, tables.organizations.c.id == tables.activities.c.organization_id)
    row = opened.read(lambda connection: connection.execute(read.order_by(tables.activities.c.id)).mappings().first())
    opened.close()
    assert row is not None
    person = practitioner(1, "CELLE", "DES FICHIERS")
    person["identifier"][0]["value"] = row["national_id"]
    place = organization(3, "LE LIEU")
    place["identifier"][2]["value"] = row["technical_id"]
    nation.put(person, place, practitioner_role(50, person, place, mode=row["mode"]))
    follow(where, nation)
    after = {each["id"]: each for each in rows(where, tables.activities)}
    assert (after[row["id"]]["identifier"], after[row["id"]]["profession"]) == ("1000000050", row["profession"])
    assert after[row["id"]]["active"]


def test_a_wrong_key_is_told_at_once(where: Place, nation: NationalDirectory) -> None:
    async def run() -> None:
        async with Service(nation.base, "wrong", pace=Pace(1e6, sleep=_at_once)) as service:
            await sync.pull(where, service)

    with pytest.raises(ConfigurationError, match="401 Unauthorized"):
        asyncio.run(run())
    assert len(nation.calls) == 1


def test_a_state_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    harvest = Harvest(tmp_path / "pull")
    assert harvest.open() is None
    (tmp_path / "pull").mkdir()
    (tmp_path / "pull" / "state.json").write_bytes(b"{")
    assert harvest.open() is None


def test_the_cursor_is_the_register_s(where: Place, nation: NationalDirectory) -> None:
    follow(where, nation)
    where.replace(where.next())  # another edition, which knows nothing of the pull
    opened = where.open()
    assert opened.read(absorption.cursor) == 0
    opened.close()


@given(st.sets(st.integers(0, 2**62)), st.sets(st.integers(0, 300)))
def test_numbers_are_seen_or_not(far: set[int], near: set[int]) -> None:
    seen = absorption._Numbers()
    for number in far | near:
        seen.add(number)
    assert all(number in seen for number in far | near)
    assert [number for number in range(400) if number in seen] == sorted(
        number for number in far | near if number < 400
    )
