"""Searches of FHIR on both stores: the same answers as looking at every resource gives."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simulators import registers
from vaguemestre.directory import register, snapshots, spellings, tables
from vaguemestre.directory.fhir import queries, reading
from vaguemestre.directory.fhir.reading import CostlyError, GoneError, Reader, limited
from vaguemestre.directory.model import Kind as AddressKind
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place
from vaguemestre.documents.fhir import matching, resources, search
from vaguemestre.documents.fhir.parameters import PARAMETERS, REFERENCES, Kind
from vaguemestre.documents.fhir.search import Condition, Linked
from vaguemestre.documents.fhir.systems import Json
from vaguemestre.storage.database import Database

NOW = 1_790_000_000_000
TYPES = ("Practitioner", "PractitionerRole", "Organization", "Device", "HealthcareService")


@pytest.fixture(scope="module", params=["sqlcipher", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A register with every quirk."""
    folder = tmp_path_factory.mktemp("register")
    with registers.placed(request, folder, request.param) as place, registers.opened(place, *registers.QUIRKS) as found:
        yield found


@pytest.fixture(scope="module")
def everything(opened: Database) -> dict[str, list[Json]]:
    """Every resource, by type."""
    return {kind: _all(opened, kind, []) for kind in TYPES}


def _all(opened: Database, kind: str, pairs: list[tuple[str, str]], count: int = 3) -> list[Json]:
    """What a search finds, page after page."""
    reader, asked = Reader(), replace(search.read(kind, pairs), count=count)
    found, cursor = [], None
    while True:
        page = opened.read(reader.find, asked, NOW, cursor)
        found += page.matches
        cursor = page.next
        if cursor is None:
            return found


def _looked_at(everything: dict[str, list[Json]], condition: Condition) -> list[str]:
    """Who meets a condition, each looked at."""

    def follow(linked: Linked, resource: Json) -> bool:
        reference = linked.reference
        if linked.backwards:
            referring = [each for each in everything[reference.source] if each.get("active", True)]
            there = [each for each in referring if matching.referred(each, reference.parameter) == resource["id"]]
        else:
            sought = matching.referred(resource, reference.parameter)
            there = [each for each in everything[reference.target] if each["id"] == sought]
        return any(matching.matches(each, linked.inner, follow, NOW) for each in there)

    return [each["id"] for each in everything[condition.kind] if matching.matches(each, condition, follow, NOW)]


NAMES = ["lefevre", "LEFÈVRE-NOËL", "lefevre noel", "noel", "noël", "mart", "luc", "jean", "jean-luc", "jean luc", "de la",
         "tour", "d'auv", "auvergne", "Bénédicte", "benedicte", "zoe", "noel jean", "lefevre noel zoe", "noel zoe",
         "martin luc", "luc martin", "martin", "adele martin", "martin adele", "mme", "dr", "M", "ô'brien", "obrien",
         "oeuvrard", "-", " ", "'", "e", "ancien", "tour d auvergne benedicte", "vre-no", "é", "Lefèvre-Noël",
         "NOEL Jean-Luc", "Martin Noël Luc"]  # fmt: skip
PLACES = ["cabinet", "l'étoile", "étoile", "clinique", "DR PETIT", "par", "Paris", "PARIS", "saint-étienne", "42", "750",
          "75014", "96", "96 B R DIDOT", "didot", "de la paix", "De la Paix", "fermé", "centre", "bp", "le"]  # fmt: skip
BOXES = ["zoe", "@", "@medecin.mssante.fr", "medecin.mssante.fr", "@medecin", "noel@pro", "secretariat",
         "Secretariat@ch-etoile.mssante.fr", "secretariat@ch-etoile.mssante.fr", "cachee", "ancienne", "b.martin",
         "mssante", "automate@", "cabinet@dentiste.mssante.fr", "a@d"]  # fmt: skip
