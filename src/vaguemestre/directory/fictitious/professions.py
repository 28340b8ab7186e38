"""Who practises what, how and where, in proportions near those of the country, and with what they are written to at.

Codes and labels are the national nomenclatures': TRE_G15 professions, TRE_R04 and TRE_R38 know-how, TRE_R48 diplomas,
TRE_R23 modes, TRE_R21 functions, TRE_R22 genres, TRE_R02 sectors, TRE_R66 categories of establishments. Numbers of people
are thousands; shares are of one; all of them are round figures, but the dentists' share of addresses, which their Order
published (20.3 % one November).
"""

from dataclasses import dataclass, field
from typing import Final

CATEGORIES: Final = {"C": "Civil", "M": "Militaire", "E": "Étudiant"}
MODES: Final = {"L": "Libéral, indépendant, artisan, commerçant", "S": "Salarié", "B": "Bénévole"}
TITLES: Final = {"DR": "Docteur", "PR": "Professeur"}
CIVILITIES: Final = {"MME": "Madame", "M": "Monsieur"}
GENRES: Final = {
    "GENR01": "Activité standard de soin ou de pharmacien",
    "GENR02": "Activité de remplaçant",
    "GENR04": "Activité non soignante",
    "GENR08": "Activité de coordination",
    "GENR99": "Autre activité",
}
FUNCTIONS: Final = {
    "FON-01": "Titulaire de cabinet",
    "FON-02": "Associé dans une société d'exercice",
    "FON-03": "Collaborateur",
    "FON-08": "Remplaçant",
    "FON-21": "Praticien hospitalier",
    "FON-24": "Chef de service",
    "FON-28": "Cadre de santé",
    "FON-41": "Titulaire d'officine",
    "FON-42": "Adjoint en officine",
    "FON-AU": "Autre fonction",
}
SECTORS: Final = {
    "SA01": "Etablissement public de santé",
    "SA03": "Etablissement privé PSPH",
    "SA04": "Etablissement privé non PSPH",
    "SA05": "Centre de santé",
    "SA07": "Cabinet individuel",
    "SA08": "Cabinet de groupe",
    "SA09": "Exercice en société",
    "SA17": "Etablissement d'hébergement pour personnes âgées dépendantes",
    "SA25": "Laboratoire d'analyses et de biologie médicale",
    "SA33": "Pharmacie d'officine",
    "SA42": "Appareillage médical",
    "SA52": "Maison de santé pluridisciplinaire",
    "SA63": "Communauté professionnelle territoriale de santé",
}
KNOW_HOW_TYPES: Final = {
    "S": "Spécialité ordinale",
    "C": "Compétence",
    "CAPA": "Capacité",
    "CEX": "Compétence exclusive",
    "PAC": "Pratiques avancées et compétences",
}
# Who registers a profession: its Order, or the regional agency.
REGISTRARS: Final = {
    "10": "CNOM",
    "21": "CNOP",
    "40": "CNOCD",
    "50": "CNOSF",
    "60": "CNOI",
    "70": "CNOMK",
    "80": "CNOPP",
}
SECTIONS: Final = {
    "A": "Pharmaciens titulaires d'officine",
    "D": "Pharmaciens adjoints d'officine et autres exercices",
    "E": "Pharmaciens des départements et collectivités d'outre-mer",
    "G": "Pharmaciens biologistes",
    "H": "Pharmaciens des établissements de santé",
}
# What practices are called.
PRACTICES: Final = {
    "10": "CABINET MEDICAL",
    "40": "CABINET DENTAIRE",
    "50": "CABINET DE SAGE-FEMME",
    "60": "CABINET INFIRMIER",
    "70": "CABINET DE KINESITHERAPIE",
    "80": "CABINET DE PEDICURIE-PODOLOGIE",
    "91": "CABINET D'ORTHOPHONIE",
    "92": "CABINET D'ORTHOPTIE",
    "93": "CABINET DE PSYCHOLOGIE",
}


