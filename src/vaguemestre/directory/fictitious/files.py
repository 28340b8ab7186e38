"""Extraction files of a register that does not exist, as the national directory publishes them, of any size.

What it keeps true: names, order and quirks of the columns are those of the files published: no quotes, `|` after the last
column of activities, people of RPPS and of ADELI, blank postal addresses; what is read is never more than what a person has.

The formats: spec of the public extraction (Licence Ouverte), its columns in their order.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

from vaguemestre.directory.fictitious.population import FIRST_DAY, Fiction, register

_PERSON_COLUMNS: Final = "Type d'identifiant PP|Identifiant PP|Identification nationale PP"
_KNOWN_COLUMNS: Final = f"{_PERSON_COLUMNS}|Nom d'exercice|Prénom d'exercice"
ACTIVITY_COLUMNS: Final = (
    f"{_PERSON_COLUMNS}|Code civilité d'exercice|Libellé civilité d'exercice|Code civilité|Libellé civilité|"
    "Nom d'exercice|Prénom d'exercice|Code profession|Libellé profession|Code catégorie professionnelle|"
    "Libellé catégorie professionnelle|Code type savoir-faire|Libellé type savoir-faire|Code savoir-faire|"
    "Libellé savoir-faire|Code mode exercice|Libellé mode exercice|Numéro SIRET site|Numéro SIREN site|"
    "Numéro FINESS site|Numéro FINESS établissement juridique|Identifiant technique de la structure|"
    "Raison sociale site|Enseigne commerciale site|"
    + "".join(
        f"{name} (coord. structure)|"
        for name in (
            "Complément destinataire", "Complément point géographique", "Numéro Voie", "Indice répétition voie",
            "Code type de voie", "Libellé type de voie", "Libellé Voie", "Mention distribution", "Bureau cedex",
            "Code postal", "Code commune", "Libellé commune", "Code pays", "Libellé pays", "Téléphone", "Téléphone 2",
            "Télécopie", "Adresse e-mail",
        )
    )
    + "Code Département (structure)|Libellé Département (structure)|Ancien identifiant de la structure|"
    "Autorité d'enregistrement|Code secteur d'activité|Libellé secteur d'activité|Code section tableau pharmaciens|"
    "Libellé section tableau pharmaciens|Code rôle|Libellé rôle|Code genre activité|Libellé genre activité|"
)  # fmt: skip
KNOW_HOW_COLUMNS: Final = (
    f"{_KNOWN_COLUMNS}|Code profession|Libellé profession|Code catégorie professionnelle|"
    "Libellé catégorie professionnelle|Code type savoir-faire|Libellé type savoir-faire|Code savoir-faire|"
    "Libellé savoir-faire"
)
DIPLOMA_COLUMNS: Final = (
    f"{_KNOWN_COLUMNS}|Code type diplôme obtenu|Libellé type diplôme obtenu|Code diplôme obtenu|Libellé diplôme obtenu|"
    "Code type autorisation|Libellé type autorisation|Code discipline autorisation|Libellé discipline autorisation"
)
CARD_COLUMNS: Final = (
    f"{_KNOWN_COLUMNS}|Code type de carte|Libellé type de carte|Numéro carte|Identifiant national contenu dans la carte|"
    "Date début validité|Date fin validité|Date opposition|Date de mise à jour"
)
ADDRESS_COLUMNS: Final = (
    "Type de BAL|Adresse BAL|Type Identifiant PP|Identifiant PP|Identification nationale PP|Type identifiant structure|"
    "Identification Structure|Service de rattachement|Civilité d'exercice|Nom d'exercice|Prénom d'exercice|"
    "Catégorie profession|Libellé de catégorie profession|Code Profession|Libellé Profession|Code savoir-faire|"
    "Libellé savoir-faire|Dématérialisation|"
    + "|".join(
        f"{name} structure BAL"
        for name in (
            "Raison Sociale", "Enseigne commerciale", "L2COMPLEMENTLOCALISATION", "L3COMPLEMENTDISTRIBUTION",
            "L4NUMEROVOIE", "L4COMPLEMENTNUMEROVOIE", "NL4TYPEVOIE", "L4LIBELLEVOIE", "L5LIEUDITMENTION",
            "L6LIGNEACHEMINEMENT", "Code postal", "Département", "Pays",
        )
    )
)  # fmt: skip

_FILES: Final = (
    ("PS_LibreAcces_Personne_activite", ACTIVITY_COLUMNS),
    ("PS_LibreAcces_SavoirFaire", KNOW_HOW_COLUMNS),
    ("PS_LibreAcces_Dipl_AutExerc", DIPLOMA_COLUMNS),
    ("Porteurs_CPS_CPF", CARD_COLUMNS),
    ("Extraction_Correspondance_MSSante", ADDRESS_COLUMNS),
)


@dataclass(slots=True)
class Written:
    """What was made: files and the number of rows in each, headers left out; `people` who are in them."""

    files: list[Path]
    rows: list[int]
    people: int = 0


def write(folder: Path, fiction: Fiction, progress: Callable[[int], None] = lambda _: None) -> Written:
    """Write the five files of a day into `folder`; `progress` is told how many people were made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = f"{FIRST_DAY + timedelta(fiction.day):%Y%m%d}0312"
    written = Written([folder / f"{name}_{stamp}.txt" for name, _ in _FILES], [0] * len(_FILES))
    with ExitStack() as stack:
        files: list[IO[str]] = [
            stack.enter_context(path.open("w", encoding="utf-8", newline="\n", buffering=1 << 20))
            for path in written.files
        ]
        for file, (_, columns) in zip(files, _FILES, strict=True):
            file.write(columns + "\n")
        for count, rows in enumerate(register(fiction)):
            for number, lines in enumerate(rows):
                if lines:
                    files[number].write("\n".join(lines) + "\n")
                    written.rows[number] += len(lines)
            written.people += bool(rows[0])
            if count % 5000 == 0:
                progress(count)
    return written
