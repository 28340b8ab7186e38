"""Codes that stand in brackets before a sentence, those that carry values.

RFC 9051 §7.1; RFC 4315 (APPENDUID, COPYUID); RFC 7162 (HIGHESTMODSEQ, MODIFIED); RFC 8474 (MAILBOXID); RFC 4469 (BADURL);
RFC 5267 (NOUPDATE). A code without values is its name: b"TRYCREATE".
"""

from collections.abc import Iterable, Sequence

from vaguemestre.protocols.imap.refusals import CHARSETS
from vaguemestre.protocols.imap.values import flag_list, number_set, string


def capability(names: Iterable[str]) -> bytes:
    """What the server offers, told in passing."""
    return f"CAPABILITY {' '.join(names)}".encode("ascii")


def append_uid(uid_validity: int, uids: Sequence[int]) -> bytes:
    """The UIDs of the messages appended."""
    return b"APPENDUID %d %b" % (uid_validity, number_set(uids))


def copy_uid(uid_validity: int, source: Sequence[int], target: Sequence[int]) -> bytes:
    """The UIDs copied, and those of the copies: as many, in the same order, and at least one."""
    return b"COPYUID %d %b %b" % (uid_validity, number_set(source), number_set(target))


def uid_validity(value: int) -> bytes:
    """While this stays, so do UIDs."""
    return b"UIDVALIDITY %d" % value


def uid_next(value: int) -> bytes:
    """No message has this UID or a higher one."""
    return b"UIDNEXT %d" % value


def unseen(number: int) -> bytes:
    r"""The first message without \Seen, for rev1."""
    return b"UNSEEN %d" % number


def highest_modseq(value: int) -> bytes:
    """The highest mod-sequence of the mailbox."""
    return b"HIGHESTMODSEQ %d" % value


def modified(numbers: Sequence[int]) -> bytes:
    """STORE UNCHANGEDSINCE passed these over."""
    return b"MODIFIED " + number_set(numbers)


def permanent_flags(names: Iterable[str]) -> bytes:
    r"""Flags that the client can set for good; `\*`: new keywords too."""
    return b"PERMANENTFLAGS " + flag_list(names)


def mailbox_id(value: str) -> bytes:
    """The mailbox's identifier, which survives renaming."""
    return b"MAILBOXID (%b)" % value.encode("ascii")


def bad_charset() -> bytes:
    """Which charsets to search in."""
    return f"BADCHARSET ({' '.join(CHARSETS)})".encode("ascii")


def bad_url(url: str) -> bytes:
    """This URL of CATENATE leads to nothing."""
    return b"BADURL " + string(url)


def no_update(tag: bytes) -> bytes:
    """The search of this tag will not be updated."""
    return b"NOUPDATE " + string(tag)