@dataclass(frozen=True, slots=True)
class KnowHow:
    """A specialty or competence, and how often its profession has it."""

    type: str
    code: str
    label: str
    weight: float


@dataclass(frozen=True, slots=True)
class Profession:
    """A profession: how many thousands, the shares of women, self-employed, addressed; what its people hold.

    `employers` are kinds of `STRUCTURES` by weight; `titled`: they are called doctor.
    """

    code: str
    label: str
    thousands: float
    women: float
    liberal: float
    addressed: float
    diploma: tuple[str, str]
    employers: dict[str, float] = field(default_factory=dict)
    titled: bool = False
    know_how: tuple[KnowHow, ...] = ()


@dataclass(frozen=True, slots=True)
class Structure:
    """A kind of establishment: how many in the country, where at least (thousands of people), how it is called.

    `identified` by FINESS or SIRET; `boxes` is how many organizational addresses it has where it has any.
    """

    sector: str
    count: int
    town: int
    identified: str
    names: tuple[str, ...]
    services: tuple[str, ...] = ()
    boxes: float = 0.2


_SERVICES: Final = tuple(
    """Urgences|Cardiologie|Pneumologie|Gériatrie|Pédiatrie|Maternité|Chirurgie orthopédique|Chirurgie viscérale
Chirurgie maxillo-faciale et stomatologie|Odontologie|Radiologie|Imagerie médicale|Laboratoire de biologie
Pharmacie à usage intérieur|Oncologie|Hématologie|Néphrologie et dialyse|Neurologie|Psychiatrie|Rééducation
Ophtalmologie|ORL|Dermatologie|Rhumatologie|Endocrinologie et diabétologie|Gastro-entérologie|Médecine interne
Médecine polyvalente|Réanimation|Anesthésie|Hôpital de jour|HAD|Service social|Secrétariat médical|Bureau des entrées
Gynécologie|Urologie|Soins palliatifs|Addictologie|Maladies infectieuses
Centre de vaccination|Équipe mobile de gériatrie""".replace("\n", "|").split("|")
)

STRUCTURES: Final = {
    "university hospital": Structure("SA01", 160, 90, "FINESS", ("CHU DE {town}", "HOPITAL {street}"), _SERVICES, 14),
    "hospital": Structure("SA01", 1400, 9, "FINESS", ("CENTRE HOSPITALIER DE {town}", "CH {street}"), _SERVICES, 12),
    "clinic": Structure(
        "SA04",
        1900,
        14,
        "FINESS",
        ("CLINIQUE {street}", "POLYCLINIQUE {street}", "HOPITAL PRIVE {street}"),
        _SERVICES,
        3,
    ),
    "non-profit hospital": Structure(
        "SA03", 900, 14, "FINESS", ("FONDATION {street}", "INSTITUT {street}"), _SERVICES, 3
    ),
    "nursing home": Structure(
        "SA17", 7400, 0, "FINESS", ("EHPAD {street}", "RESIDENCE {street}", "MAISON DE RETRAITE {street}"), (), 2
    ),
    "health centre": Structure(
        "SA05",
        2900,
        9,
        "FINESS",
        ("CENTRE DE SANTE {street}", "CENTRE DE SANTE DENTAIRE {street}", "CENTRE MUNICIPAL DE SANTE DE {town}"),
        ("Secrétariat médical", "Centre dentaire"),
        0.8,
    ),
    "health house": Structure("SA52", 2500, 0, "FINESS", ("MSP {street}", "MAISON DE SANTE DE {town}"), (), 0.8),
    "laboratory": Structure(
        "SA25", 4200, 9, "FINESS", ("LABORATOIRE {street}", "LBM {town} {street}", "BIOGROUPE {town}"), (), 1.6
    ),
    "pharmacy": Structure(
        "SA33",
        21_000,
        0,
        "FINESS",
        ("PHARMACIE {street}", "PHARMACIE DU CENTRE", "GRANDE PHARMACIE DE {town}"),
        (),
        0.7,
    ),
    "imaging centre": Structure("SA09", 1300, 14, "SIRET", ("CENTRE D'IMAGERIE {street}", "IRM {town}"), (), 0.9),
    "group practice": Structure(
        "SA08", 26_000, 0, "SIRET", ("CABINET {street}", "CENTRE MEDICAL {street}", "SCM {street}"), (), 0.1
    ),
    "fitter": Structure("SA42", 11_000, 0, "SIRET", ("OPTIQUE {street}", "AUDITION {street}", "ORTHOPEDIE {town}"), ()),
    "ambulances": Structure("SA42", 5000, 0, "SIRET", ("AMBULANCES {street}", "AMBULANCES DE {town}"), ()),
    "nursery": Structure("SA01", 5000, 0, "SIRET", ("CRECHE {street}", "MULTI ACCUEIL {street}"), ()),
    "territorial community": Structure(
        "SA63", 800, 0, "FINESS", ("CPTS DE {town}", "CPTS {street}"), ("Coordination",), 1
    ),
}

