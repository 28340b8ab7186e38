"""Identifiers: unique, growing, of 63 bits, and the same through their text."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vaguemestre import ids

IDENTIFIERS = st.integers(0, 2**63 - 1)


def test_identifiers_grow_and_never_repeat_whatever_the_thread() -> None:
    with ThreadPoolExecutor(4) as pool:
        series = list(pool.map(lambda _: [ids.next_id() for _ in range(2000)], range(4)))
    assert all(one < other for each in series for one, other in pairwise(each))
    assert len({identifier for each in series for identifier in each}) == 8000


def test_many_identifiers_at_once_are_as_if_made_one_by_one() -> None:
    first, many, last = ids.next_id(), ids.next_ids(5), ids.next_id()
    assert len(many) == 5
    assert all(one < other for one, other in pairwise([first, *many, last]))
    assert abs(ids.made_at(many[-1]) - time.time()) < 1
    assert ids.next_ids(0) == []


def test_identifiers_fit_a_signed_64_bit_column() -> None:
    assert all(0 < ids.next_id() < 2**63 for _ in range(100))


def test_identifiers_grow_even_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids.next_id()
    monkeypatch.setattr("vaguemestre.ids.time.time_ns", lambda: 1_767_225_600_000_000_000)
    assert before < ids.next_id() < ids.next_id()


def test_an_identifier_tells_when_it_was_made() -> None:
    before = time.time()
    assert before - 1 <= ids.made_at(ids.next_id()) <= time.time() + 1


@given(IDENTIFIERS)
def test_the_text_of_an_identifier_reads_back(identifier: int) -> None:
    text = ids.to_text(identifier)
    assert len(text) == 13
    assert ids.from_text(text) == ids.from_text(text.upper()) == identifier


@given(IDENTIFIERS, IDENTIFIERS)
def test_texts_sort_as_identifiers_do(one: int, other: int) -> None:
    assert (one < other) == (ids.to_text(one) < ids.to_text(other))


@given(st.text(max_size=16))
def test_any_other_text_is_a_value_error_or_reads_back(text: str) -> None:
    try:
        identifier = ids.from_text(text)
    except ValueError:
        return
    assert ids.to_text(identifier) == text.lower()


@given(st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz", min_size=13, max_size=13))
def test_a_text_too_large_for_63_bits_is_a_value_error(text: str) -> None:
    assume(text[0] >= "8")
    with pytest.raises(ValueError, match="not an identifier"):
        ids.from_text(text)


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "000000000000i", "000000000000\u212a", "../../../etc/x"])
def test_what_is_no_identifier_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"identifier|not found"):
        ids.from_text(text)
