"""What waits for an answer while somebody signs in or enrols: kept for minutes, found only by who began it, used once.

Kept true: the browser holds a secret of 256 bits, here stands its digest; taking a flow deletes it in the same transaction, so
that an answer, right or wrong, serves once; what is too old is not there. What it holds is no secret of a person: state,
nonce, verifier, challenge.
"""

import hashlib
import secrets
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.identity.tables import sign_in_flows

LASTS_MS = 600_000


class NoFlowError(VaguemestreError):
    """Nothing waits for this answer: it was answered already, is too old, or was begun in another browser."""

    def __init__(self) -> None:
        super().__init__(
            "This step was not begun in this browser, was done already, or is too old. Start again.",
            "Cette étape n'a pas été commencée dans ce navigateur, est déjà faite ou trop ancienne. Recommencez.",
        )


def keep(connection: sa.Connection, kind: str, content: dict[str, Any], *, lasts_ms: int = LASTS_MS) -> str:
    """Keep what an answer will be compared with; returns the secret for the browser."""
    secret, now = secrets.token_urlsafe(32), now_ms()
    connection.execute(sa.delete(sign_in_flows).where(sign_in_flows.c.until < now))
    row = {
        "digest": _digest(kind, secret),
        "content": msgspec.json.encode(content).decode(),
        "until": now + lasts_ms,
    }
    connection.execute(sa.insert(sign_in_flows), row)
    return secret


def take(connection: sa.Connection, kind: str, secret: str) -> dict[str, Any]:
    """What was kept, which is gone from now on: in a transaction of its own, lest a refusal bring it back. Raises NoFlowError."""
    digest = _digest(kind, secret)
    row = connection.execute(sa.select(sign_in_flows).where(sign_in_flows.c.digest == digest)).one_or_none()
    gone = connection.execute(sa.delete(sign_in_flows).where(sign_in_flows.c.digest == digest)).rowcount
    if row is None or not gone or row.until < now_ms():
        raise NoFlowError
    return msgspec.json.decode(row.content, type=dict[str, Any])


def _digest(kind: str, secret: str) -> bytes:
    return hashlib.sha256(f"vaguemestre flow\0{kind}\0{secret}".encode("utf-8", "surrogatepass")).digest()
