"""Values as a server writes them: strings, names, flags, dates, sets of numbers.

What stays true: whatever the octets, what is written is one value of the grammar: nothing in it can end a line or begin
another response. NUL, which only a literal8 may hold, becomes 0x80 elsewhere, so that sizes stay true.

Rules: `utf8` says whether the client has enabled UTF-8 (`ServerConnection.utf8`); without it what is beyond ASCII goes in
a literal, and mailbox names in modified UTF-7. RFC 9051 §4 and §9; RFC 3501 §5.1.3; RFC 6855 §3.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache

from vaguemestre.protocols.imap import modified_utf7

NIL = b"NIL"
_PLAIN = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]{0,1000}")
_QUOTABLE = re.compile(rb"[\x20-\x7e]{0,1000}")
_QUOTABLE_UTF8 = re.compile(rb"[^\x00-\x1f\x7f]{0,1000}")
_SPECIAL = re.compile(rb'(["\\])')
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]{1,200}')
_MONTHS = (b"", b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_EPOCH = date(1970, 1, 1)
_DAY = 86_400


# ---- strings


def string(value: str | bytes, utf8: bool = False) -> bytes:
    """A quoted string where the client can read one, else a literal."""
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if _PLAIN.fullmatch(octets) is not None:
        return b'"%b"' % octets
    if _QUOTABLE.fullmatch(octets) is not None or (utf8 and _is_quotable_utf8(octets)):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", octets)
    return literal(octets)


def nstring(value: str | bytes | None, utf8: bool = False) -> bytes:
    """The same, NIL for None."""
    return NIL if value is None else string(value, utf8)


def astring(value: str | bytes, utf8: bool = False) -> bytes:
    """An atom where it can be one (and would not be read as NIL), else a string."""
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if _ATOM.fullmatch(octets) is not None and octets.upper() != NIL:
        return octets
    return string(octets, utf8)


def literal(octets: bytes) -> bytes:
    """A literal."""
    return b"{%d}\r\n%b" % (len(octets), without_nul(octets))


def literal_start(size: int) -> bytes:
    """What comes before `size` octets that are written piece by piece, each `without_nul`."""
    return b"{%d}\r\n" % size


def binary(octets: bytes) -> bytes:
    """What BINARY[…] answers: a literal8 where a literal will not do (RFC 3516 §4.2)."""
    if b"\0" in octets:
        return b"~{%d}\r\n%b" % (len(octets), octets)
    return b"{%d}\r\n%b" % (len(octets), octets)


def without_nul(octets: bytes) -> bytes:
    """As many octets, fit for a literal that is written piece by piece."""
    return octets.replace(b"\0", b"\x80") if b"\0" in octets else octets


def _is_quotable_utf8(octets: bytes) -> bool:
    if _QUOTABLE_UTF8.fullmatch(octets) is None:
        return False
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=1024)
def mailbox(name: str, utf8: bool = False) -> bytes:
    """A mailbox name."""
    return string(name if utf8 else modified_utf7.encode(name), utf8)


# ---- flags, dates


def flag_list(flags: Iterable[str]) -> bytes:
    r"""Flags and keywords in parentheses: (\Seen $Forwarded)."""
    return f"({' '.join(flags)})".encode("ascii")


def internal_date(milliseconds: int) -> bytes:
    """A moment in Unix milliseconds as INTERNALDATE and SAVEDATE give it, in UTC."""
    day, second = divmod(milliseconds // 1000, _DAY)
    return b'"%b %02d:%02d:%02d +0000"' % (_spelled(day), second // 3600, second // 60 % 60, second % 60)


@lru_cache(maxsize=1024)
def _spelled(day: int) -> bytes:
    found = _EPOCH + timedelta(days=day)
    return b"%2d-%b-%04d" % (found.day, _MONTHS[found.month], found.year)


# ---- numbers


def number_set(numbers: Sequence[int]) -> bytes:
    """At least one number, in this order; those that follow one another as ranges."""
    first, last = numbers[0], numbers[-1]
    if last - first + 1 == len(numbers) and (last == first or list(numbers) == list(range(first, last + 1))):
        return b"%d:%d" % (first, last) if last > first else b"%d" % first
    ranges = []
    start = end = first
    for number in numbers:
        if number > end + 1 or number < end:
            ranges.append((start, end))
            start = number
        end = number
    ranges.append((start, end))
    return range_set(ranges)


def range_set(ranges: Iterable[tuple[int, int]]) -> bytes:
    """At least one range, both ends included, in this order."""
    return ",".join([f"{low}:{high}" if high > low else str(low) for low, high in ranges]).encode("ascii")
