"""Searching a register on both stores: who is found, in which order, what is said of them, and who never is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.searched_registers import (
    KEY,
    Searched,
    activity,
    address,
    build,
    know_how,
    organization,
    practitioner,
    searched,
)
from vaguemestre.directory.model import Kind, Origin
from vaguemestre.directory.register import Place
from vaguemestre.directory.search import building
from vaguemestre.directory.search.building import Outcome
from vaguemestre.directory.search.finder import Correspondents, Finder
from vaguemestre.directory.search.index import Shelf
from vaguemestre.errors import ConfigurationError

MARSEILLE, PARIS, LYON = 1, 2, 3


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a register may stand."""
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path, b"", server.url(name))
    server.drop(name)


@pytest.fixture
def search(where: Place, tmp_path: Path) -> Iterator[Searched]:
    """A register of a few people and places, on either store."""
    places = (
        organization(MARSEILLE, "CABINET DU PRADO", "MARSEILLE 8E ARRONDISSEMENT", "13008"),
        organization(PARIS, "CLINIQUE SAINT-MARTIN", "PARIS", "75014", finess="750000018"),
        organization(LYON, "C.H.U. DE LYON", "LYON CEDEX 03", "69003", finess="690000013"),
    )
    people = (
        practitioner(1, "DUPONT", "MARIE-ANNE"),
        practitioner(2, "DUPOND", "Paul", "10"),
        practitioner(3, "LEFÈVRE-NOËL", "Zoé"),
        practitioner(4, "MARTIN", "Jean", "60", title=""),
        practitioner(5, "MARTIN", "Jean"),
        practitioner(6, "MARTIN", "Alix"),
        practitioner(7, "DE LA CROIX", "Anaïs", "50"),
        practitioner(8, "D'HONDT", "Éric", "70"),
        practitioner(9, "MARTINEZ", "Luz"),
        practitioner(10, "DURAND", "Retiré", active=False),
    )
    activities = (
        activity(1, 1, MARSEILLE), activity(2, 2, PARIS), activity(3, 3, LYON), activity(4, 4, MARSEILLE),
        activity(5, 5, PARIS), activity(6, 6, LYON), activity(7, 7, MARSEILLE), activity(8, 8, PARIS), activity(9, 9, LYON),
    )  # fmt: skip
    addresses = (
        address(1, "marie-anne.dupont@dentistes.mssante.fr", 1, MARSEILLE, rank=1),
        address(2, "paul.dupond@medecin.mssante.fr", 2),
        address(3, "zoe.lefevre@dentistes.mssante.fr", 3, operator="Opérateur Un"),
        address(4, "jean.martin@infirmier.mssante.fr", 4),
        address(5, "jean.martin@dentistes.mssante.fr", 5),
        address(7, "anais@sages-femmes.mssante.fr", 7),
        address(8, "rouge@kine.mssante.fr", 8, red_list=True),
        address(9, "luz.martinez@dentistes.mssante.fr", 9),
        address(20, "cardio@chu-lyon.mssante.fr", None, LYON, kind=Kind.ORGANIZATION, service="CARDIOLOGIE", rank=1),
    )
    with searched(where, tmp_path, *places, *people, *activities, *addresses, know_how(3, "SCD01")) as found:
        yield found


def test_there_is_nothing_to_search_at_first(tmp_path: Path) -> None:

    with pytest.raises(ConfigurationError, match="no search index yet"):
        Finder(Shelf(tmp_path, KEY)).search("martin")


@pytest.mark.parametrize(
    "asked",
    [
        "dupont marie-anne", "Marie Anne DUPONT", "marieanne dupont", "dup mar", "anne", "dr dupont", "Mme Dupont Marie",
        "dupont dentiste", "dupont dentiste marseille", "dupont 13", "13008 dupont", "dupont prado", "dupont marseille 8e",
    ],
)  # fmt: skip
def test_any_words_in_any_order_find_somebody(search: Searched, asked: str) -> None:
    assert search.names(asked)[:1] == ["Dr Marie-Anne DUPONT"]


@pytest.mark.parametrize(
    "asked", ["lefevre", "noel", "NOËL", "lefevrenoel", "lefèvre noël", "lefebvre", "lefevre noel zoe"]
)
def test_either_half_of_a_double_name_finds_it(search: Searched, asked: str) -> None:
    assert search.names(asked) == ["Dr Zoé LEFÈVRE-NOËL"]


