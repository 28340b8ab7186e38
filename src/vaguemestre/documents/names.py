"""Names as they are searched: of people, of places, of structures.

What it keeps true: whatever way a name is written (accents, case, hyphens or spaces, apostrophes or none, a particle apart
or joined, Saint or St), one of its words asked for is among its words kept. A name's words are those of `documents.words`
and, where it has several, also what they make joined two by two and all together: "Le Gall" is found by "legall",
"d'Hondt" by "dhondt", "Jean-Pierre" by "jeanpierre".

Rules: particles are words like others of what is kept; of what is asked they are set aside, unless nothing else is asked.
"""

from functools import lru_cache
from itertools import pairwise

from vaguemestre.documents.words import words

PARTICLES = frozenset(
    ("d", "de", "des", "du", "l", "la", "le", "les", "et", "a", "au", "aux", "en", "sur", "sous", "ep", "ne", "nee")
).union(
    ("van", "von", "der", "den", "ter", "da", "dos", "do", "di", "del", "della", "el", "al", "ben", "bel", "y", "e")
)
CIVILITIES = frozenset(("m", "mr", "mme", "mlle", "monsieur", "madame", "dr", "docteur", "pr", "professeur", "me"))
_SHORT = {"st": "saint", "ste": "sainte", "sts": "saints", "stes": "saintes"}
_MOST_JOINED = 30  # letters: longer ones are sentences


@lru_cache(maxsize=131_072)
def name_words(text: str) -> tuple[str, ...]:
    """The words of a name, and those it makes joined; each once, in order."""
    found = words(text)
    if len(found) < 2:
        return tuple(found if not found or found[0] not in _SHORT else [*found, _SHORT[found[0]]])
    whole = [_SHORT[word] for word in found if word in _SHORT]
    pairs = [a + b for a, b in pairwise(found)]
    joined = [*pairs, "".join(found)] if len(found) > 2 else pairs
    return tuple(dict.fromkeys([*found, *whole, *(word for word in joined if len(word) <= _MOST_JOINED)]))


@lru_cache(maxsize=131_072)
def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text that is no name of a person: a structure's, a town's; nothing joined."""
    found = words(text)
    whole = [_SHORT[word] for word in found if word in _SHORT]
    return tuple(dict.fromkeys([*found, *whole]))


def written_out(word: str) -> str:
    """What a word stands for: "st" is "saint"; itself otherwise."""
    return _SHORT.get(word, word)
