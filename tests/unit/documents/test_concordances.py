"""Concordances answer exactly what reading the words would, however they were made, merged and cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents import compilation
from vaguemestre.documents.compilation import ENTRY, PHRASE, Passages
from vaguemestre.documents.concordance import CHAPTERS, Concordance, Fetch, beginning, being, containing, ending
from vaguemestre.documents.words import MOST_SOUGHT, sought

_WORDS = st.text("abc", min_size=1, max_size=4)
_PASSAGES = st.lists(st.lists(_WORDS, max_size=8), max_size=3)
_SOUGHT = st.lists(_WORDS, min_size=1, max_size=4)


def _opened(content: bytes) -> tuple[Concordance, Fetch]:
    def fetch(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [content[start:end] for start, end in ranges]

    return Concordance(fetch), fetch


def _having(content: bytes, chapter: int, sought: Sequence[str]) -> set[int]:
    opened, fetch = _opened(content)
    return opened.having(fetch, [chapter], [word.encode() for word in sought])


def _message(passages: Passages, chapter: int = 0) -> list[Passages]:
    return [passages if number == chapter else [] for number in range(CHAPTERS)]


def _reading(messages: Sequence[tuple[int, Passages]], sought: Sequence[str]) -> set[int]:
    """What a reader finds, who has all the words before them."""
    needle = " ".join(sought)
    return {message_id for message_id, passages in messages if any(needle in " ".join(each) for each in passages)}


@given(st.lists(_PASSAGES, max_size=6), _SOUGHT)
def test_a_concordance_finds_what_a_reader_finds(corpus: list[Passages], sought: list[str]) -> None:
    messages = list(enumerate(corpus, 100))
    content = compilation.build([(message_id, _message(passages)) for message_id, passages in messages])
    assert _having(content, 0, sought) == _reading(messages, sought)
    assert _having(content, 1, sought) == set()


@given(st.lists(st.lists(_PASSAGES, max_size=4), max_size=5), _SOUGHT, st.data())
def test_what_is_merged_finds_what_its_parts_did_but_for_what_is_gone(
    corpora: list[list[Passages]], sought: list[str], data: st.DataObject
) -> None:
    numbered = [
        [(1000 * part + number, passages) for number, passages in enumerate(corpus)]
        for part, corpus in enumerate(corpora)
    ]
    messages = [each for corpus in numbered for each in corpus]
    gone = data.draw(st.sets(st.sampled_from([message_id for message_id, _ in messages]))) if messages else set()
    parts = [
        compilation.build([(message_id, _message(passages, 7)) for message_id, passages in corpus])
        for corpus in numbered
    ]
    merged = compilation.merge(parts, gone)
    kept = [each for each in messages if each[0] not in gone]
    assert _having(merged, 7, sought) == _reading(kept, sought)
    assert set(compilation.owners(merged)) == {message_id for message_id, _ in kept}
    assert merged == compilation.build([(message_id, _message(passages, 7)) for message_id, passages in kept])


@given(st.sets(st.text("abé", min_size=1, max_size=5), max_size=12), st.text("abé", min_size=1, max_size=3))
def test_words_are_found_by_any_part_and_by_their_borders(known: set[str], part: str) -> None:
    every = sorted((word.encode() for word in known), key=lambda word: word[::-1])
    lines = b"\n" + b"\n".join(every) + b"\n" if every else b""
    needle = part.encode()

    def numbers(ranges: list[tuple[int, int]]) -> list[int]:
        return [number for first, end in ranges for number in range(first, end)]

    assert numbers(containing(lines, needle)) == [n for n, word in enumerate(every) if needle in word]
    assert numbers(ending(lines, needle)) == [n for n, word in enumerate(every) if word.endswith(needle)]
    assert numbers(beginning(lines, needle)) == [n for n, word in enumerate(every) if word.startswith(needle)]
    assert numbers(being(lines, needle)) == [n for n, word in enumerate(every) if word == needle]


@pytest.mark.parametrize("share", [1, 2, 7, 9, 1000])
def test_many_words_that_fit_are_found_as_few_are(share: int) -> None:
    known = (f"{'x' if number % share == 0 else 'y'}{number:05}".encode() for number in range(5000))
    every = sorted(known, key=lambda word: word[::-1])
    lines = b"\n" + b"\n".join(every) + b"\n"
    fitting = [number for number, word in enumerate(every) if word.startswith(b"x")]
    for ranges in (containing(lines, b"x"), beginning(lines, b"x")):
        assert [number for first, end in ranges for number in range(first, end)] == fitting


@pytest.mark.parametrize("without", [0, 1, 150])
@pytest.mark.parametrize("often", [[], ["xavier"], ["xavier", "axe"]])
def test_a_part_of_a_hundred_words_finds_every_message_with_one(without: int, often: list[str]) -> None:
    messages = [(number, [[f"x{number}", f"y{number}", *(often if number % 3 else [])]]) for number in range(200)]
    messages += [(1000 + number, [[f"y{number}"]]) for number in range(without)]
    content = compilation.build([(number, _message(passages)) for number, passages in messages])
    assert _having(content, 0, ["x"]) == set(range(200))
    assert _having(content, 0, ["y"]) == {number for number, _ in messages}
    assert _having(content, 0, ["x1"]) == {number for number in range(200) if str(number).startswith("1")}


@pytest.mark.parametrize("other", range(0, 200, 37))
def test_a_message_without_the_words_that_stand_most_often_is_found_by_its_own(other: int) -> None:
    messages = [
        (number, [[f"x{number}", f"y{number}", *(["xavier"] if number != other else [])]]) for number in range(200)
    ]
    content = compilation.build([(number, _message(passages)) for number, passages in messages])
    assert _having(content, 0, ["x"]) == set(range(200))


def test_a_few_spots_are_looked_up_among_many() -> None:
    often = ["le", "de"] * 400
    messages = [(number, [[*often, f"rare{number}", "de", "le", "cas"]]) for number in range(20)]
    content = compilation.build([(number, _message(passages)) for number, passages in messages])
    assert _having(content, 0, ["le", "de", "rare7", "de", "le", "cas"]) == {7}
    assert _having(content, 0, ["de", "rare7", "de", "le"]) == {7}
    assert _having(content, 0, ["le", "rare7", "de", "le"]) == set()
    assert _having(content, 0, ["de", "rare7", "le", "cas"]) == set()
    assert _having(content, 0, ["rare7", "de", "le", "cas"]) == {7}
    assert _having(content, 0, ["rare7", "de", "de", "cas"]) == set()


@pytest.mark.parametrize("before", [0, ENTRY - PHRASE, ENTRY - 1, 2 * ENTRY])
def test_a_text_of_any_length_is_sought_by_its_first_words(before: int) -> None:
    text = [f"w{number}" for number in range(300)]
    content = compilation.build([(1, _message([["mot"] * before + text])), (2, _message([text[:99]]))])
    assert _having(content, 0, sought(" ".join(text))) == {1}
    assert len(sought("a" * 1000 + " " + " ".join(["b" * 1000] * 300))) == MOST_SOUGHT


def test_no_phrase_runs_from_one_passage_to_the_next() -> None:
    content = compilation.build([(1, _message([["lettre", "du"], ["docteur"]]))])
    assert _having(content, 0, ["lettre", "du"]) == {1}
    assert _having(content, 0, ["du", "docteur"]) == set()


@pytest.mark.parametrize("times", [254, 255, 256, 1000])
def test_a_word_may_stand_any_number_of_times(times: int) -> None:
    passages = [["de"] * times + ["fin"]]
    content = compilation.merge([compilation.build([(number, _message(passages))]) for number in (1, 2)])
    assert _having(content, 0, ["de", "fin"]) == {1, 2}
    assert _having(content, 0, ["fin", "de"]) == set()
    assert _having(content, 0, ["de"] * times + ["fin"]) == {1, 2}
    assert _having(content, 0, ["de"] * (times + 1)) == set()


def test_a_message_of_any_length_is_found_by_its_words_and_phrases() -> None:
    text = [f"w{number}" for number in range(2 * ENTRY + 10)]
    content = compilation.build([(5, _message([["avant"]])), (6, _message([text])), (7, _message([["apres"]]))])
    assert set(compilation.owners(content)) == {5, 6, 7}
    assert compilation.entries(content) > 3
    for start in (0, ENTRY - PHRASE // 2, ENTRY - 1, ENTRY, 2 * ENTRY - PHRASE, 2 * ENTRY, len(text) - PHRASE):
        assert _having(content, 0, text[start : start + PHRASE]) == {6}
    assert _having(content, 0, ["apres"]) == {7}
    assert _having(compilation.merge([content], {6}), 0, ["w1"]) == set()


def test_words_that_only_the_gone_had_are_gone() -> None:
    content = compilation.build([(1, _message([["secret", "lettre"]])), (2, _message([["lettre"]]))])
    assert b"secret" in content
    assert b"secret" not in compilation.merge([content], {1})


def test_a_word_is_borne_whole_or_not() -> None:
    content = compilation.build([(1, _message([["x-mailer"]])), (2, _message([["x-mailer-version"]]))])
    opened, fetch = _opened(content)
    assert opened.bearing(fetch, 0, b"x-mailer") == {1}
    assert opened.bearing(fetch, 0, b"mailer") == set()


def test_only_the_postings_of_words_that_fit_are_read() -> None:
    content = compilation.build([(number, _message([["commun", f"mot{number}"]])) for number in range(1000)])
    opened, fetch = _opened(content)
    read: list[int] = []

    def counting(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        read.extend(end - start for start, end in ranges)
        return fetch(ranges)

    assert opened.having(counting, [0], [b"mot999"]) == {999}
    assert opened.having(counting, [1], [b"mot999"]) == set()
    once = sum(read)
    assert once < len(content) / 2
    assert opened.having(counting, [0], [b"mot998"]) == {998}
    assert sum(read) - once == 4
