"""Who an account is for: its holders and delegates, their devices, the certificates of software; by its address.

Kept true: a PER account has one holder at most; an APP account has no persons, only certificates; a device is always some
person's who has a grant; a certificate opens an APP account, or a PER one whose holder's number it bears.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre.errors import VaguemestreError
from vaguemestre.identity import app_passwords, client_certificates, grants, persons, standings, traces
from vaguemestre.identity.app_passwords import AppPassword, NewAppPassword
from vaguemestre.identity.client_certificates import Binding, Presented
from vaguemestre.identity.grants import Grant, NoGrantError
from vaguemestre.identity.model import ALL_RIGHTS, Person, Rights
from vaguemestre.identity.permissions import Actor, Part
from vaguemestre.identity.traces import Trace
from vaguemestre.mailstore import accounts, publications
from vaguemestre.mailstore.model import Account, AccountKind
from vaguemestre.mailstore.tables import accounts as account_rows


class HolderError(VaguemestreError):
    """The account is another's, or has no holder where one is needed."""


class SharingKindError(VaguemestreError):
    """What is asked does not go with the kind of the account."""


def bind_holder(connection: sa.Connection, address: str, national_id: str, name: str, by: Actor) -> Grant:
    """Make a person a holder of an account. Raises UnknownAccountError, HolderError, SharingKindError, NotPermittedError."""
    account = _of_persons(connection, address)
    others = [each for each in _holders(connection, account) if each.person.national_id != national_id]
    if account.kind is AccountKind.PER and others:
        raise HolderError(
            f"{account.address} is the mailbox of {others[0].person.name}. A personal mailbox has one holder.",
            f"{account.address} est la boîte de {others[0].person.name}. Une boîte personnelle a un seul titulaire.",
        )
    person = persons.keep(connection, national_id, name)
    publications.owe(connection, [account.id])
    return grants.give(connection, account.id, person, Part.HOLDER, ALL_RIGHTS, "", by)


def grant(
    connection: sa.Connection,
    address: str,
    national_id: str,
    name: str,
    rights: Rights,
    by: Actor,
    *,
    label: str = "",
    part: Part = Part.DELEGATE,
) -> Grant:
    """Let a person into another's or a shared account; as a delegate, as one who decides who else comes
    in (responsible), or as one who sees who did what there and no mail (auditor).

    Raises UnknownAccountError, HolderError, SharingKindError, NotPermittedError.
    """
    account = _of_persons(connection, address)
    if any(each.person.national_id == national_id for each in _holders(connection, account)):
        raise HolderError(
            "This person holds the mailbox, with every right. End that first: vaguemestre account ungrant ADDRESS",
            "Cette personne est titulaire de la boîte, avec tous les droits. Mettez-y fin d'abord : "
            "vaguemestre account ungrant ADRESSE",
        )
    if part is Part.RESPONSIBLE and account.kind is AccountKind.PER:
        raise SharingKindError(
            "A personal mailbox has its holder to answer for it, and no one else.",
            "Une boîte personnelle n'a pas d'autre responsable que son titulaire.",
        )
    person = persons.keep(connection, national_id, name)
    return grants.give(connection, account.id, person, part, rights, label, by)


def end_grant(connection: sa.Connection, address: str, national_id: str, by: Actor) -> None:
    """Let a person in no longer. Raises UnknownAccountError, UnknownPersonError, NoGrantError, NotPermittedError."""
    account = accounts.get(connection, address)
    grants.end(connection, account.id, persons.get(connection, national_id), by)
    publications.owe(connection, [account.id])


def holders(connection: sa.Connection, address: str) -> list[Grant]:
    """Everybody who may enter an account. Raises UnknownAccountError."""
    return grants.of_account(connection, accounts.get(connection, address).id)


def add_app_password(
    connection: sa.Connection, address: str, national_id: str, label: str, by: Actor
) -> NewAppPassword:
    """Make the secret of a person's device; without `national_id`, of a personal account's holder.

    Raises UnknownAccountError, UnknownPersonError, NoGrantError, HolderError, SharingKindError, LabelError,
    TooManyAppPasswordsError, NotPermittedError.
    """
    account = _of_persons(connection, address)
    person = _whose(connection, account, national_id)
    if grants.find(connection, account.id, person.id) is None:
        raise NoGrantError
    return app_passwords.make(connection, account.id, person, label, by)


