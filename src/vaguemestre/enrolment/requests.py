"""Mailboxes of structures (ORG), of practices (CAB) and of software (APP): asked for by a representative, opened by the operator.

Kept true: whoever asks proved who they are and practises in the structure they ask for, by the register; nothing is opened
before an administrator decided; a decision is made once; the one who asked becomes the holder of an ORG or CAB mailbox. An APP
one has no person: its certificate is bound by the administrator afterwards.
"""

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.enrolment.matching import Match
from vaguemestre.enrolment.tables import requests
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import model, persons
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, publications, sharing
from vaguemestre.mailstore.model import Account, AccountKind

_LOCAL = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_MOST_OPEN = 5


class RequestError(VaguemestreError):
    """A mailbox that cannot be asked for so, or a request that is not there or was decided."""


@dataclass(frozen=True, slots=True)
class MailboxRequest:
    """A request; `structure` is the technical identifier of the register; `decision` empty, granted or refused."""

    id: int
    national_id: str
    asker: str
    kind: AccountKind
    address: str
    name: str
    structure: str
    asked_at: int
    decision: str
    reason: str


def ask(
    connection: sa.Connection,
    match: Match,
    kind: AccountKind,
    address: str,
    name: str,
    structure: str,
    domains: set[str],
) -> MailboxRequest:
    """Ask for a mailbox of a structure where the person practises. Raises RequestError, LabelError."""
    if kind is AccountKind.PER:
        raise RequestError(
            "A personal mailbox is opened by its holder.", "Une boîte personnelle est ouverte par son titulaire."
        )
    theirs = {place.technical_id for _, place in match.known.activities if place is not None}
    if structure not in theirs:
        raise RequestError(
            "The directory does not say that you practise in this structure. Ask your Order, or the structure.",
            "L'annuaire ne dit pas que vous exercez dans cette structure. Adressez-vous à votre Ordre ou à la structure.",
        )
    local, _, domain = address.lower().rpartition("@")
    if domain not in domains or not _LOCAL.fullmatch(local) or len(local) > 64:
        raise RequestError(
            f"{address} cannot be had: small letters, digits, points and hyphens, at a domain of this operator.",
            f"{address} ne peut pas être attribuée : minuscules, chiffres, points et traits d'union, à un domaine d'ici.",
        )
    person = persons.keep(connection, match.known.practitioner.national_id, match.name)
    waiting = (requests.c.person_id == person.id) & (requests.c.decision == "")
    if connection.execute(sa.select(sa.func.count()).where(waiting)).scalar_one() >= _MOST_OPEN:
        raise RequestError(
            f"{_MOST_OPEN} requests of yours wait for a decision already.",
            f"{_MOST_OPEN} de vos demandes attendent déjà une décision.",
        )
    request_id = ids.next_id()
    row = {
        "id": request_id,
        "person_id": person.id,
        "kind": str(kind),
        "address": address.lower(),
        "name": model.label(name),
        "structure": structure,
        "asked_at": now_ms(),
        "decision": "",
        "reason": "",
        "decided_at": None,
    }
    connection.execute(sa.insert(requests), row)
    found = get(connection, request_id)
    _journal(connection, found, {"kind": str(kind), "structure": structure})
    return found


def waiting(connection: sa.Connection) -> list[MailboxRequest]:
    """Requests that nobody decided, the oldest first."""
    wanted = sa.select(requests).where(requests.c.decision == "").order_by(requests.c.id)
    return [_request(connection, row) for row in connection.execute(wanted).all()]


def of_person(connection: sa.Connection, person_id: int) -> list[MailboxRequest]:
    """Everything a person asked for, the newest first."""
    wanted = sa.select(requests).where(requests.c.person_id == person_id).order_by(requests.c.id.desc())
    return [_request(connection, row) for row in connection.execute(wanted).all()]


def get(connection: sa.Connection, request_id: int) -> MailboxRequest:
    """A request by its number. Raises RequestError."""
    row = connection.execute(sa.select(requests).where(requests.c.id == request_id)).one_or_none()
    if row is None:
        raise RequestError("There is no such request.", "Cette demande n'existe pas.")
    return _request(connection, row)


def grant(connection: sa.Connection, request_id: int) -> Account:
    """An administrator opens the mailbox. Raises RequestError, AddressTakenError."""
    asked = _decide(connection, request_id, "granted", "")
    account = accounts.create(connection, asked.kind, asked.address, asked.name)
    if asked.kind is not AccountKind.APP:
        sharing.bind_holder(connection, asked.address, asked.national_id, asked.asker, ADMINISTRATOR)
    publications.describe(connection, account.id, structure=asked.structure)
    return account


def refuse(connection: sa.Connection, request_id: int, reason: str) -> None:
    """An administrator refuses, in words for who asked. Raises RequestError, LabelError."""
    _decide(connection, request_id, "refused", model.label(reason))


def _decide(connection: sa.Connection, request_id: int, decision: str, reason: str) -> MailboxRequest:
    asked = get(connection, request_id)
    open_ = (requests.c.id == request_id) & (requests.c.decision == "")
    decided = sa.update(requests).where(open_).values(decision=decision, reason=reason, decided_at=now_ms())
    if not connection.execute(decided).rowcount:
        raise RequestError("This request was decided already.", "Cette demande est déjà décidée.")
    _journal(connection, asked, {"decision": decision})
    return asked


def _request(connection: sa.Connection, row: Any) -> MailboxRequest:
    asker = persons.numbered(connection, row.person_id)
    return MailboxRequest(
        row.id,
        asker.national_id,
        asker.name,
        AccountKind(row.kind),
        row.address,
        row.name,
        row.structure,
        row.asked_at,
        row.decision,
        row.reason,
    )


def _journal(connection: sa.Connection, about: MailboxRequest, facts: dict[str, Any]) -> None:
    personal = {"person": about.national_id, "address": about.address}
    journal.append(connection, [Entry(Event.MAILBOX_REQUEST, ids.to_text(about.id), facts, personal)])
