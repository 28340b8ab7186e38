"""What a check looks at, and what it says.

Rules: a problem stops mail, or will without a hand; a warning deserves a look; both say what to do, French first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vaguemestre.app import Stores
from vaguemestre.config import Config, Tls, Trust
from vaguemestre.errors import VaguemestreError
from vaguemestre.trust.trusted_set import TrustedSet


class Level(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Words:
    """The same sentence twice."""

    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it (None when all is well, or when `said` tells it already)."""

    check: str
    level: Level
    said: Words
    mend: Words | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """An operator's installation, at a moment. `stores` and `trusted` are None where they could not be opened.

    `trusted` is what the service keeps on disk; `fetched` what its sources give now.
    """

    config: Config
    trust: Trust
    identity: Tls
    now: datetime
    stores: Stores | None
    trusted: TrustedSet | None
    fetched: TrustedSet | None


def guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Findings of one check; what stops it is a finding too, and stops no other."""
    try:
        yield from look()
    except (VaguemestreError, OSError) as error:
        yield stopped(check, error)


def stopped(check: str, error: VaguemestreError | OSError) -> Finding:
    """The problem that stopped a check: in its own words, which say what to do next, where it has any."""
    if isinstance(error, VaguemestreError):
        return problem(check, Words(error.fr, error.en))
    what = f"{error.filename or check} : {error.strerror or error}"
    return problem(
        check,
        Words(f"Inaccessible : {what}.", f"Out of reach: {what}."),
        Words(
            "Corrigez le chemin, ou les droits de l'utilisateur du service.",
            "Correct the path, or the rights of the service's user.",
        ),
    )


def clock_behind(now: datetime, what: Words, at: datetime) -> Finding:
    """The clock contradicts something that is certainly of the past."""
    return problem(
        "clock",
        Words(
            f"L'horloge ({now:%d/%m/%Y %H:%M} UTC) est en retard : {what.fr} est du {at:%d/%m/%Y %H:%M} UTC.",
            f"The clock ({now:%Y-%m-%d %H:%M} UTC) is behind: {what.en} is of {at:%Y-%m-%d %H:%M} UTC.",
        ),
        Words("Mettez l'horloge à l'heure (NTP).", "Set the clock (NTP)."),
    )


def good(check: str, said: Words) -> Finding:
    """All is well."""
    return Finding(check, Level.GOOD, said)


def warning(check: str, said: Words, mend: Words | None = None) -> Finding:
    """Mail flows, but look."""
    return Finding(check, Level.WARNING, said, mend)


def problem(check: str, said: Words, mend: Words | None = None) -> Finding:
    """Mail does not flow, or will stop."""
    return Finding(check, Level.PROBLEM, said, mend)