_WARDS = {"university hospital": 4.0, "hospital": 5.0, "clinic": 2.0, "non-profit hospital": 1.2}
_CARE = _WARDS | {"nursing home": 5.0}


def _physicians() -> tuple[KnowHow, ...]:
    listed = """SM54 26 Médecine générale
SM26 18 Qualifié en médecine générale
SM53 9 Spécialiste en médecine générale
SM02 5 Anesthésie-réanimation
SM04 3 Cardiologie et maladies vasculaires
SM05 1.5 Chirurgie générale
SM06 0.3 Chirurgie maxillo-faciale
SM07 0.2 Chirurgie maxillo-faciale et stomatologie
SM09 0.8 Chirurgie orthopédique et traumatologie
SM15 1.8 Dermatologie et vénéréologie
SM16 0.8 Endocrinologie et métabolismes
SM19 1.6 Gastro-entérologie et hépatologie
SM20 2.2 Gynécologie-obstétrique
SM25 0.7 Médecine du travail
SM30 0.8 Médecine interne
SM32 1 Médecine nucléaire
SM33 0.9 Médecine physique et réadaptation
SM36 1 Néphrologie
SM37 0.3 Neuro-chirurgie
SM38 1.2 Neurologie
SM40 1 Oncologie option médicale
SM42 1.2 O.R.L. et chirurgie cervico-faciale
SM43 2.5 Ophtalmologie
SM44 3.5 Pédiatrie
SM46 1.5 Pneumologie
SM42 0.4 Oto-rhino-laryngologie
SM47 6.5 Psychiatrie
SM48 1 Psychiatrie option enfant et adolescent
SM49 4 Radio-diagnostic
SM51 0.6 Radio-thérapie
SM52 0.5 Réanimation médicale
SM50 0.4 Stomatologie
SM56 0.2 Chirurgie orale
SM57 1 Santé publique et médecine sociale
SM58 0.5 Urologie""".splitlines()
    seen: dict[str, KnowHow] = {}
    for line in listed:
        code, weight, label = line.split(" ", 2)
        seen.setdefault(code, KnowHow("S", code, label, float(weight)))
    return (
        *seen.values(),
        KnowHow("C", "C76", "Orthopédie dento-maxillo-faciale", 0.2),
        KnowHow("CAPA", "CAPA07", "Médecine d'urgence", 2.0),
        KnowHow("CAPA", "CAPA06", "Médecine et biologie du sport", 1.0),
    )


