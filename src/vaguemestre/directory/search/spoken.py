"""The words in which people say professions, know-how and départements, beside those of the official labels.

What it keeps true: whatever the label's own words are, they are among those given; the words are folded. What people say
follows from the label where a rule does it (cardiologie: cardiologue), and stands in a table where none does.
"""

import re
from collections.abc import Mapping

from vaguemestre.documents.names import PARTICLES
from vaguemestre.documents.words import words

PROFESSIONS, SPECIALITIES, DEPARTMENTS, SECTORS = (
    "TRE_G15-ProfessionSante",
    "TRE_R38-SpecialiteOrdinale",
    "TRE_G09-DepartementOM",
    "TRE_R02-SecteurActivite",
)

_CODE = re.compile(r"[A-Za-z]{0,4}\d+[A-Za-z]?")  # as codes are written, known or not
Labels = Mapping[tuple[str, str], str]

# Feminine, short and everyday forms, by the code of TRE_G15.
_OF_PROFESSIONS = {
    "10": "medecin docteur generaliste toubib",
    "21": "pharmacien pharmacienne pharmacie",
    "26": "audioprothesiste audio",
    "28": "opticien opticienne lunetier lunetiere optique",
    "31": "assistante assistant dentaire",
    "35": "aide soignant soignante",
    "36": "ambulancier ambulanciere",
    "37": "auxiliaire puericulture puericultrice",
    "40": "dentiste chirurgien chirurgienne dentaire",
    "50": "sage femme maieuticien sagefemme",
    "60": "infirmier infirmiere ide idel",
    "69": "infirmier infirmiere psychiatrique",
    "70": "masseur masseuse kinesitherapeute kine",
    "80": "pedicure podologue",
    "91": "orthophoniste orthophonie",
    "92": "orthoptiste orthoptie",
    "93": "psychologue psy",
    "94": "ergotherapeute ergo",
    "95": "dieteticien dieteticienne",
    "96": "psychomotricien psychomotricienne",
    "98": "manipulateur manipulatrice radio",
}
# (of a label's word, what is said)
_ENDINGS = tuple(
    (re.compile(written), said)
    for written, said in (
        (r"logie$", "logue"),  # cardiologie, cardiologue
        (r"logique$", "logue"),
        (r"iatrie$", "iatre"),
        (r"chirurgie$", "chirurgien"),
        (r"chirurgicale$", "chirurgien"),
        (r"anesthesie$", "anesthesiste"),
        (r"reanimation$", "reanimateur"),
        (r"urgence$", "urgentiste"),
        (r"generale$", "generaliste"),
        (r"genetique$", "geneticien"),
        (r"obstetrique$", "obstetricien"),
        (r"dontie$", "dontiste"),
        (r"gynecologie$", "gyneco"),
        (r"radiodiagnostic$", "radiologue"),
    )
)
_OF_SPECIALITIES = {
    "orl": ("oto", "rhino", "laryngologie"),
    "odf": ("orthopedie", "dento", "faciale"),
    "orthodontiste": ("orthopedie", "dento", "faciale"),
    "radiologue": ("radio", "diagnostic"),
    "interniste": ("medecine", "interne"),
    "nutritionniste": ("nutrition",),
    "mpr": ("physique", "readaptation"),
    "biologiste": ("biologie", "medicale"),
    "angiologue": ("vasculaire",),
    "gyneco": ("gynecologie",),
    "ophtalmo": ("ophtalmologie",),
}
# What a structure of a sector (TRE_R02) is called, where its name does not say it.
_OF_SECTORS = {
    "SA01": "hopital hospitalier",
    "SA05": "centre sante",
    "SA07": "cabinet",
    "SA08": "cabinet groupe",
    "SA17": "ehpad",
    "SA25": "laboratoire",
    "SA29": "laboratoire",
    "SA33": "pharmacie officine",
    "SA38": "pharmacie officine",
    "SA39": "pharmacie",
    "SA52": "maison sante msp",
    "SA63": "cpts",
}
# The official names (TRE_G15), for a register that came without labels.
_NAMES = {
    "10": "Médecin", "21": "Pharmacien", "26": "Audioprothésiste", "28": "Opticien-Lunetier", "31": "Assistant dentaire",
    "32": "Physicien médical", "35": "Aide-soignant", "36": "Ambulancier", "37": "Auxiliaire de puériculture",
    "38": "Préparateur en pharmacie hospitalière", "39": "Préparateur en pharmacie", "40": "Chirurgien-Dentiste",
    "50": "Sage-Femme", "60": "Infirmier", "69": "Infirmier psychiatrique", "70": "Masseur-Kinésithérapeute",
    "80": "Pédicure-Podologue", "81": "Orthoprothésiste", "82": "Podo-Orthésiste", "83": "Orthopédiste-Orthésiste",
    "84": "Oculariste", "85": "Epithésiste", "86": "Technicien de laboratoire médical", "91": "Orthophoniste",
    "92": "Orthoptiste", "93": "Psychologue", "94": "Ergothérapeute", "95": "Diététicien", "96": "Psychomotricien",
    "98": "Manipulateur ERM",
}  # fmt: skip


class Spoken:
    """The words of codes, from the register's labels; each found once."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._of: dict[tuple[str, str], tuple[str, ...]] = {}

    def label(self, system: str, code: str) -> str:
        """The official label of a code, the code itself where none is known."""
        return self._labels.get((system, code)) or (_NAMES.get(code) if system == PROFESSIONS else None) or code

    def words(self, system: str, code: str) -> tuple[str, ...]:
        """The words that stand for a code."""
        found = self._of.get((system, code))
        if found is None:
            found = self._of[system, code] = tuple(self._words(system, code))
        return found

    def codes(self, system: str, asked: str) -> list[str]:
        """The codes that somebody means: a code, or words all of which begin words that stand for one."""
        known = {code for of, code in self._labels if of == system} | (set(_NAMES) if system == PROFESSIONS else set())
        if asked.upper() in known or _CODE.fullmatch(asked):
            return [asked.upper()]
        wanted = [word for word in words(asked) if word not in PARTICLES]
        return sorted(
            code for code in known
            if wanted and all(any(word.startswith(each) for word in self.words(system, code)) for each in wanted)
        )  # fmt: skip

    def _words(self, system: str, code: str) -> dict[str, None]:
        official = words(self.label(system, code))
        if system == DEPARTMENTS and official == words(code):
            return {}
        found = dict.fromkeys(word for word in official if word not in PARTICLES)
        more = {PROFESSIONS: _OF_PROFESSIONS, SECTORS: _OF_SECTORS}.get(system, {}).get(code, "")
        found |= dict.fromkeys(more.split())
        if system in (PROFESSIONS, SPECIALITIES):
            for ending, said in _ENDINGS:
                found |= dict.fromkeys(ending.sub(said, word) for word in official if ending.search(word))
        if system == SPECIALITIES:
            found |= {said: None for said, parts in _OF_SPECIALITIES.items() if set(parts) <= set(official)}
        return found
