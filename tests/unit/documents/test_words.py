"""Words: the same for a text and for any way of writing it; a part of a text folds to a part of its fold."""

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.words import LONGEST, STEP, fold, literal, sought, words

_LETTERS = st.text(string.ascii_lowercase + "éèàùçœæßøñïÉÈŒÆ", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L'Œuvre de l’hôpital", ["l", "oeuvre", "de", "l", "hopital"]),
        ("Compte-rendu opératoire", ["compte", "rendu", "operatoire"]),
        ("compte‑rendu", ["compte", "rendu"]),
        ("dent n° 36, dent nº36", ["dent", "n", "36", "dent", "n", "36"]),
        ("marie.dupont@a.mssante.fr", ["marie", "dupont", "a", "mssante", "fr"]),
        ("compte_rendu_2026.pdf", ["compte", "rendu", "2026", "pdf"]),
        ("pano\u00adra\u200bmique", ["panoramique"]),
        ("STRASSE straße ﬁn ＡＢＣ", ["strasse", "strasse", "fin", "abc"]),
        ("38,5\u00a0°C", ["38", "5", "c"]),
        ("Łukasz Ørsted Þór", ["lukasz", "orsted", "thor"]),
        ("Ἀθῆναι ΑΘΗΝΑΣ", ["αθηναι", "αθηνασ"]),
        ("…—«»", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words_without_case_accents_and_typography(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(_LETTERS)
def test_a_word_is_the_same_whatever_its_case_and_accents(word: str) -> None:
    bare = "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))
    for written in (
        word.upper(),
        word.title(),
        bare,
        unicodedata.normalize("NFD", word),
        "".join(word.split("\u00ad")),
    ):
        assert words(written) == words(word)


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert words(fold(text)) == words(text)
    assert literal(literal(text)) == literal(text)


@given(st.text(), st.text())
def test_a_part_of_a_text_folds_to_a_part_of_its_fold(first: str, second: str) -> None:
    assert fold(first + second) == fold(first) + fold(second)


def test_every_character_folds_as_its_capital_does() -> None:
    assert [hex(code) for code in range(0x110000) if fold(chr(code).upper()) != fold(chr(code))] == []


@given(st.text(string.ascii_letters + "é", min_size=1, max_size=3 * LONGEST), st.data())
def test_a_part_of_a_long_run_stands_whole_in_one_of_its_words(run: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : start + data.draw(st.integers(1, STEP))]
    assert any(fold(part) in word for word in words(run))
    assert all(len(word) <= LONGEST for word in words(run))


def test_what_is_sought_keeps_its_border_when_it_is_too_long() -> None:
    run = "".join(f"{number:04d}" for number in range(100))
    assert sought(run) == [run[:STEP]]
    assert sought(f"{run} suite") == [run[-STEP:], "suite"]
    assert sought(f"avant {run}") == ["avant", run[:STEP]]
    assert sought(f"avant {run} suite")[1:-1] == words(run)


def test_literals_keep_punctuation_and_make_spaces_one() -> None:
    assert literal("<Été.1@B.fr>\t  x") == "<ete.1@b.fr> x"
