"""Mailboxes of an account: made, renamed, deleted, subscribed to, and their counts.

What it keeps true: every account has the special-use ones; a name is in one form (NFC, INBOX in capitals), and within
limits; no two mailboxes of an account ever had the same UIDVALIDITY, and each new one is greater, so that a program never
takes one mailbox for another of the same name.

Rules: names are whole paths, levels parted by "/". A mailbox made brings the superiors that it lacks; one deleted leaves
its inferiors; one renamed takes them along. Special-use mailboxes cannot be deleted; but for INBOX they can be renamed,
and keep their use. A subscription goes along with the mailbox that is renamed, and outlives the one that is deleted, by
name. Renaming INBOX moves its messages to a new mailbox and leaves it, and its inferiors, where they are.

Standards: RFC 9051 §5.1, §6.3.4–6.3.9, RFC 6154 (special use); names are what a French reader expects, INBOX is the
protocol's.
"""

import unicodedata
from typing import Any

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.mailstore import placements, queries
from vaguemestre.mailstore.changes import MailboxesChange
from vaguemestre.mailstore.model import (
    Mailbox,
    MailboxExistsError,
    MailboxNameError,
    Role,
    SpecialMailboxError,
    TooManyMailboxesError,
    UnknownAccountError,
    UnknownMailboxError,
)
from vaguemestre.mailstore.tables import accounts, mailboxes
from vaguemestre.storage.bulk import Statement
from vaguemestre.storage.database import announce

INBOX = "INBOX"
SEPARATOR = "/"
LONGEST = 500  # octets of UTF-8 in a whole name
DEEPEST = 20  # levels
MOST = 2_000  # mailboxes in an account

_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

SPECIAL_USE: dict[Role, str] = {
    Role.INBOX: INBOX,
    Role.DRAFTS: "Brouillons",
    Role.SENT: "Envoyés",
    Role.ARCHIVE: "Archives",
    Role.JUNK: "Indésirables",
    Role.TRASH: "Corbeille",
}


_OF_ACCOUNT = queries.Mailboxes("account_id")
_NAMED = queries.Mailboxes("account_id", "name")
_WITH_ROLE = queries.Mailboxes("account_id", "role")
_ACCOUNT = Statement("SELECT uid_validity FROM accounts WHERE id = {value}", lock=True)
_NAMES = Statement("SELECT name, id FROM mailboxes WHERE account_id = {value}")
_COUNT_CHANGE = Statement(
    "UPDATE accounts SET modseq = modseq + 1, uid_validity = {value} WHERE id = {value} RETURNING modseq"
)
_ABSENT = Statement("SELECT name FROM absent_subscriptions WHERE account_id = {value} ORDER BY name")
_REMEMBER_ABSENT = Statement("INSERT INTO absent_subscriptions (account_id, name) VALUES ({value}, {value})")
_FORGET_ABSENT = Statement(
    "DELETE FROM absent_subscriptions WHERE account_id = {value} AND name = {value} RETURNING name"
)
_PRESENT_AGAIN = Statement(
    "DELETE FROM absent_subscriptions WHERE account_id = {value}"
    " AND name IN (SELECT name FROM mailboxes WHERE account_id = {value}) RETURNING name"
)
_RENAME = Statement("UPDATE mailboxes SET name = {value} WHERE id = {value}")


