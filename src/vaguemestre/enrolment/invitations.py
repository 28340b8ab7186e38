"""Staff who stand in no register, invited into a shared mailbox by whoever answers for it: a secretary, an assistant.

Kept true: an invitation is a secret of 256 bits in a link, here a digest; it is for one mailbox, with rights that were
chosen, serves once, within days, and dies when it is withdrawn or its author may no longer grant. Who takes it up becomes a
person known here under a number of our own, never one of a register's, and signs in by themselves from then on.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.enrolment.tables import invitations
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import grants, model, permissions, persons
from vaguemestre.identity.model import Person, Rights, rights_text
from vaguemestre.identity.permissions import Act, Actor, Part
from vaguemestre.mailstore.model import Account, AccountKind

LASTS_MS = 7 * 86_400_000
_MOST_OPEN = 50
LOCAL = "local/"


class InvitationError(VaguemestreError):
    """The invitation is not there: taken up, withdrawn, too old, or never made. All have the same words."""

    def __init__(self) -> None:
        super().__init__(
            "This invitation is no longer valid. Ask the person who invited you for another.",
            "Cette invitation n'est plus valable. Demandez-en une autre à la personne qui vous a invité.",
        )


class InvitingError(VaguemestreError):
    """Nobody can be invited so."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that may be taken up; times in Unix milliseconds."""

    id: int
    account_id: int
    name: str
    rights: Rights
    invited_by: int
    until: int


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation with its secret, to be shown once."""

    invitation: Invitation
    secret: str = field(repr=False)


def invite(connection: sa.Connection, account: Account, name: str, rights: Rights, by: Actor) -> NewInvitation:
    """Invite somebody by the name that colleagues will see. Raises NotPermittedError, InvitingError, LabelError."""
    permissions.refuse(by, Act.GRANT)
    if account.kind not in (AccountKind.CAB, AccountKind.ORG):
        raise InvitingError(
            "People are invited into a shared mailbox. A personal one is shared with professionals of the register.",
            "On invite dans une boîte partagée. Une boîte personnelle se partage avec des professionnels de l'annuaire.",
        )
    now = now_ms()
    if len(of_account(connection, account.id)) >= _MOST_OPEN:
        raise InvitingError(
            f"There are {_MOST_OPEN} open invitations already. Withdraw some.",
            f"Il y a déjà {_MOST_OPEN} invitations en attente. Retirez-en.",
        )
    secret = secrets.token_urlsafe(32)
    made = Invitation(ids.next_id(), account.id, model.label(name), rights, by.person_id, now + LASTS_MS)
    row = {
        "id": made.id,
        "account_id": account.id,
        "digest": _digest(secret),
        "name": made.name,
        "rights": int(rights),
        "invited_by": by.person_id,
        "invited_at": now,
        "until": made.until,
        "person_id": None,
    }
    connection.execute(sa.insert(invitations), row)
    _journal(connection, Event.INVITATION, made, {"rights": rights_text(rights), "by": str(by.part)})
    return NewInvitation(made, secret)


def find(connection: sa.Connection, secret: str) -> Invitation:
    """The invitation of a link. Raises InvitationError."""
    row = connection.execute(sa.select(invitations).where(invitations.c.digest == _digest(secret))).one_or_none()
    if row is None or row.person_id is not None or row.until < now_ms():
        raise InvitationError
    return _invitation(row)


def take_up(connection: sa.Connection, secret: str, name: str) -> Person:
    """Become a person of this operator, with the rights that were offered. Raises InvitationError, LabelError."""
    found = find(connection, secret)
    name = model.label(name)
    inviter = grants.find(connection, found.account_id, found.invited_by) if found.invited_by else None
    if found.invited_by and (inviter is None or not permissions.may(inviter.part, Act.GRANT, inviter.rights)):
        raise InvitationError
    person = persons.keep(connection, LOCAL + ids.to_text(ids.next_id()), name)
    taken = sa.update(invitations).where(invitations.c.id == found.id, invitations.c.person_id.is_(None))
    if not connection.execute(taken.values(person_id=person.id)).rowcount:
        raise InvitationError
    by = Actor(inviter.part if inviter is not None else Part.ADMINISTRATOR, found.invited_by)
    grants.give(connection, found.account_id, person, Part.DELEGATE, found.rights, found.name, by)
    _journal(connection, Event.INVITATION_END, found, {"why": "taken-up"}, person)
    return person


def withdraw(connection: sa.Connection, account_id: int, invitation_id: int, by: Actor) -> None:
    """Let an invitation serve no longer. Raises NotPermittedError, InvitationError."""
    permissions.refuse(by, Act.GRANT)
    theirs = (invitations.c.id == invitation_id) & (invitations.c.account_id == account_id)
    row = connection.execute(sa.select(invitations).where(theirs, invitations.c.person_id.is_(None))).one_or_none()
    if row is None:
        raise InvitationError
    connection.execute(sa.delete(invitations).where(theirs))
    _journal(connection, Event.INVITATION_END, _invitation(row), {"why": "withdrawn"})


def of_account(connection: sa.Connection, account_id: int) -> list[Invitation]:
    """The invitations of an account that may be taken up, the oldest first."""
    open_ = (invitations.c.account_id == account_id) & invitations.c.person_id.is_(None)
    wanted = sa.select(invitations).where(open_, invitations.c.until >= now_ms()).order_by(invitations.c.id)
    return [_invitation(row) for row in connection.execute(wanted)]


def _invitation(row: Any) -> Invitation:
    return Invitation(row.id, row.account_id, row.name, Rights(row.rights), row.invited_by, row.until)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"vaguemestre invitation\0" + secret.encode("utf-8", "surrogatepass")).digest()


def _journal(
    connection: sa.Connection, event: Event, of: Invitation, facts: dict[str, Any], person: Person | None = None
) -> None:
    personal = {"name": of.name} | ({"person": person.national_id} if person is not None else {})
    entry = Entry(event, ids.to_text(of.account_id), {"invitation": ids.to_text(of.id), **facts}, personal)
    journal.append(connection, [entry])
