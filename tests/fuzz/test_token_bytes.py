"""Text near a token is refused, whatever its parts hold; what a provider publishes is keys or is passed over."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.openid_provider import SigningKey, b64
from vaguemestre.identity.key_sets import KeySet, KeySetVerifier
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import Policy, ProviderFailure, TokenError

KEY = SigningKey("first")
ISSUER = "https://auth.example"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "x5u", "cty", "zip"])
headers = st.dictionaries(names, values | st.sampled_from(["RS256", "none", "HS256", "first", "JWT"]), max_size=6)
parts = st.one_of(
    headers.map(lambda header: b64(json.dumps(header).encode())),
    values.map(lambda value: b64(json.dumps(value).encode())),
    st.binary(max_size=40).map(b64),
    st.text(max_size=10),
)
parameters = st.sampled_from(["kty", "kid", "use", "alg", "n", "e", "crv", "x", "y", "k", "d", "key_ops", "x5c"])
keys = st.dictionaries(parameters, values | st.sampled_from(["RSA", "EC", "oct", "sig", "P-256", "AQAB", "A" * 350]))


class Publishing(Provider):
    """A provider that publishes what it is told, without a network."""

    def __init__(self, published: Any) -> None:
        self.published = published  # and no client: making one is slow

    async def get(self, url: str) -> dict[str, Any]:
        """The keys."""
        return {"keys": self.published}

    async def close(self) -> None:
        """Nothing was opened."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples."""
    with asyncio.Runner() as found:
        yield found


async def refused(published: Any, token: str) -> bool:
    verifier = KeySetVerifier(KeySet("", Publishing(published)), Policy(ISSUER))
    try:
        await verifier.verify(token)
    except (TokenError, ProviderFailure):
        return True
    finally:
        await verifier.close()
    return False


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(parts, max_size=5).map(".".join))
def test_text_near_a_token_is_refused(runner: asyncio.Runner, token: str) -> None:
    assert runner.run(refused([KEY.jwk()], token))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headers, values)
def test_a_signed_token_with_any_header_and_claims_is_refused(
    runner: asyncio.Runner, header: dict[str, Any], claims: Any
) -> None:
    signed = f"{b64(json.dumps({'alg': 'RS256', **header}).encode())}.{b64(json.dumps(claims).encode())}"
    assert runner.run(refused([KEY.jwk()], f"{signed}.{b64(KEY.sign(signed.encode()))}"))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(keys | values, max_size=4) | values)
def test_what_a_provider_publishes_is_keys_or_passed_over(runner: asyncio.Runner, published: Any) -> None:
    head = b64(b'{"alg":"RS256","kid":"first"}')
    assert runner.run(refused(published, f"{head}.e30.c2ln"))
