"""Adoption: of those who practise, how many can be written to, by profession, department and operator, month by month.

What it keeps true: a share is of those practising in the group, all operators together being of the whole; figures add up
to the total; nobody is named.

The figure that an Order watches is its profession's share: 20.3 % of dentists, one November.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from vaguemestre.directory import adoption
from vaguemestre.errors import VaguemestreError


class By(StrEnum):
    """What figures are told apart by."""

    PROFESSION = "profession"
    DEPARTMENT = "department"
    OPERATOR = "operator"


class NothingCountedError(VaguemestreError):
    """There is no figure for what was asked."""

    def __init__(self, month: str, known: list[str]) -> None:
        months = ", ".join(known)
        super().__init__(
            f"Nothing was counted in {month}. There are figures for: {months or 'no month yet'}.",
            f"Rien n'a été compté en {month}. Il y a des chiffres pour : {months or 'aucun mois encore'}.",
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """How many practise, and how many of them have an address. `key` is a code, an operator, or a month."""

    key: str
    label: str
    practising: int
    addressed: int

    @property
    def share(self) -> float:
        """Of one; 0 where nobody practises."""
        return self.addressed / self.practising if self.practising else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a month, the most addressed first; their total; the total of each month counted, in order."""

    by: By
    month: str
    profession: str
    figures: list[Figure]
    total: Figure
    history: list[Figure]


def report(connection: sa.Connection, by: By, month: str = "", profession: str = "") -> Report:
    """The report of a month, the last counted by default, of one profession or all. Raises NothingCountedError."""
    known = adoption.months(connection)
    wanted = month or (known[-1] if known else "")
    if wanted not in known:
        raise NothingCountedError(wanted or "…", known)
    rows = adoption.rows(connection, profession=profession)
    history: dict[str, list[int]] = {each: [0, 0] for each in known}
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for of, code, department, operator, practising, addressed in rows:
        if not operator:
            history[of][0] += practising
            history[of][1] += addressed
        if of != wanted or bool(operator) != (by is By.OPERATOR):
            continue
        group = groups[{By.PROFESSION: code, By.DEPARTMENT: department, By.OPERATOR: operator}[by]]
        group[0] += practising
        group[1] += addressed
    practising, addressed = history[wanted]
    if by is By.OPERATOR:
        for group in groups.values():
            group[0] = practising
    words = _words(connection, by)
    figures = [Figure(key, words.get(key) or key or "inconnu / unknown", *group) for key, group in groups.items()]
    figures.sort(key=_order(by))
    label = _words(connection, By.PROFESSION).get(profession, profession) if profession else "Total"
    total = Figure(profession, label, practising, addressed)
    return Report(
        by, wanted, profession, figures, total, [Figure(of, of, *both) for of, both in sorted(history.items())]
    )


def _order(by: By) -> Callable[[Figure], tuple[float, str]]:
    if by is By.OPERATOR:
        return lambda figure: (-figure.addressed, figure.key)
    return lambda figure: (-figure.share, figure.key)


def _words(connection: sa.Connection, by: By) -> dict[str, str]:
    system = {By.PROFESSION: adoption.PROFESSIONS, By.DEPARTMENT: adoption.DEPARTMENTS}.get(by)
    return adoption.words(connection, system) if system else {}
