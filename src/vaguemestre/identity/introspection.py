"""Tokens proven by asking the provider about each (RFC 7662, spec clients §1): it knows of those it revoked.

Kept true: our secret travels in the Authorization header only, the token in the form only; the provider's word that a token
is active is not enough, the rules on issuer, dates, audience and person hold as well. While it does not answer, nobody is
let in by token, and nobody is refused: the answer is that of a failure.
"""

import base64
from typing import Any
from urllib.parse import quote_plus

from vaguemestre import clock
from vaguemestre.identity import tokens
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import Claims, Policy, ProviderFailure, TokenError


class IntrospectionVerifier:
    """Verifies tokens at an introspection endpoint, as the client whose `secret` this is. `close` it."""

    def __init__(
        self,
        address: str,
        client: str,
        secret: str,
        provider: Provider,
        policy: Policy,
        *,
        now: clock.Clock = clock.now,
    ) -> None:
        self._address, self._provider, self._policy, self._now = address, provider, policy, now
        pair = f"{quote_plus(client)}:{quote_plus(secret)}"  # RFC 6749 §2.3.1
        self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()

    async def verify(self, token: str) -> Claims:
        """Whom a token names, by the rules of `tokens`. Raises TokenError, ProviderFailure."""
        form = {"token": token, "token_type_hint": "access_token"}
        claims: dict[str, Any] = await self._provider.post(self._address, form, self._authorization)
        if claims.get("active") is not True:
            raise TokenError("token-inactive")
        return tokens.judge(claims, self._policy, self._now())

    async def probe(self) -> None:
        """Ask about a token that nobody has. Raises ProviderFailure."""
        answer = await self._provider.post(self._address, {"token": "nobody's"}, self._authorization)
        if answer.get("active") is not False:
            raise ProviderFailure("it takes any token to be good")

    async def close(self) -> None:
        """Close the connections."""
        await self._provider.close()