CODES = ["40", "10", "SCD01", "C76", "CAPA01", "C", "S", "M", "DE", "DE05", "PSY", "L", "FON-AU", "GENR01", "A", "SA07",
         "SA05", "124", "GEOGRAPHICAL-ENTITY", "LEGAL-ENTITY", "true", "false", "PER", "ORG", "APP", "CAB", "CPS", "CPF",
         "RPPS", "IDNPS", "FINESS", "FINEG", "FINEJ", "SIRET", "IDNST", "RPPSRG", "75114", "CNOCD", "05602", "active",
         "04", "16", "01", "99700000001", "899700000001", "0591234567", "990000010", "990000028", "1990000010",
         "1990000028", "1990000044", "399000003000019", "499700000007001", "399000002000011", "499700000005001", "99000002000011",
         "F000000001",
         "R10100000001", "1010399870", "1", "2", "84-1"]  # fmt: skip
SYSTEMS = ["", *sorted({
    coding["system"] for name in ("SPECIALITY", "PROFESSION", "OTHER_PROFESSION", "CATEGORY", "KNOW_HOW_TYPE", "DIPLOMA",
                                  "DIPLOMA_TYPE", "FUNCTION", "GENRE", "MODE", "SECTION", "SECTOR", "ESTABLISHMENT",
                                  "COMMUNE", "MAILBOX_KIND", "CARD_TYPE", "IDNPS", "IDNST", "RPPS", "FINESS", "SIRENE",
                                  "RPPS_RANK", "OWN_ACTIVITY", "IDENTIFIER_TYPES", "ORGANIZATION_KINDS")
    for coding in [{"system": getattr(resources.systems, name)}]
}), resources.systems.KNOW_HOW["C"], "http://sirene.fr", "urn:unknown"]  # fmt: skip
IDS = [f"{prefix}{number}" for prefix in ("001-", "002-", "003-", "004-", "005-") for number in (1, 2, 3, 99)]
DATES = ["2026", "ge2026-11", "lt2000", "gt2020-01-01", "ne2026", "sa2100", "eb2100", "ap2026", "le2026-12-31T00:00:00Z",
         "eq2026-11-25"]  # fmt: skip


def _value(kind: str, name: str, how: Kind, modifier: str) -> st.SearchStrategy[str]:
    if how is Kind.REFERENCE:
        plain = st.sampled_from(IDS)
        return st.one_of(
            plain, plain.map(lambda each: f"Organization/{each}"), plain.map(lambda each: f"Practitioner/{each}")
        )
    if how is Kind.DATE:
        return st.sampled_from(DATES)
    if how is Kind.URI:
        return st.sampled_from([resources.systems.PROFILES["HealthcareService"][0], "urn:none"])
    if how is Kind.STRING:
        return st.sampled_from(BOXES if name == "mailbox-mss" else ["28", "28001", "112"] if "card" in name else PLACES
                               if kind == "Organization" else [*NAMES, "siemens", "magne"])  # fmt: skip
    if modifier == "of-type":
        of_type = f"{resources.systems.IDENTIFIER_TYPES}|"
        return st.tuples(st.sampled_from(["RPPS", "IDNPS", "FINEG", "FINEJ", "SIRET"]), st.sampled_from(CODES)).map(
            lambda pair: f"{of_type}{pair[0]}|{pair[1]}"
        )
    codes = st.sampled_from(IDS if name == "_id" else CODES)
    with_system = st.tuples(st.sampled_from(SYSTEMS), st.one_of(codes, st.just(""))).map("|".join)
    return st.one_of(codes, with_system)


@st.composite
def _parameters(draw: st.DrawFn, kind: str, depth: int = 0) -> tuple[str, str]:
    """A parameter and its value, with modifiers, chains and `_has`."""
    if depth < 2 and draw(st.integers(0, 3)) == 0:
        forward = [each for each in REFERENCES.values() if each.source == kind]
        backward = [each for each in REFERENCES.values() if each.target == kind]
        reference = draw(st.sampled_from([*forward, *backward])) if forward or backward else None
        if reference is not None and reference in forward:
            name, value = draw(_parameters(reference.target, depth + 1))
            return f"{reference.parameter}.{name}", value
        if reference is not None:
            name, value = draw(_parameters(reference.source, depth + 1))
            return f"_has:{reference}:{name}", value
    parameter = PARAMETERS[kind][draw(st.sampled_from(sorted(PARAMETERS[kind])))]
    modifiers = {Kind.STRING: ["", ":contains", ":exact", ":text"], Kind.TOKEN: ["", ":not"]}.get(parameter.kind, [""])
    if parameter.name == "identifier":
        modifiers = [*modifiers, ":of-type"]
    modifier = draw(st.sampled_from(modifiers))
    values = draw(st.lists(_value(kind, parameter.name, parameter.kind, modifier[1:]), min_size=1, max_size=2))
    return f"{parameter.name}{modifier}", ",".join(values)


