"""What a pretend Pro Santé Connect knows and grants: no I/O, one clock.

It keeps what the real one does (spec clients §7): two-minute access tokens, half an hour of renewal, codes that serve once and
for a minute, PKCE, CIBA in poll mode with a two-digit message. `quirks` make it fail on demand, as tests ask.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey

ACCESS_S, REFRESH_S, CODE_S, ASKED_S, INTERVAL_S = 120, 1800, 60, 120, 1
LEVEL = "eidas1"


class RefusedError(Exception):
    """The error of an answer (RFC 6749 §5.2, CIBA §13), and its status."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


@dataclass(slots=True)
class Client:
    """A client that is registered here."""

    name: str
    secret: str
    redirects: tuple[str, ...]


@dataclass(slots=True)
class _Code:
    client: str
    redirect: str
    person: str
    nonce: str
    challenge: str
    until: float


@dataclass(slots=True)
class _Session:
    client: str
    person: str
    until: float
    alive: bool = True


@dataclass(slots=True)
class Question:
    """A confirmation that waits on somebody's phone; `answer` None while it waits."""

    id: str
    client: str
    person: str
    message: str
    until: float
    polled: float = 0.0
    answer: bool | None = None


@dataclass(slots=True)
class Quirks:
    """What goes wrong on demand; all are off at first."""

    status: dict[str, int] = field(default_factory=dict)  # endpoint's name → HTTP status instead of an answer
    claims: dict[str, Any] = field(default_factory=dict)  # put into ID tokens
    access_s: int = ACCESS_S
    other_subject: bool = False  # userinfo of somebody else


