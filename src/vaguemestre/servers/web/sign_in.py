"""Signing in with a browser: by Pro Santé Connect, by its confirmation on a phone, by a passkey; and signing out.

Kept true: a flow is taken away before its answer is looked at, so that each answer serves once; where the browser goes next is a
path of ours; a passkey that is refused is refused in the same words and time whatever is wrong with it.
"""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from vaguemestre import log
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import flows, model, passkeys, persons, sessions
from vaguemestre.identity.model import Means, NationalIdError, Person, RefusedIdentityError
from vaguemestre.identity.oidc import Asked as Question
from vaguemestre.identity.oidc import Flow, Granted, OpenIdClient
from vaguemestre.identity.passkeys import Passkey, PasskeyRefusedError, Site
from vaguemestre.identity.tokens import ProviderFailure
from vaguemestre.servers.limits import Allowance
from vaguemestre.servers.web.door import Asked, Door, MalformedRequestError, TooManyRequestsError

BACK = "/sign-in/back"
_REFUSAL_S = 0.25
_MOST_RINGS, _RINGS_RATE = 3, 1 / 120
_log = log.get("servers.web")


class NoProviderError(VaguemestreError):
    """This operator has no Pro Santé Connect."""

    def __init__(self) -> None:
        super().__init__(
            "Pro Santé Connect is not set up here.", "Pro Santé Connect n'est pas configuré chez cet opérateur."
        )


