"""Tokens against a provider: forged ones, its rotations and outages, and what strangers cannot make us do."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from simulators.openid_provider import (
    AUDIENCE,
    CERTS,
    CLIENT,
    INTROSPECT,
    PERSON,
    SECRET,
    OpenIdProvider,
    SigningKey,
    b64,
)
from vaguemestre.identity.introspection import IntrospectionVerifier
from vaguemestre.identity.key_sets import KeySet, KeySetVerifier, Rhythm
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import Policy, ProviderFailure, TokenError, TokenVerifier

Result = TypeVar("Result")
Making = Callable[[OpenIdProvider], TokenVerifier]


class Watch:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def shared() -> Iterator[OpenIdProvider]:
    """A provider for tests that leave it as it is."""
    found = OpenIdProvider()
    yield found
    found.close()


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    """A provider of this test alone."""
    found = OpenIdProvider()
    yield found
    found.close()


def by_keys(provider: OpenIdProvider, watch: Callable[[], float] = time.monotonic, **rhythm: float) -> KeySetVerifier:
    policy = Policy(provider.issuer, frozenset({AUDIENCE}))
    return KeySetVerifier(KeySet(provider.certs, Provider(timeout=5), Rhythm(**rhythm), elapsed=watch), policy)


def by_asking(provider: OpenIdProvider, secret: str = SECRET, timeout: float = 5) -> IntrospectionVerifier:
    policy = Policy(provider.issuer, frozenset({AUDIENCE}))
    return IntrospectionVerifier(provider.introspection, CLIENT, secret, Provider(timeout=timeout), policy)


def run(verifier: TokenVerifier, do: Callable[[], Awaitable[Result]]) -> Result:
    """What `do` gives, with the verifier closed afterwards."""

    async def within() -> Result:
        try:
            return await do()
        finally:
            await verifier.close()

    return asyncio.run(within())


async def rule_of(verifier: TokenVerifier, token: str) -> str:
    """The rule a token breaks, empty for a good one, `failure` where nobody knows."""
    try:
        claims = await verifier.verify(token)
    except TokenError as refused:
        return refused.rule
    except ProviderFailure:
        return "failure"
    assert claims.national_id == PERSON
    return ""


def verdict(verifier: TokenVerifier, token: str) -> str:
    return run(verifier, lambda: rule_of(verifier, token))


@pytest.mark.parametrize("make", [by_keys, by_asking])
def test_a_good_token_names_its_person(shared: OpenIdProvider, make: Making) -> None:
    assert verdict(make(shared), shared.token()) == ""


@pytest.mark.parametrize("make", [by_keys, by_asking])
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("token-expired", {"exp": 1_700_000_000}),
        ("token-issuer", {"iss": "https://auth.elsewhere.example/auth/realms/esante-wallet"}),
        ("token-audience", {"aud": "somebody-else"}),
        ("token-kind", {"typ": "ID"}),
        ("token-person", {"SubjectNameID": None, "preferred_username": None}),
        ("token-not-yet-valid", {"nbf": 4_000_000_000}),
    ],
)
def test_a_token_that_breaks_a_rule_is_refused_however_it_is_verified(
    shared: OpenIdProvider, make: Making, rule: str, changes: dict[str, Any]
) -> None:
    found = verdict(make(shared), shared.token(**changes))
    assert found == ("token-inactive" if rule == "token-expired" and make is by_asking else rule)


@pytest.mark.parametrize(
    ("rule", "forge"),
    [
        ("token-algorithm", lambda p: p.unsigned()),
        ("token-algorithm", lambda p: p.unsigned("None")),
        ("token-algorithm", lambda p: p.confused()),
        ("token-algorithm", lambda p: p.token(header={"alg": "HS512"})),
        ("token-key", lambda p: p.token(header={"alg": "ES256"})),
        ("token-signature", lambda p: p.token()[:-8] + "AAAAAAAA"),
        ("token-key", lambda p: p.token(header={"alg": "PS256"})),
        ("token-key", lambda p: p.token(SigningKey("unknown"))),
        ("token-signature", lambda p: p.token(SigningKey("first"))),
        ("token-key", lambda p: _self_certified(p, "evil")),
        ("token-key", lambda p: p.token(SigningKey("evil"), {"jku": "http://127.0.0.1:9/certs"})),
        ("token-malformed", lambda p: p.token(header={"crit": ["b64"], "b64": False})),
        ("token-malformed", lambda p: p.token(header={"alg": ["RS256"]})),
        ("token-malformed", lambda p: p.token(header={"alg": None})),
        ("token-key", lambda p: p.token(header={"kid": ["first"]})),
        ("token-signature", lambda p: _altered(p.token())),
        ("token-signature", lambda p: p.token().rpartition(".")[0] + "."),
        ("token-malformed", lambda p: p.token() + ".x"),
        ("token-malformed", lambda p: "abc"),
        ("token-malformed", lambda p: "..."),
        ("token-malformed", lambda p: "é.é.é"),
        ("token-malformed", lambda p: b64(b"[" * 5000) + ".e30.c2ln"),
        ("token-malformed", lambda p: b64(b'"RS256"') + ".e30.c2ln"),
        ("token-malformed", lambda p: p.token(padding="x" * 20_000)),
    ],
)
def test_a_forged_token_is_refused(shared: OpenIdProvider, rule: str, forge: Callable[[OpenIdProvider], str]) -> None:
    assert verdict(by_keys(shared), forge(shared)) == rule


def _self_certified(provider: OpenIdProvider, name: str) -> str:
    """A token that brings the key that signed it."""
    key = SigningKey(name, curve=True)
    return provider.token(key, {"jwk": key.jwk()})


def _altered(token: str) -> str:
    """The token with other claims in it."""
    head, _, signature = token.split(".")
    return f"{head}.{b64(b'{}')}.{signature}"


def test_a_forged_token_is_not_active(shared: OpenIdProvider) -> None:
    for forged in (shared.unsigned(), shared.confused(), shared.token(SigningKey("first")), "abc"):
        assert verdict(by_asking(shared), forged) == "token-inactive"


def test_a_signed_list_is_no_token(shared: OpenIdProvider) -> None:
    head = b64(b'{"alg":"RS256","kid":"first"}')
    signed = f"{head}.{b64(b'[1]')}"
    assert verdict(by_keys(shared), f"{signed}.{b64(shared.key.sign(signed.encode()))}") == "token-malformed"


def test_keys_of_an_elliptic_curve_serve_too(provider: OpenIdProvider) -> None:
    key = SigningKey("curve", curve=True)
    provider.published.append(key.jwk())
    assert verdict(by_keys(provider), provider.token(key)) == ""
    assert verdict(by_keys(provider), provider.token(key, {"kid": None})) == "token-key"


def test_a_token_without_a_keys_name_is_tried_with_the_only_key(shared: OpenIdProvider) -> None:
    assert verdict(by_keys(shared), shared.token(header={"kid": None})) == ""


@pytest.mark.parametrize(
    "published",
    [
        [],
        [{"kty": "oct", "kid": "first", "k": "c2VjcmV0"}],
        [{"kty": "RSA", "kid": "first", "n": "AQAB", "e": "AQAB"}],
        [{"kty": "RSA", "kid": "first"}, "first", None],
    ],
)
def test_keys_that_may_not_sign_are_passed_over(provider: OpenIdProvider, published: list[Any]) -> None:
    provider.published = published
    assert verdict(by_keys(provider), provider.token()) == "failure"


def test_short_keys_and_keys_for_encrypting_prove_nothing(provider: OpenIdProvider) -> None:
    short, other = SigningKey("short", bits=1024), SigningKey("other")
    provider.published += [short.jwk(), {**other.jwk(), "use": "enc"}]
    assert verdict(by_keys(provider), provider.token(short)) == "token-key"
    assert verdict(by_keys(provider), provider.token(other)) == "token-key"


def test_a_new_key_is_learnt_when_first_met(provider: OpenIdProvider) -> None:
    watch = Watch()
    verifier = by_keys(provider, watch)

    async def journey() -> None:
        assert await rule_of(verifier, provider.token()) == ""
        provider.rotate()
        watch.seconds += 31
        assert await rule_of(verifier, provider.token()) == ""
        assert provider.asked[CERTS] == 2

    run(verifier, journey)


def test_tokens_that_come_while_keys_are_fetched_wait_for_them(provider: OpenIdProvider) -> None:
    verifier = by_keys(provider)

    async def journey() -> None:
        found = await asyncio.gather(*(rule_of(verifier, provider.token()) for _ in range(5)))
        assert found == [""] * 5
        assert provider.asked[CERTS] == 1

    run(verifier, journey)


def test_unknown_keys_make_us_ask_once_in_a_pause_however_many_come(provider: OpenIdProvider) -> None:
    watch = Watch()
    verifier = by_keys(provider, watch)
    stranger = SigningKey("stranger")

    async def journey() -> None:
        strangers = [provider.token(stranger, {"kid": f"stranger-{n}"}) for n in range(40)]
        found = await asyncio.gather(*(rule_of(verifier, token) for token in strangers))
        assert set(found) == {"token-key"}
        assert provider.asked[CERTS] == 1
        watch.seconds += 31
        await asyncio.gather(*(rule_of(verifier, token) for token in strangers))
        assert provider.asked[CERTS] == 2

    run(verifier, journey)


def test_known_keys_outlive_an_outage_but_not_for_ever(provider: OpenIdProvider) -> None:
    watch = Watch()
    verifier = by_keys(provider, watch)
    token = provider.token()

    async def journey() -> None:
        assert await rule_of(verifier, token) == ""
        with provider.down():
            for hours in (1.1, 10, 23):
                watch.seconds = 1000 + hours * 3600
                assert await rule_of(verifier, token) == ""
            watch.seconds += 31
            assert await rule_of(verifier, provider.token(SigningKey("new"))) == "failure"
            watch.seconds = 1000 + 25 * 3600
            assert await rule_of(verifier, token) == "failure"
        watch.seconds += 31
        assert await rule_of(verifier, token) == ""

    run(verifier, journey)


def test_a_withdrawn_key_stops_serving_at_the_next_refresh(provider: OpenIdProvider) -> None:
    watch = Watch()
    verifier = by_keys(provider, watch, refresh=600)
    former = provider.token()

    async def journey() -> None:
        assert await rule_of(verifier, former) == ""
        provider.rotate(keep=False)
        assert await rule_of(verifier, former) == ""
        watch.seconds += 601
        await rule_of(verifier, former)  # served while the keys are fetched beside it
        until = time.monotonic() + 10
        while await rule_of(verifier, former) == "":
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        assert await rule_of(verifier, former) == "token-key"

    run(verifier, journey)


@pytest.mark.parametrize(
    "answer",
    [(500, b"", 0), (200, b"", 0), (200, b"[]", 0), (200, b"not json", 0), (302, b"{}", 0), (200, b"[" * 9000, 0)],
)
@pytest.mark.parametrize("make", [by_keys, by_asking])
def test_an_answer_that_is_none_is_a_failure_and_no_refusal(
    provider: OpenIdProvider, make: Making, answer: tuple[int, bytes, float]
) -> None:
    with provider.down(*answer):
        assert verdict(make(provider), provider.token()) == "failure"


def test_an_endless_answer_is_cut(provider: OpenIdProvider) -> None:
    with provider.down(200, b" " * 300_000):
        assert verdict(by_keys(provider), provider.token()) == "failure"


def test_a_late_answer_is_not_waited_for(provider: OpenIdProvider) -> None:
    with provider.down(200, b"{}", 1.0):
        assert verdict(by_asking(provider, timeout=0.1), provider.token()) == "failure"


def test_a_revoked_token_is_refused_by_asking(provider: OpenIdProvider) -> None:
    token = provider.token()
    provider.revoked.add(token)
    assert verdict(by_asking(provider), token) == "token-inactive"


def test_a_wrong_client_secret_is_our_failure(shared: OpenIdProvider) -> None:
    assert verdict(by_asking(shared, secret="wrong"), shared.token()) == "failure"


def test_only_a_plain_yes_is_a_yes(provider: OpenIdProvider) -> None:
    claims = provider.claims()
    for active in ("true", 1, None, [True]):
        with provider.down(200, json.dumps({**claims, "active": active}).encode()):
            assert verdict(by_asking(provider), "t.o.k") == "token-inactive"


def test_each_token_is_asked_about(provider: OpenIdProvider) -> None:
    verifier = by_asking(provider)

    async def journey() -> None:
        for _ in range(3):
            assert await rule_of(verifier, provider.token()) == ""

    run(verifier, journey)
    assert provider.asked[INTROSPECT] == 3
