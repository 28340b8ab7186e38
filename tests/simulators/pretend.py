"""The pretend Pro Santé Connect, run as the process it is, and the browser of somebody who signs in with it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from vaguemestre.identity.oidc import Registration
from vaguemestre.pretend.professionals import professional

CLIENT, SECRET, BACK = "vaguemestre", "s3cret+of the/client", "https://mail.example/back"
CLAIRE = "899700366240"
PEOPLE = [
    professional("99700366240", "LEFÈVRE-NOËL", "Claire", place="CABINET DES LILAS"),
    professional("99700366257", "BENALI", "Karim", civility="M", profession="10", know_how=("S", "SM50")),
]


@dataclass(frozen=True, slots=True)
class Pretend:
    """Where it answers."""

    issuer: str
    authorize: str

    @property
    def registration(self) -> Registration:
        """Our client there."""
        return Registration(self.issuer, CLIENT, SECRET, BACK)

    @property
    def discovery(self) -> str:
        """Where it says what it offers."""
        return f"{self.issuer}/.well-known/wallet-openid-configuration"

    def hint(self, person: str) -> str:
        """How it wants to be told whom to ask."""
        return person

    def quirks(self, **changes: Any) -> None:
        """Make it fail as told; nothing: no more."""
        self._realm("PUT", "/quirks", changes)

    def rotate(self) -> None:
        """Have it sign with another key."""
        self._realm("POST", "/rotate", {})

    def choose(self, url: str, person: str = CLAIRE) -> dict[str, str]:
        """Be the browser sent to `url`, choose a person (none: cancel): what comes back with the redirection."""
        with httpx.Client() as browser:
            assert browser.get(url).status_code == 200
            sent = browser.post(url, data={"person": person})
        assert sent.status_code == 303, sent.text
        return dict(parse_qsl(urlsplit(sent.headers["location"]).query))

    def confirm(self, *, yes: bool = True) -> None:
        """Be the phone: answer whatever is asked."""
        wallet = self.authorize.removesuffix("/auth")
        with httpx.Client() as phone:
            page = phone.get(f"{wallet}/phone").text
            waiting = [part.partition('"')[0] for part in page.split('name="id" value="')[1:]]
            assert waiting, page
            for each in waiting:
                phone.post(f"{wallet}/phone", data={"id": each, "answer": "yes" if yes else "no"})

    def _realm(self, method: str, path: str, body: Any) -> None:
        origin = self.issuer.partition("/auth/")[0]
        assert httpx.request(method, origin + path, json=body).status_code == 204


@contextmanager
def pretend(folder: Path, *redirects: str, people: Sequence[dict[str, Any]] = PEOPLE) -> Iterator[Pretend]:
    """Run one, where these people may sign in."""
    wanted = {
        "clients": [{"name": CLIENT, "secret": SECRET, "redirects": [BACK, *redirects]}],
        "people": list(people),
    }
    file = folder / "pretend.json"
    file.write_text(json.dumps(wanted))
    process = subprocess.Popen(
        [sys.executable, "-m", "vaguemestre.pretend", str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Pretend(**json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
