"""Addresses proposed to people: their own names, as they write them, free, and valid everywhere."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.enrolment.proposal import belongs, domain_for, local_parts, propose

DOMAIN = "chirurgien-dentiste.demo.mssante.fr"
VALID = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


@pytest.mark.parametrize(
    ("given", "family", "expected"),
    [
        ("Claire", "Lefèvre", "claire.lefevre"),
        ("CLAIRE", "LEFEVRE", "claire.lefevre"),
        ("Jean-Baptiste", "de La Tour", "jean-baptiste.delatour"),
        ("Zoé", "D'Alembert", "zoe.dalembert"),
        ("Anne Marie Louise", "Lefèvre-Noël", "anne.lefevre-noel"),
        ("Loïc", "Le Goff", "loic.legoff"),
        ("Fatima", "Ben Ali", "fatima.benali"),
        ("Björn", "Østergård", "bjorn.ostergard"),
        ("", "Œdipe", "oedipe"),
        ("Nguyễn", "Văn", "nguyen.van"),
        ("Marie", "Dupont Martin", "marie.dupont-martin"),
    ],
)
def test_the_first_form_is_the_one_people_expect(given: str, family: str, expected: str) -> None:
    assert next(local_parts(given, family)) == expected


def test_who_shares_a_name_gets_another_form_of_it_before_a_number() -> None:
    taken = {f"jean-paul.martin-durand@{DOMAIN}"}
    found = propose("Jean-Paul", "Martin-Durand", DOMAIN, taken.__contains__, 6)
    assert [each.partition("@")[0] for each in found] == [
        "jean-paul.martin",
        "jean-paul.durand",
        "martin-durand.jean-paul",
        "jp.martin-durand",
        "j.martin-durand",
        "jean-paul-martin-durand",
    ]


def test_numbers_come_last_and_never_end() -> None:
    taken: set[str] = set()
    for _ in range(30):
        taken.add(propose("Paul", "Martin", DOMAIN, taken.__contains__, 1)[0])
    assert f"paul.martin2@{DOMAIN}" in taken
    assert len(taken) == 30


def test_names_without_letters_make_no_address() -> None:
    assert propose("", "", DOMAIN, lambda _: False) == []
    assert propose("…", "—", DOMAIN, lambda _: False) == []


def test_one_may_choose_only_ones_own_names_at_ones_own_domain() -> None:
    assert belongs(f"Paul.Martin@{DOMAIN}", "Paul", "Martin", DOMAIN)
    assert belongs(f"paul.martin7@{DOMAIN}", "Paul", "Martin", DOMAIN)
    assert not belongs(f"paul.durand@{DOMAIN}", "Paul", "Martin", DOMAIN)
    assert not belongs("paul.martin@elsewhere.mssante.fr", "Paul", "Martin", DOMAIN)
    assert not belongs("paul.martin", "Paul", "Martin", DOMAIN)


def test_the_domain_is_the_professions() -> None:
    domains = {"40": "dentistes.mssante.fr", "10": "medecin.mssante.fr", "*": "pro.mssante.fr"}
    assert domain_for(("40",), domains) == "dentistes.mssante.fr"
    assert domain_for(("60", "10"), domains) == "medecin.mssante.fr"
    assert domain_for(("60",), domains) == "pro.mssante.fr"
    assert domain_for(("60",), {"40": "x"}) == ""


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_the_names_an_address_is_valid_and_ones_own(given_: str, family: str) -> None:
    for address in propose(given_, family, DOMAIN, lambda _: False, 8):
        local = address.partition("@")[0]
        assert VALID.fullmatch(local), local
        assert len(local) <= 64
        assert belongs(address, given_, family, DOMAIN)


@given(st.text(max_size=80), st.text(max_size=80))
def test_case_accents_and_spaces_change_nothing(given_: str, family: str) -> None:
    assert propose(given_.upper(), family.upper(), DOMAIN, lambda _: False) == propose(
        given_.upper().lower(), family.upper().lower(), DOMAIN, lambda _: False
    )
