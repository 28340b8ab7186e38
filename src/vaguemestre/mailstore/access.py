"""Who may enter which account, and as whom: the one place where a proven identity becomes access to mail.

Kept true: a PER account opens to its holder, shared ones (ORG, CAB) and PER to those they granted it to, an APP account to
the certificate bound to it and to nothing else; an account that is suspended or closed opens to nobody. A refusal says its
reason to the journal only, and costs the same look-ups whether the account, the secret or the grant was missing.

What may be sent: an account's own addresses, with the right to send; a holder in their own account also sends as the
accounts that gave them this right, so that one mail program serves them all. It is not so the other way round: the app
password of a shared computer never opens a person's own address.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa

from vaguemestre.errors import VaguemestreError
from vaguemestre.identity import app_passwords, client_certificates, grants, permissions, persons, standings
from vaguemestre.identity.client_certificates import Presented
from vaguemestre.identity.grants import Grant
from vaguemestre.identity.model import ALL_RIGHTS, Means, Person, RefusedIdentityError, Rights
from vaguemestre.identity.permissions import Act, Part
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import Account, AccountKind, AccountState, UnknownAccountError
from vaguemestre.mailstore.tables import accounts as account_rows
from vaguemestre.storage.bulk import BulkSelect, Statement

_SETTINGS = BulkSelect("SELECT id, state, own_reading FROM accounts WHERE id IN {keys}")

_ADDRESSES = Statement(
    "SELECT accounts.id, addresses.address FROM addresses JOIN accounts ON addresses.account_id = accounts.id"
    " WHERE accounts.id {among} AND accounts.state = {value}"
    " ORDER BY addresses.address <> accounts.address, addresses.address"
)


@dataclass(frozen=True, slots=True)
class Access:
    """An account that somebody entered. `person` is None for software; `addresses`: what may be sent as, own first.

    `secret_id` is the app password's or the certificate binding's number, 0 for a token; `session` numbers the sign-in, in
    the journal and in traces; `chain` is the certificate by which software entered.
    """

    account: Account
    person: Person | None
    rights: Rights
    own_reading: bool
    means: Means
    addresses: tuple[str, ...]
    part: Part
    secret_id: int = 0
    session: int = 0
    protocol: str = ""
    chain: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def reader(self) -> int:
        """Whose read state the mail has here: the person's number where each has their own, else 0."""
        return self.person.id if self.own_reading and self.person is not None else 0

    def may(self, act: Act) -> bool:
        """Whether this may be done in the account."""
        return permissions.may(self.part, act, self.rights)

    def may_send_as(self, address: str) -> bool:
        """Whether an address, in any case, may be written from and sent from."""
        return address.lower() in self.addresses


class AccessRefusedError(RefusedIdentityError):
    """Nobody enters so. `account` is the one that was meant, `national_id` whoever proved to be asking, where known."""

    def __init__(self, rule: str, account: Account | None = None, national_id: str = "") -> None:
        super().__init__(rule)
        self.account = account
        self.national_id = national_id


class Ending(StrEnum):
    """Why a session ends by itself."""

    SUSPENDED = "account-suspended"
    CLOSED = "account-closed"
    GRANT = "grant-ended"
    RIGHTS = "rights-changed"
    SETTINGS = "settings-changed"
    APP_PASSWORD = "app-password-revoked"  # noqa: S105 - a word, no secret
    CERTIFICATE = "certificate-removed"
    CERTIFICATE_BAD = "certificate-refused"
    SIGN_OUT = "signed-out"


_ENDING_WORDS: dict[str, tuple[str, str]] = {
    Ending.SUSPENDED: ("The mailbox was suspended.", "La boîte a été suspendue."),
    Ending.CLOSED: ("The mailbox was closed.", "La boîte a été fermée."),
    Ending.GRANT: ("Your access to the mailbox was ended.", "Votre accès à la boîte a pris fin."),
    Ending.RIGHTS: ("Your rights have changed: sign in again.", "Vos droits ont changé : reconnectez-vous."),
    Ending.SETTINGS: (
        "The mailbox's settings have changed: sign in again.",
        "Les réglages de la boîte ont changé : reconnectez-vous.",
    ),
    Ending.APP_PASSWORD: ("This app password was revoked.", "Ce mot de passe d'application a été révoqué."),
    Ending.CERTIFICATE: ("This certificate opens nothing any more.", "Ce certificat n'ouvre plus rien."),
    Ending.CERTIFICATE_BAD: ("This certificate is no longer good.", "Ce certificat n'est plus valable."),
    Ending.SIGN_OUT: (
        "Your operator ended the session: sign in again.",
        "Session close par l'opérateur : reconnectez-vous.",
    ),
}


class SessionEndedError(VaguemestreError):
    """A session may not go on; `rule` is an Ending."""

    def __init__(self, rule: str) -> None:
        super().__init__(*_ENDING_WORDS[rule])
        self.rule = rule


def with_token(connection: sa.Connection, address: str, national_id: str) -> Access:
    """Let the person of a verified token in; an empty address means the one PER account they hold.

    Raises AccessRefusedError.
    """
    person = persons.find(connection, national_id)
    account = _account(connection, address or _own(connection, person))
    grant = grants.find(connection, account.id if account else 0, person.id if person else 0)
    if grant is None:
        raise AccessRefusedError("unknown-account" if account is None else "no-grant", account, national_id)
    return _admitted(connection, account, grant, Means.TOKEN)


