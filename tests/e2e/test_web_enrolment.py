"""A mailbox in five minutes, over HTTP: Pro Santé Connect, the register, an address, a passkey; every day after; and attacks."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from simulators.authenticator import Authenticator
from simulators.browser import Browser
from simulators.operators import Operator
from simulators.ports import free_port
from simulators.pretend import CLAIRE, CLIENT, SECRET, Pretend, pretend
from simulators.register import fill
from simulators.space import NORTH, TrustSpace
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts, mailboxes

KARIM = "899700366257"


@pytest.fixture(scope="module")
def origin() -> str:
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
def theirs(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretend]:
    with pretend(tmp_path_factory.mktemp("pretend"), f"{origin}/sign-in/back") as found:
        yield found


@pytest.fixture
def operator(space: TrustSpace, origin: str, theirs: Pretend, tmp_path: Path) -> Iterator[Operator]:
    """An operator where dentists enrol, with a register that knows Claire."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    found = Operator(
        space,
        tmp_path / "north",
        NORTH,
        identity={
            "issuer": theirs.issuer, "authorize": theirs.authorize, "client": CLIENT, "client_secret": str(secret),
            "app_passwords": True,
        },
        web={"listen": origin.replace("http://localhost", "127.0.0.1"), "origin": origin, "name": "Ordre du Nord"},
        enrolment={"terms": "2026-11"},
    )  # fmt: skip
    with found.config_file.open("a") as file:
        file.write(f'[enrolment.domains]\n"40" = "{NORTH.domain}"\n')
    fill(found.config_file)
    found.start()
    yield found
    found.close()


@pytest.fixture
def browser(operator: Operator, origin: str) -> Iterator[Browser]:
    with Browser(origin) as found:
        yield found


def _enrol(browser: Browser, theirs: Pretend) -> str:
    browser.sign_in(theirs)
    offer = browser.get("/api/enrolment")
    chosen = {"address": offer["addresses"][0], "terms": offer["terms"], "red_list": False}
    return str(browser.post("/api/enrolment", chosen)["address"])


def test_a_dentist_has_a_mailbox_within_five_seconds(operator: Operator, browser: Browser, theirs: Pretend) -> None:
    began = time.monotonic()
    assert browser.sign_in(theirs, then="/bienvenue") == "/bienvenue"
    offer = browser.get("/api/enrolment")
    assert (offer["name"], offer["places"]) == ("Claire LEFEVRE NOEL", ["CABINET DES LILAS, PARIS"])
    address = f"claire.lefevre-noel@{NORTH.domain}"
    assert offer["addresses"][0] == address
    browser.post("/api/enrolment", {"address": address, "terms": offer["terms"]})
    device = Authenticator(origin=browser.origin)
    browser.add_passkey(device)
    codes = browser.post("/api/recovery-codes")["codes"]
    assert len(codes) == 10
    with Browser(browser.origin) as phone:
        assert phone.touch(device).status_code == 200
        who = phone.get("/api/session")
    assert time.monotonic() - began < 5
    assert [(each["address"], each["part"]) for each in who["accounts"]] == [(address, "holder")]
    account = operator.read(accounts.get, address)
    inbox = operator.read(mailboxes.with_role, account.id, mailboxes.Role.INBOX)
    assert inbox.total == 2  # the welcome, and the news of the passkey
    events = [str(each.event) for each in operator.read(journal.log)]
    assert events.count("sign-in") == 2
    assert {"enrolment", "passkey", "recovery-codes", "account-creation", "grant"} <= set(events)


