"""Words of a text as they are searched: without case, accents or typography; one function for what is kept and asked.

What holds here: nothing raises, the time is linear in the text; a text and any rewriting of it in capitals, without
accents or with other apostrophes give the same words; `fold` is done character by character, so that a part of a text
gives a part of its fold.

Rules: a word is a run of letters and digits; whatever else stands between is a separator, hyphens, apostrophes, points
and underscores included. œ is oe, æ ae, ß ss, ligatures and full-width forms are their letters, ø o, ł l, º and °
separate. Soft hyphens and other invisible marks are passed over. A run of more than 200 characters, which is no word, is
cut into words of 200 that overlap by 100, so that each part of 100 characters or less stands whole in one of them.

Unicode Standard §3.13 (case folding), UAX #15 (NFKD).
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 200
STEP = LONGEST // 2
MOST_SOUGHT = 100
"""Of a text that is sought, as many words count."""

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_WORD = re.compile(r"[^\W_]+")
_SPACE = re.compile(r"\s+")
# What no decomposition says: letters with a stroke, and the two signs after a number that are not letters.
_LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ŧ": "t", "þ": "th", "ĸ": "k"}
    | {
        "º": " ",
        "ª": " ",
        "°": " ",
        "’": "'",
        "‘": "'",
        "ʼ": "'",
        "‐": "-",
        "‑": "-",
        "–": "-",
        "—": "-",
        "“": '"',
        "”": '"',
    }
)


class _Folds(dict[int, str]):
    """Each character's fold, found once."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if len(self) < _MOST_FOLDS:
            self[code] = folded
        return folded


_MOST_FOLDS = 20_000
_FOLDS = _Folds()


def fold(text: str) -> str:
    """`text` without case, accents and typography; its punctuation and spaces stay."""
    if text.isascii():
        return text.lower()
    return _BEYOND_ASCII.sub(_fold_run, text.lower())


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    found = _WORD.findall(fold(text))
    if len(text) > LONGEST and max(map(len, found), default=0) > LONGEST:
        return [piece for word in found for piece in _pieces(word)]
    return found


def literal(text: str) -> str:
    """`text` folded with its punctuation, spaces made one: for comparing what only programs write, like identifiers."""
    return _SPACE.sub(" ", fold(text))


def sought(text: str) -> list[str]:
    """The words of a text that somebody looks for: the first and the last may be parts, and then no longer than 100."""
    runs = _WORD.findall(fold(text))[:MOST_SOUGHT]
    found = words(" ".join(runs))[:MOST_SOUGHT]
    if not found or max(map(len, runs)) <= STEP:
        return found
    if len(runs) == 1:
        return [runs[0][:STEP]]
    every = [runs[0][-STEP:], *(piece for run in runs[1:-1] for piece in _pieces(run)), runs[-1][:STEP]]
    return every[:MOST_SOUGHT]


def line(found: Sequence[str]) -> str:
    """Words one space apart: what is sought stands in it exactly where `" ".join(sought(text))` is a part of it."""
    return " ".join(found)


def _pieces(word: str) -> list[str]:
    if len(word) <= LONGEST:
        return [word]
    return [word[start : start + LONGEST] for start in range(0, len(word) - STEP, STEP)]


def _fold_run(found: "re.Match[str]") -> str:
    return found[0].translate(_FOLDS)


def _fold_character(character: str) -> str:
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character.translate(_LETTERS)).casefold())
    kept = "".join(each for each in text if unicodedata.category(each) not in _PASSED_OVER)
    return kept.translate(_LETTERS)


_PASSED_OVER = {"Mn", "Me", "Cf"}