def with_secret(connection: sa.Connection, address: str, secret: str, presented: Presented | None = None) -> Access:
    """Let in who knows an app password, or software by the good certificate it presented, where one is bound.

    Raises AccessRefusedError.
    """
    account = _account(connection, address)
    account_id = account.id if account else 0
    binding = client_certificates.find(connection, account_id, presented) if presented else None
    password = app_passwords.find(connection, account_id, secret)
    grant = grants.find(connection, account_id, password.person.id if password else 0)
    if account is not None and presented is not None and binding is not None:
        return _with_certificate(connection, account, presented, binding.id)
    if account is not None and account.kind is AccountKind.APP:
        raise AccessRefusedError("certificate-needed" if presented is None else "certificate-not-bound", account)
    if account is None or password is None or grant is None:
        raise AccessRefusedError("unknown-account" if account is None else "bad-secret", account)
    return _admitted(connection, account, grant, Means.APP_PASSWORD, password.id)


def endings(connection: sa.Connection, accesses: Sequence[Access]) -> list[str]:
    """Why each of these may not go on: an Ending, or an empty text for those that may."""
    account_ids = sorted({access.account.id for access in accesses})
    settings = {row[0]: (AccountState(row[1]), bool(row[2])) for row in _SETTINGS.run(connection, account_ids)}
    standing = standings.look(connection, account_ids)
    return [_ending(access, settings.get(access.account.id), standing) for access in accesses]


def _ending(access: Access, settings: tuple[AccountState, bool] | None, standing: standings.Standing) -> str:
    state, own_reading = settings or (AccountState.CLOSED, False)
    account_id = access.account.id
    if state is not AccountState.ACTIVE:
        return Ending.SUSPENDED if state is AccountState.SUSPENDED else Ending.CLOSED
    if access.session < standing.signed_out.get(account_id, 0):
        return Ending.SIGN_OUT
    if access.person is not None:
        if own_reading is not access.own_reading:
            return Ending.SETTINGS
        grant = standing.grants.get((account_id, access.person.id))
        if grant is None:
            return Ending.GRANT
        if grant != (access.part, access.rights):
            return Ending.RIGHTS
    if access.means is Means.APP_PASSWORD and access.secret_id not in standing.app_passwords:
        return Ending.APP_PASSWORD
    if access.means is Means.CERTIFICATE and access.secret_id not in standing.certificates:
        return Ending.CERTIFICATE
    return ""


def _with_certificate(connection: sa.Connection, account: Account, presented: Presented, binding_id: int) -> Access:
    if account.kind is AccountKind.APP:
        _refuse_state(account)
        addresses = _addresses(connection, [account.id])
        return Access(account, None, ALL_RIGHTS, False, Means.CERTIFICATE, addresses, Part.SOFTWARE, binding_id)
    held = [each for each in grants.of_account(connection, account.id) if each.part is Part.HOLDER]
    if account.kind is not AccountKind.PER or not held:
        raise AccessRefusedError("certificate-unsuitable", account)
    holder = held[0]
    if not client_certificates.bears(presented.name, holder.person.national_id):  # the holder may have changed since
        raise AccessRefusedError("certificate-of-another", account, holder.person.national_id)
    return _admitted(connection, account, holder, Means.CERTIFICATE, binding_id)


def _admitted(
    connection: sa.Connection, account: Account | None, grant: Grant, means: Means, secret_id: int = 0
) -> Access:
    if account is None or account.kind is AccountKind.APP:
        raise AccessRefusedError("certificate-needed", account, grant.person.national_id)
    _refuse_state(account, grant.person.national_id)
    sending = [account.id] if Rights.SEND in grant.rights else []
    if account.kind is AccountKind.PER and grant.part is Part.HOLDER:
        others = grants.of_person(connection, grant.person.id)
        sending += [each.account_id for each in others if Rights.SEND in each.rights and each.account_id != account.id]
    addresses = _addresses(connection, sending)
    return Access(account, grant.person, grant.rights, account.own_reading, means, addresses, grant.part, secret_id)


def _refuse_state(account: Account, national_id: str = "") -> None:
    if account.state is not AccountState.ACTIVE:
        raise AccessRefusedError(f"account-{account.state}", account, national_id)


def _addresses(connection: sa.Connection, account_ids: Sequence[int]) -> tuple[str, ...]:
    """The addresses of active accounts, account by account in the order given, each account's own first."""
    rows = _ADDRESSES.run(connection, list(account_ids), str(AccountState.ACTIVE))
    return tuple(address for account_id in account_ids for its, address in rows if its == account_id)


def _account(connection: sa.Connection, address: str) -> Account | None:
    try:
        return accounts.get(connection, address)
    except UnknownAccountError:
        return None


def _own(connection: sa.Connection, person: Person | None) -> str:
    """The address of the one PER account that a person holds, else an empty text, which is nobody's."""
    wanted = (
        sa.select(account_rows.c.address)
        .where(account_rows.c.id.in_(_held(connection, person)), account_rows.c.kind == str(AccountKind.PER))
        .limit(2)
    )
    found = connection.execute(wanted).scalars().all()
    return found[0] if len(found) == 1 else ""


def _held(connection: sa.Connection, person: Person | None) -> list[int]:
    if person is None:
        return []
    return [each.account_id for each in grants.of_person(connection, person.id) if each.part is Part.HOLDER]