class SignInDesk:
    """Lets people in. `provider` None: no Pro Santé Connect here."""

    def __init__(self, door: Door, site: Site, recorder: Recorder, provider: OpenIdClient | None) -> None:
        self._door, self._site, self._recorder, self._provider = door, site, recorder, provider
        self._phones = Allowance(_MOST_RINGS, _RINGS_RATE)

    def routes(self) -> list[Route]:
        """What this desk answers."""
        route = self._door.route
        return [
            route("GET", "/sign-in/pro-sante-connect", self._leave, signed_in=False, page=True),
            route("GET", BACK, self._come_back, signed_in=False, page=True),
            route("POST", "/api/sign-in/phone", self._ask_phone, signed_in=False),
            route("POST", "/api/sign-in/phone/answer", self._phone_answer, signed_in=False),
            route("POST", "/api/sign-in/passkey/options", self._ask_passkey, signed_in=False),
            route("POST", "/api/sign-in/passkey", self._passkey, signed_in=False),
            route("DELETE", "/api/session", self._sign_out),
        ]

    async def _leave(self, asked: Asked) -> Response:
        query = asked.request.query_params
        url, flow = self._psc().begin(again=query.get("again") == "1")
        kept = {
            "state": flow.state,
            "nonce": flow.nonce,
            "verifier": flow.verifier,
            "next": own_path(query.get("next", "")),
        }
        secret = await self._door.database.write_async(flows.keep, "pro-sante-connect", kept)
        response = RedirectResponse(url, 303)
        self._door.keep_flow(response, secret)
        return response

    async def _come_back(self, asked: Asked) -> Response:
        kept = await self._take(asked, "pro-sante-connect")
        flow = Flow(kept["state"], kept["nonce"], kept["verifier"])
        try:
            granted = await self._psc().finish(flow, dict(asked.request.query_params))
            response = RedirectResponse(kept["next"], 303)
            await self._let_in(asked, response, granted)
        except RefusedIdentityError as refused:
            self._record(refused, asked, Means.PRO_SANTE_CONNECT)
            raise
        return response

    async def _ask_phone(self, asked: Asked) -> Response:
        try:
            national_id = model.rpps(asked.text("rpps"))
        except NationalIdError as error:
            raise MalformedRequestError from error
        if not self._phones.spend(national_id):  # nobody's phone is made to ring until they give in
            raise TooManyRequestsError
        message = f"{secrets.randbelow(100):02}"
        question = await self._psc().ask(national_id, message)
        return await self._waiting(question, national_id, {"message": message})

    async def _phone_answer(self, asked: Asked) -> Response:
        kept = await self._take(asked, "phone")
        until = datetime.fromtimestamp(kept["until"], UTC)
        question = Question(kept["id"], until, timedelta(seconds=kept["interval"]))
        answered = await self._psc().answer(question)
        if isinstance(answered, Question):
            return await self._waiting(answered, kept["national_id"], {})
        response = JSONResponse({"signed_in": True})
        await self._let_in(asked, response, answered, kept["national_id"])
        return response

    async def _waiting(self, question: Question, national_id: str, more: dict[str, str]) -> Response:
        seconds = question.interval.total_seconds()
        until = question.expires.timestamp()
        kept = {"id": question.id, "until": until, "interval": seconds, "national_id": national_id}
        secret = await self._door.database.write_async(flows.keep, "phone", kept)
        response = JSONResponse({"signed_in": False, "interval": seconds, **more}, 202)
        self._door.keep_flow(response, secret)
        return response

    async def _ask_passkey(self, asked: Asked) -> Response:
        options, challenge = passkeys.asked_to_prove(self._site)
        return await self.challenge("passkey", options, challenge)

    async def challenge(self, kind: str, options: dict[str, Any], challenge: bytes) -> Response:
        """Options for the browser's passkeys, their challenge kept for its answer."""
        secret = await self._door.database.write_async(flows.keep, kind, {"challenge": challenge.hex()})
        response = JSONResponse(options)
        self._door.keep_flow(response, secret)
        return response

    async def answered(self, asked: Asked, kind: str) -> bytes:
        """The challenge that the browser's answer is for; it serves once. Raises NoFlowError."""
        return bytes.fromhex((await self._take(asked, kind))["challenge"])

    async def _passkey(self, asked: Asked) -> Response:
        told_from = asyncio.get_running_loop().time() + _REFUSAL_S
        challenge = await self.answered(asked, "passkey")
        answer = asked.object("credential")
        found = await self._door.database.write_async(self._prove, challenge, answer)
        if isinstance(found, PasskeyRefusedError):
            self._record(found, asked, Means.PASSKEY)
            await asyncio.sleep(max(0.0, told_from - asyncio.get_running_loop().time()))
            raise found
        if asked.session is not None and asked.session.person.id == found.person.id:
            response = JSONResponse({"signed_in": True})
            self._door.keep_session(
                response, await self._door.database.write_async(sessions.prove_again, asked.session)
            )
            return response
        response = JSONResponse({"signed_in": True})
        await self._door.begin(asked, response, found.person, Means.PASSKEY)
        return response

    def _prove(
        self, connection: sa.Connection, challenge: bytes, answer: dict[str, Any]
    ) -> Passkey | PasskeyRefusedError:
        found = passkeys.prove(connection, self._site, challenge, answer)
        if isinstance(found, PasskeyRefusedError) and found.copied is not None:
            self._door.tell(
                connection,
                found.copied.person,
                f"Une copie de votre clé d'accès « {found.copied.name} » a été présentée. Cette clé ne sert plus.",
                f"A copy of your passkey “{found.copied.name}” was shown. This passkey serves no longer.",
            )
        return found

    async def _sign_out(self, asked: Asked) -> Response:
        session = asked.signed_in
        await self._door.database.write_async(sessions.end, session.person.id, session.id)
        response = Response(status_code=204)
        self._door.keep_session(response, "")
        return response

    async def _let_in(self, asked: Asked, response: Response, granted: Granted, expected: str = "") -> None:
        professional = await self._psc().whoami(granted)
        if expected and professional.national_id != expected:
            raise RefusedIdentityError("another-person")
        person: Person = await self._door.database.write_async(
            persons.keep, professional.national_id, professional.name
        )
        await self._door.begin(asked, response, person, Means.PRO_SANTE_CONNECT)
        try:  # it has told us who came; nothing of it is needed any more
            await self._psc().log_out(granted)
        except ProviderFailure as failure:
            _log.info("the provider's session could not be ended", detail=failure.detail)

    def _psc(self) -> OpenIdClient:
        if self._provider is None:
            raise NoProviderError
        return self._provider

    async def _take(self, asked: Asked, kind: str) -> dict[str, Any]:
        return await self._door.database.write_async(flows.take, kind, self._door.flow(asked))

    def _record(self, refused: RefusedIdentityError, asked: Asked, means: Means) -> None:
        facts = {"rule": refused.rule, "means": str(means), "protocol": "web"}
        entry = Entry(Event.SIGN_IN_REFUSAL, "", facts, {"ip": asked.network})
        self._recorder.record(f"web {refused.rule} {asked.network}", entry)


def own_path(path: str) -> str:
    """A path of ours to go to; anything else, another site's above all, is the first page."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and len(path) < 200
    return path if good and "\\" not in path else "/"
