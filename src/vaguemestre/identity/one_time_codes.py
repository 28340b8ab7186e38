"""One-time codes, for who has no passkey at hand: those of an application (TOTP), and recovery codes on paper.

Kept true: a secret is made here, shown once, kept sealed under an operator's key; it serves once its person has typed a code of
it. A code serves once: neither it nor an older one again (RFC 6238 §5.2). Recovery codes have 80 random bits, are shown once,
kept as digests, and serve once each.

RFC 4226, RFC 6238 (SHA-1, 6 digits, 30 s: what applications know); OWASP ASVS 5.0 §6.5.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyotp
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaguemestre import clock, ids
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity.model import Person
from vaguemestre.identity.tables import one_time_secrets, recovery_codes
from vaguemestre.storage.keys import Keyring

STEP_S = 30
_EITHER_SIDE = 1  # steps that a clock may be early or late
_CODES = 10
_LETTERS = 24  # of five bits: enough to stand as a plain digest (ASVS 5.0 §6.5.2)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_READ_AS = str.maketrans({"-": "", " ": "", "o": "0", "i": "1", "l": "1"})


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret to be shown once: as text, and as the address that an application reads from a picture."""

    text: str = field(repr=False)
    uri: str = field(repr=False)


def make(connection: sa.Connection, ring: Keyring, person: Person, issuer: str) -> NewSecret:
    """A new secret in the place of any other; it serves once confirmed (`confirm`)."""
    secret = secrets.token_bytes(20)
    number, nonce = ring.current, secrets.token_bytes(12)
    sealed = nonce + AESGCM(ring.content[number]).encrypt(nonce, secret, _binding(person.id))
    connection.execute(sa.delete(one_time_secrets).where(one_time_secrets.c.person_id == person.id))
    row = {"person_id": person.id, "key_number": number, "sealed": sealed, "last_step": 0, "confirmed_at": None}
    connection.execute(sa.insert(one_time_secrets), row)
    text = base64.b32encode(secret).decode()
    return NewSecret(text, pyotp.TOTP(text).provisioning_uri(name=person.name, issuer_name=issuer))


def confirm(connection: sa.Connection, ring: Keyring, person: Person, code: str, at: datetime) -> bool:
    """Have the secret serve from now on, for a code of it was typed; false otherwise."""
    if not _use(connection, ring, person.id, code, at, confirmed=False):
        return False
    changed = sa.update(one_time_secrets).where(one_time_secrets.c.person_id == person.id)
    connection.execute(changed.values(confirmed_at=clock.to_ms(at)))
    _journal(connection, Event.ONE_TIME_CODES, person, {})
    return True


def check(connection: sa.Connection, ring: Keyring, person_id: int, code: str, at: datetime) -> bool:
    """Whether this is a code of the person that has not served yet; from now on it has."""
    return _use(connection, ring, person_id, code, at, confirmed=True)


def has_secret(connection: sa.Connection, person_id: int) -> bool:
    """Whether the person signs in with codes of an application."""
    wanted = (one_time_secrets.c.person_id == person_id) & one_time_secrets.c.confirmed_at.is_not(None)
    return connection.execute(sa.select(one_time_secrets.c.person_id).where(wanted)).first() is not None


def remove(connection: sa.Connection, person: Person) -> None:
    """Have codes of an application serve no longer."""
    if connection.execute(sa.delete(one_time_secrets).where(one_time_secrets.c.person_id == person.id)).rowcount:
        _journal(connection, Event.ONE_TIME_CODES_END, person, {})


def make_recovery_codes(connection: sa.Connection, person: Person, at: datetime) -> list[str]:
    """Ten new codes, to be shown once; any former ones serve no longer."""
    connection.execute(sa.delete(recovery_codes).where(recovery_codes.c.person_id == person.id))
    made = ["".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS)) for _ in range(_CODES)]
    now = clock.to_ms(at)
    rows = [{"person_id": person.id, "digest": _digest(person.id, each), "created_at": now} for each in made]
    connection.execute(sa.insert(recovery_codes), rows)
    _journal(connection, Event.RECOVERY_CODES, person, {"codes": _CODES})
    return ["-".join(each[place : place + 4] for place in range(0, _LETTERS, 4)) for each in made]


def use_recovery_code(connection: sa.Connection, person_id: int, code: str) -> bool:
    """Whether this is a recovery code of the person; from now on it is none."""
    digest = _digest(person_id, code.lower().translate(_READ_AS))
    theirs = (recovery_codes.c.person_id == person_id) & (recovery_codes.c.digest == digest)
    return bool(connection.execute(sa.delete(recovery_codes).where(theirs)).rowcount)


def recovery_codes_left(connection: sa.Connection, person_id: int) -> int:
    """How many recovery codes of the person still serve."""
    wanted = sa.select(sa.func.count()).where(recovery_codes.c.person_id == person_id)
    return int(connection.execute(wanted).scalar_one())


def _use(connection: sa.Connection, ring: Keyring, person_id: int, code: str, at: datetime, *, confirmed: bool) -> bool:
    theirs = one_time_secrets.c.person_id == person_id
    row = connection.execute(sa.select(one_time_secrets).where(theirs).with_for_update()).one_or_none()
    if row is None or (row.confirmed_at is not None) != confirmed:
        return False
    try:
        cipher = AESGCM(ring.content[row.key_number])
        secret = cipher.decrypt(row.sealed[:12], row.sealed[12:], _binding(person_id))
    except (KeyError, InvalidTag):
        return False  # the key that sealed it was destroyed: the person makes another
    codes, typed = pyotp.TOTP(base64.b32encode(secret).decode()), "".join(code.split())
    now = int(at.timestamp()) // STEP_S
    for step in range(now - _EITHER_SIDE, now + _EITHER_SIDE + 1):
        right = codes.at(datetime.fromtimestamp(step * STEP_S, UTC) + timedelta(seconds=1))
        if hmac.compare_digest(right.encode(), typed.encode("utf-8", "surrogatepass")) and step > row.last_step:
            connection.execute(sa.update(one_time_secrets).where(theirs).values(last_step=step))
            return True
    return False


def _binding(person_id: int) -> bytes:
    return b"vaguemestre one-time codes\0" + person_id.to_bytes(8)


def _digest(person_id: int, code: str) -> bytes:
    salted = b"vaguemestre recovery code\0" + person_id.to_bytes(8) + code.encode("utf-8", "surrogatepass")
    return hashlib.sha256(salted).digest()


def _journal(connection: sa.Connection, event: Event, person: Person, facts: dict[str, int]) -> None:
    journal.append(connection, [Entry(event, ids.to_text(person.id), facts, {"person": person.national_id})])
