"""Names that sound alike have one key, others do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.phonetics import sound
from vaguemestre.documents.words import fold

_ALIKE = """
Dupont Dupond Dupon
Lefèvre Lefebvre Lefevre
Philippe Filip Philip Phillippe
Thibault Thibaut Thibaud Thibeau Tibo
Renault Renaud Reynaud Raynaud Reno
Gauthier Gautier Gaultier
Mathieu Matthieu Mathieux
Meyer Mayer Maier
Hébert Ebert
Catherine Katherine
Michaud Michaux Micho
Laurent Lorent Lauran
Moreau Moro Maurot
Jacquet Jaquet
Christophe Kristof
Isabelle Izabel
Quentin Kentin
Legoff Legof
"""
_DIFFERENT = """
Martin Martel
Dupont Dupuis
Bernard Girard
Petit Petiot
Moreau Morin
Lambert Lombard
Garnier Fournier
Marie Marion
Blanc Blanchet
"""


@pytest.mark.parametrize("line", _ALIKE.strip().splitlines())
def test_spellings_of_one_sound_share_a_key(line: str) -> None:
    assert len({sound(word) for word in line.split()}) == 1


@pytest.mark.parametrize("line", _DIFFERENT.strip().splitlines())
def test_other_sounds_have_other_keys(line: str) -> None:
    words = line.split()
    assert len({sound(word) for word in words}) == len(words)


@given(st.text(max_size=40))
def test_any_text_has_a_key_that_depends_on_neither_case_nor_accents(text: str) -> None:
    assert sound(text) == sound(fold(text))
    assert sound(fold(text).upper()) == sound(text)
    assert len(sound(text)) <= 2 * len(fold(text))


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=15))
def test_every_word_of_letters_has_a_key(word: str) -> None:
    assert sound(word)
    assert sound(word) == sound(word.upper())
