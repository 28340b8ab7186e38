"""From a professional who proved who they are to their mailbox, in one transaction.

Kept true: no personal account without an identity that Pro Santé Connect proved and the register certifies; one a person on
this operator, and whoever asks for a second is told of the first; the address is of the person's own names, at the domain of
their profession; the terms they accepted are kept with the account; account, holder, rights, welcome and journal stand
together or not at all.

Flow: identity → `matching` → `offer` (what they may choose) → `enrol` (their choice).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.enrolment import proposal, tables
from vaguemestre.enrolment.matching import Match
from vaguemestre.enrolment.notices import Notices
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import grants, persons
from vaguemestre.identity.permissions import ADMINISTRATOR, Part
from vaguemestre.mailstore import accounts, publications, sharing
from vaguemestre.mailstore.model import Account, AccountKind, UnknownAccountError


class NotServedError(VaguemestreError):
    """This operator has no domain for the person's professions."""

    def __init__(self, profession: str) -> None:
        super().__init__(
            f"This operator does not serve your profession ({profession}). Your Order or another operator does.",
            f"Cet opérateur ne sert pas votre profession ({profession}). Votre Ordre ou un autre opérateur le fait.",
        )


class AlreadyEnrolledError(VaguemestreError):
    """The person holds a personal mailbox here already."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"You have a mailbox here already: {address}. Sign in to open it.",
            f"Vous avez déjà une boîte ici : {address}. Connectez-vous pour l'ouvrir.",
        )
        self.address = address


class ChoiceError(VaguemestreError):
    """What was chosen cannot be had: terms not accepted, or an address that is not the person's to choose."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator offers: domains by profession (TRE_G15 code, `*` for any), and the terms in force, by version."""

    domains: Mapping[str, str]
    terms: str
    quota: int = accounts.DEFAULT_QUOTA


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody may choose: free addresses, best first. `elsewhere`: addresses they have at other operators."""

    addresses: tuple[str, ...]
    elsewhere: tuple[str, ...]
    terms: str


def offer(connection: sa.Connection, match: Match, rules: Rules) -> Offer:
    """What a person of the register may choose (`connection` reads the operator's store).

    Raises NotServedError, AlreadyEnrolledError.
    """
    domain = _domain(match, rules)
    _refuse_second(connection, match)
    person = match.known.practitioner
    free = proposal.propose(person.given, person.family, domain, lambda address: _taken(connection, address))
    elsewhere = tuple(dict.fromkeys(each.address for each in match.known.addresses))
    return Offer(tuple(free), elsewhere, rules.terms)


def enrol(
    connection: sa.Connection,
    match: Match,
    rules: Rules,
    notices: Notices,
    *,
    address: str,
    terms: str,
    red_list: bool = False,
) -> Account:
    """Open the mailbox that was chosen. Raises NotServedError, AlreadyEnrolledError, ChoiceError, AddressTakenError."""
    domain = _domain(match, rules)
    _refuse_second(connection, match)
    who = match.known.practitioner
    if terms != rules.terms:
        raise ChoiceError(
            "Accept the terms of use in force to open the mailbox.",
            "Acceptez les conditions d'utilisation en vigueur pour ouvrir la boîte.",
        )
    if not proposal.belongs(address, who.given, who.family, domain):
        raise ChoiceError(
            f"{address} is not made of your own names at {domain}. Choose one of the addresses offered.",
            f"{address} n'est pas formée de vos nom et prénom à {domain}. Choisissez parmi les adresses proposées.",
        )
    account = accounts.create(connection, AccountKind.PER, address, match.name, quota=rules.quota)
    sharing.bind_holder(connection, account.address, who.national_id, match.name, ADMINISTRATOR)
    publications.describe(connection, account.id, red_list=red_list)
    person = persons.get(connection, who.national_id)
    row = {
        "account_id": account.id,
        "person_id": person.id,
        "profession": who.profession,
        "terms": terms,
        "red_list": red_list,
        "enrolled_at": now_ms(),
    }
    connection.execute(sa.insert(tables.enrolments), row)
    facts = {"profession": who.profession, "terms": terms, "red_list": red_list}
    entry = Entry(Event.ENROLMENT, ids.to_text(account.id), facts, {"person": who.national_id})
    journal.append(connection, [entry])
    notices.welcome(connection, account)
    return account


def personal_account(connection: sa.Connection, national_id: str) -> Account | None:
    """The personal mailbox that a person holds here, closed ones too, or None."""
    person = persons.find(connection, national_id)
    if person is None:
        return None
    held = (each.account_id for each in grants.of_person(connection, person.id) if each.part is Part.HOLDER)
    found = (accounts.numbered(connection, account_id) for account_id in held)
    return next((account for account in found if account.kind is AccountKind.PER), None)


def _domain(match: Match, rules: Rules) -> str:
    domain = proposal.domain_for(match.known.professions, rules.domains)
    if not domain:
        raise NotServedError(match.profession)
    return domain


def _refuse_second(connection: sa.Connection, match: Match) -> None:
    held = personal_account(connection, match.known.practitioner.national_id)
    if held is not None:
        raise AlreadyEnrolledError(held.address)


def _taken(connection: sa.Connection, address: str) -> bool:
    try:
        accounts.get(connection, address)
    except UnknownAccountError:
        return False
    return True
