"""Identifiers of the register: what is right passes, one digit changed does not, and each flaw is told in two languages."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.directory import identifiers
from vaguemestre.directory.identifiers import Flaw, IdentifierError, holds, key, require

Check = Callable[[str], Flaw | None]


def luhn(digits: str) -> bool:
    """As the standard words it (ISO/IEC 7812-1 annex B), slowly."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@given(st.text("0123456789", min_size=1, max_size=20))
def test_the_key_is_luhn_s(digits: str) -> None:
    assert holds(digits) == luhn(digits)
    assert luhn(f"{int(digits)}{key(int(digits))}")


RIGHT: list[tuple[Check, str]] = [
    (identifiers.rpps, "99700000013"),
    (identifiers.adeli, "751234567"),
    (identifiers.adeli, "2A9312345"),
    (identifiers.adeli, "9D9312345"),  # overseas
    (identifiers.finess, "997800008"),
    (identifiers.finess, "2A9912345"),
    (identifiers.siren, "732829320"),
    (identifiers.siret, "73282932000074"),
    (identifiers.siret, "35600000000048"),  # La Poste's head office
    (identifiers.siret, "35600000049837"),  # one of its offices: digits that sum to a multiple of five
    (identifiers.rpps_rank, "99700000013010"),
    (identifiers.national_person, "899700000013"),
    (identifiers.national_person, "0751234567"),
    (identifiers.national_person, "3997800008/AGENT-12"),
    (identifiers.national_person, "4732829320/A12"),
    (identifiers.national_person, "573282932000074/A12"),
    (identifiers.national_person, "699700000013010/A12"),
    (identifiers.national_person, "1AB/12"),
    (identifiers.national_person, "10alix.exemple@pro.mssante.fr"),
    (identifiers.national_structure, "1997800008"),
    (identifiers.national_structure, "373282932000074"),
    (identifiers.national_structure, "499700000013010"),
    (identifiers.national_structure, "2732829320"),
    (identifiers.national_structure, "075123456701"),
    (identifiers.technical_structure, "F997800008"),
    (identifiers.technical_structure, "F99780000820210101"),
    (identifiers.technical_structure, "C73282932000074"),
    (identifiers.technical_structure, "R10100000123456"),
    (identifiers.department, "01"),
    (identifiers.department, "2A"),
    (identifiers.department, "974"),
]

WRONG: list[tuple[Check, str, str]] = [
    (identifiers.rpps, "99700000014", "rpps-key"),
    (identifiers.rpps, "9970000001", "rpps-shape"),
    (identifiers.rpps, "99700000O13", "rpps-shape"),
    (identifiers.rpps, "٩٩٧٠٠٠٠٠٠١٣", "rpps-shape"),
    (identifiers.rpps, "", "rpps-shape"),
    (identifiers.adeli, "75123456", "adeli-shape"),
    (identifiers.finess, "997800009", "finess-key"),
    (identifiers.finess, "754567860", "finess-key"),  # published as an example
    (identifiers.finess, "2C9912345", "finess-shape"),
    (identifiers.siren, "732829321", "siren-key"),
    (identifiers.siren, "73282932", "siren-shape"),
    (identifiers.siret, "73282932000075", "siret-key"),
    (identifiers.siret, "73282932100074", "siren-key"),
    (identifiers.siret, "35600000049838", "siret-key"),
    (identifiers.siret, "7328293200007", "siret-shape"),
    (identifiers.rpps_rank, "https://x", "rpps-rank-shape"),
    (identifiers.national_person, "", "person-type"),
    (identifiers.national_person, "799700000013", "person-type"),
    (identifiers.national_person, "899700000014", "rpps-key"),
    (identifiers.national_person, "3997800009/AGENT-12", "finess-key"),
    (identifiers.national_person, "3997800008/", "local-shape"),
    (identifiers.national_person, "10alix.exemple@", "address-shape"),
    (identifiers.national_structure, "9997800008", "structure-type"),
    (identifiers.national_structure, "1997800009", "finess-key"),
    (identifiers.national_structure, "0751", "adeli-rank-shape"),
    (identifiers.technical_structure, "X997800008", "technical-type"),
    (identifiers.technical_structure, "F9978", "technical-shape"),
    (identifiers.technical_structure, "F997800008x", "technical-shape"),
    (identifiers.technical_structure, "R", "technical-shape"),
    (identifiers.department, "96", "department-code"),
    (identifiers.department, "20", "department-code"),
    (identifiers.department, "00", "department-code"),
]


@pytest.mark.parametrize(("check", "text"), RIGHT)
def test_what_is_right_has_no_flaw(check: Check, text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize(("check", "text", "rule"), WRONG)
def test_what_is_wrong_says_why(check: Check, text: str, rule: str) -> None:
    flaw = check(text)
    assert flaw is not None
    assert flaw.rule == rule
    assert flaw.en != flaw.fr
    with pytest.raises(IdentifierError) as refused:
        require(flaw)
    assert (refused.value.rule, refused.value.en, refused.value.fr) == (rule, flaw.en, flaw.fr)


def test_every_flaw_has_words_that_a_check_gives() -> None:
    assert {rule for _, _, rule in WRONG} == set(identifiers._WORDS)


KEYED = [each for each in RIGHT if each[0] in (identifiers.rpps, identifiers.siren) or each[1] == "997800008"]


@pytest.mark.parametrize(("check", "text"), KEYED)
@given(place=st.integers(0, 13), shift=st.integers(1, 9))
def test_any_digit_changed_is_seen(check: Check, text: str, place: int, shift: int) -> None:
    place %= len(text)
    changed = text[:place] + str((int(text[place]) + shift) % 10) + text[place + 1 :]
    assert check(changed) is not None


@given(st.text(max_size=40))
def test_any_text_has_an_answer(text: str) -> None:
    for check in {check for check, _ in RIGHT}:
        flaw = check(text)
        assert flaw is None or (flaw.en.endswith(".") and "\n" not in flaw.en)
