"""French letters without end, for what must be measured on many: made up, the same for the same seed.

Words are French ones of the trade, then pronounceable ones without a meaning, as rare as rare words are in a language
(Zipf's law), so that an index of them grows as one of real letters does.
"""

import itertools
import random
from collections.abc import Iterator

_KNOWN = """
le de la et les des un une du en que est pour dans au ne vous nous par sur avec plus ce qui je il pas son sa ses aux cette
bonjour docteur patient patiente madame monsieur cher confrère chère consœur merci votre notre lettre adresser confier
compte rendu radiographie panoramique dentaire molaire canine incisive extraction implant prothèse couronne gencive
parodontite carie douleur traitement ordonnance amoxicilline paracétamol ibuprofène chirurgie anesthésie scanner cône
consultation hospitalisation opératoire cordialement bien avis prise charge suivi bilan examen résultat joint pièce dent
antécédents allergie pénicilline hypertension diabète cardiologie échographie cœur rythme tension artérielle biologie
glycémie créatinine hémoglobine rendez-vous hôpital service urgences clinique cabinet médecin infirmière pharmacie
kinésithérapeute maxillaire mandibule sinus apex racine canal endodontie occlusion orthodontie détartrage surveillance
"""
_SYLLABLES = """
ba be bi bo ca ce ci co da dé di do fa fe fi ga gé gi la lé li lo ma mé mi mo na né ni no pa pé pi po ra ré ri ro sa sé si
so ta té ti to va vé vi vo tion ment ique logie pathie scope graphie able eux euse
"""


class Letters:
    """Makes letters. `vocabulary` is how many different words they may hold."""

    def __init__(self, seed: int = 1, vocabulary: int = 150_000) -> None:
        self._random = random.Random(seed)
        known, syllables = dict.fromkeys(_KNOWN.split()), _SYLLABLES.split()
        while len(known) < vocabulary:
            known["".join(self._random.choices(syllables, k=self._random.choice((2, 3, 3, 4, 4, 5))))] = None
        self._words = list(known)
        self._weights = list(itertools.accumulate((rank + 2.7) ** -1.15 for rank in range(vocabulary)))
        names = [word.capitalize() for word in self._random.sample(self._words, 400)]
        self._people = [(first, last.upper()) for first, last in zip(names[::2], names[1::2], strict=True)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.letter, itertools.count())

    def letter(self, number: int) -> bytes:
        """One letter, as it comes from another operator: some 3 kB."""
        (first, last), (other, another) = self._random.choices(self._people, k=2)
        moment = f"{number % 28 + 1:02} Mar 2026 {number % 24:02}:{number % 60:02}:{number % 59:02} +0100"
        head = [
            f"Received: from mx{number % 9}.b.mssante.fr (mx{number % 9}.b.mssante.fr [192.0.2.{number % 250}])",
            f"\tby a.mssante.fr with ESMTPS id {self._random.getrandbits(60):x}; Mon, {moment}",
            f"Message-ID: <{self._random.getrandbits(48):x}.{number}@b.mssante.fr>",
            f"Date: Mon, {moment}",
            f"From: {first} {last} <{first}.{last}@medecin.b.mssante.fr>",
            f"To: {other} {another} <{other}.{another}@dentiste.a.mssante.fr>",
            f"Subject: {self.text(self._random.randrange(3, 9))}",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
        ]
        body = "\r\n".join(self.text(12) for _ in range(self._random.choice((5, 8, 10, 12, 30))))
        return "\r\n".join([*head, "", body, ""]).encode()

    def text(self, length: int) -> str:
        """Some words, one in twelve a number or a date."""
        words = self._random.choices(self._words, cum_weights=self._weights, k=length)
        for place in range(0, length, 12):
            day, month, year = (self._random.randrange(*bounds) for bounds in ((1, 29), (1, 13), (1990, 2027)))
            words[place] = f"{day:02}/{month:02}/{year}" if year % 2 else str(day * month * 7)
        return " ".join(words)
