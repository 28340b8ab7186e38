"""The made-up professionals who may sign in: what their userinfo says. Shaped as the real one's (spec clients §7)."""

from typing import Any

_SUBJECT = "550dc1c8-d97b-4b1e-ac8c-8eb4471cf9dd"


def professional(
    rpps: str,
    family: str,
    given: str,
    *,
    civility: str = "MME",
    profession: str = "40",
    sector: str = "SA07",
    place: str = "CABINET DENTAIRE",
    technical_id: str = "",
    know_how: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """The userinfo of a made-up professional with one profession and one place."""
    activity = {
        "codeModeExercice": "L",
        "codeSecteurDactivite": sector,
        "numeroFinessSite": "",
        "numeroSiretSite": "",
        "identifiantTechniqueDeLaStructure": technical_id,
        "raisonSocialeSite": place,
    }
    exercise = {
        "codeProfession": profession,
        "codeCategorieProfessionnelle": "C",
        "codeCiviliteDexercice": "DR",
        "nomDexercice": family,
        "prenomDexercice": given,
        "codeTypeSavoirFaire": know_how[0],
        "codeSavoirFaire": know_how[1],
        "activities": [activity],
    }
    return {
        "sub": f"f:{_SUBJECT}:8{rpps}",
        "preferred_username": f"8{rpps}",
        "SubjectNameID": f"8{rpps}",
        "given_name": given,
        "family_name": family,
        "SubjectOrganization": place,
        "SubjectRole": [f"{profession}^1.2.250.1.213.1.1.5.5"],
        "Secteur_Activite": f"{sector}^1.2.250.1.71.4.2.4",
        "Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1",
        "UITVersion": "1.0",
        "otherIds": [{"identifiant": f"8{rpps}", "origine": "RPPS", "qualite": 1}],
        "SubjectRefPro": {"codeCivilite": civility, "exercices": [exercise]},
    }
