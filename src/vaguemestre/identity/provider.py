"""Talking to the provider of identity: HTTP with bounds on time, size and number, and JSON objects back.

Kept true: an answer that is late, too long, redirected, not 200 or not what was asked for is a ProviderFailure, whose detail
holds no token and no secret; one that says why it refuses (RFC 6749 §5.2), or has no word to say, is a ProviderRefusal, with the
code of the reason.
Connections are kept, since a sign-in waits for the answer.
"""

import asyncio
import re
import ssl
from typing import Any

import httpx
import msgspec

from vaguemestre.identity.tokens import ProviderFailure

_TIMEOUT_S = 8.0
_MOST_OCTETS = 262_144
_MOST_AT_ONCE = 20
_CODE = re.compile(r"[a-z_]{1,40}")
# What a refusal without a body says: of a bearer's token (RFC 6750 §3.1 puts its words into a header), of what a form gave.
_WORDLESS = {("GET", 401): "invalid_token", ("POST", 400): "invalid_request"}


class ProviderRefusal(ProviderFailure):
    """The provider answers, and says no; `error` is its reason's code (`invalid_grant`, `authorization_pending`…)."""

    def __init__(self, error: str) -> None:
        super().__init__(f"refused: {error}")
        self.error = error


class Provider:
    """The HTTP client of one provider. `tls` None trusts the system's authorities. `close` it."""

    def __init__(self, tls: ssl.SSLContext | None = None, timeout: float = _TIMEOUT_S) -> None:
        limits = httpx.Limits(max_connections=_MOST_AT_ONCE, max_keepalive_connections=4)
        self._client = httpx.AsyncClient(verify=tls if tls is not None else True, timeout=timeout, limits=limits)
        self._timeout = timeout
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at an address. Raises ProviderFailure."""
        return _object(await self._ask("GET", url))

    async def show(self, url: str, authorization: str) -> dict[str, Any] | str:
        """What an address shows to who is authorized: a JSON object, or a signed token (JWT) by itself.

        Raises ProviderFailure, ProviderRefusal.
        """
        received = await self._ask("GET", url, None, {"Authorization": authorization})
        if received[:1] != b"{" and received.count(b".") == 2:
            return received.decode("ascii", "replace").strip()
        return _object(received)

    async def post(self, url: str, form: dict[str, str], authorization: str) -> dict[str, Any]:
        """The JSON object that answers a form. Raises ProviderFailure, ProviderRefusal."""
        return _object(await self._ask("POST", url, form, {"Authorization": authorization}))

    async def tell(self, url: str, form: dict[str, str], authorization: str) -> None:
        """Send a form whose answer says nothing. Raises ProviderFailure, ProviderRefusal."""
        await self._ask("POST", url, form, {"Authorization": authorization})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(
        self, method: str, url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._at_once,
                self._client.stream(method, url, data=form, headers=asked) as response,
            ):
                received = bytearray()
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > _MOST_OCTETS:
                        raise ProviderFailure(f"an answer of more than {_MOST_OCTETS} octets")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise ProviderFailure(type(error).__name__) from error
        if response.status_code in (400, 401, 403):
            raise _refusal(
                response.status_code, bytes(received), wordless=_WORDLESS.get((method, response.status_code))
            )
        if response.status_code not in (200, 204):
            raise ProviderFailure(f"HTTP {response.status_code}")
        return bytes(received)


def _object(received: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(received, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderFailure(type(error).__name__) from error


def _refusal(status: int, received: bytes, *, wordless: str | None) -> ProviderFailure:
    if not received and wordless:
        return ProviderRefusal(wordless)
    try:
        error = _object(received).get("error")
    except ProviderFailure:
        error = None
    if isinstance(error, str) and _CODE.fullmatch(error):
        return ProviderRefusal(error)
    return ProviderFailure(f"HTTP {status}")
