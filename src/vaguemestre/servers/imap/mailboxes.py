r"""Mailboxes by name: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, STATUS, NAMESPACE, quotas.

What it keeps true: a name is listed once; a superior that is no mailbox itself is shown as \NonExistent where a pattern asks
for it; what the account may not do is refused before anything is done.
Standards: RFC 9051 §6.3, RFC 3501 §6.3, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 8474, RFC 9208, RFC 7889.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import accounts, mailboxes, placements
from vaguemestre.mailstore.model import Mailbox, Role
from vaguemestre.protocols.imap import commands, response_codes, responses
from vaguemestre.protocols.imap.commands import ListReturn, ListSelection, StatusItem
from vaguemestre.servers.imap.answers import Answer
from vaguemestre.servers.imap.errors import AnswerError

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Session

_USES = {
    Role.DRAFTS: "\\Drafts",
    Role.SENT: "\\Sent",
    Role.ARCHIVE: "\\Archive",
    Role.JUNK: "\\Junk",
    Role.TRASH: "\\Trash",
}
_KIB = 1024
_LONGEST_PATTERN = 1000


async def create(session: "Session", tag: bytes, command: commands.Create) -> Answer:
    """CREATE; the special uses have their mailboxes in every account already (RFC 6154 §3)."""
    session.may(Rights.WRITE)
    if command.uses:
        raise AnswerError("NO", b"USEATTR", "Another mailbox has this use.", "Un autre dossier a déjà cet usage.")
    made = await session.service.database.write_async(mailboxes.create, session.account().account.id, command.mailbox)
    session.trace("create", made.name, 1)
    return Answer("CREATE", response_codes.mailbox_id(mailbox_id(made.id)))


async def delete(session: "Session", tag: bytes, command: commands.Delete) -> Answer:
    """DELETE; the names below stay."""
    session.may(Rights.WRITE)
    objects = await session.service.database.write_async(
        mailboxes.delete, session.account().account.id, command.mailbox
    )
    session.trace("delete", command.mailbox, 1)
    await session.discard(objects)
    return Answer("DELETE")


async def rename(session: "Session", tag: bytes, command: commands.Rename) -> Answer:
    """RENAME, the names below with it."""
    session.may(Rights.WRITE)
    await session.service.database.write_async(
        mailboxes.rename, session.account().account.id, command.source, command.target
    )
    session.trace("rename", command.target, 1)
    return Answer("RENAME")


async def subscribe(session: "Session", tag: bytes, command: commands.Subscribe | commands.Unsubscribe) -> Answer:
    """SUBSCRIBE and UNSUBSCRIBE."""
    wanted = isinstance(command, commands.Subscribe)
    verb = mailboxes.subscribe if wanted else mailboxes.unsubscribe
    await session.service.database.write_async(verb, session.account().account.id, command.mailbox)
    session.trace("subscribe" if wanted else "unsubscribe", command.mailbox, 1)
    return Answer("SUBSCRIBE" if wanted else "UNSUBSCRIBE")


async def namespace(session: "Session", tag: bytes, command: commands.Namespace) -> Answer:
    """One's own mailboxes, and no others: a shared account is entered by its own address."""
    session.say(responses.namespace())
    return Answer("NAMESPACE")


async def list_(session: "Session", tag: bytes, command: commands.List) -> Answer:
    """LIST, plain and extended."""
    if command.patterns == ("",) and not command.extended:
        session.say(responses.mailbox_list("", ["\\Noselect"], session.machine.utf8))
        return Answer("LIST")
    found, absent = await session.service.database.read_at_once(_read, session.account().account.id, session.reader)
    patterns = [_Pattern(command.reference + each) for each in command.patterns]
    tree = _Tree(found, absent)
    utf8 = session.machine.utf8
    for name in tree.names:
        matched = any(pattern.matches(name) for pattern in patterns)
        mailbox = tree.mailboxes.get(name)
        shown = _listed(command, tree, name, mailbox) if matched else None
        if shown is None:
            continue
        attributes, childinfo = shown
        session.say(responses.mailbox_list(name, attributes, utf8, child_info=childinfo))
        if command.status and mailbox is not None:
            session.say(responses.status(name, await _status(session, command.status, mailbox), utf8))
    return Answer("LIST")


