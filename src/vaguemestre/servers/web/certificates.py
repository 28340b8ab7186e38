"""Signing in with a card: a certificate that bears its person's own number, shown to a second listener that asks for one.

Kept true: whether the certificate is good is decided by the room of trust, each time, as for mail programs; it opens the session
of the one person known here whose national identifier its name bears, and nobody else's; it opens no mailbox, which Pro Santé
Connect alone does. The listener for certificates begins no session: it gives a code of one minute that serves once, in the
browser that asked for it, since a code sent to somebody else must not sign them in as another (login CSRF).

Flow: our pages keep a flow, and send the browser with a ticket → the listener for certificates judges, gives a code → our pages
compare ticket and flow → session.
"""

import hashlib
import hmac
import re
import secrets

import sqlalchemy as sa
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import client_certificates, flows, persons
from vaguemestre.identity.client_certificates import StandingFailure
from vaguemestre.identity.model import Means, Person, RefusedIdentityError
from vaguemestre.identity.oidc import FlowError
from vaguemestre.servers.web.door import Asked, Door, MalformedRequestError
from vaguemestre.servers.web.sign_in import own_path
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.names import DistinguishedName

BACK = "/sign-in/certificate/back"
_CODE_MS = 60_000
_NUMBER = re.compile(r"(?<![0-9])8?([0-9]{11})(?![0-9])")
_MOST_NUMBERS = 5


class CardRefusedError(RefusedIdentityError):
    """The browser showed no certificate, or one that opens nothing here; `rule` says why, to the journal."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.en = "No card that opens an account here was shown. Insert yours, or sign in with Pro Santé Connect."
        self.fr = (
            "Aucune carte ouvrant un compte ici n'a été présentée. Insérez la vôtre, ou connectez-vous avec "
            "Pro Santé Connect."
        )


class CertificateDesk:
    """Lets people in by their card. `address` is that of the listener for certificates, as a browser reaches it."""

    def __init__(self, door: Door, judge: Judge, recorder: Recorder, address: str) -> None:
        self._door, self._judge, self._recorder, self._address = door, judge, recorder, address

    def routes(self) -> list[Route]:
        """What our own pages' application answers."""
        return [
            self._door.route("GET", "/sign-in/certificate", self._leave, signed_in=False, page=True),
            self._door.route("GET", BACK, self._come_back, signed_in=False, page=True),
        ]

    def listener_routes(self) -> list[Route]:
        """What the listener for certificates answers, and all that it does."""
        return [self._door.route("GET", "/sign-in", self._show, signed_in=False, page=True)]

    async def _leave(self, asked: Asked) -> Response:
        ticket = secrets.token_urlsafe(32)
        kept = {"ticket": _digest(ticket), "next": own_path(asked.request.query_params.get("next", ""))}
        secret = await self._door.database.write_async(flows.keep, "certificate", kept)
        response = RedirectResponse(f"{self._address}/sign-in?ticket={ticket}", 303)
        self._door.keep_flow(response, secret)
        return response

    async def _show(self, asked: Asked) -> Response:
        ticket = asked.request.query_params.get("ticket", "")
        if not ticket:
            raise MalformedRequestError
        try:
            name = await self._presented(getattr(asked.request.state, "client_chain", ()))
            person = await self._door.database.read_async(_bearer, name)
        except CardRefusedError as refused:
            facts = {"rule": refused.rule, "means": str(Means.CERTIFICATE), "protocol": "web"}
            entry = Entry(Event.SIGN_IN_REFUSAL, "", facts, {"ip": asked.network})
            self._recorder.record(f"web {refused.rule} {asked.network}", entry)
            raise
        given = {"ticket": _digest(ticket), "person": person.national_id}
        code = await self._door.database.write_async(_keep_code, given)
        return RedirectResponse(f"{self._door.origin}{BACK}?code={code}", 303)

    async def _come_back(self, asked: Asked) -> Response:
        kept = await self._door.database.write_async(flows.take, "certificate", self._door.flow(asked))
        code = asked.request.query_params.get("code", "")
        given = await self._door.database.write_async(flows.take, "certificate-code", code)
        if not hmac.compare_digest(kept["ticket"], given["ticket"]):
            raise FlowError("flow-ticket")
        person = await self._door.database.read_async(persons.get, given["person"])
        response = RedirectResponse(kept["next"], 303)
        await self._door.begin(asked, response, person, Means.CERTIFICATE)
        return response

    async def _presented(self, chain: tuple[bytes, ...]) -> DistinguishedName:
        """The name on the certificate that was shown. Raises CardRefusedError; StandingFailure where nobody can tell."""
        if not chain:
            raise CardRefusedError("certificate-none")
        found = await self._judge.identify(chain)
        if found.name is None and found.admission.temporary:
            raise StandingFailure(found.admission.en, found.admission.fr)
        if found.name is None:
            raise CardRefusedError(found.admission.rule)
        return found.name


def _bearer(connection: sa.Connection, name: DistinguishedName) -> Person:
    """The one person known here whose number the name bears. Raises CardRefusedError."""
    numbers = {found for rdn in name.relative_names for _, value in rdn for found in _NUMBER.findall(value)}
    candidates = (persons.find(connection, f"8{number}") for number in sorted(numbers)[:_MOST_NUMBERS])
    known = [each for each in candidates if each and client_certificates.bears(name, each.national_id)]
    if len(known) != 1:
        raise CardRefusedError("certificate-person")
    return known[0]


def _keep_code(connection: sa.Connection, given: dict[str, str]) -> str:
    return flows.keep(connection, "certificate-code", given, lasts_ms=_CODE_MS)


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
