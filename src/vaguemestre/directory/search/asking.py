"""What somebody asks, made into words, filters and identifiers; and each into what the full-text index understands.

What it keeps true: nothing that is typed is an operator of the index, whatever its signs; the cost of a question is
bounded by the number of its words (`MOST_WORDS`), which are taken in order.

Rules: each word may be the beginning of one of the record's. Particles and civilities are set aside, unless nothing else
is asked, or the hand may still be typing them (the last word, with no space after it). Two words that stand beside one
another may be one ("Le Gall": legall; "Jean Pierre": jeanpierre). An address is asked for as a whole, and as its words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

from vaguemestre.directory.search import entries, vocabulary
from vaguemestre.directory.search.entries import OTHER, OWN
from vaguemestre.directory.search.index import LONGEST_PREFIX
from vaguemestre.directory.search.vocabulary import NearWord
from vaguemestre.documents.names import CIVILITIES, PARTICLES, written_out
from vaguemestre.documents.words import words

MOST_WORDS: Final = 8
MOST_LETTERS: Final = 200

_NONE = "x"  # a word that no record has, since none has this mark
_CHUNKS = re.compile(r"[\s,;]+")
_OF_ADDRESS = re.compile(r"@|\.mssante\.?f?r?$", re.IGNORECASE)  # what all addresses have would find nobody
_NUMBER = re.compile(r"\d[\d  .]*\d|\d")
_IDENTIFIER_LENGTHS = frozenset((9, 11, 12, 14))  # FINESS or SIREN or ADELI, RPPS, IdNat_PS, SIRET
_CORSICAN_FINESS = re.compile(r"2[AB]\d{7}", re.IGNORECASE)


class Breadth(IntEnum):
    """How a record's words may stand for those asked; each includes those above it."""

    EXACT = 0
    LAST_BEGINNING = 1  # the last word may be a beginning
    BEGINNING = 2
    NEAR = 3  # mistakes, sound-alikes


class Where(IntEnum):
    """Where the words must stand."""

    ANYWHERE = 0
    ONE_IN_NAME = 1
    ALL_IN_NAME = 2