@st.composite
def _searches(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    kind = draw(st.sampled_from([*TYPES, "Practitioner", "Organization", "PractitionerRole"]))
    return kind, draw(st.lists(_parameters(kind), min_size=1, max_size=2))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(_searches())
@example(("Practitioner", [("family", "noel")]))
@example(("Practitioner", [("name", "martin luc")]))
@example(("Practitioner", [("_has:PractitionerRole:practitioner:organization.address-postalcode", "75")]))
@example(("PractitionerRole", [("practitioner.name", "zoe lefevre noel")]))
@example(("Organization", [("identifier", "http://sirene.fr|99000002000011")]))
@example(("Organization", [("_has:Device:organization:manufacturer", "siemens")]))
def test_a_search_finds_what_looking_at_each_finds(
    opened: Database, everything: dict[str, list[Json]], asked: tuple[str, list[tuple[str, str]]]
) -> None:
    kind, pairs = asked
    found = [each["id"] for each in _all(opened, kind, pairs)]
    wanted = [each["id"] for each in everything[kind]]
    for condition in search.read(kind, pairs).conditions:
        met = set(_looked_at(everything, condition))
        wanted = [each for each in wanted if each in met]
    assert found == wanted


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Practitioner", "identifier"), ("PractitionerRole", "identifier"), ("Organization", "identifier"),
        ("Practitioner", "qualification-code"), ("PractitionerRole", "role"), ("Organization", "type"),
    ],
)  # fmt: skip
def test_every_code_is_found_under_its_system_alone(
    opened: Database, everything: dict[str, list[Json]], kind: str, name: str
) -> None:
    codings = [each for one in everything[kind] for each in matching.codings(one, name)]
    systems = [None, "", "urn:unknown", *sorted({each["system"] for each in codings})]
    for system in systems:
        for code in [*sorted({each["code"] for each in codings}), "0", ""]:
            value = code if system is None else f"{system}|{code}"
            conditions = search.read(kind, [(name, value)]).conditions
            wanted = _looked_at(everything, conditions[0]) if conditions else [each["id"] for each in everything[kind]]
            assert [each["id"] for each in _all(opened, kind, [(name, value)], 100)] == wanted, value


