"""Tokens proven by the provider's published keys (JWKS, RFC 7517): no question asked at each sign-in.

A `KeySet` proves where any token of the provider comes from; a `KeySetVerifier` says whom an access token names.

Kept true: a key serves because the provider publishes it, and stops within `refresh` of being withdrawn, or `kept` while the
provider cannot be reached: its outages stop nobody whose token it signed before. A token signed by a key not seen yet makes
us look again, once in `pause` at most, whatever strangers send.

Only keys for signing count, of RSA with 2048 bits or more or of an elliptic curve; never a shared secret. A token without
a key's name is tried with the one key there is, where there is one (RFC 7515 §4.1.4).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from vaguemestre import clock, log
from vaguemestre.identity import tokens
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import ALGORITHMS, Claims, Policy, ProviderFailure, TokenError

_MOST_KEYS = 50
_MOST_TOKEN = 12_288
_SHORTEST_MODULUS = 342  # 2048 bits in base64url
_UNREADABLE = (
    JoseError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
)  # of libraries, on hostile input
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_KINDS = {"R": "RSA", "P": "RSA", "E": "EC"}
_log = log.get("identity.key_sets")
Key = RSAKey | ECKey


@dataclass(frozen=True, slots=True)
class Rhythm:
    """In seconds: how often keys are fetched again, how soon at the soonest, and how long they serve without that."""

    refresh: float = 3600.0
    pause: float = 30.0
    kept: float = 86_400.0


class KeySet:
    """The keys published at an address. Use from one event loop; `close` it."""

    def __init__(
        self,
        address: str,
        provider: Provider,
        rhythm: Rhythm = Rhythm(),
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._provider, self._rhythm, self._elapsed = address, provider, rhythm, elapsed
        self._keys: dict[str, Key] = {}
        self._fetched = self._tried = float("-inf")
        self._failure: ProviderFailure | None = None
        self._fetching = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def prove(self, token: str) -> dict[str, Any]:
        """The claims of a token that the provider signed: rules 1 to 4 of `tokens`. Raises TokenError, ProviderFailure."""
        signed, header = _extract(token)
        key = await self._key(header)
        try:
            good = jws.validate_compact(signed, key, registry=_REGISTRY)
        except _UNREADABLE as error:
            raise TokenError("token-signature") from error
        if not good:
            raise TokenError("token-signature")
        try:
            return msgspec.json.decode(signed.payload or b"", type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise TokenError("token-malformed") from error

    async def probe(self) -> None:
        """Fetch the keys, for this once. Raises ProviderFailure, also where none can sign tokens."""
        if not _signing_keys(await self._provider.get(self._address)):
            raise ProviderFailure("no usable key")

    async def close(self) -> None:
        """Stop fetching, and close the connections."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        await self._provider.close()

    async def _key(self, header: dict[str, Any]) -> Key:
        """The key that a header names: rule 3. Raises TokenError, ProviderFailure."""
        age = self._elapsed() - self._fetched
        if age > self._rhythm.kept:
            self._keys = {}
        if self._keys and age > self._rhythm.refresh and self._may_try() and not self._fetching.locked():
            self._renewal = asyncio.create_task(self._renew(), name="fetch the provider's keys")
        found = self._named(header)
        if found is None and (self._may_try() or self._fetching.locked()):  # a fetch under way may bring it
            await self._renew()
            found = self._named(header)
        if found is None and self._failure is not None:
            raise ProviderFailure(self._failure.detail)
        if found is None:
            raise TokenError("token-key")
        return found

    def _named(self, header: dict[str, Any]) -> Key | None:
        name = header.get("kid")
        found = self._keys.get(name) if isinstance(name, str) else None
        if name is None and len(self._keys) == 1:
            found = next(iter(self._keys.values()))
        if (
            found is None
            or found.key_type != _KINDS[header["alg"][0]]
            or found.get("alg", header["alg"]) != header["alg"]
        ):
            return None
        return found

    def _may_try(self) -> bool:
        return self._elapsed() - self._tried >= self._rhythm.pause

    async def _renew(self) -> None:
        """Fetch the keys, unless somebody just did. A failure is kept for who needs to know."""
        async with self._fetching:
            if not self._may_try():
                return
            self._tried = self._elapsed()
            try:
                keys = _signing_keys(await self._provider.get(self._address))
                if not keys:
                    raise ProviderFailure("no usable key")
            except ProviderFailure as failure:
                self._failure = failure
                _log.error("the provider's keys could not be fetched", detail=failure.detail)
                return
            self._keys, self._fetched, self._failure = keys, self._elapsed(), None


class KeySetVerifier:
    """Verifies access tokens by a set of keys. `close` it."""

    def __init__(self, keys: KeySet, policy: Policy, *, now: clock.Clock = clock.now) -> None:
        self._keys, self._policy, self._now = keys, policy, now

    async def verify(self, token: str) -> Claims:
        """Whom a token names, by the rules of `tokens`. Raises TokenError, ProviderFailure."""
        return tokens.judge(await self._keys.prove(token), self._policy, self._now())

    async def probe(self) -> None:
        """Fetch the keys, for this once. Raises ProviderFailure."""
        await self._keys.probe()

    async def close(self) -> None:
        """Let go of the keys' connections."""
        await self._keys.close()


def _extract(token: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    """Rules 1 and 2: a signed token, unverified, and its header. Raises TokenError."""
    try:
        if len(token) > _MOST_TOKEN:
            raise ValueError("too long")
        signed = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = signed.headers()
        if not isinstance(header, dict) or "crit" in header or not isinstance(header["alg"], str):
            raise ValueError("a header of another kind")
    except _UNREADABLE as error:
        raise TokenError("token-malformed") from error
    if header["alg"] not in ALGORITHMS:
        raise TokenError("token-algorithm")
    return signed, header


def _signing_keys(published: dict[str, Any]) -> dict[str, Key]:
    """The keys of a set that may sign tokens, by name; others are passed over, as RFC 7517 §5 wants."""
    listed = published.get("keys")
    found: dict[str, Key] = {}
    for each in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        if each.get("kty") == "RSA" and len(str(each.get("n"))) < _SHORTEST_MODULUS:
            continue  # the library would warn of it at each fetch
        try:
            key: Key = RSAKey.import_key(each) if each.get("kty") == "RSA" else ECKey.import_key(each)
            public = key.public_key
            strong = isinstance(public, ec.EllipticCurvePublicKey) or (
                isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048
            )
        except _UNREADABLE:
            continue
        if strong:
            found[str(each.get("kid", ""))] = key
    return found