_DENTISTS: Final = (
    KnowHow("S", "SCD01", "Orthopédie dento-faciale", 6.0),
    KnowHow("S", "SCD02", "Chirurgie orale", 1.2),
    KnowHow("S", "SCD03", "Médecine bucco-dentaire", 0.5),
    KnowHow("", "", "", 92.3),
)
_NURSES: Final = (
    KnowHow("PAC", "SI01", "Pathologies chroniques stabilisées", 0.2),
    KnowHow("PAC", "SI02", "Oncologie et hémato-oncologie", 0.1),
    KnowHow("PAC", "SI03", "Maladie rénale chronique, dialyse, transplantation rénale", 0.1),
    KnowHow("PAC", "SI04", "Psychiatrie et santé mentale", 0.1),
    KnowHow("PAC", "SI05", "Urgences", 0.1),
    KnowHow("", "", "", 99.4),
)
_PHARMACISTS: Final = (
    KnowHow("S", "SP01", "Biologie médicale", 8.0),
    KnowHow("S", "SP02", "Pharmacie hospitalière", 6.0),
    KnowHow("", "", "", 86.0),
)

PROFESSIONS: Final = (
    Profession(
        "10", "Médecin", 300, 0.50, 0.55, 0.68, ("DE28", "Diplôme d'Etat de docteur en médecine"),
        _WARDS | {"health centre": 0.9, "health house": 0.4, "imaging centre": 0.3}, True, _physicians(),
    ),
    Profession(
        "21", "Pharmacien", 100, 0.68, 0.36, 0.38, ("DE15", "Diplôme d'Etat de docteur en pharmacie"),
        {"pharmacy": 7.0, "laboratory": 1.2, "hospital": 1.2, "university hospital": 0.6}, True, _PHARMACISTS,
    ),
    Profession("26", "Audioprothésiste", 6, 0.52, 0.4, 0.05, ("DE03", "Diplôme d'Etat d'audioprothésiste"), {"fitter": 1.0}),
    Profession("28", "Opticien-Lunetier", 50, 0.55, 0.3, 0.01, ("BT01", "BTS opticien-lunetier"), {"fitter": 1.0}),
    Profession(
        "31", "Assistant dentaire", 15, 0.98, 0.0, 0.01, ("TI01", "Titre d'assistant dentaire"),
        {"group practice": 4.0, "health centre": 1.0},
    ),
    Profession("32", "Physicien médical", 1, 0.45, 0.02, 0.10, ("QPM1", "Qualification en physique médicale"), _WARDS),
    Profession("35", "Aide-soignant", 300, 0.90, 0.0, 0.004, ("DE01", "Diplôme d'Etat d'aide-soignant"), _CARE),
    Profession("36", "Ambulancier", 40, 0.35, 0.1, 0.003, ("DE02", "Diplôme d'Etat d'ambulancier"), {"ambulances": 1.0}),
    Profession(
        "37", "Auxiliaire de puériculture", 60, 0.99, 0.0, 0.003, ("DE04", "Diplôme d'Etat d'auxiliaire de puériculture"),
        {"nursery": 3.0, "hospital": 1.0},
    ),
    Profession(
        "38", "Préparateur en pharmacie hospitalière", 7, 0.85, 0.0, 0.02, ("DI38", "Diplôme de préparateur hospitalier"),
        {"hospital": 2.0, "university hospital": 1.0},
    ),
    Profession(
        "39", "Préparateur en pharmacie", 60, 0.90, 0.0, 0.005, ("BP01", "Brevet professionnel de préparateur en pharmacie"),
        {"pharmacy": 1.0},
    ),
    Profession(
        "40", "Chirurgien-Dentiste", 46, 0.49, 0.82, 0.203, ("DE07", "Diplôme d'Etat de docteur en chirurgie dentaire"),
        {"health centre": 4.0, "group practice": 2.0, "university hospital": 1.0}, True, _DENTISTS,
    ),
    Profession(
        "50", "Sage-Femme", 25, 0.97, 0.33, 0.46, ("DE22", "Diplôme d'Etat de sage-femme"),
        {"hospital": 3.0, "university hospital": 2.0, "clinic": 1.0},
    ),
    Profession(
        "60", "Infirmier", 640, 0.87, 0.21, 0.24, ("DE09", "Diplôme d'Etat d'infirmier"), _CARE | {"health centre": 0.4},
        False, _NURSES,
    ),
    Profession(
        "69", "Infirmier psychiatrique", 10, 0.72, 0.02, 0.03, ("DI69", "Diplôme d'infirmier de secteur psychiatrique"),
        {"hospital": 1.0},
    ),
    Profession(
        "70", "Masseur-Kinésithérapeute", 105, 0.52, 0.86, 0.30, ("DE14", "Diplôme d'Etat de masseur-kinésithérapeute"),
        _CARE,
    ),
    Profession(
        "80", "Pédicure-Podologue", 15, 0.67, 0.97, 0.30, ("DE18", "Diplôme d'Etat de pédicure-podologue"),
        {"health centre": 1.0},
    ),
    Profession("81", "Orthoprothésiste", 1.0, 0.25, 0.2, 0.04, ("BT02", "BTS prothésiste-orthésiste"), {"fitter": 1.0}),
    Profession("82", "Podo-Orthésiste", 0.6, 0.3, 0.5, 0.05, ("BT03", "BTS podo-orthésiste"), {"fitter": 1.0}),
    Profession("83", "Orthopédiste-Orthésiste", 2.5, 0.5, 0.3, 0.04, ("DI83", "Diplôme d'orthopédiste"), {"fitter": 1.0}),
    Profession("84", "Oculariste", 0.2, 0.5, 0.5, 0.05, ("DU84", "Diplôme universitaire de prothèse oculaire"), {"fitter": 1.0}),
    Profession("85", "Epithésiste", 0.2, 0.6, 0.5, 0.05, ("DU85", "Diplôme universitaire de prothèse faciale"), {"fitter": 1.0}),
    Profession(
        "86", "Technicien de laboratoire médical", 50, 0.78, 0.0, 0.01, ("DE23", "Diplôme d'Etat de technicien de laboratoire"),
        {"laboratory": 2.0, "hospital": 1.0},
    ),
    Profession(
        "91", "Orthophoniste", 26, 0.97, 0.81, 0.27, ("CC01", "Certificat de capacité d'orthophoniste"),
        {"hospital": 1.0, "non-profit hospital": 1.0},
    ),
    Profession(
        "92", "Orthoptiste", 6, 0.89, 0.66, 0.17, ("CC02", "Certificat de capacité d'orthoptiste"),
        {"hospital": 1.0, "clinic": 1.0},
    ),
    Profession("93", "Psychologue", 95, 0.86, 0.35, 0.10, ("TI93", "Titre de psychologue"), _CARE),
    Profession("94", "Ergothérapeute", 16, 0.87, 0.12, 0.06, ("DE05", "Diplôme d'Etat d'ergothérapeute"), _CARE),
    Profession("95", "Diététicien", 17, 0.94, 0.4, 0.09, ("BT04", "BTS diététique"), _CARE),
    Profession("96", "Psychomotricien", 18, 0.88, 0.2, 0.06, ("DE19", "Diplôme d'Etat de psychomotricien"), _CARE),
    Profession(
        "98", "Manipulateur ERM", 42, 0.72, 0.01, 0.02, ("DE13", "Diplôme d'Etat de manipulateur d'électroradiologie médicale"),
        _WARDS | {"imaging centre": 2.0},
    ),
)  # fmt: skip

# Domains of operators that do not exist, and the share of personal addresses at each. The rest is at the operator of the
# profession's Order, or at that of the establishment.
DOMAINS: Final = (
    (0.16, "pro.demo.mssante.fr"),
    (0.14, "apicrypt.demo.mssante.fr"),
    (0.11, "logiciel-medical.demo.mssante.fr"),
    (0.06, "lettre.demo.mssante.fr"),
    (0.03, "region-sante.demo.mssante.fr"),
)
OWN_DOMAIN: Final = {
    "10": "medecin.demo.mssante.fr",
    "21": "pharmacien.demo.mssante.fr",
    "40": "dentistes.demo.mssante.fr",
    "50": "sage-femme.demo.mssante.fr",
    "60": "infirmier.demo.mssante.fr",
    "70": "kine.demo.mssante.fr",
    "80": "pedicure-podologue.demo.mssante.fr",
}
