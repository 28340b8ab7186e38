"""Signing in with Pro Santé Connect: the code flow of OpenID Connect, its tokens and userinfo, and CIBA.

Kept true: what comes back is believed only for the flow that this browser began (`state`), with the secret only we have
(PKCE, S256), in an ID token that the provider signed for us (signature, issuer, audience, authorized party, dates, nonce);
and userinfo only where its subject is that ID token's. A flow serves once: its keeper takes it away before `finish`.

Rules for an ID token, in order; the first that fails is the `rule` of the TokenError. 1 to 4 are those of `tokens`; then
5. `id-token-issuer`; 6. `id-token-audience`: ours is among them, and `azp`, where there is one or several audiences, is us;
7. `id-token-expired`, `id-token-not-yet-valid`; 8. `id-token-nonce`; 9. `id-token-kind`: never an access token in its place;
10. `id-token-hash`: `at_hash`, where given, is the access token's; 11. `id-token-level`: the level asked for (`acr`).

The provider's addresses are what configuration says or what it publishes (`Endpoints`); the issuer and the address people are
sent to stand on different hosts there (spec clients §7).

OpenID Connect Core 1.0 §3.1; RFC 7636 (PKCE); RFC 9207 (`iss` of the answer); CIBA Core 1.0 in poll mode.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from vaguemestre import clock
from vaguemestre.errors import VaguemestreError
from vaguemestre.identity import tokens, userinfo
from vaguemestre.identity.key_sets import KeySet
from vaguemestre.identity.provider import Provider, ProviderRefusal
from vaguemestre.identity.tokens import ProviderFailure, TokenError
from vaguemestre.identity.userinfo import Professional

_USUAL = "/protocol/openid-connect"
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
_LONGEST_ASKED = timedelta(minutes=10)
_SLOWER = timedelta(seconds=5)  # RFC 8628 §3.5, which CIBA takes over


class SignInStoppedError(VaguemestreError):
    """The professional, or the provider for them, stopped the sign-in."""

    def __init__(self, error: str) -> None:
        super().__init__(
            "The sign-in with Pro Santé Connect was not completed. Start again.",
            "La connexion avec Pro Santé Connect n'a pas abouti. Recommencez.",
        )
        self.error = error


class FlowError(VaguemestreError):
    """What came back answers nothing this browser began: an old link, another browser, or somebody else's doing."""

    def __init__(self, rule: str) -> None:
        super().__init__(
            "This sign-in was not begun in this browser, or is too old. Start again.",
            "Cette connexion n'a pas été commencée dans ce navigateur, ou est trop ancienne. Recommencez.",
        )
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the provider; an empty one is not offered."""

    authorize: str
    token: str
    userinfo: str
    certs: str
    logout: str = ""
    introspection: str = ""
    ciba: str = ""
    revocation: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """What the provider knows us as, and what we ask of it. `level` empty: no `acr` is asked for or checked."""

    issuer: str
    client: str
    secret: str = field(repr=False)
    redirect: str
    scope: str = "openid scope_all"
    level: str = "eidas1"
    skew: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way; kept where only the browser that began it finds it, and taken away when used."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What the provider granted; never stored (CONF.28)."""

    subject: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    id_token: str = field(repr=False)
    expires: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A confirmation asked for on somebody's phone: ask for the answer each `interval`, until `expires`."""

    id: str = field(repr=False)
    expires: datetime
    interval: timedelta


def usual(issuer: str, authorize: str) -> Endpoints:
    """Where Pro Santé Connect's stand, by its issuer and the address that people are sent to."""
    base = issuer.rstrip("/") + _USUAL
    return Endpoints(
        authorize,
        f"{base}/token",
        f"{base}/userinfo",
        f"{base}/certs",
        f"{base}/logout",
        f"{base}/token/introspect",
        f"{base}/ext/ciba/auth",
    )


def discovered(document: Mapping[str, Any], issuer: str, authorize: str = "") -> Endpoints:
    """What a provider publishes of itself (OpenID Connect Discovery §3). Raises ProviderFailure where it is another's."""

    def text(name: str) -> str:
        value = document.get(name, "")
        return value if isinstance(value, str) and urlsplit(value).scheme in ("https", "http") else ""

    if document.get("issuer") != issuer:
        raise ProviderFailure("the discovery document is another issuer's")
    found = Endpoints(
        authorize or text("authorization_endpoint"),
        text("token_endpoint"),
        text("userinfo_endpoint"),
        text("jwks_uri"),
        text("end_session_endpoint"),
        text("introspection_endpoint"),
        text("backchannel_authentication_endpoint"),
        text("revocation_endpoint"),
    )
    if not (found.authorize and found.token and found.userinfo and found.certs):
        raise ProviderFailure("the discovery document lacks addresses")
    return found


