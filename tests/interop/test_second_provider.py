"""Signing in at an OpenID provider that others wrote, Debian's Glewlwyd, from nothing but its discovery document."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simulators.browser import Browser
from simulators.glewlwyd import SECRET, Glewlwyd, glewlwyd
from simulators.openid_scenarios import SCENARIOS, Scenario, play
from simulators.operators import Operator
from simulators.ports import free_port
from simulators.pretend import CLAIRE, CLIENT
from simulators.space import NORTH, TrustSpace
from vaguemestre.config import Identity
from vaguemestre.errors import ConfigurationError
from vaguemestre.identity.provider import Provider
from vaguemestre.web_parts import endpoints_of


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glewlwyd]:
    with glewlwyd(tmp_path_factory.mktemp("glewlwyd")) as found:
        yield found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_provider_that_others_wrote(theirs: Glewlwyd, scenario: Scenario) -> None:
    play(theirs, lambda client: scenario(theirs, client))


@pytest.fixture(scope="module")
def origin() -> str:
    return f"http://localhost:{free_port()}"


def _operator(space: TrustSpace, origin: str, issuer: str, discovery: str, folder: Path) -> Operator:
    secret = folder / "secret"
    secret.write_text(SECRET)
    return Operator(
        space,
        folder / "north",
        NORTH,
        identity={
            "issuer": issuer, "discovery": discovery, "client": CLIENT, "client_secret": str(secret), "level": "",
        },
        web={"listen": origin.replace("http://localhost", "127.0.0.1"), "origin": origin},
    )  # fmt: skip


def test_an_operator_learns_where_it_answers_and_remembers_it(
    space: TrustSpace, origin: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with glewlwyd(tmp_path_factory.mktemp("other"), f"{origin}/sign-in/back") as theirs:
        operator = _operator(space, origin, theirs.issuer, theirs.discovery, tmp_path)
        try:
            operator.start()
            with Browser(origin) as browser:
                assert browser.sign_in(theirs) == "/"
                assert browser.get("/api/session")["national_id"] == CLAIRE
        finally:
            operator.stop()
    try:  # the provider is gone; its answer was kept
        operator.start()
        with Browser(origin) as browser:
            left = browser.client.get("/sign-in/pro-sante-connect")
        assert left.headers["location"].startswith(f"{theirs.issuer}/api/oidc/auth?")
    finally:
        operator.close()


@pytest.mark.parametrize("changes", [{"issuer": "https://elsewhere.example"}, {"discovery": "http://mail.example/x"}])
def test_what_another_issuer_says_or_is_said_in_clear_is_not_believed(
    theirs: Glewlwyd, tmp_path: Path, changes: dict[str, str]
) -> None:
    identity = msgspec.structs.replace(Identity(issuer=theirs.issuer, discovery=theirs.discovery), **changes)

    async def inside() -> None:
        provider = Provider()
        try:
            with pytest.raises(ConfigurationError):
                await endpoints_of(identity, provider, tmp_path / "kept")
        finally:
            await provider.close()

    asyncio.run(inside())
    assert not (tmp_path / "kept").exists()
