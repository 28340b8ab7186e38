"""Signing in with Pro Santé Connect, against the pretend one in its own process: the flow, its quirks, and attacks on it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from simulators.openid_provider import SigningKey
from simulators.pretend import BACK, CLAIRE, CLIENT, SECRET, Pretend, pretend
from vaguemestre.identity import oidc
from vaguemestre.identity.key_sets import KeySet, Rhythm
from vaguemestre.identity.oidc import (
    Asked,
    Endpoints,
    FlowError,
    Granted,
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


def _registration(theirs: Pretend) -> Registration:
    return Registration(theirs.issuer, CLIENT, SECRET, BACK)


def _run(theirs: Pretend, use: Use, registration: Registration | None = None, **options: Any) -> Any:
    async def inside() -> Any:
        endpoints: Endpoints = oidc.usual(theirs.issuer, theirs.authorize)
        keys = KeySet(endpoints.certs, Provider(), Rhythm(pause=0))
        client = OpenIdClient(registration or _registration(theirs), endpoints, Provider(), keys, **options)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(inside())


async def _sign_in(theirs: Pretend, client: OpenIdClient, person: str = CLAIRE) -> Granted:
    url, flow = client.begin()
    return await client.finish(flow, await asyncio.to_thread(theirs.choose, url, person))


def test_a_professional_signs_in_and_is_described(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> Any:
        return await client.whoami(await _sign_in(theirs, client))

    found = _run(theirs, use)
    assert (found.national_id, found.rpps, found.name) == (CLAIRE, CLAIRE[1:], "Claire LEFÈVRE-NOËL")
    assert found.level == "APPPRIP3"
    assert [(each.profession, each.workplaces[0].name) for each in found.exercises] == [("40", "CABINET DES LILAS")]


def test_what_is_asked_is_what_pro_sante_connect_wants(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> str:
        return client.begin()[0]

    url = _run(theirs, use)
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


def test_a_code_serves_once(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        url, flow = client.begin()
        answer = await asyncio.to_thread(theirs.choose, url)
        await client.finish(flow, answer)
        with pytest.raises(FlowError) as refused:
            await client.finish(flow, answer)
        assert refused.value.rule == "flow-code"

    _run(theirs, use)


def test_an_answer_to_somebody_elses_flow_is_refused(theirs: Pretend) -> None:
    """Login CSRF: the attacker's answer, in the victim's browser."""

    async def use(client: OpenIdClient) -> None:
        url, _ = client.begin()
        answer = await asyncio.to_thread(theirs.choose, url)
        _, victims = client.begin()
        with pytest.raises(FlowError) as refused:
            await client.finish(victims, answer)
        assert refused.value.rule == "flow-state"
        with pytest.raises(FlowError) as refused:  # the state put right, the code is another flow's: PKCE
            await client.finish(victims, {**answer, "state": victims.state})
        assert refused.value.rule == "flow-code"

    _run(theirs, use)


def test_another_issuers_answer_is_refused(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        url, flow = client.begin()
        answer = await asyncio.to_thread(theirs.choose, url)
        with pytest.raises(FlowError, match="not begun") as refused:
            await client.finish(flow, {**answer, "iss": "https://elsewhere.example"})
        assert refused.value.rule == "flow-issuer"

    _run(theirs, use)


def test_who_cancels_is_told_to_start_again(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        with pytest.raises(SignInStoppedError, match="Start again"):
            await _sign_in(theirs, client, "")

    _run(theirs, use)


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
            await _sign_in(theirs, client)
        except TokenError as refused:
            return refused.rule
        return ""

    theirs.quirks(claims=claims)
    assert _run(theirs, use) == rule


def test_userinfo_of_somebody_else_is_refused(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        granted = await _sign_in(theirs, client)
        with pytest.raises(TokenError) as refused:
            await client.whoami(granted)
        assert refused.value.rule == "userinfo-subject"

    theirs.quirks(other_subject=True)
    _run(theirs, use)


def test_what_was_granted_is_renewed_then_ends(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        granted = await _sign_in(theirs, client)
        assert await client.stands(granted)
        renewed = await client.renew(granted)
        assert (await client.whoami(renewed)).national_id == CLAIRE
        with pytest.raises(SignInStoppedError):  # a refresh token serves once
            await client.renew(granted)
        await client.log_out(renewed)
        assert not await client.stands(renewed)
        with pytest.raises(SignInStoppedError):
            await client.renew(renewed)
        with pytest.raises(TokenError):
            await client.whoami(renewed)

    _run(theirs, use)


def test_a_key_it_has_just_begun_to_use_is_fetched(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        await _sign_in(theirs, client)
        await asyncio.to_thread(theirs.rotate)
        await _sign_in(theirs, client)

    _run(theirs, use)


def test_its_outage_is_said_and_the_keys_outlive_it(theirs: Pretend) -> None:
    base = "protocol/openid-connect"

    async def use(client: OpenIdClient) -> None:
        await _sign_in(theirs, client)
        theirs.quirks(status={f"{base}/certs": 503})
        await _sign_in(theirs, client)
        theirs.quirks(status={f"{base}/token": 503})
        with pytest.raises(ProviderFailure, match="cannot be reached"):
            await _sign_in(theirs, client)

    _run(theirs, use)


def test_our_own_wrong_secret_is_no_refusal_of_the_professional(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        with pytest.raises(ProviderFailure):
            await _sign_in(theirs, client)

    _run(theirs, use, replace(_registration(theirs), secret="wrong"))


def test_a_phone_confirms(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> Granted:
        asked = await client.ask(CLAIRE, "42")
        waiting = await client.answer(asked)
        assert isinstance(waiting, Asked)
        slowed = await client.answer(asked)
        assert isinstance(slowed, Asked)
        assert slowed.interval > waiting.interval
        await asyncio.to_thread(theirs.confirm)
        granted = await client.answer(asked)
        assert isinstance(granted, Granted)
        assert (await client.whoami(granted)).national_id == CLAIRE
        with pytest.raises(SignInStoppedError):
            await client.answer(asked)
        return granted

    _run(theirs, use)


def test_a_phone_refuses(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        asked = await client.ask(CLAIRE, "42")
        await asyncio.to_thread(theirs.confirm, yes=False)
        with pytest.raises(SignInStoppedError):
            await client.answer(asked)

    _run(theirs, use)


def test_nobody_answers_in_time(theirs: Pretend) -> None:
    late = [timedelta(0)]

    async def use(client: OpenIdClient) -> None:
        asked = await client.ask(CLAIRE, "42")
        late[0] = timedelta(minutes=3)
        with pytest.raises(SignInStoppedError) as stopped:
            await client.answer(asked)
        assert stopped.value.error == "expired_token"

    _run(theirs, use, now=lambda: datetime.now(UTC) + late[0])


def test_nobody_of_that_number_can_be_asked(theirs: Pretend) -> None:
    async def use(client: OpenIdClient) -> None:
        with pytest.raises(SignInStoppedError):
            await client.ask("899700000000", "42")

    _run(theirs, use)


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