@pytest.mark.parametrize(
    "asked", ["croix", "de la croix", "delacroix", "lacroix", "la croix", "croix anais", "De La Croi"]
)
def test_particles_are_no_obstacle(search: Searched, asked: str) -> None:
    assert search.names(asked) == ["Dr Anaïs DE LA CROIX"]


@pytest.mark.parametrize("asked", ["hondt", "d'hondt", "d’Hondt", "dhondt", "d hondt", "eric d hondt"])
def test_apostrophes_are_no_obstacle(search: Searched, asked: str) -> None:
    assert search.names(asked) == ["Dr Éric D'HONDT"]


def test_what_is_exact_comes_before_what_sounds_alike(search: Searched) -> None:
    assert search.names("dupond") == ["Dr Paul DUPOND", "Dr Marie-Anne DUPONT"]
    assert search.names("dupont") == ["Dr Marie-Anne DUPONT", "Dr Paul DUPOND"]
    assert [found.match for found in search("dupont")] == ["exact", "sound"]


@pytest.mark.parametrize("asked", ["duppont", "dpuont", "dupotn", "dupint"])
def test_a_mistake_is_forgiven(search: Searched, asked: str) -> None:
    assert "Dr Marie-Anne DUPONT" in search.names(asked)


def test_whole_names_come_first_and_those_with_an_address(search: Searched) -> None:
    names = [(found.name, bool(found.addresses)) for found in search("martin")]
    assert names[:2] == [("Dr Jean MARTIN", True), ("Mme Jean MARTIN", True)] or names[:2] == [
        ("Mme Jean MARTIN", True), ("Dr Jean MARTIN", True),
    ]  # fmt: skip
    assert ("Dr Luz MARTINEZ", True) in names
    assert ("Dr Alix MARTIN", False) in names
    assert names.index(("Dr Luz MARTINEZ", True)) < names.index(("Dr Alix MARTIN", False))


def test_a_name_comes_before_a_place_of_that_name(search: Searched) -> None:
    names = search.names("martin")
    assert names.index("Dr Alix MARTIN") < names.index("Dr Paul DUPOND")  # he works at the clinique Saint-Martin


def test_who_is_named_whole_is_shown_even_without_an_address(search: Searched) -> None:
    assert "Dr Alix MARTIN" in [found.name for found in search("martin", limit=3)]


def test_the_closest_comes_first(search: Searched) -> None:
    assert search("jean martin", near="13001")[0].title == ""
    assert search("jean martin", near="75014")[0].title == "DR"
    assert search("jean martin", near="Paris")[0].title == "DR"
    assert search("jean martin", near="13")[0].title == ""


def test_those_written_to_before_come_first(search: Searched) -> None:
    for written_to, title in (("Jean.Martin@infirmier.mssante.fr", ""), ("jean.martin@dentistes.mssante.fr", "DR")):
        answer = search.finder.search("martin", correspondents=Correspondents({written_to: 3.0}))
        assert answer.results[0].title == title
        assert answer.results[0].written_to
        assert not answer.results[1].written_to


def test_a_result_says_who_is_behind_an_address(search: Searched) -> None:
    (found,) = search("zoe lefevre")
    assert (found.what, found.rpps, found.identifier) == ("person", "99700000003", "899700000003")
    assert [code.label for code in found.professions] == ["Chirurgien-Dentiste"]
    assert [code.code for code in found.know_how] == ["SCD01"]
    assert [(place.name, place.postcode, place.city) for place in found.places] == [
        ("C.H.U. DE LYON", "69003", "LYON CEDEX 03")
    ]
    (own,) = found.addresses
    assert (own.address, own.kind, own.publisher) == ("zoe.lefevre@dentistes.mssante.fr", "PER", "Opérateur Un")
    assert (own.source, own.confirmed_on, own.since) == ("extraction", "2026-11-25", "2025-10-09")


def test_who_publishes_is_the_domain_where_no_operator_is_known(search: Searched) -> None:
    (found,) = search("dupont marie")
    assert found.addresses[0].publisher == "dentistes.mssante.fr"
    assert found.addresses[0].preferred
    assert found.addresses[0].at == 0