@pytest.mark.parametrize(
    ("kind", "pairs", "found"),
    [
        ("Practitioner", "family=noel", [1, 2, 5]),  # the second surname
        ("Practitioner", "name:family=martin&name:given=benedicte", [4]),
        ("Practitioner", "family=martin", [4, 5]),
        ("Practitioner", "given=bénédicte", [3, 4]),
        ("Practitioner", "family:exact=MARTIN", [4]),
        ("Practitioner", "family:contains=vre-n", [1]),
        ("Practitioner", "name=noel jean", [2]),
        ("Practitioner", "name=jean-luc noel", [2]),
        ("Practitioner", "identifier=https://rpps.esante.gouv.fr|99700000001,899700000002", [1, 2]),
        ("Practitioner", "qualification-code=10&active=true", [2, 3]),
        ("Practitioner", "qualification-code=C", [1, 2, 4, 9]),
        ("Practitioner", "mailbox-mss:contains=@medecin.mssante.fr", [1]),  # one is hidden, one is no more
        ("Practitioner", "mailbox-mss:contains=medecin.mssante.fr", [1, 3]),
        ("Practitioner", "mailbox-mss:contains=@", [1, 3, 4, 5]),
        ("Practitioner", "mailbox-mss=cachee", []),
        ("Practitioner", "mailbox-mss-type=CAB", [5]),
        ("Practitioner", "number-smartcard=28001122", [1]),  # one is opposed
        ("Practitioner", "active=false", [6]),
        ("Practitioner", "family=petit", []),  # withdrawn: shows no name
        ("Practitioner", "active:not=true", [6]),
        ("Practitioner", "_has:PractitionerRole:practitioner:organization.address-postalcode=75", [1, 2]),
        ("PractitionerRole", "mailbox-mss:contains=@", [1]),
        ("PractitionerRole", "practitioner.name=zoe&organization.address-city=paris", [1, 2]),
        ("PractitionerRole", "role=S", [2]),
        ("PractitionerRole", "organization=001-3", [2, 3]),
        ("PractitionerRole", "organization=Organization/001-3,001-1", [1, 2, 3]),
        ("PractitionerRole", "identifier=1010399870", [1]),
        ("Organization", "name=cabinet", [1]),
        ("Organization", "name:contains=etoile", [1, 2]),
        ("Organization", "address-line=96 b r", [1]),
        ("Organization", "address=75", [1, 3]),
        ("Organization", "type=SA05,SA04", [2, 3]),
        ("Organization", "type=LEGAL-ENTITY", [2]),
        ("Organization", "identifier=https://finess.esante.gouv.fr|990000028", [2]),
        ("Organization", "partof=001-2", [3]),
        ("Organization", "mailbox-mss=secretariat", [3]),
    ],
)
def test_what_a_search_finds(opened: Database, kind: str, pairs: str, found: list[int]) -> None:
    asked = [tuple(pair.split("=", 1)) for pair in pairs.split("&")]
    numbers = [resources.number_of(kind, each["id"]) for each in _all(opened, kind, asked)]
    assert numbers == found


@pytest.mark.parametrize("kind", ["Practitioner", "Organization", "PractitionerRole"])
@pytest.mark.parametrize("sort", ["_id", "_lastUpdated", "name", "family"])
@pytest.mark.parametrize("mark", ["", "-"])
def test_pages_follow_their_order(opened: Database, kind: str, sort: str, mark: str) -> None:
    if sort not in search.SORTS[kind]:
        return
    one_by_one = _all(opened, kind, [("_sort", mark + sort)], count=1)
    together = _all(opened, kind, [("_sort", mark + sort)], count=100)
    assert [each["id"] for each in one_by_one] == [each["id"] for each in together]
    assert len(together) == len(_all(opened, kind, []))
    if mark:
        upwards = _all(opened, kind, [("_sort", sort)], count=100)
        assert [each["id"] for each in upwards] == [each["id"] for each in reversed(together)]


