"""Signing in with Pro Santé Connect, against the pretend one in its own process: the flow, its quirks, and attacks on it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from simulators.openid_provider import SigningKey
from simulators.openid_scenarios import SCENARIOS, Scenario, play, sign_in
from simulators.pretend import BACK, CLAIRE, CLIENT, SECRET, Pretend, pretend
from vaguemestre.identity import oidc
from vaguemestre.identity.key_sets import KeySet, Rhythm
from vaguemestre.identity.oidc import (
    Asked,
    Endpoints,
    OpenIdClient,
    Registration,
    SignInStoppedError,
    judge,
)
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import ProviderFailure, TokenError

Use = Callable[[OpenIdClient], Awaitable[Any]]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretend]:
    with pretend(tmp_path_factory.mktemp("pretend")) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_quirks(theirs: Pretend) -> Iterator[None]:
    yield
    theirs.quirks()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_holds_with_any_provider(theirs: Pretend, scenario: Scenario) -> None:
    play(theirs, lambda client: scenario(theirs, client))


def test_a_professional_is_described_as_pro_sante_connect_does(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> Any:
        return await client.whoami(await sign_in(theirs, client))

    found = play(theirs, use)
    assert found.level == "APPPRIP3"
    assert [(each.profession, each.workplaces[0].name) for each in found.exercises] == [("40", "CABINET DES LILAS")]


def test_who_asks_too_often_is_told_to_slow_down(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        asked = await client.ask(CLAIRE, "42")
        waiting = await client.answer(asked)
        assert isinstance(waiting, Asked)
        slowed = await client.answer(asked)
        assert isinstance(slowed, Asked)
        assert slowed.interval > waiting.interval
        await asyncio.to_thread(theirs.confirm)

    play(theirs, use)


def test_what_is_asked_is_what_pro_sante_connect_wants(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> str:
        return client.begin()[0]

    url = play(theirs, use)
    asked = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(theirs.authorize)
    assert urlsplit(theirs.authorize).netloc != urlsplit(theirs.issuer).netloc
    assert asked["scope"] == "openid scope_all"
    assert asked["acr_values"] == "eidas1"
    assert asked["code_challenge_method"] == "S256"


def test_where_it_is_can_be_learnt_from_what_it_publishes(theirs: Pretend) -> None:
    async def inside() -> Endpoints:
        provider = Provider()
        document = await provider.get(f"{theirs.issuer}/.well-known/wallet-openid-configuration")
        await provider.close()
        with pytest.raises(ProviderFailure):
            oidc.discovered(document, theirs.issuer + "x")
        return oidc.discovered(document, theirs.issuer)

    assert asyncio.run(inside()) == oidc.usual(theirs.issuer, theirs.authorize)


def test_who_cancels_is_told_to_start_again(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        with pytest.raises(SignInStoppedError, match="Start again"):
            await sign_in(theirs, client, "")

    play(theirs, use)


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        ({"nonce": "another"}, "id-token-nonce"),
        ({"nonce": None}, "id-token-nonce"),
        ({"aud": "another"}, "id-token-audience"),
        ({"aud": ["another", CLIENT]}, ""),  # azp names us
        ({"aud": [CLIENT, "another"], "azp": "another"}, "id-token-audience"),
        ({"aud": [CLIENT, "another"], "azp": None}, "id-token-audience"),
        ({"iss": "https://elsewhere.example"}, "id-token-issuer"),
        ({"exp": 1}, "id-token-expired"),
        ({"exp": None}, "id-token-expired"),
        ({"iat": 9_999_999_999}, "id-token-not-yet-valid"),
        ({"typ": "Bearer"}, "id-token-kind"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "id-token-hash"),
        ({"acr": "eidas0"}, "id-token-level"),
        ({"exp": "soon"}, "token-malformed"),
    ],
)
def test_an_id_token_that_breaks_a_rule_names_nobody(theirs: Pretend, claims: dict[str, Any], rule: str) -> None:
    async def use(client: OpenIdClient) -> str:
        try:
            await sign_in(theirs, client)
        except TokenError as refused:
            return refused.rule
        return ""

    theirs.quirks(claims=claims)
    assert play(theirs, use) == rule


def test_userinfo_of_somebody_else_is_refused(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        granted = await sign_in(theirs, client)
        with pytest.raises(TokenError) as refused:
            await client.whoami(granted)
        assert refused.value.rule == "userinfo-subject"

    theirs.quirks(other_subject=True)
    play(theirs, use)


def test_its_outage_is_said_and_the_keys_outlive_it(theirs: Pretend) -> None:
    base = "protocol/openid-connect"

    async def use(client: OpenIdClient) -> None:
        await sign_in(theirs, client)
        theirs.quirks(status={f"{base}/certs": 503})
        await sign_in(theirs, client)
        theirs.quirks(status={f"{base}/token": 503})
        with pytest.raises(ProviderFailure, match="cannot be reached"):
            await sign_in(theirs, client)

    play(theirs, use)


def test_nobody_answers_in_time(theirs: Pretend) -> None:
    late = [timedelta(0)]

    async def use(client: OpenIdClient) -> None:
        asked = await client.ask(CLAIRE, "42")
        late[0] = timedelta(minutes=3)
        with pytest.raises(SignInStoppedError) as stopped:
            await client.answer(asked)
        assert stopped.value.error == "expired_token"

    play(theirs, use, now=lambda: datetime.now(UTC) + late[0])


def test_nobody_of_that_number_can_be_asked(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        with pytest.raises(SignInStoppedError):
            await client.ask("899700000000", "42")

    play(theirs, use)


def test_a_token_signed_by_another_or_by_nobody_is_refused(theirs: Pretend) -> None:
    """`alg: none`, a shared secret made of the public key, and a stranger's key: `KeySet` proves, for ID tokens as for others."""
    stranger = SigningKey("stranger")

    async def prove(token: str) -> str:
        keys = KeySet(f"{theirs.issuer}/protocol/openid-connect/certs", Provider(), Rhythm(pause=0))
        try:
            await keys.prove(token)
        except TokenError as refused:
            return refused.rule
        finally:
            await keys.close()
        return ""

    none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."
    shared = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA"
    foreign = "eyJhbGciOiJSUzI1NiIsImtpZCI6InN0cmFuZ2VyIn0.eyJzdWIiOiJ4In0"
    from simulators.openid_provider import b64

    signed = f"{foreign}.{b64(stranger.sign(foreign.encode()))}"
    assert [asyncio.run(prove(token)) for token in (none, shared, signed)] == [
        "token-algorithm",
        "token-algorithm",
        "token-key",
    ]


def test_a_renewed_token_may_be_the_old_one_but_a_first_may_not_be_late() -> None:
    registration = Registration("https://issuer.example", CLIENT, SECRET, BACK)
    claims = {"iss": "https://issuer.example", "aud": CLIENT, "sub": "x", "iat": 1000, "exp": 1120, "acr": "eidas1"}
    late = datetime.fromtimestamp(2000, UTC)
    judge(claims, registration, None, late, renewed=True)
    with pytest.raises(TokenError):
        judge(claims, registration, None, late)
