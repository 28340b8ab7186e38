"""The fictitious register: the same for the same numbers, valid, and in the proportions of the real one."""

import hashlib
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.directory.fictitious import files, names
from vaguemestre.directory.fictitious.places import BY_PEOPLE, BY_USE, COMMUNES, DEPARTMENTS, STREET_TYPES
from vaguemestre.directory.fictitious.population import FLAWLESS, Defects, Fiction, register
from vaguemestre.directory.fictitious.professions import PROFESSIONS
from vaguemestre.documents.extraction import Kind, recognise, stamp

Table = list[dict[str, str]]


def made(folder: Path, fiction: Fiction) -> list[Table]:
    """The rows of activities, know-how, diplomas, cards and addresses, by the names of their columns."""
    tables = []
    for path in files.write(folder, fiction).files:
        header, *lines = path.read_text("utf-8").removesuffix("\n").split("\n")
        columns = header.split("|")
        assert all(line.count("|") == header.count("|") for line in lines), path
        tables.append([dict(zip(columns, line.split("|"), strict=True)) for line in lines])
    return tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Table]:
    return made(tmp_path_factory.mktemp("extraction"), Fiction(40_000, defects=FLAWLESS))


def luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def digest(folder: Path, fiction: Fiction) -> str:
    written = files.write(folder, fiction)
    return hashlib.sha256(b"".join(path.read_bytes() for path in written.files)).hexdigest()


def test_the_same_numbers_make_the_same_files(tmp_path: Path) -> None:
    first = digest(tmp_path / "a", Fiction(2000, 7, 3))
    assert digest(tmp_path / "b", Fiction(2000, 7, 3)) == first
    assert digest(tmp_path / "c", Fiction(2000, 8, 3)) != first
    assert digest(tmp_path / "d", Fiction(2000, 7, 4)) != first


def test_every_file_is_recognised_with_all_its_columns(tmp_path: Path) -> None:
    for path in files.write(tmp_path, Fiction(10)).files:
        layout = recognise(path.read_bytes().split(b"\n")[0])
        assert path.name.startswith(layout.kind)
        assert (layout.missing, layout.unknown) == ((), ())
        assert stamp(path.name) == "202601050312"


def test_columns_are_as_many_as_published() -> None:
    assert files.header(Kind.ACTIVITIES).count("|") == 56
    assert files.header(Kind.ACTIVITIES).endswith("|Libellé genre activité|")
    assert [files.header(kind).count("|") + 1 for kind in (Kind.KNOW_HOW, Kind.DIPLOMAS)] == [13, 13]
    assert files.header(Kind.ADDRESSES).count("|") + 1 == 31
    assert "|NL4TYPEVOIE structure BAL|" in files.header(Kind.ADDRESSES)