def test_namesakes_are_counted_and_told_apart(search: Searched) -> None:
    nurse, dentist = sorted(search("jean martin"), key=lambda found: found.title)[:2]
    for found in (nurse, dentist):
        assert found.namesakes is not None
        assert (found.namesakes.count, found.namesakes.told_apart_by) == (1, ["profession"])
    assert search("alix martin")[0].namesakes is None


def test_a_structure_that_is_named_comes_before_who_works_there(search: Searched) -> None:
    found = search("clinique saint martin", limit=1)  # it has no address; who works there has
    assert [(each.what, each.name) for each in found] == [("structure", "CLINIQUE SAINT-MARTIN")]


def test_structures_are_found_with_their_addresses(search: Searched) -> None:
    for asked in ("chu lyon", "cardiologie lyon", "c.h.u.", "cardio@chu-lyon.mssante.fr", "chu-lyon"):
        found = search(asked)[0]
        assert (found.what, found.name) == ("structure", "C.H.U. DE LYON"), asked
        assert [(each.kind, each.service) for each in found.addresses] == [("ORG", "CARDIOLOGIE")]


@pytest.mark.parametrize(
    "asked", ["99700000001", "899700000001", "997 00 00 00 01", "marie-anne.dupont@dentistes.mssante.fr"]
)
def test_an_identifier_finds_its_bearer_alone(search: Searched, asked: str) -> None:
    found = search(asked)
    assert [(each.name, each.match) for each in found] == [("Dr Marie-Anne DUPONT", "identifier")]


def test_a_finess_finds_the_structure_then_who_practises_there(search: Searched) -> None:
    names = search.names("690000013")
    assert names[0] == "C.H.U. DE LYON"
    assert set(names[1:]) == {"Dr Zoé LEFÈVRE-NOËL", "Dr Alix MARTIN", "Dr Luz MARTINEZ"}


def test_the_first_digits_of_a_number_are_enough(search: Searched) -> None:
    assert "Dr Marie-Anne DUPONT" in search.names("9970000000")


@pytest.mark.parametrize("part", ["dentistes.mssante.fr", "martinez@dentistes", "luz.martinez"])
def test_any_part_of_an_address_finds_it(search: Searched, part: str) -> None:
    assert "Dr Luz MARTINEZ" in search.names(part)


def test_criteria_narrow_what_is_found(search: Searched) -> None:
    assert search.names("martin", profession="infirmier") == ["Mme Jean MARTIN"]
    assert search.names("martin", profession="infirmière", department="13") == ["Mme Jean MARTIN"]
    assert search.names("", profession="40", town="Lyon") == [
        "Dr Zoé LEFÈVRE-NOËL",
        "Dr Luz MARTINEZ",
        "Dr Alix MARTIN",
    ]
    assert search.names("", know_how="SCD01") == ["Dr Zoé LEFÈVRE-NOËL"]
    assert search.names("", organization="750000018", profession="10") == ["Dr Paul DUPOND"]
    assert search.names("", postcode="13008", profession="50") == ["Dr Anaïs DE LA CROIX"]
    assert search.names("", service="cardio") == ["C.H.U. DE LYON"]
    assert search.names("", kind="ORG") == ["C.H.U. DE LYON"]
    assert search.names("", address="sages-femmes") == ["Dr Anaïs DE LA CROIX"]
    assert search.names("martin", profession="astronaute") == []


def test_words_that_nothing_has_are_told(search: Searched) -> None:
    answer = search.answer("zzyzx dupont")
    assert answer.ignored == ["zzyzx"]
    assert answer.results[0].name == "Dr Marie-Anne DUPONT"


@pytest.mark.parametrize("asked", ["rouge", "rouge@kine.mssante.fr", "hondt", "kine.mssante.fr", "75014"])
def test_a_red_listed_address_is_never_shown(search: Searched, asked: str) -> None:
    shown = [each.address for found in search(asked, limit=50) for each in found.addresses]
    assert "rouge@kine.mssante.fr" not in shown
    if asked == "rouge":
        assert search(asked, limit=50) == []


def test_somebody_withdrawn_is_found_by_identifier_alone_and_told(search: Searched) -> None:
    assert search("durand") == []
    (found,) = search("99700000010")
    assert found.withdrawn
    assert found.addresses == []


@pytest.mark.parametrize(
    "asked",
    ["", " ", "'", '"', "* ", "a*", '" OR "', "NOT", "dupont AND", "(", "NEAR(a b)", "n:dupont", "-", "\x00", "é" * 500,
     "a " * 500, "@", "@@"],
)  # fmt: skip
def test_nothing_typed_is_an_operator(search: Searched, asked: str) -> None:
    assert search.answer(asked) is not None


