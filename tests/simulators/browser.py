"""Somebody's browser: keeps cookies, says where its requests come from, follows to Pro Santé Connect and back."""

import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from simulators.authenticator import Authenticator
from simulators.openid_scenarios import SomeProvider
from simulators.pretend import CLAIRE


class Browser:
    """One browser at one operator."""

    def __init__(
        self,
        origin: str,
        name: str = "Mozilla/5.0 (X11; Linux) Firefox",
        *,
        address: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`address` is the one of this machine that it asks from; `tls` what it trusts and shows."""
        self.origin = origin
        transport = httpx.HTTPTransport(verify=tls or True, local_address=address)
        self.client = httpx.Client(base_url=origin, headers={"User-Agent": name}, transport=transport)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A request of one of the operator's own pages."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **headers}
        return self.client.request(
            method, path, json=body, headers={name.replace("_", "-"): v for name, v in own.items()}
        )

    def get(self, path: str) -> Any:
        """JSON that is there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 201) -> Any:
        """JSON of something made."""
        answer = self.ask("POST", path, body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def sign_in(self, theirs: SomeProvider, person: str = CLAIRE, then: str = "/") -> str:
        """Sign in with Pro Santé Connect; where it ends."""
        left = self.client.get(f"/sign-in/pro-sante-connect?next={then}")
        assert left.status_code == 303, left.text
        answer = theirs.choose(left.headers["location"], person)
        came = self.client.get("/sign-in/back", params=answer, headers={"Sec-Fetch-Site": "cross-site"})
        assert came.status_code == 303, came.text
        return str(came.headers["location"])

    def add_passkey(self, device: Authenticator, name: str = "Téléphone") -> Any:
        """Make a passkey on a device."""
        options = self.post("/api/passkeys/options", {}, 200)
        return self.post("/api/passkeys", {"name": name, "credential": device.make(options)})

    def touch(self, device: Authenticator) -> httpx.Response:
        """Sign in with a passkey."""
        options = self.post("/api/sign-in/passkey/options", {}, 200)
        return self.ask("POST", "/api/sign-in/passkey", {"credential": device.prove(options)})

    @property
    def cookie(self) -> str:
        """The session's secret."""
        return next((value for name, value in self.client.cookies.items() if name.endswith("session")), "")

    @property
    def host(self) -> str:
        """The host of its origin."""
        return urlsplit(self.origin).hostname or ""
