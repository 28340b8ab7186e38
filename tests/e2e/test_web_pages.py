"""The pages in a real browser, Debian's Chromium, with a passkey it keeps itself: enrol, leave, come back by a touch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from simulators.operators import Operator
from simulators.ports import free_port
from simulators.pretend import CLIENT, SECRET, Pretend, pretend
from simulators.register import fill
from simulators.software import program
from simulators.space import NORTH, TrustSpace

ADDRESS = f"claire.lefevre-noel@{NORTH.domain}"
_TOUCHES = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def origin() -> str:
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
def theirs(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretend]:
    with pretend(tmp_path_factory.mktemp("pretend"), f"{origin}/sign-in/back") as found:
        yield found


@pytest.fixture
def operator(space: TrustSpace, origin: str, theirs: Pretend, tmp_path: Path) -> Iterator[Operator]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    found = Operator(
        space,
        tmp_path / "north",
        NORTH,
        identity={
            "issuer": theirs.issuer, "authorize": theirs.authorize, "client": CLIENT, "client_secret": str(secret),
        },
        web={"listen": origin.replace("http://localhost", "127.0.0.1"), "origin": origin, "name": "Ordre du <Nord>"},
        enrolment={"terms": "2026-11"},
    )  # fmt: skip
    with found.config_file.open("a") as file:
        file.write(f'[enrolment.domains]\n"40" = "{NORTH.domain}"\n')
    fill(found.config_file)
    found.start()
    yield found
    found.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as started:
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = started.chromium.launch(executable_path=program("chromium", "chromium"), args=quiet)
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page, its device able to keep passkeys; a defect of its script fails the test."""
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, locale="fr-FR")
    found = context.new_page()
    defects: list[str] = []
    found.on("pageerror", lambda error: defects.append(str(error)))
    found.set_default_timeout(15_000)
    device = context.new_cdp_session(found)
    device.send("WebAuthn.enable")
    device.send("WebAuthn.addVirtualAuthenticator", {"options": _TOUCHES})
    yield found
    context.close()
    assert defects == []


def _see(page: Page, words: str) -> Any:
    page.wait_for_selector(f"text={words}")


def test_a_dentist_enrols_leaves_and_comes_back_by_a_touch(page: Page, operator: Operator, origin: str) -> None:
    page.goto(origin)
    page.click("text=S'identifier avec Pro Santé Connect")
    page.click("text=Claire LEFÈVRE-NOËL")
    _see(page, "Votre adresse")
    assert page.text_content("#operator") == "Ordre du <Nord>"
    page.click("text=Ouvrir ma boîte")
    _see(page, "Acceptez les conditions")
    page.check("input[name=terms]")
    page.click("text=Ouvrir ma boîte")
    _see(page, "Votre boîte est ouverte")
    assert ADDRESS in page.inner_text("main")
    page.click("text=Ajouter une clé d'accès")
    _see(page, "Supprimer")
    page.click("text=Codes de secours")
    page.wait_for_selector(".codes li")
    assert page.locator(".codes li").count() == 10
    page.click("text=Me déconnecter")
    page.click("text=Utiliser ma clé d'accès")
    _see(page, "Votre boîte est ouverte")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_pages_let_nothing_in_from_elsewhere(page: Page, operator: Operator, origin: str) -> None:
    answer = page.goto(origin)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.goto(f"{origin}/pages/../door.py").status == 404  # type: ignore[union-attr]
