"""Addresses written out, in the format that the national directory publishes them in: any program that reads it reads this.

What it keeps true: the red list is in no file, nor is what was withdrawn, nor an address whose bearer was; memory does not
grow with the register; a field holds neither the separator nor a line's end.

Rule: as published, but for what is published nowhere: applications (APP) and practices (CAB) are rows like others.

Format: Extraction_Correspondance_MSSante (spec directory §2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.directory.model import Qualified
from vaguemestre.documents.extraction import COLUMNS, Kind

_BATCH = 1000
_BREAKS = str.maketrans(dict.fromkeys(map(chr, (*range(32), 127, 0x85, 0x2028, 0x2029, ord("|"))), " "))
_LABELS = {
    "profession": "TRE_G15-ProfessionSante",
    "category": "TRE_R09-CategorieProfessionnelle",
    "know_how": "TRE_R38-SpecialiteOrdinale",
    "department": "TRE_G09-DepartementOM",
    "country": "TRE_R20-Pays",
    "street_type": "TRE_R35-TypeVoie",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which addresses: of a profession, a department, a domain; all where they are empty."""

    profession: str = ""
    department: str = ""
    domain: str = ""


def header() -> str:
    """The first line."""
    return "|".join(COLUMNS[Kind.ADDRESSES])


def lines(connection: sa.Connection, choice: Choice = Choice()) -> Iterator[str]:
    """The lines after it, in the order of the register, without their ends."""
    words = {name: _words(connection, system) for name, system in _LABELS.items()}
    last = 0
    while batch := connection.execute(_page(choice, last)).mappings().all():
        know_how = _know_how(
            connection, [row["practitioner_id"] for row in batch if row["practitioner_id"] is not None]
        )
        for row in batch:
            yield "|".join(
                each.translate(_BREAKS) for each in _fields(row, know_how.get(row["practitioner_id"], ""), words)
            )
        last = batch[-1]["id"]


def _page(choice: Choice, last: int) -> "sa.Select[Any]":
    addresses, people, places = tables.addresses, tables.practitioners, tables.organizations
    shown = (
        sa.select(
            addresses.c.id,
            addresses.c.address,
            addresses.c.kind,
            addresses.c.service,
            addresses.c.digitization,
            addresses.c.practitioner_id,
            *(people.c[name] for name in ("national_id", "civility", "title", "family", "given", "profession", "category")),
            *(
                places.c[name]
                for name in (
                    "finess", "legal_finess", "siret", "rpps_rank", "name", "sign", "recipient", "point", "number",
                    "repetition", "street_type", "street", "mention", "city", "postcode", "department", "country",
                )
            ),
        )
        .join(people, people.c.id == addresses.c.practitioner_id, isouter=True)
        .join(places, places.c.id == addresses.c.organization_id, isouter=True)
        .where(
            addresses.c.id > last,
            addresses.c.active,
            sa.not_(addresses.c.red_list),
            sa.or_(addresses.c.practitioner_id.is_(None), people.c.active),
            sa.or_(addresses.c.organization_id.is_(None), places.c.active),
        )
        .order_by(addresses.c.id)
        .limit(_BATCH)
    )  # fmt: skip
    if choice.profession:
        shown = shown.where(people.c.profession == choice.profession)
    if choice.department:
        shown = shown.where(places.c.department == choice.department)
    if choice.domain:
        shown = shown.where(addresses.c.domain == choice.domain.lower())
    return shown


def _fields(row: Any, know_how: str, words: dict[str, dict[str, str]]) -> list[str]:
    """One line's fields, in the order of `COLUMNS`."""
    national = row["national_id"] or ""
    profession, category = row["profession"] or "", row["category"] or ""
    kind, number = next(
        (
            (name, row[column])
            for name, column in (
                ("FINESS", "finess"), ("FINESS", "legal_finess"), ("SIRET", "siret"), ("RPPS-rang", "rpps_rank"),
            )
            if row[column]
        ),
        ("", ""),
    )  # fmt: skip

    def word(name: str, code: str) -> str:
        return words[name].get(code, code)

    place = [row[name] or "" for name in ("name", "sign", "recipient", "point", "number", "repetition")]
    paper = {True: "True", False: "False", None: ""}[row["digitization"]]
    return [
        row["kind"], row["address"], national[:1], national[1:], national, kind, number, row["service"],
        row["title"] or row["civility"] or "", row["family"] or "", row["given"] or "",
        category, word("category", category), profession, word("profession", profession),
        know_how, word("know_how", know_how), paper,
        *place, word("street_type", row["street_type"] or ""), row["street"] or "", row["mention"] or "",
        row["city"] or "", row["postcode"] or "", word("department", row["department"] or ""),
        word("country", row["country"] or ""),
    ]  # fmt: skip


def _know_how(connection: sa.Connection, people: list[int]) -> dict[int, str]:
    held = tables.qualifications
    chosen = (
        sa.select(held.c.practitioner_id, sa.func.min(held.c.code))
        .where(held.c.practitioner_id.in_(people), held.c.what == Qualified.KNOW_HOW.value)
        .group_by(held.c.practitioner_id)
    )
    return {row[0]: row[1] for row in connection.execute(chosen)}


def _words(connection: sa.Connection, system: str) -> dict[str, str]:
    labels = tables.labels
    chosen = sa.select(labels.c.code, labels.c.label).where(labels.c.system == system)
    return {row.code: row.label for row in connection.execute(chosen)}
