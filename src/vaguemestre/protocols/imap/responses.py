"""What an IMAP server says, as octets ready to be sent.

What stays true: each function gives whole lines, ended by CRLF, whatever the values; sentences are printable ASCII.

Rules: `code` is without its brackets (`response_codes`); `utf8` is `ServerConnection.utf8`.
RFC 9051 §7; RFC 3501 §7 (LSUB, SEARCH, RECENT); RFC 5256 §4; RFC 7162 §7; RFC 9208 §4.2; RFC 2971 §3.2.
"""

from collections.abc import Iterable, Sequence

import msgspec

from vaguemestre.protocols.imap.commands import StatusItem
from vaguemestre.protocols.imap.sequence_sets import Partial
from vaguemestre.protocols.imap.values import NIL, flag_list, mailbox, nstring, number_set, string

Values = Iterable[tuple[StatusItem, int | str | None]]


# ---- conditions


def ok(tag: bytes, text: str, code: bytes = b"") -> bytes:
    """The command was carried out."""
    return _condition(tag, b"OK", text, code)


def no(tag: bytes, text: str, code: bytes = b"") -> bytes:
    """The command could not be carried out, and might have been."""
    return _condition(tag, b"NO", text, code)


def bad(tag: bytes, text: str, code: bytes = b"") -> bytes:
    """The command should not have been sent."""
    return _condition(tag, b"BAD", text, code)


def untagged_ok(text: str, code: bytes = b"") -> bytes:
    """Something to know, most often by its code; also the greeting."""
    return _condition(b"*", b"OK", text, code)


def untagged_no(text: str, code: bytes = b"") -> bytes:
    """A warning."""
    return _condition(b"*", b"NO", text, code)


def preauth(text: str, code: bytes = b"") -> bytes:
    """The greeting of a client that need not sign in."""
    return _condition(b"*", b"PREAUTH", text, code)


def bye(text: str, code: bytes = b"") -> bytes:
    """The connection is about to be closed."""
    return _condition(b"*", b"BYE", text, code)


def _condition(tag: bytes, condition: bytes, text: str, code: bytes) -> bytes:
    if not (text.isascii() and text.isprintable()):
        text = "".join(each if " " <= each <= "~" else "?" for each in " ".join(text.split()))
    if code:
        return b"%b %b [%b] %b\r\n" % (tag, condition, code, text.encode("ascii"))
    return b"%b %b %b\r\n" % (tag, condition, text.encode("ascii"))


# ---- the server


def capability(names: Iterable[str]) -> bytes:
    """What the server offers."""
    return f"* CAPABILITY {' '.join(names)}\r\n".encode("ascii")


def enabled(names: Iterable[str]) -> bytes:
    """What ENABLE granted; maybe nothing."""
    return (" ".join(("* ENABLED", *names)) + "\r\n").encode("ascii")


def identification(fields: Iterable[tuple[str, str | None]]) -> bytes:
    """ID: what the server says of itself."""
    spelled = b" ".join(string(name) + b" " + nstring(value) for name, value in fields)
    return b"* ID (%b)\r\n" % spelled if spelled else b"* ID NIL\r\n"


# ---- mailboxes


def mailbox_list(
    name: str,
    attributes: Iterable[str],
    utf8: bool,
    *,
    child_info: Sequence[str] = (),
    old_name: str | None = None,
    lsub: bool = False,
) -> bytes:
    r"""LIST or LSUB. `child_info`: which selection options a mailbox below matches (RFC 5258 §4); `old_name`: the name
    that was asked for or renamed (RFC 9051 §6.3.9.7). An empty name gives the delimiter alone."""
    extended = []
    if child_info:
        extended.append(b'"CHILDINFO" (%b)' % b" ".join(string(each) for each in child_info))
    if old_name is not None:
        extended.append(b'"OLDNAME" (%b)' % mailbox(old_name, utf8))
    return b'* %b %b "/" %b%b\r\n' % (
        b"LSUB" if lsub else b"LIST",
        flag_list(attributes),
        mailbox(name, utf8),
        b" (%b)" % b" ".join(extended) if extended else b"",
    )


def status(name: str, values: Values, utf8: bool) -> bytes:
    """STATUS. MAILBOXID is a string; APPENDLIMIT None is without limit."""
    spelled = b" ".join(b"%b %b" % (item.value, _status_value(value)) for item, value in values)
    return b"* STATUS %b (%b)\r\n" % (mailbox(name, utf8), spelled)


def _status_value(value: int | str | None) -> bytes:
    if value is None:
        return NIL
    return b"(%b)" % value.encode("ascii") if isinstance(value, str) else b"%d" % value


def namespace(
    personal: Sequence[str] = ("",), others: Sequence[str] = (), shared: Sequence[str] = (), utf8: bool = False
) -> bytes:
    """NAMESPACE: the prefixes of each kind."""
    kinds = (
        b"(%b)" % b"".join(b'(%b "/")' % mailbox(prefix, utf8) for prefix in kind) if kind else NIL
        for kind in (personal, others, shared)
    )
    return b"* NAMESPACE %b\r\n" % b" ".join(kinds)


