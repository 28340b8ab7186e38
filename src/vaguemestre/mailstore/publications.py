"""What the directory is to be told of accounts: a durable to-do list, and what it was told: verbs on rows.

What it keeps true: an account that is opened, changed or closed is on the list from the transaction that does it, once
however often it changes; it leaves the list in the transaction that keeps what the directory said, and only if it has not
changed since it was read. So what kills the worker (`enrolment.publication`) loses nothing; and since what is sent is the
difference between what is wanted and what was told, nothing is told twice.

What is wanted of an account follows from its rows: an account that takes mail is shown at its own address (aliases are
not), under its holder, or under its structure; a closed one is not. Address and type never change (spec directory §4).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import grants
from vaguemestre.identity.permissions import Part
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.mailstore.tables import accounts, listings, publication_results, published, to_publish

_SHARED = (AccountKind.ORG, AccountKind.APP)


class Bearer(msgspec.Struct, frozen=True):
    """Who bears an address: a person by their IdNat_PS (8 + RPPS…), or a structure by its identifier."""

    person: str = ""
    structure: str = ""


class Facts(msgspec.Struct, frozen=True):
    """What may change of a published address."""

    service: str = ""
    description: str = ""
    responsible: str = ""
    red_list: bool = False


class Told(msgspec.Struct, frozen=True):
    """An address as the directory has it, or is to have it."""

    address: str
    kind: str
    bearer: Bearer
    facts: Facts


@dataclass(frozen=True, slots=True)
class Owed:
    """An account on the list: which change, and how often it was tried."""

    account_id: int
    change: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as it is: its address, what is wanted shown of it, what the directory has of it.

    `wanted` None: nothing; where it ought to be shown and nobody knows under whom, `bearerless` is true.
    """

    account_id: int
    address: str
    wanted: Told | None
    told: tuple[Told, ...]
    bearerless: bool = False


class Outcome(StrEnum):
    """How a telling went."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # not tried again until something changes, or once a day
    PUT_OFF = "put-off"  # tried again soon


class Operation(StrEnum):
    """What was told."""

    CREATE = "create"
    CHANGE = "change"
    WITHDRAW = "withdraw"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Result:
    """How one telling went; `rule` and the words say why where it was not accepted. Time in Unix milliseconds."""

    batch: int
    account_id: int
    address: str
    operation: Operation
    outcome: Outcome
    rule: str = ""
    en: str = ""
    fr: str = ""
    at: int = 0


_decode = msgspec.json.Decoder(Told).decode
_encode = msgspec.json.Encoder().encode


def owe(connection: sa.Connection, account_ids: Iterable[int], doubted: bool = False) -> None:
    """Have the directory told of accounts. Part of the transaction that changes them.

    `doubted`: it may have other facts than those we noted; as where a telling's end is not known, it is asked first.
    """
    for account_id in account_ids:
        mine = to_publish.c.account_id == account_id
        tried = connection.execute(sa.select(to_publish.c.attempts).where(mine)).scalar() or int(doubted)
        connection.execute(sa.delete(to_publish).where(mine))
        row = {"account_id": account_id, "change": ids.next_id(), "attempts": min(tried, 1), "due_at": 0, "rule": ""}
        connection.execute(sa.insert(to_publish), row)


def describe(connection: sa.Connection, account_id: int, **changes: str | bool) -> tuple[str, Facts]:
    """Change what the directory is to say: structure, service, description, responsible, red_list; what `listing` says now."""
    known = connection.execute(sa.select(listings).where(listings.c.account_id == account_id)).one_or_none()
    if known is None:
        connection.execute(sa.insert(listings), {"account_id": account_id, **changes})
    elif changes:
        connection.execute(sa.update(listings).where(listings.c.account_id == account_id).values(changes))
    owe(connection, [account_id])
    facts = {"change": "listing", **{name: value for name, value in changes.items() if name == "red_list"}}
    journal.append(connection, [Entry(Event.ACCOUNT_CHANGE, ids.to_text(account_id), facts)])
    return listing(connection, account_id)


def due(connection: sa.Connection, now: int, limit: int) -> list[Owed]:
    """Accounts of which the directory is to be told now, those that wait longest first."""
    wanted = (
        sa.select(to_publish).where(to_publish.c.due_at <= now).order_by(to_publish.c.due_at, to_publish.c.account_id)
    )
    return [Owed(row.account_id, row.change, row.attempts) for row in connection.execute(wanted.limit(limit))]


def claim(connection: sa.Connection, owed: Owed, now: int, until: int) -> bool:
    """Take one for this process, until a moment; false where another has, or it changed."""
    wanted = (to_publish.c.account_id == owed.account_id) & (to_publish.c.change == owed.change)
    taken = sa.update(to_publish).where(wanted & (to_publish.c.due_at <= now))
    values = {"attempts": to_publish.c.attempts + 1, "due_at": until}
    return bool(connection.execute(taken.values(values)).rowcount)


def standing(connection: sa.Connection, account_id: int) -> Standing:
    """An account as it is now. An account that is no more wants nothing."""
    rows = connection.execute(sa.select(published.c.facts).where(published.c.account_id == account_id)).scalars()
    told = tuple(_decode(row) for row in rows)
    account = connection.execute(sa.select(accounts).where(accounts.c.id == account_id)).one_or_none()
    if account is None or account.state == AccountState.CLOSED:
        address = account.address if account is not None else told[0].address if told else ""
        return Standing(account_id, address, None, told)
    structure, facts = listing(connection, account_id)
    bearer = Bearer(structure=structure)
    if account.kind not in _SHARED:
        bearer = Bearer(person=_holder(connection, account_id))
        # What is said of a person's own address is little; of a practice's, what it is (spec directory §4).
        described = facts.description if account.kind == AccountKind.CAB else ""
        facts = Facts(description=described, red_list=facts.red_list)
    if bearer == Bearer():
        return Standing(account_id, account.address, None, told, bearerless=True)
    return Standing(account_id, account.address, Told(account.address, account.kind, bearer, facts), told)


def shown(connection: sa.Connection, account_id: int, told: Told) -> None:
    """The directory has this now."""
    connection.execute(sa.delete(published).where(published.c.address == told.address))
    row = {"address": told.address, "account_id": account_id, "facts": _encode(told), "at": now_ms()}
    connection.execute(sa.insert(published), row)


def hidden(connection: sa.Connection, account_id: int) -> None:
    """The directory has nothing of this account any more."""
    connection.execute(sa.delete(published).where(published.c.account_id == account_id))


def settle(connection: sa.Connection, owed: Owed) -> None:
    """The directory was told; an account that changed since stays on the list."""
    wanted = (to_publish.c.account_id == owed.account_id) & (to_publish.c.change == owed.change)
    connection.execute(sa.delete(to_publish).where(wanted))


def put_off(connection: sa.Connection, owed: Owed, until: int, rule: str = "") -> None:
    """Try again at a moment; `rule` says why it was refused, where it was."""
    wanted = (to_publish.c.account_id == owed.account_id) & (to_publish.c.change == owed.change)
    connection.execute(sa.update(to_publish).where(wanted).values(due_at=until, rule=rule))


def keep(connection: sa.Connection, result: Result) -> None:
    """Keep how a telling went, and journal it."""
    at = now_ms()
    row = {
        "id": ids.next_id(),
        "batch": result.batch,
        "account_id": result.account_id,
        "address": result.address,
        "operation": str(result.operation),
        "outcome": str(result.outcome),
        "rule": result.rule,
        "en": result.en,
        "fr": result.fr,
        "at": at,
    }
    connection.execute(sa.insert(publication_results), row)
    if result.outcome is Outcome.PUT_OFF:
        return
    accepted = result.outcome is Outcome.ACCEPTED
    event = Event.PUBLICATION if accepted else Event.PUBLICATION_REFUSAL
    facts = {"operation": str(result.operation), **({} if accepted else {"rule": result.rule})}
    subject = ids.to_text(result.account_id) if result.account_id else ""
    journal.append(connection, [Entry(event, subject, facts, {"address": result.address})])


def results(connection: sa.Connection, batch: int | None = None, limit: int = 1000) -> list[Result]:
    """How tellings went, of a batch or the latest of all, the last first."""
    wanted = sa.select(publication_results).order_by(publication_results.c.id.desc()).limit(limit)
    if batch is not None:
        wanted = wanted.where(publication_results.c.batch == batch)
    return [_result(row) for row in connection.execute(wanted)]


def waiting(connection: sa.Connection) -> list[tuple[str, Owed, int, str]]:
    """What is on the list: the account's address, what is owed, when it is due, why it was refused if it was."""
    rows = connection.execute(
        sa.select(accounts.c.address, to_publish)
        .join_from(to_publish, accounts, accounts.c.id == to_publish.c.account_id)
        .order_by(to_publish.c.due_at)
    )
    return [(row.address, Owed(row.account_id, row.change, row.attempts), row.due_at, row.rule) for row in rows]