async def lsub(session: "Session", tag: bytes, command: commands.Lsub) -> Answer:
    """LSUB (RFC 3501 §6.3.9): with `%`, a superior of subscribed names stands for them."""
    found, absent = await session.service.database.read_at_once(_read, session.account().account.id, 0)
    pattern, tree = _Pattern(command.reference + command.pattern), _Tree(found, absent)
    for name in tree.names:
        if pattern.matches(name):
            if tree.subscribed(name):
                session.say(responses.mailbox_list(name, [], session.machine.utf8, lsub=True))
            elif command.pattern.endswith("%") and tree.subscribed_below(name):
                session.say(responses.mailbox_list(name, ["\\Noselect"], session.machine.utf8, lsub=True))
    return Answer("LSUB")


async def status(session: "Session", tag: bytes, command: commands.Status) -> Answer:
    """STATUS."""
    found = await session.service.database.read_at_once(
        mailboxes.status, session.account().account.id, command.mailbox, session.reader
    )
    if StatusItem.HIGHESTMODSEQ in command.items:
        session.enable("CONDSTORE")
    session.say(responses.status(command.mailbox, await _status(session, command.items, found), session.machine.utf8))
    return Answer("STATUS")


async def get_quota(session: "Session", tag: bytes, command: commands.GetQuota) -> Answer:
    """GETQUOTA: the account is the one quota root, and has no name."""
    if command.root:
        raise AnswerError("NO", b"NONEXISTENT", "There is no such quota.", "Ce quota n'existe pas.")
    await _say_quota(session)
    return Answer("GETQUOTA")


async def get_quota_root(session: "Session", tag: bytes, command: commands.GetQuotaRoot) -> Answer:
    """GETQUOTAROOT: every mailbox counts in the account's room."""
    await session.service.database.read_at_once(mailboxes.named, session.account().account.id, command.mailbox)
    session.say(responses.quota_root(command.mailbox, [""], session.machine.utf8))
    await _say_quota(session)
    return Answer("GETQUOTAROOT")


async def set_quota(session: "Session", tag: bytes, command: commands.SetQuota) -> Answer:
    """SETQUOTA: the operator decides."""
    raise AnswerError("NO", b"NOPERM", "Quotas are set by the operator.", "Les quotas sont fixés par l'opérateur.")


def mailbox_id(identifier: int) -> str:
    """MAILBOXID (RFC 8474 §4)."""
    return "F" + ids.to_text(identifier)


