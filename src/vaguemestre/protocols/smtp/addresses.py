"""Addresses and paths as SMTP writes them, bytes-exact where it matters and normalised where it must be.

What stays true: an `Address` compares equal to another exactly when it names the same mailbox of the same domain: the
domain is lower-case ASCII (U-labels become A-labels), quotes around a local part that needs none are gone, the local
part keeps its case. The null reverse-path `<>` is None, never an empty address.

Rules: source routes are read and dropped; only IPv4 and IPv6 address-literals are known; a path has at most 256 octets
(a longer local part than 64 octets is accepted, as §4.5.3.1 asks where it can be, because rewritten senders have one).

RFC 5321 §4.1.2, §4.1.3 and §4.5.3.1; RFC 6531 §3.3; RFC 5891.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import idna

from vaguemestre.errors import VaguemestreError

PATH_LIMIT = 256
DOMAIN_LIMIT = 255

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"'
_DOMAIN = r"[A-Za-z0-9.\u0080-\U0010ffff-]+"
_LITERAL = r"\[[!-Z^-~]*\]"
_MAILBOX = rf"(?:({_DOT_STRING})|({_QUOTED}))@({_DOMAIN}|{_LITERAL})"
_ROUTE = rf"@{_DOMAIN}(?:,@{_DOMAIN})*:"

_mailbox = re.compile(_MAILBOX)
_path = re.compile(rf"<(?:{_ROUTE})?{_MAILBOX}>")
_postmaster = re.compile(r"<postmaster>", re.IGNORECASE)
_dot_string = re.compile(_DOT_STRING)
_quoted_pair = re.compile(r"\\(.)")
_to_quote = re.compile(r'["\\]')
_label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_hostname = re.compile(rf"{_label}(?:\.{_label})*")


class AddressError(VaguemestreError):
    """The text is not an address SMTP can carry; it must be corrected by whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `local_part` unquoted, `domain` lower-case ASCII or "[192.0.2.1]", `text` its one canonical spelling.

    `domain` is "" only for the bare `Postmaster` every server must accept (RFC 5321 §4.1.1.3).
    """

    local_part: str
    domain: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address written `local-part@domain`, without angle brackets. Raises AddressError."""
        match = _mailbox.fullmatch(text)
        if match is None:
            raise _unreadable()
        return cls._of(*match.groups())

    @classmethod
    def _of(cls, local: str | None, quoted: str | None, domain: str) -> Self:
        """From the parts as matched by the grammar. Raises AddressError for a domain no DNS could hold."""
        domain = normalised_domain(domain)
        if local is None:
            local = _quoted_pair.sub(r"\1", (quoted or "")[1:-1])
        if not local.isprintable():
            raise _unreadable()
        if quoted is not None and _dot_string.fullmatch(local) is None:
            return cls(local, domain, '"' + _to_quote.sub(r"\\\g<0>", local) + f'"@{domain}')
        return cls(local, domain, f"{local}@{domain}")


def read_path(text: str, start: int = 0) -> tuple[Address | None, int]:
    """The path that begins at `start` (its "<") and the index after its ">"; None is the null path `<>`.

    Raises AddressError.
    """
    if text.startswith("<>", start):
        return None, start + 2
    match = _path.match(text, start)
    if match is None:
        bare = _postmaster.match(text, start)
        if bare is None:
            raise _unreadable()
        return Address("postmaster", "", "postmaster"), bare.end()
    end = match.end()
    if end - start > PATH_LIMIT or len(match[0].encode()) > PATH_LIMIT:
        raise AddressError(
            f"The address is longer than {PATH_LIMIT} octets, more than SMTP can carry; use a shorter one.",
            f"L'adresse dépasse {PATH_LIMIT} octets, plus que SMTP ne peut porter ; utilisez-en une plus courte.",
        )
    return Address._of(*match.groups()), end


def format_path(address: Address | None) -> str:
    """The path as a MAIL or RCPT command carries it; None gives `<>`."""
    return f"<{address.text}>" if address else "<>"


@lru_cache(maxsize=1024)  # a server hears the same few domains all day
def normalised_domain(domain: str) -> str:
    """The one spelling of a domain or address-literal: lower case, A-labels. Raises AddressError."""
    if domain.startswith("["):
        return _normalised_literal(domain)
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:
            raise _unknown_domain() from None
    domain = domain.lower()
    if len(domain) > DOMAIN_LIMIT or _hostname.fullmatch(domain) is None:
        raise _unknown_domain()
    return domain


def _normalised_literal(literal: str) -> str:
    content = literal[1:-1]
    try:
        if content[:5].lower() == "ipv6:" and "%" not in content:  # a zone means nothing on another host
            return f"[IPv6:{ipaddress.IPv6Address(content[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(content)}]"
    except ValueError:
        raise _unknown_domain() from None


def _unreadable() -> AddressError:
    return AddressError(
        "The address is not written as local-part@domain; check it for missing parts, spaces or stray characters.",
        "L'adresse n'est pas de la forme nom@domaine ; vérifiez qu'il ne manque rien et que rien n'est de trop.",
    )


def _unknown_domain() -> AddressError:
    return AddressError(
        "What follows the @ in the address is not a valid domain name; check its spelling.",
        "Ce qui suit le @ dans l'adresse n'est pas un nom de domaine valable ; vérifiez son orthographe.",
    )
