"""Grants: who may enter an account, in what part and with which rights.

Kept true: one grant a person and account; giving another replaces it; ending it ends the secrets that came with it, in
the same transaction; each is journalled, the person in the part that can be erased. Sessions of a person whose grant
ended or changed end too: whoever serves them compares (`mailstore.access.endings`).
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import permissions
from vaguemestre.identity.model import Person, Rights, rights_text
from vaguemestre.identity.permissions import Act, Actor, Part
from vaguemestre.identity.persons import person as person_of
from vaguemestre.identity.standings import AccessChange
from vaguemestre.identity.tables import app_passwords, grants, persons
from vaguemestre.storage.bulk import Prepared
from vaguemestre.storage.database import announce

_ROWS = sa.select(grants, persons.c.id, persons.c.national_id, persons.c.name).join_from(
    grants, persons, grants.c.person_id == persons.c.id
)
_THE_ACCOUNT, _THE_PERSON = grants.c.account_id == sa.bindparam("account"), grants.c.person_id == sa.bindparam("person")
_FOUND = Prepared(_ROWS.where(_THE_ACCOUNT & _THE_PERSON))
_OF_ACCOUNT = Prepared(_ROWS.where(_THE_ACCOUNT).order_by(grants.c.granted_at, grants.c.person_id))
_OF_PERSON = Prepared(_ROWS.where(_THE_PERSON).order_by(grants.c.granted_at, grants.c.account_id))


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's grant on an account; `rights` are those on its mail; `granted_at` in Unix milliseconds.

    `label` is how colleagues see the person there, or empty.
    """

    account_id: int
    person: Person
    part: Part
    rights: Rights
    label: str
    granted_at: int


class NoGrantError(VaguemestreError):
    """The person has no grant on the account."""

    def __init__(self) -> None:
        super().__init__(
            "This person has no access to the mailbox. List who has: vaguemestre account holders ADDRESS",
            "Cette personne n'a pas accès à la boîte. Voyez qui l'a : vaguemestre account holders ADRESSE",
        )


def give(
    connection: sa.Connection, account_id: int, person: Person, part: Part, rights: Rights, label: str, by: Actor
) -> Grant:
    """Let a person in, or change what they may do. Raises NotPermittedError."""
    permissions.refuse(by, Act.GRANT)
    connection.execute(sa.delete(grants).where(_of(account_id, person.id)))
    rights, at = permissions.rights(part, rights), now_ms()
    row = {
        "account_id": account_id,
        "person_id": person.id,
        "part": str(part),
        "rights": int(rights),
        "label": label,
        "granted_at": at,
    }
    connection.execute(sa.insert(grants), row)
    facts = {"part": str(part), "rights": rights_text(rights), "by": str(by.part)}
    _journal(connection, Event.GRANT, account_id, facts, person)
    return Grant(account_id, person, part, rights, label, at)


def end(connection: sa.Connection, account_id: int, person: Person, by: Actor) -> None:
    """Let a person in no longer, with any of their devices. Raises NoGrantError, NotPermittedError."""
    permissions.refuse(by, Act.GRANT)
    if not connection.execute(sa.delete(grants).where(_of(account_id, person.id))).rowcount:
        raise NoGrantError
    theirs = (app_passwords.c.account_id == account_id) & (app_passwords.c.person_id == person.id)
    revoked = connection.execute(sa.delete(app_passwords).where(theirs)).rowcount
    _journal(connection, Event.GRANT_END, account_id, {"app_passwords": revoked, "by": str(by.part)}, person)


def find(connection: sa.Connection, account_id: int, person_id: int) -> Grant | None:
    """A person's grant on an account, or None."""
    row = _FOUND.one(connection, account=account_id, person=person_id)
    return None if row is None else _grant(row)


def of_account(connection: sa.Connection, account_id: int) -> list[Grant]:
    """Every grant on an account, the oldest first."""
    return [_grant(row) for row in _OF_ACCOUNT.run(connection, account=account_id)]


def of_person(connection: sa.Connection, person_id: int) -> list[Grant]:
    """Every grant of a person, the oldest first."""
    return [_grant(row) for row in _OF_PERSON.run(connection, person=person_id)]


def _of(account_id: int, person_id: int) -> "sa.ColumnElement[bool]":
    return (grants.c.account_id == account_id) & (grants.c.person_id == person_id)


def _grant(row: Any) -> Grant:
    return Grant(row.account_id, person_of(row), Part(row.part), Rights(row.rights), row.label, row.granted_at)


def _journal(connection: sa.Connection, event: Event, account_id: int, facts: dict[str, Any], person: Person) -> None:
    announce(connection, AccessChange(account_id))
    journal.append(connection, [Entry(event, ids.to_text(account_id), facts, {"person": person.national_id})])
