"""Sessions of people in a browser: who is signed in, on which device, since when, until when.

Kept true: a session is a secret of 256 bits that the browser holds, here a digest; it ends when it was idle too long, when it is
too old, when its person ends it or all of theirs, and for good. The secret changes as it is used (`rotates`): for a moment
(`grace`) the former still serves, since a page asks several things at once; later it betrays a stolen copy, and the session
ends for whoever has it. A session is never taken over by signing in: that makes a new one (no fixation).

OWASP ASVS 5.0 chapter 7.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity.model import Means, Person
from vaguemestre.identity.persons import person as person_of
from vaguemestre.identity.tables import persons, web_sessions

_MOST_TEXT = 120
_NOTED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in milliseconds."""

    idle: int = 60 * 60_000
    absolute: int = 12 * 3_600_000
    rotates: int = 10 * 60_000
    grace: int = 60_000
    fresh: int = 10 * 60_000


@dataclass(frozen=True, slots=True)
class Session:
    """A session that stands. `device` is what the browser says it is; `network` where it was last; times in milliseconds.

    `proved_at`: when the person last proved who they are, for what asks for it anew (`is_fresh`).
    """

    id: int
    person: Person
    means: Means
    device: str
    network: str
    began_at: int
    used_at: int
    proved_at: int


def begin(connection: sa.Connection, person: Person, means: Means, device: str, network: str) -> tuple[str, Session]:
    """A new session for somebody who proved who they are, and its secret for their browser."""
    secret, now = secrets.token_urlsafe(32), now_ms()
    session = Session(ids.next_id(), person, means, _shown(device), _shown(network), now, now, now)
    row = {
        "id": session.id,
        "person_id": person.id,
        "digest": _digest(secret),
        "former": b"",
        "means": str(means),
        "device": session.device,
        "network": session.network,
        "began_at": now,
        "used_at": now,
        "rotated_at": now,
        "proved_at": now,
    }
    connection.execute(sa.insert(web_sessions), row)
    _journal(connection, Event.SIGN_IN, session, {"means": str(means), "protocol": "web"})
    return secret, session


def look(connection: sa.Connection, secret: str, limits: Limits) -> tuple[Session, bool] | None:
    """The session of a secret, or None where nobody is signed in with it; and whether to `advance` it. Only reads."""
    found = _find(connection, secret)
    if found is None or _why_over(found, secret, limits):
        return None
    return _session(found), found.digest == _digest(secret) and now_ms() - found.used_at > _NOTED_MS


def advance(connection: sa.Connection, secret: str, network: str, limits: Limits) -> tuple[Session, str] | None:
    """Note that a session is used; returns it, and its new secret where that changes, else an empty text.

    None where nobody is signed in with this secret any more: then the session, if any, is ended for good.
    """
    found = _find(connection, secret)
    if found is None:
        return None
    session, now = _session(found), now_ms()
    over = _why_over(found, secret, limits)
    if over:
        _remove(connection, session, over)
        return None
    changes: dict[str, Any] = {"used_at": now, "network": _shown(network)}
    renewed = ""
    if found.digest == _digest(secret) and now - found.rotated_at > limits.rotates:
        renewed = secrets.token_urlsafe(32)
        changes |= {"digest": _digest(renewed), "former": found.digest, "rotated_at": now}
    connection.execute(sa.update(web_sessions).where(web_sessions.c.id == session.id).values(**changes))
    return session, renewed


def prove_again(connection: sa.Connection, session: Session) -> str:
    """The person just proved who they are anew; returns the session's new secret: no former one serves any more."""
    secret, now = secrets.token_urlsafe(32), now_ms()
    changes = {"digest": _digest(secret), "former": b"", "rotated_at": now, "proved_at": now}
    connection.execute(sa.update(web_sessions).where(web_sessions.c.id == session.id).values(**changes))
    return secret


def is_fresh(session: Session, limits: Limits) -> bool:
    """Whether the person proved who they are lately enough to change how they sign in."""
    return now_ms() - session.proved_at <= limits.fresh


def of_person(connection: sa.Connection, person_id: int, limits: Limits) -> list[Session]:
    """The sessions of a person that stand, the newest first."""
    now = now_ms()
    standing = (web_sessions.c.began_at >= now - limits.absolute) & (web_sessions.c.used_at >= now - limits.idle)
    wanted = _rows().where(web_sessions.c.person_id == person_id, standing).order_by(web_sessions.c.id.desc())
    return [_session(row) for row in connection.execute(wanted)]


def end(connection: sa.Connection, person_id: int, session_id: int) -> None:
    """End a session of a person; one that is gone, or somebody else's, is left as it is."""
    theirs = (web_sessions.c.id == session_id) & (web_sessions.c.person_id == person_id)
    row = connection.execute(_rows().where(theirs)).one_or_none()
    if row is not None:
        _remove(connection, _session(row), "signed-out")


def end_all(connection: sa.Connection, person_id: int, but: int = 0) -> int:
    """End every session of a person but one; returns how many."""
    rows = connection.execute(_rows().where(web_sessions.c.person_id == person_id, web_sessions.c.id != but)).all()
    for row in rows:
        _remove(connection, _session(row), "signed-out-everywhere")
    return len(rows)


def forget(connection: sa.Connection, limits: Limits) -> int:
    """Delete what no longer stands; returns how many. Work for a periodic job."""
    now = now_ms()
    old = (web_sessions.c.began_at < now - limits.absolute) | (web_sessions.c.used_at < now - limits.idle)
    return connection.execute(sa.delete(web_sessions).where(old)).rowcount


def _remove(connection: sa.Connection, session: Session, why: str) -> None:
    if connection.execute(sa.delete(web_sessions).where(web_sessions.c.id == session.id)).rowcount:
        _journal(connection, Event.SIGN_OUT, session, {"why": why})


def _find(connection: sa.Connection, secret: str) -> Any:
    digest = _digest(secret)
    held = (web_sessions.c.digest == digest) | (web_sessions.c.former == digest)
    return connection.execute(_rows().where(held)).one_or_none()


def _why_over(found: Any, secret: str, limits: Limits) -> str:
    """Why a session may not go on, or an empty text."""
    now = now_ms()
    if now - found.began_at > limits.absolute or now - found.used_at > limits.idle:
        return "too-old"
    if found.digest != _digest(secret) and now - found.rotated_at > limits.grace:
        return "former-secret"  # somebody has a copy, and nobody can tell who
    return ""


def _rows() -> "sa.Select[Any]":
    mine = (each.label(f"session_{each.name}") for each in web_sessions.c if each.name == "id")
    others = (each for each in web_sessions.c if each.name not in ("id", "person_id"))
    return sa.select(*mine, *others, persons.c.id, persons.c.national_id, persons.c.name).join_from(
        web_sessions, persons, web_sessions.c.person_id == persons.c.id
    )


def _session(row: Any) -> Session:
    return Session(
        row.session_id,
        person_of(row),
        Means(row.means),
        row.device,
        row.network,
        row.began_at,
        row.used_at,
        row.proved_at,
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"vaguemestre session\0" + secret.encode("utf-8", "surrogatepass")).digest()


def _shown(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_MOST_TEXT]).split())


def _journal(connection: sa.Connection, event: Event, session: Session, facts: dict[str, Any]) -> None:
    entry = Entry(event, ids.to_text(session.id), facts, {"person": session.person.national_id, "ip": session.network})
    journal.append(connection, [entry])