async def _say_quota(session: "Session") -> None:
    found = await session.service.database.read_at_once(accounts.get, session.account().account.address)
    limit = min(found.quota // _KIB, (1 << 63) - 1)
    session.say(responses.quota("", [("STORAGE", -(-found.used // _KIB), limit)]))


def _read(connection: sa.Connection, account_id: int, reader: int) -> tuple[list[Mailbox], list[str]]:
    return mailboxes.listing(connection, account_id, reader), mailboxes.absent(connection, account_id)


class _Tree:
    """An account's mailboxes, with the superiors that exist only as names."""

    def __init__(self, found: Sequence[Mailbox], absent: Sequence[str]) -> None:
        self.mailboxes = {mailbox.name: mailbox for mailbox in found}
        self.absent = frozenset(absent)
        names = dict.fromkeys((*self.mailboxes, *absent))
        self.parents: set[str] = set()
        for name in self.mailboxes:
            levels = name.split("/")
            for depth in range(1, len(levels)):
                self.parents.add("/".join(levels[:depth]))
        names |= dict.fromkeys(self.parents)
        self.names = sorted(names, key=lambda name: (name != "INBOX", name))

    def subscribed(self, name: str) -> bool:
        """Whether a name is subscribed to, whether or not a mailbox has it."""
        return name in self.absent or (name in self.mailboxes and self.mailboxes[name].subscribed)

    def subscribed_below(self, name: str) -> bool:
        """Whether a name below is subscribed to."""
        return any(self.subscribed(each) for each in self.names if each.startswith(name + "/"))

    def special_below(self, name: str) -> bool:
        """Whether a name below has a special use."""
        return any(each.role for each in self.mailboxes.values() if each.name.startswith(name + "/"))


def _listed(
    command: commands.List, tree: _Tree, name: str, mailbox: Mailbox | None
) -> tuple[list[str], list[str]] | None:
    """Attributes and CHILDINFO of a matching name, or None where the selection leaves it out (RFC 5258 §3)."""
    selection, returns = command.selection, command.returns
    attributes, childinfo = [], []
    subscribed = ListSelection.SUBSCRIBED in selection
    special = ListSelection.SPECIAL_USE in selection
    chosen = not subscribed or tree.subscribed(name)
    chosen = chosen and (not special or (mailbox is not None and mailbox.role in _USES))
    if not chosen:
        below = ListSelection.RECURSIVEMATCH in selection and (
            (subscribed and tree.subscribed_below(name)) or (special and tree.special_below(name))
        )
        if not below:
            return None
    if ListSelection.RECURSIVEMATCH in selection and subscribed and tree.subscribed_below(name):
        childinfo.append("SUBSCRIBED")
    if mailbox is None:
        if not selection and name not in tree.parents:
            return None
        attributes.append("\\NonExistent" if command.extended else "\\Noselect")
    attributes.append("\\HasChildren" if name in tree.parents else "\\HasNoChildren")
    if tree.subscribed(name) and (subscribed or ListReturn.SUBSCRIBED in returns):
        attributes.append("\\Subscribed")
    if mailbox is not None and mailbox.role in _USES:
        attributes.append(_USES[mailbox.role])
    return attributes, childinfo


async def _status(
    session: "Session", items: Sequence[StatusItem], mailbox: Mailbox
) -> list[tuple[StatusItem, int | str | None]]:
    values: dict[StatusItem, int | str | None] = {
        StatusItem.MESSAGES: mailbox.total,
        StatusItem.UIDNEXT: mailbox.uid_next,
        StatusItem.UIDVALIDITY: mailbox.uid_validity,
        StatusItem.UNSEEN: mailbox.unseen,
        StatusItem.RECENT: 0,
        StatusItem.DELETED: mailbox.deleted,
        StatusItem.SIZE: mailbox.octets,
        StatusItem.HIGHESTMODSEQ: mailbox.modseq,
        StatusItem.MAILBOXID: mailbox_id(mailbox.id),
        StatusItem.APPENDLIMIT: session.service.limits.message_size,
    }
    if StatusItem.DELETED_STORAGE in items:
        octets = await session.service.database.read_async(placements.deleted_octets, mailbox.id)
        values[StatusItem.DELETED_STORAGE] = octets
    return [(item, values[item]) for item in items]


class _Pattern:
    """A LIST pattern: `*` is anything, `%` anything within a level; INBOX in any case (RFC 9051 §6.3.9).

    Every place of the name is followed at once, as a bit, so that no pattern takes longer than its length.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST_PATTERN:
            raise AnswerError("NO", b"LIMIT", "This pattern is too long.", "Ce motif est trop long.")
        self._text = re.sub(r"[*%]*\*[*%]*", "*", "INBOX" if text.upper() == "INBOX" else text)

    def matches(self, name: str) -> bool:
        """Whether the whole name fits."""
        if self._text in (name, "*"):
            return True
        places, end = 1, 1 << len(name)
        within = sum(1 << place for place, c in enumerate(name) if c != "/")
        for wanted in self._text:
            if wanted == "*":
                places = (end << 1) - (places & -places)
            elif wanted == "%":
                moved = places
                while moved := (moved & within) << 1:
                    places |= moved
            else:
                places = sum(1 << place + 1 for place, c in enumerate(name) if c == wanted and places >> place & 1)
            if not places:
                return False
        return bool(places & end)