class OpenIdClient:
    """One client of the provider. Use from one event loop; `close` it."""

    def __init__(
        self,
        registration: Registration,
        endpoints: Endpoints,
        provider: Provider,
        keys: KeySet,
        *,
        now: clock.Clock = clock.now,
    ) -> None:
        self._registration, self._endpoints, self._provider, self._keys = registration, endpoints, provider, keys
        self._now = now
        pair = f"{quote_plus(registration.client)}:{quote_plus(registration.secret)}"  # RFC 6749 §2.3.1
        self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()

    def begin(self, *, again: bool = False) -> tuple[str, Flow]:
        """Where to send the browser, and the flow to keep. `again`: even who is signed in there proves it anew."""
        flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        asked = {
            "response_type": "code",
            "client_id": self._registration.client,
            "redirect_uri": self._registration.redirect,
            "scope": self._registration.scope,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": _unpadded(hashlib.sha256(flow.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if self._registration.level:
            asked["acr_values"] = self._registration.level
        if again:
            asked["prompt"] = "login"
        separator = "&" if urlsplit(self._endpoints.authorize).query else "?"
        return self._endpoints.authorize + separator + urlencode(asked), flow

    async def finish(self, flow: Flow, answer: Mapping[str, str]) -> Granted:
        """What the provider grants for the answer that the browser brought back.

        Raises FlowError, SignInStoppedError, TokenError, ProviderFailure.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise FlowError("flow-state")
        if answer.get("iss", self._registration.issuer) != self._registration.issuer:
            raise FlowError("flow-issuer")
        if "error" in answer:
            raise SignInStoppedError(answer["error"][:40])
        if not answer.get("code"):
            raise FlowError("flow-code")
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": self._registration.redirect,
            "code_verifier": flow.verifier,
        }
        try:
            granted = await self._provider.post(self._endpoints.token, form, self._authorization)
        except ProviderRefusal as refusal:
            raise _refused(refusal, FlowError("flow-code")) from refusal
        return await self._granted(granted, flow.nonce)

    async def whoami(self, granted: Granted) -> Professional:
        """Who signed in, as the provider describes them now. Raises TokenError, ProviderFailure."""
        try:
            shown = await self._provider.show(self._endpoints.userinfo, f"Bearer {granted.access}")
        except ProviderRefusal as refusal:
            raise _refused(refusal, TokenError("token-inactive")) from refusal
        if isinstance(shown, str):
            shown = await self._keys.prove(shown)
            if shown.get("iss", self._registration.issuer) != self._registration.issuer:
                raise TokenError("token-issuer")
            if self._registration.client not in _audience(shown, self._registration.client):
                raise TokenError("token-audience")
        if shown.get("sub") != granted.subject:
            raise TokenError("userinfo-subject")
        return userinfo.read(shown)

    async def renew(self, granted: Granted) -> Granted:
        """Granted again while the provider's session lasts. Raises SignInStoppedError when it ended; ProviderFailure."""
        form = {"grant_type": "refresh_token", "refresh_token": granted.refresh}
        try:
            answered = await self._provider.post(self._endpoints.token, form, self._authorization)
        except ProviderRefusal as refusal:
            raise _refused(refusal, SignInStoppedError(refusal.error)) from refusal
        renewed = await self._granted({"id_token": granted.id_token, **answered}, None, renewed=True)
        if renewed.subject != granted.subject:
            raise TokenError("id-token-subject")
        return renewed

    async def stands(self, granted: Granted) -> bool:
        """Whether the provider still holds what it granted for good (RFC 7662). Raises ProviderFailure."""
        form = {"token": granted.access, "token_type_hint": "access_token"}
        answered = await self._provider.post(self._endpoints.introspection, form, self._authorization)
        return answered.get("active") is True

    async def log_out(self, granted: Granted) -> None:
        """End what was granted at the provider. Raises ProviderFailure; ours has ended whatever it says.

        Where it revokes (RFC 7009), both tokens are; else its session ends by the refresh token, as Pro Santé Connect's does.
        """
        if self._endpoints.revocation:
            for kind, token in (("refresh_token", granted.refresh), ("access_token", granted.access)):
                form = {"token": token, "token_type_hint": kind}
                await self._provider.tell(self._endpoints.revocation, form, self._authorization)
            return
        form = {"refresh_token": granted.refresh, "client_id": self._registration.client}
        await self._provider.tell(self._endpoints.logout, form, self._authorization)

    async def ask(self, national_id: str, message: str) -> Asked:
        """Ask somebody to confirm on their phone, where they see `message`, two digits. Raises ProviderFailure.

        Raises SignInStoppedError where nobody of this identifier can be asked.
        """
        form = {
            "scope": self._registration.scope,
            "login_hint": national_id,
            "binding_message": message,
        } | ({"acr_values": self._registration.level} if self._registration.level else {})
        try:
            answered = await self._provider.post(self._endpoints.ciba, form, self._authorization)
        except ProviderRefusal as refusal:
            raise _refused(refusal, SignInStoppedError(refusal.error)) from refusal
        request, lasts = answered.get("auth_req_id"), _seconds(answered, "expires_in", 120)
        if not isinstance(request, str) or not request:
            raise ProviderFailure("no auth_req_id")
        return Asked(request, self._now() + min(lasts, _LONGEST_ASKED), _seconds(answered, "interval", 5))

    async def answer(self, asked: Asked) -> Granted | Asked:
        """What was granted; or, while nobody answered, when to ask again (`interval` may have grown).

        Raises SignInStoppedError when it was refused or is too late; TokenError, ProviderFailure.
        """
        if self._now() >= asked.expires:
            raise SignInStoppedError("expired_token")
        form = {"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": asked.id}
        try:
            answered = await self._provider.post(self._endpoints.token, form, self._authorization)
        except ProviderRefusal as refusal:
            if refusal.error == "authorization_pending":
                return asked
            if refusal.error == "slow_down":
                return Asked(asked.id, asked.expires, asked.interval + _SLOWER)
            raise _refused(refusal, SignInStoppedError(refusal.error)) from refusal
        return await self._granted(answered, None)

    async def close(self) -> None:
        """Let go of connections and tasks."""
        await self._keys.close()
        await self._provider.close()

    async def _granted(self, answered: Mapping[str, Any], nonce: str | None, *, renewed: bool = False) -> Granted:
        access, id_token = answered.get("access_token"), answered.get("id_token")
        if not isinstance(access, str) or not access or not isinstance(id_token, str):
            raise ProviderFailure("no access token or no ID token")
        if str(answered.get("token_type", "Bearer")).lower() != "bearer":
            raise ProviderFailure("an access token of another type")
        claims = await self._keys.prove(id_token)
        judge(claims, self._registration, nonce, self._now(), renewed=renewed)
        _check_hash(claims, id_token, access, nonce)
        refresh = answered.get("refresh_token")
        return Granted(
            str(claims["sub"]),
            access,
            refresh if isinstance(refresh, str) else "",
            id_token,
            self._now() + _seconds(answered, "expires_in", 60),
        )


def judge(
    claims: Mapping[str, Any], registration: Registration, nonce: str | None, at: datetime, *, renewed: bool = False
) -> None:
    """Rules 5 to 9 and 11 on the claims of an ID token whose origin is proven. Raises TokenError.

    `nonce` None: none was asked for (CIBA, or renewal). `renewed`: the token may be the one of the sign-in, and past its end.
    """
    if claims.get("iss") != registration.issuer:
        raise TokenError("id-token-issuer")
    audiences = _audience(claims)
    party = claims.get("azp", registration.client if len(audiences) == 1 else None)
    if registration.client not in audiences or party != registration.client:
        raise TokenError("id-token-audience")
    expires, issued = tokens.date(claims, "exp"), tokens.date(claims, "iat")
    if expires is None or (at >= expires + registration.skew and not renewed):
        raise TokenError("id-token-expired")
    if issued is None or at < issued - registration.skew:
        raise TokenError("id-token-not-yet-valid")
    begins = tokens.date(claims, "nbf")
    if begins is not None and at < begins - registration.skew:
        raise TokenError("id-token-not-yet-valid")
    said = claims.get("nonce")
    if nonce is not None and not (isinstance(said, str) and hmac.compare_digest(said.encode(), nonce.encode())):
        raise TokenError("id-token-nonce")
    if str(claims.get("typ", "ID")).upper() != "ID" or not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise TokenError("id-token-kind")
    if registration.level and claims.get("acr", registration.level) != registration.level:
        raise TokenError("id-token-level")


def _check_hash(claims: Mapping[str, Any], id_token: str, access: str, nonce: str | None) -> None:
    """Rule 10 (OpenID Connect Core §3.1.3.6); a renewed access token has another than the sign-in's."""
    said = claims.get("at_hash")
    if said is None or nonce is None:
        return
    head = id_token.partition(".")[0]
    algorithm = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)), type=dict[str, Any])["alg"]
    digest = _HASHES[str(algorithm)[-3:]](access.encode()).digest()
    if said != _unpadded(digest[: len(digest) // 2]):
        raise TokenError("id-token-hash")


def _refused(refusal: ProviderRefusal, fact: VaguemestreError) -> VaguemestreError:
    """A refusal for our own faults (the client is unknown there, or not allowed this) is a failure, and nobody else's."""
    if refusal.error in ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"):
        return ProviderFailure(refusal.detail)
    return fact


def _audience(claims: Mapping[str, Any], otherwise: str = "") -> tuple[str, ...]:
    found = claims.get("aud", otherwise)
    return (
        (found,)
        if isinstance(found, str)
        else tuple(each for each in found if isinstance(each, str))
        if isinstance(found, list)
        else ()
    )


def _seconds(of: Mapping[str, Any], name: str, usual_: int) -> timedelta:
    value = of.get(name)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 86_400
    return timedelta(seconds=value if good and isinstance(value, int) else usual_)


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
