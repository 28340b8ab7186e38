"""What has to hold between our client and any OpenID provider: the pretend Pro Santé Connect, and one that others wrote.

A scenario is a coroutine function of a provider and a client of it; it fails as a test does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

import pytest

from simulators.pretend import CLAIRE
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
)
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.tokens import ProviderFailure, TokenError


class SomeProvider(Protocol):
    """What a provider under test can be asked to do."""

    issuer: str

    @property
    def registration(self) -> Registration:
        """Our client there."""

    @property
    def discovery(self) -> str:
        """Where it says what it offers."""

    def choose(self, url: str, person: str = CLAIRE) -> dict[str, str]:
        """Be the browser sent to `url`, sign in: what comes back with the redirection."""

    def rotate(self) -> None:
        """Have it sign with another key."""

    def hint(self, person: str) -> str:
        """How it wants to be told whom to ask."""

    def confirm(self, *, yes: bool = True) -> None:
        """Be who is asked for a confirmation."""


Use = Callable[[OpenIdClient], Awaitable[Any]]
Scenario = Callable[[SomeProvider, OpenIdClient], Awaitable[None]]


def play(theirs: SomeProvider, use: Use, registration: Registration | None = None, **options: Any) -> Any:
    """What `use` gives with a client of the provider, at the addresses that it publishes."""

    async def inside() -> Any:
        provider = Provider()
        endpoints: Endpoints = oidc.discovered(await provider.get(theirs.discovery), theirs.issuer)
        keys = KeySet(endpoints.certs, Provider(), Rhythm(pause=0))
        client = OpenIdClient(registration or theirs.registration, endpoints, provider, keys, **options)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(inside())


async def sign_in(theirs: SomeProvider, client: OpenIdClient, person: str = CLAIRE) -> Granted:
    """Somebody signs in."""
    url, flow = client.begin()
    return await client.finish(flow, await asyncio.to_thread(theirs.choose, url, person))


async def a_professional_signs_in_and_is_described(theirs: SomeProvider, client: OpenIdClient) -> None:
    """The whole code flow: PKCE, state, nonce, ID token, userinfo."""
    found = await client.whoami(await sign_in(theirs, client))
    assert (found.national_id, found.rpps, found.name) == (CLAIRE, CLAIRE[1:], "Claire LEFÈVRE-NOËL")


async def a_code_serves_once(theirs: SomeProvider, client: OpenIdClient) -> None:
    """Code replay."""
    url, flow = client.begin()
    answer = await asyncio.to_thread(theirs.choose, url)
    await client.finish(flow, answer)
    with pytest.raises(FlowError) as refused:
        await client.finish(flow, answer)
    assert refused.value.rule == "flow-code"


async def an_answer_to_somebody_elses_flow_is_refused(theirs: SomeProvider, client: OpenIdClient) -> None:
    """Login CSRF: the attacker's answer, in the victim's browser."""
    url, _ = client.begin()
    answer = await asyncio.to_thread(theirs.choose, url)
    _, victims = client.begin()
    with pytest.raises(FlowError) as refused:
        await client.finish(victims, answer)
    assert refused.value.rule == "flow-state"
    with pytest.raises(FlowError) as refused:  # the state put right, the code is another flow's: PKCE
        await client.finish(victims, {**answer, "state": victims.state})
    assert refused.value.rule == "flow-code"


async def an_id_token_of_another_flow_is_refused(theirs: SomeProvider, client: OpenIdClient) -> None:
    """State and verifier right, the nonce is not: an ID token injected from elsewhere."""
    url, flow = client.begin()
    answer = await asyncio.to_thread(theirs.choose, url)
    with pytest.raises(TokenError) as refused:
        await client.finish(replace(flow, nonce="another"), answer)
    assert refused.value.rule == "id-token-nonce"


async def another_issuers_answer_is_refused(theirs: SomeProvider, client: OpenIdClient) -> None:
    """Mix-up (RFC 9207)."""
    url, flow = client.begin()
    answer = await asyncio.to_thread(theirs.choose, url)
    assert answer["iss"] == theirs.issuer
    with pytest.raises(FlowError, match="not begun") as refused:
        await client.finish(flow, {**answer, "iss": "https://elsewhere.example"})
    assert refused.value.rule == "flow-issuer"


async def what_was_granted_is_renewed_then_ends(theirs: SomeProvider, client: OpenIdClient) -> None:
    """Refresh, introspection, logout."""
    granted = await sign_in(theirs, client)
    assert await client.stands(granted)
    renewed = await client.renew(granted)
    assert (await client.whoami(renewed)).national_id == CLAIRE
    with pytest.raises(SignInStoppedError):  # a refresh token serves once
        await client.renew(granted)
    granted = await sign_in(theirs, client)
    await client.log_out(granted)
    assert not await client.stands(granted)
    with pytest.raises(SignInStoppedError):
        await client.renew(granted)
    with pytest.raises(TokenError):
        await client.whoami(granted)


async def a_key_it_has_just_begun_to_use_is_fetched(theirs: SomeProvider, client: OpenIdClient) -> None:
    """Key rotation."""
    await sign_in(theirs, client)
    await asyncio.to_thread(theirs.rotate)
    await sign_in(theirs, client)


async def our_own_wrong_secret_is_no_refusal_of_the_professional(theirs: SomeProvider, client: OpenIdClient) -> None:
    """What is our fault is said to be."""
    url, flow = client.begin()
    answer = await asyncio.to_thread(theirs.choose, url)
    mistaken = replace(theirs.registration, secret="wrong")

    async def use(other: OpenIdClient) -> None:
        with pytest.raises(ProviderFailure):
            await other.finish(flow, answer)

    await asyncio.to_thread(play, theirs, use, mistaken)


async def a_phone_confirms(theirs: SomeProvider, client: OpenIdClient) -> None:
    """CIBA in poll mode."""
    asked = await client.ask(theirs.hint(CLAIRE), "42")
    waiting = await client.answer(asked)
    assert isinstance(waiting, Asked)
    await asyncio.to_thread(theirs.confirm)
    granted = await client.answer(asked)
    while isinstance(granted, Asked):
        await asyncio.sleep(granted.interval.total_seconds())
        granted = await client.answer(asked)
    assert (await client.whoami(granted)).national_id == CLAIRE
    with pytest.raises(SignInStoppedError):
        await client.answer(asked)


async def a_phone_refuses(theirs: SomeProvider, client: OpenIdClient) -> None:
    """CIBA, denied."""
    asked = await client.ask(theirs.hint(CLAIRE), "42")
    await asyncio.to_thread(theirs.confirm, yes=False)
    with pytest.raises(SignInStoppedError):
        await client.answer(asked)


SCENARIOS: tuple[Scenario, ...] = (
    a_professional_signs_in_and_is_described,
    a_code_serves_once,
    an_answer_to_somebody_elses_flow_is_refused,
    an_id_token_of_another_flow_is_refused,
    another_issuers_answer_is_refused,
    what_was_granted_is_renewed_then_ends,
    a_key_it_has_just_begun_to_use_is_fetched,
    our_own_wrong_secret_is_no_refusal_of_the_professional,
    a_phone_confirms,
    a_phone_refuses,
)