class PretendProvider:
    """The provider's mind."""

    def __init__(
        self,
        issuer: str,
        clients: list[Client],
        people: list[dict[str, Any]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer, self._now = issuer, now
        self.clients = {client.name: client for client in clients}
        self.people = {str(person["SubjectNameID"]): person for person in people}
        self.quirks = Quirks()
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})
        self.published = [self.key]
        self._codes: dict[str, _Code] = {}
        self._sessions: dict[str, _Session] = {}  # by refresh token
        self._access: dict[str, tuple[_Session, float]] = {}
        self.questions: dict[str, Question] = {}

    def rotate(self) -> None:
        """Sign with a new key; the former stays published."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})
        self.published.append(self.key)

    def keys(self) -> dict[str, Any]:
        """The keys as they are published."""
        return {"keys": [key.as_dict(private=False) for key in self.published]}

    def check_request(self, asked: Mapping[str, str]) -> Client:
        """A request to sign somebody in, seen to be good. Raises RefusedError; never redirects to an unknown address."""
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client.redirects:
            raise RefusedError("invalid_request")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            raise RefusedError("unsupported_response_type")
        return client

    def sign_in(self, asked: Mapping[str, str], person: str) -> str:
        """A code for somebody who chose who they are. Raises RefusedError."""
        client = self.check_request(asked)
        if person not in self.people:
            raise RefusedError("access_denied")
        code = secrets.token_urlsafe(24)
        challenge = asked.get("code_challenge", "") if asked.get("code_challenge_method") == "S256" else ""
        self._codes[code] = _Code(
            client.name, asked["redirect_uri"], person, asked.get("nonce", ""), challenge, self._now() + CODE_S
        )
        return code

    def authenticate(self, authorization: str) -> Client:
        """The client that a Basic header names. Raises RefusedError."""
        try:
            pair = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except ValueError as error:
            raise RefusedError("invalid_client", 401) from error
        name, _, secret = pair.partition(":")
        client = self.clients.get(unquote_plus(name))
        if client is None or not secrets.compare_digest(unquote_plus(secret).encode(), client.secret.encode()):
            raise RefusedError("invalid_client", 401)
        return client

    def token(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        """What the token endpoint answers. Raises RefusedError."""
        kind = form.get("grant_type")
        if kind == "authorization_code":
            return self._from_code(client, form)
        if kind == "refresh_token":
            session = self._sessions.pop(form.get("refresh_token", ""), None)
            if session is None or session.client != client.name or not session.alive or self._now() >= session.until:
                raise RefusedError("invalid_grant")
            return self._grant(session, "")
        if kind == "urn:openid:params:grant-type:ciba":
            return self._from_question(client, form)
        raise RefusedError("unsupported_grant_type")

    def userinfo(self, access: str) -> dict[str, Any]:
        """Who an access token is about. Raises RefusedError."""
        session = self._valid(access)
        if session is None:
            raise RefusedError("invalid_token", 401)
        if self.quirks.other_subject:
            return next(person for name, person in self.people.items() if name != session.person)
        return self.people[session.person]

    def introspect(self, token: str) -> dict[str, Any]:
        """What is known of a token (RFC 7662)."""
        session = self._valid(token)
        if session is None:
            return {"active": False}
        key = next(each for each in self.published if each.kid == _header(token)["kid"])
        return {"active": True, **jwt.decode(token, key).claims}

    def log_out(self, refresh: str) -> None:
        """End the session of a refresh token."""
        session = self._sessions.pop(refresh, None)
        if session is not None:
            session.alive = False

    def ask(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        """A question for somebody's phone. Raises RefusedError."""
        person, message = form.get("login_hint", ""), form.get("binding_message", "")
        if person not in self.people:
            raise RefusedError("unknown_user_id")
        if len(message) != 2 or not message.isdigit():
            raise RefusedError("invalid_binding_message")
        question = Question(secrets.token_urlsafe(24), client.name, person, message, self._now() + ASKED_S)
        self.questions[question.id] = question
        return {"auth_req_id": question.id, "expires_in": ASKED_S, "interval": INTERVAL_S}

    def _from_code(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        if (
            code is None
            or code.client != client.name
            or code.redirect != form.get("redirect_uri")
            or self._now() >= code.until
            or (code.challenge and code.challenge != _challenge(verifier))
        ):
            raise RefusedError("invalid_grant")
        return self._grant(_Session(client.name, code.person, self._now() + REFRESH_S), code.nonce)

    def _from_question(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        question = self.questions.get(form.get("auth_req_id", ""))
        if question is None or question.client != client.name:
            raise RefusedError("invalid_grant")
        if self._now() >= question.until:
            raise RefusedError("expired_token")
        early, question.polled = self._now() < question.polled + INTERVAL_S * 0.5, self._now()
        if question.answer is None:
            raise RefusedError("slow_down" if early else "authorization_pending")
        del self.questions[question.id]
        if not question.answer:
            raise RefusedError("access_denied")
        return self._grant(_Session(client.name, question.person, self._now() + REFRESH_S), "")

    def _grant(self, session: _Session, nonce: str) -> dict[str, Any]:
        now, person = int(self._now()), self.people[session.person]
        lasts = self.quirks.access_s
        common = {"iss": self.issuer, "iat": now, "auth_time": now, "sub": person["sub"], "azp": session.client}
        access = self._signed(
            {**common, "exp": now + lasts, "typ": "Bearer", "aud": "account", "jti": secrets.token_hex(8),
             "SubjectNameID": session.person, "preferred_username": session.person}
        )  # fmt: skip
        refresh = secrets.token_urlsafe(32)
        self._sessions[refresh] = session
        self._access[access] = (session, now + lasts)
        digest = hashlib.sha256(access.encode()).digest()[:16]
        identity = {
            **common,
            "exp": now + lasts,
            "aud": session.client,
            "typ": "ID",
            "acr": LEVEL,
            "at_hash": _unpadded(digest),
            **({"nonce": nonce} if nonce else {}),
            **self.quirks.claims,
        }
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lasts,
            "refresh_token": refresh,
            "refresh_expires_in": REFRESH_S,
            "id_token": self._signed({name: value for name, value in identity.items() if value is not None}),
            "scope": "openid scope_all",
        }

    def _valid(self, access: str) -> _Session | None:
        session, until = self._access.get(access, (None, 0.0))
        return session if session is not None and session.alive and self._now() < until else None

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": str(self.key.kid)}, claims, self.key)


def _challenge(verifier: str) -> str:
    return _unpadded(hashlib.sha256(verifier.encode()).digest())


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _header(token: str) -> dict[str, Any]:
    head = token.partition(".")[0]
    return msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)), type=dict[str, Any])
