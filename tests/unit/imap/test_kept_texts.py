"""Texts that FETCH answered are found again, within a bound, and never in place of what could not be read."""

import pytest

from vaguemestre.servers.imap.kept_texts import LONGEST, KeptTexts

KEYS = [b"ENVELOPE", b"BODY[HEADER]"]


def test_what_was_kept_is_found_in_the_order_it_is_asked_for() -> None:
    texts = KeptTexts()
    texts.keep(1, KEYS, [b"ENVELOPE (1)", b"BODY[HEADER] {2}\r\n\r\n"])
    assert texts.find([1, 2], KEYS[::-1]) == {1: [b"BODY[HEADER] {2}\r\n\r\n", b"ENVELOPE (1)"]}
    assert texts.find([1], [b"ENVELOPE"]) == {1: [b"ENVELOPE (1)"]}


def test_a_content_of_which_something_lacks_is_not_found() -> None:
    texts = KeptTexts()
    texts.keep(1, KEYS[:1], [b"ENVELOPE (1)"])
    assert texts.find([1], KEYS) == {}


@pytest.mark.parametrize("text", [b"ENVELOPE NIL", b'PREVIEW ""', b"x" * (LONGEST + 1)])
def test_what_may_be_trouble_and_what_is_long_is_not_kept(text: bytes) -> None:
    texts = KeptTexts()
    texts.keep(1, [b"key"], [text])
    assert texts.find([1], [b"key"]) == {}


def test_what_is_forgotten_is_gone() -> None:
    texts = KeptTexts()
    texts.keep(1, [b"key"], [b"text"])
    texts.forget([1, 2])
    assert texts.find([1], [b"key"]) == {}


def test_the_least_used_go_first_and_all_hold_a_bounded_number_of_octets() -> None:
    texts = KeptTexts(octets=100_000)
    for blob_id in range(40):
        texts.keep(blob_id, [b"key"], [b"%04d" % blob_id * 1000])
        texts.find([0], [b"key"])
    found = texts.find(range(40), [b"key"])
    assert 0 in found
    assert 1 not in found
    assert 39 in found
    assert 90_000 < sum(len(text) for each in found.values() for text in each) < 100_000
    texts.forget(range(40))
    for blob_id in range(40, 60):  # what was forgotten counts no more
        texts.keep(blob_id, [b"key"], [b"x" * 4000])
    assert len(texts.find(range(60), [b"key"])) == 20
