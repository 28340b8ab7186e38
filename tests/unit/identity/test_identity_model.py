"""Persons' identifiers, rights and labels: what is kept is in one form, and what is mistyped is refused with words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.identity import model
from vaguemestre.identity.model import LabelError, NationalIdError, Rights, RightsError


@pytest.mark.parametrize("typed", ["99700366240", "899700366240", "997 0036 6240", "8 99700366240"])
def test_an_rpps_number_has_one_form(typed: str) -> None:
    assert model.rpps(typed) == "899700366240"


@pytest.mark.parametrize(
    "typed",
    ["", "9970036624", "99700366241", "99700366204", "997003662400", "899700366241", "9970036624x", "٩٩٧٠٠٣٦٦٢٤٠"],
)
def test_a_mistyped_rpps_number_is_refused(typed: str) -> None:
    with pytest.raises(NationalIdError):
        model.rpps(typed)


@given(st.text("0123456789", min_size=11, max_size=11), st.integers(0, 10), st.integers(1, 9))
def test_one_wrong_digit_never_passes(number: str, place: int, by: int) -> None:
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    passed = []
    for each in (number, wrong):
        try:
            passed.append(model.rpps(each))
        except NationalIdError:
            continue
    assert len(passed) < 2


@pytest.mark.parametrize("given_", ["899700366240", "3590000001/0000012", "0012345678", " 899700366240 "])
def test_a_national_identifier_is_kept_as_given(given_: str) -> None:
    assert model.national_id(given_) == given_.strip()


@pytest.mark.parametrize("given_", ["", "8", "RPPS", "8997 0036", "8997\n00366240", "8" * 64, "8é9700366240"])
def test_what_is_no_identifier_is_refused(given_: str) -> None:
    with pytest.raises(NationalIdError) as refused:
        model.national_id(given_)
    assert refused.value.fr != refused.value.en


@pytest.mark.parametrize("rights", [Rights(bits) for bits in range(1, 8)])
def test_rights_are_read_as_they_are_written(rights: Rights) -> None:
    assert model.parse_rights(model.rights_text(rights)) == rights


@pytest.mark.parametrize("text", ["", "read,", "admin", "read;write", "3"])
def test_unknown_rights_are_refused(text: str) -> None:
    with pytest.raises(RightsError):
        model.parse_rights(text)


def test_a_label_is_one_line() -> None:
    assert model.label("  Téléphone \t de garde ") == "Téléphone de garde"
    for bad in ("", "  ", "x" * 81, "a\x1bb", "a\u202eb"):
        with pytest.raises(LabelError):
            model.label(bad)
