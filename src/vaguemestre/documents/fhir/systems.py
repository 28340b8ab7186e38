"""The names of things in FHIR: profiles, extensions, identifier systems, nomenclatures. Exact, since programs compare them.

Rules: what is emitted is the form of the profiles (IG ans.fhir.fr.annuaire 1.1.0); what is read may also be the forms of
older builds and of the swagger of mailbox writing (`canonical`).

Source: spec directory §1.2, §1.3, §4; IG-fhir-annuaire, hl7.fhir.fr.core, NOS.
"""

from typing import Any

Json = dict[str, Any]

_AS = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/"
_FR = "https://hl7.fr/ig/fhir/core/StructureDefinition/"
_ADXP = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-"

SOURCE = "https://annuaire.sante.fr"  # what the live service says; the guide has annuaire.esante.gouv.fr
PROFILES = {
    "Practitioner": (f"{_FR}fr-core-practitioner", f"{_AS}as-dp-practitioner"),
    "PractitionerRole": (f"{_FR}fr-core-practitioner-role", f"{_AS}as-dp-practitionerrole"),
    "Organization": (f"{_FR}fr-core-organization", f"{_AS}as-dp-organization"),
    "Device": (f"{_AS}as-dp-device",),
    "HealthcareService": (f"{_AS}as-dp-healthcareservice-healthcare-activity",),
}

DATA_TRACE = f"{_AS}as-ext-data-trace"
SMARTCARD = f"{_AS}as-ext-smartcard"
MAILBOX = f"{_AS}as-ext-mailbox-mss-metadata"
ORGANIZATION_TYPES = f"{_AS}as-ext-organization-types"
SEARCH_PARAMETERS = "https://interop.esante.gouv.fr/ig/fhir/annuaire/SearchParameter/as-sp-"
EMAIL_TYPE = f"{_FR}fr-core-contact-point-email-type"
INSEE_CODE = f"{_FR}fr-core-address-insee-code"
CARE_OF, LOCATOR = f"{_ADXP}careOf", f"{_ADXP}additionalLocator"
HOUSE_NUMBER, NUMBER_SUFFIX = f"{_ADXP}houseNumber", f"{_ADXP}buildingNumberSuffix"
STREET_TYPE, STREET_NAME, POST_BOX = f"{_ADXP}streetNameType", f"{_ADXP}streetNameBase", f"{_ADXP}postBox"

IDENTIFIER_TYPES = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
ORGANIZATION_KINDS = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-3307"
IDNPS, IDNST = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"
RPPS, FINESS = "https://rpps.esante.gouv.fr", "https://finess.esante.gouv.fr"
SIRENE, RPPS_RANK = "https://sirene.fr", "https://rppsrang.esante.gouv.fr"
ARHGOS = "https://arhgos.ars.sante.fr"
# An activity whose national number is not known has ours: the public files carry none, and the profile asks for one.
OWN_ACTIVITY = "urn:vaguemestre:directory:activity"
SUBSETTED = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"


def nomenclature(name: str) -> str:
    """The canonical of a nomenclature, by its name: `TRE_G15-ProfessionSante`."""
    return f"https://mos.esante.gouv.fr/NOS/{name}/FHIR/{name.replace('_', '-', 1)}"


PROFESSION = nomenclature("TRE_G15-ProfessionSante")
CATEGORY = nomenclature("TRE_R09-CategorieProfessionnelle")
KNOW_HOW_TYPE = nomenclature("TRE_R04-TypeSavoirFaire")
SPECIALITY = nomenclature("TRE_R38-SpecialiteOrdinale")
DIPLOMA_TYPE = nomenclature("TRE_R14-TypeDiplome")
DIPLOMA = nomenclature("TRE_R48-DiplomeEtatFrancais")
CARD_TYPE = nomenclature("TRE_R87-TypeCarte")
FUNCTION = nomenclature("TRE_R21-Fonction")
GENRE = nomenclature("TRE_R22-GenreActivite")
MODE = nomenclature("TRE_R23-ModeExercice")
SECTION = nomenclature("TRE_G05-SousSectionTableauCNOP")
SECTOR = nomenclature("TRE_R02-SecteurActivite")
ESTABLISHMENT = nomenclature("TRE_R66-CategorieEtablissement")
COMMUNE = nomenclature("TRE_R13-Commune")
EMAIL_KIND = nomenclature("TRE_R256-TypeMessagerie")
MAILBOX_KIND = nomenclature("TRE_R257-TypeBAL")

# Know-how: its type (TRE_R04) says in which nomenclature its code is. Types not named here are of the first.
KNOW_HOW = {
    "S": SPECIALITY,
    "C": nomenclature("TRE_R39-Competence"),
    "CEX": nomenclature("TRE_R40-CompetenceExclusive"),
    "DSM": nomenclature("TRE_R42-DESCnonQualifiant"),
    "CAPA": nomenclature("TRE_R43-CapaciteSavoirFaire"),
    "PAC": nomenclature("TRE_R44-QualificationPAC"),
    "FQ": nomenclature("TRE_R45-FonctionQualifiee"),
}
# Professions outside TRE_G15 are few; codes of TRE_G15 are numbers.
OTHER_PROFESSION = nomenclature("TRE_R95-UsagerTitre")

# Forms that other builds write, and what they stand for here.
_SYNONYMS = {
    "http://finess.sante.gouv.fr": FINESS,
    "http://finess.esante.gouv.fr": FINESS,
    "http://sirene.fr": SIRENE,
    "http://rpps.esante.gouv.fr": RPPS,
    "http://rpps.fr": RPPS,
    "https://rpps.fr": RPPS,
    "urn:oid:1.2.250.1.213.1.6.1.4.1": MAILBOX_KIND,
}


def canonical(system: str) -> str:
    """The form this module knows of a system's name: older and other spellings mean the same."""
    bare = system.strip().rstrip("/")
    return _SYNONYMS.get(bare, bare)


def profession_system(code: str) -> str:
    """The nomenclature of a profession's code."""
    return PROFESSION if code.isdigit() else OTHER_PROFESSION