def revoke_app_password(
    connection: sa.Connection, address: str, national_id: str, label: str, by: Actor
) -> AppPassword:
    """Revoke a device's secret, as `add_app_password` names it. Raises UnknownAppPasswordError besides the same."""
    account = _of_persons(connection, address)
    return app_passwords.revoke(connection, account.id, _whose(connection, account, national_id), label, by)


def devices(connection: sa.Connection, address: str) -> list[AppPassword]:
    """Every app password of an account. Raises UnknownAccountError."""
    return app_passwords.of_account(connection, accounts.get(connection, address).id)


def add_certificate(
    connection: sa.Connection, address: str, presented: Presented, by: Actor, *, exactly: bool = False
) -> Binding:
    """Let a certificate open an account. Raises UnknownAccountError, SharingKindError, NotPermittedError."""
    account = accounts.get(connection, address)
    held = _holders(connection, account)
    its_holders = any(client_certificates.bears(presented.name, each.person.national_id) for each in held)
    if account.kind is not AccountKind.APP and not (account.kind is AccountKind.PER and its_holders):
        raise SharingKindError(
            "A certificate opens an APP mailbox, or the personal one of the holder whose number it bears.",
            "Un certificat ouvre une boîte APP, ou la boîte personnelle du titulaire dont il porte le numéro.",
        )
    return client_certificates.bind(connection, account.id, presented, exactly, by)


def remove_certificate(connection: sa.Connection, address: str, presented: Presented, by: Actor) -> list[Binding]:
    """Let a certificate open an account no longer. Raises UnknownAccountError, UnknownBindingError, NotPermittedError."""
    return client_certificates.unbind(connection, accounts.get(connection, address).id, presented, by)


def certificates(connection: sa.Connection, address: str) -> list[Binding]:
    """Every certificate that opens an account. Raises UnknownAccountError."""
    return client_certificates.of_account(connection, accounts.get(connection, address).id)


def sign_out(connection: sa.Connection, address: str, by: Actor) -> None:
    """End every session of an account. Raises UnknownAccountError, NotPermittedError."""
    standings.sign_out(connection, accounts.get(connection, address).id, by)


def traces_of(connection: sa.Connection, address: str, since: int, until: int | None, limit: int) -> Sequence[Trace]:
    """The last traces of an account between two moments (Unix ms). Raises UnknownAccountError."""
    account = accounts.get(connection, address)
    return traces.of_account(connection, account.id, since=since, until=until, limit=limit)


def _of_persons(connection: sa.Connection, address: str) -> Account:
    """The account, locked against another process that changes its holders. Raises UnknownAccountError, SharingKindError."""
    account = accounts.get(connection, address)
    if account.kind is AccountKind.APP:
        raise SharingKindError(
            "An APP mailbox is a machine's: it opens to a certificate. vaguemestre account certificate add ADDRESS",
            "Une boîte APP est celle d'une machine : un certificat l'ouvre. vaguemestre account certificate add ADRESSE",
        )
    connection.execute(sa.select(account_rows.c.id).where(account_rows.c.id == account.id).with_for_update())
    return account


def _holders(connection: sa.Connection, account: Account) -> list[Grant]:
    return [each for each in grants.of_account(connection, account.id) if each.part is Part.HOLDER]


def _whose(connection: sa.Connection, account: Account, national_id: str) -> Person:
    if national_id:
        return persons.get(connection, national_id)
    held = _holders(connection, account)
    if account.kind is not AccountKind.PER:
        raise HolderError(
            "A shared mailbox has a password a person and device: say whose, with --rpps.",
            "Une boîte partagée a un mot de passe par personne et par appareil : dites à qui, avec --rpps.",
        )
    if not held:
        raise HolderError(
            "This mailbox has no holder yet: vaguemestre account holder ADDRESS --rpps NUMBER --name NAME",
            "Cette boîte n'a pas encore de titulaire : vaguemestre account holder ADRESSE --rpps NUMÉRO --name NOM",
        )
    return held[0].person
