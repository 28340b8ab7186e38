"""The DNS records that a domain publishes so that mail and mail programs find its operator, as a zone file's fragment.

What holds here: only what the operator knows of itself is written; an address of the network that nobody configured is a
comment, never a guess. No TLSA record is made up: DANE is no rule of the trust space, and a stale one stops mail.

Rules: a service that is not offered is said not to be (target `.`), so that programs stop looking; implicit TLS goes before
STARTTLS, as RFC 8314 §4 asks.

Standards: RFC 1035 §5.1 (zone files), RFC 2782 and RFC 6186 (SRV), RFC 8314 §5.1 (`_submissions`), RFC 5321 §5 (MX).
"""

import ipaddress
from collections.abc import Sequence

import msgspec

from vaguemestre.documents.autoconfiguration import Service

TTL = 3600
_MX_PREFERENCE = 10
_HTTPS = 443
_PREFERRED, _FALLBACK = 0, 10


class Record(msgspec.Struct, frozen=True):
    """One record; `name` and the names in `value` are absolute, with their final dot."""

    name: str
    type: str
    value: str


def records(
    domain: str,
    host: str,
    imap: Sequence[Service],
    submission: Sequence[Service],
    web: str = "",
    addresses: Sequence[str] = (),
) -> list[Record]:
    """The records of `domain`, whose mail goes to `host`.

    `web` is the host that answers autoconfiguration, or nothing; `addresses` are those of `host`, IPv4 or IPv6, written
    where the name is in the domain. Domains and hosts are A-labels.
    """
    found = [Record(f"{domain}.", "MX", f"{_MX_PREFERENCE} {host}.")]
    if _inside(host, domain):
        found += [Record(f"{host}.", _kind(address), address) for address in addresses]
    if web:
        found += _web_records(domain, host, web, addresses)
    for service, offered, implicit in (
        ("_imaps", imap, True),
        ("_imap", imap, False),
        ("_submissions", submission, True),
        ("_submission", submission, False),
    ):
        found.append(Record(f"{service}._tcp.{domain}.", "SRV", _service(offered, implicit)))
    found += [Record(f"{service}._tcp.{domain}.", "SRV", "0 0 0 .") for service in ("_pop3s", "_pop3")]
    return found


def fragment(domain: str, found: Sequence[Record]) -> str:
    """The records as a zone file has them, with what is not known as a comment."""
    width = max(len(record.name) for record in found)
    lines = [f"; {domain}"]
    lines += [f"{record.name:<{width}}  {TTL}  IN  {record.type:<5}  {record.value}" for record in found]
    named = {record.name for record in found if record.type in ("A", "AAAA")}
    lines += [f"; {target} : A, AAAA ?" for target in _targets(found) if target not in named]
    return "\n".join(lines) + "\n"


def _web_records(domain: str, host: str, web: str, addresses: Sequence[str]) -> list[Record]:
    found = []
    for label in ("autoconfig", "autodiscover"):
        name = f"{label}.{domain}"
        if name == web:  # it cannot be an alias of itself
            found += [Record(f"{name}.", _kind(address), address) for address in addresses]
        elif name != host:
            found.append(Record(f"{name}.", "CNAME", f"{web}."))
    found.append(Record(f"_autodiscover._tcp.{domain}.", "SRV", f"0 0 {_HTTPS} autodiscover.{domain}."))
    return found


def _service(offered: Sequence[Service], implicit: bool) -> str:
    """The value of a service's SRV record; the first offered of its kind, or that there is none (RFC 6186 §3.4)."""
    service = next((each for each in offered if each.implicit == implicit), None)
    if service is None:
        return "0 0 0 ."
    return f"{_PREFERRED if implicit else _FALLBACK} 1 {service.port} {service.host}."


def _targets(found: Sequence[Record]) -> list[str]:
    """The names that other records lead to, once each."""
    aliases = {record.name for record in found if record.type == "CNAME"}
    named = [record.value.rsplit(" ", 1)[-1] for record in found if record.type in ("MX", "CNAME", "SRV")]
    return [name for name in dict.fromkeys(named) if name != "." and name not in aliases]


def _kind(address: str) -> str:
    return "AAAA" if ipaddress.ip_address(address).version == 6 else "A"


def _inside(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