@settings(max_examples=10, deadline=None)
@given(
    people=st.integers(1, 400),
    seed=st.integers(0, 2**70),
    day=st.integers(0, 3000),
    lone=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_identifiers_are_valid_and_one_person_s_each(
    tmp_path_factory: pytest.TempPathFactory, people: int, seed: int, day: int, lone: float
) -> None:
    folder = tmp_path_factory.mktemp("extraction")
    activities, know_how, diplomas, cards, addresses = made(folder, Fiction(people, seed, day, FLAWLESS, lone))
    owners: dict[str, tuple[str, str]] = {}
    for row in [*activities, *know_how, *diplomas, *cards]:
        identifier, kind = row["Identifiant PP"], row["Type d'identifiant PP"]
        assert luhn(identifier)
        assert identifier.startswith("99")
        assert (kind, len(identifier)) in (("8", 11), ("0", 9))
        assert row["Identification nationale PP"] == kind + identifier
        who = (row["Nom d'exercice"], row["Prénom d'exercice"])
        assert all(who)
        assert owners.setdefault(identifier, who) == who
    for row in activities:
        for column in ("Numéro FINESS site", "Numéro FINESS établissement juridique"):
            finess = row[column]
            assert not finess or (
                len(finess) == 9 and (luhn(finess) if finess.isdigit() else finess[:2] in ("2A", "2B"))
            )
        siret, siren = row["Numéro SIRET site"], row["Numéro SIREN site"]
        assert siret.startswith(siren)
        assert not siret or (len(siret) == 14 and luhn(siret) and luhn(siren))
        technical = row["Identifiant technique de la structure"]
        assert not technical or technical[0] in "FCR"
    boxes = [row["Adresse BAL"] for row in addresses]
    assert len(set(boxes)) == len(boxes)
    assert all(box.isascii() and box.count("@") == 1 and box.endswith(".demo.mssante.fr") for box in boxes)
    assert {row["Identifiant PP"] for row in addresses} - {""} <= set(owners)


def test_every_structure_is_one_place(tables: list[Table]) -> None:
    found: dict[str, tuple[str, ...]] = {}
    for row in tables[0]:
        technical = row["Identifiant technique de la structure"]
        facts = (row["Raison sociale site"], row["Code commune (coord. structure)"], row["Numéro FINESS site"])
        assert found.setdefault(technical, facts) == facts
    assert 0.3 < len(found) / 40_000 < 0.7


def test_lone_people_give_an_organization_each(tmp_path: Path) -> None:
    rows = made(tmp_path, Fiction(5000, lone=1.0))[0]
    structures = {row["Identifiant technique de la structure"] for row in rows} - {""}
    assert len(structures) > 5000


def test_proportions_are_the_country_s(tables: list[Table]) -> None:
    people = {row["Identifiant PP"]: row["Code profession"] for row in tables[0]}
    found, thousands = Counter(people.values()), sum(each.thousands for each in PROFESSIONS)
    for profession in PROFESSIONS:
        expected = len(people) * profession.thousands / thousands
        assert found[profession.code] == pytest.approx(expected, rel=0.1, abs=6), profession.label


def test_the_share_of_dentists_with_an_address_is_the_one_published(tables: list[Table]) -> None:
    practising = {
        row["Identifiant PP"]
        for row in tables[0]
        if row["Code profession"] == "40" and row["Identifiant technique de la structure"]
    }
    addressed = {row["Identifiant PP"] for row in tables[4]} & practising
    assert len(practising) > 800
    assert len(addressed) / len(practising) == pytest.approx(0.203, abs=0.003)


def test_people_have_namesakes_several_practices_and_names_of_every_sort(tables: list[Table]) -> None:
    people = {row["Identifiant PP"]: (row["Nom d'exercice"], row["Prénom d'exercice"]) for row in tables[0]}
    same = Counter(people.values())
    assert sum(count for count in same.values() if count > 1) > len(people) / 100
    assert max(Counter(row["Identifiant PP"] for row in tables[0]).values()) >= 3
    family = " ".join(name for name, _ in people.values())
    given_ = " ".join(name for _, name in people.values())
    for part in ("É", "Ç", "D'", "LE ", "DE LA ", "-", "N'"):
        assert part in family, part
    assert "JEAN-" in given_
    assert "É" in given_


def test_a_day_changes_what_a_day_changes(tmp_path: Path) -> None:
    def lines(day: int) -> list[set[str]]:
        return [
            set(path.read_text("utf-8").splitlines()) for path in files.write(tmp_path, Fiction(60_000, 1, day)).files
        ]

    before, after = lines(10), lines(11)
    changed = [len(one ^ other) for one, other in zip(before, after, strict=True)]
    # 15,000 lines a day of a country of 1,950,000.
    assert 250 < sum(changed) / 2 < 900
    assert all(0 < count < len(one) / 50 for count, one in zip(changed, before, strict=True))


def test_people_come_and_go_by_the_day(tmp_path: Path) -> None:
    def people(day: int) -> set[str]:
        return {row["Identifiant PP"] for row in made(tmp_path, Fiction(5000, 1, day))[0]}

    first, later = people(0), people(365)
    assert 150 < len(later - first) < 350
    assert 80 < len(first - later) < 250


def test_an_address_stays_its_bearer_s_from_day_to_day(tmp_path: Path) -> None:
    def bearers(day: int) -> dict[str, str]:
        rows = made(tmp_path, Fiction(20_000, 2, day, FLAWLESS))[4]
        return {row["Adresse BAL"]: row["Identifiant PP"] for row in rows if row["Type de BAL"] == "PER"}

    before, after = bearers(0), bearers(200)
    common = set(before) & set(after)
    assert 0.5 < len(common) / len(before) < 0.95
    assert all(before[address] == after[address] for address in common)


def test_people_keep_their_addresses_when_they_move(tmp_path: Path) -> None:
    def boxes(day: int) -> dict[str, str]:
        rows = made(tmp_path, Fiction(8000, 2, day, FLAWLESS))[4]
        return {row["Identifiant PP"]: row["Adresse BAL"] for row in rows if row["Type de BAL"] == "PER"}

    def places(day: int) -> dict[str, str]:
        rows = made(tmp_path, Fiction(8000, 2, day, FLAWLESS))[0]
        return {row["Identifiant PP"]: row["Identifiant technique de la structure"] for row in reversed(rows)}

    before, after = boxes(0), boxes(900)
    common = set(before) & set(after)
    assert len(common) > 300
    assert [before[person] for person in sorted(common)] == [after[person] for person in sorted(common)]
    was, now = places(0), places(900)
    assert sum(was[person] != now[person] for person in common) > 200


def test_defects_are_as_many_as_wanted(tmp_path: Path) -> None:
    rows = made(tmp_path, Fiction(4000, 3, 0, Defects(key=0.05, blank_postal=0.2, repeated=0.05)))
    people = {row["Identifiant PP"] for row in rows[0]}
    assert 100 < sum(not luhn(identifier) for identifier in people) < 320
    placed = [row for row in rows[0] if row["Identifiant technique de la structure"]]
    assert 0.1 < sum(not row["Code postal (coord. structure)"] for row in placed) / len(placed) < 0.3
    boxes = Counter(row["Adresse BAL"] for row in rows[4])
    assert sum(count > 1 for count in boxes.values()) > 10


def test_memory_does_not_grow_with_the_register() -> None:
    def peak(people: int) -> int:
        tracemalloc.start()
        for _ in register(Fiction(people)):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small, large = peak(4000), peak(16_000)
    assert large < small * 2.5  # caches of names fill up, to a bound; rows are four times as many


def test_communes_are_in_departments_and_every_step_leads_somewhere() -> None:
    assert {each.department for each in COMMUNES} == set(DEPARTMENTS)
    assert len({each.code for each in COMMUNES}) == len(COMMUNES) > 300
    assert all(len(each.code) == 5 and len(each.postcode) == 5 for each in COMMUNES)
    assert set(BY_PEOPLE) == set(COMMUNES)
    assert {code for code, _ in BY_USE} == {code for code, _, _ in STREET_TYPES}


@given(st.integers(0, 65_535), st.integers(0, 65_535), st.integers(0, 65_535), st.booleans())
def test_names_are_words_of_letters_hyphens_and_apostrophes(kind: int, first: int, second: int, woman: bool) -> None:
    for name in (names.family(kind, first, second), names.given(woman, kind, first)):
        assert name
        assert name == name.strip()
        assert name[0].isupper() or name.startswith(("d'", "de ", "du ", "des ", "da ", "dos "))
        assert all(each.isalpha() or each in " -'" for each in name), name
