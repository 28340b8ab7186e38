"""Debian's Glewlwyd, an OpenID provider that others wrote, on loopback: its process, what it is told, and its people's browsers.

What holds here: its store is SQLite in a folder of the test; clients, people and the protocol are set up by its own API, as its
administrator's page does. Where it is not to the letter of the standards, it is for our client to cope:

- it does not decode the client's name and secret in HTTP Basic (RFC 6749 §2.3.1): the secret here needs no encoding;
- it refuses a refresh token, and an access token at userinfo, with a status and no words;
- whom a confirmation is asked of (CIBA) is named by an object of its own (`hint`).
"""

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulators.ports import free_port
from simulators.pretend import BACK, CLAIRE, CLIENT, PEOPLE
from simulators.software import program
from vaguemestre.identity.oidc import Registration

SECRET = "s3cret-of_the.client"
_PASSWORD = "password"
_SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
_MODULES = Path("/usr/lib/glewlwyd")
_CLAIMS = ("SubjectNameID", "given_name", "family_name")
_START_S = 20
_CONFIGURATION = """
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
cookie_domain="127.0.0.1"
cookie_secure=0
log_mode="console"
log_level="WARNING"
user_module_path="{modules}/user"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type="sqlite3" path="{database}" }};
"""


class Glewlwyd:
    """Where it answers, and what its people do there."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.discovery = f"{self.issuer}/api/oidc/.well-known/openid-configuration"
        self.registration = Registration(self.issuer, CLIENT, SECRET, BACK, level="")  # it says nothing of levels
        self._administrator = httpx.Client(base_url=f"{self.issuer}/api")

    def set_up(self, *redirects: str) -> None:
        """Tell it its protocol, its client and its people."""
        self._sign_in(self._administrator, "admin")
        people = self._administrator.get("/mod/user/database").json()
        people["parameters"]["data-format"] |= {
            claim: {"multiple": False, "read": True, "write": True} for claim in _CLAIMS
        }
        self._tell("PUT", "/mod/user/database", people)
        self._tell("PUT", "/mod/user/database/reset", None)
        self._tell("POST", "/scope/", {"name": "scope_all", "display_name": "all", "password_required": True})
        self._tell("POST", "/mod/plugin/", self._protocol())
        client = {
            "client_id": CLIENT,
            "name": CLIENT,
            "password": SECRET,
            "confidential": True,
            "scope": [],
            "redirect_uri": [BACK, *redirects],
            "authorization_type": ["code", "refresh_token", "urn:openid:params:grant-type:ciba"],
            "token_endpoint_auth_method": ["client_secret_basic"],
            "backchannel_token_delivery_mode": "poll",
        }
        self._tell("POST", "/client/", client)
        for person in PEOPLE:
            said = {claim: person[claim] for claim in _CLAIMS}
            known = {"username": person["SubjectNameID"], "password": _PASSWORD, "scope": ["openid", "scope_all"]}
            self._tell("POST", "/user/", {**known, "name": person["given_name"], **said})

    def rotate(self) -> None:
        """Have it sign with another key."""
        self._tell("PUT", "/mod/plugin/oidc", self._protocol())
        self._tell("PUT", "/mod/plugin/oidc/reset", None)

    def choose(self, url: str, person: str = CLAIRE) -> dict[str, str]:
        """Be the browser sent to `url`, sign in and agree: what comes back with the redirection."""
        with self._browser(person, url) as browser:
            sent = browser.get(f"{url}&g_continue")
        assert sent.status_code == 302, sent.text
        assert not sent.headers["location"].startswith(self.issuer), sent.headers["location"]
        return dict(parse_qsl(urlsplit(sent.headers["location"]).query))

    def hint(self, person: str) -> str:
        """How it wants to be told whom to ask."""
        return json.dumps({"username": person})

    def confirm(self, *, yes: bool = True, person: str = CLAIRE) -> None:
        """Be the person who is asked: answer whatever waits."""
        with self._browser(person) as browser:
            waiting = browser.get(f"{self.issuer}/api/oidc/ciba_user_list").json()
            assert waiting
            for each in waiting:
                answer = {"user_req_id": each["user_req_id"], "g_continue" if yes else "cancel": ""}
                browser.get(f"{self.issuer}/api/oidc/ciba_user_check", params=answer)

    def close(self) -> None:
        """Let go of the administrator's connection."""
        self._administrator.close()

    @contextmanager
    def _browser(self, person: str, url: str = "") -> Iterator[httpx.Client]:
        with httpx.Client() as browser:
            if url:
                first = browser.get(url)
                assert "login.html" in first.headers.get("location", ""), (first.status_code, first.text)
            self._sign_in(browser, person)
            agreed = browser.put(f"{self.issuer}/api/auth/grant/{CLIENT}/", json={"scope": "openid scope_all"})
            assert agreed.status_code == 200, agreed.text
            yield browser

    def _sign_in(self, browser: httpx.Client, person: str) -> None:
        answer = browser.post(f"{self.issuer}/api/auth", json={"username": person, "password": _PASSWORD})
        assert answer.status_code == 200, answer.text

    def _tell(self, method: str, path: str, body: Any) -> None:
        answer = self._administrator.request(method, path, json=body)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)

    def _protocol(self) -> dict[str, Any]:
        """Its OpenID Connect, with a new key, as near to Pro Santé Connect as it can be told."""
        key = rsa.generate_private_key(65537, 2048)
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        claim = {"type": "string", "mandatory": True, "scope": []}
        parameters: dict[str, Any] = {
            "iss": self.issuer,
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "key": private.decode(),
            "cert": public.decode(),
            "access-token-duration": 120,
            "refresh-token-duration": 1800,
            "code-duration": 60,
            "refresh-token-rolling": False,
            "refresh-token-one-use": "always",
            "auth-type-code-enabled": True,
            "auth-type-code-revoke-replayed": True,
            "auth-type-refresh-enabled": True,
            "allow-non-oidc": False,
            "allowed-scope": ["openid", "scope_all"],
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-method-plain-allowed": False,
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": [],
            "subject-type": "public",
            "jwks-show": True,
            "session-management-allowed": True,
            "session-cookie-name": "OIDC",
            "session-cookie-expiration": 1000,
            "name-claim": "no",
            "email-claim": "no",
            "scope-claim": "no",
            "claims": [{**claim, "name": name, "user-property": name} for name in _CLAIMS],
            "oauth-as-iss-id": True,
            "oauth-ciba-allowed": True,
            "oauth-ciba-mode-poll-allowed": True,
            "oauth-ciba-default-expiry": 120,
            "oauth-ciba-maximum-expiry": 120,
            "oauth-ciba-email-allowed": False,
        }
        return {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters}


@contextmanager
def glewlwyd(folder: Path, *redirects: str) -> Iterator[Glewlwyd]:
    """Run one."""
    command = program("glewlwyd")
    port, database = free_port(), folder / "glewlwyd.db"
    with sqlite3.connect(database) as store:
        store.executescript(_SCHEMA.read_text())
    store.close()
    file = folder / "glewlwyd.conf"
    file.write_text(_CONFIGURATION.format(port=port, modules=_MODULES, database=database))
    with (folder / "glewlwyd.log").open("wb") as log:
        process = subprocess.Popen([command, "-c", str(file)], stdout=log, stderr=log)
    found = Glewlwyd(port)
    try:
        _await(found, process)
        found.set_up(*redirects)
        yield found
    finally:
        found.close()
        process.terminate()
        process.wait(10)


def _await(theirs: Glewlwyd, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{theirs.issuer}/config")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("Glewlwyd did not start; see glewlwyd.log")