@dataclass(slots=True)
class Word:
    """One word asked for. `forms` are the ways in which it may be written whole; `near` is filled when it is wanted.

    `finished`: something was typed after it, so that it is a whole word, if no initial. `with_next` is what it makes joined
    to the next word, where the index knows such a word.
    """

    forms: tuple[str, ...]
    finished: bool = True
    with_next: str = ""
    near: list[NearWord] | None = None
    costs: dict[str, int] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether it is more likely begun than whole, even where a record has it whole: a letter, a particle."""
        return len(self.forms[0]) == 1 or self.forms[0] in PARTICLES


@dataclass(frozen=True, slots=True)
class Question:
    """A text taken apart. `identifiers` are what may be numbers or addresses, as they are looked up.

    `words` are all to be looked for, those of identifiers included; `apart` are the others.
    """

    words: list[Word]
    apart: list[Word]
    identifiers: list[str]
    set_aside: list[str]  # particles: who has them is preferred
    unfinished_particle: bool  # the last word may be a particle just typed


def question(text: str) -> Question:
    """Take a text apart; empty where there is nothing to look for."""
    text = text[:MOST_LETTERS]
    identifiers = [chunk.lower().strip("<>") for chunk in _CHUNKS.split(text) if "@" in chunk]
    for found in _NUMBER.findall(text):
        digits = "".join(filter(str.isdigit, found))
        if len(digits) in _IDENTIFIER_LENGTHS:
            identifiers.append(digits)
    identifiers += [found.upper() for found in _CORSICAN_FINESS.findall(text)]
    found = [
        word
        for chunk in _CHUNKS.split(text)
        for word in (entries.address_words(chunk.lower()) if _OF_ADDRESS.search(chunk) else _words(chunk))
    ]
    finished = text[-1:].isspace()
    kept, set_aside = _sorted_out(found, finished=finished)
    last = found[-1] if found else ""
    unfinished = not finished and last in PARTICLES and len(kept) > 1
    apart = [word for word in kept if not any(word.forms[0] in each for each in identifiers)] if identifiers else kept
    return Question(kept[:MOST_WORDS], apart[:MOST_WORDS], identifiers, set_aside, unfinished)


def _words(chunk: str) -> list[str]:
    return entries.numbers_apart(words(chunk))


def without_last(asked: Question) -> Question:
    """The same question, its last word set aside."""
    last = asked.words[-1].forms[0]
    return replace(asked, words=asked.words[:-1], set_aside=[*asked.set_aside, last], unfinished_particle=False)


def _sorted_out(found: Sequence[str], *, finished: bool) -> tuple[list[Word], list[str]]:
    """The words to look for, with their other forms, and those set aside."""
    last = len(found) - 1
    aside = [
        (word in PARTICLES or word in CIVILITIES) and (finished or place != last) for place, word in enumerate(found)
    ]
    if all(aside):
        return [_word(word, (), finished=finished or place != last) for place, word in enumerate(found)], []
    kept: list[Word] = []
    for place, word in enumerate(found):
        if aside[place]:
            continue
        before = place
        while before > 0 and aside[before - 1] and found[before - 1] in PARTICLES:
            before -= 1
        made = _word(word, found[before:place], finished=finished or place != last)
        if place > 0 and not aside[place - 1] and kept:
            kept[-1].with_next = found[place - 1] + word
        kept.append(made)
    return kept, [word for place, word in enumerate(found) if aside[place] and word in PARTICLES]


def _word(word: str, particles: Sequence[str], *, finished: bool) -> Word:
    """A word, what it is short for, and what the particles before it make with it: gall, legall."""
    forms = dict.fromkeys((word, written_out(word)))
    joined = word
    for particle in reversed(particles):
        if particle not in PARTICLES:
            break
        joined = particle + joined
        forms[joined] = None
    return Word(tuple(forms), finished and len(word) > 1)


class Expressions:
    """The full-text expressions of a question, over one connection to the index."""

    def __init__(self, connection: Any, asked: Question, filters: Sequence[str]) -> None:
        self._connection = connection
        self._words = asked.words
        self._filters = filters
        self._ahead: dict[str, list[tuple[str, int, int]] | None] = {}
        self.shortened = (
            False  # whether a beginning was asked for by its first letters: some of what is found has others
        )
        self.shortening = True
        joined = False
        for word in asked.words:
            # A pair that has one word in common with the pair before is left apart.
            joined = bool(word.with_next) and not joined and any(vocabulary.count(connection, word.with_next))
            if not joined:
                word.with_next = ""

    def near(self) -> bool:
        """Look up the words near each; false where none has any."""
        for word in self._words:
            if word.near is None:
                word.near = vocabulary.near(self._connection, word.forms[0])
                for each in word.near:
                    word.costs[each.word] = each.cost
        return any(word.near for word in self._words)

    def expression(self, breadth: Breadth, where: Where = Where.ANYWHERE, more: Sequence[str] = ()) -> str:
        """What records must match: all words, all filters, and these more; empty where there is nothing to ask."""
        marked = self._marked(breadth, where)
        return " AND ".join([*marked, *self._filters, *more])

    def _marked(self, breadth: Breadth, where: Where) -> list[str]:
        if not self._words:
            return []
        places = range(len(self._words))
        if where is Where.ALL_IN_NAME:
            return self._all((OWN,), breadth)
        found = self._all((OWN, OTHER), breadth)
        if where is Where.ONE_IN_NAME:
            found.append(_any([self._one(place, (OWN,), breadth) for place in places]))
        return found

    def _all(self, marks: Sequence[str], breadth: Breadth) -> list[str]:
        """Every word; two of them as one where the index knows them so."""
        found: list[str] = []
        place = 0
        while place < len(self._words):
            word = self._words[place]
            own = self._one(place, marks, breadth)
            if not word.with_next:
                found.append(own)
                place += 1
                continue
            both = f"({own} AND {self._one(place + 1, marks, breadth)})"
            found.append(_any([both, *(mark + word.with_next for mark in marks)]))
            place += 2
        return found

    def _one(self, place: int, marks: Sequence[str], breadth: Breadth) -> str:
        word = self._words[place]
        last = place == len(self._words) - 1
        begins = breadth >= Breadth.BEGINNING or (breadth is Breadth.LAST_BEGINNING and last) or word.begun
        found: dict[str, None] = {}
        for form in word.forms:
            if not begins:
                found |= {mark + form: None for mark in marks}
                continue
            ahead = self._continuations(form)
            if ahead is None:
                start = form
                if len(form) > LONGEST_PREFIX and self.shortening and not form.isdigit():
                    self.shortened, start = True, form[:LONGEST_PREFIX]
                found |= {f"{mark}{start} *": None for mark in marks}
            else:
                found |= {mark + each: None for each, *counts in ahead for mark in marks if counts[mark == OTHER]}
        if breadth is Breadth.NEAR:
            for each in word.near or ():
                found |= {mark + each.word: None for mark in marks if (each.own if mark == OWN else each.other)}
        return _any(list(found)) if found else _NONE

    def _continuations(self, start: str) -> list[tuple[str, int, int]] | None:
        """The words that begin so, where the index has no list of its own for such a beginning and they are few."""
        if len(start) <= LONGEST_PREFIX or start.isdigit():
            return None
        if start not in self._ahead:
            self._ahead[start] = vocabulary.beginning(self._connection, start)
        return self._ahead[start]


def _any(ways: Sequence[str]) -> str:
    return ways[0] if len(ways) == 1 else "(" + " OR ".join(ways) + ")"
