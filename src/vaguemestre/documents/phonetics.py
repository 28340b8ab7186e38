"""How a French name sounds: a key that spellings of one sound share.

What it keeps true: a key depends on letters alone, in any case and with any accents; nothing raises, and the time is linear
in the word. Sound-alikes are told apart by nothing but what is heard: Dupont and Dupond,
Lefèvre and Lefebvre, Philippe and Filip, Renault, Renaud and Reynaud are one.

Rules, in the order in which a reader aloud would apply them: groups of letters that make one consonant; c and g by what
follows; groups that make one vowel, nasal ones apart; letters that are written and not said, at the end above all; a
letter doubled is said once. A word that vanishes (all silent) keeps its first letter.
"""

import re
from functools import lru_cache

from vaguemestre.documents.words import fold

_OTHER = re.compile(r"[^a-z]+")
_DOUBLED = re.compile(r"(.)\1+")

# (written, said). Capitals and digits are sounds that no letter of the alphabet stands for: S of "chat", 1 of "an",
# 2 of "in", 3 of "on", 4 of "ou", 5 of "eu", W of "oi". Each rule sees what those above it left.
_RULES = tuple(
    (re.compile(written), said)
    for written, said in (
        (r"ph", "f"),
        (r"bv", "v"),  # Lefebvre, Lefebvre
        (r"sch|sh", "S"),
        (r"ch(?=[rln])", "k"),  # Christian, Chloé
        (r"ch", "S"),
        (r"h", ""),
        (r"w", "v"),
        (r"gu(?=[eiy])", "G"),
        (r"g(?=[eiy])", "j"),
        (r"gn", "n"),
        (r"c(?=[eiy])", "s"),
        (r"ck|cqu?|qu?|c", "k"),
        (r"z", "s"),
        (r"x(?=.)", "ks"),
        (r"(?:eau|au)l?(?=[tdxs]|$)|eau|au", "o"),  # Thibault, Thibaut, Thibeau
        (r"oul(?=[tdx]+$)", "ou"),  # Arnoult
        (r"(?:er|ez|et|ets|ers)$", "e"),
        (r"oi|oy", "W"),
        (r"oeu|eu|oe", "5"),
        (r"ou", "4"),
        (r"i(?:en)(?![aeiouynm])", "i2"),  # Julien
        (r"(?:ai|ei|i|y|u)[nm](?![aeiouynm45W])", "2"),
        (r"[ae][nm](?![aeiouynm45W])", "1"),
        (r"o[nm](?![aeiouynm45W])", "3"),
        (r"[ae][iy]", "e"),
        (r"y", "i"),
        (r"(?<=[123])[pbgkt]+[sx]?$|(?<=m)ps?$", ""),  # Decamp, Bourg stays
        (r"(?<=.)[tdsx]+$", ""),
        (r"(?<=.)es?$", ""),
    )
)


@lru_cache(maxsize=65_536)
def sound(word: str) -> str:
    """The key of how a word sounds in French; empty for what has no letters."""
    letters = _OTHER.sub("", fold(word))
    said = letters
    for written, sounding in _RULES:
        said = written.sub(sounding, said)
    return _DOUBLED.sub(r"\1", said).replace("G", "g") or letters[:1]