def test_a_second_mailbox_is_refused_in_words(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    address = _enrol(browser, theirs)
    refused = browser.ask("GET", "/api/enrolment")
    assert refused.status_code == 409
    assert address in refused.json()["fr"]


def test_who_is_not_in_the_register_is_told_what_to_do(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    browser.sign_in(theirs, KARIM)
    refused = browser.ask("GET", "/api/enrolment").json()
    assert refused["error"] == "NotInRegister"
    assert "Ordre" in refused["fr"]


def test_cookies_are_out_of_reach_and_answers_are_not_kept(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    left = browser.client.get("/sign-in/pro-sante-connect")
    said = left.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert left.headers["cache-control"] == "no-store"


def test_nobody_goes_elsewhere_after_signing_in(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    for target in ("https://evil.example", "//evil.example", "/\\evil.example", "evil", "/%0d%0aSet-Cookie: a=b"):
        assert browser.sign_in(theirs, then=target).startswith("/")
        assert "evil" not in browser.sign_in(theirs, then=target)


def test_an_answer_of_pro_sante_connect_serves_once_and_in_one_browser(
    browser: Browser, operator: Operator, theirs: Pretend, origin: str
) -> None:
    """Code replay, and login CSRF: the attacker's answer in the victim's browser."""
    left = browser.client.get("/sign-in/pro-sante-connect")
    answer = theirs.choose(left.headers["location"])
    with Browser(origin) as victim:
        assert victim.client.get("/sign-in/back", params=answer).status_code == 400
        victim.client.get("/sign-in/pro-sante-connect")
        assert victim.client.get("/sign-in/back", params=answer).status_code == 400
        assert victim.cookie == ""
    held = browser.client.cookies.get("flow")
    assert browser.client.get("/sign-in/back", params=answer).status_code == 303
    assert held is not None
    browser.client.cookies.set("flow", held, domain="localhost.local", path="/")
    assert browser.client.get("/sign-in/back", params=answer).status_code == 400


def test_a_session_is_never_taken_over_by_signing_in(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    """Session fixation: what the browser had before is worth nothing after."""
    browser.sign_in(theirs)
    planted = browser.cookie
    browser.sign_in(theirs)
    assert browser.cookie != planted
    with Browser(browser.origin) as attacker:
        attacker.client.cookies.set("session", planted)
        assert attacker.ask("GET", "/api/session").status_code == 401


def test_a_cookie_stolen_before_signing_out_is_worth_nothing_after(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    browser.sign_in(theirs)
    stolen = browser.cookie
    assert browser.ask("DELETE", "/api/session").status_code == 204
    with Browser(browser.origin) as thief:
        thief.client.cookies.set("session", stolen)
        assert thief.ask("GET", "/api/session").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_sites_page_changes_nothing(
    browser: Browser, operator: Operator, theirs: Pretend, headers: dict[str, str]
) -> None:
    browser.sign_in(theirs)
    refused = browser.ask("POST", "/api/enrolment", {"address": "x", "terms": "y"}, **headers)
    assert (refused.status_code, refused.json()["error"]) == (403, "ForeignRequest")


def test_nobody_is_let_in_without_signing_in(browser: Browser, operator: Operator) -> None:
    for method, path in (("GET", "/api/session"), ("GET", "/api/enrolment"), ("POST", "/api/passkeys/options")):
        assert browser.ask(method, path, {} if method == "POST" else None).status_code == 401


@pytest.mark.parametrize(
    "choice",
    [
        {"address": f"postmaster@{NORTH.domain}", "terms": "2026-11"},
        {"address": "claire.lefevre@elsewhere.mssante.fr", "terms": "2026-11"},
        {"address": f"claire.lefevre-noel@{NORTH.domain}", "terms": "2025-01"},
        {"address": f"claire.lefevre-noel@{NORTH.domain}"},
        {"address": ["x"], "terms": "2026-11"},
        {"national_id": KARIM, "address": f"karim.benali@{NORTH.domain}", "terms": "2026-11"},
    ],
)
def test_what_the_browser_says_of_itself_gives_nothing(
    browser: Browser, operator: Operator, theirs: Pretend, choice: dict[str, Any]
) -> None:
    """Privilege by parameter."""
    browser.sign_in(theirs)
    assert browser.ask("POST", "/api/enrolment", choice).status_code in (400, 409)
    assert operator.read(accounts.listing) == []


def test_a_passkey_that_proves_nothing_is_refused_alike_and_no_sooner(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    _enrol(browser, theirs)
    known = Authenticator(origin=browser.origin)
    browser.add_passkey(known)
    unknown = Authenticator(origin=browser.origin, handle=b"12345678")
    elsewhere = Authenticator(
        origin="https://evil.example", credential=known.credential, key=known.key, handle=known.handle, count=9
    )
    answers, times = [], []
    with Browser(browser.origin) as other:
        for device in (unknown, elsewhere):
            options = other.post("/api/sign-in/passkey/options", {}, 200)
            began = time.monotonic()
            answer = other.ask("POST", "/api/sign-in/passkey", {"credential": device.prove(options)})
            times.append(time.monotonic() - began)
            answers.append((answer.status_code, answer.text))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert all(each >= 0.25 for each in times)


def test_a_challenge_serves_once(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    _enrol(browser, theirs)
    device = Authenticator(origin=browser.origin)
    browser.add_passkey(device)
    with Browser(browser.origin) as phone:
        options = phone.post("/api/sign-in/passkey/options", {}, 200)
        answer = {"credential": device.prove(options)}
        assert phone.ask("POST", "/api/sign-in/passkey", answer).status_code == 200
        assert phone.ask("POST", "/api/sign-in/passkey", answer).status_code == 400


def test_how_one_signs_in_is_changed_only_after_a_fresh_proof(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    _enrol(browser, theirs)
    device = Authenticator(origin=browser.origin)
    browser.add_passkey(device)
    codes = browser.post("/api/recovery-codes")["codes"]
    operator.write(lambda connection: connection.exec_driver_sql("UPDATE web_sessions SET proved_at = 0"))
    for method, path in (("POST", "/api/passkeys/options"), ("POST", "/api/recovery-codes")):
        refused = browser.ask(method, path, {})
        assert (refused.status_code, refused.json()["error"]) == (403, "ProofWanted")
    assert browser.ask("POST", "/api/session/proof", {"code": "0000-0000-0000-0000"}).status_code == 401
    assert browser.ask("POST", "/api/session/proof", {"code": codes[0]}).status_code == 204
    browser.post("/api/passkeys/options", {}, 200)
    operator.write(lambda connection: connection.exec_driver_sql("UPDATE web_sessions SET proved_at = 0"))
    assert browser.ask("POST", "/api/session/proof", {"code": codes[0]}).status_code == 401
    assert browser.touch(device).status_code == 200
    browser.post("/api/passkeys/options", {}, 200)


def test_sessions_are_listed_and_ended(browser: Browser, operator: Operator, theirs: Pretend, origin: str) -> None:
    browser.sign_in(theirs)
    with Browser(origin, "Phone") as phone, Browser(origin, "Tablet") as tablet:
        phone.sign_in(theirs)
        tablet.sign_in(theirs)
        listed = browser.get("/api/sessions")
        assert [(each["device"], each["current"]) for each in listed][:2] == [("Tablet", False), ("Phone", False)]
        assert browser.ask("DELETE", f"/api/sessions/{listed[1]['id']}").status_code == 204
        assert phone.ask("GET", "/api/session").status_code == 401
        assert browser.ask("DELETE", "/api/sessions").json() == {"ended": 1}
        assert tablet.ask("GET", "/api/session").status_code == 401
    assert browser.ask("GET", "/api/session").status_code == 200


def test_a_sign_in_from_elsewhere_is_told_by_a_letter_once(
    browser: Browser, operator: Operator, theirs: Pretend, origin: str
) -> None:
    address = _enrol(browser, theirs)
    device = Authenticator(origin=origin)
    browser.add_passkey(device)
    before = len(_letters(operator, address))
    for name, source, told in (
        ("Mozilla/5.0 (X11; Linux) Firefox", "127.0.0.1", 0),  # the browser that enrolled
        ("Mozilla/5.0 (X11; Linux) Firefox/150", "127.0.9.9", 0),  # updated, with another address of the same network
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari", "127.0.0.1", 1),  # another browser
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/141 Safari", "127.0.0.1", 1),  # told already
        ("Mozilla/5.0 (X11; Linux) Firefox", "127.9.0.1", 2),  # another network
    ):
        with Browser(origin, name, address=source) as other:
            assert other.touch(device).status_code == 200
        assert len(_letters(operator, address)) == before + told, (name, source)
    told_last, told_first = _letters(operator, address)[:2]
    assert "127.9.0.1" in told_last
    assert "Chrome, Windows" in told_first
    assert "://" not in told_first  # nobody learns to click on such a thing


def test_a_device_of_a_mail_program_is_let_in_and_out(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    address = _enrol(browser, theirs)
    where = f"/api/accounts/{address}/app-passwords"
    secret = browser.post(where, {"label": "iPhone"})["secret"]
    assert len(secret.replace("-", "")) == 28
    assert [each["label"] for each in browser.get(where)] == ["iPhone"]
    assert secret not in json.dumps(browser.get(where))
    assert browser.ask("DELETE", f"{where}/iPhone").status_code == 204
    assert browser.get(where) == []


def test_others_accounts_are_as_if_they_were_not(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    _enrol(browser, theirs)
    with Browser(browser.origin) as other:
        other.sign_in(theirs, KARIM)
        there = other.ask("GET", f"/api/accounts/claire.lefevre-noel@{NORTH.domain}/app-passwords")
        nowhere = other.ask("GET", f"/api/accounts/nobody@{NORTH.domain}/app-passwords")
    assert (there.status_code, there.text) == (nowhere.status_code, nowhere.text)
    assert there.status_code == 409


def test_a_practices_mailbox_and_its_secretary(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    from vaguemestre.enrolment import requests

    _enrol(browser, theirs)
    address = f"cabinet.lilas@{NORTH.domain}"
    asked = browser.post(
        "/api/mailbox-requests",
        {"kind": "CAB", "address": address, "name": "Cabinet des Lilas", "structure": "R00000000000003"},
    )
    operator.write(lambda connection: requests.grant(connection, int(asked["id"])))
    made = browser.post(f"/api/accounts/{address}/invitations", {"name": "Sophie, secrétariat", "rights": "read,write"})
    secret = made["link"].partition("#")[2]
    assert secret not in json.dumps(browser.get(f"/api/accounts/{address}/invitations"))
    with Browser(browser.origin) as sophie:
        sophie.post("/api/invitations/take-up", {"secret": secret, "name": "Sophie Petit"})
        sophie.add_passkey(Authenticator(origin=browser.origin))
        assert [each["address"] for each in sophie.get("/api/session")["accounts"]] == [address]
        assert (
            sophie.ask("POST", f"/api/accounts/{address}/invitations", {"name": "x", "rights": "read"}).status_code
            == 403
        )
        assert sophie.ask("GET", "/api/enrolment").status_code == 409
    with Browser(browser.origin) as other:
        forwarded = other.ask("POST", "/api/invitations/take-up", {"secret": secret, "name": "Un Autre"})
        assert (forwarded.status_code, forwarded.json()["error"]) == (409, "Invitation")


def test_no_token_of_the_provider_reaches_the_browser_or_the_store(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    left = browser.client.get("/sign-in/pro-sante-connect")
    answer = theirs.choose(left.headers["location"])
    came = browser.client.get("/sign-in/back", params=answer)
    assert came.status_code == 303
    shown = " ".join(f"{name}: {value}" for name, value in came.headers.multi_items()) + came.text
    kept = operator.read(
        lambda connection: [
            str(tuple(row))
            for table in ("web_sessions", "sign_in_flows", "persons", "journal")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
        ]
    )
    assert any(CLAIRE in row for row in kept)
    for text in (shown, *kept):
        assert "eyJ" not in text  # how a token begins
        assert answer["code"] not in text


def test_a_phone_confirms_a_sign_in(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    asked = browser.post("/api/sign-in/phone", {"rpps": CLAIRE[1:]}, 202)
    assert len(asked["message"]) == 2
    assert browser.ask("POST", "/api/sign-in/phone/answer", {}).status_code == 202
    theirs.confirm()
    assert browser.ask("POST", "/api/sign-in/phone/answer", {}).json() == {"signed_in": True}
    assert browser.get("/api/session")["national_id"] == CLAIRE


def test_an_outage_of_pro_sante_connect_is_said_and_passkeys_still_serve(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    _enrol(browser, theirs)
    device = Authenticator(origin=browser.origin)
    browser.add_passkey(device)
    left = browser.client.get("/sign-in/pro-sante-connect")
    answer = theirs.choose(left.headers["location"])
    theirs.quirks(status={"protocol/openid-connect/token": 503})
    try:
        refused = browser.client.get("/sign-in/back", params=answer)
        assert (refused.status_code, refused.json()["error"]) == (503, "Provider")
    finally:
        theirs.quirks()
    with Browser(browser.origin) as phone:
        assert phone.touch(device).status_code == 200


def _letters(operator: Operator, address: str) -> list[str]:
    sources = [operator.content(each) for each in operator.messages(address.partition("@")[0])]
    return [message_from_bytes(each, policy=default).get_content() for each in sources]


def test_a_copied_passkey_serves_nobody_and_its_person_is_told(
    browser: Browser, operator: Operator, theirs: Pretend, origin: str
) -> None:
    address = _enrol(browser, theirs)
    device = Authenticator(origin=origin)
    browser.add_passkey(device, "Clé bleue")
    copy = replace(device)
    with Browser(origin) as phone, Browser(origin) as thief:
        assert phone.touch(device).status_code == 200
        assert thief.touch(copy).status_code == 401
        assert thief.cookie == ""
        assert phone.touch(device).status_code == 401
    assert "Une copie de votre clé d'accès « Clé bleue »" in _letters(operator, address)[0]
    assert sum("Une copie" in each for each in _letters(operator, address)) == 1


def test_a_one_time_code_serves_once(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    browser.sign_in(theirs)
    made = browser.post("/api/one-time-codes", {})
    codes = pyotp.TOTP(made["secret"].replace(" ", ""))
    now = time.time()
    assert browser.ask("POST", "/api/one-time-codes/confirmation", {"code": codes.at(now)}).status_code == 204
    for code, status in ((codes.at(now), 401), (codes.at(now + 30), 204), (codes.at(now + 30), 401)):
        assert browser.ask("POST", "/api/session/proof", {"code": code}).status_code == status


def test_each_change_of_means_is_told_by_a_letter(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    address = _enrol(browser, theirs)
    made = browser.add_passkey(Authenticator(origin=browser.origin))
    secret = browser.post("/api/one-time-codes", {})["secret"].replace(" ", "")
    confirmed = browser.ask("POST", "/api/one-time-codes/confirmation", {"code": pyotp.TOTP(secret).now()})
    assert confirmed.status_code == 204
    assert browser.ask("DELETE", "/api/one-time-codes").status_code == 204
    assert browser.ask("DELETE", f"/api/passkeys/{made['id']}").status_code == 204
    told = (
        "clé d'accès a été supprimée",
        "usage unique a été retirée",
        "usage unique a été ajoutée",
        "» a été ajoutée",
    )
    letters = _letters(operator, address)
    assert [words in letter for words, letter in zip(told, letters, strict=False)] == [True] * 4
    assert len(letters) == 5  # and the welcome


def test_proving_again_leaves_a_copied_cookie_worthless(
    browser: Browser, operator: Operator, theirs: Pretend, origin: str
) -> None:
    browser.sign_in(theirs)
    device = Authenticator(origin=origin)
    browser.add_passkey(device)
    code = browser.post("/api/recovery-codes")["codes"][0]
    for prove in (
        lambda: browser.touch(device),
        lambda: browser.ask("POST", "/api/session/proof", {"code": code}),
    ):
        stolen = browser.cookie
        assert prove().is_success
        assert browser.get("/api/session")["national_id"] == CLAIRE
        with Browser(origin) as thief:
            thief.client.cookies.set("session", stolen)
            assert thief.ask("GET", "/api/session").status_code == 401


def test_a_passkey_made_for_somebody_is_registered_by_nobody_else(
    browser: Browser, operator: Operator, theirs: Pretend, origin: str
) -> None:
    """A challenge is of the browser that asked for it: what answers it elsewhere is worth nothing."""
    browser.sign_in(theirs)
    device = Authenticator(origin=origin)
    answer = device.make(browser.post("/api/passkeys/options", {}, 200))
    with Browser(origin) as other:
        other.sign_in(theirs, KARIM)
        other.post("/api/passkeys/options", {}, 200)
        refused = other.ask("POST", "/api/passkeys", {"name": "x", "credential": answer})
        assert refused.status_code == 401
        assert other.get("/api/passkeys") == []
    assert browser.ask("POST", "/api/passkeys", {"name": "x", "credential": answer}).status_code == 201


@pytest.mark.parametrize("end", ["suspend", "sign-out"])
def test_sessions_end_with_what_the_operator_ends(
    browser: Browser, operator: Operator, theirs: Pretend, end: str
) -> None:
    from vaguemestre.enrolment import lifecycle
    from vaguemestre.identity.permissions import ADMINISTRATOR
    from vaguemestre.mailstore import sharing

    address = _enrol(browser, theirs)
    with Browser(browser.origin) as other:
        other.sign_in(theirs, KARIM)
        operator.write(lifecycle.suspend if end == "suspend" else sharing.sign_out, address, ADMINISTRATOR)
        assert browser.ask("GET", "/api/session").status_code == 401
        assert other.ask("GET", "/api/session").status_code == 200


def test_who_fails_makes_nobody_else_wait(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    """Credential stuffing locks nobody out: the waits are of who fails."""
    browser.sign_in(theirs)
    code = browser.post("/api/recovery-codes")["codes"][0]
    with Browser(browser.origin) as other:
        other.sign_in(theirs, KARIM)
        for _ in range(4):
            assert other.ask("POST", "/api/session/proof", {"code": "000000"}).status_code == 401
        began = time.monotonic()
        assert browser.ask("POST", "/api/session/proof", {"code": code}).status_code == 204
        assert time.monotonic() - began < 0.5


def test_an_unknown_invitation_is_refused_as_a_used_one_is(
    browser: Browser, operator: Operator, theirs: Pretend
) -> None:
    answers = [
        browser.ask("POST", "/api/invitations/take-up", {"secret": secret, "name": "Un Autre"})
        for secret in ("", "x" * 43, "é" * 300)
    ]
    assert {(each.status_code, each.text) for each in answers} == {(409, answers[0].text)}


def test_large_and_broken_requests_are_refused(browser: Browser, operator: Operator) -> None:
    own = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    for content in (b"x" * 70_000, b"{", b"[]", b"\xff", b"[" * 5000):
        answer = httpx.post(f"{browser.origin}/api/sign-in/phone", content=content, headers=own)
        assert answer.status_code == 400, content[:10]


def test_nobodys_phone_rings_without_end(browser: Browser, operator: Operator) -> None:
    answers = [browser.ask("POST", "/api/sign-in/phone", {"rpps": CLAIRE[1:]}).status_code for _ in range(5)]
    assert answers == [202, 202, 202, 429, 429]


def test_who_guesses_codes_waits_longer_and_longer(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    browser.sign_in(theirs)
    times = []
    for _ in range(4):
        began = time.monotonic()
        assert browser.ask("POST", "/api/session/proof", {"code": "000000"}).status_code == 401
        times.append(time.monotonic() - began)
    assert times[3] >= 1.0


def test_who_did_what_is_seen_by_who_may_and_nobody_else(browser: Browser, operator: Operator, theirs: Pretend) -> None:
    from vaguemestre.identity.model import NO_RIGHTS
    from vaguemestre.identity.permissions import ADMINISTRATOR, Part
    from vaguemestre.mailstore import sharing

    address = _enrol(browser, theirs)
    assert browser.get(f"/api/accounts/{address}/traces") == []
    with Browser(browser.origin) as other:
        other.sign_in(theirs, KARIM)
        where = f"/api/accounts/{address}/traces"
        assert other.ask("GET", where).status_code == 409
        for part, status in ((Part.DELEGATE, 403), (Part.AUDITOR, 200)):
            operator.write(
                lambda connection, part=part: sharing.grant(
                    connection, address, KARIM, "", NO_RIGHTS, ADMINISTRATOR, part=part
                )
            )
            assert other.ask("GET", where).status_code == status
        assert other.ask("POST", f"/api/accounts/{address}/app-passwords", {"label": "x"}).status_code == 403
