"""Where somebody signs in from: whether they did so before from such a browser, and from such a network.

Kept true: nothing is kept but digests, for half a year after the last sign-in; a first sign-in is nothing new, since there is
nobody yet to tell; each later one from a browser or a network not seen in that time is, once.

A browser is what it says of itself, in words (`Firefox, Windows`): updates change nothing. A network is what one access provider
gives around one place (/16 of IPv4, /32 of IPv6), for addresses change from day to day. Who copies both is not noticed: this
tells people about others' doings, and keeps nobody out. OWASP ASVS 5.0 §6.3.5.
"""

import hashlib
import ipaddress

import sqlalchemy as sa

from vaguemestre.clock import now_ms
from vaguemestre.identity.tables import sign_in_flows

LASTS_MS = 183 * 86_400_000
_FIRST_LASTS_MS = (
    20 * 366 * 86_400_000
)  # that somebody ever signed in is remembered, or an old account's thief were a first


def note(connection: sa.Connection, person_id: int, device: str, network: str) -> bool:
    """Remember a sign-in; whether it comes from where the person did not sign in before."""
    known = _remember(connection, person_id, "person", "", _FIRST_LASTS_MS)
    same_device = _remember(connection, person_id, "device", device, LASTS_MS)
    same_network = _remember(connection, person_id, "network", _around(network), LASTS_MS)
    return known and not (same_device and same_network)


def _remember(connection: sa.Connection, person_id: int, kind: str, value: str, lasts_ms: int) -> bool:
    """Whether it was known already; from now on it is."""
    said = f"vaguemestre known place\0{person_id}\0{kind}\0{value}"
    digest, now = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest(), now_ms()
    this = sign_in_flows.c.digest == digest
    until = connection.execute(sa.select(sign_in_flows.c.until).where(this)).scalar_one_or_none()
    if until is None:
        connection.execute(sa.insert(sign_in_flows), {"digest": digest, "content": "{}", "until": now + lasts_ms})
        return False
    connection.execute(sa.update(sign_in_flows).where(this).values(until=now + lasts_ms))
    return bool(until >= now)


def _around(network: str) -> str:
    try:
        address = ipaddress.ip_address(network.partition("/")[0])
    except ValueError:
        return network
    wide = 16 if isinstance(address, ipaddress.IPv4Address) else 32
    return str(ipaddress.ip_network(f"{address}/{wide}", strict=False))
