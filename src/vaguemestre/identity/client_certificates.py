"""Client certificates bound to accounts: what software presents to enter an APP account (ECO.1.3.1).

Kept true: a binding names a certificate by its distinguished name, so that renewing it changes nothing, or by its digest
where exactly this one is meant; whether a certificate is good (chain, dates, revocation) is decided in the room of trust,
each time. A binding is gone once removed.

A personal account may be bound too, to a certificate that bears its holder's own number: the one way that spec clients §1
keeps open for software of shared practices to send from a nominative mailbox (va1.30). `bears` says whether one does.
"""

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import permissions
from vaguemestre.identity.permissions import Act, Actor
from vaguemestre.identity.standings import AccessChange
from vaguemestre.identity.tables import client_certificates
from vaguemestre.storage.database import announce, insert_or_ignore
from vaguemestre.trust.names import DistinguishedName


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate that was found good: its name and the SHA-256 of its DER, in hexadecimal."""

    name: DistinguishedName
    sha256: str


class StandingFailure(VaguemestreError):
    """Whether a certificate was revoked is unknown for now: nobody can be let in by it, nor turned away."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A certificate bound to an account; `sha256` is empty where any of that name will do; time in Unix milliseconds."""

    id: int
    account_id: int
    subject: str
    sha256: str
    added_at: int


class UnknownBindingError(VaguemestreError):
    """The account has no such certificate."""

    def __init__(self) -> None:
        super().__init__(
            "This certificate opens nothing here. List those that do: vaguemestre account certificate list ADDRESS",
            "Ce certificat n'ouvre rien ici. Listez ceux qui ouvrent : vaguemestre account certificate list ADRESSE",
        )


def bind(connection: sa.Connection, account_id: int, presented: Presented, exactly: bool, by: Actor) -> Binding:
    """Let a certificate open an account: any of its name, or `exactly` this one. Raises NotPermittedError."""
    permissions.refuse(by, Act.DEVICES)
    sha256 = presented.sha256 if exactly else ""
    row = {
        "id": ids.next_id(),
        "account_id": account_id,
        "name": presented.name.canonical,
        "sha256": sha256,
        "subject": str(presented.name),
        "added_at": now_ms(),
    }
    if connection.execute(insert_or_ignore(connection, client_certificates), row).rowcount:
        _journal(connection, Event.CLIENT_CERTIFICATE, account_id, str(presented.name), sha256, by)
    wanted = _named(account_id, presented) & (client_certificates.c.sha256 == sha256)
    return _binding(connection.execute(sa.select(client_certificates).where(wanted)).one())


def unbind(connection: sa.Connection, account_id: int, presented: Presented, by: Actor) -> list[Binding]:
    """Let a certificate open the account no longer, by its name nor by itself; the bindings that ended.

    Raises UnknownBindingError, NotPermittedError.
    """
    permissions.refuse(by, Act.DEVICES)
    ended = _matching(connection, account_id, presented)
    if not ended:
        raise UnknownBindingError
    announce(connection, AccessChange(account_id))
    for each in ended:
        connection.execute(sa.delete(client_certificates).where(client_certificates.c.id == each.id))
        _journal(connection, Event.CLIENT_CERTIFICATE_END, account_id, each.subject, each.sha256, by)
    return ended


def find(connection: sa.Connection, account_id: int, presented: Presented) -> Binding | None:
    """The binding by which a certificate opens an account, or None."""
    return next(iter(_matching(connection, account_id, presented)), None)


def of_account(connection: sa.Connection, account_id: int) -> list[Binding]:
    """Every binding of an account, the oldest first."""
    wanted = sa.select(client_certificates).where(client_certificates.c.account_id == account_id)
    return [_binding(row) for row in connection.execute(wanted.order_by(client_certificates.c.id))]


def bears(name: DistinguishedName, national_id: str) -> bool:
    """Whether an attribute of the name holds this person's number, with or without its register's digit (RPPS-rang)."""
    number = re.compile(rf"(?<![0-9]){re.escape(national_id[:1])}?{re.escape(national_id[1:])}(?![0-9])")
    return any(number.search(value) for rdn in name.relative_names for _, value in rdn)


def _matching(connection: sa.Connection, account_id: int, presented: Presented) -> list[Binding]:
    this_or_any = client_certificates.c.sha256.in_(("", presented.sha256))
    wanted = sa.select(client_certificates).where(_named(account_id, presented) & this_or_any)
    return [_binding(row) for row in connection.execute(wanted.order_by(client_certificates.c.id))]


def _named(account_id: int, presented: Presented) -> "sa.ColumnElement[bool]":
    named = client_certificates.c.name == presented.name.canonical
    return (client_certificates.c.account_id == account_id) & named


def _binding(row: Any) -> Binding:
    return Binding(row.id, row.account_id, row.subject, row.sha256, row.added_at)


def _journal(connection: sa.Connection, event: Event, account_id: int, subject: str, sha256: str, by: Actor) -> None:
    facts = {"sha256": sha256, "by": str(by.part)}
    journal.append(connection, [Entry(event, ids.to_text(account_id), facts, {"certificate": subject})])