def test_the_index_follows_what_changes(search: Searched) -> None:
    assert search.refresh().outcome is Outcome.UNCHANGED
    done = search.change(practitioner(1, "DUPONT-MOREAU", "Marie-Anne"), practitioner(11, "NOUVEAU", "Léa", "91"))
    assert (done.outcome, done.records) == (Outcome.FOLLOWED, 2)
    assert search.names("moreau") == ["Dr Marie-Anne DUPONT-MOREAU"]
    assert search.names("nouveau") == ["Dr Léa NOUVEAU"]
    assert search.names("nouvau") == ["Dr Léa NOUVEAU"]  # a mistake in a word that the index has just learnt
    assert search.names("99700000011") == ["Dr Léa NOUVEAU"]
    search.change(practitioner(11, "ANCIEN", "Léa", "91"))
    assert search.names("nouveau") == []
    assert search.names("ancien") == ["Dr Léa ANCIEN"]


def test_an_address_that_comes_and_goes_is_followed(search: Searched) -> None:
    search.change(address(6, "alix@dentistes.mssante.fr", 6))
    assert [each.address for each in search("alix martin")[0].addresses] == ["alix@dentistes.mssante.fr"]
    search.change(address(6, "alix@dentistes.mssante.fr", 6, red_list=True))
    assert search("alix martin")[0].addresses == []
    assert [found.match for found in search("alix@dentistes.mssante.fr")] != ["identifier"]
    search.change(address(6, "alix@dentistes.mssante.fr", 6))
    assert search("alix martin")[0].addresses
    search.change(address(6, "alix@dentistes.mssante.fr", 6, active=False))
    assert search("alix martin")[0].addresses == []


def test_an_address_that_goes_to_another_leaves_the_first(search: Searched) -> None:
    search.change(address(2, "paul.dupond@medecin.mssante.fr", 6))
    assert search("paul dupond")[0].addresses == []
    assert [found.name for found in search("paul.dupond@medecin.mssante.fr")] == ["Dr Alix MARTIN"]


def test_somebody_who_leaves_and_comes_back_is_followed(search: Searched) -> None:
    search.change(practitioner(9, "MARTINEZ", "Luz", active=False))
    assert search("martinez") == []
    assert search("99700000009")[0].withdrawn
    search.change(practitioner(9, "MARTINEZ", "Luz"))
    assert search.names("martinez") == ["Dr Luz MARTINEZ"]


def test_a_structure_that_changes_is_followed_by_who_practises_there(search: Searched) -> None:
    search.change(organization(MARSEILLE, "MAISON DU VIEUX-PORT", "AUBAGNE", "13400"))
    assert set(search.names("aubagne")) == {"Dr Marie-Anne DUPONT", "Mme Jean MARTIN", "Dr Anaïs DE LA CROIX"}
    assert search.names("dupont prado") == []
    assert [place.city for place in search("dupont marie")[0].places] == ["AUBAGNE"]


def test_an_operator_s_word_is_confirmed_on_its_own_day(search: Searched) -> None:
    search.change(address(6, "alix@un.mssante.fr", 6, origin=Origin.OPERATOR))
    (own,) = search("alix martin")[0].addresses
    assert (own.source, own.confirmed_on) == ("operator", "2026-11-26")


def test_a_change_and_a_whole_build_give_the_same_answers(search: Searched) -> None:
    search.change(
        practitioner(1, "DURANT", "Marie-Anne"), address(9, "luz.martinez@dentistes.mssante.fr", 9, active=False)
    )
    asked = ("durant", "martin", "paul dupond", "69", "dentiste", "martinez", "dentistes.mssante.fr", "jean martin")
    followed = [search.answer(text) for text in asked]
    assert search.refresh(whole=True).outcome is Outcome.BUILT
    assert [search.answer(text) for text in asked] == followed


def test_a_register_built_anew_is_indexed_anew(search: Searched, where: Place) -> None:
    build(where, practitioner(1, "AUTRE"))
    fresh = where.open()
    try:
        assert building.refresh(fresh, search.shelf).outcome is Outcome.BUILT
    finally:
        fresh.close()
    assert search.names("autre") == ["Dr Zoé AUTRE"]
    assert search.names("dupont") == []