def standings(connection: sa.Connection, after: int, limit: int) -> list[Standing]:
    """Accounts as they are, some after another, those on the list left out."""
    listed = sa.select(to_publish.c.account_id)
    wanted = sa.select(accounts.c.id).where(accounts.c.id > after, accounts.c.id.not_in(listed))
    numbers: Sequence[int] = connection.execute(wanted.order_by(accounts.c.id).limit(limit)).scalars().all()
    return [standing(connection, number) for number in numbers]


def addresses(connection: sa.Connection) -> dict[str, int]:
    """Every address that is to be shown or waits to be withdrawn here, in lower case, with its account."""
    rows = connection.execute(sa.select(accounts.c.address, accounts.c.id))
    return {row.address.lower(): row.id for row in rows}


def forget(connection: sa.Connection, before: int) -> int:
    """Forget how tellings before a moment went; how many."""
    return connection.execute(sa.delete(publication_results).where(publication_results.c.at < before)).rowcount


def listing(connection: sa.Connection, account_id: int) -> tuple[str, Facts]:
    """What the directory is to say of an account: the structure that bears its address, and facts."""
    row = connection.execute(sa.select(listings).where(listings.c.account_id == account_id)).one_or_none()
    if row is None:
        return "", Facts()
    return row.structure, Facts(row.service, row.description, row.responsible, bool(row.red_list))


def _holder(connection: sa.Connection, account_id: int) -> str:
    """The first holder who is in a national register: staff who are in none have no place in the directory."""
    held = (each for each in grants.of_account(connection, account_id) if each.part is Part.HOLDER)
    return next((each.person.national_id for each in held if each.person.national_id[:1].isdigit()), "")


def _result(row: Any) -> Result:
    return Result(
        row.batch,
        row.account_id,
        row.address,
        Operation(row.operation),
        Outcome(row.outcome),
        row.rule,
        row.en,
        row.fr,
        row.at,
    )
