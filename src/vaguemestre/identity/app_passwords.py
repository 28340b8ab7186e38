"""App passwords: one a device, for programs that know nothing of tokens.

Kept true: a secret is made here and never chosen, shown once and kept only as a digest; it opens one account, for one
person; revoked, it is gone. Finding one does the same work whoever asks and whatever is found.

Why a plain digest and no slow hash: what makes Argon2 necessary is that people choose what can be guessed. A secret of 140
random bits cannot be, by whoever holds the digests either; NIST SP 800-63B §5.1.2.2 wants an approved one-way function for
secrets of 112 bits or more that a machine made, and salt and slowness for shorter ones. A slow hash would only let
strangers spend our processor: programs sign in at each connection, and so do those who guess. The account's number, which
is nobody else's, is hashed with the secret as its salt: digests of one account say nothing of another's.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import model, permissions
from vaguemestre.identity.model import LabelError, Person
from vaguemestre.identity.permissions import Act, Actor
from vaguemestre.identity.persons import person as person_of
from vaguemestre.identity.standings import AccessChange
from vaguemestre.identity.tables import app_passwords, persons
from vaguemestre.storage.bulk import Prepared
from vaguemestre.storage.database import announce

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that is read as a digit
_LENGTH = 28  # 140 bits
_GROUP = 4
_MOST = 50  # of one person on one account
_READ_AS = str.maketrans({"-": "", " ": "", "o": "0", "i": "1", "l": "1"})


_COLUMNS = (each for each in app_passwords.c if each.name not in ("digest", "person_id"))
_ROWS = sa.select(
    *(each.label(f"password_{each.name}") for each in _COLUMNS), persons.c.id, persons.c.national_id, persons.c.name
).join_from(app_passwords, persons, app_passwords.c.person_id == persons.c.id)
_FOUND = Prepared(
    _ROWS.where(app_passwords.c.account_id == sa.bindparam("account"), app_passwords.c.digest == sa.bindparam("secret"))
)


@dataclass(frozen=True, slots=True)
class AppPassword:
    """An app password without its secret; times in Unix milliseconds, `used_at` to the hour or so."""

    id: int
    account_id: int
    person: Person
    label: str
    created_at: int
    used_at: int | None


@dataclass(frozen=True, slots=True)
class NewAppPassword:
    """An app password with its secret, to be shown once."""

    password: AppPassword
    secret: str = field(repr=False)


class UnknownAppPasswordError(VaguemestreError):
    """The person has no app password of this label on the account."""

    def __init__(self, label: str) -> None:
        super().__init__(
            f"There is no app password “{label}”. List them: vaguemestre account password list ADDRESS",
            f"Il n'y a pas de mot de passe d'application « {label} ». Listez-les : "
            "vaguemestre account password list ADRESSE",
        )


class TooManyAppPasswordsError(VaguemestreError):
    """The person has as many app passwords on the account as may be."""

    def __init__(self) -> None:
        super().__init__(
            f"There are {_MOST} app passwords already. Revoke those of devices that are no longer used.",
            f"Il y a déjà {_MOST} mots de passe d'application. Révoquez ceux des appareils qui ne servent plus.",
        )


def make(connection: sa.Connection, account_id: int, person: Person, label: str, by: Actor) -> NewAppPassword:
    """Make a device's secret. Raises LabelError, TooManyAppPasswordsError, NotPermittedError."""
    permissions.refuse(by, Act.DEVICES, of=person.id)
    label = model.label(label)
    theirs = [each for each in of_account(connection, account_id) if each.person.id == person.id]
    if any(each.label == label for each in theirs):
        raise LabelError(
            f"There is an app password “{label}” already: revoke it, or choose another label.",
            f"Il y a déjà un mot de passe d'application « {label} » : révoquez-le, ou choisissez un autre libellé.",
        )
    if len(theirs) >= _MOST:
        raise TooManyAppPasswordsError
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    made = AppPassword(ids.next_id(), account_id, person, label, now_ms(), None)
    row = {
        "id": made.id,
        "account_id": account_id,
        "person_id": person.id,
        "label": label,
        "digest": _digest(account_id, secret),
        "created_at": made.created_at,
        "used_at": None,
    }
    connection.execute(sa.insert(app_passwords), row)
    _journal(connection, Event.APP_PASSWORD, made, by)
    return NewAppPassword(made, "-".join(secret[place : place + _GROUP] for place in range(0, _LENGTH, _GROUP)))


def find(connection: sa.Connection, account_id: int, secret: str) -> AppPassword | None:
    """The app password that this is, or None. `account_id` 0 stands for an account that is not: the same work is done.

    Hyphens, spaces and case do not matter, nor which of `o` and `0`, `i`, `l` and `1` was typed.
    """
    digest = _digest(account_id, secret.lower().translate(_READ_AS))
    row = _FOUND.one(connection, account=account_id, secret=digest)
    return None if row is None else _app_password(row)


def of_account(connection: sa.Connection, account_id: int) -> list[AppPassword]:
    """Every app password of an account, the oldest first."""
    wanted = _ROWS.where(_of(account_id)).order_by(app_passwords.c.id)
    return [_app_password(row) for row in connection.execute(wanted)]


def revoke(connection: sa.Connection, account_id: int, person: Person, label: str, by: Actor) -> AppPassword:
    """Let a device in no longer. Raises UnknownAppPasswordError, NotPermittedError."""
    permissions.refuse(by, Act.DEVICES, of=person.id)
    label = " ".join(label.split())
    theirs = (app_passwords.c.person_id == person.id) & (app_passwords.c.label == label)
    row = connection.execute(_ROWS.where(_of(account_id) & theirs)).one_or_none()
    if row is None:
        raise UnknownAppPasswordError(label)
    revoked = _app_password(row)
    connection.execute(sa.delete(app_passwords).where(app_passwords.c.id == revoked.id))
    announce(connection, AccessChange(account_id))
    _journal(connection, Event.APP_PASSWORD_END, revoked, by)
    return revoked


def note_use(connection: sa.Connection, used: Sequence[tuple[int, int]]) -> list[None]:
    """Remember when app passwords were last used: pairs of number and Unix milliseconds."""
    for password_id, at in used:
        connection.execute(sa.update(app_passwords).where(app_passwords.c.id == password_id).values(used_at=at))
    return [None] * len(used)


def _digest(account_id: int, secret: str) -> bytes:
    salted = b"vaguemestre app password\0" + account_id.to_bytes(8) + secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(salted).digest()


def _of(account_id: int) -> "sa.ColumnElement[bool]":
    return app_passwords.c.account_id == account_id


def _app_password(row: Any) -> AppPassword:
    return AppPassword(
        row.password_id,
        row.password_account_id,
        person_of(row),
        row.password_label,
        row.password_created_at,
        row.password_used_at,
    )


def _journal(connection: sa.Connection, event: Event, password: AppPassword, by: Actor) -> None:
    facts = {"app_password": ids.to_text(password.id), "by": str(by.part)}
    personal = {"person": password.person.national_id, "label": password.label}
    journal.append(connection, [Entry(event, ids.to_text(password.account_id), facts, personal)])