@pytest.mark.parametrize("text", ["e", "noel", "vre-no", "n lu", "r z", "noel z", "auvergne benedicte", "x", "e e"])
def test_a_text_anywhere_is_found_by_names_or_by_looking(
    opened: Database, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name in ("name:contains", "family:contains", "given:contains"):
        by_names = _all(opened, "Practitioner", [(name, text)])
        with monkeypatch.context() as patched:
            patched.setattr(reading, "_MOST_NAMES", -1)
            assert _all(opened, "Practitioner", [(name, text)]) == by_names
        with monkeypatch.context() as patched:
            patched.setattr(reading, "_WINDOW", 1)
            patched.setattr(reading, "_MOST_NAMES", -1)
            assert _all(opened, "Practitioner", [(name, text)]) == by_names


@pytest.fixture(scope="module")
def of_unknown_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A register whose sizes SQLite does not know: it takes every table for a large one."""
    place = Place(tmp_path_factory.mktemp("register"), bytes(range(32)))
    with registers.opened(place, *registers.QUIRKS) as found:
        for table in ("sqlite_stat1", "sqlite_stat4"):
            found.write(lambda connection, table=table: connection.exec_driver_sql(f"DELETE FROM {table}").rowcount)
    reopened = place.open()
    yield reopened
    reopened.close()


def _plan(connection: sa.Connection, asked: search.Search) -> list[str]:
    """The steps of SQLite for the rows of a search, by whichever of its conditions may be gathered."""
    steps: list[str] = []
    flow = reading._Flow(reading.Known(), connection, NOW, resources.PUBLIC)
    for condition in asked.conditions:
        query = flow._query()
        source = queries.compiled(query, condition).source
        if source:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {source}", query.values)
            steps += [row[3] for row in explained]
    return steps


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("Practitioner", "identifier=99700000001"), ("Practitioner", "family=noel"), ("Practitioner", "given=zoe"),
        ("Practitioner", "name=zoe noel"), ("Practitioner", "qualification-code=40"), ("Practitioner", "_lastUpdated=ge2026"),
        ("Practitioner", "number-smartcard=28"), ("Practitioner", "type-smartcard=CPS"),
        ("Practitioner", "mailbox-mss=zoe"), ("Practitioner", "mailbox-mss:contains=@medecin.mssante.fr"),
        ("Practitioner", "name:contains=noel"), ("Practitioner", "_id=003-1"),
        ("Practitioner", "_has:PractitionerRole:practitioner:organization.address-city=paris"),
        ("PractitionerRole", "practitioner=003-1"), ("PractitionerRole", "organization=001-1"),
        ("PractitionerRole", "identifier=1010399870"), ("PractitionerRole", "practitioner.identifier=99700000001"),
        ("PractitionerRole", "mailbox-mss=zoe"),
        ("PractitionerRole", f"role={resources.systems.FUNCTION}|FON-AU"),
        ("Organization", "identifier=990000010"), ("Organization", "identifier=urn:oid:1.2.250.1.71.4.2.2|1990000010"),
        ("Organization", "name=cab"), ("Organization", "address-city=paris"), ("Organization", "address-postalcode=75"),
        ("Organization", "address-line=96"), ("Organization", "address=paris"), ("Organization", "address-insee=75114"),
        ("Organization", "type=SA07"), ("Organization", "partof=001-2"), ("Organization", "mailbox-mss=secr"),
    ],
)  # fmt: skip
def test_every_source_is_an_index(of_unknown_size: Database, kind: str, pair: str) -> None:
    name, _, value = pair.partition("=")
    steps = of_unknown_size.read(_plan, search.read(kind, [(name, value)]))
    assert steps
    assert [each for each in steps if each.startswith("SCAN") and "json_each" not in each] == []


def test_totals(opened: Database) -> None:
    def total(pairs: list[tuple[str, Any]]) -> int | None:
        return opened.read(Reader().find, search.read("Practitioner", pairs), NOW).total

    assert total([]) == 9
    assert total([("_count", "2")]) == 9
    assert total([("_count", "2"), ("_total", "none")]) is None
    assert total([("_count", "1"), ("family", "noel"), ("active", "true")]) is None  # not asked for, not quickly known
    assert total([("_count", "1"), ("family", "noel"), ("active", "true"), ("_total", "accurate")]) == 3
    assert total([("_count", "1"), ("family", "noel"), ("active", "true"), ("_total", "estimate")]) == 3
    assert total([("_count", "1"), ("family", "noel")]) == 3
    assert total([("_summary", "count"), ("active", "false")]) == 1
    assert total([("_count", "0")]) == 9


def _change(connection: sa.Connection) -> None:
    """As an import does: keep what was, then rename, withdraw, add, move a mailbox, take a qualification."""
    revision = register.begin(connection, Origin.EXTRACTION)
    snapshots.keep(connection, revision, "practitioners", [1, 2, 3, 10])
    snapshots.keep(connection, revision, "activities", [2, 3, 10])
    snapshots.keep(connection, revision, "organizations", [3])
    snapshots.keep(connection, revision, "addresses", [1, 4, 10])
    made = registers.practitioner, registers.activity, registers.organization, registers.address
    practitioner, activity, organization, address = made
    register.put(
        connection,
        practitioner(1, "Renommée", "Zoé", revision),
        practitioner(2, "NOEL", "Jean-Luc", revision, active=False),
        practitioner(3, "de la Tour d'Auvergne", "Bénédicte", revision),
        practitioner(10, "Nouvelle", "Noël", revision),
        activity(2, 1, 1, revision),
        activity(3, 2, 3, revision, active=False),
        activity(10, 10, 3, revision),
        organization(3, "Autre nom", revision),
        address(1, "zoe.lefevre@medecin.mssante.fr", AddressKind.PERSON, 3, None, revision=revision),
        address(
            4, "Secretariat@ch-etoile.mssante.fr", AddressKind.ORGANIZATION, None, 3, red_list=True, revision=revision
        ),
        address(10, "nouvelle@ch-etoile.mssante.fr", AddressKind.PERSON, 10, None, revision=revision),
    )
    connection.execute(tables.qualifications.delete().where(tables.qualifications.c.practitioner_id == 1))
    spellings.refresh(connection, revision - 1)


@pytest.mark.parametrize("store", ["sqlcipher", "postgresql"])
def test_all_pages_show_the_register_as_it_was_on_the_first(
    request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    asked = [
        ("Practitioner", []), ("Practitioner", [("active", "true")]), ("Practitioner", [("family", "noel")]),
        ("Practitioner", [("qualification-code", "C")]), ("Practitioner", [("mailbox-mss:contains", "@")]),
        ("Practitioner", [("_sort", "-name")]), ("Practitioner", [("_sort", "_lastUpdated")]),
        ("PractitionerRole", []), ("PractitionerRole", [("organization", "001-3")]),
        ("Organization", []), ("Organization", [("mailbox-mss", "secretariat")]), ("Organization", [("name", "c")]),
    ]  # fmt: skip
    with registers.placed(request, tmp_path, store) as place, registers.opened(place, *registers.QUIRKS) as opened:
        reader = Reader()
        searches = [replace(search.read(kind, pairs), count=1) for kind, pairs in asked]
        whole = [opened.read(reader.find, replace(each, count=100), NOW) for each in searches]
        first = [opened.read(reader.find, each, NOW) for each in searches]
        opened.write(_change)
        for each, before, page in zip(searches, whole, first, strict=True):
            found, cursor = list(page.matches), page.next
            while cursor is not None:
                following = opened.read(reader.find, each, NOW, cursor)
                found += following.matches
                cursor = following.next
            assert found == before.matches
        now = opened.read(reader.find, search.read("Practitioner", [("name", "nouvelle noel")]), NOW)
        assert [each["id"] for each in now.matches] == ["003-10"]


@pytest.mark.parametrize("store", ["sqlcipher", "postgresql"])
def test_what_is_included_is_of_the_first_page_too(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> None:
    with registers.placed(request, tmp_path, store) as place, registers.opened(place, *registers.QUIRKS) as opened:
        reader = Reader()
        for kind, pairs in (
            ("Practitioner", [("_revinclude", "PractitionerRole:practitioner"),
                              ("_include:iterate", "PractitionerRole:organization")]),
            ("PractitionerRole", [("_include", "*")]),
            ("Organization", [("_revinclude", "*"), ("_include", "Organization:partof")]),
        ):  # fmt: skip
            asked = replace(search.read(kind, pairs), count=100)
            before = opened.read(reader.find, asked, NOW)
            assert before.included
            begun = opened.read(reader.find, replace(asked, count=1), NOW).next
            assert begun is not None
            opened.write(_change)
            after = opened.read(reader.find, asked, NOW, replace(begun, after=(0,)))
            assert after.matches == before.matches
            assert sorted(after.included, key=str) == sorted(before.included, key=str)


def test_a_search_ends_with_its_edition_and_its_day(opened: Database) -> None:
    reader, asked = Reader(), search.read("Practitioner", [("_count", "1")])
    begun = opened.read(reader.find, asked, NOW).next
    assert begun is not None
    assert opened.read(reader.find, asked, NOW + snapshots.KEPT_MS - 1, begun).matches
    for gone, now in (begun, NOW + snapshots.KEPT_MS), (replace(begun, edition="another"), NOW), (begun, NOW - 100_000):
        with pytest.raises(GoneError):
            opened.read(reader.find, asked, now, gone)


def test_a_search_that_costs_too_much_ends(opened: Database) -> None:
    never = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def ask(connection: sa.Connection) -> None:
        with limited(connection, 0.2):
            connection.exec_driver_sql(never)

    with pytest.raises(CostlyError, match=r"more than 0\.2 s"):
        opened.read(ask)
    assert opened.read(Reader().find, search.read("Practitioner", []), NOW).matches
