"""Signing in with a card in a browser: a certificate that bears its person's number, judged by trust; and attacks on it."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from simulators.browser import Browser
from simulators.operators import Operator
from simulators.patience import until
from simulators.ports import free_port
from simulators.pretend import CLAIRE, CLIENT, SECRET, Pretend, pretend
from simulators.register import fill
from simulators.space import NORTH, Identity, TrustSpace

KARIM = "899700366257"
CARD = f"CN={CLAIRE}+SN=LEFEVRE-NOEL+GN=CLAIRE,OU=Chirurgien-Dentiste,C=FR"


@pytest.fixture(scope="module")
def origin() -> str:
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
def theirs(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretend]:
    with pretend(tmp_path_factory.mktemp("pretend"), f"{origin}/sign-in/back") as found:
        yield found


@pytest.fixture
def operator(space: TrustSpace, origin: str, theirs: Pretend, tmp_path: Path) -> Iterator[Operator]:
    """An operator that Claire and Karim signed in at once, where dentists may enrol."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    found = Operator(
        space,
        tmp_path / "north",
        NORTH,
        identity={
            "issuer": theirs.issuer, "authorize": theirs.authorize, "client": CLIENT, "client_secret": str(secret),
        },
        web={
            "listen": origin.replace("http://localhost", "127.0.0.1"), "origin": origin,
            "listen_certificates": f"127.0.0.1:{free_port()}",
        },
        enrolment={"terms": "2026-11"},
    )  # fmt: skip
    with found.config_file.open("a") as file:
        file.write(f'[enrolment.domains]\n"40" = "{NORTH.domain}"\n')
    fill(found.config_file)
    found.start()
    for person in (CLAIRE, KARIM):
        with Browser(origin) as browser:
            browser.sign_in(theirs, person)
    yield found
    found.close()


def _leave(browser: Browser, then: str = "/") -> str:
    left = browser.client.get(f"/sign-in/certificate?next={then}")
    assert left.status_code == 303
    return str(left.headers["location"])


def _show(space: TrustSpace, url: str, card: Identity | None) -> httpx.Response:
    """Be the browser at the port that asks for certificates, with a card or none."""
    context = ssl.create_default_context(cafile=str(space.authorities))
    if card is not None:
        context.load_cert_chain(card.certificate, card.key)
    return httpx.get(url, verify=context)


def _come_back(browser: Browser, shown: httpx.Response) -> httpx.Response:
    assert shown.status_code == 303, shown.text
    assert shown.headers["location"].startswith(f"{browser.origin}/sign-in/certificate/back?code=")
    return browser.client.get(shown.headers["location"], headers={"Sec-Fetch-Site": "same-site"})


def test_a_card_signs_its_person_in(space: TrustSpace, operator: Operator, origin: str) -> None:
    with Browser(origin) as browser:
        shown = _show(space, _leave(browser, "/bienvenue"), space.issue(CARD, "card"))
        came = _come_back(browser, shown)
        assert (came.status_code, came.headers["location"]) == (303, "/bienvenue")
        who = browser.get("/api/session")
        assert (who["national_id"], who["means"]) == (CLAIRE, "certificate")
    assert [entry.facts["means"] for entry in operator.journal("sign-in")][-1] == "certificate"


def test_the_page_offers_it_where_it_is(operator: Operator, origin: str) -> None:
    with Browser(origin) as browser:
        page, script = browser.client.get("/"), browser.client.get("/pages/page.js")
    assert '<main id="main" data-cards' in page.text
    assert "Utiliser ma carte CPS" in script.text


def test_a_card_opens_no_mailbox(space: TrustSpace, operator: Operator, origin: str) -> None:
    with Browser(origin) as browser:
        _come_back(browser, _show(space, _leave(browser), space.issue(CARD, "card")))
        offer = browser.get("/api/enrolment")
        chosen = {"address": offer["addresses"][0], "terms": offer["terms"]}
        refused = browser.ask("POST", "/api/enrolment", chosen)
    assert (refused.status_code, refused.json()["error"]) == (403, "ProofWanted")


@pytest.mark.parametrize(
    ("rule", "dn"),
    [
        ("certificate-none", ""),
        ("certificate-person", "CN=899700000000,OU=Chirurgien-Dentiste,C=FR"),  # nobody here
        ("certificate-person", NORTH.dn),
        ("certificate-person", f"CN={CLAIRE},OU={KARIM},C=FR"),  # two people
        ("certificate-person", f"CN=1{CLAIRE},C=FR"),  # part of a longer number
        ("expired", CARD),
        ("foreign", CARD),
    ],
)
def test_what_is_nobodys_good_card_signs_nobody_in(
    space: TrustSpace, operator: Operator, origin: str, rule: str, dn: str
) -> None:
    card = None
    if rule == "foreign":
        card = space.foreign(dn)
    elif rule == "expired":
        day = space.expired.credential.certificate
        card = space.issue(dn, "late", life=(day.not_valid_before_utc, day.not_valid_after_utc))
    elif dn:
        card = space.issue(dn, "card")
    with Browser(origin) as browser:
        refused = _show(space, _leave(browser), card)
        assert (refused.status_code, refused.json()["error"]) == (401, "RefusedIdentity")
        assert "Insérez la vôtre" in refused.json()["fr"]
        assert "set-cookie" not in refused.headers
    (entry,) = until(lambda: operator.journal("sign-in-refusal"), "the refusal in the journal")
    assert entry.facts["means"] == "certificate"
    if rule.startswith("certificate-"):
        assert entry.facts["rule"] == rule


def test_a_code_serves_once_and_in_the_browser_that_asked(space: TrustSpace, operator: Operator, origin: str) -> None:
    """Login CSRF: the attacker's code, followed by a victim who has a flow of their own or none; and replay."""
    card = space.issue(CARD, "card")
    with Browser(origin) as browser, Browser(origin) as victim:
        shown = _show(space, _leave(browser), card)
        assert _come_back(victim, shown).status_code == 400
        _leave(victim)
        assert _come_back(victim, shown).status_code == 400
        assert victim.cookie == ""
        assert _come_back(browser, shown).status_code == 400  # the code was used up
        url = _leave(browser)
        held = browser.client.cookies.get("flow")
        shown = _show(space, url, card)
        assert _come_back(browser, shown).status_code == 303
        assert held is not None
        browser.client.cookies.set("flow", held, domain="localhost.local", path="/")
        assert _come_back(browser, shown).status_code == 400


def test_the_port_that_asks_for_certificates_answers_nothing_else(
    space: TrustSpace, operator: Operator, origin: str
) -> None:
    base = f"https://localhost:{operator.ports['certificates']}"
    card = space.issue(CARD, "card")
    for path in ("/", "/api/session", "/sign-in/certificate", "/sign-in/pro-sante-connect"):
        assert _show(space, base + path, card).status_code == 404
    assert _show(space, f"{base}/sign-in", card).status_code == 400  # nobody asked
