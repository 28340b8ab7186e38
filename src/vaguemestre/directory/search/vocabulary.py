"""The words of the index, each once: how many records say it, how it sounds, which words are near it.

What it keeps true: every word of a record with letters in it is here; a word that can be mistaken for another, which is
one of letters alone that is no rarity, is found by its sound and by its traces (`documents.mistakes`).
"""

import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from vaguemestre.directory.search.index import WORD_BITS
from vaguemestre.documents import mistakes
from vaguemestre.documents.phonetics import sound

_RARE = 3  # a word that stands in fewer records, and in no name, is more often a mistake itself than mistaken
_LONGEST = 30
_MOST_NEAR = 24
_MOST_BEGINNING = 40
_PARTS = 16
_WORD_MASK = (1 << WORD_BITS) - 1

# One statement: each that is run from here costs more than the search in the tree of its key.
_SHARING = (
    "SELECT word, own, other FROM words WHERE number IN (SELECT near.packed & :mask FROM json_each(:marks) AS mark"
    " CROSS JOIN near WHERE near.packed BETWEEN mark.value AND mark.value + :mask)"
)

Rows = Iterator[tuple[int, str, int, int, str]]


@dataclass(frozen=True, slots=True)
class NearWord:
    """A word near one asked. `cost` is 2 for a sound-alike, 2 and one for each mistake otherwise."""

    word: str
    own: int
    other: int
    cost: int


def rows(in_names: Mapping[str, int], elsewhere: Mapping[str, int]) -> Rows:
    """The rows of `words` for words counted in names and elsewhere, in alphabetical order, numbered from 1."""
    kept = sorted(word for word in in_names.keys() | elsewhere.keys() if not word.isdigit())
    for number, word in enumerate(kept, 1):
        own, other = in_names.get(word, 0), elsewhere.get(word, 0)
        yield number, word, own, other, sound(word) if _mistakable(word, own, other) else ""


def traces(words: Iterable[tuple[int, str, int, int, str]]) -> Iterator["array[int]"]:
    """The rows of `near` for rows of `words`, in parts, each sorted and above the one before."""
    parts = [array("q") for _ in range(_PARTS)]
    for number, word, own, other, _ in words:
        if len(word) >= mistakes.SHORTEST and _mistakable(word, own, other):
            for trace in mistakes.traces(word):
                mark = zlib.crc32(trace.encode())
                parts[mark >> 28].append(mark << WORD_BITS | number)
    for place, part in enumerate(parts):
        parts[place] = array("q")
        yield array("q", sorted(part))


def _mistakable(word: str, own: int, other: int) -> bool:
    return word.isascii() and word.isalpha() and 2 <= len(word) <= _LONGEST and (own > 0 or other >= _RARE)


def learn(connection: Any, own: Iterable[str], other: Iterable[str]) -> None:
    """Count the words of one more record; within a transaction."""
    for word, in_name in chain(((each, 1) for each in own), ((each, 0) for each in other)):
        if not word.isdigit():
            _learn(connection, word, in_name, 1 - in_name)


def _learn(connection: Any, word: str, own: int, other: int) -> None:
    known = connection.execute("SELECT number, own, other FROM words WHERE word = ?", (word,)).fetchone()
    if known is None:
        last = connection.execute("SELECT max(number) FROM words").fetchone()[0] or 0
        known = (last + 1, 0, 0)
        connection.execute("INSERT INTO words VALUES (?, ?, 0, 0, '')", (known[0], word))
    number, was_own, was_other = known
    now = was_own + own, was_other + other
    connection.execute("UPDATE words SET own = ?, other = ? WHERE number = ?", (*now, number))
    if _mistakable(word, *now) and not _mistakable(word, was_own, was_other):
        connection.execute("UPDATE words SET sound = ? WHERE number = ?", (sound(word), number))
        packed = [(row,) for part in traces([(number, word, *now, "")]) for row in part]
        connection.executemany("INSERT OR IGNORE INTO near VALUES (?)", packed)


def count(connection: Any, word: str) -> tuple[int, int]:
    """In how many names, and elsewhere, a word stands."""
    return connection.execute("SELECT own, other FROM words WHERE word = ?", (word,)).fetchone() or (0, 0)


def beginning(connection: Any, start: str) -> list[tuple[str, int, int]] | None:
    """The words that begin so, and in how many names and elsewhere; None where they are too many to be named."""
    statement = "SELECT word, own, other FROM words WHERE word >= ? AND word < ? LIMIT ?"
    found = connection.execute(statement, (start, _after(start), _MOST_BEGINNING + 1)).fetchall()
    return None if len(found) > _MOST_BEGINNING else found


def near(connection: Any, word: str) -> list[NearWord]:
    """The words near this one, itself left out, the nearest and most frequent first; at most a few dozen."""
    if not word.isascii() or not word.isalpha() or not 3 <= len(word) <= _LONGEST:
        return []
    found: dict[str, NearWord] = {}
    statement = "SELECT word, own, other FROM words INDEXED BY ix_words_sound WHERE sound = ? AND sound <> '' LIMIT 200"
    for other_word, own, other in connection.execute(statement, (sound(word),)):
        found[other_word] = NearWord(other_word, own, other, 2)
    most = mistakes.allowed(len(word))
    if most:
        for other_word, own, other in _sharing_a_trace(connection, word, most):
            # Of two words of different lengths the shorter one says how many mistakes are forgiven.
            distance = mistakes.within(word, other_word, min(most, mistakes.allowed(len(other_word)) or 1))
            if distance is not None and other_word not in found:
                found[other_word] = NearWord(other_word, own, other, 2 + distance)
    found.pop(word, None)
    return sorted(found.values(), key=lambda each: (each.cost, -each.own - each.other))[:_MOST_NEAR]


def _sharing_a_trace(connection: Any, word: str, most: int) -> list[tuple[str, int, int]]:
    marks = ",".join([str(zlib.crc32(trace.encode()) << WORD_BITS) for trace in mistakes.traces(word, most)])
    found: list[tuple[str, int, int]] = connection.execute(
        _SHARING, {"marks": f"[{marks}]", "mask": _WORD_MASK}
    ).fetchall()
    return found


def _after(start: str) -> str:
    """The first text after all those that begin with `start`."""
    return start + "\U0010ffff"