def create_special(connection: sa.Connection, account_id: int, at: int) -> None:
    """Make the special-use mailboxes of a new account; UIDVALIDITY follows the creation time in seconds."""
    validity = at // 1000 + len(SPECIAL_USE) - 1
    connection.execute(
        sa.insert(mailboxes),
        [
            _row(account_id, name, at // 1000 + place, 1, role=str(role))
            for place, (role, name) in enumerate(SPECIAL_USE.items())
        ],
    )
    connection.execute(sa.update(accounts).where(accounts.c.id == account_id).values(uid_validity=validity))


def listing(connection: sa.Connection, account_id: int, reader: int = 0) -> list[Mailbox]:
    """All mailboxes of an account, special-use first, in the order they were made, with what `reader` has not seen."""
    return _OF_ACCOUNT.find(connection, reader, account_id=account_id)


def get(connection: sa.Connection, mailbox_id: int, reader: int = 0) -> Mailbox:
    """A mailbox by its number, with what `reader` has not seen. Raises UnknownMailboxError."""
    return queries.mailbox(connection, mailbox_id, reader)


def with_role(connection: sa.Connection, account_id: int, role: Role) -> Mailbox:
    """The mailbox with a special use. Raises UnknownMailboxError."""
    found = _WITH_ROLE.find(connection, account_id=account_id, role=str(role))
    if not found:
        raise UnknownMailboxError(role)
    return found[0]


def named(connection: sa.Connection, account_id: int, name: str) -> Mailbox:
    """The mailbox of a name; INBOX in any case (RFC 9051 §5.1). Raises UnknownMailboxError."""
    return status(connection, account_id, name)


def status(connection: sa.Connection, account_id: int, name: str, reader: int = 0) -> Mailbox:
    """`named`, with what `reader` has not seen."""
    name = canonical(name)
    found = _NAMED.find(connection, reader, account_id=account_id, name=name)
    if not found:
        raise UnknownMailboxError(name)
    return found[0]


def create(connection: sa.Connection, account_id: int, name: str) -> Mailbox:
    """Make a mailbox, and the superiors it lacks. A last "/" says that inferiors will come, and is left out.

    Raises MailboxExistsError, MailboxNameError, TooManyMailboxesError.
    """
    name = checked(name.removesuffix(SEPARATOR))
    validity, names = _hold(connection, account_id)
    if name in names:
        raise MailboxExistsError(name)
    _make(connection, account_id, validity, names, name, itself=True)
    _named_anew(connection, account_id)
    return named(connection, account_id, name)


def rename(connection: sa.Connection, account_id: int, name: str, new_name: str) -> None:
    """Give a mailbox and its inferiors another name; superiors that it lacks are made.

    Raises UnknownMailboxError, MailboxExistsError, MailboxNameError, TooManyMailboxesError, MailboxFullError.
    """
    old, new = canonical(name), checked(new_name.removesuffix(SEPARATOR))
    validity, names = _hold(connection, account_id)
    if new in names:
        raise MailboxExistsError(new)
    if old == INBOX:
        _make(connection, account_id, validity, names, new, itself=True)
        _named_anew(connection, account_id)
        placements.move_all(connection, names[INBOX], named(connection, account_id, new).id)
        return
    moved = {each: new + each[len(old) :] for each in names if each == old or each.startswith(old + SEPARATOR)}
    if not moved:
        raise UnknownMailboxError(old)
    if new.startswith(old + SEPARATOR):
        raise MailboxNameError(f"{old} cannot be moved into itself.", f"{old} ne peut pas être déplacé dans lui-même.")
    for each in moved.values():
        if checked(each) in names:
            raise MailboxExistsError(each)
    _make(connection, account_id, validity, names, new, itself=False)
    for before, after in moved.items():
        _RENAME.run(connection, after, names[before])
    _named_anew(connection, account_id)


def delete(connection: sa.Connection, account_id: int, name: str) -> list[str]:
    """Delete a mailbox and what it holds; inferiors stay. Returns objects to discard once that is durable.

    Raises UnknownMailboxError, SpecialMailboxError.
    """
    found = named(connection, account_id, name)
    if found.role is not None:
        raise SpecialMailboxError(found.name)
    objects = placements.clear(connection, found.id)
    connection.execute(sa.delete(mailboxes).where(mailboxes.c.id == found.id))
    if found.subscribed:  # a subscription outlives what it names (RFC 9051 §6.3.7)
        _REMEMBER_ABSENT.run(connection, account_id, found.name)
    announce(connection, MailboxesChange(account_id, (found.id,)))
    return objects


def subscribe(connection: sa.Connection, account_id: int, name: str) -> None:
    """Have mail programs show a mailbox. Raises UnknownMailboxError."""
    _subscribe(connection, account_id, name, subscribed=True)


def unsubscribe(connection: sa.Connection, account_id: int, name: str) -> None:
    """Have mail programs that ask for subscriptions leave a mailbox out. Raises UnknownMailboxError."""
    _subscribe(connection, account_id, name, subscribed=False)


def canonical(name: str) -> str:
    """A name in the one form it is kept in: NFC, and INBOX in capitals, alone or as the first level."""
    name = unicodedata.normalize("NFC", name)
    first, separator, rest = name.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX else name


def checked(name: str) -> str:
    """A name that a mailbox may get, in the form it is kept in. Raises MailboxNameError."""
    name = canonical(name)
    levels = name.split(SEPARATOR)
    if not all(level.strip() for level in levels):
        raise MailboxNameError(
            "A mailbox name cannot be empty, nor can any of its levels.",
            "Un nom de dossier ne peut pas être vide, ni aucun de ses niveaux.",
        )
    if any(unicodedata.category(letter) in _UNWRITABLE for letter in name):
        raise MailboxNameError(
            "A mailbox name has no control characters.", "Un nom de dossier ne contient pas de caractère de contrôle."
        )
    if len(name.encode()) > LONGEST or len(levels) > DEEPEST:
        raise MailboxNameError(
            f"A mailbox name has {LONGEST} octets and {DEEPEST} levels at most.",
            f"Un nom de dossier a {LONGEST} octets et {DEEPEST} niveaux au plus.",
        )
    return name


def _hold(connection: sa.Connection, account_id: int) -> tuple[int, dict[str, int]]:
    """Hold an account until the end of the transaction: its last UIDVALIDITY, and its mailboxes by name."""
    rows = _ACCOUNT.run(connection, account_id)
    if not rows:
        raise UnknownAccountError(ids.to_text(account_id))
    return rows[0][0], {row[0]: row[1] for row in _NAMES.run(connection, account_id)}


def _make(
    connection: sa.Connection, account_id: int, validity: int, names: dict[str, int], name: str, *, itself: bool
) -> None:
    """Make the superiors that a name lacks, and itself."""
    levels = name.split(SEPARATOR)
    paths = [SEPARATOR.join(levels[: depth + 1]) for depth in range(len(levels) if itself else len(levels) - 1)]
    missing = [path for path in paths if path not in names]
    if len(names) + len(missing) > MOST:
        raise TooManyMailboxesError(MOST)
    first = max(validity + 1, clock.now_ms() // 1000)
    modseq = _COUNT_CHANGE.run(connection, first + len(missing) - 1 if missing else validity, account_id)[0][0]
    if missing:
        rows = [_row(account_id, path, first + place, modseq) for place, path in enumerate(missing)]
        connection.execute(sa.insert(mailboxes), rows)


def _row(account_id: int, name: str, validity: int, modseq: int, role: str | None = None) -> dict[str, Any]:
    return {
        "id": ids.next_id(),
        "account_id": account_id,
        "name": name,
        "role": role,
        "uid_validity": validity,
        "uid_next": 1,
        "modseq": modseq,
        "total": 0,
        "unseen": 0,
        "subscribed": role is not None,  # programs subscribe to what they make, if they want to
    }


def absent(connection: sa.Connection, account_id: int) -> list[str]:
    """Names that are subscribed to and that no mailbox has any more."""
    return [row[0] for row in _ABSENT.run(connection, account_id)]


def _named_anew(connection: sa.Connection, account_id: int) -> None:
    """Mailboxes have names they had not: what is subscribed to by name is subscribed to again."""
    for row in _PRESENT_AGAIN.run(connection, account_id, account_id):
        again = mailboxes.c.account_id == account_id, mailboxes.c.name == row[0]
        connection.execute(sa.update(mailboxes).where(*again).values(subscribed=True))
    announce(connection, MailboxesChange(account_id))


def _subscribe(connection: sa.Connection, account_id: int, name: str, *, subscribed: bool) -> None:
    if not subscribed and _FORGET_ABSENT.run(connection, account_id, canonical(name)):
        announce(connection, MailboxesChange(account_id))
        return
    found = named(connection, account_id, name)
    if found.subscribed is not subscribed:
        connection.execute(sa.update(mailboxes).where(mailboxes.c.id == found.id).values(subscribed=subscribed))
        announce(connection, MailboxesChange(account_id))