def quota(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """QUOTA: name, used and limit of each resource, STORAGE in units of 1024 octets."""
    return b"* QUOTA %b (%b)\r\n" % (
        string(root),
        " ".join(f"{name} {used} {limit}" for name, used, limit in resources).encode("ascii"),
    )


def quota_root(name: str, roots: Iterable[str], utf8: bool) -> bytes:
    """QUOTAROOT: which roots a mailbox counts for."""
    return b"* QUOTAROOT %b\r\n" % b" ".join((mailbox(name, utf8), *(string(root) for root in roots)))


# ---- the selected mailbox


def exists(count: int) -> bytes:
    """How many messages there are."""
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    r"""How many have \Recent, for rev1."""
    return b"* %d RECENT\r\n" % count


def expunged(number: int) -> bytes:
    """The message of this number is gone, and those above move down."""
    return b"* %d EXPUNGE\r\n" % number


def vanished(uids: Sequence[int], *, earlier: bool = False) -> bytes:
    """These UIDs are gone; `earlier` than the client knew of (RFC 7162 §3.2.10)."""
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if earlier else b"", number_set(uids))


def flags(names: Iterable[str]) -> bytes:
    """Flags in use here."""
    return b"* FLAGS %b\r\n" % flag_list(names)


def fetch(number: int, *parts: bytes) -> bytes:
    """FETCH: each part a label, a space and its value."""
    return b"* %d FETCH (%b)\r\n" % (number, b" ".join(parts))


def fetch_flags(number: int, flags: bytes, uid: int | None = None, modseq: int | None = None) -> bytes:
    """FETCH of flags, spelled already, for a change that is told or many messages that are listed."""
    if modseq is None:
        if uid is None:
            return b"* %d FETCH (FLAGS %b)\r\n" % (number, flags)
        return b"* %d FETCH (UID %d FLAGS %b)\r\n" % (number, uid, flags)
    if uid is None:
        return b"* %d FETCH (FLAGS %b MODSEQ (%d))\r\n" % (number, flags, modseq)
    return b"* %d FETCH (UID %d FLAGS %b MODSEQ (%d))\r\n" % (number, uid, flags, modseq)


# ---- searches


def search(numbers: Sequence[int], modseq: int | None = None) -> bytes:
    """SEARCH; `modseq` the highest of these messages, where the search had MODSEQ."""
    return _numbers("SEARCH", numbers, modseq)


def sort(numbers: Sequence[int], modseq: int | None = None) -> bytes:
    """SORT, in order."""
    return _numbers("SORT", numbers, modseq)


def _numbers(name: str, numbers: Sequence[int], modseq: int | None) -> bytes:
    spelled = " ".join(("*", name, *map(str, numbers)))
    return (f"{spelled} (MODSEQ {modseq})\r\n" if modseq is not None and numbers else f"{spelled}\r\n").encode("ascii")


class Found(msgspec.Struct, frozen=True):
    """What ESEARCH gives; None for what was not asked or, but for `count` and `partial`, not found.

    `all` and the second of `partial` are in the order of the result; `added` and `removed` are (position, numbers), the
    position 0 where the result has no order (RFC 5267 §4.3).
    """

    count: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    all: Sequence[int] = ()
    partial: tuple[Partial, Sequence[int]] | None = None
    modseq: int | None = None
    added: Sequence[tuple[int, Sequence[int]]] = ()
    removed: Sequence[tuple[int, Sequence[int]]] = ()


def esearch(tag: bytes, found: Found, *, uid: bool) -> bytes:
    """ESEARCH, for the command of this tag (RFC 9051 §7.3.4)."""
    parts = [b"* ESEARCH (TAG %b)" % string(tag)]
    if uid:
        parts.append(b"UID")
    for name, value in ((b"MIN", found.minimum), (b"MAX", found.maximum), (b"COUNT", found.count)):
        if value is not None:
            parts.append(b"%b %d" % (name, value))
    if found.all:
        parts.append(b"ALL " + number_set(found.all))
    if found.partial is not None:
        window, numbers = found.partial
        spelled = number_set(numbers) if numbers else NIL
        parts.append(b"PARTIAL (%d:%d %b)" % (window.first, window.last, spelled))
    for name, changes in ((b"REMOVEFROM", found.removed), (b"ADDTO", found.added)):
        if changes:
            spelled = b" ".join(b"%d %b" % (position, number_set(numbers)) for position, numbers in changes)
            parts.append(b"%b (%b)" % (name, spelled))
    if found.modseq is not None:
        parts.append(b"MODSEQ %d" % found.modseq)
    return b" ".join(parts) + b"\r\n"


class Branch(msgspec.Struct, frozen=True):
    """A message and those that answer it; `number` 0 for one that is not here (RFC 5256 §4)."""

    number: int
    answers: Sequence["Branch"] = ()


def thread(branches: Iterable[Branch]) -> bytes:
    """THREAD. However deep the threads: nothing recurs."""
    spelled: list[str] = []
    for branch in branches:
        left: list[Branch | str] = [")", branch, "("]
        while left:
            here = left.pop()
            if isinstance(here, str):
                spelled.append(here)
                continue
            if here.number:
                spelled.append(str(here.number))
            if len(here.answers) == 1:
                left += (here.answers[0], " " if here.number else "")
            else:
                for answer in reversed(here.answers):
                    left += (")", answer, "(")
                if here.answers and here.number:
                    left.append(" ")
    return f"* THREAD{' ' if spelled else ''}{''.join(spelled)}\r\n".encode("ascii")
