"""What still stands of the ways into some accounts, in one look: for sessions, which end when it no longer does.

Kept true: whoever revoked, in whichever process, the next look shows it. Looking costs the same few statements for one
session and for a thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import permissions, sessions
from vaguemestre.identity.model import Rights
from vaguemestre.identity.permissions import Act, Actor, Part
from vaguemestre.identity.tables import grants, sign_outs
from vaguemestre.storage.bulk import BulkSelect
from vaguemestre.storage.database import announce

_GRANTS = BulkSelect("SELECT account_id, person_id, part, rights FROM grants WHERE account_id IN {keys}")
_APP_PASSWORDS = BulkSelect("SELECT id FROM app_passwords WHERE account_id IN {keys}")
_CERTIFICATES = BulkSelect("SELECT id FROM client_certificates WHERE account_id IN {keys}")
_SIGN_OUTS = BulkSelect("SELECT account_id, before FROM sign_outs WHERE account_id IN {keys}")


class AccessChange(msgspec.Struct, frozen=True, tag=True):
    """Announced when somebody may enter an account no longer, or otherwise: its sessions are to be looked at."""

    account_id: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Grants by account and person, numbers of secrets that stand, and below which number sessions were signed out."""

    grants: dict[tuple[int, int], tuple[Part, Rights]]
    app_passwords: frozenset[int]
    certificates: frozenset[int]
    signed_out: dict[int, int]


def look(connection: sa.Connection, account_ids: Sequence[int]) -> Standing:
    """What stands for these accounts."""
    return Standing(
        {(row[0], row[1]): (Part(row[2]), Rights(row[3])) for row in _GRANTS.run(connection, account_ids)},
        frozenset(row[0] for row in _APP_PASSWORDS.run(connection, account_ids)),
        frozenset(row[0] for row in _CERTIFICATES.run(connection, account_ids)),
        dict(tuple(row) for row in _SIGN_OUTS.run(connection, account_ids)),
    )


def sign_out(connection: sa.Connection, account_id: int, by: Actor) -> None:
    """End every session of an account that has begun, in browsers those of all who may enter it too; they may sign in again.

    Raises NotPermittedError.
    """
    permissions.refuse(by, Act.STATE)
    connection.execute(sa.delete(sign_outs).where(sign_outs.c.account_id == account_id))
    connection.execute(sa.insert(sign_outs), {"account_id": account_id, "before": ids.next_id()})
    announce(connection, AccessChange(account_id))
    theirs = sa.select(grants.c.person_id).where(grants.c.account_id == account_id)
    for person_id in connection.execute(theirs).scalars().all():
        sessions.end_all(connection, person_id)
    journal.append(connection, [Entry(Event.SIGN_OUT, ids.to_text(account_id), {"by": str(by.part)})])
