"""A mailbox's life after its opening: suspended, reopened, closed, handed on; and what the register changes of it.

Kept true: nobody loses mail without a warning and time: a closed mailbox takes no more, is kept for its holder to take away
until its date (`kept_until`), and only then may be erased; an address never goes to somebody else. What ends a person's
part ends their sessions and devices with it. Who is withdrawn from the register is told first, and suspended
at a refresh of the day after (`follow`); who came back is reopened only by an administrator.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.directory import practitioners
from vaguemestre.enrolment import matching
from vaguemestre.enrolment.notices import Notices
from vaguemestre.enrolment.tables import closures, enrolments
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import grants, passkeys, persons, sessions, standings
from vaguemestre.identity.permissions import Act, Actor, Part, refuse
from vaguemestre.mailstore import accounts, publications, sharing
from vaguemestre.mailstore.model import Account, AccountKind, AccountState

KEPT_MS = 90 * 86_400_000
GRACE_MS = 86_400_000
_WARNED_LASTS_MS = 30 * 86_400_000
_REASON_DEATH = "death"


class LifecycleError(VaguemestreError):
    """The mailbox is not in a state for this."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A closed mailbox; times in Unix milliseconds."""

    account_id: int
    reason: str
    closed_at: int
    kept_until: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What the register changes of people who hold mailboxes here: who is withdrawn, and new names."""

    withdrawn: tuple[Account, ...]
    renamed: dict[Account, str]


def suspend(connection: sa.Connection, address: str, by: Actor) -> Account:
    """Nobody enters any more; mail is still taken. Raises UnknownAccountError, NotPermittedError, LifecycleError."""
    refuse(by, Act.STATE)
    if accounts.get(connection, address).state is AccountState.CLOSED:
        raise _closed()
    account = accounts.change_state(connection, address, AccountState.SUSPENDED)
    standings.sign_out(connection, account.id, by)
    return account


def reopen(connection: sa.Connection, address: str, by: Actor) -> Account:
    """Open a suspended mailbox, or a closed one that is still kept. Raises the same as `suspend`."""
    refuse(by, Act.STATE)
    account = accounts.change_state(connection, address, AccountState.ACTIVE)
    connection.execute(sa.delete(closures).where(closures.c.account_id == account.id))
    return account


def close(
    connection: sa.Connection, address: str, reason: str, by: Actor, notices: Notices, *, kept_ms: int = KEPT_MS
) -> Closure:
    """Take no more mail; what is there is kept for a while. Raises the same as `suspend`."""
    refuse(by, Act.STATE)
    account = accounts.get(connection, address)
    if account.state is AccountState.CLOSED:
        raise _closed()
    now = now_ms()
    closure = Closure(account.id, reason, now, now + kept_ms)
    if reason != _REASON_DEATH:
        days = kept_ms // 86_400_000
        notices.ending(
            connection,
            account,
            f"Votre boîte {account.address} est fermée. Son contenu est conservé {days} jours : demandez son export "
            "à votre opérateur avant cette date.",
            f"Your mailbox {account.address} is closed. What it holds is kept for {days} days: ask your operator to "
            "export it before.",
        )
    accounts.change_state(connection, address, AccountState.CLOSED)
    standings.sign_out(connection, account.id, by)
    row = {"account_id": account.id, "reason": reason, "closed_at": now, "kept_until": closure.kept_until}
    connection.execute(sa.delete(closures).where(closures.c.account_id == account.id))
    connection.execute(sa.insert(closures), row)
    facts = {"reason": reason, "kept_days": kept_ms // 86_400_000, "by": str(by.part)}
    journal.append(connection, [Entry(Event.CLOSURE, ids.to_text(account.id), facts, {"address": account.address})])
    return closure


def overdue(connection: sa.Connection) -> list[Closure]:
    """Closed mailboxes whose time is over: what they hold may be erased."""
    wanted = sa.select(closures).where(closures.c.kept_until <= now_ms()).order_by(closures.c.kept_until)
    return [Closure(row.account_id, row.reason, row.closed_at, row.kept_until) for row in connection.execute(wanted)]


def hand_on(connection: sa.Connection, address: str, national_id: str, name: str, by: Actor) -> None:
    """Give a practice's mailbox to another holder, in the place of those who held it.

    Raises UnknownAccountError, LifecycleError, NotPermittedError.
    """
    account = accounts.get(connection, address)
    if account.kind is AccountKind.PER:
        raise LifecycleError(
            "A personal mailbox is not handed on: its holder closes it, another opens their own.",
            "Une boîte personnelle ne se transmet pas : son titulaire la ferme, un autre ouvre la sienne.",
        )
    refuse(by, Act.GRANT)
    for grant in grants.of_account(connection, account.id):
        if grant.part is Part.HOLDER and grant.person.national_id != national_id:
            grants.end(connection, account.id, grant.person, by)
    sharing.bind_holder(connection, address, national_id, name, by)


def died(connection: sa.Connection, national_id: str, by: Actor, notices: Notices) -> list[Closure]:
    """Close what a person held alone, and end all they could do elsewhere. Raises UnknownPersonError, NotPermittedError."""
    refuse(by, Act.STATE)
    person = persons.get(connection, national_id)
    closed = []
    for grant in grants.of_person(connection, person.id):
        account = accounts.numbered(connection, grant.account_id)
        if grant.part is Part.HOLDER and account.kind is AccountKind.PER:
            if account.state is not AccountState.CLOSED:
                closed.append(close(connection, account.address, _REASON_DEATH, by, notices))
        else:
            grants.end(connection, grant.account_id, person, by)
            publications.owe(connection, [grant.account_id])
    for passkey in passkeys.of_person(connection, person.id):
        passkeys.revoke(connection, person.id, passkey.id)
    sessions.end_all(connection, person.id)
    return closed


def compare(connection: sa.Connection, register: sa.Connection) -> Changed:
    """What the register (read by `register`) says otherwise of those who hold active personal mailboxes here."""
    held = {}
    for row in connection.execute(sa.select(enrolments.c.account_id, enrolments.c.person_id)).all():
        account = accounts.numbered(connection, row.account_id)
        if account.state is AccountState.ACTIVE:
            held[account] = persons.numbered(connection, row.person_id).national_id
    known = practitioners.standing(register, list(held.values()))
    gone = (False, "", "")
    withdrawn = [account for account, national_id in held.items() if not known.get(national_id, gone)[0]]
    renamed = {
        account: matching.shown(*known[national_id][1:])
        for account, national_id in held.items()
        if account not in withdrawn and matching.shown(*known[national_id][1:]) != account.name
    }
    return Changed(tuple(withdrawn), renamed)


def follow(
    connection: sa.Connection, changed: Changed, notices: Notices, by: Actor, *, grace_ms: int = GRACE_MS
) -> None:
    """Do what the register's changes ask: warn who is withdrawn, suspend them once the grace is over, take up new names.

    Raises NotPermittedError.
    """
    now = now_ms()
    for account in changed.withdrawn:
        warned_at = _warned_at(connection, account)
        if now - warned_at > grace_ms + _WARNED_LASTS_MS:  # never, or so long ago that it was about something else
            _warn(connection, account, notices)
        elif now - warned_at >= grace_ms:
            suspend(connection, account.address, by)
    for account, name in changed.renamed.items():
        accounts.rename(connection, account.address, name)


def _warn(connection: sa.Connection, account: Account, notices: Notices) -> None:
    notices.ending(
        connection,
        account,
        "L'annuaire n'indique plus que vous exercez. Sans correction de votre Ordre, votre boîte sera suspendue à une "
        "prochaine mise à jour.",
        "The directory no longer says that you practise. Unless your Order corrects it, your mailbox is suspended at "
        "one of the next updates.",
    )
    entry = Entry(Event.WITHDRAWAL_WARNING, ids.to_text(account.id), {}, {"address": account.address})
    journal.append(connection, [entry])


def _warned_at(connection: sa.Connection, account: Account) -> int:
    """When the holder was last told, by the journal; 0 where never."""
    told = journal.log(connection, subject=ids.to_text(account.id), limit=50, newest=True)
    return next((each.at for each in reversed(told) if each.event == Event.WITHDRAWAL_WARNING), 0)


def _closed() -> LifecycleError:
    return LifecycleError("This mailbox is closed already.", "Cette boîte est déjà fermée.")
