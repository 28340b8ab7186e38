"""Talking to the provider of identity: HTTP with bounds on time, size and number, and JSON objects back.

Kept true: an answer that is late, too long, redirected, not 200 or not a JSON object is a ProviderFailure, whose detail holds
no token and no secret. Connections are kept, since a sign-in waits for the answer.
"""

import asyncio
import ssl
from typing import Any

import httpx
import msgspec

from vaguemestre.identity.tokens import ProviderFailure

_TIMEOUT_S = 8.0
_MOST_OCTETS = 262_144
_MOST_AT_ONCE = 20


class Provider:
    """The HTTP client of one provider. `tls` None trusts the system's authorities. `close` it."""

    def __init__(self, tls: ssl.SSLContext | None = None, timeout: float = _TIMEOUT_S) -> None:
        limits = httpx.Limits(max_connections=_MOST_AT_ONCE, max_keepalive_connections=4)
        self._client = httpx.AsyncClient(verify=tls if tls is not None else True, timeout=timeout, limits=limits)
        self._timeout = timeout
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at an address. Raises ProviderFailure."""
        return await self._ask("GET", url)

    async def post(self, url: str, form: dict[str, str], authorization: str) -> dict[str, Any]:
        """The JSON object that answers a form. Raises ProviderFailure."""
        return await self._ask("POST", url, form, {"Authorization": authorization})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(
        self, method: str, url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._at_once,
                self._client.stream(method, url, data=form, headers=asked) as response,
            ):
                if response.status_code != 200:
                    raise ProviderFailure(f"HTTP {response.status_code}")
                received = bytearray()
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > _MOST_OCTETS:
                        raise ProviderFailure(f"an answer of more than {_MOST_OCTETS} octets")
            return msgspec.json.decode(bytes(received), type=dict[str, Any])
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, msgspec.DecodeError, RecursionError) as error:
            raise ProviderFailure(type(error).__name__) from error
