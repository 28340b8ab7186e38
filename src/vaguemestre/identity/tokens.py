"""Access tokens of Pro Santé Connect: what makes one good, and whom it names.

Kept true: a token that breaks a rule names nobody; what it says of itself (its algorithm, an embedded key, an address to
fetch one from) decides nothing, only what is configured does. These rules are pure; `key_sets` proves a token by the
provider's keys, `introspection` by asking the provider, and both then ask here.

Rules, in order; the first that fails is the `rule` of the TokenError:
1. `token-malformed`: three parts of base64url, the first two JSON objects (RFC 7515 §5.2); nothing critical in the header;
2. `token-algorithm`: signed, with RSA or an elliptic curve and SHA-2: never `none`, never a shared secret (RFC 8725 §3.1);
3. `token-key`: by a key of the provider's present set, of the algorithm's kind;
4. `token-signature`; or, by introspection, `token-inactive`;
5. `token-issuer`: by the configured issuer, compared as text (RFC 8725 §3.8);
6. `token-expired`, `token-not-yet-valid`: now, give or take a bounded skew (RFC 7519 §4.1.4 to 4.1.6); one without an end is
   refused;
7. `token-audience`, `token-client`: where configured, meant for one of these, got by one of those (`azp`);
8. `token-kind`: an access token, neither one that tells a client who signed in nor one that renews others;
9. `token-person`: it names a person: SubjectNameID, or `preferred_username` where that is absent (spec clients §7).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from vaguemestre.errors import VaguemestreError
from vaguemestre.identity import model
from vaguemestre.identity.model import NationalIdError, RefusedIdentityError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_MOST_SKEW = timedelta(minutes=5)


class TokenError(RefusedIdentityError):
    """The token proves nothing here."""


class ProviderFailure(VaguemestreError):
    """The provider of identity does not answer as it must: whether a token is good cannot be told for now."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "Pro Santé Connect cannot be reached from here for now. Try again in a moment.",
            "Pro Santé Connect est injoignable d'ici pour l'instant. Réessayez dans un moment.",
        )
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Policy:
    """Which tokens are good. Empty `audiences` or `clients` ask for none; `skew` bounds how far clocks may differ."""

    issuer: str
    audiences: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    skew: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        """Raise ValueError for a skew that would make dates mean nothing."""
        if not timedelta(0) <= self.skew <= _MOST_SKEW:
            raise ValueError("a skew is between 0 and 5 minutes")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says: the person's national identifier, and the client that got it (`azp`)."""

    national_id: str
    client: str
    expires: datetime
    all: Mapping[str, Any] = field(repr=False, default_factory=dict)


class TokenVerifier(Protocol):
    """What tells whom a token names."""

    async def verify(self, token: str) -> Claims:
        """Raises TokenError, ProviderFailure."""

    async def probe(self) -> None:
        """Ask the provider what tells whether it can be asked at all. Raises ProviderFailure."""

    async def close(self) -> None:
        """Let go of connections and tasks."""


def judge(claims: Mapping[str, Any], policy: Policy, at: datetime) -> Claims:
    """Rules 5 to 9, on the claims of a token whose origin is proven. Raises TokenError."""
    if claims.get("iss") != policy.issuer:
        raise TokenError("token-issuer")
    expires = date(claims, "exp")
    if expires is None or at >= expires + policy.skew:
        raise TokenError("token-expired")
    for name in ("nbf", "iat"):
        begins = date(claims, name)
        if begins is not None and at < begins - policy.skew:
            raise TokenError("token-not-yet-valid")
    audience = claims.get("aud", [])
    meant = {audience} if isinstance(audience, str) else {each for each in _list(audience) if isinstance(each, str)}
    if policy.audiences and not policy.audiences & meant:
        raise TokenError("token-audience")
    client = claims.get("azp", claims.get("client_id", ""))
    if policy.clients and client not in policy.clients:
        raise TokenError("token-client")
    if str(claims.get("typ", "Bearer")).lower() != "bearer":  # Keycloak's own: ID, Refresh, Offline, Bearer
        raise TokenError("token-kind")
    return Claims(_person(claims), client if isinstance(client, str) else "", expires, claims)


def _person(claims: Mapping[str, Any]) -> str:
    """Rule 9."""
    named = claims.get("SubjectNameID", claims.get("preferred_username"))
    try:
        if not isinstance(named, str):
            raise TokenError("token-person")
        return model.national_id(named)
    except NationalIdError as error:
        raise TokenError("token-person") from error


def date(claims: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate (RFC 7519 §2), or None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError("token-malformed")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TokenError("token-malformed") from error


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
